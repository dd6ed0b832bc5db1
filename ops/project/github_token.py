"""Stores and checks the GitHub token in Secret Manager. git_remote.py checks it on repositories.

Its value is read from a hidden prompt or from standard input, and passed to gcloud by standard input: no
argument, file, log or printed line contains it.
"""

import getpass
import re
import shlex
import sys
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from modeling.refusals import MAY_NOT_COUNT_YET
from ops.cloud import checks
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import as_label
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal
from ops.project import git_remote
from ops.project.git_remote import Remote
from ops.settings import Settings
from ops.shell import Shell
from ops.terminal import counted

SUGGESTED = "github-pat"
MOST_CHARACTERS = 64 * 1024  # that a version may hold
_LIKE_A_TOKEN = re.compile(r"gh[pousr]_[A-Za-z0-9_]{20,250}|github_pat_[A-Za-z0-9_]{20,250}|[0-9a-f]{40}")


def store(cloud: Cloud, force: bool, disable_old: bool) -> None:
    """Check a token on the repositories, then store it as the newest version of the secret, or its first.

    From then on everything that reads the secret uses this version, so a bad token must not be stored.

    Parameters
    ----------
    force : bool
        Store the token even if it does not look like one, or the check fails.
    disable_old : bool
        Disable the older versions, but only if the token is known to work.

    Raises
    ------
    UserError
        There is no token, it does not look like one of GitHub's, or gcloud failed; or the check failed (exit
        code 2) or had no result (75): nothing was stored, or with `force` no version was disabled.
    """
    name = _secret_name(cloud.settings)
    # before the token is typed
    asked = _to_check(cloud.settings) if disable_old else git_remote.remotes(cloud.settings)
    if cloud.shell.dry_run:
        _print_commands(cloud, asked, disable_old)
        return
    older = _enabled_versions(cloud)
    token = _checked(_read_token(name), force)
    warning = _why_not(cloud.shell, asked, token, disable_old)
    if warning and not force:
        stays = f"{warning.problem}; nothing was stored (--force stores it)"
        raise UserError(stays, exit_code=warning.exit_code) from None
    number = _number(_add_version(cloud, token, is_first=older is None))
    replaced = f", in place of version {_number(older[0])}, {_age(older[0])} old" if older else ""
    print(f"{name}: stored version {number}{replaced}; stages and builds use it from now on", flush=True)
    if older is None:
        print("rights   invoke tf-apply lets the stages and the build read it")
    if not disable_old:
        _print_how_to_disable(cloud, older or [])
    elif warning:
        raise UserError(
            f"{warning.problem}; it was stored, and older versions stay enabled", warning.exit_code
        )
    else:
        _disable(cloud, older or [])


def check(cloud: Cloud) -> None:
    """Check the newest version of the secret on the repositories that are set, and print the results.

    Raises
    ------
    UserError
        The token does not work (exit code 2), or a temporary fault prevented the check (75).
    """
    name = _secret_name(cloud.settings)
    asked = _to_check(cloud.settings)
    version, token = _newest_version(cloud)
    if version:
        print(f"{name}: version {_number(version)}, {_age(version)} old", flush=True)
    git_remote.try_token(cloud.shell, asked, token)


def _secret_name(settings: Settings) -> str:
    if not settings.github_pat_secret:
        wrong = f"GITHUB_PAT_SECRET: not set; name the secret in .env, e.g. GITHUB_PAT_SECRET={SUGGESTED}"
        raise UserError(wrong, fix="invoke config-edit")
    return settings.github_pat_secret


def _to_check(settings: Settings) -> list[Remote]:
    """Return the repositories that are set; refuse if none is set."""
    asked = git_remote.remotes(settings)
    if not asked:
        settings_of_both = "GITHUB_FORECAST_REPO and GITHUB_MODELING_SUITE_REPO"
        wrong = f"{settings_of_both}: neither is set, so there is nothing to check"
        raise UserError(wrong, fix="invoke config-edit")
    return asked


def _why_not(shell: Shell, asked: Sequence[Remote], token: str, must_be_known: bool) -> UserError | None:
    """Check a token; return why it is not known to work, or None if it works or need not be checked."""
    if not asked:
        print("the token is not checked: no repository on GitHub is set", flush=True)
        return None
    try:
        was_needed = git_remote.try_token(shell, asked, token)
    except UserError as error:
        return error
    public = "the token was not checked, because the repositories are public"
    return UserError(public) if must_be_known and not was_needed else None


# -- a token that is given


