"""The two failures that a person or a retry can fix; any other exception is a bug of ours."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The experiment, the data or a setting is wrong: one line that says what, where, and how to fix it."""

    exit_code = 2


class TemporaryFault(Exception):
    """A temporary fault of a network or a service: the same task may succeed when it is run again."""

    exit_code = 75


class DeviceLost(TemporaryFault):
    """The GPU of this process cannot be used any more; another process may use it, or another GPU."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ' (did you mean "x"?)' if a known name is similar, else an empty string."""
    names = {str(k): None for k in known}
    near = [k for k in names if k.casefold() == str(name).casefold()]
    near = near or difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""


def listed(names: Iterable[str], most: int = 8) -> str:
    """Return 'a, b, c and 2 more', for the end of a one-line message."""
    names = [str(n) for n in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
