"""The only place that starts another program: echo, --dry-run, timeouts, one-line errors."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from ops.failures import UserError

IDENTIFYING = ("EXP_ID", "RUN_ID", "TASK_INDEX")  # what a command is about, of the many variables it gets


@dataclass(frozen=True)
class Shell:
    """Starts programs with arguments as a list, so that nothing needs quoting."""

    dry_run: bool = False

    def echo(self, argv: Sequence[str], variables: Mapping[str, str] | None = None, note: str = "") -> None:
        """Print a command: in a dry run as a line that can be pasted, else short."""
        shown = {n: v for n, v in (variables or {}).items() if self.dry_run or n in IDENTIFYING}
        words = [f"{name}={shlex.quote(value)}" for name, value in shown.items()]
        print("+", *words, shlex.join(argv), f"  # {note}" if note else "", file=sys.stderr, flush=True)

    def stream(self, argv: Sequence[str], variables: Mapping[str, str] | None = None) -> int:
        """Run a program with its output on the terminal, and return its exit code."""
        self.echo(argv, variables)
        if self.dry_run:
            return 0
        process = self.start(argv, variables)
        try:
            return process.wait()
        except KeyboardInterrupt:
            stop([process])
            raise

    def start(
        self, argv: Sequence[str], variables: Mapping[str, str] | None = None, output: IO | None = None
    ) -> subprocess.Popen:
        """Start a program in a session of its own: Ctrl-C reaches us first, and we stop it."""
        with _held_back() as asked_to_stop:
            try:
                process = subprocess.Popen(
                    argv,
                    env={**os.environ, **(variables or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            except FileNotFoundError:
                raise UserError(f"{argv[0]}: no such program; install it") from None
        if asked_to_stop:
            stop([process])
            raise KeyboardInterrupt
        return process

    def capture(self, argv: Sequence[str], *, timeout_seconds: float) -> str:
        """Return what a program prints, or an empty string where it fails or is not there."""
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_seconds)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""


def stop_on_termination() -> None:
    """Make `kill` and a closed terminal stop us as Ctrl-C does: our children would outlive us."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP, and so do we then
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame) -> None:
    signal.signal(number, signal.SIG_IGN)  # once: the children are being stopped
    raise KeyboardInterrupt


@contextlib.contextmanager
def _held_back() -> Iterator[list[int]]:
    """Note Ctrl-C and `kill` instead of following them: a child that is half started would be lost."""
    noted: list[int] = []
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    ours = {n: handler for n, handler in handlers.items() if callable(handler)}
    for number in ours:
        signal.signal(number, lambda number, frame: noted.append(number))
    try:
        yield noted
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def stop(processes: Sequence[subprocess.Popen], grace_seconds: float = 10) -> None:
    """End processes: ask, wait, then insist. What they had finished is kept by their design."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
