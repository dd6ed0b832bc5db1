"""The routes of buckets, /b and /b/{bucket}, with policy and layout, and the service's own account."""

import re
from collections.abc import Mapping
from typing import Any

from localcloud.iam import STORAGE_AGENT, AccountService
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.policies import EMPTY, replaced, shown
from localcloud.rights.callers import need
from localcloud.rights.resources import bucket_name
from localcloud.rights.tested import permitted
from localcloud.routing import Route
from localcloud.storage.bucket_settings import has_uniform_access, settable_bucket_properties
from localcloud.storage.buckets import Buckets
from localcloud.storage.fields import select_fields
from localcloud.storage.listing import page_size
from localcloud.storage.preconditions import Preconditions
from localcloud.storage.resources import (
    bucket_resource,
    changed_bucket,
    merge,
    new_bucket,
)

_TESTABLE = re.compile(r"storage\..+")


class BucketRoutes:
    def __init__(self, buckets: Buckets, accounts: AccountService):
        self._buckets, self._accounts = buckets, accounts

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/b", self.insert),
            Route("GET", "/b", self.list),
            Route("GET", "/b/{bucket}", self.get),
            Route("PATCH", "/b/{bucket}", self.patch),
            Route("PUT", "/b/{bucket}", self.update),
            Route("DELETE", "/b/{bucket}", self.delete),
            Route("GET", "/b/{bucket}/storageLayout", self.layout),
            Route("GET", "/b/{bucket}/managedFolders", self.no_folders),
            Route("GET", "/b/{bucket}/folders", self.no_folders),
            Route("GET", "/b/{bucket}/iam", self.get_policy),
            Route("PUT", "/b/{bucket}/iam", self.set_policy),
            Route("GET", "/b/{bucket}/iam/testPermissions", self.test_permissions),
            Route("GET", "/storage/v1/projects/{project}/serviceAccount", self.service_agent),
        ]

    def insert(self, request: Request) -> Response:
        if not request.query.get("project"):
            raise ApiError(400, "Required parameter: project", reason="required")
        settings = request.json()
        name = str(settings.get("name", ""))
        project = f"projects/{request.query['project']}"
        if request.query.get("enableObjectRetention", "").lower() == "true":
            need("storage.buckets.enableObjectRetention", project)
        if settings.get("ipFilter"):
            need("storage.buckets.setIpFilter", project)
        return self._answer(request, self._buckets.create(name, new_bucket(name, settings)))

    def list(self, request: Request) -> Response:
        if not request.query.get("project"):
            raise ApiError(400, "Required parameter: project", reason="required")
        prefix, start = request.query.get("prefix", ""), request.query.get("pageToken", "")
        found = [
            bucket_resource(bucket, request.base_url)
            for bucket in self._buckets.all()
            if bucket["name"].startswith(prefix) and bucket["name"] >= start
        ]
        size = page_size(request.query)
        page = {"kind": "storage#buckets", "items": found[:size]}
        if len(found) > size:
            page["nextPageToken"] = found[size]["name"]
        return json_response(select_fields(page, request.query.get("fields", "")))

    def get(self, request: Request, bucket: str) -> Response:
        conditions = Preconditions.from_query(request.query)
        return self._answer(request, self._buckets.get(bucket, conditions))

    def patch(self, request: Request, bucket: str) -> Response:
        patch = settable_bucket_properties(request.json())
        _need_for_fields(patch, bucket)
        return self._change(request, bucket, lambda old: changed_bucket(old, merge(old, patch)))

    def update(self, request: Request, bucket: str) -> Response:
        settings = request.json()
        _need_for_fields(settings, bucket)
        return self._change(request, bucket, lambda old: changed_bucket(old, settings))

    def delete(self, request: Request, bucket: str) -> Response:
        self._buckets.delete(bucket, Preconditions.from_query(request.query))
        return Response(204)

    def layout(self, request: Request, bucket: str) -> Response:
        """Tell gcloud that the bucket has no real folders."""
        resource = self._buckets.get(bucket)
        return json_response(
            {
                "kind": "storage#storageLayout",
                "bucket": bucket,
                "location": resource["location"],
                "locationType": resource["locationType"],
                "hierarchicalNamespace": {"enabled": False},
            }
        )

    def no_folders(self, request: Request, bucket: str) -> Response:
        """Tell gcloud that there are no folders to remove before it removes a bucket."""
        self._buckets.need(bucket)
        return json_response({"items": []})

    def get_policy(self, request: Request, bucket: str) -> Response:
        resource = self._buckets.get(bucket)
        policy = {"kind": "storage#policy", "bindings": [], **shown(resource.get("iamPolicy", EMPTY))}
        return json_response({**policy, "resourceId": f"projects/_/buckets/{bucket}"})

    def set_policy(self, request: Request, bucket: str) -> Response:
        asked = request.json()

        def changed(old: dict) -> dict:
            policy = replaced(old.get("iamPolicy", EMPTY), asked, self._accounts.has, conflict=412)
            if not has_uniform_access(old) and any("condition" in each for each in policy["bindings"]):
                raise ApiError(
                    400, "Conditions in the policy of a bucket require uniform bucket-level access."
                )
            return old | {"iamPolicy": policy}

        self._buckets.change(bucket, changed)
        return self.get_policy(request, bucket)

    def test_permissions(self, request: Request, bucket: str) -> Response:
        self._buckets.need(bucket)
        asked = request.query_list("permissions")
        allowed = permitted(asked, bucket_name(bucket), _TESTABLE)
        return json_response({"kind": "storage#testIamPermissionsResponse", "permissions": allowed})

    def service_agent(self, request: Request, project: str) -> Response:
        """Return the account as which Cloud Storage publishes the events of a project's buckets."""
        email = self._accounts.agent(STORAGE_AGENT)
        return json_response({"kind": "storage#serviceAccount", "email_address": email})

    def _change(self, request: Request, bucket: str, change) -> Response:
        def permitted(old: dict) -> dict:
            changed = change(old)
            if _prevention(changed) != _prevention(old):
                need("storage.buckets.setIamPolicy", bucket_name(bucket))
            return changed

        conditions = Preconditions.from_query(request.query)
        return self._answer(request, self._buckets.change(bucket, permitted, conditions))

    def _answer(self, request: Request, bucket: dict) -> Response:
        resource = bucket_resource(bucket, request.base_url)
        return json_response(select_fields(resource, request.query.get("fields", "")))


def _need_for_fields(settings: Mapping[str, Any], bucket: str) -> None:
    """Refuse settings that need more than storage.buckets.update, which each request has to have.

    https://cloud.google.com/storage/docs/access-control/iam-json, notes 5 and 14
    """
    if "acl" in settings or "defaultObjectAcl" in settings:
        need("storage.buckets.setIamPolicy", bucket_name(bucket))
    if "ipFilter" in settings:
        need("storage.buckets.setIpFilter", bucket_name(bucket))


def _prevention(bucket: Mapping[str, Any]) -> str:
    return bucket["iamConfiguration"]["publicAccessPrevention"]
