"""The images of the stages, built, tested and pushed on this machine. Cloud Build is in cloud_build.py."""

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

from ops.cloud.deployment import repository_path
from ops.failures import UserError
from ops.images.image_checks import CONFIGS, KINDS, check_image
from ops.laptop.launch import LOCAL_IMAGE, check_engine
from ops.laptop.local_run import commit_of
from ops.names import COMPONENT
from ops.settings import ROOT, Settings
from ops.shell import Shell
from ops.terminal import nearest

DOCKERFILE = ROOT / "docker" / "Dockerfile"
TOKEN = "GITHUB_PAT"
LABELS = {"component": COMPONENT, "stage": "imagebuild", "managed-by": "manual"}
TARGETS = ("cloud", "local")  # of the stages; Cloud Build makes those of the services
SOURCES = ("docker", "modeling", "scripts", "services")  # folders that a build is given


def build_dev(shell: Shell, settings: Settings) -> None:
    """Build the local image, for `invoke run --docker`.

    Raises
    ------
    UserError
        No engine, or the build failed; see its output above.
    """
    check_engine(shell)
    _build(shell, settings, "local", [LOCAL_IMAGE])
    shell.report(f"built {LOCAL_IMAGE}; `invoke run --docker --exp-id demo` uses it")


def build_local(
    shell: Shell, settings: Settings, push: bool = True, no_cache: bool = False, target: str = "cloud"
) -> None:
    """Build the cloud image or the local one on this machine, test it, and push it with commit and tag.

    Raises
    ------
    UserError
        As build_dev(); the target does not exist; or a structure test failed, and nothing was pushed.
    """
    if target not in TARGETS:
        raise UserError(f"--target {target}: use cloud or local")
    names = tagged(settings, source_commit(), target)
    check_engine(shell)
    _build(shell, settings, target, names, no_cache)
    check_image(shell, names[0], CONFIGS[target])
    for name in names if push else []:
        if shell.stream(["docker", "push", name]):
            host = name.partition("/")[0]
            raise UserError(
                f"{name} was not pushed; if credentials are missing: gcloud auth configure-docker {host}",
                exit_code=1,
            )


def check(shell: Shell, image: str = "") -> None:
    """Run the structure tests of an image: those of its kind, which its variables tell."""
    image = image or LOCAL_IMAGE
    check_engine(shell)
    found = shell.run(["docker", "image", "inspect", image], timeout_seconds=20, echo=False)
    if found and found.exit_code:
        raise UserError(
            f"image {image} not found; `docker image ls` lists them, `invoke build-dev` builds the local one"
        )
    variables = json.loads(found.output)[0]["Config"]["Env"] if found else []
    kind = next((kind for kind, variable in KINDS.items() if variable in variables), "local")
    check_image(shell, image, CONFIGS[kind])


def tagged(settings: Settings, commit: str, target: str = "cloud") -> list[str]:
    """Names of the image: by commit, and by IMAGE_TAG; the local one never takes the tag that runs use."""
    path = repository_path(settings)
    if target == "local":
        return [f"{path}:local-{commit_tag(commit)}", f"{path}:local"]
    return [f"{path}:{commit_tag(commit)}", f"{path}:{settings.image_tag}"]


def commit_tag(commit: str) -> str:
    """Return the tag for a commit; "no-commit" for a folder without git."""
    return commit or "no-commit"


def source_commit() -> str:
    """Return this repository's commit, with -dirty if files of the image differ or are new."""
    commit = commit_of(ROOT)
    status = ["git", "-C", str(ROOT), "status", "--porcelain", "--", *SOURCES]
    differs = commit and not commit.endswith("-dirty") and Shell().capture(status, timeout_seconds=20)
    return f"{commit}-dirty" if differs else commit


def build_arguments(settings: Settings) -> dict[str, str]:
    """Return the Dockerfile's arguments."""
    repository, ref = settings.github_modeling_suite_repo, settings.github_modeling_suite_ref
    moves = bool(repository) and not re.fullmatch("[0-9a-f]{40}", ref)
    return {
        "BASE_IMAGE": settings.base_image,
        "COMMIT": source_commit(),
        "VERSION": f"{datetime.now(UTC):%Y%m%d}",
        "WITH_PARQUET": "1" if settings.with_parquet else "0",
        "WITH_GCLOUD": "1" if settings.with_gcloud else "0",
        "GITHUB_URL": settings.github_url,
        "GITHUB_MODELING_SUITE_REPO": repository,
        "GITHUB_MODELING_SUITE_REF": ref if repository else "",
        # the layer of a branch must not be reused after the branch has moved
        "GITHUB_MODELING_SUITE_AT": f"{datetime.now(UTC):%Y%m%d-%H%M%S}" if moves else "",
    }


def _build(shell: Shell, settings: Settings, target: str, names: list[str], no_cache: bool = False) -> None:
    argv = ["docker", "build", "--file", nearest(DOCKERFILE), "--target", target]
    argv += [word for name in names for word in ("--tag", name)]
    argv += ["--no-cache"] if no_cache else []
    for name, value in build_arguments(settings).items():
        if target == "cloud" or name != "WITH_GCLOUD":
            argv += ["--build-arg", f"{name}={value}"] if value else []
    argv += [word for name, value in LABELS.items() for word in ("--label", f"{name}={value}")]
    if settings.github_modeling_suite_repo and os.environ.get(TOKEN):
        argv += ["--secret", f"id=github_pat,env={TOKEN}"]  # the name only, not its value
    if shell.stream([*argv, nearest(Path(ROOT))], {"DOCKER_BUILDKIT": "1"}):
        raise UserError(f"{names[0]} was not built; see above", exit_code=1)
