"""The error that an operator can fix: one line that says what is wrong and how to fix it."""

import difflib

TEMPORARY_FAULT = 75  # exit code: trying again may help
TRY_AGAIN = "; try again in a minute"  # ends the message of such a fault


class UserError(Exception):
    """A mistake that the operator can fix; the task prints it as one line and ends with its exit code.

    `fix` is the command that fixes it, if there is one; it ends the line.
    """

    def __init__(self, problem: str, exit_code: int = 2, fix: str = ""):
        super().__init__(f"{problem}: {fix}" if fix else problem)
        self.problem = problem
        self.exit_code = exit_code
        self.fix = fix


class DryRunEnds(Exception):
    """Ends a dry run, successfully: the next step needs an answer that was not asked for."""


def did_you_mean(name: str, known) -> str:
    """Return ' (did you mean "x"?)' if a known name is similar, else an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""
