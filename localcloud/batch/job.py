"""A job: its definition, its state, and its events so far."""

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

from localcloud.batch.definition import as_text, spec_of
from localcloud.batch.tasks import FAILED, TaskTable
from localcloud.times import at

QUEUED, SCHEDULED, JOB_RUNNING = "QUEUED", "SCHEDULED", "RUNNING"
SUCCEEDED, JOB_FAILED, CANCELLED = "SUCCEEDED", "FAILED", "CANCELLED"
CANCELLING, DELETING = "CANCELLATION_IN_PROGRESS", "DELETION_IN_PROGRESS"
OVER = (SUCCEEDED, JOB_FAILED, CANCELLED)
UID_BYTES_OF_ID = 40  # a uid must fit in a label's value of 63 characters
EMPTY_BYTES = 1000  # memory of a job besides its definition and tasks


class Stoppable(Protocol):
    """A running task, which can be stopped."""

    def stop(self) -> None: ...


class Job:
    """One job; the lock of the job store must be held to read or change it."""

    def __init__(self, project: str, location: str, job_id: str, definition: Mapping[str, Any], number: int):
        self.project, self.location, self.job_id = project, location, job_id
        self.number = number  # in order of creation
        random = uuid.uuid4().hex
        self.uid = f"{job_id[:UID_BYTES_OF_ID]}-{random[:8]}-{random[8:12]}-0"
        self.definition = as_text(definition)
        self.spec = spec_of(definition)
        self.zone = self.spec.zone
        self.tasks = TaskTable(self.spec.task_count)
        self.state = QUEUED
        self.created = self.updated = time.time()
        self.running_since = 0.0
        self.run_seconds = 0.0
        self.running: dict[int, Stoppable] = {}  # tasks that are processes or containers, by index
        self.stops_as = ""  # the state it enters once its tasks have stopped
        self._events: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/jobs/{self.job_id}"

    @property
    def group(self) -> str:
        return f"{self.name}/taskGroups/group0"

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def size_bytes(self) -> int:
        """Return about how much memory it takes once it is over."""
        return EMPTY_BYTES + 2 * len(self.definition) + self.tasks.size_bytes

    def move(self, state: str, why: str = "") -> None:
        """Set its state and add the event that reports it."""
        text = f"Job state is set from {self.state} to {state} for job {self.name}."
        now = time.time()
        if state == JOB_RUNNING:
            self.running_since = now
        elif self.running_since and state in OVER:
            self.run_seconds = now - self.running_since
        self.state = state
        self._add_event("STATUS_CHANGED", f"{text} {why}".rstrip(), now)

    def note(self, text: str) -> None:
        """Add an event that does not change its state, unless it has the same one already."""
        if all(event["description"] != text for event in self._events):
            self._add_event("OPERATIONAL_INFO", text, time.time())

    def end(self, state: str, why: str = "") -> None:
        """Set its final state and free what only a running job needs."""
        failed = next(self.tasks.indices(0, FAILED), None)
        if state == JOB_FAILED and failed is not None and not why:
            event = self.tasks.last_failure(failed, self.group, self.zone)
            why = (
                "Job failed due to task failure. Specifically, task with index "
                f'{failed} failed due to the following task event: "{event}"'
            )
        self.move(state, why)
        self.spec = None

    def resource(self) -> dict[str, Any]:
        definition = json.loads(self.definition)
        definition["taskGroups"][0]["name"] = self.group
        ran = self.run_seconds
        if self.running_since and not self.is_over:
            ran = time.time() - self.running_since
        status: dict[str, Any] = {"state": self.state, "runDuration": f"{ran:.6f}s"}
        if self._events:
            status["statusEvents"] = self._events
        status["taskGroups"] = {"group0": {"counts": self.tasks.counts_by_name()}}
        return {
            "name": self.name,
            "uid": self.uid,
            **definition,
            "status": status,
            "createTime": at(self.created),
            "updateTime": at(self.updated),
        }

    def _add_event(self, kind: str, text: str, when: float) -> None:
        self._events.append({"type": kind, "description": text, "eventTime": at(when)})
        self.updated = when
