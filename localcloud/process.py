"""The emulator as a child process, for tests and rehearsals. It runs __main__.py."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS = 20.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Cloud:
    """A running emulator: the address of storage, the address of all other services, the state folder."""

    storage: str
    apis: str
    state: Path


@contextmanager
def running(state_dir: Path, *arguments: str) -> Iterator[Cloud]:
    """Run the emulator on a state folder, with further command-line arguments.

    It ends with the block, or when this process is killed. Its errors go to this process's stderr.
    """
    root = Path(__file__).parents[1]
    python_path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    argv = [sys.executable, "-m", "localcloud", "--state", str(state_dir), *arguments]
    child = subprocess.Popen(
        [*argv, "--with-parent", str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": python_path},
    )
    try:
        yield Cloud(**_ready_line(child), state=Path(state_dir))
    finally:
        _stop(child)


def _ready_line(child: subprocess.Popen) -> dict[str, str]:
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        is_there = selector.select(READY_SECONDS)
    line = child.stdout.readline() if is_there else ""
    if not line:
        raise RuntimeError(f"localcloud was not ready within {READY_SECONDS} s; see its stderr.")
    return json.loads(line)


def _stop(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    child.stdout.close()
