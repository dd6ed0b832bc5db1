"""The real gcloud, loaded once for all tests of a process: loading takes nine tenths of the time of a call.

`gcloud` on PATH is then client.py, which hands a call over to server.py, which forks a process for it. That
one runs gcloud's own code, with the arguments, the environment, the folder and the open files of the call.
"""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE = Path(__file__).parent


@contextmanager
def on_path() -> Iterator[str | None]:
    """Put a loaded gcloud on PATH; one that does not come with a Python of its own is left as it is.

    Yields the path of the program that is installed.
    """
    program = shutil.which("gcloud")
    root = Path(program).resolve().parents[1] if program else Path()
    python = root / "platform" / "bundledpythonunix" / "bin" / "python3"
    if not python.is_file():
        yield program
        return
    before = os.environ["PATH"]
    folder = Path(tempfile.mkdtemp(prefix="gcloud-"))  # short: the name of a socket has 100 characters
    words = [sys.executable, "-I", "-S", str(_HERE / "client.py"), str(folder / "socket")]
    (folder / "gcloud").write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    (folder / "gcloud").chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(64)
        server = subprocess.Popen(
            [python, "-S", _HERE / "server.py", root, str(listener.fileno())],
            env={"HOME": os.environ.get("HOME", ""), "PATH": before, "PYTHONIOENCODING": "UTF-8"},
            stdin=subprocess.PIPE,  # it ends with this pipe, however we end
            stdout=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
        )
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        yield program
    finally:
        os.environ["PATH"] = before
        server.stdin.close()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)
