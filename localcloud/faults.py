"""Faults a test orders: refusals, cut connections, half answers, slowness.

POST /_emulator/faults (on either port) takes a JSON list of rules, GET shows them with their hits, DELETE
clears them. A rule says which requests it strikes, and what they meet:

    {"method": "GET", "path": "/b/forecasts/o/", "status": 503, "times": 2}
    {"path": "secrets/github-pat/versions/latest:access", "status": 403, "message": "no right"}
    {"method": "POST", "path": "/upload/", "action": "reset_after", "probability": 0.1, "seed": 7}
    {"path": "/jobs", "latency_seconds": 1.5, "skip": 3}

`path` is a regular expression, searched in the decoded path with its query as the client sends it, such as
/storage/v1/b/forecasts/o?prefix=flu/. `skip` lets so many pass first, `times` strikes so many. The actions
stand at ACTIONS below. Decides which fault a request meets; server.py carries it out.
"""

import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import unquote

from localcloud.messages import ApiError

# reset: cut before answering, nothing done. reset_after: do the work, then cut, so only the
# answer is lost. truncate: send half of the answer's body, then cut. duplicate: do the work twice, as
# when a request was delivered twice, and send the second answer.
ACTIONS = ("reset", "reset_after", "truncate", "duplicate")
MAX_RULES = 1000

Fits = Callable[[Any], bool]


@dataclass
class Rule:
    """One kind of fault and the requests it hits."""

    method: str = ""  # empty: every method
    path: str = ""  # regular expression, searched in the decoded path with its query
    status: int | None = None  # answer this code without doing the work
    action: str = ""  # one of ACTIONS
    message: str = "injected fault"
    latency_seconds: float = 0.0  # wait before anything else
    skip: int = 0  # let this many matching requests pass first
    times: int | None = None  # then hit this many; None: all
    probability: float = 1.0  # of hitting each
    seed: int = 0

    hits: int = field(default=0, init=False)

    def __post_init__(self):
        self._random = random.Random(self.seed)
        self._path = re.compile(self.path)

    def strikes(self, method: str, path: str) -> bool:
        if self.method not in ("", method) or not self._path.search(path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        if self.probability < 1 and self._random.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def describe(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


class Faults:
    """The rules in force, in order; the first that strikes decides."""

    def __init__(self):
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(self, rules: Any) -> None:
        """Take rules as a test sends them; one mistake refuses them all."""
        parsed = [_parse_rule(rule) for rule in rule_list(rules, "Faults")]
        with self._lock:
            check_room(len(self._rules) + len(parsed))
            self._rules += parsed

    def clear(self) -> None:
        with self._lock:
            self._rules = []

    def describe(self) -> list[dict[str, Any]]:
        with self._lock:
            return [rule.describe() for rule in self._rules]

    def next_for(self, method: str, target: str) -> Rule | None:
        if not self._rules:
            return None
        path = unquote(target)
        with self._lock:
            return next((rule for rule in self._rules if rule.strikes(method, path)), None)


def rule_list(rules: Any, what: str) -> list[dict[str, Any]]:
    """Return rules as they were sent, all of them objects."""
    if not isinstance(rules, list):
        raise ApiError(400, f"{what} are a JSON list of rules.")
    for rule in rules:
        if not isinstance(rule, dict):
            raise ApiError(400, f"A fault rule is a JSON object, not {rule!r}.")
    return rules


def check_room(number: int) -> None:
    if number > MAX_RULES:
        raise ApiError(400, f"At most {MAX_RULES} fault rules; DELETE clears them.")


def check_fields(values: dict[str, Any], fits: dict[str, Fits]) -> None:
    """Refuse a rule with a name that `fits` does not know, or a value that is not of it."""
    if unknown := set(values) - set(fits):
        raise ApiError(400, f"Unknown in a fault rule: {sorted(unknown)}; known: {list(fits)}.")
    for name, value in values.items():
        if not fits[name](value):
            raise ApiError(400, f"A fault rule cannot have {name} {value!r}.")


def _parse_rule(values: dict[str, Any]) -> Rule:
    check_fields(values, _FITS)
    if not (values.get("status") or values.get("action") or values.get("latency_seconds")):
        raise ApiError(400, "A fault rule needs a status, an action or latency_seconds.")
    return Rule(**values)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_pattern(value: Any) -> bool:
    try:
        return bool(re.compile(value))
    except (re.error, TypeError):
        return False


def is_whole_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


# What a test may send, and what its values must be.
_FITS: dict[str, Fits] = {
    "method": lambda value: value in ("", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"),
    "path": is_pattern,
    "status": lambda value: is_whole_number(value) and 400 <= value <= 599,
    "action": lambda value: value in ACTIONS,
    "message": _is_text,
    "latency_seconds": lambda value: isinstance(value, int | float) and 0 <= value <= 600,
    "skip": is_whole_number,
    "times": is_whole_number,
    "probability": lambda value: isinstance(value, int | float) and 0 <= value <= 1,
    "seed": is_whole_number,
}
