"""Secret Manager: secrets, their versions and payloads, in memory.

REST API v1: https://cloud.google.com/secret-manager/docs/reference/rest
"""

import base64
import binascii
import re
import threading
from dataclasses import dataclass, field
from typing import Any

import google_crc32c

from localcloud.iam import AccountService
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.policies import Policies, Policy
from localcloud.projects import PROJECT_NUMBER
from localcloud.rights.callers import need
from localcloud.rights.tested import permissions_answer
from localcloud.routing import Route
from localcloud.times import now

MAX_PAYLOAD_BYTES = 64 * 1024
_SECRET_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_NUMBER = re.compile("[1-9][0-9]{0,8}")
_VERSION_NAME = re.compile(r"projects/([^/]+)/secrets/([^/]+)/versions/([^/]+)")
_TESTABLE = re.compile(r"secretmanager\.(secrets|versions)\..+")
_SECRETS = "/v1/projects/{project}/secrets"
_SECRET = _SECRETS + "/{secret}"
_VERSION = _SECRET + "/versions/{version}"


@dataclass
class Version:
    """One version of a secret."""

    number: int
    payload: bytes
    create_time: str = field(default_factory=now)
    state: str = "ENABLED"


@dataclass
class Secret:
    """A named secret."""

    secret_id: str
    settings: dict
    create_time: str = field(default_factory=now)
    versions: list[Version] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"projects/{PROJECT_NUMBER}/secrets/{self.secret_id}"

    def resource(self) -> dict:
        return {**self.settings, "name": self.name, "createTime": self.create_time}

    def version_resource(self, version: Version) -> dict:
        return {
            "name": f"{self.name}/versions/{version.number}",
            "createTime": version.create_time,
            "state": version.state,
            "clientSpecifiedPayloadChecksum": True,
        }


