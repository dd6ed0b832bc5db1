"""Infrastructure Manager put together: the routes of its REST API, as gcloud uses them.

https://cloud.google.com/infrastructure-manager/docs/reference/rest. It checks blueprints, plans them where a
Terraform is given, and creates no resources.
"""

from pathlib import Path
from urllib.parse import quote

from localcloud.control import PREFIX as CONTROL
from localcloud.iam import AccountService
from localcloud.infra.builds import Builds
from localcloud.infra.deployments import Deployments
from localcloud.infra.operations import PREFIX, Operations
from localcloud.infra.previews import Previews
from localcloud.infra.sources import Sources
from localcloud.infra.terraform import Terraform
from localcloud.infra.versions import SUPPORTED
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_of
from localcloud.projects import Projects
from localcloud.rights.actors import Actors
from localcloud.routing import Route
from localcloud.storage.service import StorageService
from localcloud.times import Clock

_LOCATION = "/v1/projects/{project}/locations/{location}"
_DEPLOYMENTS = _LOCATION + "/deployments"
_DEPLOYMENT = _DEPLOYMENTS + "/{deployment}"
_PREVIEWS = _LOCATION + "/previews"
_PREVIEW = _PREVIEWS + "/{preview}"
_VERSIONS = _LOCATION + "/terraformVersions"
MAX_SECONDS = 3600.0  # that a test may have a run take


