"""Is this machine, this account and this project ready? What is asked, and how the answers are shown."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from ops.failures import UserError
from ops.project import cloud_checks, programs
from ops.project.checkup import Answer, Finding, Question, ask_all, refuse
from ops.project.deployment import check_token_is_kept_apart, stage_limits
from ops.project.quotas import check_quotas
from ops.settings import ROOT, Settings
from ops.shell import Shell

WORKFLOW = ROOT / "terraform" / "workflow.yaml"
_IN = "  "


def examine(shell: Shell, settings: Settings, cloud: bool, environ: Mapping[str, str] = os.environ) -> None:
    """Print what is there and what is not; of the cloud only where runs are started there, or if asked to.

    Raises
    ------
    UserError
        Something that is needed is missing (exit code 2), or cannot be told because of a passing fault (75).
    """
    cloud = cloud or settings.execution_mode == "cloud"
    groups = {"this machine": _of_the_machine(shell, cloud)}
    if cloud:
        where = f"Google Cloud: {settings.project_id or 'no project'}, {settings.region}"
        groups[where] = _of_the_cloud(shell, settings, environ)
    if shell.dry_run:
        _print_commands(groups)
        return
    refuse(list(_show(groups)), "missing")
    print(f"ready for runs {'in the cloud' if cloud else 'on this machine'}")


def _of_the_machine(shell: Shell, cloud: bool) -> list[Question]:
    """Docker, git and Terraform are for some tasks alone; a run on this machine needs Python and no more."""
    return [
        Question("python", lambda: programs.python(shell)),
        Question("git", lambda: programs.git(shell), is_needed=False),
        Question("docker", lambda: programs.docker(shell), is_needed=False),
        Question("compose", lambda: programs.compose(shell), is_needed=False),
        Question("terraform", lambda: programs.terraform(shell), is_needed=False),
        Question("gcloud", lambda: programs.gcloud(shell), is_needed=cloud),
    ]


def _of_the_cloud(shell: Shell, settings: Settings, environ: Mapping[str, str]) -> list[Question]:
    accounts = [
        settings.batch_service_account,
        settings.builder_service_account,
        settings.workflow_service_account,
        settings.build_service_account,
    ]
    here = ("gcloud", "account", "project")
    return [
        Question("account", lambda: _account(shell), ("gcloud",)),
        Question("credentials", lambda: programs.default_credentials(environ), is_needed=False),
        Question("project", lambda: _project(shell, settings), ("gcloud", "account")),
        Question("APIs", lambda: _apis(shell, settings), here),
        Question("bucket", lambda: _bucket(shell, settings), here),
        *([Question("secret", lambda: _secret(shell, settings), here)] if settings.github_pat_secret else []),
        Question("service accounts", lambda: _accounts(shell, settings, accounts), here),
        Question("subnet", lambda: _subnet(shell, settings), here),
        Question("image", lambda: _image(shell, settings), here),
        Question("workflow", lambda: _workflow(shell, settings), here),
        Question("machine types", lambda: _machine_types(shell, settings), here),
        Question("quotas", lambda: check_quotas(shell, settings), here, is_needed=False),
    ]


def _account(shell: Shell) -> Answer:
    return Answer(cloud_checks.check_account(shell))


def _project(shell: Shell, settings: Settings) -> Answer:
    found = cloud_checks.check_project(shell, settings)
    return Answer(f"{settings.project_id}, number {found.get('projectNumber', '')}")


def _apis(shell: Shell, settings: Settings) -> Answer:
    return Answer(f"all {cloud_checks.check_apis(shell, settings)} are enabled")


def _bucket(shell: Shell, settings: Settings) -> Answer:
    location = cloud_checks.check_bucket(shell, settings).get("location", "")
    name = f"gs://{settings.bucket_name}"
    if location.lower() != settings.region:
        return Answer(f"{name} is in {location}, not in {settings.region}: transfers cost", is_doubt=True)
    return Answer(f"{name} in {settings.region}")


def _secret(shell: Shell, settings: Settings) -> Answer:
    return Answer(f"{settings.github_pat_secret}, version {cloud_checks.check_secret(shell, settings)}")


def _accounts(shell: Shell, settings: Settings, accounts: Sequence[str]) -> Answer:
    check_token_is_kept_apart(settings)
    emails = cloud_checks.check_accounts(shell, settings, accounts)
    return Answer(", ".join(email.partition("@")[0] for email in emails))


def _subnet(shell: Shell, settings: Settings) -> Answer:
    if cloud_checks.check_subnet(shell, settings).get("privateIpGoogleAccess") is False:
        doubt = f"{settings.network_name} has no Private Google Access: machines do not reach the bucket"
        return Answer(doubt, is_doubt=True, mend=cloud_checks.APPLY)
    return Answer(f"{settings.network_name} in {settings.region}")


def _image(shell: Shell, settings: Settings) -> Answer:
    found = cloud_checks.resolve_image(shell, settings)
    digest = found.partition("@sha256:")[2]
    if not digest:
        return Answer(f"{found}: this registry is not asked", is_doubt=True)
    return Answer(f"{settings.image_name}:{settings.image_tag} is sha256:{digest[:12]}")


def _machine_types(shell: Shell, settings: Settings) -> Answer:
    named = [limits.machine_type for limits in stage_limits(settings).values()]
    found = cloud_checks.check_machine_types(shell, settings, named)
    if not found:
        return Answer("none is named: Batch chooses")
    return Answer(f"{', '.join(found)}: {settings.region} has {'it' if len(found) == 1 else 'them'}")


def _workflow(shell: Shell, settings: Settings) -> Answer:
    found = cloud_checks.check_workflow_deployed(shell, settings)
    name = f"{settings.workflow_name}, revision {found.get('revisionId', '')}"
    ours = WORKFLOW.read_text(encoding="utf-8") if WORKFLOW.is_file() else ""
    if ours and found.get("sourceContents", "").split() != ours.split():
        doubt = f"{name}, differs from terraform/workflow.yaml"
        return Answer(doubt, is_doubt=True, mend=cloud_checks.APPLY)
    return Answer(name)


def _print_commands(groups: Mapping[str, Sequence[Question]]) -> None:
    """Let every question print its command, in order; none is asked."""
    for question in (each for questions in groups.values() for each in questions):
        try:
            question.ask()
        except UserError as error:
            print(f"{question.what}: {error}", file=sys.stderr)


def _show(groups: Mapping[str, Sequence[Question]]) -> Iterator[Finding]:
    """Print and yield what is found, group by group; all is asked at once."""
    questions = [each for group in groups.values() for each in group]
    heading = {group[0].what: name for name, group in groups.items()}
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    column = max(len(question.what) for question in questions)
    for finding in ask_all(questions):
        if finding.what in heading:
            print(heading[finding.what], flush=True)
        print("\n".join(lines_of(finding, column, width)), flush=True)
        yield finding


def lines_of(finding: Finding, column: int, width: int) -> list[str]:
    """Return a finding as one line, or as several where a terminal of that width would break it.

    The command that mends it is never broken, so that it can be copied.
    """
    start = f"{_IN}{finding.level.value:8}{finding.what:{column}}  "
    mend = f"-> {finding.mend}" if finding.mend else ""
    line = f"{start}{finding.detail}  {mend}".rstrip()
    if not width or len(line) <= width:
        return [line]
    indent = " " * len(start)
    told = textwrap.wrap(finding.detail, max(width - len(start), 20), break_on_hyphens=False)
    first, *others = told or [""]
    return [start + first, *(indent + each for each in others), *([indent + mend] if mend else [])]
