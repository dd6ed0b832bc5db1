"""Runs without one binding: denied as by the service, told with the fix, and nothing half-done."""

import re

import pytest

from localcloud.rights.resources import bucket_name
from localcloud.rights.roles import permissions_of
from ops.failures import UserError
from ops.rehearsal.denials import denials_explained
from tests.emulated import names_in, request
from tests.governed_lanes import PLANNED, SECRET, BatchLane
from tests.rights_records import without
from tests.terraform_plans import BATCH, BUILDER, NEEDED, WORKFLOW, configured, plans

PROJECT, BUCKET = NEEDED["project_id"], NEEDED["bucket_name"]
OF_PROJECT = f"projects/{PROJECT}"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
# Whose binding is taken, its role and resource, and the permission that is denied then.
REMOVALS = {
    "the workflow may not act as the Batch account": (
        WORKFLOW,
        "roles/iam.serviceAccountUser",
        f"{OF_PROJECT}/serviceAccounts/{BATCH.partition(':')[2]}",
        "iam.serviceAccounts.actAs",
    ),
    "the Batch account may not use the run's files": (
        BATCH,
        "roles/storage.objectUser",
        bucket_name(BUCKET),
        "storage.objects.get",
    ),
    "the builder may not read the token": (
        BUILDER,
        "roles/secretmanager.secretAccessor",
        f"{OF_PROJECT}/secrets/{SECRET}",
        "secretmanager.versions.access",
    ),
}
COMMANDS = {
    "roles/iam.serviceAccountUser": "gcloud iam service-accounts add-iam-policy-binding ",
    "roles/storage.objectUser": f"gcloud storage buckets add-iam-policy-binding gs://{BUCKET} ",
    "roles/secretmanager.secretAccessor": f"gcloud secrets add-iam-policy-binding {SECRET} ",
}
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def lane(tmp_path_factory):
    with configured(tmp_path_factory) as configuration:
        plan = plans(configuration)(**PLANNED)
    with BatchLane.of_plan(plan, tmp_path_factory.mktemp("batch")) as lane:
        yield lane


def states_of_jobs(lane):
    url = f"{lane.emulator.apis}/v1/{OF_PROJECT}/locations/us-central1/jobs?pageSize=1000"
    return {each["name"]: each["status"]["state"] for each in request("GET", url).json().get("jobs", [])}


@pytest.mark.parametrize("removal", REMOVALS.values(), ids=list(REMOVALS))
def test_a_run_without_a_binding_is_denied_with_the_fix_and_runs_through_once_it_is_back(lane, removal):
    member, role, holder, permission = removal
    (taken,) = [g for g in lane.rights.grants if (g.member, g.role, g.holder) == (member, role, holder)]

    with (
        without(lane.emulator, lane.rights.grants, taken),
        pytest.raises(UserError) as failed,
        denials_explained(lane.emulator.apis, PROJECT, lane.rights),
    ):
        lane.run()
    run_id = lane.run_id()
    files = names_in(lane.emulator, BUCKET, f"trial/{run_id}/")
    ended = states_of_jobs(lane)

    account = member.partition(":")[2]
    said = str(failed.value)
    line = re.search(
        rf"^denied: {re.escape(account)} may not {re.escape(permission)} on \S+: (.*)$", said, re.M
    )
    assert line, said
    assert line[1].startswith(COMMANDS[role])
    given = re.search(rf" --member {re.escape(member)} --role (roles/\S+)$", line[1])
    assert permission in permissions_of(given[1])
    assert failed.value.exit_code == 1
    assert set(ended.values()) <= set(ENDED)
    assert f"trial/{run_id}/execution.json" not in files

    lane.run(run_id)

    assert f"trial/{run_id}/run_metadata.json" in names_in(lane.emulator, BUCKET, f"trial/{run_id}/")
