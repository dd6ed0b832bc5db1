"""Jobs: each with its definition, state and events so far, and the store of all of them by name.

They are kept in memory only: an emulator that restarts has no jobs. When there are too many, the oldest
finished ones are dropped.
"""

import json
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

from localcloud.batch.agents import Agent
from localcloud.batch.definition import as_text, spec_of
from localcloud.batch.tasks import FAILED, TaskTable
from localcloud.messages import ApiError
from localcloud.times import at

QUEUED, SCHEDULED, JOB_RUNNING = "QUEUED", "SCHEDULED", "RUNNING"
SUCCEEDED, JOB_FAILED, CANCELLED = "SUCCEEDED", "FAILED", "CANCELLED"
CANCELLING, DELETING = "CANCELLATION_IN_PROGRESS", "DELETION_IN_PROGRESS"
OVER = (SUCCEEDED, JOB_FAILED, CANCELLED)
UID_BYTES_OF_ID = 40  # a uid must fit in a label's value of 63 characters
EMPTY_BYTES = 1000  # memory of a job besides its definition and tasks
MAX_JOBS = 5000
MAX_BYTES = 256 * 2**20  # of finished jobs together
REQUEST_SECONDS = 3600  # how long a repeated create request is recognised by its requestId
MAX_REQUESTS = 100_000

JobKey = tuple[str, str, str]  # project, location, job id


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
        self.agent = Agent()  # until it has machines
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


class JobStore:
    """All jobs. Its lock protects each job and its tasks."""

    def __init__(self):
        self.lock = threading.RLock()
        self._jobs: dict[JobKey, Job] = {}  # in order of creation
        self._number = 0
        self._finished_bytes = 0
        self._requests: dict[tuple[str, str, str], tuple[float, JobKey]] = {}

    def create(
        self, project: str, location: str, job_id: str, definition: Mapping[str, Any], request_id: str = ""
    ) -> tuple[Job, bool]:
        """Return a job and whether it is new: a repeated request gets the job it created first.

        Raises
        ------
        ApiError
            409: another request has created a job of this name.
        """
        request = (project, location, request_id)
        with self.lock:
            known = self._known(request) if request_id else None
            if known:
                return known, False
            key = (project, location, job_id)
            if key in self._jobs:
                raise ApiError(409, f"Resource '{self._jobs[key].name}' already exists")
            self._number += 1
            job = self._jobs[key] = Job(project, location, job_id, definition, self._number)
            if request_id:
                self._requests[request] = (time.monotonic(), key)
            self._trim()
            return job, True

    def find(self, project: str, location: str, job_id: str) -> Job:
        with self.lock:
            found = self._jobs.get((project, location, job_id))
        if found is None:
            name = f"projects/{project}/locations/{location}/jobs/{job_id}"
            raise ApiError(404, f"Resource '{name}' was not found")
        return found

    def all_of(self, project: str, location: str) -> list[Job]:
        """Return the jobs of a location, or of all locations for "-", in order of creation."""
        with self.lock:
            return [j for (p, at, _), j in self._jobs.items() if p == project and location in (at, "-")]

    def keep(self, job: Job) -> None:
        """Count the memory of a job that is over; drop the oldest such jobs if the total is too large."""
        with self.lock:
            self._finished_bytes += job.size_bytes
            self._trim()

    def remove(self, job: Job) -> None:
        with self.lock:
            key = (job.project, job.location, job.job_id)
            if self._jobs.get(key) is job:
                del self._jobs[key]
                if job.is_over:
                    self._finished_bytes -= job.size_bytes

    def forget_requests(self) -> None:
        with self.lock:
            self._requests.clear()

    def all(self) -> list[Job]:
        with self.lock:
            return list(self._jobs.values())

    def _known(self, request: tuple[str, str, str]) -> Job | None:
        when, key = self._requests.get(request, (0.0, None))
        is_recent = key is not None and time.monotonic() - when < REQUEST_SECONDS
        return self._jobs.get(key) if is_recent else None

    def _trim(self) -> None:
        while len(self._requests) > MAX_REQUESTS:
            del self._requests[next(iter(self._requests))]
        if len(self._jobs) <= MAX_JOBS and self._finished_bytes <= MAX_BYTES:
            return
        for job in [job for job in self._jobs.values() if job.is_over]:
            if len(self._jobs) <= MAX_JOBS and self._finished_bytes <= MAX_BYTES:
                return
            self.remove(job)
