"""Functions of ops/ called as a task of invoke calls them, without a process of their own."""

import contextlib
import io
from collections.abc import Callable

from ops.failures import DryRunEnds, UserError
from ops.settings import Settings, read_settings
from ops.shell import Shell
from tests.operators import Operator
from tests.stage_scripts import Ended


def called(work: Callable[[], object]) -> Ended:
    """Return how a function ended and what it printed; a mistake ends it as tasks.py ends."""
    said, exit_code = io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            work()
        except DryRunEnds:
            pass
        except UserError as error:
            exit_code = error.exit_code
            print(f"error: {error}")
    return Ended(exit_code, said.getvalue(), said.getvalue().strip().splitlines())


def settings_of(operator: Operator, **variables: str) -> Settings:
    """Return the settings that an operator's tasks would read."""
    return read_settings({**operator.environ, **variables})


def shell_of(operator: Operator, dry_run: bool = False) -> Shell:
    return Shell(dry_run, operator.environ)
