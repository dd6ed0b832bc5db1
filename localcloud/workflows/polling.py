"""How a connector waits for what it started: the timeout and polling policy of connector_params."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localcloud.workflows.blocks import Walker
from localcloud.workflows.errors import error
from localcloud.workflows.limits import CONNECTOR_MAX_TIMEOUT_SECONDS, CONNECTOR_TIMEOUT_SECONDS
from localcloud.workflows.values import is_number

_KNOWN = {"timeout", "polling_policy", "skip_polling", "scopes"}
_POLICY = {"initial_delay": 1.0, "multiplier": 1.25, "max_delay": 60.0}


@dataclass(frozen=True)
class ConnectorParams:
    """The parameters of a connector's waiting; `until` is a time of the execution's clock."""

    until: float
    skip_polling: bool
    initial_delay: float
    multiplier: float
    max_delay: float

    @classmethod
    def of(cls, given: Any, strand: Walker) -> ConnectorParams:
        if not isinstance(given, dict | None):
            raise error("TypeError", "connector_params must be a map")
        params = given or {}
        policy = params.get("polling_policy") or {}
        if not isinstance(policy, dict):
            raise error("TypeError", "polling_policy must be a map")
        if unknown := (params.keys() - _KNOWN) | (policy.keys() - _POLICY.keys()):
            raise error("ValueError", f"unknown in connector_params: {', '.join(sorted(unknown))}")
        timeout = params.get("timeout", CONNECTOR_TIMEOUT_SECONDS)
        values = _POLICY | policy
        if not all(is_number(value) and value >= 0 for value in (timeout, *values.values())):
            raise error("TypeError", "the times of connector_params must be numbers")
        if timeout > CONNECTOR_MAX_TIMEOUT_SECONDS:
            raise error("ValueError", f"a connector waits {CONNECTOR_MAX_TIMEOUT_SECONDS} s at most")
        skip = params.get("skip_polling", False)
        if not isinstance(skip, bool):
            raise error("TypeError", "skip_polling must be a boolean")
        return cls(strand.run.clock.now() + timeout, skip, **values)

    def check_time(self, strand: Walker) -> None:
        if strand.run.clock.now() > self.until:
            raise error("TimeoutError", "the connector's timeout has passed")


def wait_until(
    strand: Walker,
    has_ended: Callable[[Any], bool],
    ask: Callable[[], Any],
    params: ConnectorParams,
    name: str,
) -> Any:
    """Poll with growing delays until it has ended, and return the last answer; each poll counts as a step."""
    delay = params.initial_delay
    while True:
        left = params.until - strand.run.clock.now()
        if left <= 0:
            raise error("TimeoutError", f"{name} waited for its timeout; set connector_params.timeout higher")
        strand.sleep(min(delay, left))
        strand.count_step()
        answer = ask()
        if has_ended(answer):
            return answer
        delay = min(delay * params.multiplier, params.max_delay)
