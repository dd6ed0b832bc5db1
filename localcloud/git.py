"""Git repositories over HTTP with basic authentication, as GitHub serves private ones: /git/OWNER/NAME.git.

Git's own http-backend answers; this module decides who may read what. A repository of this machine is offered
with POST /_emulator/git {"repository": "owner/name", "path": "/folder", "token": "..."}; without a token it
is public. As on GitHub, a refusal does not reveal whether a private repository exists.
"""

import base64
import binascii
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcloud.control import PREFIX
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.routing import Route

READ_BYTES = 64 * 1024
# As on GitHub, a commit may be fetched by its full id. A folder may belong to another user.
_CONFIG = {"safe.directory": "*", "uploadpack.allowReachableSHA1InWant": "true", "http.receivepack": "false"}


@dataclass(frozen=True)
class Repository:
    """A repository on disk, and the token that gives access to it."""

    path: Path
    token: str = ""


class GitService:
    """Serves clones and fetches; nothing can be pushed."""

    def __init__(self):
        self._repositories: dict[str, Repository] = {}
        self._lock = threading.Lock()

    def control_routes(self) -> list[Route]:
        return [Route("POST", PREFIX + "git", self.offer)]

    def routes(self) -> list[Route]:
        repository = "/git/{owner}/{name}"
        return [
            Route("GET", repository + "/info/refs", self.serve, _plain),
            Route("POST", repository + "/git-upload-pack", self.serve, _plain),
        ]

    def forget_all(self) -> None:
        with self._lock:
            self._repositories.clear()

    def offer(self, request: Request) -> Response:
        try:
            asked = json.loads(request.read_all())
            name, path, token = asked["repository"], Path(asked["path"]), asked.get("token", "")
        except (ValueError, KeyError, TypeError) as error:
            raise ApiError(
                400, f"repository and path are needed, and token for a private one: {error}"
            ) from error
        if not (path / "HEAD").is_file():
            path = path / ".git"
        if not (path / "HEAD").is_file():
            raise ApiError(400, f"{asked['path']} is not a git repository.")
        with self._lock:
            self._repositories[name] = Repository(path, token)
        return json_response({"address": f"{request.base_url}/git/{name}.git"})

    def serve(self, request: Request, owner: str, name: str) -> Response:
        repository = self._opened(request, f"{owner}/{name.removesuffix('.git')}")
        service = request.path.split("/", 4)[4]
        return _backend(request, repository, f"/{service}")

    def _opened(self, request: Request, name: str) -> Repository:
        """Return a repository if the request's token gives access, or refuse as GitHub does."""
        with self._lock:
            found = self._repositories.get(name)
            tokens = {each.token for each in self._repositories.values() if each.token}
        token = _password(request)
        if found and not found.token:
            return found
        if not token:
            raise ApiError(401, "Repository not found.", headers={"WWW-Authenticate": 'Basic realm="GitHub"'})
        if token not in tokens:
            raise ApiError(
                401, "Invalid username or token.", headers={"WWW-Authenticate": 'Basic realm="GitHub"'}
            )
        if not found or token != found.token:
            raise ApiError(404, "Repository not found.")
        return found


def _password(request: Request) -> str:
    """Return the password of basic authentication, which carries the token."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _plain(error: ApiError) -> Response:
    """Return an error as plain text, the only type that git shows to its user."""
    return Response(error.code, {"Content-Type": "text/plain", **error.headers}, error.message.encode())


def _backend(request: Request, repository: Repository, service: str) -> Response:
    """Run git's http-backend and pass on its answer as it arrives."""
    backend = subprocess.Popen(
        ["git", "http-backend"],
        env=_environment(request, repository, service),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        backend.stdin.write(request.read_all())
        backend.stdin.close()
    except BrokenPipeError:
        pass  # it stopped reading; its answer says why
    headers = {}
    while line := backend.stdout.readline().decode("latin-1").rstrip("\r\n"):
        field, _, value = line.partition(":")
        headers[field] = value.strip()
    status = int(headers.pop("Status", "200").split()[0])
    return Response(status, headers, _Output(backend))


def _environment(request: Request, repository: Repository, service: str) -> dict[str, str]:
    variables = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_PROJECT_ROOT": str(repository.path),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": service,
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.target.partition("?")[2],
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "GIT_CONFIG_COUNT": str(len(_CONFIG)),
    }
    for number, (key, value) in enumerate(_CONFIG.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


class _Output:
    """The output of a program, in pieces; the program ends with the answer."""

    def __init__(self, process: subprocess.Popen):
        self._process = process

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._process.stdout.read1(READ_BYTES), b"")

    def close(self) -> None:
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()
