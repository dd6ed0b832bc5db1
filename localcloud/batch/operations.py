"""Long-running operations: the answers to cancel and delete, and whether they are done.

The newest 5,000 are kept.
"""

import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

from localcloud.batch.jobs import Job, JobStore
from localcloud.messages import ApiError
from localcloud.times import now

MAX_OPERATIONS = 5000
PREFIX = "batch-"  # other services have operations under the same path
_TYPES = "type.googleapis.com/"
_RESPONSES = {"cancel": "google.cloud.batch.v1.CancelJobResponse", "delete": "google.protobuf.Empty"}


@dataclass(frozen=True)
class Operation:
    """A request to cancel or delete a job, which may be gone by now."""

    project: str
    location: str
    job_id: str
    uid: str
    verb: str  # cancel, delete
    create_time: str = field(default_factory=now)
    operation_id: str = field(default_factory=lambda: f"{PREFIX}{uuid.uuid4()}")


class Operations:
    def __init__(self, store: JobStore):
        self._store = store
        self._known: dict[tuple[str, str, str], Operation] = {}
        self._lock = threading.Lock()

    def forget_all(self) -> None:
        with self._lock:
            self._known.clear()

    def begin(self, job: Job, verb: str) -> dict[str, Any]:
        """Store an operation on a job and return it as a resource."""
        operation = Operation(job.project, job.location, job.job_id, job.uid, verb)
        with self._lock:
            self._known[job.project, job.location, operation.operation_id] = operation
            while len(self._known) > MAX_OPERATIONS:
                del self._known[next(iter(self._known))]
        return self._resource(operation)

    def find(self, project: str, location: str, operation_id: str) -> dict[str, Any]:
        with self._lock:
            found = self._known.get((project, location, operation_id))
        if found is None:
            name = f"projects/{project}/locations/{location}/operations/{operation_id}"
            raise ApiError(404, f"Resource '{name}' was not found")
        return self._resource(found)

    def _resource(self, operation: Operation) -> dict[str, Any]:
        parent = f"projects/{operation.project}/locations/{operation.location}"
        resource: dict[str, Any] = {
            "name": f"{parent}/operations/{operation.operation_id}",
            "metadata": {
                "@type": f"{_TYPES}google.cloud.batch.v1.OperationMetadata",
                "createTime": operation.create_time,
                "target": f"{parent}/jobs/{operation.job_id}",
                "verb": operation.verb,
                "requestedCancellation": False,
                "apiVersion": "v1",
            },
            "done": self._is_done(operation),
        }
        if resource["done"]:
            resource["response"] = {"@type": _TYPES + _RESPONSES[operation.verb]}
        return resource

    def _is_done(self, operation: Operation) -> bool:
        try:
            job = self._store.find(operation.project, operation.location, operation.job_id)
        except ApiError:
            return True
        return job.uid != operation.uid or (operation.verb == "cancel" and job.is_over)
