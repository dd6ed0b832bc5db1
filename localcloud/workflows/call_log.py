"""What an execution writes to Cloud Logging: sys.log, its calls according to callLogLevel, and its end.

The log names and fields of calls and ends follow google.cloud.workflows.type from memory and could not be
checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from localcloud.logs import LogService
from localcloud.workflows.errors import WorkflowError

SYS_LOG = "Workflows"
CALLS_LOG = "workflows.googleapis.com%2Fengine_call"
EXECUTIONS_LOG = "workflows.googleapis.com%2Fexecutions_system"
_CALL_TYPE = "type.googleapis.com/google.cloud.workflows.type.EngineCallLog"
_EXECUTION_TYPE = "type.googleapis.com/google.cloud.workflows.type.ExecutionsSystemLog"


@dataclass
class LoggedCall:
    """A call in progress, and its result once it has one."""

    result: Any = None


@dataclass(frozen=True)
class CallLog:
    """The log of one execution; nothing is written without `logs`, or if the workflow's account may not.

    `may_log` is called once, before the first entry. It is documented that the account needs
    roles/logging.logWriter, not what is lost without it: here all entries, and the execution goes on.
    https://cloud.google.com/workflows/docs/log-workflow
    """

    logs: LogService | None = None
    project: str = ""
    location: str = ""
    workflow_id: str = ""
    revision_id: str = ""
    execution_id: str = ""
    level: str = "LOG_NONE"
    may_log: Callable[[], bool] = lambda: True

    def write(self, payload: Any, severity: str, log: str = SYS_LOG) -> None:
        """Write an entry: a text payload for text, a JSON payload for a map."""
        if self.logs is None or not self._is_kept:
            return
        is_map = isinstance(payload, dict)
        self.logs.write(
            {
                "logName": f"projects/{self.project}/logs/{log}",
                "resource": {
                    "type": "workflows.googleapis.com/Workflow",
                    "labels": {
                        "project_id": self.project,
                        "location": self.location,
                        "workflow_id": self.workflow_id,
                        "revision_id": self.revision_id,
                    },
                },
                "labels": {"workflows.googleapis.com/execution_id": self.execution_id},
                "severity": severity,
                "jsonPayload" if is_map else "textPayload": payload,
            }
        )

    @contextmanager
    def call(self, step: str, callee: str, arguments: Any) -> Iterator[LoggedCall]:
        """Log the start and the end of a call, if the level asks for it."""
        logged = LoggedCall()
        if self.level == "LOG_ALL_CALLS":
            self._write_call(step, callee, "BEGUN", {"begun": {"args": arguments}})
        try:
            yield logged
        except WorkflowError as failed:
            if self.level in ("LOG_ALL_CALLS", "LOG_ERRORS_ONLY"):
                details = {"exceptionRaised": {"exception": {"payload": failed.value}}}
                self._write_call(step, callee, "EXCEPTION_RAISED", details, "ERROR")
            raise
        if self.level == "LOG_ALL_CALLS":
            self._write_call(step, callee, "SUCCEEDED", {"succeeded": {"response": logged.result}})

    def write_end(self, state: str, failed: dict[str, Any] | None) -> None:
        """Log a failure with its error; log any other end only if all calls are logged."""
        payload = {"@type": _EXECUTION_TYPE, "state": state}
        if failed:
            payload["failure"] = {"exception": failed["payload"], "source": failed["context"]}
            self.write(payload, "ERROR", EXECUTIONS_LOG)
        elif self.level == "LOG_ALL_CALLS":
            self.write(payload, "INFO", EXECUTIONS_LOG)

    @cached_property
    def _is_kept(self) -> bool:
        return self.may_log()

    def _write_call(
        self, step: str, callee: str, state: str, details: dict[str, Any], severity: str = "INFO"
    ) -> None:
        payload = {"@type": _CALL_TYPE, "step": step, "callee": callee, "state": state, **_plain(details)}
        self.write(payload, severity, CALLS_LOG)


def _plain(value: Any) -> Any:
    """Return a value with placeholders for what JSON cannot represent."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | None) else f"<{type(value).__name__}>"
