"""What a run in the cloud needs, each asked for alone with the real gcloud against the emulated cloud."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from localcloud.environment import client_environment
from modeling.refusals import MAY_NOT_COUNT_YET
from ops.cloud import checks
from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal
from ops.project.checkup import Answer, Level, Question, ask_all
from ops.project.doctor import check_quotas
from ops.settings import Settings
from ops.shell import Shell
from tests.emulated import (
    add_image,
    add_secret,
    create_bucket,
    deploy_workflow,
    order_faults,
    post,
    request,
)
from tests.needs import need_program
from tests.odd_gcloud import path_with_odd_gcloud

PROJECT, BUCKET, SECRET = "my-lab-forecasts", "my-lab-bucket", "github-pat"
PATH = f"us-central1-docker.pkg.dev/{PROJECT}/epymodelingsuite-repo/epymodelingsuite"
DIGEST = f"sha256:{'a' * 64}"
SOURCE = "main:\n  steps:\n    - done:\n        return: 1\n"


@pytest.fixture
def cloud(emulator, monkeypatch):
    """An empty cloud, which is the one of this process's gcloud."""
    need_program("gcloud")
    variables = client_environment(emulator.storage, emulator.apis, emulator.state, PROJECT)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield emulator
    post(f"{emulator.apis}/_emulator/reset", {})


def settings(**more: object) -> Settings:
    return Settings(**{"project_id": PROJECT, "bucket_name": BUCKET, "github_pat_secret": SECRET, **more})


def at(shell: Shell | None = None, **more: object) -> Cloud:
    return Cloud.of(shell or Shell(), settings(**more))


def problem(check, asked: Cloud | Shell, *arguments) -> UserError:
    with pytest.raises(UserError) as caught:
        check(asked, *arguments)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_missing_bucket_is_told_with_the_command_that_makes_it(cloud):
    wrong = problem(checks.check_bucket, at())

    assert wrong.exit_code == 2
    assert wrong.fix.startswith(f"gcloud storage buckets create gs://{BUCKET} --project {PROJECT}")

    create_bucket(cloud, BUCKET, PROJECT)
    assert checks.check_bucket(at())["location"].startswith("US")


def test_a_bucket_of_others_is_told_as_such(cloud):
    order_faults(cloud, {"path": f"/b/{BUCKET}", "status": 403, "message": "no storage.buckets.get access"})

    wrong = problem(checks.check_bucket, at())

    assert "it belongs to another project, or you have no access to it" in wrong.problem
    assert (wrong.exit_code, wrong.fix) == (2, f"gcloud storage buckets list --project {PROJECT}")


def test_a_bucket_that_is_refused_without_a_permission_is_told_with_the_list_of_ones_own(cloud):
    order_faults(cloud, {"path": f"/b/{BUCKET}", "status": 403, "message": "vpcServiceControls"})

    wrong = problem(checks.check_bucket, at())

    assert "it belongs to another project, or you have no access to it" in wrong.problem
    assert wrong.fix == f"gcloud storage buckets list --project {PROJECT}"


def test_a_tag_is_resolved_to_a_digest(cloud):
    no_repository = problem(checks.resolve_image, at())
    add_image(cloud, f"{PATH}:other", DIGEST)
    no_tag = problem(checks.resolve_image, at())
    add_image(cloud, f"{PATH}-2:latest", DIGEST)
    no_image = problem(checks.resolve_image, at(image_name="nothing"))

    assert "repository epymodelingsuite-repo not found" in no_repository.problem
    assert no_repository.fix == "invoke tf-apply"
    assert f"image {PATH}:latest not found" in no_tag.problem
    assert no_tag.fix == no_image.fix == "invoke build"
    assert checks.resolve_image(at(), "other") == f"{PATH}@{DIGEST}"


def test_a_workflow_that_is_not_deployed_is_told(cloud):
    wrong = problem(checks.check_workflow_deployed, at())
    deploy_workflow(cloud, "epydemix-pipeline", SOURCE, PROJECT)

    found = checks.check_workflow_deployed(at())

    assert "epydemix-pipeline is not deployed in us-central1" in wrong.problem
    assert wrong.fix == "invoke tf-apply"
    assert found["sourceContents"] == SOURCE


