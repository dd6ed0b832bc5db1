"""The engine's machine code in files, and their folder: one for each CPU target and version of the sources.

numba's own key of a file is the source of one function. It sees neither the functions that were compiled
into it nor the constants of the module, so here the folder's name has a digest of all sources of the engine.

What is missing is compiled once, by a separate process (precompile.py).
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from modeling.cache_folder import cache_folder
from modeling.engine.target import TARGET

log = logging.getLogger(__name__)

ENGINE = Path(__file__).parent
MOST_KEPT = 6  # folders of a target, a few MB each: a branch and the one before find their code again
_DIGEST_BYTES = hashlib.sha256().digest_size
_FOLDER = re.compile(r"(?P<target>[a-z0-9-]+)-[0-9a-f]{16}")


def code_of(name: str) -> bytes:
    """Return the code in a file of the engine's folder; what is missing or damaged is compiled."""
    folder = code_folder(TARGET.name)
    if is_trusted() and (code := read_code(folder / name)):
        return code
    if open_for_writing(folder):
        with _alone(folder):
            if code := read_code(folder / name):
                return code
            log.info("compiling the engine for this machine, about half a minute; once per version")
            return _compiled_in(folder, name)
    log.warning(
        "compiling the engine for this process alone, about half a minute each time, because %s cannot "
        "be written, or is another user's; set NUMBA_CACHE_DIR to a folder of your own",
        folder.parent,
    )
    with tempfile.TemporaryDirectory() as work:
        return _compiled_in(Path(work), name)


def write_code(path: Path, code: bytes) -> None:
    """Write an object file, with a digest after its end, in one step."""
    temporary = path.with_name(f".{path.name}.{time.time_ns()}")
    temporary.write_bytes(code + hashlib.sha256(code).digest())
    temporary.replace(path)


def read_code(path: Path) -> bytes:
    """Return the code in a file; nothing if it is missing or damaged: loading such code ends the process."""
    try:
        data = path.read_bytes()
    except OSError:
        return b""
    code, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == digest else b""


def _compiled_in(folder: Path, name: str) -> bytes:
    compile_into(folder, name)
    if code := read_code(folder / name):
        return code
    raise RuntimeError(f"{folder / name} was compiled, and cannot be read")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that of tasks that start together one compiles and the others wait."""
    with open(folder / ".lock", "ab") as file:
        with contextlib.suppress(OSError):  # a network drive without locks: each task compiles
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compile_into(folder: Path, name: str = "", target: str = TARGET.name) -> None:
    """Compile a kernel, or all, into a folder, by a process whose numba has compiled for no other CPU."""
    path = os.pathsep.join([str(ENGINE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    known = {"ENGINE_TARGET": target, "PYTHONPATH": path}
    done = subprocess.run(
        # -P: a folder "modeling" where a task runs is not this one
        [sys.executable, "-P", "-m", "modeling.engine.precompile", "--into", str(folder.absolute()), name],
        env={**{n: v for n, v in os.environ.items() if not n.startswith("NUMBA_")}, **known},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the engine cannot be compiled (exit code {done.returncode}):\n{done.stderr}")


@cache
def sources_digest() -> str:
    """Return a digest of the engine's sources and of the versions that turn them into machine code."""
    digest = hashlib.sha256(sys.version.encode())
    for package in ("numba", "llvmlite", "numpy"):
        digest.update(f"{package} {importlib.metadata.version(package)}\n".encode())
    for path in sorted(ENGINE.glob("*.py")):
        text = path.read_bytes()
        digest.update(f"{path.name} {len(text)}\n".encode() + text)
    return digest.hexdigest()[:16]


def code_folder(target: str) -> Path:
    """Return the folder of a CPU target."""
    return base_folder() / f"{target}-{sources_digest()}"


def base_folder() -> Path:
    """Return the folder of all code; NUMBA_CACHE_DIR replaces the user's cache."""
    chosen = os.environ.get("NUMBA_CACHE_DIR", "")
    return Path(chosen) if chosen else cache_folder() / "compiled"


def is_trusted() -> bool:
    """Return whether nobody else can have put code into the cache, which without a home is in /tmp."""
    try:
        return bool(os.environ.get("NUMBA_CACHE_DIR")) or cache_folder().stat().st_uid in (0, os.geteuid())
    except OSError:
        return True


def open_for_writing(folder: Path) -> bool:
    """Make the folder and remove those of old versions; return whether code can be kept there."""
    is_new = not folder.exists()
    try:
        if not is_trusted():
            return False
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # access rights do not show a read-only file system
    except OSError:
        return False
    if is_new:
        _remove_old(folder)
    return True


def _remove_old(newest: Path) -> None:
    target = _FOLDER.fullmatch(newest.name)["target"]
    others = [
        path
        for path in newest.parent.iterdir()
        if (match := _FOLDER.fullmatch(path.name)) and match["target"] == target and path != newest
    ]
    for path in sorted(others, key=_changed, reverse=True)[MOST_KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)  # another process may remove it as well


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
