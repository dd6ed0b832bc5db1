"""Errors of an execution, as a workflow sees them in `except`: text, or a map with tags.

Errors in a source, which are found when it is deployed, are in source.py. The tags are the documented ones;
the second, wider tag of some errors and the wording of the messages could not be checked.
https://cloud.google.com/workflows/docs/reference/syntax/error-types
"""

import json
from dataclasses import dataclass
from typing import Any

# The wider tags that an error has besides its own.
_WIDER = {
    "KeyError": ["LookupError"],
    "IndexError": ["LookupError"],
    "ZeroDivisionError": ["ArithmeticError"],
    "ConnectionFailedError": ["ConnectionError"],
}


@dataclass(frozen=True)
class TraceElement:
    """A step that was running when an error was raised."""

    routine: str
    step: str
    line: int

    def resource(self) -> dict[str, Any]:
        return {"routine": self.routine, "step": self.step, "position": {"line": str(self.line)}}

    def __str__(self) -> str:
        return f'in step "{self.step}", routine "{self.routine}", line: {self.line}'


class WorkflowError(Exception):
    """An error raised by a step; `trace` starts with the innermost step."""

    is_catchable = True

    def __init__(self, value: Any):
        super().__init__(value)
        self.value = value
        self.trace: list[TraceElement] = []

    @property
    def message(self) -> str:
        if isinstance(self.value, dict) and self.value.get("tags") and "message" in self.value:
            return str(self.value["message"])
        return f"RuntimeError: {_json(self.value)}"

    def resource(self) -> dict[str, Any]:
        """Return the error as the API shows it in an execution."""
        return {
            "payload": _json(self.value),
            "context": "\n".join([self.message, *map(str, self.trace)]),
            "stackTrace": {"elements": [element.resource() for element in self.trace]},
        }


class LimitExceeded(WorkflowError):
    """A limit of the service was exceeded; no `except` catches it, and it ends the execution."""

    is_catchable = False


class Stopped(Exception):
    """The execution was cancelled or a sibling branch failed; no further step may run."""


def error(tag: str, message: str, **details: Any) -> WorkflowError:
    """Return an error with a documented tag."""
    return WorkflowError({"message": f"{tag}: {message}", "tags": [tag, *_WIDER.get(tag, [])], **details})


def limit_error(message: str) -> WorkflowError:
    return LimitExceeded({"message": f"ResourceLimitError: {message}", "tags": ["ResourceLimitError"]})


def http_error(code: int, headers: dict[str, str], body: Any) -> WorkflowError:
    message = f"HTTP server responded with error code {code}"
    return WorkflowError(
        {"message": message, "tags": ["HttpError"], "code": code, "headers": headers, "body": body}
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=lambda _: "<bytes>")
