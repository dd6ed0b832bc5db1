"""`invoke doctor --report FILE`: what the doctor found and what the project answers, without names.

The file is JSON, to be attached to an issue: versions, settings, the doctor's checks, answers to doubts, and
the permissions that were denied. anonymise.py removes names; a setting that holds a name only shows whether
it is the default.
"""

import getpass
import json
import os
import platform
import pwd
import re
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_origin

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import AT_ONCE, in_parallel, read_json
from ops.names import account_email
from ops.project import doctor
from ops.project.anonymise import Anonymiser
from ops.project.checkup import Finding, Level
from ops.project.evidence import DOUBTS, Doubt, Found
from ops.settings import ROOT, Settings
from ops.shell import Shell
from ops.terminal import counted, nearest

FORMAT = 1
SHOWN = ("region", "build_region")  # settings that are text and name nothing; machine types are shown, too
NOT_SET, DEFAULT, SET = "not set", "default", "set"  # what is said of all others
NOT_ASKED, EMULATED, GOOGLE = "not asked", "emulated", "Google"
NEEDED = ("gcloud", "account", "project")  # what must be ready before a project is asked anything
ANSWER_SECONDS = 30
_KINDS = {  # of the names in settings; those of others are "name"
    "project_id": "project",
    "bucket_name": "bucket",
    "tf_state_bucket": "bucket",
    "github_forecast_repo": "repository",
    "github_modeling_suite_repo": "repository",
    "github_pat_secret": "secret",
    "billing_account": "billing",
    "alert_email": "account",
    "github_url": "host",
    "registry_host": "host",
}
_ACCOUNTS = ("batch", "builder", "workflow", "build")  # settings X_service_account
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|(^|_)PAT(_|$)", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:permission|required|does not have|lacks?) [`'\"]?([a-z]\w*(?:\.\w+){2,})", re.IGNORECASE
)
_LISTED = re.compile(r'"permissions": \[([^]]*)\]')  # of an audit log, whose message may name none
# What reading an answer of an unexpected shape raises.
_ODD = (LookupError, TypeError, ValueError, AttributeError)