class InfraService:
    """Deployments and previews of all projects."""

    def __init__(
        self,
        storage: StorageService,
        accounts: AccountService,
        projects: Projects,
        actors: Actors,
        folder: Path,
        terraform: Path | None = None,
        clock_speed: float = 1.0,
    ):
        runner = Terraform(terraform, folder) if terraform else None
        sources = Sources(storage.buckets, storage.objects)
        self._actors = actors
        self._operations = Operations()
        self._builds = Builds(sources, projects, Clock(clock_speed), runner, actors)
        self._deployments = Deployments(accounts, self._builds, self._operations)
        self._previews = Previews(accounts, self._builds, self._operations, self._deployments)

    def routes(self) -> list[Route]:
        return [
            Route("POST", _DEPLOYMENTS, self.create),
            Route("GET", _DEPLOYMENTS, self.list),
            Route("GET", _DEPLOYMENT, self.get),
            Route("PATCH", _DEPLOYMENT, self.update),
            Route("DELETE", _DEPLOYMENT, self.delete),
            Route("GET", _DEPLOYMENT + "/revisions", self.list_revisions),
            Route("GET", _DEPLOYMENT + "/revisions/{revision}", self.get_revision),
            Route("POST", _PREVIEWS, self.create_preview),
            Route("GET", _PREVIEWS, self.list_previews),
            Route("POST", _PREVIEW + ":export", self.export_preview),
            Route("GET", _PREVIEW, self.get_preview),
            Route("DELETE", _PREVIEW, self.delete_preview),
            Route("GET", _VERSIONS, self.list_versions),
            Route("GET", _VERSIONS + "/{version}", self.get_version),
            Route("GET", _LOCATION + f"/operations/{PREFIX}{{operation}}", self.get_operation),
        ]

    def control_routes(self) -> list[Route]:
        return [Route("POST", CONTROL + "infra", self.order), Route("GET", CONTROL + "infra", self.show)]

    def forget_all(self) -> None:
        self._builds.order(0, "")
        self._previews.forget_all()
        self._deployments.forget_all()
        self._operations.forget_all()

    def create(self, request: Request, project: str, location: str) -> Response:
        key = project, location, request.query.get("deploymentId", "")
        return json_response(self._deployments.create(key, request.json()))

    def list(self, request: Request, project: str, location: str) -> Response:
        return _page("deployments", self._deployments.in_location(project, location), request)

    def get(self, request: Request, project: str, location: str, deployment: str) -> Response:
        return json_response(self._deployments.get((project, location, deployment)))

    def update(self, request: Request, project: str, location: str, deployment: str) -> Response:
        if request.query.get("updateMask", "*") != "*":
            raise ApiError(400, "localcloud replaces a deployment's settings as a whole, without updateMask.")
        return json_response(self._deployments.update((project, location, deployment), request.json()))

    def delete(self, request: Request, project: str, location: str, deployment: str) -> Response:
        force = request.query.get("force", "").lower() == "true"
        policy = request.query.get("deletePolicy", "")
        return json_response(self._deployments.delete((project, location, deployment), force, policy))

    def list_revisions(self, request: Request, project: str, location: str, deployment: str) -> Response:
        return _page("revisions", self._deployments.revisions((project, location, deployment)), request)

    def get_revision(
        self, request: Request, project: str, location: str, deployment: str, revision: str
    ) -> Response:
        for each in self._deployments.revisions((project, location, deployment)):
            if each["name"].rpartition("/")[2] == revision:
                return json_response(each)
        raise ApiError(404, f"Revision '{revision}' of deployment '{deployment}' was not found")

    def create_preview(self, request: Request, project: str, location: str) -> Response:
        wanted = request.query.get("previewId", "")
        return json_response(self._previews.create(project, location, wanted, request.json()))

    def list_previews(self, request: Request, project: str, location: str) -> Response:
        return _page("previews", self._previews.in_location(project, location), request)

    def get_preview(self, request: Request, project: str, location: str, preview: str) -> Response:
        return json_response(self._previews.get((project, location, preview)))

    def delete_preview(self, request: Request, project: str, location: str, preview: str) -> Response:
        return json_response(self._previews.delete((project, location, preview)))

    def export_preview(self, request: Request, project: str, location: str, preview: str) -> Response:
        """Return addresses of a preview's plan, which anyone can read."""
        bucket, _, folder = (
            self._previews.plan((project, location, preview)).removeprefix("gs://").partition("/")
        )

        def address(name: str) -> str:
            path = quote(f"{folder}/{name}", safe="")
            return f"{self._actors.main['storage']}/storage/v1/b/{bucket}/o/{path}?alt=media"

        uris = {"binarySignedUri": address("tfplan"), "jsonSignedUri": address("tfplan.json")}
        return json_response({"result": uris})

    def list_versions(self, request: Request, project: str, location: str) -> Response:
        return _page("terraformVersions", [_version(project, location, each) for each in SUPPORTED], request)

    def get_version(self, request: Request, project: str, location: str, version: str) -> Response:
        if version not in SUPPORTED:
            raise ApiError(404, f"Terraform version '{version}' was not found")
        return json_response(_version(project, location, version))

    def get_operation(self, request: Request, project: str, location: str, operation: str) -> Response:
        name = f"projects/{project}/locations/{location}/operations/{PREFIX}{operation}"
        return json_response(self._operations.get(name))

    def order(self, request: Request) -> Response:
        """Have runs take a time, or fail: {"seconds": 2, "failure": "Error 409: it exists"}."""
        asked = request.json()
        seconds, failure = asked.get("seconds", 0), asked.get("failure", "")
        is_time = isinstance(seconds, int | float) and 0 <= seconds <= MAX_SECONDS
        if asked.keys() - {"seconds", "failure"} or not is_time or not isinstance(failure, str):
            raise ApiError(400, f'"seconds" from 0 to {MAX_SECONDS:g} and "failure", a text, can be ordered.')
        self._builds.order(float(seconds), failure)
        return self.show(request)

    def show(self, request: Request) -> Response:
        return json_response(self._builds.ordered())


def _page(name: str, found: list[dict], request: Request) -> Response:
    return json_response(page_of(name, zip(found, found, strict=True), request, 100, 1000))


def _version(project: str, location: str, version: str) -> dict[str, str]:
    name = f"projects/{project}/locations/{location}/terraformVersions/{version}"
    return {"name": name, "state": "ACTIVE"}
