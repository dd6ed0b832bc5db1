"""Checks of a repository on GitHub, as stages and builds clone it: can it be read, and does its ref exist?

The token is passed in git's environment, from which a credential helper reads it: no argument, address or
file contains it, and no other server gets it. Only a list of refs, or a commit without files, is fetched.
"""

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from ops.failures import TRY_AGAIN, UserError
from ops.project.checkup import Answer, Question, ask_all, lines_of, refuse
from ops.settings import Settings
from ops.shell import Ended, Shell

MOST_SECONDS = 60
_TOKEN = "GIT_REMOTE_TOKEN"
_HELPER = (
    f"""!f() {{ test "$1" = get && printf 'username=x-access-token\\npassword=%s\\n' "${_TOKEN}"; }}; f"""
)
_SLOW = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=20")  # bytes a second, seconds
_KEPT = ("PATH", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE", "GIT_SSL_CAINFO")
_COMMIT = re.compile("[0-9a-f]{40}")

# messages of git, in the order in which they are searched for
_NO_ACCESS = r"error: 403|saml|write access to repository not granted|permission to .* denied"
_REFUSED = (
    r"authentication failed|could not read (username|password)|invalid username or|bad credentials|error: 401"
)
_NO_REPOSITORY = r"repository .*not found|error: 404|does not appear to be a git repository"
_NO_COMMIT = r"not our ref|unadvertised object|couldn't find remote ref"
_LASTING = r"certificate|permission denied|unsupported protocol|unable to find remote helper"


@dataclass(frozen=True)
class Remote:
    """A repository and its ref, and the settings that name them."""

    setting: str  # GITHUB_FORECAST_REPO
    name: str
    ref_setting: str
    ref: str
    server: str

    @property
    def address(self) -> str:
        return f"{self.server}/{self.name}.git"


def remotes(settings: Settings) -> list[Remote]:
    """Return the repositories that are set."""
    named = (
        ("GITHUB_FORECAST_REPO", "FORECAST_REPO_REF"),
        ("GITHUB_MODELING_SUITE_REPO", "GITHUB_MODELING_SUITE_REF"),
    )
    found = [
        Remote(
            repository,
            getattr(settings, repository.lower()),
            ref,
            getattr(settings, ref.lower()),
            settings.github_url,
        )
        for repository, ref in named
    ]
    return [remote for remote in found if remote.name]


def list_refs(remote: Remote) -> list[str]:
    """Return the command that lists the refs of a clone; it contains no token, so it may be shown."""
    return ["git", *_SLOW, "ls-remote", "--quiet", remote.address, "HEAD", *_spellings(remote.ref)]


def ask(shell: Shell, remote: Remote, token: str) -> tuple[str, bool]:
    """Return the commit of the ref, and whether the token was needed to read it.

    Raises
    ------
    UserError
        The repository cannot be read, or has no such ref; exit code 75 if the server did not answer.
    """
    with tempfile.TemporaryDirectory(prefix="git-") as home:
        said = _git(shell, remote, home, "", list_refs(remote))
        is_public = said.exit_code == 0
        if not is_public:
            if not re.search(f"{_REFUSED}|{_NO_REPOSITORY}|{_NO_ACCESS}", _searched(remote, said)):
                raise _failure(remote, said)  # the server cannot be reached, with or without a token
            said = _git(shell, remote, home, token, list_refs(remote))
            if said.exit_code:
                raise _failure(remote, said)
        tips = dict(reversed(line.split("\t", 1)) for line in said.output.splitlines() if "\t" in line)
        if _COMMIT.fullmatch(remote.ref):
            if remote.ref not in tips.values():
                _find_commit(shell, remote, home, "" if is_public else token)
            return remote.ref, not is_public
    for name in _spellings(remote.ref):
        if name in tips:
            return tips[name], not is_public
    raise _no_ref(remote)


def _spellings(ref: str) -> list[str]:
    """Return the possible full names of a ref; for an annotated tag its commit comes first."""
    tag = f"refs/tags/{ref}"
    return [f"refs/heads/{ref}", f"{tag}^{{}}", tag, *([ref] if ref.startswith("refs/") else [])]


def _find_commit(shell: Shell, remote: Remote, home: str, token: str) -> None:
    """Fetch a commit without its files: a list of refs contains only tips."""
    for words in (
        ["init", "--quiet", "--bare"],
        ["fetch", "--quiet", "--depth", "1", "--no-tags", "--filter=tree:0"],
    ):
        place = [remote.address, remote.ref] if words[0] == "fetch" else []
        said = _git(shell, remote, home, token, ["git", *_SLOW, "-C", home, *words, *place])
        if said.exit_code:
            raise _failure(remote, said)


def _git(shell: Shell, remote: Remote, home: str, token: str, argv: Sequence[str]) -> Ended:
    """Run git in its own environment: no prompt, no settings or helpers of the user, English messages."""
    variables = {name: os.environ[name] for name in _KEPT if os.environ.get(name)} | {
        "HOME": home,
        "XDG_CONFIG_HOME": home,
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    if token:
        server = re.match(r"https?://[^/]+", remote.server)[0]
        argv = [argv[0], "-c", f"credential.{server}.helper={_HELPER}", *argv[1:]]
        variables[_TOKEN] = token
    try:
        return shell.run_always(argv, variables, timeout_seconds=MOST_SECONDS, only_variables=True)
    except UserError as error:
        if error.exit_code != 75:
            raise
        raise UserError(
            f"{remote.address}: network: no answer in {MOST_SECONDS} s{TRY_AGAIN}", exit_code=75
        ) from None


def _searched(remote: Remote, said: Ended) -> str:
    """Return git's errors in one line and lower case, without names that could match a pattern."""
    return " ".join(said.errors.split()).replace(remote.address, "").replace(remote.name, "").lower()


def _failure(remote: Remote, said: Ended) -> UserError:
    """Return the error for a message of git, in one line."""
    errors = _searched(remote, said)
    if re.search(_NO_COMMIT, errors):
        return _no_ref(remote)
    if re.search(_NO_ACCESS, errors):
        wrong = "no access: the token is valid, but may not read this repository"
        fix = "give it read access to the contents, or authorise it for the organisation, on GitHub"
        return UserError(f"{remote.name}: {wrong}; {fix}")
    if re.search(_REFUSED, errors):
        wrong = "expired: GitHub refuses the token; create a new one there, then"
        return UserError(f"{remote.name}: {wrong}", fix="invoke secret-set")
    if re.search(_NO_REPOSITORY, errors):
        wrong = "no such repository, or the token has no access to it (GitHub does not say which)"
        return UserError(
            f"{remote.name}: {wrong}; check {remote.setting}, or give the token access on GitHub"
        )
    lines = [line for line in said.errors.splitlines() if line.strip()] or ["git printed nothing"]
    reason = next((line for line in lines if re.match("fatal: |error: ", line)), lines[-1])
    reason = re.sub("^(fatal|error): ", "", reason.strip())
    if re.search(_LASTING, errors):
        return UserError(f"{remote.address}: cannot be reached ({reason}); check GITHUB_URL")
    return UserError(
        f"{remote.address}: network: {reason}; try again in a minute, or check GITHUB_URL", exit_code=75
    )


def _no_ref(remote: Remote) -> UserError:
    return UserError(
        f'{remote.name} can be read, but has no branch, tag or whole commit "{remote.ref}"; '
        f"check {remote.ref_setting}"
    )


@dataclass
class _TokenUse:
    """A token, and whether a repository needed it."""

    token: str
    was_needed: bool = False  # by at least one of the repositories


def try_token(shell: Shell, asked: Sequence[Remote], token: str) -> bool:
    """Check a token on repositories, print the results, and return whether one of them needed it.

    Raises
    ------
    UserError
        The token does not work (exit code 2), or a temporary fault prevented the check (75).
    """
    use = _TokenUse(token)
    if shell.dry_run:
        for remote in asked:
            shell.echo(list_refs(remote), note="without the token, then with it")
        return True
    questions = [Question(each.setting, lambda each=each: _ask(shell, each, use)) for each in asked]
    findings = []
    for finding in ask_all(questions):
        print("\n".join(lines_of(finding, max(len(each.what) for each in questions), 0)), flush=True)
        findings.append(finding)
    refuse(findings, "the token does not work")
    return use.was_needed


def _ask(shell: Shell, remote: Remote, use: _TokenUse) -> Answer:
    commit, needed_token = ask(shell, remote, use.token)
    use.was_needed |= needed_token
    public = "" if needed_token else "; it is public, so the token was not checked"
    return Answer(f"{remote.name}: {remote.ref} is {commit[:12]}{public}")
