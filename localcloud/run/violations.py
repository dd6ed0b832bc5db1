"""What is wrong with a request to Cloud Run: the field, and what it must be.

gcloud prints the details of the error, one line a field, and its message where there are no details.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from localcloud.messages import ApiError

_TYPE = "type.googleapis.com/google.rpc.BadRequest"


@dataclass(frozen=True)
class Violation:
    """A field, by its path in the request, and what is wrong with it."""

    field: str
    description: str


def refuse(violations: Iterable[Violation]) -> None:
    """Refuse the request if there is a violation.

    Raises
    ------
    ApiError
        400: with all violations.
    """
    found = list(violations)
    if not found:
        return
    message = "\n".join(f"{each.field}: {each.description}" for each in found)
    listed = [{"field": each.field, "description": each.description} for each in found]
    raise ApiError(400, message, details=[{"@type": _TYPE, "fieldViolations": listed}])
