"""The GitHub token in Secret Manager: put there, and tried on the repositories.

Its value comes from a hidden prompt or from standard input, and goes to gcloud by standard input: it is in no
argument, file, log or line that is printed.
"""

import getpass
import re
import shlex
import sys
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ops import gcloud
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal
from ops.project import cloud_checks, git_remote
from ops.project.checkup import Answer, Level, Question, ask_all
from ops.project.deployment import as_label
from ops.project.doctor import lines_of
from ops.project.git_remote import Remote
from ops.settings import Settings, need
from ops.shell import Shell
from ops.shown import counted

SUGGESTED = "github-pat"
MOST_CHARACTERS = 64 * 1024  # that a version may hold
_LIKE_A_TOKEN = re.compile(r"gh[pousr]_[A-Za-z0-9_]{20,250}|github_pat_[A-Za-z0-9_]{20,250}|[0-9a-f]{40}")


def store(shell: Shell, settings: Settings, force: bool, disable_old: bool) -> None:
    """Make a token the newest version of the secret, which is made where there is none.

    Parameters
    ----------
    disable_old : bool
        Whether to try it on the repositories, and where it does, to disable the versions there were before.

    Raises
    ------
    UserError
        There is no token, it is not like one of GitHub's and not forced, or gcloud refused; or the trial
        failed (exit code 2) or came to no end (75), and all versions stay enabled.
    """
    name = _secret_name(settings)
    asked = _to_try(settings) if disable_old else []  # before anything is typed in vain
    if shell.dry_run:
        _print_commands(shell, settings, asked)
        return
    older = _enabled_versions(shell, settings)
    token = _checked(_read_token(name), force)
    number = _number(_add_version(shell, settings, token, is_first=older is None))
    print(f"{name}: version {number} is there; stages and builds take it from now on", flush=True)
    if disable_old:
        _disable_once_tried(shell, settings, asked, number, older or [])
    else:
        _tell_how_to_disable(settings, older or [])
    if older is None:
        print("rights   invoke tf-apply lets the stages and the build read it")
    if not disable_old:
        print("try it   invoke secret-check")


def check(shell: Shell, settings: Settings) -> None:
    """Try the newest version of the secret on the repositories that are set, and print what came of it.

    Raises
    ------
    UserError
        The token does not do (exit code 2), or that cannot be told because of a passing fault (75).
    """
    _secret_name(settings)
    _try(shell, settings, _to_try(settings), _Trial())


def _secret_name(settings: Settings) -> str:
    need(settings, "project_id")
    if not settings.github_pat_secret:
        wrong = f"GITHUB_PAT_SECRET: not set; name the secret in .env, e.g. GITHUB_PAT_SECRET={SUGGESTED}"
        raise UserError(wrong, mend="invoke config-edit")
    return settings.github_pat_secret


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


def _print_commands(shell: Shell, settings: Settings, asked: list[Remote]) -> None:
    gcloud.read_json(shell, _list(settings))
    shell.echo(
        ["gcloud", *_create(settings)], note="where there is none; reads the token from standard input"
    )
    shell.echo(["gcloud", *_add(settings)], note="where there is one; reads the token from standard input")
    if asked:
        _try(shell, settings, asked, _Trial("VERSION"))
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


def _disable_once_tried(
    shell: Shell, settings: Settings, asked: list[Remote], number: str, older: list[dict[str, Any]]
) -> None:
    """Disable the versions there were before the new one, unless that is not known to do."""
    trial = _Trial(number)
    stay = "; older versions stay enabled" if older else ""
    try:
        _try(shell, settings, asked, trial)
    except UserError as error:
        raise UserError(f"{error.problem}{stay}", exit_code=error.exit_code) from None
    if not trial.was_needed:
        raise UserError(f"version {number} was tried on nothing, for the repositories are public{stay}")
    for each in older:
        gcloud.read(shell, _of_version("disable", _number(each), settings), echo=False)
        print(f"disabled version {_number(each)}, {_age(each)} old")


