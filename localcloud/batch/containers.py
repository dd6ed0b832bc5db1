"""Runnables as containers of this machine's Docker engine, in the image that the cloud would run.

An image is never pulled: a table maps its name in the registry to a local tag. A script runs on the machine
itself, as Batch does it.
"""

import os
import shlex
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.batch.machines import Needs
from localcloud.batch.processes import script_argv
from localcloud.batch.variables import Variables
from localcloud.child import CannotStart, Command

_CLIENT_VARIABLES = ("PATH", "HOME")  # and all that begin with DOCKER_


class Containers:
    """Makes the commands of runnables."""

    def __init__(self, images: Mapping[str, str]):
        self._docker = shutil.which("docker")
        if self._docker is None:
            raise CannotStart("tasks run in containers here, but docker is not installed")
        self._images = images  # local tag by name in a registry, with or without its tag or digest

    def command(
        self,
        runnable: Mapping[str, Any],
        variables: Variables,
        by_batch: Mapping[str, str],
        folder: Path,
        needs: Needs,
    ) -> Command:
        client = {name: text for name, text in os.environ.items() if _is_of_client(name)}
        if "script" in runnable:
            argv = script_argv(runnable["script"], folder)
            return Command(argv, {**client, **variables.values, **by_batch}, folder)
        container = runnable["container"]
        name = f"localcloud-{uuid.uuid4().hex}"
        all_variables = variables.updated(by_batch, {})
        argv = [
            *(self._docker, "run", "--rm", "--pull", "never", "--name", name, "--network", "host"),
            *("--cpus", f"{min(needs.cpu_milli / 1000, os.cpu_count() or 1):g}"),
            *("--memory", f"{needs.memory_mib}m"),
            *_variable_options(all_variables),
            *(word for volume in container.get("volumes", []) for word in ("--volume", volume)),
            *_options(container.get("options", "")),
            *(("--entrypoint", container["entrypoint"]) if container.get("entrypoint") else ()),
            self.local_image(container["imageUri"]),
            *container.get("commands", []),
        ]
        handed_over = {n: text for n, text in all_variables.values.items() if not _is_of_client(n)}
        cleanup = (self._docker, "rm", "--force", name)
        return Command(argv, {**client, **handed_over}, folder, cleanup)

    def local_image(self, name: str) -> str:
        """Return the local tag of an image, looked up by its full name or without tag or digest."""
        without_digest = name.partition("@")[0]
        path, colon, tag = without_digest.rpartition(":")
        without_tag = path if colon and "/" not in tag else without_digest
        for known in (name, without_digest, without_tag):
            if known in self._images:
                return self._images[known]
        return name


def _options(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise CannotStart(f"the options {text!r} of a container cannot be read: {error}") from error


def _variable_options(variables: Variables) -> list[str]:
    """Return the options that pass variables by name, so that `ps` does not show their values.

    The docker client takes the values from its environment. Variables that would affect the client itself are
    passed by value.
    """
    options = []
    for name, value in variables.values.items():
        if _is_of_client(name) and name in variables.secret_names:
            raise CannotStart(f"{name} affects the docker client, so it cannot be a secret here")
        options += ["--env", f"{name}={value}" if _is_of_client(name) else name]
    return options


def _is_of_client(name: str) -> bool:
    return name in _CLIENT_VARIABLES or name.startswith("DOCKER_")
