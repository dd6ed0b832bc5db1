"""`invoke doctor`: are this machine, this account, this project and its quotas ready for a run?

Each family of machines has its own quota for CPUs. Older families have a metric each, such as N2_CPUS, with
limit and usage; newer ones, such as C4, C4D and N4, share CPUS_PER_VM_FAMILY, for which Cloud Quotas gives
only the limit. Machines that support only Hyperdisks use HDB_TOTAL_GB, all others SSD_TOTAL_GB.
"""

import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.cloud import checks
from ops.cloud.checks import family_cpus, project_quotas, region_quotas
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import check_stages_fit, check_token_is_kept_apart, stage_limits
from ops.cloud.machine_types import hyperdisk_only_families, machine_types
from ops.cloud.resources import places
from ops.failures import UserError
from ops.project import checkup, rights
from ops.project.checkup import Answer, Finding, Question
from ops.settings import ROOT, Settings
from ops.shell import Shell
from ops.stages import LETTERS

WORKFLOW = ROOT / "terraform" / "workflow.yaml"


def examine(
    shell: Shell,
    settings: Settings,
    in_cloud: bool,
    environ: Mapping[str, str] = os.environ,
    keep: Callable[[Sequence[Finding]], object] | None = None,
) -> None:
    """Print what is ready on this machine and, with `in_cloud` or if runs are started there, in the cloud.

    `keep` receives all findings, as checkup.examine() says.

    Raises
    ------
    UserError
        Something that is needed is missing (exit code 2), or unknown because of a temporary fault (75).
    """
    in_cloud = in_cloud or settings.execution_mode == "cloud"
    groups = {"this machine": _of_the_machine(shell, in_cloud)}
    if in_cloud:
        where = f"Google Cloud: {settings.project_id or 'no project'}, {settings.region}"
        groups[where] = _of_the_cloud(shell, settings, environ)
    ready = f"ready for runs {'in the cloud' if in_cloud else 'on this machine'}"
    checkup.examine(shell, groups, ready, keep=keep)


def _of_the_machine(shell: Shell, in_cloud: bool) -> list[Question]:
    """Return the questions about this machine; a run here needs only Python."""
    return [
        Question("python", lambda: python(shell)),
        Question("git", lambda: git(shell), is_needed=False),
        Question("docker", lambda: docker(shell), is_needed=False),
        Question("compose", lambda: compose(shell), is_needed=False),
        Question("terraform", lambda: terraform(shell), is_needed=False),
        Question("gcloud", lambda: gcloud(shell), is_needed=in_cloud),
    ]


def _of_the_cloud(shell: Shell, settings: Settings, environ: Mapping[str, str]) -> list[Question]:
    def cloud(
        needs_bucket: bool = False,
    ) -> Cloud:  # called in a question, so that a missing setting is a finding
        return Cloud.of(shell, settings, needs_bucket=needs_bucket)

    here = ("gcloud", "account", "project")
    return [
        Question("account", lambda: _account(shell), ("gcloud",)),
        Question("credentials", lambda: default_credentials(environ), is_needed=False),
        Question("project", lambda: _project(cloud()), ("gcloud", "account")),
        Question("APIs", lambda: _apis(cloud()), here),
        Question("bucket", lambda: _bucket(cloud(needs_bucket=True)), here),
        *([Question("secret", lambda: _secret(cloud()), here)] if settings.github_pat_secret else []),
        Question("service accounts", lambda: _accounts(cloud()), here),
        Question("subnet", lambda: _subnet(cloud()), here),
        Question("image", lambda: _image(cloud()), here),
        Question("workflow", lambda: _workflow(cloud()), here),
        Question("machine types", lambda: _machine_types(cloud()), here),
        Question("quotas", lambda: check_quotas(cloud()), here, is_needed=False),
        *rights.of_works(cloud, places(settings), here),
    ]


def _account(shell: Shell) -> Answer:
    return Answer(checks.check_account(shell))


def _project(cloud: Cloud) -> Answer:
    found = checks.check_project(cloud)
    return Answer(f"{cloud.project}, number {found.get('projectNumber', '')}")


def _apis(cloud: Cloud) -> Answer:
    return Answer(f"all {checks.check_apis(cloud)} are enabled")


def _bucket(cloud: Cloud) -> Answer:
    location = checks.check_bucket(cloud).get("location", "")
    name = f"gs://{cloud.bucket}"
    if location.lower() != cloud.region:
        return Answer(
            f"{name} is in {location}, not in {cloud.region}: transfers cost money", is_warning=True
        )
    return Answer(f"{name} in {cloud.region}")


