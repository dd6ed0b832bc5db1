"""Eventarc put together: triggers, their operations, and the events on their way.

Routes as gcloud uses them: https://cloud.google.com/eventarc/docs/reference/rest. What a trigger refers to is
checked when it is created, not by the operation.
"""

import threading
import uuid
from collections import OrderedDict
from typing import Any

from localcloud.control import PREFIX
from localcloud.eventarc.chain import Chain
from localcloud.eventarc.deliveries import Deliveries
from localcloud.eventarc.triggers import Trigger, Triggers
from localcloud.iam import AccountService
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_of
from localcloud.rights.actors import Actors
from localcloud.routing import Route
from localcloud.storage.buckets import Buckets
from localcloud.times import Clock, now
from localcloud.workflows.service import WorkflowService

_LOCATION = "/v1/projects/{project}/locations/{location}"
_TRIGGERS = _LOCATION + "/triggers"
_TRIGGER = _TRIGGERS + "/{trigger}"
_OPERATION_PREFIX = "eventarc-"  # other services have operations on the same port and path
MAX_OPERATIONS = 1000
_TYPES = "type.googleapis.com/google.cloud.eventarc.v1."


class EventarcService:
    """Triggers of all projects; `observe` is to be called with each object that is finalized."""

    def __init__(
        self,
        buckets: Buckets,
        workflows: WorkflowService,
        accounts: AccountService,
        actors: Actors,
        clock_speed: float = 1.0,
    ):
        chain = Chain(actors)
        self._triggers = Triggers(buckets, workflows, accounts, chain)
        self._deliveries = Deliveries(self._triggers, workflows, Clock(clock_speed), chain)
        self._operations: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()
        self.observe = self._deliveries.observe

    def routes(self) -> list[Route]:
        return [
            Route("POST", _TRIGGERS, self.create),
            Route("GET", _TRIGGERS, self.list),
            Route("GET", _TRIGGER, self.get),
            Route("PATCH", _TRIGGER, self.change),
            Route("DELETE", _TRIGGER, self.delete),
            Route("GET", _LOCATION + f"/operations/{_OPERATION_PREFIX}{{operation}}", self.get_operation),
        ]

    def control_routes(self) -> list[Route]:
        return [
            Route("POST", PREFIX + "eventarc", self.order),
            Route("GET", PREFIX + "eventarc", self.show),
        ]

    def forget_all(self) -> None:
        self._triggers.forget_all()
        self._deliveries.forget_all()
        with self._lock:
            self._operations.clear()

    def create(self, request: Request, project: str, location: str) -> Response:
        key = project, location, request.query.get("triggerId", "")
        trigger = self._triggers.create(key, request.json())
        return self._begin(trigger, "create")

    def list(self, request: Request, project: str, location: str) -> Response:
        resources = [trigger.resource() for trigger in self._triggers.in_location(project, location)]
        return json_response(page_of("triggers", zip(resources, resources, strict=True), request, 100, 1000))

    def get(self, request: Request, project: str, location: str, trigger: str) -> Response:
        return json_response(self._triggers.get((project, location, trigger)).resource())

    def change(self, request: Request, project: str, location: str, trigger: str) -> Response:
        key, mask = (project, location, trigger), request.query.get("updateMask", "")
        return self._begin(self._triggers.change(key, request.json(), mask), "update")

    def delete(self, request: Request, project: str, location: str, trigger: str) -> Response:
        """Delete a trigger; its events that are on their way are dropped."""
        return self._begin(self._triggers.delete((project, location, trigger)), "delete")

    def get_operation(self, request: Request, project: str, location: str, operation: str) -> Response:
        with self._lock:
            found = self._operations.get(_OPERATION_PREFIX + operation)
        if found is None:
            raise ApiError(404, f"Operation {_OPERATION_PREFIX}{operation} does not exist.")
        return json_response(found)

    def order(self, request: Request) -> Response:
        self._deliveries.order(request.json())
        return self.show(request)

    def show(self, request: Request) -> Response:
        return json_response(self._deliveries.describe())

    def _begin(self, trigger: Trigger, verb: str) -> Response:
        """Answer with an operation that goes on, and keep it as it is once it is done."""
        operation_id = _OPERATION_PREFIX + str(uuid.uuid4())
        metadata = {
            "@type": _TYPES + "OperationMetadata",
            "createTime": now(),
            "target": trigger.name,
            "verb": verb,
            "requestedCancellation": False,
            "apiVersion": "v1",
        }
        place = trigger.name.partition("/triggers/")[0]
        begun = {"name": f"{place}/operations/{operation_id}", "metadata": metadata, "done": False}
        response = {"@type": _TYPES + "Trigger", **trigger.resource()}
        done = {**begun, "metadata": {**metadata, "endTime": now()}, "done": True, "response": response}
        with self._lock:
            self._operations[operation_id] = done
            while len(self._operations) > MAX_OPERATIONS:
                self._operations.popitem(last=False)
        return json_response(begun)
