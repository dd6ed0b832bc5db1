"""The server of a loaded program: for each call, a process that carries it out and one that watches it.

Runs with the program's own Python, gcloud's for one, and so imports nothing of ours.
"""

import atexit
import contextlib
import gc
import io
import marshal
import os
import random
import select
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback

MOST_FILES = 64


class Program:
    """What is served; a subclass says how."""

    def is_taken(self, call: dict) -> bool:
        """Tell whether a fork carries out a call as a new process would."""
        return True

    def load(self, call: dict) -> None:
        """Import what the call needs, in the server; done again, it costs nothing."""

    def run(self, call: dict) -> object:
        """Carry the call out, in a process of its own. Returns what sys.exit() would be given."""
        raise NotImplementedError


def serve(program: Program, listener: socket.socket) -> None:
    """Serve until standard input ends."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a Ctrl-C ends what it is meant for, and we end with our parent
    while select.select([listener, sys.stdin], [], [])[0] == [listener]:
        connection, _ = listener.accept()
        call, files = _received(connection)
        if call is None:
            connection.close()
            continue
        if not program.is_taken(call):
            with contextlib.suppress(OSError):
                connection.sendall(b"not taken\n")
        else:
            program.load(call)
            gc.freeze()  # so that no fork copies it by looking for garbage
            if os.fork() == 0:
                listener.close()
                _watch(program, call, files, connection)
        for file in files:
            os.close(file)
        connection.close()
        _reap(os.WNOHANG)
    _reap(0)


def _reap(options: int) -> None:
    """Let go of those that watch and have ended, so that their time counts as ours."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options) != (0, 0):
            pass


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


def _watch(program: Program, call: dict, files: list[int], connection: socket.socket) -> None:
    """Have a call carried out, and say how it ended. Does not return."""
    leads = call["session"] != os.getsid(0)
    process = os.fork()
    if process == 0:
        connection.close()
        _carry_out(program, call, files, leads)
    for file in files:
        os.close(file)
    end = os.killpg if leads else os.kill
    threading.Thread(target=_pass_signals_on, args=(connection, process, end), daemon=True).start()
    _, status = os.waitpid(process, 0)
    with contextlib.suppress(OSError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _pass_signals_on(connection: socket.socket, process: int, send) -> None:
    """Send the process what its client was sent, and end it where the client is gone."""
    with contextlib.suppress(OSError):
        while numbers := connection.recv(16):
            for number in numbers:
                send(process, number)
        send(process, signal.SIGKILL)


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