class SecretService:
    """The secrets of all projects."""

    def __init__(self, accounts: AccountService):
        self._secrets: dict[tuple[str, str], Secret] = {}
        self._policies = Policies(accounts.has)
        accounts.on_deletion.append(self._policies.rename_deleted)
        self._lock = threading.RLock()

    def routes(self) -> list[Route]:
        return [
            Route("POST", _SECRETS, self.create),
            Route("GET", _SECRETS, self.list),
            Route("POST", _SECRET + ":addVersion", self.add_version),
            Route("GET", _SECRET + ":getIamPolicy", self.get_policy),
            Route("POST", _SECRET + ":setIamPolicy", self.set_policy),
            Route("POST", _SECRET + ":testIamPermissions", self.test_permissions),
            Route("GET", _SECRET, self.get),
            Route("PATCH", _SECRET, self.update),
            Route("DELETE", _SECRET, self.delete),
            Route("GET", _SECRET + "/versions", self.list_versions),
            Route("GET", _VERSION + ":access", self.access),
            Route("POST", _VERSION + ":{action}", self.change_version),
            Route("GET", _VERSION, self.get_version),
        ]

    def forget_all(self) -> None:
        with self._lock:
            self._secrets.clear()
        self._policies.forget_all()

    def read(self, name: str) -> bytes:
        """Return the payload of a version, for the other services here.

        Raises
        ------
        ApiError
            The version does not exist, or is disabled or destroyed.
        """
        found = _VERSION_NAME.fullmatch(name)
        if not found:
            raise ApiError(400, f"{name} does not match projects/*/secrets/*/versions/*.")
        secret = self._secret(found[1], found[2])
        return _enabled(secret, self._version(secret, found[3])).payload

    def create(self, request: Request, project: str) -> Response:
        secret_id = request.query.get("secretId", "")
        if not _SECRET_ID.fullmatch(secret_id):
            raise ApiError(400, f"The provided Secret ID [{secret_id}] does not match the expected format.")
        settings = request.json()
        if "replication" not in settings:
            raise ApiError(400, "Field [secret.replication] is required.")
        with self._lock:
            if (project, secret_id) in self._secrets:
                name = f"projects/{PROJECT_NUMBER}/secrets/{secret_id}"
                raise ApiError(409, f"Secret [{name}] already exists.")
            secret = self._secrets[project, secret_id] = Secret(secret_id, settings)
        return json_response(secret.resource())

    def list(self, request: Request, project: str) -> Response:
        with self._lock:
            found = [s.resource() for (owner, _), s in sorted(self._secrets.items()) if owner == project]
        return json_response({"secrets": found, "totalSize": len(found)} if found else {})

    def get(self, request: Request, project: str, secret: str) -> Response:
        return json_response(self._secret(project, secret).resource())

    def update(self, request: Request, project: str, secret: str) -> Response:
        found = self._secret(project, secret)
        changes = request.json()
        for name in request.query.get("updateMask", "").split(","):
            if name in changes:
                found.settings[name] = changes[name]
        return json_response(found.resource())

    def delete(self, request: Request, project: str, secret: str) -> Response:
        with self._lock:
            self._secret(project, secret)
            del self._secrets[project, secret]
        self._policies.drop((project, secret))
        return json_response({})

    def get_policy(self, request: Request, project: str, secret: str) -> Response:
        self._secret(project, secret)
        return json_response(self._policies.get((project, secret)))

    def set_policy(self, request: Request, project: str, secret: str) -> Response:
        self._secret(project, secret)
        return json_response(self._policies.set((project, secret), request.json().get("policy")))

    def test_permissions(self, request: Request, project: str, secret: str) -> Response:
        """Return which permissions the caller has: none on a secret that is not there, as documented."""
        answer = permissions_answer(request, f"projects/{project}/secrets/{secret}", _TESTABLE)
        with self._lock:
            return answer if (project, secret) in self._secrets else json_response({})

    def policy(self, project: str, secret: str) -> Policy:
        return self._policies.get((project, secret))

    def add_version(self, request: Request, project: str, secret: str) -> Response:
        payload = _checked_payload(request.json().get("payload"))
        with self._lock:
            found = self._secret(project, secret)
            version = Version(len(found.versions) + 1, payload)
            found.versions.append(version)
        return json_response(found.version_resource(version))

    def list_versions(self, request: Request, project: str, secret: str) -> Response:
        found = self._secret(project, secret)
        resources = [found.version_resource(version) for version in reversed(found.versions)]
        return json_response({"versions": resources, "totalSize": len(resources)} if resources else {})

    def get_version(self, request: Request, project: str, secret: str, version: str) -> Response:
        found = self._secret(project, secret)
        return json_response(found.version_resource(self._version(found, version)))

    def access(self, request: Request, project: str, secret: str, version: str) -> Response:
        found = self._secret(project, secret)
        chosen = _enabled(found, self._version(found, version))
        payload = {
            "data": base64.b64encode(chosen.payload).decode(),
            "dataCrc32c": str(google_crc32c.value(chosen.payload)),
        }
        return json_response({"name": f"{found.name}/versions/{chosen.number}", "payload": payload})

    def change_version(
        self, request: Request, project: str, secret: str, version: str, action: str
    ) -> Response:
        states = {"enable": "ENABLED", "disable": "DISABLED", "destroy": "DESTROYED"}
        if action not in states:
            raise ApiError(404, f"A secret version has no method :{action}.")
        need(f"secretmanager.versions.{action}", f"projects/{project}/secrets/{secret}/versions/{version}")
        found = self._secret(project, secret)
        chosen = self._version(found, version)
        if chosen.state == "DESTROYED":
            message = f"Secret Version [{found.name}/versions/{chosen.number}] is in DESTROYED state."
            raise ApiError(400, message, status="FAILED_PRECONDITION")
        chosen.state = states[action]
        if chosen.state == "DESTROYED":
            chosen.payload = b""
        return json_response(found.version_resource(chosen))

    def _secret(self, project: str, secret_id: str) -> Secret:
        with self._lock:
            found = self._secrets.get((project, secret_id))
        if found is None:
            raise ApiError(404, f"Secret [projects/{PROJECT_NUMBER}/secrets/{secret_id}] not found.")
        return found

    def _version(self, secret: Secret, version: str) -> Version:
        """Return a version by number, or the newest for "latest"."""
        if not secret.versions:
            raise ApiError(404, f"Secret [{secret.name}] not found or has no versions.")
        if version == "latest":
            return secret.versions[-1]
        if not (_NUMBER.fullmatch(version) and int(version) <= len(secret.versions)):
            raise ApiError(404, f"Secret Version [{secret.name}/versions/{version}] not found.")
        return secret.versions[int(version) - 1]


def _enabled(secret: Secret, version: Version) -> Version:
    if version.state != "ENABLED":
        message = f"Secret Version [{secret.name}/versions/{version.number}] is in {version.state} state."
        raise ApiError(400, message, status="FAILED_PRECONDITION")
    return version


def _checked_payload(payload: Any) -> bytes:
    if not isinstance(payload, dict):
        raise ApiError(400, "A payload is required.")
    try:
        data = base64.b64decode(payload.get("data", ""), validate=True)
        checksum = payload.get("dataCrc32c")
        matches = checksum is None or int(checksum) == google_crc32c.value(data)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ApiError(400, f"Invalid payload: {error}") from error
    if not data:
        raise ApiError(400, "The secret payload is empty.")
    if len(data) > MAX_PAYLOAD_BYTES:
        raise ApiError(400, f"The secret payload is larger than the {MAX_PAYLOAD_BYTES} bytes allowed.")
    if not matches:
        raise ApiError(400, "The checksum of the payload does not match: it was corrupted on the way.")
    return data
