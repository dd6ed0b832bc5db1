"""The Admin API of Cloud Run, first version, as gcloud speaks it.

gcloud sends requests for a region to a host of that region, such as us-central1-run.emulated, and all others
to the host without it. https://cloud.google.com/run/docs/reference/rest/v1
"""

import re
from typing import Any

from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_of, whole_number
from localcloud.routing import Route
from localcloud.run.deployments import Deployments, not_there
from localcloud.run.regions import REGIONS
from localcloud.run.resources import API_VERSION, Key

_NAMESPACE = "/apis/serving.knative.dev/v1/namespaces/{project}"
_LOCATIONS = "/v1/projects/{project}/locations"
_SERVICE = _LOCATIONS + "/{region}/services/{service}"
_HOST = re.compile(r"([a-z]+-[a-z]+[0-9]+)-run\.[a-z.]+(?::\d+)?")
_LABEL = re.compile(r"\s*([\w./-]+)\s*==?\s*([\w.-]*)\s*")
_DELETED = {"apiVersion": "v1", "kind": "Status", "status": "Success"}


class RunRoutes:
    def __init__(self, deployments: Deployments):
        self._deployments = deployments

    def routes(self) -> list[Route]:
        return [
            Route("GET", _NAMESPACE + "/services", self.list),
            Route("POST", _NAMESPACE + "/services", self.create),
            Route("GET", _NAMESPACE + "/services/{service}", self.get),
            Route("PUT", _NAMESPACE + "/services/{service}", self.replace),
            Route("DELETE", _NAMESPACE + "/services/{service}", self.delete),
            Route("GET", _NAMESPACE + "/revisions", self.list_revisions),
            Route("GET", _NAMESPACE + "/revisions/{revision}", self.get_revision),
            Route("DELETE", _NAMESPACE + "/revisions/{revision}", self.delete_revision),
            Route("GET", _LOCATIONS, self.list_locations),
            Route("GET", _LOCATIONS + "/{region}/services", self.list_everywhere),
            Route("GET", _SERVICE + ":getIamPolicy", self.get_policy),
            Route("POST", _SERVICE + ":setIamPolicy", self.set_policy),
            Route("POST", _SERVICE + ":testIamPermissions", self.test_permissions),
        ]

    def list(self, request: Request, project: str) -> Response:
        return _page("ServiceList", self._deployments.resources(project, _region(request)), request)

    def list_everywhere(self, request: Request, project: str, region: str) -> Response:
        return _page("ServiceList", self._deployments.resources(project, region), request)

    def create(self, request: Request, project: str) -> Response:
        region = _region(request)
        return json_response(self._deployments.create(project, region, request.json(), _is_dry(request)))

    def get(self, request: Request, project: str, service: str) -> Response:
        return json_response(self._deployments.resource((project, _region(request), service)))

    def replace(self, request: Request, project: str, service: str) -> Response:
        key = (project, _region(request), service)
        return json_response(self._deployments.replace(key, request.json(), _is_dry(request)))

    def delete(self, request: Request, project: str, service: str) -> Response:
        self._deployments.delete((project, _region(request), service))
        return json_response(_DELETED)

    def list_revisions(self, request: Request, project: str) -> Response:
        wanted = _labels(request.query.get("labelSelector", ""))
        revisions = self._deployments.revisions(project, _region(request))
        found = [each for each in revisions if wanted.items() <= each["metadata"]["labels"].items()]
        return _page("RevisionList", found, request)

    def get_revision(self, request: Request, project: str, revision: str) -> Response:
        for each in self._deployments.revisions(project, _region(request)):
            if each["metadata"]["name"] == revision:
                return json_response(each)
        raise not_there("REVISION", (project, _region(request), revision))

    def delete_revision(self, request: Request, project: str, revision: str) -> Response:
        self._deployments.delete_revision(project, _region(request), revision)
        return json_response(_DELETED)

    def list_locations(self, request: Request, project: str) -> Response:
        places = [
            {"name": f"projects/{project}/locations/{region}", "locationId": region, "displayName": region}
            for region in REGIONS
        ]
        return json_response(page_of("locations", zip(places, places, strict=True), request, 100, 1000))

    def get_policy(self, request: Request, **place: str) -> Response:
        return json_response(self._deployments.policy(_key(place)))

    def set_policy(self, request: Request, **place: str) -> Response:
        return json_response(self._deployments.set_policy(_key(place), request.json().get("policy")))

    def test_permissions(self, request: Request, **place: str) -> Response:
        """Answer that everything is allowed, also for a service that gcloud is about to create."""
        return json_response({"permissions": request.json().get("permissions", [])})


def _region(request: Request) -> str:
    """Return the region that the host names."""
    found = _HOST.fullmatch(request.host)
    if not found or found[1] not in REGIONS:
        raise ApiError(
            404, f"{request.host} is not the host of Cloud Run in a region, such as us-central1-run."
        )
    return found[1]


def _key(place: dict[str, str]) -> Key:
    return place["project"], place["region"], place["service"]


def _is_dry(request: Request) -> bool:
    return request.query.get("dryRun") == "all"


def _labels(selector: str) -> dict[str, str]:
    wanted = {}
    for each in filter(None, selector.split(",")):
        found = _LABEL.fullmatch(each)
        if not found:
            raise ApiError(400, f"labelSelector: localcloud takes KEY = VALUE, not {each!r}.")
        wanted[found[1]] = found[2]
    return wanted


def _page(kind: str, resources: list[dict[str, Any]], request: Request) -> Response:
    start, limit = whole_number(request.query, "continue"), whole_number(request.query, "limit")
    end = start + limit if limit else len(resources)
    more = {"continue": str(end)} if end < len(resources) else {}
    page = {"apiVersion": API_VERSION, "kind": kind, "metadata": more, "items": resources[start:end]}
    return json_response(page)
