"""The start of a stage script: set up logging, read the settings, do the work, return an exit code."""

import logging
import os
import signal
from collections.abc import Callable

from pipeline.environment import StageContext, read_stage_context
from pipeline.failures import exit_code_of
from pipeline.logs import start_logging
from pipeline.temporary import remove_left_folders

MOST_DIGITS = 18


def run_stage(stage: str, work: Callable[[StageContext], None]) -> int:
    """Run a stage with the settings in the environment; return its exit code."""
    # Batch, docker stop and kill send SIGTERM, which by default leaves temporary folders behind
    signal.signal(signal.SIGTERM, _interrupt)
    environ = os.environ
    task = environ.get("TASK_INDEX") or environ.get("BATCH_TASK_INDEX") or ""
    start_logging(
        mode=environ.get("EXECUTION_MODE", "local").strip().lower(),
        level=environ.get("LOG_LEVEL", ""),
        fields={
            "stage": stage,
            "exp_id": environ.get("EXP_ID"),
            "run_id": environ.get("RUN_ID"),
            "task_index": int(task)
            if task.isascii() and task.isdecimal() and len(task) <= MOST_DIGITS
            else None,  # a number, so that logs can be filtered by it
        },
    )
    remove_left_folders()
    return exit_code_of(lambda: work(read_stage_context(environ)), logging.getLogger("pipeline"))


def _interrupt(number: int, frame) -> None:
    signal.signal(number, signal.SIG_IGN)  # only once: the clean-up must not be interrupted
    raise KeyboardInterrupt
