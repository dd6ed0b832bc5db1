"""Run one command and leave no process of it behind. A program of its own, which imports nothing of ours.

    python -I -S supervisor.py FOLDER COUNT [CLEANUP ...] ARGV ...

Standard input is a socket, to which the process id of the command is written, as a line. The byte "t" on it
asks the command to end (SIGTERM), any other byte kills it, and so does the end of the input: the emulator is
gone, perhaps by kill -9, and FOLDER is then removed. The exit code is that of the command, or 128 plus the
signal that killed it. In any case, every process that the command started is killed, even in another session:
on Linux, orphans become children of this process. The COUNT words of CLEANUP are a command that stops what
runs elsewhere, such as a container.
"""

import os
import select
import signal
import sys
import time
from contextlib import suppress

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
TERMINATE = b"t"
NOT_FOUND = 127
POLL_SECONDS = 0.005
CLEANUP_SECONDS = 20.0
IS_LINUX = sys.platform == "linux"


def main(folder: str, count: str, *words: str) -> int:
    cleanup, argv = words[: int(count)], words[int(count) :]
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    children_ended = _wake_on_children()
    command = _start(argv)
    with suppress(OSError):  # the emulator is gone: _wait finds the end of the input
        os.write(0, b"%d\n" % command)
    status, is_emulator_gone = _wait(command, children_ended)
    if status is None and cleanup:
        status = _clean_up_until_ended(cleanup, command)
    elif cleanup and status is not None and os.WIFSIGNALED(status):
        _run_quietly(cleanup)
    _kill_all(command)
    if is_emulator_gone:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
    return 128 + signal.SIGKILL if status is None else _exit_code(status)


def _wake_on_children() -> int:
    """Return a file descriptor that becomes readable when a child ends."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return readable


def _start(argv) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(NOT_FOUND)


def _wait(command: int, children_ended: int) -> tuple[int | None, bool]:
    """Return the command's exit status, None if it must be killed, and whether the emulator is gone."""
    waiting = select.poll()
    waiting.register(0, select.POLLIN)
    waiting.register(children_ended, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in waiting.poll()}
        if children_ended in ready:
            os.read(children_ended, 4096)
        status = _reap(command)
        if status is not None:
            return status, False
        if 0 in ready:
            asked = _read_byte()
            if asked != TERMINATE:
                return None, not asked
            with suppress(ProcessLookupError):
                os.kill(command, signal.SIGTERM)


def _read_byte() -> bytes:
    """Return the next byte of the emulator, none if it is gone."""
    with suppress(ConnectionError):
        return os.read(0, 1)
    return b""


def _reap(command: int) -> int | None:
    """Collect the children that have ended; return the command's exit status if it is one of them."""
    found = None
    while True:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if child == 0:
            return found
        if child == command:
            found = status


def _clean_up_until_ended(cleanup, command: int) -> int | None:
    """Repeat the cleanup until the command ends: the container it removes may still be starting."""
    until = time.monotonic() + CLEANUP_SECONDS
    while time.monotonic() < until:
        _run_quietly(cleanup)
        for _ in range(50):
            status = _reap(command)
            if status is not None:
                return status
            time.sleep(POLL_SECONDS)
    return None


def _run_quietly(argv) -> None:
    child = os.fork()
    if child == 0:
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nothing, descriptor)
            os.execvp(argv[0], argv)
        finally:
            os._exit(NOT_FOUND)
    os.waitpid(child, 0)


def _kill_all(command: int) -> None:
    """Kill children until none is left: the children of a killed one become ours."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(command, signal.SIGKILL)
    while True:
        for child in _children() if IS_LINUX else ():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(POLL_SECONDS)


def _children():
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    # the program's name, in brackets, may contain any character
                    parent = int(stat.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == os.getpid():
                yield int(name)


def _prctl(option: int, value: int) -> None:
    if IS_LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _exit_code(status: int) -> int:
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
