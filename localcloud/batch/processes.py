"""Runnables as processes of this machine: fast, without Docker, with the current Python interpreter.

The image's /scripts/x.sh is this repository's scripts/x.sh. Options and volumes of a container are ignored.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.batch.machines import Needs
from localcloud.batch.variables import Variables
from localcloud.child import CannotStart, Command
from localcloud.machine import machine_variables

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
        by_machine = machine_variables(folder, self._caches)
        return Command(argv, {**by_machine, **variables.values, **by_batch}, folder)

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


def script_argv(script: Mapping[str, str], folder: Path) -> list[str]:
    """Return the command of a script; text without a #! line is run by sh."""
    if "path" in script:
        return [script["path"]]
    path = folder / "runnable.sh"
    path.write_text(script["text"])
    path.chmod(0o700)
    return [str(path)] if script["text"].startswith("#!") else ["/bin/sh", str(path)]
