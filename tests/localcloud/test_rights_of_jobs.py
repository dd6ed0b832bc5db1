"""Who may make, watch and cancel jobs of Batch, with the roles that Terraform and docs/access.md give."""

import pytest

from localcloud.process import running
from localcloud.projects import DEFAULT_ACCOUNT
from tests.emulated import request
from tests.localcloud.jobs import LOCATION, PROJECT, job, null, numbers
from tests.localcloud.members import OF_PROJECT, Member, account, denied, path_of

JOBS = f"{LOCATION}/jobs"
WORKFLOW = ("batch.jobsEditor", "logging.logWriter", "workflows.viewer")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """A cloud that enforces rights, and whose jobs stay QUEUED."""
    options = ("--rights-of", PROJECT, "--tasks", "null", "--queue-seconds", "600")
    with running(tmp_path_factory.mktemp("state"), *options) as cloud:
        yield cloud


@pytest.fixture
def stages(cloud) -> Member:
    """The account of the tasks."""
    return account(cloud)


@pytest.fixture
def workflow(cloud, stages) -> Member:
    """The account of the workflow, with the roles that Terraform gives it."""
    made = account(cloud).given(*WORKFLOW)
    return made.given("iam.serviceAccountUser", on=path_of(stages))


def created(who: Member, as_account: str = ""):
    """Ask for a job, and return the answer and the job's path."""
    job_id = f"job-{next(numbers)}"
    policy = {"allocationPolicy": {"serviceAccount": {"email": as_account}}} if as_account else {}
    answer = who.ask("POST", f"{JOBS}?jobId={job_id}", json={**job(null()), **policy})
    return answer, f"{JOBS}/{job_id}"


def is_there(cloud, path: str) -> bool:
    return request("GET", cloud.apis + path).status_code == 200


def test_the_workflow_makes_watches_cancels_and_deletes_jobs(workflow, stages):
    answer, path = created(workflow, stages.email)

    assert answer.status_code == 200, answer.text
    assert workflow.get(path)["status"]["state"] == "QUEUED"
    assert len(workflow.get(f"{path}/taskGroups/group0/tasks")["tasks"]) == 1
    assert workflow.get(f"{path}/taskGroups/group0/tasks/0")["status"]["state"] == "PENDING"
    assert path.removeprefix("/v1/") in [each["name"] for each in workflow.get(JOBS)["jobs"]]
    cancelled = workflow.ask("POST", f"{path}:cancel")
    assert cancelled.status_code == 200, cancelled.text
    assert workflow.get("/v1/" + cancelled.json()["name"])["metadata"]["verb"] == "cancel"
    assert workflow.ask("DELETE", path).status_code == 200


def test_no_job_is_made_by_whom_may_not_act_as_its_account(cloud, stages):
    answer, path = created(account(cloud).given(*WORKFLOW), stages.email)

    assert denied(answer) == "iam.serviceAccounts.actAs"
    assert stages.email in answer.text
    assert not is_there(cloud, path)


def test_the_right_to_act_as_one_account_is_not_that_to_act_as_another(cloud, workflow):
    answer, path = created(workflow, account(cloud).email)

    assert denied(answer) == "iam.serviceAccounts.actAs"
    assert not is_there(cloud, path)


def test_a_role_in_the_project_is_no_right_to_act_as_an_account_of_another(cloud):
    everywhere = Member(cloud).given("batch.jobsEditor", "iam.serviceAccountUser")

    answer, path = created(everywhere, "stages@another.iam.gserviceaccount.com")

    assert denied(answer) == "iam.serviceAccounts.actAs"
    assert not is_there(cloud, path)
    assert created(everywhere, account(cloud).email)[0].status_code == 200


def test_a_job_without_an_account_acts_as_that_of_compute_engine(cloud, workflow):
    answer, path = created(workflow)

    assert denied(answer) == "iam.serviceAccounts.actAs"
    assert DEFAULT_ACCOUNT in answer.text
    assert not is_there(cloud, path)


def test_the_right_to_act_as_an_account_is_not_that_to_make_jobs(cloud, stages):
    answer, path = created(Member(cloud).given("iam.serviceAccountUser", on=path_of(stages)), stages.email)

    assert denied(answer) == "batch.jobs.create"
    assert not is_there(cloud, path)


def test_who_looks_sees_jobs_and_neither_ends_nor_makes_any(cloud, workflow, stages):
    _, path = created(workflow, stages.email)
    looking = Member(cloud).given("batch.jobsViewer")

    assert looking.get(path)["status"]["state"] == "QUEUED"
    assert looking.get(JOBS)["jobs"]
    assert looking.get(f"{path}/taskGroups/group0/tasks")["tasks"]
    assert denied(looking.ask("POST", f"{path}:cancel")) == "batch.jobs.delete"
    assert denied(looking.ask("DELETE", path)) == "batch.jobs.delete"
    assert denied(created(looking, stages.email)[0]) == "batch.jobs.create"
    assert looking.get(path)["status"]["state"] == "QUEUED"


def test_who_has_no_role_sees_nothing(cloud, workflow, stages):
    _, path = created(workflow, stages.email)
    nobody = Member(cloud)

    assert denied(nobody.ask("GET", path)) == "batch.jobs.get"
    assert denied(nobody.ask("GET", JOBS)) == "batch.jobs.list"
    assert denied(nobody.ask("GET", f"{path}/taskGroups/group0/tasks")) == "batch.tasks.list"
    assert denied(nobody.ask("GET", f"{path}/taskGroups/group0/tasks/0")) == "batch.tasks.get"
    assert denied(nobody.ask("GET", f"{LOCATION}/operations/batch-1")) == "batch.operations.get"


def test_whoever_checks_reads_machine_types_subnets_and_quotas(cloud):
    checking, nobody = Member(cloud).given("compute.viewer", "cloudquotas.viewer"), Member(cloud)
    request(
        "POST", f"{cloud.apis}/_emulator/compute", json={"subnetwork": f"{PROJECT}/us-central1/net"}
    ).raise_for_status()
    machines = f"/compute/v1/projects/{PROJECT}"
    infos = f"/v1beta/projects/{PROJECT}/locations/global/services"
    of_families = "compute.googleapis.com/quotaInfos/CPUS-PER-VM-FAMILY-per-project-region"
    needed = {
        machines: "compute.projects.get",
        f"{machines}/regions/us-central1": "compute.regions.get",
        f"{machines}/regions/us-central1/subnetworks/net": "compute.subnetworks.get",
        f"{machines}/zones/us-central1-a/machineTypes/c4d-standard-2": "compute.machineTypes.get",
        f"{infos}/{of_families}": "cloudquotas.quotas.get",
        f"{infos}/run.googleapis.com/quotaInfos": "cloudquotas.quotas.get",
    }

    for path, permission in needed.items():
        assert checking.get(path)
        assert denied(nobody.ask("GET", path)) == permission
    assert denied(checking.ask("GET", f"{OF_PROJECT}/secrets")) == "secretmanager.secrets.list"
