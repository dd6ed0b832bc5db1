"""Deploy the GPU lane by gcloud: what is missing is created, what differs from the settings is changed.

A deployment that was stopped, at whatever step, is continued by the next one.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gpu import images, monitoring, record, summary
from ops.gpu.buckets import bucket_changes, buckets_without_rights, grants_on_buckets
from ops.gpu.budget import budget_chains, budget_changes
from ops.gpu.build import build
from ops.gpu.experiment import model_changes
from ops.gpu.found import Found, look, with_details
from ops.gpu.lane import Lane
from ops.gpu.names import ACCOUNTS, TERRAFORM, Names
from ops.gpu.quotas import check_quota
from ops.gpu.rights import audit_step, grant_changes
from ops.gpu.rules import check_rules
from ops.gpu.services import invoker_changes, service_changes
from ops.gpu.steps import ACCOUNT_NOT_READY, Change, Command, Step, Tell, continued_by, run_all
from ops.gpu.workflow import trigger_changes, workflow_changes
from ops.settings import Settings

APIS = (
    "artifactregistry",
    "cloudresourcemanager",
    "eventarc",
    "eventarcpublishing",
    "iam",
    "logging",
    "monitoring",
    "pubsub",
    "run",
    "storage",
    "workflowexecutions",
    "workflows",
)
DEPLOY_SECONDS = 900  # an instance has four minutes to start, and an image has to be copied
UPLOAD_SECONDS = 1800
# Right after its first use in a project, Eventarc's own account has no rights yet.
AGENT_NOT_READY = {"awaited": "Eventarc Service Agent", "patience_seconds": 300}


@dataclass(frozen=True)
class Wish:
    """What a deployment gets beside the settings.

    Attributes
    ----------
    archive : Path or None
        The packed experiment whose observed data an uploaded table replaces.
    device : str
        DEVICE of the inference service where it has a GPU.
    variables : mapping
        Further environment variables of every service.
    """

    archive: Path | None = None
    device: str = "cuda"
    variables: Mapping[str, str] = field(default_factory=dict)


def deploy(cloud: Cloud, wish: Wish, ask: Callable[[str], None], tell: Tell | None = None) -> Lane:
    """Deploy the lane, and return it as it was found.

    Parameters
    ----------
    ask : callable
        Gets what would be done, and raises UserError if that is not wanted.
    tell : callable
        Gets the title of each step and its seconds, instead of the commands on the terminal.

    Raises
    ------
    UserError
        Settings contradict each other or the project's quota; Terraform manages the lane; or a step failed,
        and the next deployment continues.
    """
    check_rules(cloud.settings)
    check_quota(cloud)
    names = Names.of(cloud.settings)
    found = look(cloud, names)
    check_manager(cloud, found)
    with tempfile.TemporaryDirectory(prefix="gpu-lane-") as folder:
        lane = Lane(cloud, names, with_details(cloud, found), Path(folder))
        built = images.digests(cloud, names)
        steps = plan(lane, built, wish)
        if not any(step.is_needed for step in steps):
            cloud.shell.report("nothing to change")
            return lane
        ask(summary.before(lane, steps, images.missing_of(built)))
        record.write(cloud, names)
        with continued_by("invoke gpu-deploy"):
            _carry_out(lane, steps, built, wish, tell)
        record.write(cloud, names, is_done=True)
    return lane


def _carry_out(
    lane: Lane, steps: list[Step], built: Mapping[str, str], wish: Wish, tell: Tell | None
) -> None:
    """Run the steps; images that are missing are built after the APIs are enabled, and planned with then."""
    missing = images.missing_of(built)
    run_all(lane.cloud, steps[:1] if missing else steps, tell)
    if missing:
        build(lane.cloud)
        built = images.digests(lane.cloud, lane.names)
        run_all(lane.cloud, plan(lane, built, wish)[1:], tell)


def check_manager(cloud: Cloud, found: Found) -> None:
    """Refuse a lane that Terraform manages: its next plan would undo what is done here.

    Raises
    ------
    UserError
        Names a part of it, and what to do.
    """
    managed = [name for name, manager in found.managers().items() if manager == TERRAFORM]
    if managed:
        raise UserError(
            f"Terraform manages this lane ({managed[0]} in {cloud.project}): deploy with `invoke gpu-apply`, "
            "or remove it first",
            fix="invoke gpu-destroy",
        )


def plan(lane: Lane, built: Mapping[str, str], wish: Wish) -> list[Step]:
    """Return the steps in their order, each with what has to change; the first enables APIs.

    The trigger is last: uploads start the workflow from then on, and everything that a run needs is there.
    """
    rights = buckets_without_rights(lane)
    return [
        Step.of("enable APIs", _api_changes(lane)),
        Step.of("create accounts", _account_changes(lane)),
        Step.of("create buckets", bucket_changes(lane)),
        Step.of("upload the experiment", model_changes(lane, wish.archive), timeout_seconds=UPLOAD_SECONDS),
        Step.of("grant rights", grant_changes(lane), in_turn=True, **ACCOUNT_NOT_READY),
        Step(
            "grant rights on buckets",
            lambda: grants_on_buckets(lane, rights),
            changes=[f"grant rights on bucket {bucket}" for bucket in rights],
            **ACCOUNT_NOT_READY,
        ),
        audit_step(lane, record.is_audited(lane.cloud.settings, lane.names)),
        Step.of(
            "deploy services",
            service_changes(lane, built, wish.device, wish.variables),
            timeout_seconds=DEPLOY_SECONDS,
            **ACCOUNT_NOT_READY,
        ),
        Step.of("let the workflow call them", invoker_changes(lane), **ACCOUNT_NOT_READY),
        Step.of("deploy the workflow", workflow_changes(lane), **ACCOUNT_NOT_READY),
        Step.of("create the channel", monitoring.channel_changes(lane)),
        Step(
            "create alerts",
            lambda: monitoring.alert_chains(lane),
            changes=monitoring.alert_changes(lane),
        ),
        Step.of(
            "create the dashboard", [*monitoring.dashboard_changes(lane), *monitoring.unused_channels(lane)]
        ),
        Step("create the budget", lambda: budget_chains(lane), changes=budget_changes(lane)),
        Step.of("create the trigger", trigger_changes(lane), **AGENT_NOT_READY),
    ]


def apis_of(settings: Settings) -> list[str]:
    """Return the APIs that the settings need."""
    chosen = {
        "aiplatform": settings.enable_vertex_ai,
        "billingbudgets": settings.monthly_budget_usd,
    }
    return [*APIS, *(api for api, is_needed in chosen.items() if is_needed)]


def _api_changes(lane: Lane) -> list[Change]:
    missing = [api for api in apis_of(lane.cloud.settings) if api not in lane.found.apis]
    enable = ["services", "enable", *(f"{api}.googleapis.com" for api in missing), *lane.cloud.in_project]
    return [Change(f"enable APIs: {', '.join(missing)}", [enable])] if missing else []


def _account_changes(lane: Lane) -> list[Change]:
    return [
        Change(f"create account {lane.names.account_id(name)}", [_create_account(lane, name)])
        for name in ACCOUNTS
        if lane.names.account(name) not in lane.found.accounts
    ]


def _create_account(lane: Lane, name: str) -> Command:
    create = ["iam", "service-accounts", "create", lane.names.account_id(name)]
    return [*create, "--display-name", f"GPU lane: {name}", *lane.cloud.in_project]
