"""Buckets: create, find, change, delete. Their objects are in objects.py."""

import json
from collections.abc import Callable
from typing import Any

from localcloud.messages import ApiError
from localcloud.policies import EMPTY, Policy, with_deleted
from localcloud.storage.database import Database
from localcloud.storage.preconditions import NO_CONDITIONS, Preconditions
from localcloud.storage.rules import check_bucket_name

Resource = dict[str, Any]


class Buckets:
    """All buckets; each is stored as the JSON that the API shows, without links."""

    def __init__(self, database: Database):
        self._database = database

    def create(self, name: str, resource: Resource) -> Resource:
        check_bucket_name(name)
        with self._database.lock:
            if self._find(name):
                message = f"Your previous request to create the bucket {name} succeeded: it exists."
                raise ApiError(409, message)
            self._save(name, resource)
        return resource

    def get(self, name: str, conditions: Preconditions = NO_CONDITIONS) -> Resource:
        resource = self._find(name)
        if resource is None:
            raise ApiError(404, f"The specified bucket does not exist: {name}")
        _check(resource, conditions, is_read=True)
        return resource

    def need(self, name: str) -> None:
        """Raise unless the bucket exists."""
        if not self._database.execute("SELECT 1 FROM buckets WHERE name = ?", (name,)):
            raise ApiError(404, f"The specified bucket does not exist: {name}")

    def policy(self, bucket: str) -> Policy:
        """Return a bucket's policy, which is empty if there is no such bucket."""
        return (self._find(bucket) or {}).get("iamPolicy", EMPTY)

    def all(self) -> list[Resource]:
        rows = self._database.execute("SELECT resource FROM buckets ORDER BY name")
        return [json.loads(row["resource"]) for row in rows]

    def change(
        self,
        name: str,
        change: Callable[[Resource], Resource],
        conditions: Preconditions = NO_CONDITIONS,
    ) -> Resource:
        """Replace a bucket's resource with what `change` returns for it."""
        with self._database.lock:
            found = self.get(name)
            _check(found, conditions)
            changed = change(found)
            self._save(name, changed)
        return changed

    def delete(self, name: str, conditions: Preconditions = NO_CONDITIONS) -> None:
        with self._database.lock:
            _check(self.get(name), conditions)
            if any(
                self._database.execute(f"SELECT 1 FROM {table} WHERE bucket = ? LIMIT 1", (name,))
                for table in ("objects", "noncurrent")
            ):
                raise ApiError(409, f"The bucket you tried to delete is not empty: {name}")
            self._database.execute("DELETE FROM buckets WHERE name = ?", (name,))

    def rename_deleted(self, email: str, uid: str) -> None:
        """Name an account that was deleted, in the policies, as the service names it."""
        with self._database.lock:
            for bucket in self.all():
                if policy := bucket.get("iamPolicy"):
                    self._save(bucket["name"], bucket | {"iamPolicy": with_deleted(policy, email, uid)})

    def forget_all(self) -> None:
        self._database.execute("DELETE FROM buckets")

    def _find(self, name: str) -> Resource | None:
        rows = self._database.execute("SELECT resource FROM buckets WHERE name = ?", (name,))
        return json.loads(rows[0]["resource"]) if rows else None

    def _save(self, name: str, resource: Resource) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO buckets (name, resource) VALUES (?, ?)",
            (name, json.dumps(resource)),
        )


def _check(resource: Resource, conditions: Preconditions, is_read: bool = False) -> None:
    conditions.check_metageneration(int(resource["metageneration"]), is_read=is_read)
