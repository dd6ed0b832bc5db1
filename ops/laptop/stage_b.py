"""The tasks of stage B on this machine: several at a time, retried after temporary faults, with progress."""

import contextlib
import functools
import re
import signal
import subprocess
import time
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ops.failures import TEMPORARY_FAULT, UserError
from ops.input_names import FailedInputs
from ops.shell import Shell, stop
from ops.terminal import cell, nearest

POLL_SECONDS = 0.02
LONGEST_WAIT_SECONDS = 30
MOST_CHARACTERS = 4000  # of the error of a task
# lines of modeling/engine/machine_code.py and modeling/simulate/run.py
SLOW = re.compile(r"compiling the engine .*|\S+ runs through epydemix, .*")


class StageTasks:
    """The processes of stage B, started, watched and retried in one loop."""

    def __init__(
        self,
        shell: Shell,
        command: list[str],
        variables: dict[str, str],
        logs: Path,
        retries: int,
        inputs: FailedInputs,
    ):
        self.shell, self.command, self.variables = shell, command, variables
        self.logs, self.retries, self.inputs = logs, retries, inputs
        self.running: dict[int, subprocess.Popen] = {}
        self.attempts: dict[int, int] = {}
        self.failed: dict[int, int] = {}
        self.resting: dict[int, float] = {}  # when to retry a task, on the monotonic clock
        self.is_first = True  # whether no task has ended yet, and none has said why it is slow

    def run(self, indices: list[int], jobs: int) -> dict[int, int]:
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{nearest(self.logs)}: cannot be made ({error.strerror})") from None
        waiting = list(reversed(indices))
        with _progress_bar() as progress:
            bar = progress.add_task("stage B", total=len(indices))
            try:
                while waiting or self.running or self.resting:
                    waiting += self._rested()
                    while waiting and len(self.running) < jobs:
                        self._start(waiting.pop())
                    if self.is_first and (line := self._why_slow()):
                        progress.console.print(line, soft_wrap=True)
                        self.is_first = False
                    for index, code in self._ended():
                        self.is_first = False
                        if code == TEMPORARY_FAULT and self.attempts[index] <= self.retries:
                            self.resting[index] = time.monotonic() + retry_seconds(self.attempts[index])
                            continue
                        if code:
                            self.failed[index] = code
                            name, reason = self.inputs.name(index), last_error(self.log_of(index), code)
                            reason = reason.removeprefix(f"{name}: ")  # the task has named it, too
                            line = f"[red]{cell(name)} failed[/]: {cell(reason, MOST_CHARACTERS)}"
                            progress.console.print(line, soft_wrap=True)
                        progress.advance(bar)
                    time.sleep(POLL_SECONDS)
            except BaseException:
                stop(list(self.running.values()))
                raise
        return self.failed

    def _rested(self) -> list[int]:
        """Return the tasks whose wait after a temporary fault is over."""
        now = time.monotonic()
        rested = [index for index, due in self.resting.items() if due <= now]
        for index in rested:
            del self.resting[index]
        return rested

    def log_of(self, index: int) -> Path:
        return self.logs / f"runner_{index:04d}.log"

    def _start(self, index: int) -> None:
        self.attempts[index] = self.attempts.get(index, 0) + 1
        variables = {
            **self.variables,
            "TASK_INDEX": str(index),
            "BATCH_TASK_RETRY_ATTEMPT": str(self.attempts[index] - 1),
        }
        keep = functools.partial(self.running.__setitem__, index)
        try:
            with open(self.log_of(index), "ab" if self.attempts[index] > 1 else "wb") as log:
                self.shell.start(self.command, variables, keep=keep, output=log)
        except OSError as error:
            raise UserError(f"{nearest(self.log_of(index))}: cannot be written ({error.strerror})") from None

    def _why_slow(self) -> str:
        """Return the line of a running task's log that says that it compiles the engine, or cannot use it."""
        for index in self.running:
            with contextlib.suppress(OSError):
                if said := SLOW.search(self.log_of(index).read_text(errors="replace")):
                    return said[0]
        return ""

    def _ended(self) -> list[tuple[int, int]]:
        ended = [(index, p.returncode) for index, p in self.running.items() if p.poll() is not None]
        for index, _ in ended:
            del self.running[index]
        return ended


def retry_seconds(attempts: int) -> float:
    """Return the wait after this number of attempts: 1, 2, 4 ... seconds, at most 30."""
    return min(2 ** (attempts - 1), LONGEST_WAIT_SECONDS)


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def last_error(log: Path, code: int) -> str:
    """Return the last error line of a task's log, or the signal that killed the task and its last line."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError as error:
        return f"{nearest(log)}: cannot be read ({error.strerror})"
    errors = [line for line in lines if re.search(r": (error|critical): ", line)]
    line = (errors or lines or ["it printed nothing"])[-1]
    number = -code if code < 0 else code - 128  # the second one is a container's
    if not errors and number in set(signal.Signals):
        memory = ", perhaps for lack of memory" if number == signal.SIGKILL else ""
        return f"killed by {signal.Signals(number).name}{memory}; its last line: {line}"
    return re.sub(r"^\S+ runner( \d+)?: (error|critical): ", "", line)
