"""The folder of the engine's machine code: one for each CPU target and version of the sources.

numba's own key of a file is the source of one function. It sees neither the functions that were compiled
into it nor the constants of the module, so here the folder's name has a digest of all sources of the engine.
"""

import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

from modeling.cache_folder import cache_folder

ENGINE = Path(__file__).parent
MOST_KEPT = 6  # folders of a target, a few MB each: a branch and the one before find their code again
_FOLDER = re.compile(r"(?P<target>[a-z0-9-]+)-[0-9a-f]{16}")


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
    """Return the folder of a CPU target; NUMBA_CACHE_DIR chooses another place than the person's cache."""
    chosen = os.environ.get("NUMBA_CACHE_DIR", "")
    base = Path(chosen) if chosen else cache_folder() / "compiled"
    return base / f"{target}-{sources_digest()}"


def is_trusted() -> bool:
    """Return whether nobody else can have put code into the cache, which without a home is in /tmp."""
    try:
        return bool(os.environ.get("NUMBA_CACHE_DIR")) or cache_folder().stat().st_uid in (0, os.geteuid())
    except FileNotFoundError:
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