def _read_token(name: str) -> str:
    """Return what is typed at a hidden prompt, or all of standard input if that is no terminal."""
    try:
        if not sys.stdin.isatty():
            return sys.stdin.read(MOST_CHARACTERS + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(f"GitHub token for the secret {name} (it is not shown): ")
    except getpass.GetPassWarning:
        raise UserError("this terminal would show what is typed; give the token by standard input") from None
    except EOFError:
        return ""
    except UnicodeDecodeError:
        raise UserError("standard input is not text, so it is not a token") from None


def _checked(text: str, force: bool) -> str:
    """Return a token without the end of its line; no message contains any part of it."""
    token = text.strip()
    if not token:
        raise UserError("no token was given; type it at the prompt, or: invoke secret-set < FILE")
    if any(character.isspace() or not character.isprintable() for character in token) or not token.isascii():
        raise UserError(
            "this is not a token: it contains spaces, line breaks or characters that no token has; "
            "copy it again"
        )
    if len(token) > MOST_CHARACTERS:
        raise UserError("this is not a token: it is far too long")
    if not force and not _LIKE_A_TOKEN.fullmatch(token):
        hint = "a token begins with github_pat_ or ghp_, followed by letters, digits and _"
        raise UserError(
            f"this does not look like a GitHub token: {hint}; was all of it copied? --force stores it anyway"
        )
    return token


# -- the secret and its versions


def _create(cloud: Cloud) -> list[str]:
    labels = {
        "component": "epymodelingsuite",
        "managed-by": "manual",
        "environment": cloud.settings.environment,
        "billing_project": as_label(cloud.settings.billing_project),
    }
    pairs = ",".join(f"{name}={value}" for name, value in labels.items() if value)
    words = ["secrets", "create", cloud.settings.github_pat_secret, *cloud.in_project]
    return [*words, "--replication-policy=automatic", f"--labels={pairs}", "--data-file=-"]


def _add(cloud: Cloud) -> list[str]:
    return [
        "secrets",
        "versions",
        "add",
        cloud.settings.github_pat_secret,
        *cloud.in_project,
        "--data-file=-",
    ]


def _list(cloud: Cloud) -> list[str]:
    return ["secrets", "versions", "list", cloud.settings.github_pat_secret, *cloud.in_project]


def _of_version(cloud: Cloud, verb: str, number: str) -> list[str]:
    secret = cloud.settings.github_pat_secret
    return ["secrets", "versions", verb, number, "--secret", secret, *cloud.in_project]


def _print_commands(cloud: Cloud, asked: Sequence[Remote], disable_old: bool) -> None:
    cloud.read_json(_list(cloud))
    git_remote.try_token(cloud.shell, asked, "")
    cloud.shell.echo(
        ["gcloud", *_create(cloud)], note="if the secret does not exist; reads the token from standard input"
    )
    cloud.shell.echo(
        ["gcloud", *_add(cloud)], note="if the secret exists; reads the token from standard input"
    )
    if disable_old:
        cloud.shell.echo(["gcloud", *_of_version(cloud, "disable", "OLDER")], note="each older version")


def _enabled_versions(cloud: Cloud) -> list[dict[str, Any]] | None:
    """Return the enabled versions, newest first; None if the secret does not exist."""
    try:
        listed = cloud.read_json(_list(cloud), echo=False)
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        return None
    enabled = [each for each in listed or [] if each["state"] == "ENABLED"]
    return sorted(enabled, key=lambda version: int(_number(version)), reverse=True)


def _add_version(cloud: Cloud, token: str, is_first: bool) -> dict[str, Any]:
    """Store a token and return its version."""
    if not is_first:
        return cloud.read_json(_add(cloud), standard_input=token)
    cloud.read(_create(cloud), standard_input=token)
    return {"name": "versions/1"}


def _disable(cloud: Cloud, older: Sequence[dict[str, Any]]) -> None:
    for each in older:
        cloud.read(_of_version(cloud, "disable", _number(each)), echo=False)
        print(f"disabled version {_number(each)}, {_age(each)} old")


def _print_how_to_disable(cloud: Cloud, older: Sequence[dict[str, Any]]) -> None:
    for each in older:
        print(f"version {_number(each)}, {_age(each)} old, is still enabled; once it is not needed any more:")
        print(f"  {shlex.join(['gcloud', *_of_version(cloud, 'disable', _number(each))])}")


def _newest_version(cloud: Cloud) -> tuple[dict[str, Any], str]:
    """Return the description of the newest version (empty in a dry run), and the token in it."""
    found = checks.secret_version(cloud)
    number = _number(found) if found else "latest"
    name = cloud.settings.github_pat_secret
    try:
        token = cloud.read(_of_version(cloud, "access", number), echo=False).strip()
    except GcloudError as error:
        if error.refusal is not Refusal.DENIED:
            raise
        wrong = "you have no right to read it (roles/secretmanager.secretAccessor)"
        fix = f"gcloud secrets get-iam-policy {name} {' '.join(cloud.in_project)}"
        raise UserError(f"{name}: {wrong}; {MAY_NOT_COUNT_YET}; who has it", fix=fix) from None
    if found and (not token or any(map(str.isspace, token))):
        raise UserError(f"{name}: version {number} contains no token", fix="invoke secret-set")
    return found, token


def _number(version: dict[str, Any]) -> str:
    return version["name"].rpartition("/")[2]


def _age(version: dict[str, Any]) -> str:
    """Return the age of a version, e.g. "3 days" or "less than a day"."""
    days = (datetime.now(UTC) - datetime.fromisoformat(version["createTime"])).days
    return counted(days, "day") if days > 0 else "less than a day"
