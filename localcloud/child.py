"""A running command of a task or build: its output line by line, its exit code, and stopping it."""

import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SUPERVISOR = Path(__file__).with_name("supervisor.py")
STOP, TERMINATE = b".", b"t"
READ_BYTES = 64 * 1024
MAX_LINE_BYTES = 256 * 1024  # limit of a log entry; a longer line is split

MAX_WAIT_SECONDS = 3600.0  # of one select(), which does not accept the months that a task may take

OnLine = Callable[[str, bool], None]  # the line, and whether it came from standard error


class CannotStart(Exception):
    """A command, a port or a folder cannot be used here; the message says why."""


@dataclass(frozen=True)
class Command:
    argv: list[str]
    environment: Mapping[str, str]
    folder: Path  # of the command alone: it is removed when the emulator is gone
    cleanup: tuple[str, ...] = ()  # a command that stops what it runs elsewhere, such as a container
    start_in: Path | None = None  # where the command starts, if not in its folder


class Child:
    """A command under a supervisor, which kills it and all it started on demand or when we are gone.

    Raises
    ------
    CannotStart
        Its supervisor cannot start. A program that does not exist is exit code 127 instead.
    """

    def __init__(self, command: Command):
        cleanup = [str(len(command.cleanup)), *command.cleanup]
        self._control, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", SUPERVISOR, command.folder, *cleanup, *command.argv],
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=command.start_in or command.folder,
                env=command.environment,
                start_new_session=True,  # Ctrl-C on the emulator's terminal is for the emulator only
            )
        except (OSError, ValueError) as error:  # ValueError: a null character
            self._control.close()
            raise CannotStart(f"{command.argv[0]}: {getattr(error, 'strerror', None) or error}") from error
        finally:
            theirs.close()
        self._lock = threading.Lock()
        self.was_late = False

    def follow(self, on_line: OnLine, deadline: float | None = None) -> int:
        """Pass on each line until the command ends, or stop it at the deadline; return the exit code."""
        streams = {self._process.stdout: _Lines(), self._process.stderr: _Lines()}
        with selectors.DefaultSelector() as selector:
            for stream in streams:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    self.was_late = True
                    self.stop()
                    deadline = left = None
                for key, _ in selector.select(None if left is None else min(left, MAX_WAIT_SECONDS)):
                    stream = key.fileobj
                    data = os.read(stream.fileno(), READ_BYTES)
                    for line in streams[stream].cut(data):
                        on_line(line, stream is self._process.stderr)
                    if not data:
                        selector.unregister(stream)
                        stream.close()
        self.stop()
        return self._process.wait()

    def read_pid(self) -> int:
        """Return the process id of the command, once; 0 if its supervisor was killed before it started it."""
        with self._control.makefile("rb", buffering=0) as line, suppress(ConnectionError):
            return int(line.readline() or 0)
        return 0

    def terminate(self) -> None:
        """Ask the command to end, by SIGTERM."""
        with self._lock, suppress(OSError):
            self._control.send(TERMINATE)

    def stop(self) -> None:
        """Kill the command if it still runs; its folder stays."""
        with self._lock:
            with suppress(OSError):  # it was stopped before, or its supervisor is gone
                self._control.send(STOP)
            self._control.close()


class _Lines:
    """Splits incoming bytes into lines."""

    def __init__(self):
        self._rest = b""

    def cut(self, data: bytes) -> Iterator[str]:
        """Yield the lines that are complete; empty data ends the last line."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES or not data:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r")
            if text:
                yield text
