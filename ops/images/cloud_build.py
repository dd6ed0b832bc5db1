"""Builds by Cloud Build: submitted, followed, listed. cloudbuild.yaml defines that of the cloud image."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table

from ops.cloud.checks import check_bucket
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import repository_path
from ops.failures import UserError
from ops.images.build_log import FINISHED, follow, why
from ops.images.images import build_arguments, commit_tag
from ops.names import account_email
from ops.settings import RENDERED, ROOT, Settings
from ops.terminal import console, nearest

CONFIG = ROOT / "cloudbuild.yaml"
TAG = "epymodelingsuite"
MOST_SHOWN = 20
MOST_LOOKED_AT = 100  # newest builds, to find unfinished ones
SUBMIT_SECONDS = 900  # with the upload of the source


@dataclass(frozen=True)
class BuildRequest:
    """A build as Cloud Build is asked for it."""

    images: str  # that it makes, for people
    config: Path
    substitutions: Mapping[str, str]  # of the config; those without a value are left out
    sources: str  # folder for the uploaded working tree, gs://BUCKET/FOLDER
    account: str  # e-mail address of the account that it runs as


def submit(cloud: Cloud, wait: bool = False, no_cache: bool = False) -> None:
    """Submit a build of this working tree, and follow it if asked to.

    Raises
    ------
    UserError
        A setting is missing, Cloud Build refused it, or (followed) the build failed.
    """
    request = _stage_request(cloud, no_cache)
    warn_if_dirty(request)
    check_bucket(cloud)
    build = send(cloud, request)
    if wait:
        follow(cloud, build)


def warn_if_dirty(request: BuildRequest) -> None:
    """Print a note if the working tree is not that of a commit."""
    if request.substitutions["_COMMIT"].endswith("-dirty"):
        print("note: files differ from the commit; the image is tagged -dirty", file=sys.stderr)


def send(cloud: Cloud, request: BuildRequest) -> dict[str, Any]:
    """Submit a build, say where to watch it, and return it; a dry run ends the task.

    Raises
    ------
    UserError
        Cloud Build refused it.
    """
    build = cloud.read_json(_submit_command(cloud, request), timeout_seconds=SUBMIT_SECONDS)
    cloud.shell.end_if_dry_run()
    print(f"build {build['id']} of {request.images} is submitted", flush=True)
    print(f"watch it: {build.get('logUrl', '')}")
    place = f"--project {cloud.project} --region {cloud.settings.build_region}"
    print(f"      or: invoke build-status; its log: gcloud builds log {build['id']} {place}", flush=True)
    return build


def builders(settings: Settings, arguments: Mapping[str, str], no_cache: bool) -> dict[str, str]:
    """Return the substitutions that every build has: the Dockerfile's arguments, tags, builders."""
    return {f"_{name}": value for name, value in arguments.items()} | {
        "_TAG": settings.image_tag,
        "_COMMIT_TAG": commit_tag(arguments["COMMIT"]),
        "_NO_CACHE": "true" if no_cache else "false",
        "_DOCKER_BUILDER": settings.docker_builder_image,
        "_STRUCTURE_TEST": settings.structure_test_image,
    }


def _stage_request(cloud: Cloud, no_cache: bool) -> BuildRequest:
    settings = cloud.settings
    path = repository_path(settings)
    secret = {"_GITHUB_PAT_SECRET": settings.github_pat_secret} if uses_token(settings) else {}
    return BuildRequest(
        f"{path}:{settings.image_tag}",
        _config(settings),
        {**builders(settings, build_arguments(settings), no_cache), "_IMAGE": path, **secret},
        f"{cloud.top}cloudbuild",
        account_email(cloud.project, settings.build_service_account),
    )


