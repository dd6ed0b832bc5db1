"""Service Usage: which APIs a project has enabled, and how a disabled API refuses.

REST API v1: https://cloud.google.com/service-usage/docs/reference/rest. Every API is enabled until it is
disabled. Storage always answers, because its requests name a bucket and not a project.
"""

import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from localcloud.iam import EVENTARC_AGENT, AccountService
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_of
from localcloud.projects import PROJECT_NUMBER, Projects
from localcloud.routing import Handler, Route
from localcloud.shapes import check_shape, without_nulls

TITLES = {
    "aiplatform": "Vertex AI API",
    "artifactregistry": "Artifact Registry API",
    "batch": "Batch API",
    "billingbudgets": "Cloud Billing Budget API",
    "cloudbilling": "Cloud Billing API",
    "cloudbuild": "Cloud Build API",
    "cloudquotas": "Cloud Quotas API",
    "cloudresourcemanager": "Cloud Resource Manager API",
    "compute": "Compute Engine API",
    "config": "Infrastructure Manager API",
    "eventarc": "Eventarc API",
    "eventarcpublishing": "Eventarc Publishing API",
    "iam": "Identity and Access Management (IAM) API",
    "logging": "Cloud Logging API",
    "monitoring": "Cloud Monitoring API",
    "pubsub": "Cloud Pub/Sub API",
    "run": "Cloud Run Admin API",
    "secretmanager": "Secret Manager API",
    "serviceusage": "Service Usage API",
    "storage": "Cloud Storage API",
    "workflowexecutions": "Workflow Executions API",
    "workflows": "Workflows API",
}
_DOMAIN = ".googleapis.com"
_SERVICES = "/v1/projects/{project}/services"
_SERVICE = _SERVICES + "/{service}"
_HELP, _INFO = (f"type.googleapis.com/google.rpc.{name}" for name in ("Help", "ErrorInfo"))
# The account that an API has in a project, before .iam.gserviceaccount.com; some have none.
_AGENTS = {
    "aiplatform": "gcp-sa-aiplatform",
    "artifactregistry": "gcp-sa-artifactregistry",
    "cloudbuild": "gcp-sa-cloudbuild",
    "config": "gcp-sa-config",
    "eventarc": EVENTARC_AGENT,
    "pubsub": "gcp-sa-pubsub",
    "run": "serverless-robot-prod",
    "workflows": "gcp-sa-workflows",
}
_IDENTITY = "type.googleapis.com/google.api.serviceusage.v1beta1.ServiceIdentity"
_OPERATION = "type.googleapis.com/google.api.serviceusage.v1."


