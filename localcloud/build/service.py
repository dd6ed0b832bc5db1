"""The API of Cloud Build: create, get, list, cancel.

REST API v1: https://cloud.google.com/build/docs/api/reference/rest. Builds are kept in memory only.
"""

import shutil
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from localcloud.build.run import FINISHED, BuildRun
from localcloud.build.template import check_is_emulated, parse_build, substituted
from localcloud.filters import parse_filter
from localcloud.logs import LogService
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import DEFAULT_PAGE, MAX_PAGE, page_of
from localcloud.projects import DEFAULT_ACCOUNT, PROJECT_NUMBER
from localcloud.registry import RegistryService
from localcloud.rights.actors import Actors
from localcloud.rights.callers import need, need_to_act_as
from localcloud.routing import Route
from localcloud.secrets import SecretService
from localcloud.times import now

_TYPES = "type.googleapis.com/google.devtools.cloudbuild.v1"
_OPERATION, _BUILD = f"{_TYPES}.BuildOperationMetadata", f"{_TYPES}.Build"
_UNKNOWN, _CODES = 2, {"CANCELLED": 1, "TIMEOUT": 4}  # of google.rpc.Code
MAX_BUILDS = 1000
STOP_SECONDS = 5.0


class BuildService:
    """The builds of all projects. Each runs in its own thread, or stays QUEUED if `runs` is False."""

    def __init__(
        self,
        folder: Path,
        actors: Actors,
        secrets: SecretService,
        logs: LogService,
        registry: RegistryService,
        builders: Mapping[str, Sequence[str]],
        runs: bool = True,
    ):
        shutil.rmtree(folder, ignore_errors=True)  # left by an emulator that was killed
        self._folder, self._actors, self._secrets, self._logs = folder, actors, secrets, logs
        self._registry, self._builders, self._runs = registry, builders, runs
        self._builds: dict[str, BuildRun] = {}
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        routes = []
        for builds in ("/v1/projects/{project}/locations/{location}/builds", "/v1/projects/{project}/builds"):
            routes += [
                Route("POST", builds, self.create),
                Route("GET", builds, self.list),
                Route("POST", builds + "/{build}:cancel", self.cancel),
                Route("GET", builds + "/{build}", self.get),
            ]
        return [*routes, Route("GET", "/v1/operations/build/{project}/{build}", self.get_operation)]

    def page_routes(self) -> list[Route]:
        """Return the routes for a browser, which sends no token."""
        return [Route("GET", "/cloud-build/builds;region={location}/{build}", self.show_log)]

    def forget_all(self) -> None:
        self.stop()
        with self._lock:
            self._builds.clear()

    def stop(self) -> None:
        """Stop all running builds and wait until they are gone."""
        with self._lock:
            runs = [run for run in self._builds.values() if run.build["status"] not in FINISHED]
        for run in runs:
            run.stop("CANCELLED")
        until = time.monotonic() + STOP_SECONDS
        for run in runs if self._runs else ():
            run.has_ended.wait(max(until - time.monotonic(), 0))

    def create(self, request: Request, project: str, location: str = "global") -> Response:
        need("cloudbuild.builds.create", f"projects/{project}/locations/{location}")
        build = parse_build(request.json())
        if self._runs:
            check_is_emulated(build)
        build_id = str(uuid.uuid4())
        template = substituted(build, build_id, project, location)
        if account := template.get("serviceAccount"):
            need_to_act_as(account, project)
        build |= {
            "id": build_id,
            "name": f"projects/{PROJECT_NUMBER}/locations/{location}/builds/{build_id}",
            "projectId": project,
            "status": "QUEUED",
            "createTime": now(),
            "timeout": build.get("timeout", "3600s"),
            "images": template.get("images", []),
            "serviceAccount": template.get("serviceAccount", ""),
            "logUrl": f"{request.base_url}/cloud-build/builds;region={location}/{build_id}?project={project}",
        }
        actor = self._actors.as_(build["serviceAccount"].rpartition("/")[2] or DEFAULT_ACCOUNT)
        run = BuildRun(
            build, template, self._folder / build_id, self._builders, actor, self._writer(project, build_id)
        )
        with self._lock:
            self._builds[build_id] = run
            self._forget_oldest()
        answer = json_response(_operation(build))
        if self._runs:
            arguments = self._secrets.read, self._registry.push
            threading.Thread(target=run.run, args=arguments, daemon=True).start()
        return answer

    def get(self, request: Request, project: str, build: str, location: str = "global") -> Response:
        return json_response(self._found(project, build).build)

    def list(self, request: Request, project: str, location: str = "global") -> Response:
        with self._lock:
            builds = [run.build for run in reversed(self._builds.values())]
        in_location = f"/locations/{location}/"
        found = ((b, b) for b in builds if b["projectId"] == project and in_location in b["name"])
        return json_response(page_of("builds", found, request, DEFAULT_PAGE, MAX_PAGE))

    def cancel(self, request: Request, project: str, build: str, location: str = "global") -> Response:
        run = self._found(project, build)
        if run.build["status"] in FINISHED:
            raise ApiError(400, "The build has finished already.", status="FAILED_PRECONDITION")
        run.stop("CANCELLED")
        if not self._runs:
            run.build |= {"status": "CANCELLED", "finishTime": now()}
        return json_response(run.build)

    def show_log(self, request: Request, location: str, build: str) -> Response:
        """Answer with the text that `gcloud builds log` prints."""
        project = request.query.get("project", "")
        self._found(project, build)
        wanted = f'logName="projects/{project}/logs/cloudbuild" resource.labels.build_id="{build}"'
        lines = [f"{entry['textPayload']}\n" for entry in self._logs.select(parse_filter(wanted))]
        return Response(200, {"Content-Type": "text/plain; charset=UTF-8"}, "".join(lines).encode())

    def get_operation(self, request: Request, project: str, build: str) -> Response:
        return json_response(_operation(self._found(project, build).build))

    def _found(self, project: str, build_id: str) -> BuildRun:
        with self._lock:
            run = self._builds.get(build_id)
        if run is None or run.build["projectId"] != project:
            raise ApiError(404, "Requested entity was not found.")
        return run

    def _forget_oldest(self) -> None:
        finished = [i for i, run in self._builds.items() if run.build["status"] in FINISHED]
        for build_id in finished[: max(0, len(self._builds) - MAX_BUILDS)]:
            del self._builds[build_id]

    def _writer(self, project: str, build_id: str):
        def write(line: str, step: str) -> None:
            self._logs.write(
                {
                    "logName": f"projects/{project}/logs/cloudbuild",
                    "resource": {
                        "type": "build",
                        "labels": {"build_id": build_id, "build_trigger_id": "", "project_id": project},
                    },
                    "labels": {"build_step": step or "MAIN"},
                    "severity": "INFO",
                    "textPayload": line,
                }
            )

        return write


def _operation(build: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "name": f"operations/build/{build['projectId']}/{build['id']}",
        "metadata": {"@type": _OPERATION, "build": build},
    }
    if build["status"] == "SUCCESS":
        operation |= {"done": True, "response": {"@type": _BUILD, **build}}
    elif build["status"] in FINISHED:
        code = _CODES.get(build["status"], _UNKNOWN)
        message = f"Build failed with status {build['status']}; check build logs for details"
        operation |= {"done": True, "error": {"code": code, "message": message}}
    return operation
