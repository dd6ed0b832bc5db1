"""The workflow of the GPU lane and its trigger, compared with the settings: what differs is deployed."""

import json
from collections.abc import Mapping

from ops.gpu.found import Resource
from ops.gpu.lane import Lane
from ops.gpu.names import SERVICES
from ops.gpu.sizes import size_of
from ops.gpu.steps import Change, differences
from ops.settings import ROOT
from ops.terminal import nearest

SOURCE = ROOT / "terraform" / "gpu" / "workflow.yaml"
FINALIZED = "google.cloud.storage.object.v1.finalized"
LOGGED = "LOG_ERRORS_ONLY"
DESCRIPTION = "An upload becomes a result: preprocess, predict, postprocess"


def service_urls(lane: Lane) -> dict[str, str]:
    """Return the address of each service: name, project number and region make it up."""
    number, region = lane.found.project_number, lane.names.region
    return {name: f"https://{lane.names.service(name)}-{number}.{region}.run.app" for name in SERVICES}


def workflow_changes(lane: Lane) -> list[Change]:
    """Return the change that deploys the workflow; none if it is as the settings want it."""
    names, settings = lane.names, lane.cloud.settings
    variables = {
        "SERVICE_URLS": json.dumps(service_urls(lane), sort_keys=True, separators=(",", ":")),
        "OUTPUT_BUCKET": names.bucket("output"),
        "MAX_SHARDS_AT_ONCE": str(size_of(settings, "inference").instances),
        "TIMEOUT_SECONDS": str(settings.timeout_seconds),
    }
    wanted = {
        "source": SOURCE.read_text(encoding="utf-8"),
        "account": names.account("workflow"),
        "logged calls": LOGGED,
        **_shown_variables(variables),
        **lane.shown_labels(lane.labels),
    }
    there = _workflow_there(lane, lane.found.workflows.get(names.workflow))
    if not (differing := differences(there, wanted)):
        return []
    what = f"change the workflow: {'; '.join(differing)}" if there else "create the workflow"
    command = [
        *("workflows", "deploy", names.workflow, "--source", nearest(SOURCE), *lane.cloud.in_region),
        *("--service-account", wanted["account"], "--call-log-level", "log-errors-only"),
        *("--labels", lane.label_option, "--description", DESCRIPTION),
        *("--set-env-vars", "^|^" + "|".join(f"{key}={value}" for key, value in variables.items())),
    ]
    return [Change(what, [command])]


def _workflow_there(lane: Lane, workflow: Resource | None) -> dict[str, str]:
    if workflow is None:
        return {}
    return {
        "source": workflow.get("sourceContents", ""),
        "account": workflow.get("serviceAccount", "").rpartition("/")[2],
        "logged calls": workflow.get("callLogLevel", ""),
        **_shown_variables(workflow.get("userEnvVars", {})),
        **lane.shown_labels(workflow.get("labels", {})),
    }


def _shown_variables(variables: Mapping[str, str]) -> dict[str, str]:
    return {f"variable {name}": value for name, value in variables.items()}


def trigger_changes(lane: Lane) -> list[Change]:
    """Return the change that creates the trigger or changes its labels; none if it is as wanted.

    All else in it follows from the lane's names.
    """
    names, cloud = lane.names, lane.cloud
    there = lane.found.triggers.get(names.trigger)
    if there is None:
        command = [
            *("eventarc", "triggers", "create", names.trigger, *cloud.in_region),
            *("--destination-workflow", names.workflow, "--destination-workflow-location", cloud.region),
            *("--event-filters", f"type={FINALIZED}", "--event-filters", f"bucket={names.bucket('input')}"),
            *("--service-account", names.account("trigger"), "--labels", lane.label_option),
        ]
        return [Change("create the trigger", [command])]
    wanted = lane.shown_labels(lane.labels)
    if differing := differences(lane.shown_labels(there.get("labels", {})), wanted):
        update = ["eventarc", "triggers", "update", names.trigger, *cloud.in_region]
        what = f"change the trigger: {'; '.join(differing)}"
        return [Change(what, [[*update, "--update-labels", lane.label_option]])]
    return []