class ServiceUsage:
    """The APIs of all projects."""

    def __init__(self, projects: Projects, accounts: AccountService):
        self._projects, self._accounts = projects, accounts
        self._disabled: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        return [
            Route("GET", _SERVICES, self.list),
            Route("POST", _SERVICES + ":batchEnable", self.enable_several),
            Route("POST", _SERVICE + ":enable", self.enable),
            Route("POST", _SERVICE + ":disable", self.disable),
            Route("POST", _SERVICE.replace("v1", "v1beta1") + ":generateServiceIdentity", self.identify),
            Route("GET", _SERVICE, self.get),
        ]

    def forget_all(self) -> None:
        with self._lock:
            self._disabled.clear()

    def guarded(self, api: str, routes: Sequence[Route]) -> list[Route]:
        """Return an API's routes, changed to refuse a project that does not exist or has it disabled."""
        return [replace(route, handler=self._guard(api, route.handler)) for route in routes]

    def _guard(self, api: str, handler: Handler) -> Handler:
        def guarded(request: Request, **arguments: str) -> Response:
            project = arguments.get("project", "-")
            if not self._projects.exist(project):
                raise _no_such_project(api, project)
            if not self._is_enabled(project, api):
                raise _disabled(api)
            return handler(request, **arguments)

        return guarded

    def list(self, request: Request, project: str) -> Response:
        self._need(project)
        resources = [self._resource(project, api) for api in TITLES]
        found = zip(resources, resources, strict=True)
        return json_response(page_of("services", found, request, 50, 200))

    def get(self, request: Request, project: str, service: str) -> Response:
        self._need(project)
        return json_response(self._resource(project, _known(service)))

    def enable(self, request: Request, project: str, service: str) -> Response:
        self._need(project)
        with self._lock:
            self._disabled.discard((project, _known(service)))
        response = {
            "@type": _OPERATION + "EnableServiceResponse",
            "service": self._resource(project, _known(service)),
        }
        return json_response(_done(response))

    def enable_several(self, request: Request, project: str) -> Response:
        self._need(project)
        asked = without_nulls(request.json())
        check_shape(asked, {"serviceIds": [str]}, "body")
        apis = [_known(name) for name in asked.get("serviceIds", [])]
        with self._lock:
            self._disabled -= {(project, api) for api in apis}
        resources = [self._resource(project, api) for api in apis]
        return json_response(
            _done({"@type": _OPERATION + "BatchEnableServicesResponse", "services": resources})
        )

    def disable(self, request: Request, project: str, service: str) -> Response:
        self._need(project)
        with self._lock:
            self._disabled.add((project, _known(service)))
        response = {
            "@type": _OPERATION + "DisableServiceResponse",
            "service": self._resource(project, _known(service)),
        }
        return json_response(_done(response))

    def identify(self, request: Request, project: str, service: str) -> Response:
        """Make the account that an API itself has in a project, if it has one."""
        self._need(project)
        agent = _AGENTS.get(_known(service))
        number = str(int.from_bytes(service.encode()[:8]))[:21]
        found = {"email": self._accounts.agent(agent), "uniqueId": number} if agent else {}
        return json_response(_done({"@type": _IDENTITY, **found}))

    def _need(self, project: str) -> None:
        if not self._projects.exist(project):
            raise _no_such_project("serviceusage", project)

    def _is_enabled(self, project: str, api: str) -> bool:
        with self._lock:
            if project == PROJECT_NUMBER:  # that of every project
                return api not in {disabled for _, disabled in self._disabled}
            return (project, api) not in self._disabled

    def _resource(self, project: str, api: str) -> dict[str, Any]:
        return {
            "name": f"projects/{PROJECT_NUMBER}/services/{api}{_DOMAIN}",
            "config": {"name": f"{api}{_DOMAIN}", "title": TITLES[api]},
            "state": "ENABLED" if self._is_enabled(project, api) else "DISABLED",
            "parent": f"projects/{PROJECT_NUMBER}",
        }


def _known(service: str) -> str:
    """Return the name of an API without its domain."""
    api = service.removesuffix(_DOMAIN)
    if api not in TITLES or api == service:
        raise ApiError(404, f"Service {service} not found or permission denied.")
    return api


def _done(response: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"operations/acat.{uuid.uuid4()}", "done": True, "response": response}


def _disabled(api: str) -> ApiError:
    address = (
        f"https://console.developers.google.com/apis/api/{api}{_DOMAIN}/overview?project={PROJECT_NUMBER}"
    )
    message = (
        f"{TITLES[api]} has not been used in project {PROJECT_NUMBER} before or it is disabled. Enable it by "
        f"visiting {address} then retry. If you enabled this API recently, wait a few minutes for the action "
        "to propagate to our systems and retry."
    )
    link = {"description": "Google developers console API activation", "url": address}
    metadata = {
        "service": f"{api}{_DOMAIN}",
        "consumer": f"projects/{PROJECT_NUMBER}",
        "activationUrl": address,
    }
    return ApiError(
        403,
        message,
        reason="accessNotConfigured",
        details=[_links(link), _info("SERVICE_DISABLED", metadata)],
    )


def _no_such_project(api: str, project: str) -> ApiError:
    metadata = {"service": f"{api}{_DOMAIN}", "consumer": f"projects/{project}"}
    message = f"Permission denied on resource project {project}."
    return ApiError(403, message, details=[_info("CONSUMER_INVALID", metadata)])


def _links(*links: dict[str, str]) -> dict[str, Any]:
    return {"@type": _HELP, "links": list(links)}


def _info(reason: str, metadata: dict[str, str]) -> dict[str, Any]:
    return {"@type": _INFO, "reason": reason, "domain": "googleapis.com", "metadata": metadata}
