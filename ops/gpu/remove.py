"""Remove the GPU lane again, first what starts work and last what others refer to, and list what is left."""

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gpu.found import Found, look
from ops.gpu.names import Names
from ops.gpu.steps import Step, Tell, one_by_one, run_all

DELETE_SECONDS = 900


def remove(cloud: Cloud, tell: Tell | None = None) -> None:
    """Delete what exists of the lane, with every object in its buckets.

    Raises
    ------
    UserError
        Something is left (exit code 1).
    """
    names = Names.of(cloud.settings)
    run_all(cloud, planned(cloud, look(cloud, names)), tell)
    cloud.shell.end_if_dry_run()
    if left := str(look(cloud, names)):
        raise UserError(f"left in {cloud.project}: {left}; remove again", exit_code=1)


def planned(cloud: Cloud, found: Found) -> list[Step]:
    """Return the steps that delete what was found.

    Without its trigger nothing starts the workflow, and without the workflow nothing calls the services; an
    account goes last, because a right that names a deleted account stays in the policies.
    """
    project, location = cloud.in_project, cloud.in_region
    region = ["--region", cloud.region, *project]
    grants = [
        ["projects", "remove-iam-policy-binding", cloud.project, "--role", role, "--member", member, "--all"]
        for role, member in found.grants
    ]
    quiet = "--quiet"  # the operator has decided already
    return [
        Step(
            "delete the trigger",
            one_by_one(
                [["eventarc", "triggers", "delete", name, *location, quiet] for name in found.triggers]
            ),
        ),
        Step(
            "delete the workflow",
            one_by_one([["workflows", "delete", name, *location, quiet] for name in found.workflows]),
        ),
        Step(
            "delete services",
            one_by_one([["run", "services", "delete", name, *region, quiet] for name in found.services]),
            DELETE_SECONDS,
        ),
        Step(
            "delete buckets",
            one_by_one(
                [
                    ["storage", "rm", "--recursive", "--all-versions", f"gs://{name}", *project]
                    for name in found.buckets
                ]
            ),
            DELETE_SECONDS,
        ),
        Step("take rights back", [grants]),
        Step(
            "delete accounts",
            one_by_one(
                [["iam", "service-accounts", "delete", name, *project, quiet] for name in found.accounts]
            ),
        ),
    ]
