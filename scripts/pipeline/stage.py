"""The frame of a stage script: logging set up, settings read, the work done, an exit code returned."""

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
    """Run one stage on the process's environment and return its exit code."""
    # Batch, docker stop and kill send SIGTERM; by default temporary folders would be left behind
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
            else None,  # a number, to be filtered as one
        },
    )
    remove_left_folders()
    return exit_code_of(lambda: work(read_stage_context(environ)), logging.getLogger("pipeline"))


def _interrupt(number: int, frame) -> None:
    signal.signal(number, signal.SIG_IGN)  # once: the tidying up is not to be interrupted
    raise KeyboardInterrupt