def _secret(cloud: Cloud) -> Answer:
    return Answer(f"{cloud.settings.github_pat_secret}, version {checks.check_secret(cloud)}")


def _accounts(cloud: Cloud) -> Answer:
    check_token_is_kept_apart(cloud.settings)
    accounts = [
        cloud.settings.batch_service_account,
        cloud.settings.builder_service_account,
        cloud.settings.workflow_service_account,
        cloud.settings.build_service_account,
    ]
    emails = checks.check_accounts(cloud, accounts)
    return Answer(", ".join(email.partition("@")[0] for email in emails))


def _subnet(cloud: Cloud) -> Answer:
    if checks.check_subnet(cloud).get("privateIpGoogleAccess") is False:
        warning = (
            f"{cloud.settings.network_name} has no Private Google Access: machines cannot reach the bucket"
        )
        return Answer(warning, is_warning=True, fix=checks.APPLY)
    return Answer(f"{cloud.settings.network_name} in {cloud.region}")


def _image(cloud: Cloud) -> Answer:
    found = checks.resolve_image(cloud)
    digest = found.partition("@sha256:")[2]
    if not digest:
        return Answer(f"{found}: this registry is not checked", is_warning=True)
    return Answer(f"{cloud.settings.image_name}:{cloud.settings.image_tag} is sha256:{digest[:12]}")


def _machine_types(cloud: Cloud) -> Answer:
    check_stages_fit(cloud.settings)
    named = [limits.machine_type for limits in stage_limits(cloud.settings).values()]
    found = checks.check_machine_types(cloud, named)
    if not found:
        return Answer("none is set: Batch chooses")
    return Answer(f"{', '.join(found)}: available in {cloud.region}")


def _workflow(cloud: Cloud) -> Answer:
    found = checks.check_workflow_deployed(cloud)
    name = f"{cloud.settings.workflow_name}, revision {found.get('revisionId', '')}"
    ours = WORKFLOW.read_text(encoding="utf-8") if WORKFLOW.is_file() else ""
    if ours and found.get("sourceContents", "").split() != ours.split():
        warning = f"{name}, differs from terraform/workflow.yaml"
        return Answer(warning, is_warning=True, fix=checks.APPLY)
    return Answer(name)


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
    if not shell.succeeds(engine, timeout_seconds=ANSWER_SECONDS):
        raise UserError(f"{client.detail}, but no engine answers: start it")
    return client


def compose(shell: Shell) -> Answer:
    where = "https://docs.docker.com/compose/install"
    said = _said(shell, ["docker", "compose", "version", "--short"], where)
    return _new_enough("docker compose", said, COMPOSE, where)


