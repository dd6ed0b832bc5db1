"""Loads gcloud at the first call, and forks for each: a process that carries it out, one that watches."""

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
import threading
import time
import traceback

# what most commands load besides; one that another version does not have is left out
USUAL = (
    "googlecloudsdk.api_lib.batch.jobs",
    "googlecloudsdk.api_lib.logging.common",
    "googlecloudsdk.api_lib.storage.api_factory",
    "googlecloudsdk.api_lib.workflows.workflows",
    "googlecloudsdk.command_lib.storage.wildcard_iterator",
    "googlecloudsdk.core.credentials.requests",
    "googlecloudsdk.core.credentials.store",
    "googlecloudsdk.core.resource.resource_printer",
)


def main(root: str, listener: socket.socket) -> None:
    """Serve until standard input ends."""
    sys.path[:0] = [f"{root}/lib/third_party", f"{root}/lib"]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that watch
    while select.select([listener, sys.stdin], [], [])[0] == [listener]:
        connection, _ = listener.accept()
        _load()
        if os.fork() == 0:
            listener.close()
            _answer(connection, root)
        connection.close()


def _load() -> None:
    importlib.import_module("googlecloudsdk.gcloud_main")
    for name in USUAL:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # so that no fork copies it by looking for garbage


def _answer(connection: socket.socket, root: str) -> None:
    """Carry a call out, and say how it ended. Does not return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, _, _ = socket.recv_fds(connection, 8, 3)
    call = json.loads(connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
    process = os.fork()
    if process == 0:
        connection.close()
        _carry_out(call, files, root)
    for file in files:
        os.close(file)
    threading.Thread(target=_pass_signals_on, args=(connection, process), daemon=True).start()
    _, status = os.waitpid(process, 0)
    with contextlib.suppress(OSError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _pass_signals_on(connection: socket.socket, process: int) -> None:
    """Send the process what its client was sent, and end it where the client is gone."""
    with contextlib.suppress(OSError):
        while numbers := connection.recv(16):
            for number in numbers:
                os.kill(process, number)
        os.kill(process, signal.SIGKILL)


def _carry_out(call: dict, files: list[int], root: str) -> None:
    """Become the process that gcloud's start script would have started. Does not return."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    os.environ.update(CLOUDSDK_ROOT_DIR=root, CLOUDSDK_ENCODING="UTF-8", PYTHONIOENCODING="UTF-8")
    time.tzset()
    random.seed()
    sys.argv = [f"{root}/lib/gcloud.py", *call["arguments"]]
    try:
        exit_code = sys.modules["googlecloudsdk.gcloud_main"].main()
    except SystemExit as end:
        exit_code = end.code
    except BaseException:
        traceback.print_exc()
        exit_code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code or 0)  # at once: what was loaded is not taken apart, which would take half of the time


if __name__ == "__main__":
    main(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
