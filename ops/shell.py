"""Starts every program except the operator's editor: echo, --dry-run, timeouts, one-line errors.

Most of what a dry run skips is decided here: `ask` and `stream` print a command and skip it, `answers`
assumes a yes, `write` and `report` do nothing, and `end_if_dry_run` ends the task.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from ops.failures import TRY_AGAIN, DryRunEnds, UserError
from ops.terminal import nearest

IDENTIFYING = ("EXP_ID", "RUN_ID", "TASK_INDEX")  # the variables that an echoed command shows


@dataclass(frozen=True)
class Ended:
    """Exit code of a program and what it printed."""

    exit_code: int
    output: str
    errors: str


@dataclass(frozen=True)
class Shell:
    """Starts programs with arguments as a list, so that nothing needs quoting.

    `environment` is added to the environment of every program, e.g. that of an emulated cloud.
    """

    dry_run: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def without_dry_run(self) -> "Shell":
        """The same shell, but it runs programs even in a dry run; for programs that only read."""
        return replace(self, dry_run=False)

    def echo(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str] | None = None,
        note: str = "",
        hidden: Collection[str] = (),
        output_file: str = "",
    ) -> None:
        """Print a command: in a dry run with all variables, so that it can be pasted, else short.

        Variables in `hidden` are only shown in a dry run. `output_file` is where its output
        will be written.
        """
        shown = {
            name: value
            for name, value in (variables or {}).items()
            if self.dry_run or (name in IDENTIFYING and name not in hidden)
        }
        words = [f"{name}={shlex.quote(value)}" for name, value in shown.items()]
        to = [f"> {shlex.quote(output_file)}"] if output_file else []
        line = " ".join(["+", *words, shlex.join(argv), *to, *([f"  # {note}"] if note else [])])
        # in one piece: commands that run at the same time would be mixed up
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def need(self, program: str) -> None:
        """Refuse early if a program is missing that a later step starts; a dry run starts none.

        Raises
        ------
        UserError
        """
        path = {**os.environ, **self.environment}.get("PATH")
        if not self.dry_run and not shutil.which(program, path=path):
            raise _missing(program)

    def stream(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str] | None = None,
        *,
        stop_with: signal.Signals = signal.SIGTERM,
        grace_seconds: float = 10,
        hidden: Collection[str] = (),
    ) -> int:
        """Run a program with its output on the terminal and return its exit code; 0 in a dry run.

        Ctrl-C sends it `stop_with`, and kills it if it still runs `grace_seconds` later. `hidden` as echo().
        """
        self.echo(argv, variables, hidden=hidden)
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
        """Start a program in a session of its own, so that Ctrl-C reaches us first and we stop it.

        `keep` receives the process before Ctrl-C or `kill` can end us, so that no process is lost.
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
                raise _missing(argv[0]) from None
            except OSError as error:
                raise UserError(f"{argv[0]}: cannot be started ({error.strerror})") from None
            keep(process)

    def run_always(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float,
        standard_input: str | None = None,
        only_variables: bool = False,
    ) -> Ended:
        """Run a program to its end, even in a dry run, and return its exit code and output.

        Parameters
        ----------
        standard_input : str
            Text that the program reads; never shown, because secrets are passed this way.
        only_variables : bool
            Give the program no other environment than `variables`.

        Raises
        ------
        UserError
            The program is not installed, or took too long (exit code 75).
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
            raise _missing(argv[0]) from None
        except OSError as error:
            raise UserError(f"{argv[0]}: cannot be started ({error.strerror})") from None
        except subprocess.TimeoutExpired:
            raise UserError(
                f"{shlex.join(argv[:4])} did not end in {timeout_seconds:.0f} s{TRY_AGAIN}", exit_code=75
            ) from None
        return Ended(done.returncode, done.stdout, done.stderr)

    def run(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float,
        standard_input: str | None = None,
        echo: bool = True,
        output_file: str = "",
    ) -> Ended | None:
        """Run a program as run_always() does; a dry run prints the command and returns None.

        `output_file` is where the caller writes the output; the command is printed with it.
        """
        if echo or self.dry_run:
            self.echo(argv, output_file=output_file)
        if self.dry_run:
            return None
        return self.run_always(
            argv, variables, timeout_seconds=timeout_seconds, standard_input=standard_input
        )

    def read(self, argv: Sequence[str], *, timeout_seconds: float, echo: bool = True) -> str:
        """Return what a program prints; nothing in a dry run.

        Raises
        ------
        UserError
            As run_always(); or the program failed: its own error line, and exit code 1.
        """
        ended = self.run(argv, timeout_seconds=timeout_seconds, echo=echo)
        if ended is None:
            return ""
        if ended.exit_code:
            raise UserError(f"{shlex.join(argv[:3])}: {_reason(ended.errors or ended.output)}", exit_code=1)
        return ended.output

    def capture(self, argv: Sequence[str], *, timeout_seconds: float) -> str:
        """Return what a program prints, even in a dry run; nothing if it fails or is missing."""
        try:
            ended = self.run_always(argv, timeout_seconds=timeout_seconds)
        except UserError:
            return ""
        return ended.output.strip() if ended.exit_code == 0 else ""

    def succeeds(self, argv: Sequence[str], *, timeout_seconds: float) -> bool:
        """Return whether a program succeeds and prints something; True in a dry run, without running it."""
        return self.dry_run or bool(self.capture(argv, timeout_seconds=timeout_seconds))

    def write_file(self, path: Path, text: str, preview: str = "") -> None:
        """Write a file that a command reads; a dry run writes nothing, and prints `preview`.

        Raises
        ------
        UserError
            The file cannot be written.
        """
        if self.dry_run:
            print(preview, end="", flush=True)
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{nearest(path)}: cannot be written ({error.strerror})") from None

    def report(self, line: str, file: IO[str] | None = None) -> None:
        """Print what was done or found; a dry run prints nothing."""
        if not self.dry_run:
            print(line, file=file, flush=True)

    def end_if_dry_run(self, show: Callable[[], object] | None = None) -> None:
        """End the task if this is a dry run: the next step needs an answer that was not asked for.

        `show` is called first, e.g. to print the commands of later steps.
        """
        if self.dry_run:
            if show:
                show()
            raise DryRunEnds

    def most_at_once(self, number: int) -> int:
        """Return how many programs to start at the same time; 1 in a dry run, to print them in order."""
        return 1 if self.dry_run else number


def _missing(program: str) -> UserError:
    return UserError(f"{program}: no such program; install it")


def _reading(standard_input: str | None) -> dict[str, object]:
    return {"stdin": subprocess.DEVNULL} if standard_input is None else {"input": standard_input}


def _reason(output: str) -> str:
    """Return the error line of a program's output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["it printed nothing"]
    errors = [line for line in lines if re.match(r"(ERROR|error|Error|fatal)\b", line)]
    return re.sub(r"^(ERROR|Error|error|fatal): ", "", (errors or lines)[-1])


def stop_on_termination() -> None:
    """Let `kill` and a closed terminal stop us as Ctrl-C does; otherwise our children would outlive us."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        usual = (signal.SIG_DFL, signal.default_int_handler)
        if signal.getsignal(number) in usual:  # under nohup, SIGHUP stays ignored
            signal.signal(number, _interrupts)


class _Interrupts:
    """Handles Ctrl-C and `kill`, but not while a child is being started: that child would be lost.

    There is one handler and one flag, so that no signal arrives while some handlers are changed and others
    are not.
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
        """Handle a signal at the end of the block, even if the block fails."""
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
    """Stop processes: signal them, wait, then kill them. Stages keep what they have finished."""
    for process in processes:
        _send(process, stop_with)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
        _send(process, signal.SIGKILL)  # and whatever it started
        process.wait()


def _send(process: subprocess.Popen, number: int) -> None:
    """Signal a program and everything it started: docker, for example, starts a plug-in."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS denies it for an ended process
        os.killpg(process.pid, number)