def test_a_secret_needs_a_version_that_may_be_read_and_is_not_read_itself(cloud):
    missing = problem(checks.check_secret, at())
    add_secret(cloud, "value", SECRET, PROJECT)
    version = checks.check_secret(at())
    secret = f"{cloud.apis}/v1/projects/{PROJECT}/secrets/{SECRET}"
    request("POST", f"{secret}/versions/1:disable", json={})
    disabled = problem(checks.check_secret, at())

    assert missing.fix == disabled.fix == "invoke secret-set"
    assert version == "1"
    assert "its newest version 1 is disabled" in disabled.problem
    asked = request("GET", f"{cloud.apis}/_emulator/requests").json()["by_route"]
    assert not [route for route in asked if route.endswith(":access")]


def test_a_project_that_is_not_ours_is_told(cloud):
    post(f"{cloud.apis}/_emulator/projects", {"only": ["another-project"]})

    wrong = problem(checks.check_project, at())
    asked = problem(checks.check_workflow_deployed, at())

    assert f"project {PROJECT} does not exist, or you have no access to it" in asked.problem
    assert (asked.exit_code, asked.fix) == (2, "gcloud projects list")
    assert f"PROJECT_ID={PROJECT}: no such project, or you have no access to it" in wrong.problem
    assert wrong.fix == "gcloud projects list"


def test_an_api_that_is_not_enabled_is_told_by_every_question_to_it(cloud):
    for name in ("workflows", "compute"):
        disable = f"{cloud.apis}/v1/projects/{PROJECT}/services/{name}.googleapis.com:disable"
        assert request("POST", disable, json={}).status_code == 200

    wrong = problem(checks.check_apis, at())
    asked = problem(checks.check_workflow_deployed, at())

    assert wrong.problem == f"not enabled in {PROJECT}: compute, workflows"
    enable = "gcloud services enable compute.googleapis.com workflows.googleapis.com"
    assert wrong.fix == f"{enable} --project {PROJECT}"
    assert asked.problem == f"the API workflows.googleapis.com is not enabled in {PROJECT}"
    assert asked.fix == f"gcloud services enable workflows.googleapis.com --project {PROJECT}"


def test_without_credentials_each_question_says_how_to_log_in(cloud, monkeypatch):
    monkeypatch.delenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE")

    for check, asked in ((checks.check_account, Shell()), (checks.check_project, at())):
        wrong = problem(check, asked)

        assert wrong.exit_code == 2
        assert wrong.fix == "gcloud auth login"


def test_a_token_that_is_refused_is_told_as_credentials(cloud):
    order_faults(cloud, {"path": "/workflows/", "status": 401, "message": "Request had invalid credentials."})

    assert problem(checks.check_workflow_deployed, at()).fix == "gcloud auth login"


@pytest.mark.usefixtures("impatient_gcloud")
def test_a_passing_fault_ends_with_75_and_is_told_in_one_line(cloud):
    """gcloud tries several times before it says so, so both are asked at once."""
    faults: dict[int | str, str] = {503: "the backend is busy", 429: "Quota exceeded for reads"}
    for status, said in faults.items():
        order_faults(cloud, {"path": f"/workflows/w{status}", "status": status, "message": said})
    order_faults(cloud, {"path": "/workflows/whalf", "action": "truncate"})
    faults["half"] = "Connection broken"

    def ask(status: int | str) -> UserError:
        return problem(checks.check_workflow_deployed, at(workflow_name=f"w{status}"))

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(ask, faults))

    for wrong, said in zip(answers, faults.values(), strict=True):
        assert isinstance(wrong, GcloudError)
        assert wrong.refusal is Refusal.PASSING
        assert wrong.exit_code == 75
        assert said in wrong.problem
        assert "try again in a minute" in wrong.problem
        assert "http" not in wrong.problem


