"""The GitHub token in Secret Manager: put there, and told with its age. How it is tried is in git_remote.py.

Its value comes from a hidden prompt or from standard input, and goes to gcloud by standard input: it is in no
argument, file, log or line that is printed.
"""

import getpass
import re
import shlex
import sys
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ops import gcloud
from ops.cloud import checks
from ops.cloud.deployment import as_label
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal
from ops.project import git_remote
from ops.project.git_remote import Remote
from ops.settings import Settings, need
from ops.shell import Shell
from ops.terminal import counted

SUGGESTED = "github-pat"
MOST_CHARACTERS = 64 * 1024  # that a version may hold
_LIKE_A_TOKEN = re.compile(r"gh[pousr]_[A-Za-z0-9_]{20,250}|github_pat_[A-Za-z0-9_]{20,250}|[0-9a-f]{40}")


def store(shell: Shell, settings: Settings, force: bool, disable_old: bool) -> None:
    """Try a token on the repositories, then make it the newest version of the secret, or its first.

    Whatever reads the secret takes the newest version from that moment on, so a bad one must not get there.

    Parameters
    ----------
    force : bool
        Whether to store it whatever it looks like, and whatever the trial says.
    disable_old : bool
        Whether to disable the versions there were before; never for one that is not known to do.

    Raises
    ------
    UserError
        There is no token, it is not like one of GitHub's, or gcloud refused; or the trial failed (exit code
        2) or came to no end (75): nothing was stored, or with `force` no version was disabled.
    """
    name = _secret_name(settings)
    asked = _to_try(settings) if disable_old else git_remote.remotes(settings)  # before anything is typed
    if shell.dry_run:
        _print_commands(shell, settings, asked, disable_old)
        return
    older = _enabled_versions(shell, settings)
    token = _checked(_read_token(name), force)
    doubt = _doubt(shell, asked, token, disable_old)
    if doubt and not force:
        stays = f"{doubt.problem}; nothing was stored (--force stores it)"
        raise UserError(stays, exit_code=doubt.exit_code) from None
    number = _number(_add_version(shell, settings, token, is_first=older is None))
    replaced = f", in place of version {_number(older[0])}, {_age(older[0])} old" if older else ""
    print(f"{name}: version {number} is there{replaced}; stages and builds take it from now on", flush=True)
    if older is None:
        print("rights   invoke tf-apply lets the stages and the build read it")
    if not disable_old:
        _tell_how_to_disable(settings, older or [])
    elif doubt:
        raise UserError(f"{doubt.problem}; it was stored, and older versions stay enabled", doubt.exit_code)
    else:
        _disable(shell, settings, older or [])


def check(shell: Shell, settings: Settings) -> None:
    """Try the newest version of the secret on the repositories that are set, and print what came of it.

    Raises
    ------
    UserError
        The token does not do (exit code 2), or that cannot be told because of a passing fault (75).
    """
    name = _secret_name(settings)
    asked = _to_try(settings)
    version, token = _newest_version(shell, settings)
    if not shell.dry_run:
        print(f"{name}: version {_number(version)}, {_age(version)} old", flush=True)
    git_remote.hold(shell, asked, token)


def _secret_name(settings: Settings) -> str:
    need(settings, "project_id")
    if not settings.github_pat_secret:
        wrong = f"GITHUB_PAT_SECRET: not set; name the secret in .env, e.g. GITHUB_PAT_SECRET={SUGGESTED}"
        raise UserError(wrong, mend="invoke config-edit")
    return settings.github_pat_secret


def _to_try(settings: Settings) -> list[Remote]:
    """Return the repositories that are set; refuse where there is none to try a token on."""
    asked = git_remote.remotes(settings)
    if not asked:
        wrong = (
            "GITHUB_FORECAST_REPO and GITHUB_MODELING_SUITE_REPO: neither is set, so there is nothing to try"
        )
        raise UserError(wrong, mend="invoke config-edit")
    return asked


def _doubt(shell: Shell, asked: Sequence[Remote], token: str, must_be_known: bool) -> UserError | None:
    """Try a token, and return why it is not known to do; that no repository needs it may be well."""
    if not asked:
        print("the token is not tried: no repository on GitHub is set", flush=True)
        return None
    try:
        was_needed = git_remote.hold(shell, asked, token)
    except UserError as error:
        return error
    public = "the token was tried on nothing, for the repositories are public"
    return UserError(public) if must_be_known and not was_needed else None


# -- a token that is given


def _read_token(name: str) -> str:
    """Return what is typed unseen, or all that comes by standard input where that is no terminal."""
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
        raise UserError("what came by standard input is no text, so it is no token") from None


