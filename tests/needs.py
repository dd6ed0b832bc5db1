"""Programs a test cannot do without: skipped where one is missing, failed in continuous tests."""

import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.experiments import REPOSITORY

TOOLS = REPOSITORY.parent / "shared" / "tools"
STAND_IN = TOOLS / "terraform-offline" / "tf-offline"


def need_program(name: str) -> str:
    """The path of a program; where CI is "true" a missing one is a failure, not a skip."""
    path = shutil.which(name)
    if path:
        return path
    return _is_missing(f"{name} is not installed")


def need_chromium() -> str:
    """The path of the browser in which a page is laid out."""
    return shutil.which("chromium") or _is_missing(
        "chromium is not installed; on Debian: tests/local-chromium"
    )


def need_hub_validator() -> Path:
    """The script that checks a submission against FluSight's own configuration."""
    script = TOOLS / "validate-hub"
    return script if script.is_file() else _is_missing(f"no checker of submissions, {script}")


def need_terraform(applies: bool = False) -> dict[str, str]:
    """Return the variables with which Terraform finds its provider.

    A stand-in with its schemas is taken where one is (TF_OFFLINE names it), else the provider itself, which a
    test that `applies` does not do with: it would ask for a real project.
    """
    need_program("terraform")
    tool = Path(os.environ.get("TF_OFFLINE") or STAND_IN)
    if tool.is_file():
        return {"TF_CLI_CONFIG_FILE": _stand_in_config(tool)}
    address = ("registry.terraform.io", 443)
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=5):
        if applies:
            pytest.skip(f"no stand-in for Terraform's provider in {tool}")
        return {"TF_CLI_CONFIG_FILE": ""}
    return _is_missing(f"Terraform's provider cannot be had: no {tool}, and no network")


@functools.cache
def _stand_in_config(tool: Path) -> str:
    """Return the configuration that has Terraform take its providers from a folder on this machine."""
    configuration = str(REPOSITORY / "terraform")
    done = subprocess.run([tool, "--keep", configuration, "init"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kept = Path(done.stderr.rpartition("working copy kept in ")[2].strip())
    atexit.register(shutil.rmtree, kept, ignore_errors=True)
    return str(kept / "cli.tfrc")


def need_engine() -> None:
    """Go on only where a Docker engine answers."""
    need_program("docker")
    if subprocess.run(["docker", "info"], capture_output=True).returncode:
        _is_missing('no Docker engine answers; start one, or: eval "$(tests/local-docker up)"')


def _is_missing(message: str):
    if os.environ.get("CI") == "true":
        pytest.fail(f"{message}, and no test is skipped in continuous tests")
    pytest.skip(message)


def docker(*words: str) -> str:
    """Return what docker prints."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def one_build_at_a_time() -> Iterator[None]:
    """Keep the test processes from building the same layers side by side."""
    with open(Path(tempfile.gettempdir()) / "epymodelingsuite-image.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_image(
    target: str,
    tag: str,
    arguments: Mapping[str, str],
    *options: str,
    context: Path = REPOSITORY,
    **variables: str,
) -> subprocess.CompletedProcess:
    """Build an image of the Dockerfile; what was said is all in `stdout`."""
    words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    with one_build_at_a_time():
        return subprocess.run(
            [
                "docker",
                "build",
                "-f",
                "docker/Dockerfile",
                "--target",
                target,
                "-t",
                tag,
                *words,
                *options,
                ".",
            ],
            cwd=context,
            env={**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
