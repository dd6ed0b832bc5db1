"""Starts every program but the operator's editor: echo, --dry-run, timeouts, one-line errors."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from ops.failures import TRY_AGAIN, UserError

IDENTIFYING = ("EXP_ID", "RUN_ID", "TASK_INDEX")  # what a command is about, of the many variables it gets


@dataclass(frozen=True)
class Ended:
    """How a program ended, and what it said on both of its outputs."""

    exit_code: int
    output: str
    errors: str


@dataclass(frozen=True)
class Shell:
    """Starts programs with arguments as a list, so that nothing needs quoting.

    `environment` is added to what every program finds in its environment: that of an emulated cloud, say.
    """

    dry_run: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def echo(self, argv: Sequence[str], variables: Mapping[str, str] | None = None, note: str = "") -> None:
        """Print a command: in a dry run as a line that can be pasted, else short."""
        shown = {n: v for n, v in (variables or {}).items() if self.dry_run or n in IDENTIFYING}
        words = [f"{name}={shlex.quote(value)}" for name, value in shown.items()]
        print("+", *words, shlex.join(argv), f"  # {note}" if note else "", file=sys.stderr, flush=True)

    def stream(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str] | None = None,
        *,
        stop_with: signal.Signals = signal.SIGTERM,
        grace_seconds: float = 10,
        unnamed: Collection[str] = (),
    ) -> int:
        """Run a program with its output on the terminal, and return its exit code.

        Variables in `unnamed` are left out of the printed line, except in a dry run.

        Ctrl-C sends it `stop_with`, and kills it when it is not done `grace_seconds` later.
        """
        shown = {n: v for n, v in (variables or {}).items() if self.dry_run or n not in unnamed}
        self.echo(argv, shown)
        if self.dry_run:
            return 0
        started: list[subprocess.Popen] = []
        try:
            self.start(argv, variables, keep=started.append)
            return started[0].wait()
        except KeyboardInterrupt:
            stop(started, grace_seconds, stop_with)
            raise

    def start(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str] | None = None,
        *,
        keep: Callable[[subprocess.Popen], object],
        output: IO | None = None,
    ) -> None:
        """Start a program in a session of its own: Ctrl-C reaches us first, and we stop it.

        `keep` gets the process before Ctrl-C or `kill` can end us, so that none is lost.
        """
        with _interrupts.held_back():
            try:
                process = subprocess.Popen(
                    argv,
                    env={**os.environ, **self.environment, **(variables or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            except FileNotFoundError:
                raise UserError(f"{argv[0]}: no such program; install it") from None
            except OSError as error:
                raise UserError(f"{argv[0]}: cannot be started ({error.strerror})") from None
            keep(process)

    def attempt(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float,
        standard_input: str | None = None,
        only_variables: bool = False,
    ) -> Ended:
        """Run a program to its end and return what it said.

        Parameters
        ----------
        standard_input : str
            What it reads; never shown, for that is how secrets are given. Without it there is nothing.
        only_variables : bool
            Whether `variables` are all that it finds in its environment, and nothing of the operator's.

        Raises
        ------
        UserError
            It is not there, or took too long (exit code 75).
        """
        try:
            done = subprocess.run(
                argv,
                env={**({} if only_variables else {**os.environ, **self.environment}), **(variables or {})},
                **_reading(standard_input),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_seconds,
            )
        except FileNotFoundError:
            raise UserError(f"{argv[0]}: no such program; install it") from None
        except OSError as error:
            raise UserError(f"{argv[0]}: cannot be started ({error.strerror})") from None
        except subprocess.TimeoutExpired:
            raise UserError(
                f"{shlex.join(argv[:4])} did not end in {timeout_seconds:.0f} s{TRY_AGAIN}", exit_code=75
            ) from None
        return Ended(done.returncode, done.stdout, done.stderr)

    def read(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float,
        echo: bool = True,
    ) -> str:
        """Return what a program prints; a failure becomes its own words and an exit code of 1.

        Raises
        ------
        UserError
            As attempt(); or it failed.
        """
        if echo:
            self.echo(argv, variables)
        if self.dry_run:
            return ""
        ended = self.attempt(argv, variables, timeout_seconds=timeout_seconds)
        if ended.exit_code:
            raise UserError(f"{shlex.join(argv[:3])}: {_reason(ended.errors or ended.output)}", exit_code=1)
        return ended.output

    def capture(self, argv: Sequence[str], *, timeout_seconds: float) -> str:
        """Return what a program prints, or an empty string where it fails or is not there."""
        try:
            ended = self.attempt(argv, timeout_seconds=timeout_seconds)
        except UserError:
            return ""
        return ended.output.strip() if ended.exit_code == 0 else ""


def _reading(standard_input: str | None) -> dict[str, object]:
    return {"stdin": subprocess.DEVNULL} if standard_input is None else {"input": standard_input}


def _reason(said: str) -> str:
    """Return the line of a program's last words that says what went wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it said nothing"]
    told = [line for line in lines if re.match(r"(ERROR|error|Error|fatal)\b", line)]
    return re.sub(r"^(ERROR|Error|error|fatal): ", "", (told or lines)[-1])


def stop_on_termination() -> None:
    """Make `kill` and a closed terminal stop us as Ctrl-C does: our children would outlive us."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        usual = (signal.SIG_DFL, signal.default_int_handler)
        if signal.getsignal(number) in usual:  # nohup ignores SIGHUP, and so do we then
            signal.signal(number, _interrupts)


class _Interrupts:
    """Follows Ctrl-C and `kill`, but not while a child is half started: nobody would know of it.

    One handler and one flag, so that no signal finds some of the handlers changed and others not.
    """

    def __init__(self) -> None:
        self.waiting = False
        self.noted = False

    def __call__(self, number: int, frame) -> None:
        if number != signal.SIGINT:
            signal.signal(number, signal.SIG_IGN)  # once: the children are being stopped
        self.noted = self.waiting
        if not self.waiting:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Follow a signal at the end of the block, also where the block fails."""
        self.noted, self.waiting = False, True
        try:
            yield
        finally:
            self.waiting = False
            if self.noted:
                raise KeyboardInterrupt


_interrupts = _Interrupts()


def stop(
    processes: Sequence[subprocess.Popen],
    grace_seconds: float = 10,
    stop_with: signal.Signals = signal.SIGTERM,
) -> None:
    """End processes: ask, wait, then insist. What they had finished is kept by their design."""
    for process in processes:
        _send(process, stop_with)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
        _send(process, signal.SIGKILL)  # also to what has outlived it
        process.wait()


def _send(process: subprocess.Popen, number: int) -> None:
    """Signal a program with all it started: docker, for one, hands over to a plug-in of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS denies it for what has ended
        os.killpg(process.pid, number)
