"""Builds of the cloud image by Cloud Build: submitted, followed, listed. cloudbuild.yaml defines a build."""

import re
import sys
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
RENDERED_CONFIG = RENDERED / "cloudbuild.yaml"
TAG = "epymodelingsuite"
MOST_SHOWN = 20
MOST_LOOKED_AT = 100  # newest builds, to find unfinished ones
SUBMIT_SECONDS = 900  # with the upload of the source


def submit(cloud: Cloud, wait: bool = False, no_cache: bool = False) -> None:
    """Submit a build of this working tree, and follow it if asked to.

    Raises
    ------
    UserError
        A setting is missing, Cloud Build refused it, or (followed) the build failed.
    """
    arguments = build_arguments(cloud.settings)
    if arguments["COMMIT"].endswith("-dirty"):
        print("note: files differ from the commit; the image is tagged -dirty", file=sys.stderr)
    check_bucket(cloud)
    command = _submit_command(cloud, _config(cloud.settings), arguments, no_cache)
    build = cloud.read_json(command, timeout_seconds=SUBMIT_SECONDS)
    cloud.shell.end_if_dry_run()
    print(
        f"build {build['id']} of {repository_path(cloud.settings)}:{cloud.settings.image_tag} is submitted",
        flush=True,
    )
    print(f"watch it: {build.get('logUrl', '')}")
    place = f"--project {cloud.project} --region {cloud.settings.build_region}"
    print(f"      or: invoke build-status; its log: gcloud builds log {build['id']} {place}", flush=True)
    if wait:
        follow(cloud, build)


def _submit_command(cloud: Cloud, config: Path, arguments: dict[str, str], no_cache: bool) -> list[str]:
    settings = cloud.settings
    keys = {f"_{name}": value for name, value in arguments.items()}
    keys |= {
        "_IMAGE": repository_path(settings),
        "_TAG": settings.image_tag,
        "_COMMIT_TAG": commit_tag(arguments["COMMIT"]),
        "_NO_CACHE": "true" if no_cache else "false",
        "_DOCKER_BUILDER": settings.docker_builder_image,
        "_STRUCTURE_TEST": settings.structure_test_image,
    }
    if uses_token(settings):
        keys["_GITHUB_PAT_SECRET"] = settings.github_pat_secret
    email = account_email(cloud.project, settings.build_service_account)
    return [
        *("builds", "submit", nearest(ROOT)),
        *cloud.in_project,
        *("--region", settings.build_region),
        *("--config", nearest(config), "--ignore-file", ".gcloudignore"),
        *("--gcs-source-staging-dir", f"{cloud.top}cloudbuild"),
        *("--service-account", f"projects/{cloud.project}/serviceAccounts/{email}"),
        *("--substitutions", ",".join(f"{key}={value}" for key, value in sorted(keys.items()) if value)),
        "--async",
    ]


def uses_token(settings: Settings) -> bool:
    """Return whether a build gets the token: only if it clones a repository with it."""
    return bool(settings.github_pat_secret and settings.github_modeling_suite_repo)


def _config(settings: Settings) -> Path:
    """Return cloudbuild.yaml, or a copy of it without the token."""
    if uses_token(settings):
        return CONFIG
    build = yaml.safe_dump(without_token(yaml.safe_load(CONFIG.read_text())), sort_keys=False)
    try:
        RENDERED.mkdir(parents=True, exist_ok=True)
        RENDERED_CONFIG.write_text(build)
    except OSError as error:
        raise UserError(f"{nearest(RENDERED_CONFIG)}: cannot be written ({error.strerror})") from None
    return RENDERED_CONFIG


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
    for column in ("build", "status", "submitted", "took", "commit", "digest"):
        table.add_column(column, overflow="fold")
    for build in builds:
        status = f"{build['status']}{why(build)}"
        table.add_row(
            build["id"], status, build["createTime"][:19] + "Z", _took(build), *_tag_and_digest(build)
        )
    console().print(table)
    print(f"an image is {repository_path(cloud.settings)}@DIGEST")


def _tag_and_digest(build: dict[str, Any]) -> tuple[str, str]:
    """Return the commit in an image's tag, and its digest once it is pushed."""
    pushed = build.get("results", {}).get("images", [])
    name = pushed[0]["name"] if pushed else (build.get("images") or [""])[0]
    tag = re.sub(r"^([0-9a-f]{12})[0-9a-f]{28}", r"\1", name.rpartition(":")[2])  # as git shows commits
    return tag, pushed[0].get("digest", "") if pushed else ""


def _took(build: dict[str, Any]) -> str:
    times = [build.get(name) for name in ("startTime", "finishTime")]
    if not all(times):
        return ""
    begun, ended = (datetime.fromisoformat(time_of[:19]) for time_of in times)
    seconds = int((ended - begun).total_seconds())
    return f"{seconds // 60} min {seconds % 60:02d} s"
