"""Connectors: googleapis.* calls as a table, with their built-in retries and waiting.

https://cloud.google.com/workflows/docs/connectors. It is not documented what a connector does when a Batch
job ends FAILED: here create returns the job in any final state, and so it does with an execution. It is
documented that the workflow must encode the name of a storage object.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from localcloud.workflows import http_calls
from localcloud.workflows.attempts import Retry
from localcloud.workflows.blocks import Walker
from localcloud.workflows.errors import WorkflowError, error
from localcloud.workflows.json_text import from_json, json_bytes
from localcloud.workflows.library.http import HTTP_CONSTANTS
from localcloud.workflows.polling import ConnectorParams, wait_until

_AUTH = {"type": "OAuth2"}
_PARAMS = "connector_params"
_OWN_PROJECT = ("project_id", "GOOGLE_CLOUD_PROJECT_ID")

_BATCH = "https://batch.googleapis.com/v1/"
_STORAGE = "https://storage.googleapis.com/storage/v1/b/{bucket}/o"
_SECRETS = "https://secretmanager.googleapis.com/v1/"
_EXECUTIONS = "https://workflowexecutions.googleapis.com/v1/"
_WORKFLOW = "projects/{project_id}/locations/{location}/workflows/{workflow_id}"

_LIST = ("filter", "orderBy", "pageSize", "pageToken")
_GENERATIONS = (
    "generation",
    "ifGenerationMatch",
    "ifGenerationNotMatch",
    "ifMetagenerationMatch",
    "ifMetagenerationNotMatch",
    "userProject",
)
_FINAL_JOB_STATES = ("SUCCEEDED", "FAILED", "CANCELLED", "DELETION_IN_PROGRESS")


def _job_has_ended(job: dict[str, Any]) -> bool:
    return job.get("status", {}).get("state") in _FINAL_JOB_STATES


def _operation_has_ended(operation: dict[str, Any]) -> bool:
    return bool(operation.get("done"))


def _execution_has_ended(execution: dict[str, Any]) -> bool:
    return execution.get("state") not in ("ACTIVE", "QUEUED")


def _operation_response(operation: dict[str, Any]) -> Any:
    if "error" in operation:
        failed = operation["error"]
        raise error("OperationError", str(failed.get("message", "")), error=failed, operation=operation)
    return operation.get("response", operation)


def _execution_result(execution: dict[str, Any]) -> Any:
    if execution["state"] != "SUCCEEDED":
        message = f"the execution {execution['name']} ended {execution['state']}"
        raise error("OperationError", message, operation=execution)
    return from_json(execution.get("result", "null"))


def _new_execution(given: dict[str, Any]) -> dict[str, Any]:
    argument = json_bytes(given.get("argument")).decode()
    return {"argument": argument, "disableConcurrencyQuotaOverflowBuffering": True}


def _secret_text(answer: dict[str, Any]) -> str:
    return base64.b64decode(answer["payload"]["data"]).decode()


@dataclass(frozen=True)
class Connector:
    """One call of an API. The {parts} of the URL are required arguments, inserted as they are.

    With `has_ended`, the resource that the answer names is polled until that is true. `read` returns the
    result of the call.
    """

    method: str
    url: str
    query: tuple[str, ...] = ()
    has_body: bool = False
    defaults: tuple[tuple[str, Any], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()  # arguments with a default from the workflow's environment
    helper: tuple[str, ...] = ()  # arguments by position, if it may be called in an expression
    poll_url: str = ""
    has_ended: Callable[[dict[str, Any]], bool] | None = None
    read: Callable[[Any], Any] = lambda answer: answer
    read_unended: Callable[[Any], Any] = lambda answer: answer  # if polling is skipped
    body_of: Callable[[dict[str, Any]], Any] | None = None
    other: tuple[str, ...] = ()  # arguments for body_of

    @property
    def path_names(self) -> list[str]:
        return [name for _, name, _, _ in Formatter().parse(self.url) if name]

    @property
    def parameter_names(self) -> list[str]:
        body = ["body"] if self.has_body else []
        return [*self.path_names, *self.query, *self.other, *body, _PARAMS]


CONNECTORS = {
    "googleapis.batch.v1.projects.locations.jobs.create": Connector(
        "POST",
        _BATCH + "{parent}/jobs",
        ("jobId", "requestId"),
        has_body=True,
        poll_url=_BATCH,
        has_ended=_job_has_ended,
    ),
    "googleapis.batch.v1.projects.locations.jobs.get": Connector("GET", _BATCH + "{name}"),
    "googleapis.batch.v1.projects.locations.jobs.list": Connector("GET", _BATCH + "{parent}/jobs", _LIST),
    "googleapis.batch.v1.projects.locations.jobs.delete": Connector(
        "DELETE",
        _BATCH + "{name}",
        ("reason", "requestId"),
        poll_url=_BATCH,
        has_ended=_operation_has_ended,
        read=_operation_response,
    ),
    "googleapis.batch.v1.projects.locations.jobs.taskGroups.tasks.get": Connector("GET", _BATCH + "{name}"),
    "googleapis.batch.v1.projects.locations.jobs.taskGroups.tasks.list": Connector(
        "GET", _BATCH + "{parent}/tasks", _LIST
    ),
    "googleapis.storage.v1.objects.get": Connector(
        "GET", _STORAGE + "/{object}", ("alt", "projection", *_GENERATIONS)
    ),
    "googleapis.storage.v1.objects.list": Connector(
        "GET",
        _STORAGE,
        (
            "delimiter",
            "endOffset",
            "fields",
            "includeTrailingDelimiter",
            "matchGlob",
            "maxResults",
            "pageToken",
            "prefix",
            "projection",
            "startOffset",
            "userProject",
            "versions",
        ),
    ),
    "googleapis.storage.v1.objects.insert": Connector(
        "POST",
        "https://storage.googleapis.com/upload/storage/v1/b/{bucket}/o",
        ("name", "uploadType", "contentEncoding", "predefinedAcl", "projection", *_GENERATIONS[1:]),
        has_body=True,
        defaults=(("uploadType", "media"),),
    ),
    "googleapis.storage.v1.objects.delete": Connector("DELETE", _STORAGE + "/{object}", _GENERATIONS),
    "googleapis.secretmanager.v1.projects.secrets.versions.access": Connector(
        "GET", _SECRETS + "{name}:access"
    ),
    "googleapis.secretmanager.v1.projects.secrets.versions.accessString": Connector(
        "GET",
        _SECRETS + "projects/{project_id}/secrets/{secret_id}/versions/{version}:access",
        defaults=(("version", "latest"),),
        environment=(_OWN_PROJECT,),
        helper=("secret_id", "version", "project_id"),
        read=_secret_text,
    ),
    "googleapis.workflowexecutions.v1.projects.locations.workflows.executions.run": Connector(
        "POST",
        _EXECUTIONS + _WORKFLOW + "/executions",
        poll_url=_EXECUTIONS,
        has_ended=_execution_has_ended,
        read=_execution_result,
        read_unended=lambda execution: None,
        body_of=_new_execution,
        other=("argument",),
        environment=(_OWN_PROJECT, ("location", "GOOGLE_CLOUD_LOCATION")),
        helper=("workflow_id", "location", "project_id", "argument"),
    ),
    "googleapis.workflowexecutions.v1.projects.locations.workflows.executions.create": Connector(
        "POST",
        _EXECUTIONS + "{parent}/executions",
        has_body=True,
        poll_url=_EXECUTIONS,
        has_ended=_execution_has_ended,
    ),
    "googleapis.workflowexecutions.v1.projects.locations.workflows.executions.get": Connector(
        "GET", _EXECUTIONS + "{name}", ("view",)
    ),
    "googleapis.workflowexecutions.v1.projects.locations.workflows.executions.list": Connector(
        "GET", _EXECUTIONS + "{parent}/executions", (*_LIST, "view")
    ),
    "googleapis.workflowexecutions.v1.projects.locations.workflows.executions.cancel": Connector(
        "POST", _EXECUTIONS + "{name}:cancel"
    ),
    "googleapis.logging.v2.entries.write": Connector(
        "POST", "https://logging.googleapis.com/v2/entries:write", has_body=True
    ),
}


def call_by_position(strand: Walker, name: str, arguments: Sequence[Any]) -> Any:
    """Call a helper method by position, as an expression does."""
    return call(strand, name, dict(zip(CONNECTORS[name].helper, arguments, strict=False)))


def call(strand: Walker, name: str, arguments: dict[str, Any]) -> Any:
    """Call an API and wait for what it started, unless connector_params say not to."""
    connector = CONNECTORS[name]
    own = {each: strand.run.environment[variable] for each, variable in connector.environment}
    given = dict(connector.defaults) | own | arguments
    if unknown := given.keys() - set(connector.parameter_names):
        raise error("TypeError", f"{name} has no parameter {', '.join(sorted(unknown))}")
    for each in connector.path_names:
        if not isinstance(given.get(each), str):
            raise error("TypeError", f"{name} needs the argument {each}, a string")
    params = ConnectorParams.of(given.get(_PARAMS), strand)
    body = connector.body_of(given) if connector.body_of else given.get("body")
    url = connector.url.format_map(given)
    query = {each: given.get(each) for each in connector.query}
    answer = _send(strand, connector.method, url, params, query=query, body=body)
    if connector.has_ended is None:
        return connector.read(answer)
    if params.skip_polling:
        return connector.read_unended(answer)
    if not connector.has_ended(answer):
        poll_url = connector.poll_url + answer["name"]
        answer = wait_until(
            strand, connector.has_ended, lambda: _send(strand, "GET", poll_url, params), params, name
        )
    return connector.read(answer)


def _send(strand: Walker, method: str, url: str, params: ConnectorParams, **more: Any) -> Any:
    """Make a request and retry it as the policy for its method says, within the connector's timeout."""
    policy = "http.default_retry" if method == "GET" else "http.default_retry_non_idempotent"
    retry = Retry(HTTP_CONSTANTS[policy])
    while True:
        try:
            return http_calls.request(strand, method, url, auth=_AUTH, **more)["body"]
        except WorkflowError as failed:
            if not failed.is_catchable or not retry.allows_another(strand, failed):
                raise
        params.check_time(strand)
        retry.wait(strand)