def _checked(text: str, force: bool) -> str:
    """Return a token without the line's end; nothing of it is ever told."""
    token = text.strip()
    if not token:
        raise UserError("no token was given; type it at the prompt, or: invoke secret-set < FILE")
    if any(character.isspace() or not character.isprintable() for character in token) or not token.isascii():
        raise UserError(
            "this is no token: it holds spaces, line ends or characters that none has; copy it again"
        )
    if len(token) > MOST_CHARACTERS:
        raise UserError("this is no token: it is far too long")
    if not force and not _LIKE_A_TOKEN.fullmatch(token):
        hint = "those begin with github_pat_ or ghp_, and letters, digits and _ follow"
        raise UserError(
            f"this is not like a token of GitHub: {hint}; was all of it copied? --force takes it anyway"
        )
    return token


# -- the secret and its versions


def _in_project(settings: Settings) -> list[str]:
    return ["--project", settings.project_id]


def _create(settings: Settings) -> list[str]:
    labels = {
        "component": "epymodelingsuite",
        "managed-by": "manual",
        "environment": settings.environment,
        "billing_project": as_label(settings.billing_project),
    }
    told = ",".join(f"{name}={value}" for name, value in labels.items() if value)
    words = ["secrets", "create", settings.github_pat_secret, *_in_project(settings)]
    return [*words, "--replication-policy=automatic", f"--labels={told}", "--data-file=-"]


def _add(settings: Settings) -> list[str]:
    return ["secrets", "versions", "add", settings.github_pat_secret, *_in_project(settings), "--data-file=-"]


def _list(settings: Settings) -> list[str]:
    return ["secrets", "versions", "list", settings.github_pat_secret, *_in_project(settings)]


def _of_version(verb: str, number: str, settings: Settings) -> list[str]:
    return [
        "secrets",
        "versions",
        verb,
        number,
        "--secret",
        settings.github_pat_secret,
        *_in_project(settings),
    ]


def _print_commands(shell: Shell, settings: Settings, asked: Sequence[Remote], disable_old: bool) -> None:
    gcloud.read_json(shell, _list(settings))
    git_remote.hold(shell, asked, "")
    shell.echo(
        ["gcloud", *_create(settings)], note="where there is none; reads the token from standard input"
    )
    shell.echo(["gcloud", *_add(settings)], note="where there is one; reads the token from standard input")
    if disable_old:
        shell.echo(["gcloud", *_of_version("disable", "OLDER", settings)], note="each that was there before")


def _enabled_versions(shell: Shell, settings: Settings) -> list[dict[str, Any]] | None:
    """Return the versions that can be read, the newest first; None where there is no such secret."""
    try:
        listed = gcloud.read_json(shell, _list(settings), echo=False)
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        return None
    enabled = [each for each in listed or [] if each["state"] == "ENABLED"]
    return sorted(enabled, key=lambda version: int(_number(version)), reverse=True)


def _add_version(shell: Shell, settings: Settings, token: str, is_first: bool) -> dict[str, Any]:
    """Return the version that now holds a token."""
    if not is_first:
        return gcloud.read_json(shell, _add(settings), standard_input=token)
    gcloud.read(shell, _create(settings), standard_input=token)
    return {"name": "versions/1"}


def _disable(shell: Shell, settings: Settings, older: Sequence[dict[str, Any]]) -> None:
    for each in older:
        gcloud.read(shell, _of_version("disable", _number(each), settings), echo=False)
        print(f"disabled version {_number(each)}, {_age(each)} old")


def _tell_how_to_disable(settings: Settings, older: Sequence[dict[str, Any]]) -> None:
    for each in older:
        print(f"version {_number(each)}, {_age(each)} old, is still enabled; once it is not needed any more:")
        print(f"  {shlex.join(['gcloud', *_of_version('disable', _number(each), settings)])}")


def _newest_version(shell: Shell, settings: Settings) -> tuple[dict[str, Any], str]:
    """Return what is known of the newest version, and the token that it holds."""
    found = checks.secret_version(shell, settings)
    number = _number(found) if found else "latest"
    name = settings.github_pat_secret
    try:
        token = gcloud.read(shell, _of_version("access", number, settings), echo=False).strip()
    except GcloudError as error:
        if error.refusal is not Refusal.DENIED:
            raise
        wrong = "you have no right to read it (roles/secretmanager.secretAccessor)"
        mend = f"gcloud secrets get-iam-policy {name} {' '.join(_in_project(settings))}"
        raise UserError(f"{name}: {wrong}; who has it", mend=mend) from None
    if not shell.dry_run and (not token or any(map(str.isspace, token))):
        raise UserError(f"{name}: version {number} holds no token", mend="invoke secret-set")
    return found, token


def _number(version: dict[str, Any]) -> str:
    return version["name"].rpartition("/")[2]


def _age(version: dict[str, Any]) -> str:
    """Return "3 days", or of the first day "less than a day"."""
    days = (datetime.now(UTC) - datetime.fromisoformat(version["createTime"])).days
    return counted(days, "day") if days > 0 else "less than a day"
