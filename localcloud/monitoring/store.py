"""The resources of one kind: of all projects, by id, in memory only."""

import re
import threading
from collections.abc import Callable
from typing import Any

from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_of
from localcloud.projects import PROJECT_NUMBER

Resource = dict[str, Any]
Key = tuple[str, str]  # project, id


class Store:
    """The resources of one kind, in the order in which they were made; `title` names the kind in errors."""

    def __init__(self, title: str):
        self._title = title
        self._resources: dict[Key, Resource] = {}
        self._lock = threading.RLock()

    def forget_all(self) -> None:
        with self._lock:
            self._resources.clear()

    def add(self, project: str, name: str, resource: Resource) -> None:
        with self._lock:
            if (project, name) in self._resources:
                raise ApiError(409, f"{self._title} {name} already exists.")
            self._resources[project, name] = resource

    def get(self, project: str, name: str) -> Resource:
        with self._lock:
            return self._resources[self._key(project, name)]

    def has(self, project: str, name: str) -> bool:
        with self._lock:
            return any(name == known and _is_of(project, owner) for owner, known in self._resources)

    def change(self, project: str, name: str, change: Callable[[Resource], Resource]) -> Resource:
        """Replace a resource with what `change` returns for it."""
        with self._lock:
            key = self._key(project, name)
            self._resources[key] = change(self._resources[key])
            return self._resources[key]

    def change_all(self, project: str, change: Callable[[Resource], Resource]) -> None:
        with self._lock:
            for key in [key for key in self._resources if _is_of(project, key[0])]:
                self._resources[key] = change(self._resources[key])

    def delete(self, project: str, name: str) -> None:
        with self._lock:
            del self._resources[self._key(project, name)]

    def all(self, project: str) -> list[Resource]:
        with self._lock:
            return [each for key, each in self._resources.items() if _is_of(project, key[0])]

    def page(self, name: str, request: Request, project: str) -> Response:
        resources = self.all(project)
        return json_response(page_of(name, zip(resources, resources, strict=True), request, 100, 1000))

    def _key(self, project: str, name: str) -> Key:
        """Return the key of a resource, whose project may be named by its number."""
        for owner, known in self._resources:
            if known == name and _is_of(project, owner):
                return owner, known
        raise ApiError(404, f"{self._title} {name} could not be found.")


def masked(request: Request, settable: tuple[str, ...]) -> tuple[str, ...]:
    """Return the fields that an update mask names, all without one; a part of a field counts as the field."""
    text = request.query.get("updateMask", "")
    names = [re.sub("_(.)", lambda found: found[1].upper(), each.strip()) for each in text.split(",") if each]
    names = [each.partition(".")[0] for each in names]
    if unknown := set(names) - set(settable):
        raise ApiError(400, f"The update mask names {sorted(unknown)[0]}, which cannot be changed.")
    return tuple(dict.fromkeys(names)) or settable


def _is_of(project: str, owner: str) -> bool:
    return project in (owner, PROJECT_NUMBER)
