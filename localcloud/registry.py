"""Artifact Registry: repositories for Docker images, and the packages, versions and tags in them, as read.

REST API v1: https://cloud.google.com/artifact-registry/docs/reference/rest. There are no layers. What
gcloud adds, changes and deletes is in repositories.py. A build that succeeds adds its images; POST
/_emulator/images adds an image, with a digest of its own if none is given, or a repository:

    {"image": "us-central1-docker.pkg.dev/my-lab/repo/image:latest", "digest": "sha256:..."}
    {"repository": "us-central1-docker.pkg.dev/my-lab/repo"}

Container Analysis, which gcloud asks before it describes an image, has no entry for any image.
"""

import hashlib
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from localcloud.control import PREFIX
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_of
from localcloud.routing import Route
from localcloud.times import now

_REPOSITORIES = "/v1/projects/{project}/locations/{location}/repositories"
_REPOSITORY = _REPOSITORIES + "/{repository}"
_PACKAGE = _REPOSITORY + "/packages/{package}"
_PLACE = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev/([^/]+)/([^/:@]+)(?:/([^:@]+)(?::([\w.-]+))?)?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"

Key = tuple[str, str, str]  # project, location, repository


@dataclass
class Image:
    """An image: the upload time of each digest, and the digest of each tag."""

    versions: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def tags_of(self, digest: str) -> list[str]:
        return sorted(tag for tag, tagged in self.tags.items() if tagged == digest)


@dataclass
class Repository:
    settings: dict[str, Any] = field(default_factory=dict)  # labels, description and the like
    images: dict[str, Image] = field(default_factory=dict)
    create_time: str = field(default_factory=now)
    update_time: str = ""


def repository_of(image: str) -> str:
    """Return the name of the repository that an image is in, by the image's full name; "" of another kind."""
    place = _PLACE.fullmatch(image.partition("@")[0])
    return f"projects/{place[2]}/locations/{place[1]}/repositories/{place[3]}" if place else ""


class RegistryService:
    """The repositories of all projects, all for Docker images."""

    def __init__(self):
        self._repositories: dict[Key, Repository] = {}
        self._lock = threading.RLock()

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1beta2/projects/{project}/locations", self.list_locations),
            Route("GET", _REPOSITORIES, self.list_repositories),
            Route("GET", _REPOSITORY, self.get_repository),
            Route("GET", _REPOSITORY + "/dockerImages", self.list_images),
            Route("GET", _REPOSITORY + "/dockerImages/{image}", self.get_image),
            Route("GET", _REPOSITORY + "/packages", self.list_packages),
            Route("GET", _PACKAGE, self.get_package),
            Route("GET", _PACKAGE + "/versions", self.list_versions),
            Route("GET", _PACKAGE + "/versions/{version}", self.get_version),
            Route("GET", _PACKAGE + "/tags", self.list_tags),
            Route("GET", _PACKAGE + "/tags/{tag}", self.get_tag),
            Route("GET", "/v1/projects/{project}/occurrences", self.no_occurrences),
        ]

    def control_routes(self) -> list[Route]:
        return [Route("POST", PREFIX + "images", self.offer)]

    def forget_all(self) -> None:
        with self._lock:
            self._repositories.clear()

    def offer(self, request: Request) -> Response:
        asked = request.json()
        name = str(asked.get("image") or asked.get("repository") or "")
        digest = str(asked.get("digest") or "") or "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        self.put(name, digest)
        return json_response({"name": name, "digest": digest})

    def push(self, name: str, digest: str) -> None:
        """Add an image to a repository, which must be there."""
        place = _PLACE.fullmatch(name)
        key = (place[2], place[1], place[3]) if place else ("", "", "")
        with self._lock:
            if key not in self._repositories:
                raise ApiError(404, f'name unknown: Repository "{key[2]}" not found')
        self.put(name, digest)

    def put(self, name: str, digest: str) -> None:
        """Add an image under a tag, which moves from another image if it has one; or add a repository."""
        place = _PLACE.fullmatch(name)
        if not place:
            raise ApiError(
                400, f'image "{name}" is not LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG.'
            )
        if not _DIGEST.fullmatch(digest):
            raise ApiError(400, f'digest "{digest}" is not sha256: and 64 hexadecimal digits.')
        location, project, repository, image, tag = place.groups()
        with self._lock:
            there = self._repositories.setdefault((project, location, repository), Repository())
            if image:
                pushed = there.images.setdefault(image, Image())
                pushed.versions.setdefault(digest, now())
                pushed.tags |= {tag: digest} if tag else {}

    def digest_of(self, name: str) -> str:
        """Return the digest of an image by its full name, with tag or digest; empty if it is not there."""
        path, _, digest = name.partition("@")
        place = _PLACE.fullmatch(path)
        if not place or not place[4]:
            return ""
        location, project, repository, image, tag = place.groups()
        with self._lock:
            there = self._repositories.get((project, location, repository), Repository())
            found = there.images.get(image, Image())
            digest = digest or found.tags.get(tag or "latest", "")
            return digest if digest in found.versions else ""

    def list_locations(self, request: Request, project: str) -> Response:
        """List the locations that have a repository; gcloud then lists each of them."""
        with self._lock:
            places = sorted({location for owner, location, _ in self._repositories if owner == project})
        found = [{"name": f"projects/{project}/locations/{place}", "locationId": place} for place in places]
        return json_response({"locations": found} if found else {})

    def list_repositories(self, request: Request, project: str, location: str) -> Response:
        with self._lock:
            keys = [
                key for key in sorted(self._repositories) if key[0] == project and location in (key[1], "-")
            ]
            return _page("repositories", (self.resource(key) for key in keys), request)

    def get_repository(self, request: Request, **place: str) -> Response:
        with self._lock:
            key, _ = self.repository(place)
            return json_response(self.resource(key))

    def list_images(self, request: Request, **place: str) -> Response:
        with self._lock:
            key, repository = self.repository(place)
            images = [
                _image_resource(key, name, image, digest)
                for name, image in sorted(repository.images.items())
                for digest in image.versions
            ]
        return _page("dockerImages", images, request)

    def get_image(self, request: Request, image: str, **place: str) -> Response:
        name, _, version = image.partition("@")
        with self._lock:
            key, repository = self.repository(place)
            found = repository.images.get(name, Image())
            digest = found.tags.get(version, version)
            if digest not in found.versions:
                raise _not_found()
            return json_response(_image_resource(key, name, found, digest))

    def list_packages(self, request: Request, **place: str) -> Response:
        with self._lock:
            key, repository = self.repository(place)
            return _page(
                "packages", [_package_resource(key, name) for name in sorted(repository.images)], request
            )

    def get_package(self, request: Request, package: str, **place: str) -> Response:
        with self._lock:
            key, _ = self.image(place, package)
            return json_response(_package_resource(key, package))

    def list_versions(self, request: Request, package: str, **place: str) -> Response:
        with self._lock:
            key, image = self.image(place, package)
            versions = [_version_resource(key, package, image, digest) for digest in image.versions]
        return _page("versions", versions, request)

    def get_version(self, request: Request, package: str, version: str, **place: str) -> Response:
        with self._lock:
            key, image = self.image(place, package)
            if version not in image.versions:
                raise _not_found()
            return json_response(_version_resource(key, package, image, version))

    def list_tags(self, request: Request, package: str, **place: str) -> Response:
        with self._lock:
            key, image = self.image(place, package)
            tags = [_tag_resource(key, package, tag, digest) for tag, digest in sorted(image.tags.items())]
        return _page("tags", tags, request)

    def get_tag(self, request: Request, package: str, tag: str, **place: str) -> Response:
        with self._lock:
            key, image = self.image(place, package)
            if tag not in image.tags:
                raise _not_found()
            return json_response(_tag_resource(key, package, tag, image.tags[tag]))

    def no_occurrences(self, request: Request, project: str) -> Response:
        return json_response({})

    @contextmanager
    def opened(self) -> Iterator[dict[Key, Repository]]:
        """Yield all repositories, which nobody else changes meanwhile."""
        with self._lock:
            yield self._repositories

    def tag(self, key: Key, package: str, tag: str, digest: str) -> dict[str, Any]:
        return _tag_resource(key, package, tag, digest)

    def repository(self, place: Mapping[str, str]) -> tuple[Key, Repository]:
        key = place["project"], place["location"], place["repository"]
        if key not in self._repositories:
            raise _not_found()
        return key, self._repositories[key]

    def image(self, place: Mapping[str, str], package: str) -> tuple[Key, Image]:
        key, repository = self.repository(place)
        if package not in repository.images:
            raise _not_found()
        return key, repository.images[package]

    def resource(self, key: Key) -> dict[str, Any]:
        repository = self._repositories[key]
        return {
            "name": _name(key),
            "format": "DOCKER",
            "mode": "STANDARD_REPOSITORY",
            "createTime": repository.create_time,
            "updateTime": repository.update_time or repository.create_time,
            **{name: value for name, value in repository.settings.items() if value or value is False},
        }