@pytest.mark.parametrize(
    "said",
    [
        "Could not fetch resource:\n - The service is currently unavailable.\n",
        "Could not fetch resource:\n - Internal error. Please try again or contact Google Support.\n",
        "Could not fetch resource:\n - Bad gateway\n",
        "Could not fetch resource:\n - Backend Error\n",
        "HttpError accessing <https://x>: response: <{'content-length': '9', 'status': 502}>, content "
        '<{"error": {"code": 502, "message": "the backend was not found", "status": "UNKNOWN"}}>',
    ],
)
def test_a_fault_of_compute_that_passes_is_no_missing_subnet(tmp_path, said):
    """Compute tells no code: gcloud prints the message of the service alone."""
    refusal = {"compute networks": {"refusal": f"ERROR: (gcloud.compute.networks.subnets.describe) {said}"}}
    shell = Shell(environment={"PATH": path_with_odd_gcloud(tmp_path, refusal)})
    question = Question("subnet", lambda: Answer(str(checks.check_subnet(at(shell)))))

    (finding,) = ask_all([question])

    assert finding.level is Level.UNKNOWN
    assert finding.detail.endswith("; try again in a minute")


def test_a_denial_of_compute_is_no_missing_subnet(tmp_path):
    """Compute tells no code: gcloud prints the message of the service alone."""
    why = "Required 'compute.subnetworks.get' permission for 'projects/p/regions/r'"
    said = f"Could not fetch resource:\n - {why}\n"
    refusal = {"compute networks": {"refusal": f"ERROR: (gcloud.compute.networks.subnets.describe) {said}"}}
    shell = Shell(environment={"PATH": path_with_odd_gcloud(tmp_path, refusal)})

    (finding,) = ask_all([Question("subnet", lambda: Answer(str(checks.check_subnet(at(shell)))))])

    assert finding.level is Level.WARNING
    assert "Required 'compute.subnetworks.get' permission" in finding.detail


@pytest.mark.usefixtures("impatient_gcloud")
def test_no_connection_is_told_in_one_line_and_passes(cloud, monkeypatch):
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_WORKFLOWS", "http://127.0.0.1:1/")

    wrong = problem(checks.check_workflow_deployed, at())

    assert wrong.exit_code == 75
    assert "no connection to 127.0.0.1 (Connection refused); try again in a minute" in wrong.problem


def test_a_denial_says_what_is_denied_and_not_who_asked(cloud):
    denied = "Permission 'workflows.workflows.get' denied on resource"
    order_faults(cloud, {"path": "/workflows/", "status": 403, "message": denied})

    wrong = problem(checks.check_workflow_deployed, at())

    assert wrong.refusal is Refusal.DENIED
    assert wrong.problem.endswith(f"PERMISSION_DENIED: {denied}; {MAY_NOT_COUNT_YET}")


def test_accounts_that_are_not_there_or_disabled_are_told(cloud):
    path = f"{cloud.apis}/v1/projects/{PROJECT}/serviceAccounts"
    for name in ("runs-here", "runs-no-more"):
        post(path, {"accountId": name})
    post(f"{path}/runs-no-more@{PROJECT}.iam.gserviceaccount.com:disable", {})
    accounts = ["runs-here", "runs-no-more", "not-there", "other@elsewhere.iam.gserviceaccount.com"]

    wrong = problem(checks.check_accounts, at(), accounts)

    assert wrong.problem == "not found or disabled: runs-no-more, not-there"


