"""What goes wrong on the operator's side, in one line that says how to mend it."""

import difflib

TEMPORARY_FAULT = 75  # exit code: trying again may help
TRY_AGAIN = "; try again in a minute"  # at the end of what is told of such a fault


class UserError(Exception):
    """A mistake the operator can mend. tasks.py turns it into an exit code and one line.

    `mend` is the command that does so, where one does; it ends the line.
    """

    def __init__(self, problem: str, exit_code: int = 2, mend: str = ""):
        super().__init__(f"{problem}: {mend}" if mend else problem)
        self.problem = problem
        self.exit_code = exit_code
        self.mend = mend


def did_you_mean(name: str, known) -> str:
    """Return ' (did you mean "x"?)' where a known name is near, else an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""
