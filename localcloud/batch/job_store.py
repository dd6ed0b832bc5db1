"""The jobs of all projects, by name; when there are too many, the oldest finished ones are dropped.

They are kept in memory only: an emulator that restarts has no jobs.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any

from localcloud.batch.job import Job
from localcloud.messages import ApiError

MAX_JOBS = 5000
MAX_BYTES = 256 * 2**20  # of finished jobs together
REQUEST_SECONDS = 3600  # how long a repeated create request is recognised by its requestId
MAX_REQUESTS = 100_000

JobKey = tuple[str, str, str]  # project, location, job id


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