@pytest.mark.parametrize(
    ("quotas", "variables", "said"),
    [
        ({}, {}, "enough for 100 tasks"),
        ({"CPUS": 24}, {}, "24 of CPUS left: 12 of MAX_PARALLELISM=100 tasks at once"),
        ({"CPUS": 24}, {"max_parallelism": 12}, "enough for 12 tasks"),
        ({"CPUS": 24}, {"provisioning_model": "SPOT"}, "enough for 100 tasks"),
        ({"PREEMPTIBLE_CPUS": 16}, {"provisioning_model": "SPOT"}, "16 of PREEMPTIBLE_CPUS left: 8 of"),
        ({"PREEMPTIBLE_CPUS": 0, "CPUS": 24}, {"provisioning_model": "SPOT"}, "24 of CPUS left"),
        (
            {"N2_CPUS": 16},
            {"stage_b_machine_type": "n2-standard-8"},
            "16 of N2_CPUS left: 2 of",
        ),
        ({"CPUS": 24, "E2_CPUS": 16}, {"stage_b_machine_type": "e2-standard-8"}, "16 of E2_CPUS left: 2 of"),
        ({"HDB_TOTAL_GB": 90}, {"stage_b_machine_type": "n4-standard-2"}, "90 of HDB_TOTAL_GB left: 3 of"),
        ({"HDB_TOTAL_GB": 20}, {}, "20 of HDB_TOTAL_GB left: stage A (builder) takes 30; 20 of HDB_TOTAL_GB"),
        ({"SSD_TOTAL_GB": 20}, {"stage_c_machine_type": "n2-standard-4"}, "left: stage C (output) takes 30"),
        (
            {"CPUS_ALL_REGIONS": 32},
            {"stage_b_machine_type": "n2-standard-8"},
            "32 of CPUS_ALL_REGIONS left: 4 of",
        ),
        ({"SSD_TOTAL_GB": 500}, {"task_count_per_node": 2}, "500 of SSD_TOTAL_GB left: 32 of"),
    ],
)
def test_quotas_hold_so_many_tasks_at_once(cloud, quotas, variables, said):
    post(f"{cloud.apis}/_emulator/compute", {"quotas": quotas})

    answer = check_quotas(at(**variables))

    assert said in answer.detail
    assert answer.is_warning == ("enough" not in said)


@pytest.mark.parametrize(
    ("families", "variables", "said"),
    [
        (
            {"C4": 24},
            {"stage_b_machine_type": "c4-standard-4"},
            "24 of CPUS_PER_VM_FAMILY (C4) allowed: 6 of",
        ),
        ({"C4D": 2}, {}, "2 of CPUS_PER_VM_FAMILY (C4D) allowed: stage C (output) takes 4"),
        (
            {"C4D": 0},
            {"run_output_stage": False},
            "0 of CPUS_PER_VM_FAMILY (C4D) allowed: stage A (builder) takes 2",
        ),
        ({"N4": -1}, {"stage_b_machine_type": "n4-standard-2"}, "enough for 100 tasks"),
        (
            {"N4": 2},
            {"stage_b_machine_type": "n4-standard-2", "provisioning_model": "SPOT"},
            "enough for 100",
        ),
        ({"C4": 2}, {"stage_b_machine_type": "c4-standard-4", "region": "us-east1"}, "enough for 100 tasks"),
    ],
)
def test_newer_families_have_quotas_of_their_own(cloud, families, variables, said):
    post(f"{cloud.apis}/_emulator/compute", {"families": families})

    answer = check_quotas(at(**variables))

    assert said in answer.detail
    assert answer.is_warning == ("enough" not in said)


def test_where_nobody_tells_what_a_family_may_have_the_rest_is_told(cloud):
    disable = f"{cloud.apis}/v1/projects/{PROJECT}/services/cloudquotas.googleapis.com:disable"
    request("POST", disable, json={}).raise_for_status()

    answer = check_quotas(at())

    assert answer.detail.startswith(
        "enough for 100 tasks at once (MAX_PARALLELISM); the quota for CPUs of C4D is"
    )
    assert answer.is_warning
    assert answer.fix == f"gcloud services enable cloudquotas.googleapis.com --project {PROJECT}"


def test_a_machine_type_that_the_region_has_in_no_zone_is_told(cloud):
    everywhere = [f"us-central1-{zone}/c4d-standard-2" for zone in "abc"]
    post(f"{cloud.apis}/_emulator/compute", {"without": [*everywhere, "us-central1-a/c4d-standard-4"]})

    found = checks.check_machine_types(at(), ["", "c4d-standard-4"])
    wrong = problem(checks.check_machine_types, at(), ["c4d-standard-2", "c4d-standard-4"])

    assert found == ["c4d-standard-4"]
    assert wrong.problem.startswith("us-central1 does not offer c4d-standard-2; set STAGE_X_MACHINE_TYPE")
    assert "--zones us-central1-a,us-central1-b,us-central1-c" in wrong.fix