def write(
    shell: Shell,
    settings: Settings,
    file: str,
    in_cloud: bool,
    more: Sequence[Doubt] = (),
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Examine as the doctor does, and write what was found to a new file; a dry run prints the commands.

    Parameters
    ----------
    more : sequence of Doubt
        Asked after those of evidence.py.

    Raises
    ------
    UserError
        The file cannot be written (exit code 2, before anything is asked); or as doctor.examine(), after the
        file was written.
    """
    path = _checked(file)
    doubts = [*DOUBTS, *more]
    reporter = _Reporter(shell, settings, doubts, environ, in_cloud or settings.execution_mode == "cloud")
    doctor.examine(shell, settings, in_cloud, environ, keep=lambda findings: reporter.write(path, findings))
    shell.end_if_dry_run(reporter.print_commands)


def _checked(file: str) -> Path:
    """Return the path of the report; refuse one that exists, or that cannot be written."""
    if not file:
        raise UserError("--report needs the name of a file, e.g. --report report.json")
    path = Path(file).expanduser()
    shown, folder = f"--report {nearest(path)}", path.parent
    try:
        if os.path.lexists(path):
            raise UserError(f"{shown}: it is there already; name another file")
        if not folder.is_dir():
            raise UserError(f"{shown}: no such folder {nearest(folder)}; create it")
        if len(path.name.encode()) > os.pathconf(folder, "PC_NAME_MAX"):
            raise UserError(f"{shown:.80}...: the name is too long; name another file")
    except OSError as error:
        raise UserError(f"{shown:.200}: cannot be written ({error.strerror})") from None
    except ValueError:
        raise UserError("--report: a name cannot contain a null character") from None
    try:
        # permissions are not enough: /proc denies nothing, but no file can be created in it
        with tempfile.NamedTemporaryFile(prefix=".report-", dir=folder):
            pass
    except OSError as error:
        wrong = f"{shown}: nothing can be written in {nearest(folder)} ({error.strerror})"
        raise UserError(f"{wrong}; name another folder") from None
    return path


class _Reporter:
    """Gathers a report from the findings of the doctor, which decide whether the project can be asked."""

    def __init__(
        self,
        shell: Shell,
        settings: Settings,
        doubts: Sequence[Doubt],
        environ: Mapping[str, str],
        in_cloud: bool,
    ):
        self.shell, self.settings, self.doubts = shell, settings, doubts
        self.environ, self.in_cloud = environ, in_cloud
        self.names = Anonymiser()

    def print_commands(self) -> None:
        """Let every doubt print its commands, in a dry run; not those that need an answer."""
        if self.in_cloud:
            for doubt in self.doubts:
                with suppress(UserError):
                    doubt.ask(self._cloud())

    def write(self, path: Path, findings: Sequence[Finding]) -> None:
        """Write the report; nothing is left of it if it cannot be finished."""
        print("asking for the report ...", file=sys.stderr, flush=True)
        answers = self._answers(findings)
        for kind, name in (*self._known(), *(each for found in answers for each in found.names)):
            (self.names.learn_path if kind == "experiment" else self.names.learn)(kind, name)
        described = {
            "report": "epymodelingsuite-cloud: invoke doctor --report",
            "format": FORMAT,
            "written": f"{datetime.now(UTC):%Y-%m-%d}",
            "cloud": self._which_cloud(),
            "versions": self._versions(findings),
            "settings": dict(shown_settings(self.settings)),
            "checks": [
                {"what": each.what, "level": each.level.value, "detail": each.detail, "fix": each.fix}
                for each in findings
            ],
            "doubts": [
                {"name": doubt.name, "question": doubt.question, **found.answer}
                for doubt, found in zip(self.doubts, answers, strict=True)
            ],
        }
        described["denied_permissions"] = denied(described)
        anonymous = self.names.anonymous(described, _own_words(described))
        text = json.dumps(anonymous, indent=2, ensure_ascii=False)
        _write_new(path, f"{text}\n")
        asked = sum("answer" in found.answer for found in answers)
        answered = f"{counted(len(findings), 'check')}, {counted(asked, 'answer')} of {len(answers)}"
        print(f"wrote {nearest(path)}: {answered}; read it before you attach it to an issue")

    def _answers(self, findings: Sequence[Finding]) -> list[Found]:
        """Return the answer to each doubt, or why there is none."""
        if why := self._why_not(findings):
            return [Found({"not_asked": why}) for _ in self.doubts]
        return in_parallel([lambda each=each: self._ask(each) for each in self.doubts], AT_ONCE)

    def _why_not(self, findings: Sequence[Finding]) -> str:
        if not self.in_cloud:
            return "runs are started on this machine: add --cloud, or set EXECUTION_MODE=cloud"
        ready = {each.what for each in findings if each.level in (Level.OK, Level.WARNING)}
        missing = [each for each in NEEDED if each not in ready]
        return f"needs {', '.join(missing)}" if missing else ""

    def _ask(self, doubt: Doubt) -> Found:
        try:
            found = doubt.ask(self._cloud())
        except UserError as error:
            return Found({"not_answered": error.problem, "fix": error.fix})
        except _ODD as error:
            # no real project has answered yet: a shape that nobody expected must not cost the other answers
            return Found({"not_answered": f"fault of the report: {type(error).__name__} {error}"})
        return Found({"answer": found.answer}, found.names)

    def _cloud(self) -> Cloud:
        return Cloud.of(self.shell, self.settings, needs_bucket=False)

    def _which_cloud(self) -> str:
        if not self.in_cloud:
            return NOT_ASKED
        return EMULATED if self.environ.get("STORAGE_EMULATOR_HOST") else GOOGLE

    def _versions(self, findings: Sequence[Finding]) -> dict[str, str]:
        said = {each.what: each.detail for each in findings}
        commit = self._git("rev-parse", "--short=12", "HEAD")
        changed = bool(commit and self._git("status", "--porcelain"))
        programs = ("python", "git", "docker", "compose", "terraform", "gcloud")
        return {
            "commit": commit or "not a git repository",
            "changed_since": "yes" if changed else "no",
            "system": f"{platform.system()} {platform.machine()}",
            **{name: said.get(name, "") for name in programs},
        }

    def _git(self, *words: str) -> str:
        return self.shell.capture(["git", "-C", str(ROOT), *words], timeout_seconds=ANSWER_SECONDS)

    def _known(self) -> Iterator[tuple[str, str]]:
        """Yield the names of this machine, of the settings and of gcloud, each with its kind."""
        yield from _names_in_settings(self.settings)
        if self.in_cloud:
            yield from self._names_in_gcloud()
        yield from _names_here(self.environ)
        for key in ("user.name", "user.email"):
            yield "user", self._git("config", "--get", key)
        for remote in self._git("remote", "-v").split():
            if found := re.search(r"[/:]([\w.-]+)/([\w.-]+?)(?:\.git)?$", remote):
                yield "repository", f"{found[1]}/{found[2]}"
                yield "repository-owner", found[1]
        for folder in _experiment_folders(self.settings):
            yield "experiment", folder

    def _names_in_gcloud(self) -> Iterator[tuple[str, str]]:
        try:
            config = read_json(self.shell, ["config", "list"], echo=False) or {}
        except UserError:
            return
        core = config.get("core", {})
        for account in (core.get("account"), config.get("auth", {}).get("impersonate_service_account")):
            if account:
                yield "account", account
                yield "user", account.partition("@")[0]
        yield "project", core.get("project") or ""
        yield "project", config.get("billing", {}).get("quota_project") or ""


def shown_settings(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield each setting with its value; for one that may hold a name, only whether it is set."""
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if _is_shown(name, field.annotation, value):
            yield name.upper(), value
        else:
            yield name.upper(), NOT_SET if not value else DEFAULT if value == field.default else SET


def _own_words(described: Mapping[str, Any]) -> set[str]:
    """Return the words of every report, which stay even if a host, say, is called "check"."""
    rows = [*described["checks"], *described["doubts"]]
    named = [row[key] for row in rows for key in ("what", "level", "name", "question") if key in row]
    tables = [described, described["versions"], described["settings"], *rows]
    keys = (key for table in tables for key in table)
    return {*named, *keys, NOT_SET, DEFAULT, SET, NOT_ASKED, EMULATED, GOOGLE}


def denied(described: Any) -> list[str]:
    """Return the permissions that texts name as denied, and those of refusals in audit logs, sorted."""
    text = json.dumps(described, ensure_ascii=False).replace('\\"', '"')
    listed = [name for each in _LISTED.findall(text) for name in re.findall(r'"([^"]+)"', each)]
    return sorted({*_DENIED.findall(text), *listed})


def _is_shown(name: str, annotation: Any, value: object) -> bool:
    """Return whether a setting's value names nothing: a number, a choice, a region, a machine type."""
    is_plain = isinstance(value, bool | int) or get_origin(annotation) is Literal
    return is_plain or name in SHOWN or name.endswith("_machine_type")


def _names_in_settings(settings: Settings) -> Iterator[tuple[str, str]]:
    project = settings.project_id
    yield "project", project
    for each in _ACCOUNTS:
        account = getattr(settings, f"{each}_service_account")
        yield f"{each}-account", account_email(project, account) if project else account
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Path):
            yield "path", str(value)
            yield "path", str(value.absolute())
        elif isinstance(value, str) and value != field.default:
            if _is_shown(name, field.annotation, value):
                continue
            kind = _KINDS.get(name, "name")
            yield kind, value
            for part in value.split("/") if kind == "repository" else ():
                yield "repository-part", part


