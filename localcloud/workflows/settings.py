"""The settings of a workflow and of an execution, checked as the APIs check them."""

import re
from typing import Any

from localcloud.filters import camel_case
from localcloud.messages import ApiError
from localcloud.projects import DEFAULT_ACCOUNT
from localcloud.workflows.json_text import from_json
from localcloud.workflows.limits import (
    ARGUMENT_BYTES,
    DESCRIPTION_CHARACTERS,
    LABELS,
    SOURCE_BYTES,
    USER_VARIABLE_BYTES,
    USER_VARIABLES,
)

CALL_LOG_LEVELS = ("CALL_LOG_LEVEL_UNSPECIFIED", "LOG_ALL_CALLS", "LOG_ERRORS_ONLY", "LOG_NONE")
_HISTORY_LEVELS = (
    "EXECUTION_HISTORY_LEVEL_UNSPECIFIED",
    "EXECUTION_HISTORY_BASIC",
    "EXECUTION_HISTORY_DETAILED",
)
_WORKFLOW_FIELDS = {
    "callLogLevel",
    "cryptoKeyName",
    "description",
    "executionHistoryLevel",
    "labels",
    "serviceAccount",
    "sourceContents",
    "tags",
    "userEnvVars",
}
_TEXTS = ("cryptoKeyName", "description", "serviceAccount", "sourceContents")
# Fields that the service sets; if a client sends them back, they are ignored.
_OUTPUT_FIELDS = {"createTime", "name", "revisionCreateTime", "revisionId", "state", "updateTime"}
_EXECUTION_FIELDS = {
    "argument",
    "callLogLevel",
    "disableConcurrencyQuotaOverflowBuffering",
    "executionHistoryLevel",
    "labels",
    "name",
}
_WORKFLOW_ID = re.compile(r"[A-Za-z](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?")
_LABEL_KEY = re.compile(r"[a-z\u00df-\uffff][a-z0-9_\u00df-\uffff-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_\u00df-\uffff-]{0,63}")
_OWN_VARIABLES = ("GOOGLE", "WORKFLOWS")


def check_workflow_id(workflow_id: str) -> None:
    if not _WORKFLOW_ID.fullmatch(workflow_id):
        raise ApiError(400, f"The workflow id {workflow_id!r} is not 1 to 64 of letters, digits, _ and -.")


def settable(body: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a client gives for a workflow; an unknown field is refused."""
    if unknown := body.keys() - _WORKFLOW_FIELDS - _OUTPUT_FIELDS:
        raise _unknown_field(unknown)
    return {name: value for name, value in body.items() if name in _WORKFLOW_FIELDS and value is not None}


def masked(body: dict[str, Any], update_mask: str) -> dict[str, Any]:
    """Return the settings that an update changes; a field that is in the mask but not sent becomes None."""
    given = settable(body)
    names = [camel_case(name.strip()) for name in update_mask.split(",") if name.strip()]
    if unknown := set(names) - _WORKFLOW_FIELDS:
        raise ApiError(400, f"The update mask has the unknown field {sorted(unknown)[0]}.")
    return {name: given.get(name) for name in names} if names else given


def check_settings(settings: dict[str, Any]) -> None:
    for name in _TEXTS:
        if not isinstance(settings.get(name, ""), str):
            raise ApiError(400, f"{name} must be text.")
    if len(settings.get("sourceContents", "").encode()) > SOURCE_BYTES:
        raise ApiError(400, f"sourceContents must be text of {SOURCE_BYTES} bytes at most.")
    if len(settings.get("description", "")) > DESCRIPTION_CHARACTERS:
        raise ApiError(400, f"The description must have {DESCRIPTION_CHARACTERS} characters at most.")
    _check_labels(settings.get("labels", {}))
    _check_choice(settings, "callLogLevel", CALL_LOG_LEVELS)
    _check_choice(settings, "executionHistoryLevel", _HISTORY_LEVELS)
    _check_variables(settings.get("userEnvVars", {}))


def execution_settings(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the checked settings that a client gives for an execution."""
    if unknown := asked.keys() - _EXECUTION_FIELDS:
        raise _unknown_field(unknown)
    body = {name: value for name, value in asked.items() if value is not None}
    argument = body.get("argument", "")
    if not isinstance(argument, str):
        raise ApiError(400, "The argument must be JSON text.")
    if len(argument.encode()) > ARGUMENT_BYTES:
        raise ApiError(400, f"The argument has more than {ARGUMENT_BYTES} bytes.")
    try:
        from_json(argument or "null")
    except ValueError as wrong:
        raise ApiError(400, f"The argument is not JSON: {wrong}") from wrong
    _check_labels(body.get("labels", {}))
    _check_choice(body, "callLogLevel", CALL_LOG_LEVELS)
    _check_choice(body, "executionHistoryLevel", _HISTORY_LEVELS)
    _check_choice(body, "disableConcurrencyQuotaOverflowBuffering", (False, True))
    return body


def service_account(given: str, project: str) -> str:
    """Return the full name of an account: projects/P/serviceAccounts/EMAIL."""
    account = given.rpartition("/")[2] or DEFAULT_ACCOUNT
    return f"projects/{project}/serviceAccounts/{account}"


def _check_labels(labels: Any) -> None:
    if not isinstance(labels, dict) or len(labels) > LABELS:
        raise ApiError(400, f"Labels must be a map of {LABELS} at most.")
    for key, value in labels.items():
        if not (_LABEL_KEY.fullmatch(key) and isinstance(value, str) and _LABEL_VALUE.fullmatch(value)):
            raise ApiError(400, f"The label {key}={value} is not of lowercase letters, digits, _ and -.")


def _check_variables(variables: Any) -> None:
    if not isinstance(variables, dict) or len(variables) > USER_VARIABLES:
        raise ApiError(400, f"userEnvVars must be a map of {USER_VARIABLES} at most.")
    for key, value in variables.items():
        if not key or key.startswith(_OWN_VARIABLES):
            raise ApiError(
                400, f"The key {key!r} of userEnvVars is empty or begins with GOOGLE or WORKFLOWS."
            )
        if not isinstance(value, str) or max(len(key.encode()), len(value.encode())) > USER_VARIABLE_BYTES:
            raise ApiError(400, f"{key} of userEnvVars is not text of {USER_VARIABLE_BYTES} bytes at most.")


def _check_choice(settings: dict[str, Any], name: str, choices: tuple[Any, ...]) -> None:
    if settings.get(name, choices[0]) not in choices:
        raise ApiError(400, f"{name} {settings[name]!r} is not one of {', '.join(map(str, choices))}.")


def _unknown_field(unknown: set[str]) -> ApiError:
    return ApiError(400, f'Unknown name "{sorted(unknown)[0]}": Cannot find field.')
