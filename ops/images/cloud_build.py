"""The cloud image by Cloud Build: submitted, followed, listed. cloudbuild.yaml says what a build does."""

import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table

from ops.cloud.checks import check_bucket
from ops.cloud.deployment import repository_path
from ops.failures import UserError
from ops.gcloud import read_json
from ops.images.build_log import FINISHED, follow, why
from ops.images.images import build_arguments, commit_tag
from ops.names import account_email
from ops.settings import RENDERED, ROOT, Settings, need
from ops.shell import Shell
from ops.terminal import console, nearest

CONFIG = ROOT / "cloudbuild.yaml"
RENDERED_CONFIG = RENDERED / "cloudbuild.yaml"
TAG = "epymodelingsuite"
MOST_SHOWN = 20
MOST_LOOKED_AT = 100  # newest builds, to find unfinished ones
SUBMIT_SECONDS = 900  # with the upload of the source


def submit(shell: Shell, settings: Settings, wait: bool = False, no_cache: bool = False) -> None:
    """Submit a build of this working tree, and follow it if asked to.

    Raises
    ------
    UserError
        A setting is missing, Cloud Build refused it, or (followed) the build failed.
    """
    need(settings, "project_id", "bucket_name")
    arguments = build_arguments(settings)
    if arguments["COMMIT"].endswith("-dirty"):
        print("note: files differ from the commit; the image is tagged -dirty", file=sys.stderr)
    check_bucket(shell, settings)
    command = _submit_command(settings, _config(settings), arguments, no_cache)
    build = read_json(shell, command, timeout_seconds=SUBMIT_SECONDS)
    if shell.dry_run:
        return
    print(f"build {build['id']} of {repository_path(settings)}:{settings.image_tag} is submitted", flush=True)
    print(f"watch it: {build.get('logUrl', '')}")
    place = f"--project {settings.project_id} --region {settings.build_region}"
    print(f"      or: invoke build-status; its log: gcloud builds log {build['id']} {place}", flush=True)
    if wait:
        follow(shell, settings, build)


def _submit_command(settings: Settings, config: Path, arguments: dict[str, str], no_cache: bool) -> list[str]:
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
    email = account_email(settings.project_id, settings.build_service_account)
    return [
        *("builds", "submit", nearest(ROOT)),
        *("--project", settings.project_id, "--region", settings.build_region),
        *("--config", nearest(config), "--ignore-file", ".gcloudignore"),
        *("--gcs-source-staging-dir", f"gs://{settings.bucket_name}/{settings.dir_prefix}cloudbuild"),
        *("--service-account", f"projects/{settings.project_id}/serviceAccounts/{email}"),
        *("--substitutions", ",".join(f"{key}={value}" for key, value in sorted(keys.items()) if value)),
        "--async",
    ]


def uses_token(settings: Settings) -> bool:
    """Tell whether a build is given the token: only one that clones something with it."""
    return bool(settings.github_pat_secret and settings.github_modeling_suite_repo)


def _config(settings: Settings) -> Path:
    """Return cloudbuild.yaml, or the file of a copy without the parts on the token."""
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
    """Return a build that knows no secret; Cloud Build refuses one that is offered and not used."""
    build = {name: value for name, value in build.items() if name != "availableSecrets"}
    build["steps"] = [{n: v for n, v in step.items() if n != "secretEnv"} for step in build["steps"]]
    build["substitutions"] = {n: v for n, v in build["substitutions"].items() if n != "_GITHUB_PAT_SECRET"}
    return build


def show_builds(shell: Shell, settings: Settings, ongoing: bool = False) -> None:
    """Print the newest builds, or those that are not finished."""
    need(settings, "project_id")
    words = ["builds", "list", "--project", settings.project_id, "--region", settings.build_region]
    words += ["--filter", f"tags={TAG}", "--limit", str(MOST_LOOKED_AT if ongoing else MOST_SHOWN)]
    builds = read_json(shell, words) or []
    if shell.dry_run:
        return
    if ongoing:  # gcloud's --ongoing leaves out a status that it does not know
        builds = [build for build in builds if build["status"] not in FINISHED][:MOST_SHOWN]
    if not builds:
        print("no build is going on" if ongoing else f"no builds in {settings.project_id} yet")
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
    print(f"an image is {repository_path(settings)}@DIGEST")


def _tag_and_digest(build: dict[str, Any]) -> tuple[str, str]:
    """Return the commit that an image is tagged with, and the digest once it is pushed."""
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
