"""Notification channels: https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.notificationChannels.

Nothing is ever sent to them.
"""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from localcloud.labels import check_labels
from localcloud.messages import ApiError, Request, Response, json_response, read_as
from localcloud.monitoring.rules import invalid
from localcloud.monitoring.store import Resource, Store, masked
from localcloud.routing import Route
from localcloud.times import now

_CHANNELS = "/v3/projects/{project}/notificationChannels"
_CHANNEL = _CHANNELS + "/{channel}"
# The label of each type, and how its value looks; the service has further types.
_TYPES = {
    "email": ("email_address", re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")),
    "pubsub": ("topic", re.compile(r"projects/[^/]+/topics/[^/]+")),
    "sms": ("number", re.compile(r"\+\d{6,15}")),
    "webhook_tokenauth": ("url", re.compile(r"https://\S+")),
}
_SETTABLE = ("type", "displayName", "description", "labels", "userLabels", "enabled")

Users = Callable[[str, str], Sequence[str]]  # project and channel: the policies that name it


class Channels:
    """The channels of all projects; a channel that policies name is deleted by force only."""

    def __init__(self, users_of: Users, forget_channel: Callable[[str, str], None]):
        self._store = Store("Notification channel")
        self._users_of, self._forget_channel = users_of, forget_channel
        self.forget_all, self.has = self._store.forget_all, self._store.has

    def routes(self) -> list[Route]:
        return [
            Route("POST", _CHANNELS, self.create),
            Route("GET", _CHANNELS, self.list),
            Route("GET", _CHANNEL, self.get),
            Route("PATCH", _CHANNEL, self.change),
            Route("DELETE", _CHANNEL, self.delete),
        ]

    def create(self, request: Request, project: str) -> Response:
        number = str(secrets.randbelow(9 * 10**18) + 10**18)
        made = {
            "name": f"projects/{project}/notificationChannels/{number}",
            "enabled": True,
            **_checked(request.json()),
            "creationRecord": {"mutateTime": now()},
            "mutationRecords": [{"mutateTime": now()}],
        }
        self._store.add(project, number, made)
        return json_response(made)

    def list(self, request: Request, project: str) -> Response:
        return self._store.page("notificationChannels", request, project)

    def get(self, request: Request, project: str, channel: str) -> Response:
        return json_response(self._store.get(project, channel))

    def change(self, request: Request, project: str, channel: str) -> Response:
        """Replace the fields that the mask names, or all of them."""
        asked, mask = request.json(), masked(request, _SETTABLE)

        def changed(old: Resource) -> Resource:
            kept = {name: old[name] for name in _SETTABLE if name in old and name not in mask}
            new = {name: asked[name] for name in mask if name in asked}
            fixed = {name: old[name] for name in ("name", "creationRecord")}
            records = [{"mutateTime": now()}, *old["mutationRecords"]]
            return {**fixed, "enabled": True, **_checked({**kept, **new}), "mutationRecords": records}

        return json_response(self._store.change(project, channel, changed))

    def delete(self, request: Request, project: str, channel: str) -> Response:
        self._store.get(project, channel)
        users = self._users_of(project, channel)
        if users and request.query.get("force", "").lower() != "true":
            reason = f"The notification channel is used by {len(users)} alert policies: {', '.join(users)}."
            raise ApiError(400, reason, status="FAILED_PRECONDITION")
        self._forget_channel(project, channel)
        self._store.delete(project, channel)
        return json_response({})


def _checked(body: Mapping[str, Any]) -> Resource:
    """Return what is settable of a channel, as the service writes it, or refuse it."""
    from google.cloud.monitoring_v3 import NotificationChannel

    asked = read_as(NotificationChannel, body)
    kind, labels = asked.get("type", ""), asked.get("labels", {})
    if kind not in _TYPES:
        raise invalid("notification_channel.type", kind, f"localcloud has {', '.join(_TYPES)}.")
    label, form = _TYPES[kind]
    if not form.fullmatch(labels.get(label, "")):
        raise invalid(f'notification_channel.labels["{label}"]', labels.get(label, ""), "it is not valid.")
    if unknown := labels.keys() - {label, "password"}:
        raise invalid("notification_channel.labels", sorted(unknown)[0], f"{kind} has no such label.")
    check_labels(asked.get("userLabels", {}))
    return {name: asked[name] for name in _SETTABLE if name in asked}
