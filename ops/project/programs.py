"""The programs that are used on this machine: are they there, and new enough?"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ops.failures import UserError
from ops.project.checkup import Answer
from ops.shell import Shell

ANSWER_SECONDS = 30
PYTHON, GIT, GCLOUD, TERRAFORM, DOCKER, COMPOSE = "3.11", "2.25", "450.0", "1.5.7", "20.10", "2.0"


def python(shell: Shell) -> Answer:
    return _new_enough("Python", ".".join(map(str, sys.version_info[:3])), PYTHON, "https://www.python.org")


def git(shell: Shell) -> Answer:
    said = _said(shell, ["git", "--version"], "https://git-scm.com/downloads")
    return _new_enough("git", said, GIT, "https://git-scm.com/downloads")


def gcloud(shell: Shell) -> Answer:
    said = _said(shell, ["gcloud", "version"], "https://cloud.google.com/sdk/docs/install")
    version = re.search(r"Google Cloud SDK (\S+)", said)
    return _new_enough("gcloud", version[1] if version else said, GCLOUD, "gcloud components update")


def terraform(shell: Shell) -> Answer:
    said = _said(shell, ["terraform", "version"], "https://developer.hashicorp.com/terraform/install")
    version = re.search(r"Terraform v(\S+)", said)
    where = "https://developer.hashicorp.com/terraform/install"
    return _new_enough("terraform", version[1] if version else said, TERRAFORM, where)


def docker(shell: Shell) -> Answer:
    said = _said(shell, ["docker", "--version"], "https://docs.docker.com/engine/install")
    client = _new_enough("docker", said, DOCKER, "https://docs.docker.com/engine/install")
    engine = ["docker", "info", "--format", "{{.ServerVersion}}"]
    if not shell.dry_run and not shell.capture(engine, timeout_seconds=ANSWER_SECONDS):
        raise UserError(f"{client.detail}, but no engine answers: start it")
    return client


def compose(shell: Shell) -> Answer:
    where = "https://docs.docker.com/compose/install"
    said = _said(shell, ["docker", "compose", "version", "--short"], where)
    return _new_enough("docker compose", said, COMPOSE, where)


def default_credentials(environ: Mapping[str, str]) -> Answer:
    """Tell whether Terraform and the client libraries find credentials; none is opened."""
    if environ.get("STORAGE_EMULATOR_HOST"):
        return Answer("none needed: the cloud is emulated")
    login = "gcloud auth application-default login"
    if named := environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        if not Path(named).is_file():
            raise UserError(f"GOOGLE_APPLICATION_CREDENTIALS={named}: no such file", mend=login)
        return Answer(f"those of GOOGLE_APPLICATION_CREDENTIALS, {named}")
    folder = Path(environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")
    if (folder / "application_default_credentials.json").is_file():
        return Answer(f"in {folder}")
    raise UserError("none; Terraform and Python programs need them", mend=login)


def _said(shell: Shell, argv: Sequence[str], where: str) -> str:
    if shell.dry_run:
        shell.echo(argv)
        return ""
    said = shell.capture(argv, timeout_seconds=ANSWER_SECONDS)
    if not said:
        raise UserError("not installed, or it does not run", mend=where)
    return said


def _new_enough(name: str, said: str, least: str, mend: str) -> Answer:
    """Return the version in what a program says of itself; refuse one that is too old."""
    found = re.search(r"\d+(\.\d+)+", said)
    if not found:
        return Answer("a version of its own", is_doubt=True)
    if _numbers(found[0]) < _numbers(least):
        raise UserError(f"{found[0]} is too old; {least} or newer is needed", mend=mend)
    return Answer(found[0])


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]