def default_credentials(environ: Mapping[str, str]) -> Answer:
    """Return where Terraform and the client libraries find credentials; no file is opened."""
    if environ.get("STORAGE_EMULATOR_HOST"):
        return Answer("none needed: the cloud is emulated")
    login = "gcloud auth application-default login"
    if named := environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        if not Path(named).is_file():
            raise UserError(f"GOOGLE_APPLICATION_CREDENTIALS={named}: no such file", fix=login)
        return Answer(f"in {named} (GOOGLE_APPLICATION_CREDENTIALS)")
    folder = Path(environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")
    if (folder / "application_default_credentials.json").is_file():
        return Answer(f"in {folder}")
    raise UserError("none; Terraform and Python programs need them", fix=login)


def _said(shell: Shell, argv: Sequence[str], where: str) -> str:
    """Return what a program prints; refuse one that is not installed at all."""
    try:
        return shell.read(argv, timeout_seconds=ANSWER_SECONDS, echo=False)
    except UserError:
        raise UserError("not installed, or it does not run", fix=where) from None


def _new_enough(name: str, said: str, least: str, fix: str) -> Answer:
    """Return the version in the output of a program; refuse one that is too old."""
    found = re.search(r"\d+(\.\d+)+", said)
    if not found:
        return Answer("unknown version", is_warning=True)
    if _numbers(found[0]) < _numbers(least):
        raise UserError(f"{found[0]} is too old; {least} or newer is needed", fix=fix)
    return Answer(found[0])


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


BOOT_DISK_GB = 30  # of a machine, the default of Batch; pd-balanced counts as SSD
PER_FAMILY = "CPUS_PER_VM_FAMILY"
_GENERAL = ("", "e2", "f1", "g1", "n1")  # families that use the quota CPUS


@dataclass(frozen=True)
class Need:
    """What one machine of a stage uses of each quota, and the number of tasks that should run at once."""

    stage: str
    wanted: int
    tasks_on_machine: int
    amounts: Mapping[str, float]

    def tasks(self, left: Mapping[str, float]) -> dict[str, int]:
        """Return the number of tasks that fit into each known quota at once."""
        return {
            name: math.floor(left[name] / amount) * self.tasks_on_machine
            for name, amount in self.amounts.items()
            if name in left
        }


def check_quotas(cloud: Cloud) -> Answer:
    """Compare MAX_PARALLELISM, and a machine for stages A and C, with the unused quotas.

    With a small quota nothing fails at once: tasks wait for one another, or for two days if none fits.
    """
    left = region_quotas(cloud) | project_quotas(cloud)
    families = {family for _, family, _ in _cpus(cloud.settings) if _has_no_metric(family, left)}
    unknown = fix = ""
    try:
        allowed = family_cpus(cloud) if families else {}
        left |= {_per_family(family): cpus for family, cpus in allowed.items() if family in families}
    except UserError as error:  # the API may not be enabled; other quotas are still reported
        names = ", ".join(sorted(family.upper() for family in families))
        unknown, fix = f"the quota for CPUs of {names} is not known: {error.problem}", error.fix
    more = f"https://console.cloud.google.com/iam-admin/quotas?project={cloud.project}"
    if short := list(_shortages(cloud.settings, left)):
        return Answer("; ".join([*short, *filter(None, [unknown])]), is_warning=True, fix=more)
    enough = f"enough for {cloud.settings.max_parallelism} tasks at once (MAX_PARALLELISM)"
    return Answer(f"{enough}; {unknown}", is_warning=True, fix=fix) if unknown else Answer(enough)


def _shortages(settings: Settings, left: Mapping[str, float]) -> Iterable[str]:
    """Yield the scarcest quota of each stage, if it is too small."""
    for need in _needs(settings, left):
        tasks = need.tasks(left)
        scarcest = min(tasks, key=tasks.__getitem__, default="")
        if not scarcest or tasks[scarcest] >= need.wanted:
            continue
        what = "allowed" if scarcest.startswith(PER_FAMILY) else "left"  # its usage is not known
        rest = f"{max(0.0, left[scarcest]):,.0f} of {scarcest} {what}"
        if need.stage == "runner":
            yield f"{rest}: {max(0, tasks[scarcest])} of MAX_PARALLELISM={need.wanted} tasks at once"
        else:
            letter = LETTERS[need.stage]
            yield f"{rest}: stage {letter} ({need.stage}) takes {need.amounts[scarcest]:,.0f}"


def _needs(settings: Settings, left: Mapping[str, float]) -> Iterable[Need]:
    for stage, family, vcpus in _cpus(settings):
        is_wide = stage == "runner"
        is_spot = is_wide and settings.provisioning_model == "SPOT" and left.get("PREEMPTIBLE_CPUS", 0) > 0
        disk = "HDB_TOTAL_GB" if family in hyperdisk_only_families() else "SSD_TOTAL_GB"
        cpus = "PREEMPTIBLE_CPUS" if is_spot else _cpu_quota(family, left)
        yield Need(
            stage,
            settings.max_parallelism if is_wide else 1,
            settings.task_count_per_node if is_wide else 1,
            {cpus: vcpus, "CPUS_ALL_REGIONS": vcpus, disk: BOOT_DISK_GB},
        )


def _cpus(settings: Settings) -> Iterable[tuple[str, str, int]]:
    """Yield stage, family of its machines ("" if Batch chooses), and vCPUs of one machine."""
    for stage, limits in stage_limits(settings).items():
        if stage == "output" and not settings.run_output_stage:
            continue
        tasks = settings.task_count_per_node if stage == "runner" else 1
        listed = machine_types().get(limits.machine_type)
        vcpus = listed["vcpus"] if listed else math.ceil(tasks * limits.cpu_milli / 1000)
        yield stage, limits.machine_type.partition("-")[0], vcpus


def _cpu_quota(family: str, left: Mapping[str, float]) -> str:
    """Return the quota for CPUs of a family; CPUS if it has none of its own."""
    own = (f"{family.upper()}_CPUS", _per_family(family))
    return next((name for name in own if name in left), "CPUS")


def _has_no_metric(family: str, left: Mapping[str, float]) -> bool:
    return family not in _GENERAL and f"{family.upper()}_CPUS" not in left


def _per_family(family: str) -> str:
    return f"{PER_FAMILY} ({family.upper()})"
