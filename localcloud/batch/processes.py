"""Runnables as processes of this machine: fast, without Docker, with the interpreter in use.

The image's /scripts/x.sh is this repository's scripts/x.sh. Options and volumes of a container play no part.
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
    """Makes commands of runnables."""

    def __init__(self, scripts: Path, caches: Path):
        self._scripts = scripts
        self._caches = caches  # what is made once for all tasks, as in the image

    def command(
        self,
        runnable: Mapping[str, Any],
        variables: Variables,
        by_batch: Mapping[str, str],
        folder: Path,
        needs: Needs,
    ) -> Command:
        """Return the command of a runnable; a process is not kept to what its job says it needs."""
        argv = self._argv(runnable, folder)
        return Command(argv, {**self._of_machine(folder), **variables.values, **by_batch}, folder)

    def _argv(self, runnable: Mapping[str, Any], folder: Path) -> list[str]:
        if "script" in runnable:
            return script_argv(runnable["script"], folder)
        container = runnable["container"]
        entrypoint = [container["entrypoint"]] if container.get("entrypoint") else []
        argv = [*entrypoint, *container.get("commands", [])]
        if not argv:
            raise CannotStart("a process needs an entrypoint or commands: what the image starts is not known")
        return [self._on_this_machine(word) for word in argv]

    def _on_this_machine(self, word: str) -> str:
        if word.startswith(IMAGE_SCRIPTS):
            return str(self._scripts / word.removeprefix(IMAGE_SCRIPTS))
        return word

    def _of_machine(self, folder: Path) -> dict[str, str]:
        """Return what the image sets, and nothing of ours but where programs are."""
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
            "NUMBA_CACHE_DIR": str(self._caches / "numba"),
            "OMP_NUM_THREADS": "1",
            "EXECUTION_MODE": "cloud",
            "LOCAL_DATA_PATH": str(folder),
        }


def script_argv(script: Mapping[str, str], folder: Path) -> list[str]:
    """Return how a script runnable is started; a text without an interpreter is for sh."""
    if "path" in script:
        return [script["path"]]
    path = folder / "runnable.sh"
    path.write_text(script["text"])
    path.chmod(0o700)
    return [str(path)] if script["text"].startswith("#!") else ["/bin/sh", str(path)]
