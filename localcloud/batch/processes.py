"""Runnables as processes of this machine: fast, without Docker, with the current Python interpreter.

The image's /scripts/x.sh is this repository's scripts/x.sh. Options and volumes of a container are ignored.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.batch.machines import Needs
from localcloud.batch.variables import Variables
from localcloud.child import CannotStart, Command

IMAGE_SCRIPTS = "/scripts/"


class Processes:
    """Makes the commands of runnables."""

    def __init__(self, scripts: Path, caches: Path):
        self._scripts = scripts
        self._caches = caches  # shared by all tasks, as in the image

    def command(
        self,
        runnable: Mapping[str, Any],
        variables: Variables,
        by_batch: Mapping[str, str],
        folder: Path,
        needs: Needs,
    ) -> Command:
        """Return the command of a runnable; a process is not limited to the CPU and memory of its job."""
        argv = self._argv(runnable, folder)
        return Command(argv, {**self._of_machine(folder), **variables.values, **by_batch}, folder)

    def _argv(self, runnable: Mapping[str, Any], folder: Path) -> list[str]:
        if "script" in runnable:
            return script_argv(runnable["script"], folder)
        container = runnable["container"]
        entrypoint = [container["entrypoint"]] if container.get("entrypoint") else []
        argv = [*entrypoint, *container.get("commands", [])]
        if not argv:
            raise CannotStart("a process needs an entrypoint or commands: the image's own is not known here")
        return [self._on_this_machine(word) for word in argv]

    def _on_this_machine(self, word: str) -> str:
        if word.startswith(IMAGE_SCRIPTS):
            return str(self._scripts / word.removeprefix(IMAGE_SCRIPTS))
        return word

    def _of_machine(self, folder: Path) -> dict[str, str]:
        """Return the variables that the image sets; of this process's own, only the path of programs."""
        programs = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        return {
            "PATH": os.pathsep.join(programs),
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            "PYTHON": sys.executable,
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "MPLCONFIGDIR": str(self._caches / "matplotlib"),
            "NUMBA_CACHE_DIR": str(machine_code()),
            "OMP_NUM_THREADS": "1",
            "EXECUTION_MODE": "cloud",
            "LOCAL_DATA_PATH": str(folder),
        }


def machine_code() -> Path:
    """Return the folder of machine code that runs on this machine share; an image has its own."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    return Path(chosen) if chosen else root / "epymodelingsuite-cloud" / "compiled"


def script_argv(script: Mapping[str, str], folder: Path) -> list[str]:
    """Return the command of a script; text without a #! line is run by sh."""
    if "path" in script:
        return [script["path"]]
    path = folder / "runnable.sh"
    path.write_text(script["text"])
    path.chmod(0o700)
    return [str(path)] if script["text"].startswith("#!") else ["/bin/sh", str(path)]
