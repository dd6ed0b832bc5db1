"""Executions: the record of each, the thread it runs on, and the queue of those that wait for a thread.

A finished execution keeps its argument, its result or error, and its last step; only the newest ones keep the
history of their steps.
"""

from __future__ import annotations

import itertools
import sys
import threading
import traceback
import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from localcloud import times
from localcloud.identity import Identity
from localcloud.logs import LogService
from localcloud.messages import ApiError
from localcloud.projects import PROJECT_NUMBER
from localcloud.rights.actors import Actors, unenforced
from localcloud.times import Clock, now
from localcloud.workflows.call_log import CallLog
from localcloud.workflows.deployments import Revision, Workflow
from localcloud.workflows.errors import Stopped, WorkflowError, error
from localcloud.workflows.history import History, OnStep
from localcloud.workflows.hosts import CALLBACK_HOST, Hosts
from localcloud.workflows.http_client import HttpClient
from localcloud.workflows.json_text import from_json, json_bytes
from localcloud.workflows.limits import BACKLOG
from localcloud.workflows.run import ACCOUNT, Run
from localcloud.workflows.strand import run_main

MAX_RUNNING = 300  # threads; the service runs 10,000 at once. Others wait as QUEUED.
MAX_FINISHED = 3000  # the service keeps them for 90 days
MAX_HISTORIES = 100  # of finished executions
RECURSION_LIMIT = 3000  # of Python: 20 nested calls, each inside deeply nested steps

_TOO_DEEP = error("RecursionError", "steps or values are nested too deeply")

FINISHED = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass
class Execution:
    """One execution; `run` is set while it is ACTIVE, and `number` grows with each execution."""

    number: int
    execution_id: str
    workflow: Workflow
    revision: Revision
    settings: dict[str, Any]
    create_time: str = field(default_factory=now)
    state: str = "QUEUED"
    start_time: str = ""
    end_time: str = ""
    result: str | None = None
    error: dict[str, Any] | None = None
    last_steps: list[dict[str, str]] = field(default_factory=list)
    run: Run | None = None
    history: History | None = None
    peak_memory_bytes: int = 0  # of its variables, once it has ended
    labels: dict[str, str] = field(init=False)  # at the time of creation

    def __post_init__(self):
        self.labels = {**self.workflow.common.get("labels", {}), **self.settings.get("labels", {})}

    @property
    def name(self) -> str:
        workflow = self.workflow
        place = f"projects/{PROJECT_NUMBER}/locations/{workflow.location}/workflows/{workflow.workflow_id}"
        return f"{place}/executions/{self.execution_id}"

    @property
    def call_log_level(self) -> str:
        levels = (self.settings.get("callLogLevel", ""), self.revision.settings.get("callLogLevel", ""))
        return next((level for level in levels if level and "UNSPECIFIED" not in level), "LOG_NONE")

    def current_steps(self) -> list[dict[str, str]]:
        run = self.run
        return run.current_steps() if run else self.last_steps

    def resource(self) -> dict[str, Any]:
        steps = self.current_steps()
        shown = {
            **self.summary(),
            "createTime": self.create_time,
            "argument": self.settings.get("argument"),
            "result": self.result,
            "error": self.error,
            "callLogLevel": self.settings.get("callLogLevel"),
            "executionHistoryLevel": self.settings.get("executionHistoryLevel"),
            "labels": self.labels or None,
            "status": {"currentSteps": steps} if steps else None,
        }
        return {name: value for name, value in shown.items() if value is not None}

    def summary(self) -> dict[str, Any]:
        """Return the BASIC view."""
        shown = {
            "name": self.name,
            "state": self.state,
            "startTime": self.start_time,
            "endTime": self.end_time,
            "duration": self._duration(),
            "workflowRevisionId": self.revision.revision_id,
        }
        return {name: value for name, value in shown.items() if value}

    def _duration(self) -> str:
        if not self.start_time:
            return ""
        seconds = times.parse(self.end_time or now()) - times.parse(self.start_time)
        return f"{seconds.total_seconds():.6f}s"


