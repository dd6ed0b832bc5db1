"""The answer to a request that fails: the status, one line, and whether another attempt may succeed.

400 not the contract      404 no such object      409 made from something else
422 the user's data       503 passes by itself    500 a bug of ours, with its traceback in the log
"""

import re
from dataclasses import dataclass

from pydantic import ValidationError

from modeling.failures import TemporaryFault, UserError
from modeling.plain_text import excerpt, one_line
from pipeline.storage import MissingFile
from services.messages import ErrorText

RETRY_AFTER_SECONDS = 5


class NotTheContract(UserError):
    """The request is not one of messages.py, or its fields contradict each other."""


class Conflict(UserError):
    """An object exists and was made from something else: another input, seed or version."""


class Busy(TemporaryFault):
    """This instance is at work, and takes no other request now."""


@dataclass(frozen=True)
class Failure:
    """An answer to a request that failed; `is_bug` where the log has a traceback."""

    status: int
    text: ErrorText
    is_bug: bool = False


def failure_of(error: Exception, service: str) -> Failure:
    """Return the answer for an exception of a handler; `where` is the file and line a message begins with."""
    if isinstance(error, ValidationError):
        return _of_contract(error)
    if isinstance(error, UserError | TemporaryFault):
        message, passes = one_line(error), isinstance(error, TemporaryFault)
        place = re.match(r"(\S+:\d+): ", message)
        text = ErrorText(message=message, retry=passes, where=place[1] if place else "")
        return Failure(_status(error), text)
    message = f"{service} failed with {type(error).__name__}, which is a bug; its log has the traceback"
    return Failure(500, ErrorText(message=message, retry=False), is_bug=True)


def _status(error: Exception) -> int:
    """Return the status of a failure that is no bug."""
    statuses = {TemporaryFault: 503, NotTheContract: 400, Conflict: 409, MissingFile: 404}
    return next((status for kind, status in statuses.items() if isinstance(error, kind)), 422)


def _of_contract(error: ValidationError) -> Failure:
    """Return the answer for a body that is no message: the first problem, and the number of others."""
    first, *others = error.errors(include_url=False, include_input=False)
    where = excerpt(".".join(str(part) for part in first["loc"]), 200)
    more = f" (and {len(others)} more)" if others else ""
    message = one_line(f"{where or 'the body'}: {first['msg']}{more}", 500)
    return Failure(400, ErrorText(message=message, retry=False, where=where))