def _tell_how_to_disable(settings: Settings, older: list[dict[str, Any]]) -> None:
    for each in older:
        print(f"version {_number(each)}, {_age(each)} old, is still enabled; when the new one is tried:")
        print(f"  {shlex.join(['gcloud', *_of_version('disable', _number(each), settings)])}")


def _number(version: dict[str, Any]) -> str:
    return version["name"].rpartition("/")[2]


def _age(version: dict[str, Any]) -> str:
    """Return "3 days", or of the first day "less than a day"."""
    days = (datetime.now(UTC) - datetime.fromisoformat(version["createTime"])).days
    return counted(days, "day") if days > 0 else "less than a day"


# -- the token tried


@dataclass
class _Trial:
    """A version of the secret on trial, and what the questions learn for one another."""

    version: str = "latest"
    token: str = ""
    was_needed: bool = False  # by one of the repositories at least


def _to_try(settings: Settings) -> list[Remote]:
    """Return the repositories that are set; refuse where there is none to try a token on."""
    asked = git_remote.remotes(settings)
    if not asked:
        wrong = (
            "GITHUB_FORECAST_REPO and GITHUB_MODELING_SUITE_REPO: neither is set, so there is nothing to try"
        )
        raise UserError(wrong, mend="invoke config-edit")
    return asked


def _try(shell: Shell, settings: Settings, asked: list[Remote], trial: _Trial) -> None:
    """Try a version on repositories, and print what came of it; UserError where it does not do."""
    questions = [
        Question("secret", lambda: _read_version(shell, settings, trial)),
        *(Question(each.setting, lambda each=each: _ask(shell, each, trial), ("secret",)) for each in asked),
    ]
    if shell.dry_run:
        for question in questions:
            question.ask()
        return
    findings = []
    for finding in ask_all(questions):
        print("\n".join(lines_of(finding, max(len(each.what) for each in questions), 0)), flush=True)
        findings.append(finding)
    failed = [each.what for each in findings if each.level is Level.MISSING]
    unknown = [each.what for each in findings if each.level is Level.UNKNOWN]
    if failed:
        raise UserError(f"{settings.github_pat_secret} does not do: {', '.join(failed)}")
    if unknown:
        raise UserError(f"cannot be told now: {', '.join(unknown)}; try again in a minute", exit_code=75)


def _read_version(shell: Shell, settings: Settings, trial: _Trial) -> Answer:
    """Read the version for the other questions, and tell its age."""
    found = cloud_checks.secret_version(shell, settings, trial.version)
    number = _number(found) if found else trial.version
    try:
        trial.token = gcloud.read(shell, _of_version("access", number, settings), echo=False).strip()
    except GcloudError as error:
        if error.refusal is not Refusal.DENIED:
            raise
        wrong = "you have no right to read it (roles/secretmanager.secretAccessor)"
        project = " ".join(_in_project(settings))
        mend = f"gcloud secrets get-iam-policy {settings.github_pat_secret} {project}"
        raise UserError(f"{settings.github_pat_secret}: {wrong}; who has it", mend=mend) from None
    if not shell.dry_run and (not trial.token or any(map(str.isspace, trial.token))):
        raise UserError(
            f"{settings.github_pat_secret}: version {number} holds no token", mend="invoke secret-set"
        )
    return Answer(f"{settings.github_pat_secret}, version {number}, {_age(found)} old" if found else "")


def _ask(shell: Shell, remote: Remote, trial: _Trial) -> Answer:
    if shell.dry_run:
        shell.echo(git_remote.list_refs(remote), note="without the token, then with it")
        return Answer("")
    commit, needed_token = git_remote.ask(shell, remote, trial.token)
    trial.was_needed |= needed_token
    public = "" if needed_token else "; it is public, so the token was not tried"
    return Answer(f"{remote.name}: {remote.ref} is {commit[:12]}{public}")
