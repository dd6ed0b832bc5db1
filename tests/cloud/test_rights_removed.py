"""Runs without one binding: denied as by the service, told with the fix, and nothing half-done."""

import re
import shlex
from dataclasses import replace

import pytest

from localcloud.rights.grants import grants_of
from localcloud.rights.resources import bucket_name
from modeling.refusals import MAY_NOT_COUNT_YET
from ops.failures import UserError
from ops.rehearsal.denials import denials_explained
from ops.rehearsal.policies import policy_of
from ops.rehearsal.rights import person
from tests.emulated import names_in, request
from tests.governed_lanes import PLANNED, SECRET, BatchLane
from tests.rights_records import without
from tests.terraform_plans import BATCH, BUILD, BUILDER, NEEDED, WORKFLOW, configured, plans

PROJECT, BUCKET = NEEDED["project_id"], NEEDED["bucket_name"]
OF_PROJECT = f"projects/{PROJECT}"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
MADE = ("runner-artifacts/", "outputs/", "execution.json", "run_metadata.json")  # by what must not be reached
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
# What the run itself says of it, by the permission; that of an emulated cloud's record nobody has on Google.
TOLD = {
    "iam.serviceAccounts.actAs": (
        "error code 403: Permission 'iam.serviceAccounts.actAs' denied on resource",
        f"serviceAccounts/{BATCH.partition(':')[2]}'",
    ),
    "storage.objects.get": (
        f"access denied (403 {BATCH.partition(':')[2]} does not have storage.objects.get access",
        f"roles/storage.objectUser on gs://{BUCKET}",
    ),
    "secretmanager.versions.access": (
        f"secret {SECRET}: access denied",
        "Permission 'secretmanager.versions.access' denied on resource",
        "needs roles/secretmanager.secretAccessor on it",
    ),
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


def fix_of(lane, rights, account, permission):
    """Return the fix that the line about a denial ends with, by what is known to give rights."""
    with pytest.raises(UserError) as failed, denials_explained(lane.emulator.apis, PROJECT, rights):
        raise UserError("the run failed")
    denied = rf"denied: {re.escape(account)} may not {re.escape(permission)} on \S+: (.*)"
    (found,) = [line for line in str(failed.value).splitlines() if re.fullmatch(denied, line)]
    return re.fullmatch(denied, found)[1]


@pytest.mark.parametrize("removal", REMOVALS.values(), ids=list(REMOVALS))
def test_a_run_without_a_binding_is_denied_in_its_own_words_and_runs_through_once_the_fix_is_typed(
    lane, removal, capsys
):
    member, role, holder, permission = removal
    (taken,) = [g for g in lane.rights.grants if (g.member, g.role, g.holder) == (member, role, holder)]
    others = replace(lane.rights, grants=tuple(each for each in lane.rights.grants if each != taken))

    with without(lane.emulator, lane.rights.grants, taken):
        with pytest.raises(UserError) as failed:
            lane.run()
        told = f"{capsys.readouterr().out}\n{failed.value.problem}"
        run_id = re.search(r"^run (\S+) of trial: ", told, re.M)[1]
        files = names_in(lane.emulator, BUCKET, f"trial/{run_id}/")
        ended = states_of_jobs(lane)
        planned = fix_of(lane, lane.rights, member.partition(":")[2], permission)
        typed = fix_of(lane, others, member.partition(":")[2], permission)

        program, *words = shlex.split(typed)
        lane.cloud().read(words, echo=False)
        again = lane.run(run_id if files else "")  # a run without files is no run: the next one is new

    assert [each for each in TOLD[permission] if each not in told] == []
    assert set(ended.values()) <= set(ENDED)
    assert [each for each in files if each.startswith(tuple(f"trial/{run_id}/{name}" for name in MADE))] == []
    condition = f" if {taken.condition}" if taken.condition else ""
    assert planned == f"the plan of terraform/ gives it ({role} on {holder}{condition}): invoke tf-apply"
    assert program == "gcloud"
    assert f"trial/{again.run_id}/run_metadata.json" in names_in(lane.emulator, BUCKET, "trial/")
    assert again.run_id == run_id or not files


def test_a_grant_that_is_taken_is_back_after_a_block_that_fails(lane):
    holder = f"{OF_PROJECT}/secrets/{SECRET}"
    (taken,) = [g for g in lane.rights.grants if (g.member, g.holder) == (BUILDER, holder)]
    found_within = []

    def of_builder():
        policy = policy_of(lane.emulator.storage, lane.emulator.apis, holder)
        return [each for each in grants_of(holder, policy) if each.member == BUILDER]

    def fail():
        with without(lane.emulator, lane.rights.grants, taken):
            found_within.append(of_builder())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert found_within == [[]]
    assert of_builder() == [taken]


# Whose binding is taken from a build, its role, and what `invoke build --wait` says then.
REFUSED_BUILDS = {
    "the person may not start it": (
        person("build"),
        "roles/cloudbuild.builds.editor",
        "gcloud builds submit: PERMISSION_DENIED: Permission 'cloudbuild.builds.create' denied on resource",
    ),
    "the build may not push the image": (
        BUILD,
        "roles/artifactregistry.writer",
        r"build \S+ ended as FAILURE: failed to push \S+: Permission "
        "'artifactregistry.repositories.uploadArtifacts' denied on resource",
    ),
    "the build may not read the token": (
        BUILD,
        "roles/secretmanager.secretAccessor",
        r"build \S+ ended as FAILURE: failed to access secret version \S+: Permission "
        "'secretmanager.versions.access' denied on resource",
    ),
}


@pytest.mark.parametrize(("member", "role", "said"), REFUSED_BUILDS.values(), ids=list(REFUSED_BUILDS))
def test_a_build_that_is_refused_says_that_a_new_role_may_not_count_yet_and_runs_once_it_does(
    lane, member, role, said
):
    (taken,) = [grant for grant in lane.rights.grants if (grant.member, grant.role) == (member, role)]

    with without(lane.emulator, lane.rights.grants, taken), pytest.raises(UserError) as failed:
        lane.build()

    assert re.match(said, failed.value.problem)
    assert failed.value.problem.endswith(f" (or it may not exist); {MAY_NOT_COUNT_YET}")
    lane.build()
