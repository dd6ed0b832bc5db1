"""The server of a loaded program: a fork of it for each call, whose end is told to the client.

Runs with the program's own Python, gcloud's for one, and so imports nothing of ours.
"""

import atexit
import contextlib
import gc
import io
import marshal
import os
import random
import selectors
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable

MOST_FILES = 64


class Program(ABC):
    """What is served; a subclass says how."""

    def is_taken(self, call: dict) -> bool:
        """Tell whether a fork carries out a call as a new process would."""
        return True

    @abstractmethod
    def load(self, call: dict) -> None:
        """Import what the call needs, in the server; done again, it costs nothing."""

    @abstractmethod
    def run(self, call: dict) -> object:
        """Carry the call out, in a process of its own. Returns what sys.exit() would be given."""


def serve(program: Program, listener: socket.socket) -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # we end with our parent
    with selectors.DefaultSelector() as selector:
        _Server(program, listener, selector).serve()


class _Server:
    """One process, one thread: what is forked of it holds no lock of another."""

    def __init__(self, program: Program, listener: socket.socket, selector: selectors.BaseSelector):
        self.program, self.listener, self.selector = program, listener, selector
        self.ends, wake = socket.socketpair()
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only then it wakes us
        self.wake = wake
        self.running: dict[int, tuple[socket.socket, Callable[[int, int], None]]] = {}

    def serve(self) -> None:
        self._read(self.listener, self.begin)
        self._read(self.ends, self.end)
        self._read(sys.stdin, None)
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    return
                key.data()

    def _read(self, file, act: Callable[[], None] | None) -> None:
        self.selector.register(file, selectors.EVENT_READ, act)

    def begin(self) -> None:
        """Take a call from a client, and fork the process for it."""
        connection, _ = self.listener.accept()
        call, files = _received(connection)
        is_taken = call is not None and self.program.is_taken(call)
        if is_taken:
            self.program.load(call)
            gc.freeze()  # so that no fork copies it by looking for garbage
            leads = call["session"] != os.getsid(0)
            process = os.fork()
            if process == 0:
                self.leave(connection)
                _carry_out(self.program, call, files, leads)
            self.running[process] = connection, (os.killpg if leads else os.kill)
            self._read(connection, lambda: self.pass_signals_on(process))
        elif call is not None:
            with contextlib.suppress(OSError):
                connection.sendall(b"not taken\n")
        for file in files:
            os.close(file)
        if not is_taken:
            connection.close()

    def leave(self, connection: socket.socket) -> None:
        """Let go, in a fork, of what is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.selector.close()
        for each in (connection, self.listener, self.ends, self.wake, *(c for c, _ in self.running.values())):
            each.close()

    def end(self) -> None:
        """Say how those processes ended that have."""
        self.ends.recv(4096)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                process, status = ended
                connection, _ = self.running.pop(process)
                if connection.fileno() in self.selector.get_map():
                    self.selector.unregister(connection)
                with contextlib.suppress(OSError):
                    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
                connection.close()

    def pass_signals_on(self, process: int) -> None:
        """Send a process what its client was sent, and end it where the client is gone."""
        if process not in self.running:
            return  # it has ended in the meantime
        connection, send = self.running[process]
        numbers = b""
        with contextlib.suppress(OSError):
            numbers = connection.recv(16)
        if not numbers:
            self.selector.unregister(connection)
        for number in numbers or [signal.SIGKILL]:
            try:
                send(process, number)
            except ProcessLookupError:  # it does not lead its group yet; it is not collected, so still there
                os.kill(process, number)


def _received(connection: socket.socket) -> tuple[dict | None, list[int]]:
    """Return a call and the files that belong to it; None where the client was killed meanwhile."""
    try:
        head, files, _, _ = socket.recv_fds(connection, 16, MOST_FILES)
        length = int.from_bytes(head[:8], "big")
        text = connection.recv(length, socket.MSG_WAITALL)
    except OSError:
        return None, []
    if len(head) < 16 or len(text) < length:
        return None, []
    call = marshal.loads(text)
    environment = {os.fsdecode(name): os.fsdecode(value) for name, value in call["environment"].items()}
    return call | {"arguments": list(call["arguments"]), "environment": environment}, files


def _carry_out(program: Program, call: dict, files: list[int], leads: bool) -> None:
    """Become the process that the call would have started. Does not return."""
    if leads:
        os.setsid()
    elif call["group"] != os.getpgid(0):
        with contextlib.suppress(OSError):
            os.setpgid(0, call["group"])
    _take(files, call["files"])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in call["ignored"] else default)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    _open_standard_streams(call)
    time.tzset()
    random.seed()
    tempfile.tempdir = None
    os._exit(
        _ended(program, call)
    )  # at once: what was loaded is not taken apart, which would take half of the time


def _take(files: list[int], numbers: list[int]) -> None:
    """Give the files the numbers that they have in the client."""
    above = max(MOST_FILES, *numbers, *files) + 1
    held = []
    for number, file in enumerate(files):
        os.dup2(file, above + number)
        os.close(file)
        held.append(above + number)
    for file, number in zip(held, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)


def _open_standard_streams(call: dict) -> None:
    """Make the streams that a new process has: a buffer of its own, lines at once where a terminal reads."""
    is_unbuffered = "-u" in call["arguments"][:1] or bool(call["environment"].get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.FileIO(0, closefd=False), "utf-8", "surrogateescape")
    raw = io.FileIO(1, "w", closefd=False)
    buffer = raw if is_unbuffered else io.BufferedWriter(raw)
    out = io.TextIOWrapper(buffer, "utf-8", "surrogateescape", write_through=is_unbuffered)
    sys.stdout = sys.__stdout__ = out
    error = io.BufferedWriter(io.FileIO(2, "w", closefd=False))
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(error, "utf-8", "backslashreplace", line_buffering=True)


def _ended(program: Program, call: dict) -> int:
    """Run the call as Python runs a script, and return its exit code."""
    try:
        exit_code = _exit_code(program.run(call))
    except SystemExit as end:
        exit_code = _exit_code(end.code)
    except KeyboardInterrupt as error:
        _print_traceback(error)
        _flushed()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        exit_code = 130
    except BaseException as error:
        _print_traceback(error)
        exit_code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    return exit_code if _flushed() else 120


def _print_traceback(error: BaseException) -> None:
    """Print what Python prints of an error that nobody caught: without our own frames."""
    place, here = error.__traceback__, os.path.dirname(__file__)
    while place and os.path.dirname(place.tb_frame.f_code.co_filename) == here:
        place = place.tb_next
    traceback.print_exception(type(error), error, place)


def _exit_code(code: object) -> int:
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1


def _flushed() -> bool:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return False
    return True
