"""The steps that delete what was found of the GPU lane, the trigger first."""

from collections.abc import Sequence

from ops.cloud.cloud import Cloud
from ops.gpu.found import Found, title_of
from ops.gpu.monitoring import DASHBOARDS, POLICIES, delete_channel
from ops.gpu.names import Names
from ops.gpu.rights import take_back
from ops.gpu.steps import Change, Command, Step

DELETE_SECONDS = 900
QUIET = "--quiet"  # the operator has decided already


def stop_step(cloud: Cloud, found: Found) -> Step:
    """Return the step that deletes the trigger, so that nothing starts the workflow any more."""
    delete = ["eventarc", "triggers", "delete"]
    triggers = [
        Change(f"trigger {name}", [[*delete, name, *cloud.in_region, QUIET]]) for name in found.triggers
    ]
    return _removing("delete the trigger", triggers)


def removal_steps(cloud: Cloud, names: Names, found: Found) -> list[Step]:
    """Return the steps that delete all else that was found.

    Without the workflow nothing calls the services, and alerts go before the channel that they name. An
    account goes last, because a right that names a deleted account stays in the policies.
    """
    project, location, region = cloud.in_project, cloud.in_region, ["--region", cloud.region]
    service, workflow = ["run", "services", "delete"], ["workflows", "delete"]
    account, metric = ["iam", "service-accounts", "delete"], ["logging", "metrics", "delete"]
    return [
        _step("workflow", {name: [*workflow, name, *location, QUIET] for name in found.workflows}),
        _step("service", {name: [*service, name, *region, *project, QUIET] for name in found.services}),
        _monitoring(cloud, found),
        _step(
            "channel", {title_of(each): delete_channel(cloud, name) for name, each in found.channels.items()}
        ),
        _step("log metric", {name: [*metric, name, *project, QUIET] for name in found.log_metrics}),
        _step(
            "budget",
            {name: ["billing", "budgets", "delete", name, QUIET] for name in found.budgets},
        ),
        _step("bucket", {f"gs://{name}": _delete_bucket(cloud, name) for name in found.buckets}),
        _images(cloud, names, found),
        _removing("take rights back", take_back(names, found, cloud.project), in_turn=True),
        _step("account", {name: [*account, name, *project, QUIET] for name in found.accounts}),
    ]


def _step(kind: str, commands: dict[str, Command]) -> Step:
    changes = [Change(f"{kind} {name}", [words]) for name, words in commands.items()]
    return _removing(f"delete {kind}s" if len(changes) != 1 else f"delete the {kind}", changes)


def _removing(title: str, changes: Sequence[Change], **more: bool) -> Step:
    return Step.of(title, changes, timeout_seconds=DELETE_SECONDS, is_removal=True, **more)


def _monitoring(cloud: Cloud, found: Found) -> Step:
    project = cloud.in_project
    alerts = [
        Change(f"alert {title_of(each)}", [[*POLICIES, "delete", name, QUIET, *project]])
        for name, each in found.alerts.items()
    ]
    dashboards = [
        Change(
            f"dashboard {title_of(each)}", [[*DASHBOARDS, "delete", name.rpartition("/")[2], QUIET, *project]]
        )
        for name, each in found.dashboards.items()
    ]
    return _removing("delete alerts and dashboards", [*alerts, *dashboards])


def _delete_bucket(cloud: Cloud, name: str) -> Command:
    return ["storage", "rm", "--recursive", "--all-versions", f"gs://{name}", *cloud.in_project]


def _images(cloud: Cloud, names: Names, found: Found) -> Step:
    """Return the step that deletes the repository, or the lane's images in one that others use, too."""
    repository = ["artifacts", "repositories", "delete"]
    image = ["artifacts", "docker", "images", "delete"]
    changes = [
        Change(f"repository {name}, with its images", [[*repository, name, *cloud.in_region, QUIET]])
        for name in found.repositories
    ]
    changes += [
        Change(
            f"image {name}", [[*image, f"{names.images}/{name}", "--delete-tags", QUIET, *cloud.in_project]]
        )
        for name in found.images
    ]
    return _removing("delete images", changes)