class Executions:
    """All executions; starts them, cancels them and drops the oldest."""

    def __init__(
        self,
        logs: LogService,
        hosts: Hosts,
        clock: Clock,
        on_step: OnStep | None = None,
        identity: Identity | None = None,
        actors: Actors | None = None,
    ):
        self._logs, self._hosts, self._clock, self._on_step = logs, hosts, clock, on_step
        self._identity, self._actors = identity or Identity(), actors or unenforced({})
        self._executions: OrderedDict[str, Execution] = OrderedDict()
        self._finished: deque[str] = deque()
        self._with_history: deque[Execution] = deque()
        self._waiting: deque[Execution] = deque()
        self._running = 0
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION_LIMIT))

    def create(self, workflow: Workflow, settings: dict[str, Any]) -> Execution:
        """Start an execution of the newest revision, or queue it."""
        number = next(self._numbers)
        execution = Execution(number, str(uuid.uuid4()), workflow, workflow.newest, settings)
        with self._lock:
            is_full = self._running >= MAX_RUNNING
            cannot_wait = settings.get("disableConcurrencyQuotaOverflowBuffering")
            if is_full and (cannot_wait or len(self._waiting) >= BACKLOG):
                raise ApiError(429, "Quota exceeded: concurrent executions.")
            self._executions[execution.execution_id] = execution
            self._waiting.append(execution)
            self._start_waiting()
        return execution

    def get(self, workflow: Workflow, execution_id: str) -> Execution:
        found = self.find(execution_id)
        if found is None or found.workflow is not workflow:
            name = f"{workflow.name}/executions/{execution_id}"
            raise ApiError(404, f"Workflow execution '{name}' does not exist.")
        return found

    def find(self, execution_id: str) -> Execution | None:
        with self._lock:
            return self._executions.get(execution_id)

    def list(self, workflow: Workflow) -> list[Execution]:
        """Return the executions of a workflow, newest first."""
        with self._lock:
            return [each for each in reversed(self._executions.values()) if each.workflow is workflow]

    def cancel(self, execution: Execution) -> None:
        """Mark an execution as cancelled now; its thread stops as soon as it can."""
        with self._lock:
            if execution.state in FINISHED:
                message = f"Execution {execution.name} is already {execution.state}."
                raise ApiError(400, message, status="FAILED_PRECONDITION")
            self._end(execution, "CANCELLED")

    def forget(self, workflow: Workflow) -> None:
        with self._lock:
            for execution in self.list(workflow):
                self._drop(execution)

    def forget_all(self) -> None:
        with self._lock:
            for execution in list(self._executions.values()):
                self._drop(execution)
            self._finished.clear()
            self._with_history.clear()
            self._waiting.clear()

    def _drop(self, execution: Execution) -> None:
        if execution.state not in FINISHED:
            self._end(execution, "CANCELLED")
        self._executions.pop(execution.execution_id, None)

    def _start_waiting(self) -> None:
        """Start waiting executions while there are free threads; the lock must be held."""
        while self._waiting and self._running < MAX_RUNNING:
            execution = self._waiting.popleft()
            if execution.state != "QUEUED":
                continue
            self._running += 1
            execution.run = self._run_of(execution)
            execution.history = execution.run.history
            execution.start_time = now()
            execution.state = "ACTIVE"
            threading.Thread(target=self._run, args=(execution, execution.run), daemon=True).start()

    def _run(self, execution: Execution, run: Run) -> None:
        """Run an execution to its end on this thread."""
        state, result, failed = "SUCCEEDED", None, None
        try:
            argument = from_json(execution.settings.get("argument") or "null")
            result = json_bytes(run_main(run, argument)).decode()
        except Stopped:
            state = "CANCELLED"
        except WorkflowError as raised:
            state, failed = "FAILED", _error_resource(raised)
        except RecursionError:
            state, failed = "FAILED", _TOO_DEEP.resource()
        except Exception as fault:  # a bug of the emulator, not an error of the workflow
            traceback.print_exc()
            raised = error("SystemError", f"localcloud failed, see its stderr: {fault!r}")
            state, failed = "FAILED", raised.resource()
        with self._lock:
            self._running -= 1
            if execution.state == "ACTIVE":
                self._end(execution, state, result, failed)
            self._start_waiting()

    def _end(
        self,
        execution: Execution,
        state: str,
        result: str | None = None,
        failed: dict[str, Any] | None = None,
    ) -> None:
        """Record the end of an execution and free what it ran with; the lock must be held."""
        run = execution.run
        execution.last_steps = execution.current_steps()
        if run:
            execution.peak_memory_bytes = run.memory.peak_bytes
            run.cancel()
            run.call_log.write_end(state, failed)
            self._with_history.append(execution)
        execution.result, execution.error, execution.end_time = result, failed, now()
        execution.run = None
        execution.state = state  # last: readers without the lock take everything else as done then
        self._finished.append(execution.execution_id)
        while len(self._with_history) > MAX_HISTORIES:
            self._with_history.popleft().history = None
        while len(self._finished) > MAX_FINISHED:
            self._executions.pop(self._finished.popleft(), None)

    def _run_of(self, execution: Execution) -> Run:
        workflow, revision = execution.workflow, execution.revision
        environment = _environment(execution)
        actor = self._actors.as_(environment[ACCOUNT])
        return Run(
            execution.execution_id,
            revision.program,
            environment,
            self._clock,
            HttpClient(self._hosts),
            CallLog(
                self._logs,
                workflow.project,
                workflow.location,
                workflow.workflow_id,
                revision.revision_id,
                execution.execution_id,
                execution.call_log_level,
                lambda: actor.may_log(workflow.project),
            ),
            f"{self._hosts.get(CALLBACK_HOST, '')}/v1/{execution.name}/callbacks",
            self._on_step,
            self._identity,
            actor.token,
        )


def _error_resource(failed: WorkflowError) -> dict[str, Any]:
    """Return an error as the API shows it."""
    try:
        return failed.resource()
    except RecursionError:  # its value is nested too deeply for JSON
        return _TOO_DEEP.resource()


def _environment(execution: Execution) -> dict[str, str]:
    """Return the variables of sys.get_env.

    https://cloud.google.com/workflows/docs/reference/environment-variables
    """
    workflow, revision = execution.workflow, execution.revision
    return {
        **revision.settings.get("userEnvVars", {}),
        "GOOGLE_CLOUD_PROJECT_ID": workflow.project,
        "GOOGLE_CLOUD_PROJECT_NUMBER": PROJECT_NUMBER,
        "GOOGLE_CLOUD_LOCATION": workflow.location,
        "GOOGLE_CLOUD_WORKFLOW_ID": workflow.workflow_id,
        "GOOGLE_CLOUD_WORKFLOW_REVISION_ID": revision.revision_id,
        "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": execution.execution_id,
        ACCOUNT: revision.settings["serviceAccount"].rpartition("/")[2],
    }
