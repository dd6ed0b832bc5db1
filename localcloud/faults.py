"""Faults that a test sets: refusals, cut connections, truncated answers, delays.

POST /_emulator/faults (on either port) takes a JSON list of rules, GET shows them with their hits, DELETE
clears them. A rule says which requests it applies to and what happens to them:

    {"method": "GET", "path": "/b/forecasts/o/", "status": 503, "times": 2}
    {"path": "secrets/github-pat/versions/latest:access", "status": 403, "message": "no right"}
    {"method": "POST", "path": "/upload/", "action": "reset_after", "probability": 0.1, "seed": 7}
    {"path": "/jobs", "latency_seconds": 1.5, "skip": 3}
    {"method": "GET", "path": "/jobs/runner", "body": {"name": "no state"}}
    {"method": "GET", "path": "/jobs/runner", "tag": "SystemError"}

`path` is a regular expression, searched in the decoded path with its query as the client sends it, such as
/storage/v1/b/forecasts/o?prefix=flu/. `skip` is the number of matching requests to let pass first, `times`
the number to hit after that. ACTIONS below explains the actions. `body` is answered as JSON, with `status` or
200. `tag` ends a workflow's call with an error of that tag and no code, as the service does for its own
faults; other clients get a 500. This module decides which fault a request gets; server.py carries it out.
"""

import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import unquote

from localcloud.messages import ApiError

# reset: cut the connection before any work. reset_after: do the work, then cut, so that only the answer is
# lost. truncate: send half of the answer's body, then cut. duplicate: do the work twice, as if the request
# was delivered twice, and send the second answer.
ACTIONS = ("reset", "reset_after", "truncate", "duplicate")
# Documented tags of the errors that Workflows itself raises for a call.
TAGS = (
    "AuthError",
    "ConnectionError",
    "ConnectionFailedError",
    "OperationError",
    "ResponseTypeError",
    "SystemError",
    "TimeoutError",
)
TAG_HEADER = "Emulated-Error-Tag"  # of an answer that Workflows turns into an error
MAX_RULES = 1000


@dataclass(frozen=True)
class Allowed:
    """The values that a field of a rule may have: in words, for a refusal, and as a check."""

    words: str
    fits: Callable[[Any], bool]


@dataclass
class Rule:
    """One fault and the requests it applies to."""

    method: str = ""  # empty: every method
    path: str = ""  # regular expression, searched in the decoded path with its query
    status: int | None = None  # answer with this code, without any work
    action: str = ""  # one of ACTIONS
    body: Any = None  # answer with this and the status, or 200, without any work
    tag: str = ""  # one of TAGS: end the call with this error, without any work
    message: str = "injected fault"
    latency_seconds: float = 0.0  # wait before anything else
    skip: int = 0  # let this many matching requests pass first
    times: int | None = None  # then hit this many; None: no limit
    probability: float = 1.0  # of a hit
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
    """The rules in force, in order; the first that applies to a request decides."""

    def __init__(self):
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(self, rules: Any) -> None:
        """Add rules as a test sends them; one mistake refuses them all."""
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
    """Return the rules if they are a list of objects, and refuse them otherwise."""
    if not isinstance(rules, list):
        raise ApiError(400, f"{what} must be a JSON list of rules.")
    for rule in rules:
        if not isinstance(rule, dict):
            raise ApiError(400, f"A fault rule must be a JSON object, not {rule!r}.")
    return rules


def check_room(number: int) -> None:
    if number > MAX_RULES:
        raise ApiError(400, f"At most {MAX_RULES} fault rules; DELETE clears them.")


def check_fields(values: dict[str, Any], known: dict[str, Allowed]) -> None:
    """Refuse a rule that has an unknown field or a wrong value."""
    if unknown := values.keys() - known.keys():
        raise ApiError(
            400, f"A fault rule has no field {', '.join(sorted(unknown))}; it has {', '.join(known)}."
        )
    for name, value in values.items():
        if not known[name].fits(value):
            raise ApiError(400, f"A fault rule cannot have {name} {value!r}; it takes {known[name].words}.")


def _parse_rule(values: dict[str, Any]) -> Rule:
    check_fields(values, _FIELDS)
    if "body" not in values and not any(map(values.get, ("status", "action", "tag", "latency_seconds"))):
        status, action = _FIELDS["status"].words, _FIELDS["action"].words
        message = (
            f"A fault rule needs a status ({status}), an action ({action}), "
            "a body, a tag or latency_seconds above 0."
        )
        raise ApiError(400, message)
    return Rule(**values)


def is_whole_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_number(value: Any) -> bool:
    """Return whether a value is a number of at least 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_pattern(value: Any) -> bool:
    try:
        return bool(re.compile(value))
    except (re.error, TypeError, OverflowError, RecursionError):
        return False


PATTERN = Allowed("a regular expression", _is_pattern)
WHOLE_NUMBER = Allowed("a whole number of at least 0", is_whole_number)
PROBABILITY = Allowed("a number from 0 to 1", lambda value: is_number(value) and value <= 1)

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
_FIELDS = {
    "method": Allowed(
        f"one of {', '.join(_METHODS)}, or none for all", lambda value: value in ("", *_METHODS)
    ),
    "path": PATTERN,
    "status": Allowed(
        "a whole number from 400 to 599", lambda value: is_whole_number(value) and 400 <= value <= 599
    ),
    "action": Allowed(f"one of {', '.join(ACTIONS)}", lambda value: value in ACTIONS),
    "body": Allowed("JSON other than null", lambda value: value is not None),
    "tag": Allowed(f"one of {', '.join(TAGS)}", lambda value: value in TAGS),
    "message": Allowed("text", lambda value: isinstance(value, str)),
    "latency_seconds": Allowed("a number from 0 to 600", lambda value: is_number(value) and value <= 600),
    "skip": WHOLE_NUMBER,
    "times": WHOLE_NUMBER,
    "probability": PROBABILITY,
    "seed": WHOLE_NUMBER,
}
