"""The images of the stages, built on this machine."""

import os
from datetime import UTC, datetime

from ops.failures import UserError
from ops.launch import LOCAL_IMAGE
from ops.local_run import commit_of
from ops.settings import ROOT, Settings
from ops.shell import Shell
from ops.shown import nearest

DOCKERFILE = ROOT / "docker" / "Dockerfile"
TOKEN = "GITHUB_PAT"


def build_dev(shell: Shell, settings: Settings) -> None:
    """Build the local image, for `invoke run --docker`.

    Raises
    ------
    UserError
        No engine, or the build failed; what it said stands above.
    """
    argv = ["docker", "build", "--file", nearest(DOCKERFILE), "--target", "local", "--tag", LOCAL_IMAGE]
    if shell.stream([*argv, *_arguments(settings), nearest(ROOT)], {"DOCKER_BUILDKIT": "1"}):
        raise UserError(f"{LOCAL_IMAGE} was not built; what went wrong stands above", exit_code=1)
    if not shell.dry_run:
        print(f"{LOCAL_IMAGE} is there; `invoke run --docker --exp-id demo` uses it")


def _arguments(settings: Settings) -> list[str]:
    """Return the build's arguments; the token travels by its name alone, and only where it is needed."""
    arguments = {
        "BASE_IMAGE": settings.base_image,
        "COMMIT": commit_of(ROOT),
        "VERSION": f"{datetime.now(UTC):%Y%m%d}",
        "GITHUB_MODELING_SUITE_REPO": settings.github_modeling_suite_repo,
        "GITHUB_MODELING_SUITE_REF": settings.github_modeling_suite_ref,
    }
    words = [
        word for name, value in arguments.items() if value for word in ("--build-arg", f"{name}={value}")
    ]
    if settings.github_modeling_suite_repo and os.environ.get(TOKEN):
        words += ["--secret", f"id=github_pat,env={TOKEN}"]
    return words
