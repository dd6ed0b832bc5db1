"""Cloud Storage put together: its state on disk, its routes, and their paths."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from localcloud.child import CannotStart
from localcloud.faults import Faults
from localcloud.iam import AccountService
from localcloud.messages import ApiError, Request, error_response
from localcloud.policies import EMPTY, check_kept
from localcloud.rights.enforcement import Rights
from localcloud.routing import Route, Router
from localcloud.storage.batch_route import BatchRoute
from localcloud.storage.bucket_routes import BucketRoutes
from localcloud.storage.buckets import Buckets
from localcloud.storage.database import Database
from localcloud.storage.object_routes import ObjectRoutes
from localcloud.storage.objects import Objects
from localcloud.storage.refusals import json_error
from localcloud.storage.upload_routes import UploadRoutes
from localcloud.storage.uploads import Uploads
from localcloud.storage.xml_routes import XmlRoutes

_JSON_API = re.compile(r"/(?:(?:resumable/)?(upload)/|download/)?(?:storage/v1/)?b(?=/|$)")
_NOT_BUCKETS = ("_emulator", "b", "batch", "download", "resumable", "storage", "upload")


class StorageService:
    """Buckets, objects and uploads in `folder`; all of it is there again after a restart."""

    def __init__(self, folder: Path, accounts: AccountService):
        folder.mkdir(parents=True, exist_ok=True)
        database = Database(folder / "storage.sqlite")
        self.buckets = Buckets(database)
        self.objects = Objects(folder, database, self.buckets)
        self.uploads = Uploads(folder, database)
        self._lock, self._accounts = database.lock, accounts

    def router(self, faults: Faults, control_routes: list[Route], rights: Rights) -> Router:
        """Return what answers at the port of storage.

        Raises
        ------
        CannotStart
            Rights are enforced, and a bucket was kept with a policy that cannot be.
        """
        if rights.are_enforced:
            self._check_policies()
        batch = BatchRoute(faults)
        routes = [
            *ObjectRoutes(self.buckets, self.objects).routes(),
            *UploadRoutes(self.buckets, self.objects, self.uploads).routes(),
            *BucketRoutes(self.buckets, self._accounts).routes(),
            *batch.routes(),
            *XmlRoutes(self.buckets, self.objects, self.uploads).routes(),
        ]

        def look(request: Request, arguments: Mapping[str, str]) -> None:
            self._need_buckets(arguments)

        guarded = rights.guarded(list(map(_with_own_words, routes)), look)
        batch.router = Router([*control_routes, *guarded], short_path)
        return batch.router

    def _check_policies(self) -> None:
        """Refuse a policy from a cloud that enforced nothing, if what it allows is unknown."""
        for bucket in self.buckets.all():
            try:
                check_kept(bucket.get("iamPolicy", EMPTY))
            except ApiError as error:
                raise CannotStart(
                    f"gs://{bucket['name']} was kept with a policy that cannot be enforced: {error.message}; "
                    "or start without rights, and remove the binding"
                ) from None

    def _need_buckets(self, arguments: Mapping[str, str]) -> None:
        """Refuse a bucket that is not there with a 404, whoever asks.

        There are also reports of a 403 for members without rights in any project, as for objects
        (objects.py). Google documents neither, so whoever expects a missing bucket should expect both.
        """
        for name in ("bucket", "to_bucket"):
            if name in arguments:
                self.buckets.need(arguments[name])

    def forget_all(self) -> None:
        with self._lock:
            self.objects.forget_all()
            self.uploads.forget_all()
            self.buckets.forget_all()


def _with_own_words(route: Route) -> Route:
    return replace(route, format_error=json_error) if route.format_error is error_response else route


def short_path(path: str) -> str:
    """Return /b/... for the JSON API, /upload/b/... for its uploads, /xml/BUCKET/OBJECT for the rest.

    Clients may put storage/v1 and download before /b.
    """
    if found := _JSON_API.match(path):
        return (f"/{found[1]}/b" if found[1] else "/b") + path[found.end() :]
    first, _, rest = path[1:].partition("/")
    return f"/xml{path}" if rest and first not in _NOT_BUCKETS else path
