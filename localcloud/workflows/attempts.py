"""try, retry and except.

https://cloud.google.com/workflows/docs/reference/syntax/retrying
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.workflows import operators
from localcloud.workflows.blocks import Action, Return, Signal, Walker
from localcloud.workflows.errors import WorkflowError, error
from localcloud.workflows.expressions import Expression, FunctionReference
from localcloud.workflows.values import is_integer, is_number

DEFAULT_RETRIES = 5
DEFAULT_BACKOFF = {"initial_delay": 1, "max_delay": 60, "multiplier": 1.25}


@dataclass(frozen=True, slots=True)
class Except:
    name: str  # of the error's variable
    action: Action
    next: Signal | None


@dataclass(frozen=True, slots=True)
class Try:
    action: Action
    next: Signal | None
    retry: Expression | None
    handler: Except | None

    def execute(self, strand: Walker) -> Signal | Return | None:
        try:
            return self._attempts(strand)
        except WorkflowError as caught:
            if not (self.handler and caught.is_catchable):
                raise
            strand.note_caught(caught)
            with strand.inner_scope() as scope:
                scope.set(self.handler.name, caught.value)
                return self.handler.action.execute(strand) or self.handler.next

    def _attempts(self, strand: Walker) -> Signal | Return | None:
        policy: Retry | None = None
        while True:
            try:
                return self.action.execute(strand) or self.next
            except WorkflowError as caught:
                if not (self.retry and caught.is_catchable):
                    raise
                policy = policy or Retry(self.retry.evaluate(strand))
                if not policy.allows_another(strand, caught):
                    raise
                strand.note_caught(caught)
            policy.wait(strand)
            strand.count_step()


class Retry:
    """A retry policy, with the attempts and the delay that are left."""

    def __init__(self, policy: Any):
        if not isinstance(policy, Mapping):
            raise error("TypeError", "retry takes a map or a policy of the library")
        self._predicate = policy.get("predicate")
        if not isinstance(self._predicate, FunctionReference):
            raise error("TypeError", "the predicate of a retry must be a subworkflow or a library function")
        self._left = policy.get("max_retries", DEFAULT_RETRIES)
        if not is_integer(self._left):
            raise error("TypeError", "max_retries must be an integer")
        given = policy.get("backoff") or {}
        if not isinstance(given, Mapping):
            raise error("TypeError", "backoff must be a map")
        backoff = DEFAULT_BACKOFF | given
        if not all(is_number(value) and value >= 0 for value in backoff.values()):
            raise error("TypeError", "initial_delay, max_delay and multiplier of a backoff must be numbers")
        self._delay, self._max_delay = backoff["initial_delay"], backoff["max_delay"]
        self._multiplier = backoff["multiplier"]

    def allows_another(self, strand: Walker, caught: WorkflowError) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        return operators.truth(strand.call(self._predicate.name, [caught.value]))

    def wait(self, strand: Walker) -> None:
        strand.sleep(min(self._delay, self._max_delay))
        self._delay = min(self._delay * self._multiplier, self._max_delay)
