"""Long-running operations: what each works on, and how far it is. Finished ones are kept, up to a number."""

import threading
import uuid
from collections import OrderedDict
from typing import Any

from localcloud.messages import ApiError
from localcloud.times import now

PREFIX = "infra-"  # other services have operations on the same port and path
MAX_OPERATIONS = 1000
TYPES = "type.googleapis.com/google.cloud.config.v1."


class Operations:
    def __init__(self):
        self._operations: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, target: str, verb: str) -> dict[str, Any]:
        """Return a new operation, as it is answered, on the resource of that name."""
        place = "/".join(target.split("/")[:4])
        metadata = {
            "@type": TYPES + "OperationMetadata",
            "createTime": now(),
            "target": target,
            "verb": verb,
            "requestedCancellation": False,
            "apiVersion": "v1",
        }
        name = f"{place}/operations/{PREFIX}{uuid.uuid4()}"
        operation = {"name": name, "metadata": metadata, "done": False}
        with self._lock:
            self._operations[name] = operation
            while len(self._operations) > MAX_OPERATIONS:
                self._operations.popitem(last=False)
        return operation

    def report(self, name: str, kind: str, **facts: Any) -> None:
        """Add facts, such as the step, to the metadata of a kind: deploymentMetadata or previewMetadata."""
        with self._lock:
            if operation := self._operations.get(name):
                metadata = operation["metadata"]
                changed = {**metadata, kind: {**metadata.get(kind, {}), **facts}}
                self._operations[name] = {**operation, "metadata": changed}

    def finish(self, name: str, response: dict[str, Any], error: str = "") -> None:
        """End an operation with a resource, or with an error."""
        with self._lock:
            if operation := self._operations.get(name):
                metadata = {**operation["metadata"], "endTime": now()}
                outcome = {"error": {"code": 9, "message": error}} if error else {"response": response}
                self._operations[name] = {**operation, "metadata": metadata, "done": True, **outcome}

    def get(self, name: str) -> dict[str, Any]:
        with self._lock:
            if found := self._operations.get(name):
                return found
        raise ApiError(404, f"Resource '{name}' was not found")

    def forget_all(self) -> None:
        with self._lock:
            self._operations.clear()
