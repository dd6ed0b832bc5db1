"""Deliveries: an event starts an execution of the trigger's workflow, later than the upload, at least once.

POST /_emulator/eventarc says how events are delivered from then on; GET shows that, with a count:

    {"duplicate": 0.2, "delay_seconds": 1, "seed": 7, "deliveries": {"weekly.csv": 5}}

`duplicate` is the probability that an event is delivered twice, `deliveries` the exact number for an object
of that name, in any bucket. A delivery waits for `delay_seconds` of the services' clock. One that is refused,
because an account may not pass it on, there is no such workflow or too many executions run, is repeated for a
day, as Pub/Sub does. (It is not documented whether Storage repeats what it may not publish; here it does.)
"""

import heapq
import itertools
import json
import random
import sys
import threading
import traceback
from dataclasses import asdict, dataclass, field
from typing import Any

from localcloud.eventarc.chain import Chain
from localcloud.eventarc.events import event_of
from localcloud.eventarc.triggers import Trigger, Triggers
from localcloud.faults import PROBABILITY, WHOLE_NUMBER, Allowed, is_number, is_whole_number
from localcloud.messages import ApiError
from localcloud.storage.objects import ObjectRecord
from localcloud.times import Clock
from localcloud.workflows.service import WorkflowService

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 10.0, 600.0  # between two attempts, which double
KEPT_SECONDS = 86_400.0  # that an event is kept for further attempts
MOST_DELIVERIES = 1000  # of an event
_NOT_ALLOWED = (401, 403)
_BAD_REQUEST = 400  # no repetition helps: the event is too large for an argument


@dataclass(frozen=True)
class Wish:
    """How a test wants events to be delivered."""

    duplicate: float = 0.0
    delay_seconds: float = 0.0
    seed: int = 0
    deliveries: dict[str, int] = field(default_factory=dict)


def _are_deliveries(value: Any) -> bool:
    numbers = value.values() if isinstance(value, dict) else [-1]
    return all(is_whole_number(number) and number <= MOST_DELIVERIES for number in numbers)


_FIELDS = {
    "duplicate": PROBABILITY,
    "delay_seconds": Allowed(
        f"a number from 0 to {KEPT_SECONDS:.0f}", lambda value: is_number(value) and value <= KEPT_SECONDS
    ),
    "seed": WHOLE_NUMBER,
    "deliveries": Allowed(f"numbers up to {MOST_DELIVERIES} by object name", _are_deliveries),
}


@dataclass(order=True)
class _Delivery:
    due: float  # by the services' clock
    number: int
    trigger: Trigger = field(compare=False)
    argument: str = field(compare=False)
    until: float = field(compare=False)
    pause_seconds: float = field(default=FIRST_PAUSE_SECONDS, compare=False)
    is_repeated: bool = field(default=False, compare=False)


class Deliveries:
    """The events on their way, delivered by one thread."""

    def __init__(self, triggers: Triggers, workflows: WorkflowService, clock: Clock, chain: Chain):
        self._triggers, self._workflows, self._clock, self._chain = triggers, workflows, clock, chain
        self._waiting: list[_Delivery] = []
        self._numbers = itertools.count()
        self._delivered = 0
        self._changed = threading.Condition()
        self._wish, self._random = Wish(), random.Random(0)
        self._thread: threading.Thread | None = None

    def forget_all(self) -> None:
        with self._changed:
            self._waiting.clear()
            self._delivered = 0
            self._wish, self._random = Wish(), random.Random(0)

    def order(self, wish: dict[str, Any]) -> None:
        """Take over a test's wish in place of an earlier one."""
        for name, value in wish.items():
            if name not in _FIELDS:
                raise ApiError(400, f"Deliveries have no {name}; they have {', '.join(_FIELDS)}.")
            if not _FIELDS[name].fits(value):
                raise ApiError(
                    400, f"Deliveries cannot have {name} {value!r}; it takes {_FIELDS[name].words}."
                )
        with self._changed:
            self._wish = Wish(**wish)
            self._random = random.Random(self._wish.seed)

    def describe(self) -> dict[str, Any]:
        with self._changed:
            return {**asdict(self._wish), "delivered": self._delivered, "waiting": len(self._waiting)}

    def observe(self, record: ObjectRecord) -> None:
        """Put the event of a finalized object on its way to each trigger of its bucket."""
        for trigger in self._triggers.of(record.bucket):
            argument = json.dumps(event_of(record))
            with self._changed:
                due = self._clock.now() + self._wish.delay_seconds
                for _ in range(self._number_for(record.name)):
                    self._put(_Delivery(due, next(self._numbers), trigger, argument, due + KEPT_SECONDS))
                if self._thread is None:
                    self._thread = threading.Thread(target=self._deliver, daemon=True)
                    self._thread.start()
                self._changed.notify()

    def _number_for(self, name: str) -> int:
        if name in self._wish.deliveries:
            return self._wish.deliveries[name]
        return 1 + (self._random.random() < self._wish.duplicate)

    def _put(self, delivery: _Delivery) -> None:
        heapq.heappush(self._waiting, delivery)

    def _deliver(self) -> None:
        """Start executions as they are due, for as long as the process lives."""
        while True:
            with self._changed:
                delivery = self._next_due()
            if self._triggers.exists(delivery.trigger):
                self._attempt(delivery)

    def _next_due(self) -> _Delivery:
        while True:
            left = self._waiting[0].due - self._clock.now() if self._waiting else None
            if left is not None and left <= 0:
                return heapq.heappop(self._waiting)
            self._changed.wait(None if left is None else self._clock.wall_seconds(left))

    def _attempt(self, delivery: _Delivery) -> None:
        trigger = delivery.trigger
        try:
            self._chain.ask_for_event(trigger.key[0], trigger.account, trigger.workflow[0])
            self._workflows.start(trigger.workflow, delivery.argument)
        except ApiError as refused:
            self._repeat(delivery, refused)
            return
        except Exception:  # a bug of the emulator, which the next deliveries survive
            traceback.print_exc()
            return
        with self._changed:
            self._delivered += 1

    def _repeat(self, delivery: _Delivery, refused: ApiError) -> None:
        again = self._clock.now() + delivery.pause_seconds
        if refused.code == _BAD_REQUEST or again > delivery.until:
            print(f"eventarc: {delivery.trigger.name} lost an event: {refused}", file=sys.stderr)
            return
        if refused.code in _NOT_ALLOWED and not delivery.is_repeated:
            print(f"eventarc: {delivery.trigger.name} holds an event back: {refused}", file=sys.stderr)
        delivery.is_repeated = True
        delivery.due = again
        delivery.pause_seconds = min(2 * delivery.pause_seconds, LONGEST_PAUSE_SECONDS)
        with self._changed:
            self._put(delivery)
