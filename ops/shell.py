"""The only place that starts another program: echo, --dry-run, timeouts, one-line errors."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from ops.failures import UserError


@dataclass(frozen=True)
class Shell:
    """Starts programs with arguments as a list, so that nothing needs quoting."""

    dry_run: bool = False

    def echo(self, argv: Sequence[str], variables: Mapping[str, str] | None = None, note: str = "") -> None:
        """Print a command as a line that can be pasted into a terminal."""
        words = [f"{name}={shlex.quote(value)}" for name, value in (variables or {}).items()]
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
        try:
            return subprocess.Popen(
                argv,
                env={**os.environ, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise UserError(f"{argv[0]}: no such program; install it") from None

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
