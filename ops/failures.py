"""What goes wrong on the operator's side, in one line that says how to mend it."""

import difflib


class UserError(Exception):
    """A mistake the operator can mend. tasks.py turns it into an exit code and one line."""

    def __init__(self, message: str, exit_code: int = 2):
        super().__init__(message)
        self.exit_code = exit_code


def did_you_mean(name: str, known) -> str:
    """Return ' (did you mean "x"?)' where a known name is near, else an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""
