"""Programs that tests start often, loaded once: loading takes nine tenths of the time of most calls.

`gcloud` on PATH and the Python in `sys.executable` are then a small client that hands a call over to a server
(gcloud.py, python.py), which forks a process for it. That process runs the program's own code, with the
arguments, environment, folder, open files and signals of the call, and the client ends as that process ends.
What a fork cannot do as a new process would, the real program does: see python.py.
"""

import os
import py_compile
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_HERE = Path(__file__).parent
IS_LINUX = sys.platform == "linux"  # elsewhere /proc is missing


@contextmanager
def gcloud_on_path() -> Iterator[str | None]:
    """Put a loaded gcloud on PATH; one that does not come with a Python of its own is left as it is.

    Yields the path of the program that is installed.
    """
    program = shutil.which("gcloud")
    root = Path(program).resolve().parents[1] if program else Path()
    python = root / "platform" / "bundledpythonunix" / "bin" / "python3"
    if not python.is_file() or not IS_LINUX:
        yield program
        return
    before = os.environ["PATH"]
    with _folder("gcloud-") as folder:
        server = [str(python), "-S", str(_HERE / "gcloud.py"), str(root)]
        with _served(server, folder / "socket"):
            _write_client(folder / "gcloud", folder / "socket", program)
            os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
            try:
                yield program
            finally:
                os.environ["PATH"] = before


@contextmanager
def python() -> Iterator[str]:
    """Make `sys.executable` a Python that has the stage scripts and invoke loaded.

    It is in a virtual environment of its own, with the packages and programs of ours. Yields the real Python.
    """
    real = sys.executable
    if not IS_LINUX:
        yield real
        return
    with _folder("python-") as folder:
        program = _virtual_environment(Path(real), folder)
        server = [real, str(_HERE / "python.py"), str(program)]
        with _served(server, folder / "socket", OMP_NUM_THREADS="1"):
            _write_client(program, folder / "socket", real)
            sys.executable = str(program)
            try:
                yield real
            finally:
                sys.executable = real


def _virtual_environment(real: Path, folder: Path) -> Path:
    """Link to all of the Python's virtual environment but the Python itself, and return where that goes."""
    home = real.parents[1]
    shutil.copy(home / "pyvenv.cfg", folder)
    (folder / "lib").symlink_to(home / "lib")
    programs = folder / "bin"
    programs.mkdir()
    for each in real.parent.iterdir():
        if not each.name.startswith("python"):
            (programs / each.name).symlink_to(each)
    (programs / "python3").symlink_to("python")
    return programs / "python"


@contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    folder = Path(
        tempfile.mkdtemp(prefix=prefix, dir="/tmp")
    )  # short: the name of a socket has 100 characters
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _served(command: Sequence[str], path: Path, **variables: str) -> Iterator[None]:
    """Run a server on a socket; it ends with the block, and also when this process is killed."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        server = subprocess.Popen(
            [*command, str(listener.fileno())],
            env={**kept, "PYTHONIOENCODING": "UTF-8", **variables},
            stdin=subprocess.PIPE,  # it ends with this pipe, however we end
            stdout=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
        )
    try:
        yield
    finally:
        server.stdin.close()
        server.wait()


def _write_client(path: Path, socket: Path, program: str) -> None:
    """Write a client of a server; no shell starts it, for that would change the environment.

    Its module is compiled here, and not by a call (-B): one that may write only small files would leave half.
    """
    py_compile.compile(str(_HERE / "client.py"), doraise=True)
    call = f"main({str(socket)!r}, {program!r}, {str(path)!r}, *sys.argv[1:])"
    path.write_text(
        f"#!{sys.executable} -IBS\n"
        f"import sys\n\nsys.path.insert(0, {str(_HERE)!r})\nfrom client import main\n\nsys.exit({call})\n"
    )
    path.chmod(0o755)
