"""Artifact Registry, second part: what creates, changes and deletes repositories and what is in them.

REST API v1: https://cloud.google.com/artifact-registry/docs/reference/rest. What is read is in registry.py.
"""

import re
import threading
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from localcloud.iam import AccountService
from localcloud.labels import check_labels
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.policies import Policies, Policy
from localcloud.registry import Image, Key, RegistryService, Repository
from localcloud.rights.tested import permissions_answer
from localcloud.routing import Route
from localcloud.shapes import ANYTHING, check_shape, without_nulls
from localcloud.times import now

_LOCATION = "/v1/projects/{project}/locations/{location}"
_REPOSITORIES = _LOCATION + "/repositories"
_REPOSITORY = _REPOSITORIES + "/{repository}"
_PACKAGE = _REPOSITORY + "/packages/{package}"
_OPERATION_PREFIX = "artifactregistry-"  # other services have operations on the same port and path
MAX_OPERATIONS = 1000
_TESTABLE = re.compile(r"artifactregistry\..+")
_ID = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SETTABLE = {
    "description": str,
    "labels": {"*": str},
    "cleanupPolicies": ANYTHING,
    "cleanupPolicyDryRun": bool,
    "dockerConfig": {"immutableTags": bool},
    "kmsKeyName": str,
    "vulnerabilityScanningConfig": ANYTHING,
}
_OUTPUT = dict.fromkeys(("createTime", "updateTime", "sizeBytes", "registryUri", "satisfiesPzs"), ANYTHING)
_SHAPE = {**_SETTABLE, **_OUTPUT, "name": str, "format": str, "mode": str}
_MODES = {"", "MODE_UNSPECIFIED", "STANDARD_REPOSITORY"}
_TYPES = "type.googleapis.com/google.devtools.artifactregistry.v1."
_EMPTY = {"@type": "type.googleapis.com/google.protobuf.Empty"}


