"""The forecasting repository, cloned from GitHub or a server like it. The only module that starts git.

Git gets the token from an askpass helper, which reads it from a file that only this user can read. The token
is in no address, argument, environment or .git/config, and is removed with the temporary folder.
"""

import logging
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from modeling.failures import TemporaryFault, UserError
from pipeline.environment import StageContext
from pipeline.temporary import remove_left_folders, temporary_folder

log = logging.getLogger("pipeline")

MOST_SECONDS = 1800
_SLOW = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60")  # bytes a second, seconds

# git's prompt names the host that asks, so another host, after a redirect, gets no token
_ASKPASS = """#!/bin/sh
case "$1" in
  "Username for '%(scheme)s://%(host)s': ") echo x-access-token ;;
  "Password for '%(scheme)s://x-access-token@%(host)s': ") cat "${0%%/*}/token" ;;
  *) exit 1 ;;
esac
"""

# messages of git, in the order they are checked
_NO_REF = r"couldn't find remote ref|not our ref|unadvertised object|invalid refspec"
_NO_REPOSITORY = r"repository .*not found|error: 404"
_REFUSED = r"authentication failed|could not read (username|password)|invalid username or|error: 40[13]"
_LASTING = r"certificate|no space left|permission denied|disk quota"
_PASSING = (
    r"could not resolve|couldn't resolve|failed to connect|couldn't connect|timed out|too slow|timeout"
    r"|early eof|transfer closed|rpc failed|hung up|recv failure|send failure|connection (was )?reset"
    r"|unexpected disconnect|empty reply|error: (429|5\d\d)|(tls|ssl).*(handshake|connect|terminated|eof)"
)
_MARK = "epymodelingsuite-clone"  # a file in .git of our clones, which may be replaced


def clone(context: StageContext, token: str) -> str:
    """Clone the repository at its ref into FORECAST_REPO_DIR, without history; return the commit.

    Raises
    ------
    UserError
        The token, the repository or the ref is wrong.
    TemporaryFault
        The server does not answer.
    """
    target = context.forecast_repo_dir
    _refuse_other_folder(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_left_folders(target.parent)
        with (
            temporary_folder("git") as private,
            temporary_folder(".clone", target.parent) as folder,
        ):
            work = folder / "work"
            work.mkdir()
            git = _Git(context, private, work, token)
            git("init", "--quiet")
            git("fetch", "--quiet", "--depth", "1", "--no-tags", git.address, context.forecast_ref)
            git("checkout", "--quiet", "--detach", "FETCH_HEAD")
            commit = git("rev-parse", "HEAD").strip()
            (work / ".git" / _MARK).touch()
            if target.is_dir():
                shutil.rmtree(target)  # of an earlier attempt, or empty
            work.rename(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror}); check FORECAST_REPO_DIR") from None
    _warn_of_unfetched_files(target)
    return commit


def _refuse_other_folder(target: Path) -> None:
    """Refuse to replace a folder that was not cloned here: it may contain uncommitted work."""
    is_ours = (target / ".git" / _MARK).is_file()
    if target.exists() and not is_ours and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(
            f"{target}: exists and was not cloned by stage A; it is left alone. Set another "
            "FORECAST_REPO_DIR, or leave GITHUB_FORECAST_REPO out to use it as it is"
        )


def _warn_of_unfetched_files(folder: Path) -> None:
    if (folder / ".gitmodules").is_file():
        log.warning(
            "the forecasting repository has submodules, which are not fetched: their folders are empty"
        )
    attributes = folder / ".gitattributes"
    if attributes.is_file() and "filter=lfs" in attributes.read_text(errors="replace"):
        log.warning("the forecasting repository uses Git LFS; its large files are not fetched")


class _Git:
    """Git with its own environment: no prompt, no user settings, messages in English."""

    def __init__(self, context: StageContext, folder: Path, work: Path, token: str):
        self.repository, self.ref, self.has_token = context.forecast_repo, context.forecast_ref, bool(token)
        self.secret = context.pat_secret
        self.address = f"{context.github_url}/{context.forecast_repo}.git"
        self.work = work
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE", "GIT_SSL_CAINFO"):
            if os.environ.get(name):
                self.environment[name] = os.environ[name]
        if token:
            self.environment["GIT_ASKPASS"] = str(_askpass(folder, token, self.address))

    def __call__(self, *words: str) -> str:
        try:
            done = subprocess.run(
                ["git", *_SLOW, *words],
                cwd=self.work,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=MOST_SECONDS,
            )
        except FileNotFoundError:
            raise UserError("git: no such program; install it") from None
        except subprocess.TimeoutExpired:
            raise TemporaryFault(f"{self.address}: not fetched in {MOST_SECONDS} s; try again") from None
        if done.returncode:
            raise self._failure(done.stderr)
        return done.stdout

    def _failure(self, errors: str) -> UserError | TemporaryFault:
        """Return the error of one line for git's messages."""
        lines = [line for line in errors.strip().splitlines() if line.strip()] or ["no message"]
        reason = next((line for line in lines if re.search(r"fatal: |error: ", line)), lines[-1])
        reason = re.sub(r"^(fatal|error): ", "", reason.strip())
        text = " ".join(lines).replace(self.address, "").replace(self.repository, "").lower()
        if re.search(_NO_REF, text):
            return UserError(
                f'{self.repository} has no branch, tag or whole commit "{self.ref}"; check FORECAST_REPO_REF'
            )
        if re.search(_NO_REPOSITORY, text):
            seen = f", or the token of secret {self.secret} cannot see it" if self.has_token else ""
            return UserError(f"{self.address}: there is no such repository{seen}; check GITHUB_FORECAST_REPO")
        if re.search(_REFUSED, text):
            if self.has_token:
                return UserError(
                    f"{self.address}: the token of secret {self.secret} is refused; it is wrong, has "
                    "expired, or has no access to this repository: add a new version of the secret"
                )
            return UserError(
                f"{self.address}: there is no such repository, or it is private; check GITHUB_FORECAST_REPO, "
                "or name the secret of a token in GITHUB_PAT_SECRET"
            )
        if re.search(_PASSING, text) and not re.search(_LASTING, text):
            return TemporaryFault(f"{self.address}: the server does not answer ({reason}); try again")
        return UserError(f"{self.address}: cannot be fetched ({reason})")


def _askpass(folder: Path, token: str, address: str) -> Path:
    helper, secret = folder / "askpass", folder / "token"
    server = urlsplit(address)
    secret.touch(mode=0o600)
    secret.write_text(token)
    helper.touch(mode=0o700)
    helper.write_text(_ASKPASS % {"scheme": server.scheme, "host": server.netloc})
    return helper