def _names_here(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the names of this machine, its user, its folders, and the secrets of the environment."""
    for name, value in environ.items():
        if _SECRET.search(name) and len(value) > 5 and not name.startswith("CLOUDSDK_"):
            yield "secret", value
    hosts = [socket.gethostname(), platform.node(), environ.get("HOSTNAME", "")]
    for host in hosts:
        yield "host", host
        yield "host", host.partition(".")[0]
    users = [environ.get("USER", ""), environ.get("LOGNAME", "")]
    with suppress(KeyError, OSError):
        users.append(getpass.getuser())
    with suppress(KeyError):
        users.append(pwd.getpwuid(os.getuid()).pw_gecos.partition(",")[0])
    home = environ.get("HOME") or str(Path.home())
    for folder in (str(ROOT), str(Path.cwd()), home, environ.get("ENV_FILE", ""), tempfile.gettempdir()):
        if len(folder) > 1:
            yield "path", folder
    for user in (*users, Path(home).name):
        yield "user", user


def _experiment_folders(settings: Settings) -> Iterator[str]:
    """Yield the experiments of this machine's own repositories, not those of examples/."""
    for place in (settings.forecast_repo_dir, settings.local_data_path / "forecast"):
        top = place / "experiments" if place else None
        with suppress(OSError):
            for config in sorted(top.glob("**/config")) if top else ():
                yield config.parent.relative_to(top).as_posix()


def _write_new(path: Path, text: str) -> None:
    """Write a file in one step: who reads it meanwhile sees all of it or nothing."""
    name = ""
    try:
        number, name = tempfile.mkstemp(prefix=".report-", dir=path.parent)
        with os.fdopen(number, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        os.rename(name, path)
    except OSError as error:
        raise UserError(f"--report {nearest(path)}: cannot be written ({error.strerror})") from None
    finally:
        with suppress(OSError):  # it is only there if something went wrong
            os.unlink(name)