class RepositoryRoutes:
    """Changes of the repositories of a registry, and the policies of repositories."""

    def __init__(self, registry: RegistryService, accounts: AccountService):
        self._registry = registry
        self._policies = Policies(accounts.has)
        accounts.on_deletion.append(self._policies.rename_deleted)
        self._operations: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        return [
            Route("POST", _REPOSITORIES, self.create),
            Route("GET", _REPOSITORY + ":getIamPolicy", self.get_policy),
            Route("POST", _REPOSITORY + ":setIamPolicy", self.set_policy),
            Route("POST", _REPOSITORY + ":testIamPermissions", self.test_permissions),
            Route("PATCH", _REPOSITORY, self.change),
            Route("DELETE", _REPOSITORY, self.delete),
            Route("DELETE", _PACKAGE, self.delete_package),
            Route("DELETE", _PACKAGE + "/versions/{version}", self.delete_version),
            Route("POST", _PACKAGE + "/tags", self.create_tag),
            Route("PATCH", _PACKAGE + "/tags/{tag}", self.move_tag),
            Route("DELETE", _PACKAGE + "/tags/{tag}", self.delete_tag),
            Route("GET", _LOCATION + f"/operations/{_OPERATION_PREFIX}{{operation}}", self.get_operation),
        ]

    def forget_all(self) -> None:
        self._policies.forget_all()
        with self._lock:
            self._operations.clear()

    def create(self, request: Request, project: str, location: str) -> Response:
        name = request.query.get("repositoryId", "")
        if not _ID.fullmatch(name):
            raise ApiError(
                400, f"Invalid repository ID {name!r}: 1 to 63 of lowercase letters, digits and -."
            )
        asked = _checked(request.json())
        if asked.get("format") != "DOCKER" or asked.get("mode", "") not in _MODES:
            raise ApiError(400, "localcloud emulates standard repositories of the format DOCKER only.")
        settings = {each: asked[each] for each in asked.keys() & _SETTABLE.keys()}
        key = project, location, name
        with self._registry.opened() as repositories:
            if key in repositories:
                raise ApiError(409, "the repository already exists")
            repositories[key] = Repository(settings=settings)
        return self._begin(key, self._shown(key))

    def change(self, request: Request, **place: str) -> Response:
        asked = _checked(request.json())
        mask = [each for each in request.query.get("updateMask", "").split(",") if each]
        if unknown := set(mask) - _SETTABLE.keys():
            raise ApiError(400, f"The update mask names {sorted(unknown)[0]}, which cannot be changed.")
        with self._registry.opened():
            key, found = self._registry.repository(place)
            for name in mask or asked.keys() & _SETTABLE.keys():
                found.settings.pop(name, None)
                found.settings |= {name: asked[name]} if name in asked else {}
            found.update_time = now()
        return json_response(self._registry.resource(key))

    def delete(self, request: Request, **place: str) -> Response:
        """Delete a repository with all its images."""
        with self._registry.opened() as repositories:
            key, _ = self._registry.repository(place)
            del repositories[key]
        self._policies.drop(key)
        return self._begin(key, _EMPTY)

    def delete_package(self, request: Request, package: str, **place: str) -> Response:
        with self._registry.opened() as repositories:
            key, _ = self._registry.image(place, package)
            del repositories[key].images[package]
        return self._begin(key, _EMPTY)

    def delete_version(self, request: Request, package: str, version: str, **place: str) -> Response:
        with self._registry.opened():
            key, image = self._registry.image(place, package)
            if version not in image.versions:
                raise _not_found()
            tags = image.tags_of(version)
            if tags and request.query.get("force", "").lower() != "true":
                reason = f"Cannot delete version {version}: it is tagged {', '.join(tags)}."
                raise ApiError(400, reason, status="FAILED_PRECONDITION")
            for tag in tags:
                del image.tags[tag]
            del image.versions[version]
        return self._begin(key, _EMPTY)

    def create_tag(self, request: Request, package: str, **place: str) -> Response:
        return self._tag(request, package, request.query.get("tagId", ""), place, is_new=True)

    def move_tag(self, request: Request, package: str, tag: str, **place: str) -> Response:
        return self._tag(request, package, tag, place, is_new=False)

    def delete_tag(self, request: Request, package: str, tag: str, **place: str) -> Response:
        with self._registry.opened():
            _, image = self._registry.image(place, package)
            if image.tags.pop(tag, None) is None:
                raise _not_found()
        return json_response({})

    def get_policy(self, request: Request, **place: str) -> Response:
        key, _ = self._registry.repository(place)
        return json_response(self._policies.get(key))

    def set_policy(self, request: Request, **place: str) -> Response:
        key, _ = self._registry.repository(place)
        return json_response(self._policies.set(key, request.json().get("policy")))

    def test_permissions(self, request: Request, **place: str) -> Response:
        """Return which permissions the caller has: none on a repository that is not there, as documented."""
        key = place["project"], place["location"], place["repository"]
        name = "projects/{}/locations/{}/repositories/{}".format(*key)
        answer = permissions_answer(request, name, _TESTABLE)
        with self._registry.opened() as repositories:
            return answer if key in repositories else json_response({})

    def policy(self, project: str, location: str, repository: str) -> Policy:
        return self._policies.get((project, location, repository))

    def get_operation(self, request: Request, project: str, location: str, operation: str) -> Response:
        with self._lock:
            found = self._operations.get(_OPERATION_PREFIX + operation)
        if found is None:
            raise _not_found()
        return json_response(found)

    def _tag(
        self, request: Request, package: str, tag: str, place: Mapping[str, str], is_new: bool
    ) -> Response:
        version = str(request.json().get("version", "")).rpartition("/")[2]
        with self._registry.opened():
            key, image = self._registry.image(place, package)
            _check_tag(image, tag, version, is_new)
            image.tags[tag] = version
            return json_response(self._registry.tag(key, package, tag, version))

    def _shown(self, key: Key) -> dict[str, Any]:
        return {"@type": _TYPES + "Repository", **self._registry.resource(key)}

    def _begin(self, key: Key, response: dict[str, Any]) -> Response:
        """Answer with an operation that goes on, and keep it as it is once it is done."""
        operation_id = _OPERATION_PREFIX + str(uuid.uuid4())
        name = f"projects/{key[0]}/locations/{key[1]}/operations/{operation_id}"
        begun = {"name": name, "metadata": {"@type": _TYPES + "OperationMetadata"}, "done": False}
        with self._lock:
            self._operations[operation_id] = {**begun, "done": True, "response": response}
            while len(self._operations) > MAX_OPERATIONS:
                self._operations.popitem(last=False)
        return json_response(begun)


def _checked(body: Mapping[str, Any]) -> dict[str, Any]:
    asked = without_nulls(body)
    check_shape(asked, _SHAPE, "repository")
    check_labels(asked.get("labels", {}))
    return asked


def _check_tag(image: Image, tag: str, version: str, is_new: bool) -> None:
    if version not in image.versions or (not is_new and tag not in image.tags):
        raise _not_found()
    if not re.fullmatch(r"[\w][\w.-]{0,127}", tag):
        raise ApiError(400, f"Invalid tag: {tag}.")
    if is_new and tag in image.tags:
        raise ApiError(409, f"The tag {tag} already exists.")


def _not_found() -> ApiError:
    return ApiError(404, "Requested entity was not found.")
