"""The Admin API of Cloud Run, first version, as gcloud speaks it.

gcloud sends requests for a region to a host of that region, such as us-central1-run.emulated, and all others
to the host without it. https://cloud.google.com/run/docs/reference/rest/v1
"""

import re
from typing import Any

from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_of, whole_number
from localcloud.rights import callers
from localcloud.rights.tested import permissions_answer
from localcloud.routing import Route
from localcloud.run.deployments import Deployments, not_there
from localcloud.run.regions import REGIONS
from localcloud.run.resources import API_VERSION, SERVICE_LABEL, Key

_NAMESPACE = "/apis/serving.knative.dev/v1/namespaces/{project}"
_LOCATIONS = "/v1/projects/{project}/locations"
_SERVICE = _LOCATIONS + "/{region}/services/{service}"
_HOST = re.compile(r"([a-z]+-[a-z]+[0-9]+)-run\.[a-z.]+(?::\d+)?")
_LABEL = re.compile(r"\s*([\w./-]+)\s*==?\s*([\w.-]*)\s*")
_TESTABLE = re.compile(r"run\.services\..+")
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
        callers.need("run.services.list", _name(project, _region(request)))
        return _page("ServiceList", self._deployments.resources(project, _region(request)), request)

    def list_everywhere(self, request: Request, project: str, region: str) -> Response:
        return _page("ServiceList", self._deployments.resources(project, region), request)

    def create(self, request: Request, project: str) -> Response:
        region = _region(request)
        callers.need("run.services.create", _name(project, region))
        return json_response(self._deployments.create(project, region, request.json(), _is_dry(request)))

    def get(self, request: Request, project: str, service: str) -> Response:
        key = (project, _region(request), service)
        callers.need("run.services.get", _name(*key))
        return json_response(self._deployments.resource(key))

    def replace(self, request: Request, project: str, service: str) -> Response:
        key = (project, _region(request), service)
        callers.need("run.services.update", _name(*key))
        return json_response(self._deployments.replace(key, request.json(), _is_dry(request)))

    def delete(self, request: Request, project: str, service: str) -> Response:
        key = (project, _region(request), service)
        callers.need("run.services.delete", _name(*key))
        self._deployments.delete(key)
        return json_response(_DELETED)

    def list_revisions(self, request: Request, project: str) -> Response:
        callers.need("run.revisions.list", _name(project, _region(request)))
        wanted = _labels(request.query.get("labelSelector", ""))
        revisions = self._deployments.revisions(project, _region(request))
        found = [each for each in revisions if wanted.items() <= each["metadata"]["labels"].items()]
        return _page("RevisionList", found, request)

    def get_revision(self, request: Request, project: str, revision: str) -> Response:
        key = (project, _region(request), revision)
        found = self._revision(*key)
        _ask_on_revision("get", key, found)
        if not found:
            raise not_there("REVISION", key)
        return json_response(found)

    def delete_revision(self, request: Request, project: str, revision: str) -> Response:
        key = (project, _region(request), revision)
        _ask_on_revision("delete", key, self._revision(*key))
        self._deployments.delete_revision(*key)
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
        """Answer what the caller may do with a service, also with one that gcloud is about to create."""
        return permissions_answer(request, _name(*_key(place)), _TESTABLE)

    def _revision(self, project: str, region: str, name: str) -> dict[str, Any] | None:
        revisions = self._deployments.revisions(project, region)
        return next((each for each in revisions if each["metadata"]["name"] == name), None)


def _region(request: Request) -> str:
    """Return the region that the host names."""
    found = _HOST.fullmatch(request.host)
    if not found or found[1] not in REGIONS:
        raise ApiError(
            404, f"{request.host} is not the host of Cloud Run in a region, such as us-central1-run."
        )
    return found[1]


def _name(project: str, region: str, service: str = "") -> str:
    """Return the name of a region, or of a service in it, as policies and conditions see it."""
    return f"projects/{project}/locations/{region}" + (f"/services/{service}" if service else "")


def _ask_on_revision(verb: str, key: Key, found: dict[str, Any] | None) -> None:
    """Ask on the service of a revision, whose policy counts; on the region if there is no such revision."""
    service = found["metadata"]["labels"][SERVICE_LABEL] if found else ""
    callers.need(f"run.revisions.{verb}", _name(*key[:2], service))


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
