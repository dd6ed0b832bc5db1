"""Functions of ops/ called as a task of invoke calls them, and stages, without a process of their own."""

import contextlib
import importlib
import io
import logging
from collections.abc import Callable, Iterator

from ops.environment import read_settings
from ops.failures import DryRunEnds, UserError
from ops.runs.reproduction import reproduce
from ops.settings import Settings
from ops.shell import Shell
from pipeline.environment import read_stage_context
from pipeline.failures import exit_code_of
from tests.operators import Operator
from tests.stage_scripts import Ended, Stages

WORK = {"builder": "build_run", "runner": "run_task", "output": "write_outputs"}


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


def ended(stages: Stages, stage: str, **variables: object) -> tuple[int, list[str]]:
    """Run a stage in this process, and return its exit code and what it warned of and failed with."""
    work = getattr(importlib.import_module(f"main_{stage}"), WORK[stage])
    environment = stages.environment(**variables)
    with _said() as lines:
        code = exit_code_of(lambda: work(read_stage_context(environment)), logging.getLogger("pipeline"))
    return code, lines


@contextlib.contextmanager
def _said() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("pipeline")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


def again(operator: Operator, run_id: str, compare_with: str = "", dry_run: bool = False, **variables: str):
    """Run a run again as `invoke reproduce` does."""
    settings = settings_of(operator, **variables)
    return called(lambda: reproduce(shell_of(operator, dry_run), settings, "trial", run_id, compare_with))