def _submit_command(cloud: Cloud, request: BuildRequest) -> list[str]:
    keys = sorted(request.substitutions.items())
    return [
        *("builds", "submit", nearest(ROOT)),
        *cloud.in_project,
        *("--region", cloud.settings.build_region),
        *("--config", nearest(request.config), "--ignore-file", ".gcloudignore"),
        *("--gcs-source-staging-dir", request.sources),
        *("--service-account", f"projects/{cloud.project}/serviceAccounts/{request.account}"),
        *("--substitutions", ",".join(f"{key}={value}" for key, value in keys if value)),
        "--async",
    ]


def uses_token(settings: Settings) -> bool:
    """Return whether a build gets the token: only if it clones a repository with it."""
    return bool(settings.github_pat_secret and settings.github_modeling_suite_repo)


def _config(settings: Settings) -> Path:
    """Return cloudbuild.yaml, or a copy of it without the token."""
    if uses_token(settings):
        return CONFIG
    return rendered(
        CONFIG.name, yaml.safe_dump(without_token(yaml.safe_load(CONFIG.read_text())), sort_keys=False)
    )


def rendered(name: str, text: str) -> Path:
    """Write a file for gcloud where it stays, so that a command that names it can be pasted."""
    path = RENDERED / name
    try:
        RENDERED.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise UserError(f"{nearest(path)}: cannot be written ({error.strerror})") from None
    return path


def without_token(build: dict[str, Any]) -> dict[str, Any]:
    """Return a build without its secret; Cloud Build refuses a secret that is not used."""
    build = {name: value for name, value in build.items() if name != "availableSecrets"}
    build["steps"] = [{n: v for n, v in step.items() if n != "secretEnv"} for step in build["steps"]]
    build["substitutions"] = {n: v for n, v in build["substitutions"].items() if n != "_GITHUB_PAT_SECRET"}
    return build


def show_builds(cloud: Cloud, ongoing: bool = False) -> None:
    """Print the newest builds, or those that are not finished."""
    words = ["builds", "list", *cloud.in_project, "--region", cloud.settings.build_region]
    words += ["--filter", f"tags={TAG}", "--limit", str(MOST_LOOKED_AT if ongoing else MOST_SHOWN)]
    builds = cloud.read_json(words) or []
    cloud.shell.end_if_dry_run()
    if ongoing:  # gcloud's --ongoing leaves out a status that it does not know
        builds = [build for build in builds if build["status"] not in FINISHED][:MOST_SHOWN]
    if not builds:
        print("no build is running" if ongoing else f"no builds in {cloud.project} yet")
        return
    table = Table(box=None, header_style="bold")
    for column in ("build", "status", "submitted", "took", "commit", "image", "digest"):
        table.add_column(column, overflow="fold")
    for build in builds:
        status = f"{build['status']}{why(build)}"
        row = [build["id"], status, build["createTime"][:19] + "Z", _took(build), _commit(build)]
        table.add_row(*row, *("\n".join(lines) for lines in _images_and_digests(build)))
    console().print(table)
    places = {name.rpartition("/")[0] for build in builds for name in build.get("images", [])}
    for place in sorted(places):
        print(f"an image is {place}/IMAGE@DIGEST")


def _commit(build: dict[str, Any]) -> str:
    """Return the commit in the tag of an image."""
    tag = (build.get("images") or [""])[0].rpartition(":")[2]
    return re.sub(r"^([0-9a-f]{12})[0-9a-f]{28}", r"\1", tag)  # as git shows commits


def _images_and_digests(build: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the names of a build's images, without their repository, and the digests of those pushed."""
    digests = dict.fromkeys(map(_short, build.get("images", [])), "")
    for image in build.get("results", {}).get("images", []):
        digests[_short(image["name"])] = image.get("digest", "")
    return list(digests), list(digests.values())


def _short(name: str) -> str:
    return name.rpartition("/")[2].partition(":")[0]


def _took(build: dict[str, Any]) -> str:
    times = [build.get(name) for name in ("startTime", "finishTime")]
    if not all(times):
        return ""
    begun, ended = (datetime.fromisoformat(time_of[:19]) for time_of in times)
    seconds = int((ended - begun).total_seconds())
    return f"{seconds // 60} min {seconds % 60:02d} s"