def _not_found() -> ApiError:
    return ApiError(404, "Requested entity was not found.")


def _page(name: str, resources: Iterable[dict[str, Any]], request: Request) -> Response:
    return json_response(page_of(name, ((each, each) for each in resources), request, 100, 1000))


def _name(key: Key) -> str:
    project, location, repository = key
    return f"projects/{project}/locations/{location}/repositories/{repository}"


def _package_name(key: Key, package: str) -> str:
    return f"{_name(key)}/packages/{package.replace('/', '%2F')}"


def _package_resource(key: Key, package: str) -> dict[str, Any]:
    return {"name": _package_name(key, package)}


def _image_resource(key: Key, name: str, image: Image, digest: str) -> dict[str, Any]:
    project, location, repository = key
    return {
        "name": f"{_name(key)}/dockerImages/{name.replace('/', '%2F')}@{digest}",
        "uri": f"{location}-docker.pkg.dev/{project}/{repository}/{name}@{digest}",
        "tags": image.tags_of(digest),
        "imageSizeBytes": "0",
        "mediaType": _MEDIA_TYPE,
        "uploadTime": image.versions[digest],
        "updateTime": image.versions[digest],
    }


def _version_resource(key: Key, package: str, image: Image, digest: str) -> dict[str, Any]:
    tags = image.tags_of(digest)
    return {
        "name": f"{_package_name(key, package)}/versions/{digest}",
        "createTime": image.versions[digest],
        "updateTime": image.versions[digest],
        "relatedTags": [_tag_resource(key, package, tag, digest) for tag in tags],
        "metadata": {
            "imageSizeBytes": "0",
            "mediaType": _MEDIA_TYPE,
            "name": f"{_package_name(key, package)}",
        },
    }


def _tag_resource(key: Key, package: str, tag: str, digest: str) -> dict[str, Any]:
    name = _package_name(key, package)
    return {"name": f"{name}/tags/{tag}", "version": f"{name}/versions/{digest}"}
