"""Asking before what cannot be undone; --yes answers for scripts."""

import sys

from ops.failures import UserError


def confirmed(question: str, *answers: str) -> bool:
    """Tell whether the operator answers with one of these words."""
    try:
        return input(question).strip().lower() in answers
    except EOFError:
        raise no_terminal() from None


def need_terminal_or(yes: bool) -> None:
    """Refuse early what would have to be asked later, minutes into the work, of nobody."""
    if not yes and not sys.stdin.isatty():
        raise no_terminal()


def no_terminal() -> UserError:
    return UserError("no terminal to ask on; add --yes")
