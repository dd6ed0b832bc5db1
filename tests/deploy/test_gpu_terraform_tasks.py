"""`invoke gpu-plan` and `invoke gpu-apply` as an operator uses them, and `gpu-destroy` of what they made.

Real terraform, its state in an emulated bucket, real gcloud; the provider alone is a stand-in.
"""

import re
import subprocess

import pytest
import requests

from localcloud.process import running
from ops.failures import UserError
from ops.gpu.names import BUCKETS, SERVICES, Names
from ops.rehearsal.rights import Bindings
from ops.settings import Settings
from tests.deployers import BUCKET, PROJECT, WITHOUT_LOGIN, Deployer
from tests.emulated import add_image, create_bucket, deploy_workflow, names_in, request
from tests.experiments import REPOSITORY

NAMES = Names.of(Settings(project_id=PROJECT))
STATES = "terraform/epymodelingsuite-cloud/gpu"
STATE = f"{STATES}/{NAMES.stem}/default.tfstate"
SOURCE = REPOSITORY / "terraform" / "gpu" / "workflow.yaml"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def deployer(cloud, tmp_path):
    """An operator who has set the project and a bucket for the state; the images are built."""
    deployer = Deployer(cloud, tmp_path)
    for service in SERVICES:
        add_image(cloud, NAMES.image(service, "latest"), f"sha256:{'0' * 64}")
    yield deployer
    requests.post(f"{cloud.apis}/_emulator/reset", timeout=10)
    requests.post(f"{cloud.storage}/_emulator/reset", timeout=10)


def put(cloud, bucket, name):
    url = f"{cloud.storage}/upload/storage/v1/b/{bucket}/o?uploadType=media"
    assert request("POST", url, params={"name": name}, data=b"x").status_code == 200


def with_objects(cloud, *results):
    """Make the lane's workflow and buckets, which the stand-in does not, with a file in each folder."""
    deploy_workflow(cloud, NAMES.workflow, SOURCE.read_text(), PROJECT, labels={"managed-by": "terraform"})
    for bucket in BUCKETS:
        create_bucket(cloud, NAMES.bucket(bucket), PROJECT)
    put(cloud, NAMES.bucket("input"), "week.csv")
    put(cloud, NAMES.bucket("models"), "forecast/experiment.tar.gz")
    for name in ("work/0a1b/inputs.npz", *results):
        put(cloud, NAMES.bucket("output"), name)


def test_a_lane_is_planned_set_up_and_taken_down(deployer):
    planned = deployer.invoke("gpu-plan")
    refused = deployer.answer("y", "gpu-apply")
    before = deployer.made(STATE)
    applied = deployer.answer("yes", "gpu-apply")
    after = deployer.made(STATE)
    again = deployer.invoke("gpu-apply", "--yes")
    with_objects(deployer.cloud)
    gone = deployer.invoke("gpu-destroy", "--yes")

    assert planned.exit_code == 0, planned.output
    assert re.search(r"Plan: \d+ to add, 0 to change, 0 to destroy", planned.output)
    assert (refused.exit_code, before) == (1, [])
    assert "nothing was changed" in refused.last_line
    assert applied.exit_code == 0, applied.output
    assert f"an upload to gs://{NAMES.bucket('input')} starts it" in applied.last_line
    assert {"google_eventarc_trigger.upload", "google_cloud_run_v2_service.lane"} <= set(after)
    assert "nothing to change in project my-lab-forecasts" in again.last_line
    assert gone.exit_code == 0, gone.output
    assert re.search(r"0 added, 0 changed, \d+ destroyed", gone.output)
    assert gone.last_line.startswith(f"nothing left of {NAMES.stem} in {PROJECT}")
    assert deployer.made(STATE) == []
    assert not list((deployer.folder / "terraform" / "gpu" / ".terraform").glob("*.tfplan"))


@pytest.mark.parametrize("words", [["gpu-plan"], ["gpu-apply", "--yes"]], ids=" ".join)
def test_settings_that_cannot_work_together_are_refused_in_a_line_before_terraform_starts(deployer, words):
    ended = deployer.invoke(*words, GPU_CPU="2")

    assert (ended.exit_code, len(ended.lines)) == (2, 1), ended.output
    assert ended.last_line.startswith("error: GPU_CPU=2: an instance with an nvidia-l4 has 4, 6 or 8 CPUs; ")


def test_each_deployment_has_a_state_of_its_own(deployer):
    deployer.invoke("gpu-apply", "--yes")
    elsewhere = {"REGION": "europe-west4"}
    other = Names.of(Settings(project_id=PROJECT, region="europe-west4"))
    for service in SERVICES:
        add_image(deployer.cloud, other.image(service, "latest"), f"sha256:{'1' * 64}")

    second = deployer.invoke("gpu-apply", "--yes", **elsewhere)
    third = deployer.invoke("gpu-plan", SERVICE_PREFIX="flu", IMAGE_TAG="v2", REGISTRY_HOST="r.example.org")
    again = deployer.invoke("gpu-plan")

    assert second.exit_code == 0, second.output
    assert re.search(r"Plan: \d+ to add, 0 to change", third.output)
    assert "No changes" in again.output
    states = [STATE, f"{STATES}/{other.stem}/default.tfstate"]
    assert set(states) <= set(names_in(deployer.cloud, BUCKET, STATES))
    assert len(deployer.made(states[0])) == len(deployer.made(states[1])) > 10


def test_a_dry_run_prints_commands_that_work_when_pasted_and_starts_nothing(deployer):
    ended = deployer.invoke("gpu-apply", "--dry-run")
    nothing_yet = not (deployer.folder / "terraform" / "gpu" / ".terraform").exists()

    codes = deployer.pasted(ended)

    assert ended.exit_code == 0, ended.output
    assert nothing_yet
    assert list(codes.values()) == [0, 2, 0]  # init, plan (there are changes), apply
    assert deployer.made(STATE)


def test_a_plan_that_does_not_know_googles_accounts_is_refused_with_the_commands_that_make_one(deployer):
    plan = deployer.folder / "plan.json"
    early = deployer.invoke("gpu-plan", "--out", "plan.json")
    with pytest.raises(UserError) as refused:
        Bindings.of_file(plan)

    apply, again = refused.value.fix.replace("FILE", "plan.json").split(" && ")
    applied = subprocess.run(
        [*apply.split(), "-auto-approve"], cwd=deployer.folder, env=deployer.operator.environ
    )
    planned = deployer.invoke(*again.removeprefix("invoke ").split())
    bindings = Bindings.of_file(plan)

    assert (early.exit_code, applied.returncode, planned.exit_code) == (0, 0, 0), planned.output
    assert ": member is known only after the apply of what it depends on; let Terraform" in str(refused.value)
    assert bindings.names["project_id"] == PROJECT
    assert bindings.applied_by == "invoke gpu-apply"
    assert any("gcp-sa-eventarc" in each.member for each in bindings.grants)


REFUSED = [
    (["gpu-apply"], {}, "no terminal to ask on; add --yes"),
    (["gpu-plan"], {"PROJECT_ID": ""}, "PROJECT_ID: not set"),
    (["gpu-plan"], {"BUCKET_NAME": ""}, "TF_STATE_BUCKET: not set, nor is BUCKET_NAME"),
    (
        ["gpu-plan"],
        {"TF_STATE_BUCKET": "my-typo"},
        "TF_STATE_BUCKET=my-typo: the bucket for the state does not",
    ),
    (
        ["gpu-plan"],
        {"IMAGE_TAG": "v9"},
        "not in the registry: "
        + ", ".join(f"{NAMES.images}/{service}:v9" for service in SERVICES)
        + ": invoke gpu-build",
    ),
    (["gpu-plan"], {"SERVICE_PREFIX": "a" * 19}, "3 to 18 characters"),
    (["gpu-plan"], WITHOUT_LOGIN, "gcloud auth application-default login"),
]


def test_what_is_wrong_is_one_line_before_anything_is_planned(deployer):
    for words, variables, said in REFUSED:
        deployer.is_refused(words, variables, said)


def test_what_the_scripts_deployed_is_not_taken_over(deployer):
    deploy_workflow(
        deployer.cloud, NAMES.workflow, SOURCE.read_text(), PROJECT, labels={"managed-by": "manual"}
    )

    ended = deployer.invoke("gpu-apply", "--yes")

    assert ended.exit_code == 2, ended.output
    assert "was deployed by `invoke gpu-deploy`" in ended.last_line
    assert "invoke gpu-destroy" in ended.last_line


def test_a_destruction_empties_the_buckets_and_loses_no_result_unless_it_may(deployer):
    deployer.invoke("gpu-apply", "--yes")
    with_objects(deployer.cloud, "results/week.csv/1/result.json")
    made = deployer.made(STATE)

    refused = deployer.invoke("gpu-destroy", "--yes")
    left = {bucket: names_in(deployer.cloud, NAMES.bucket(bucket)) for bucket in BUCKETS}
    still_made = deployer.made(STATE)
    allowed = deployer.invoke("gpu-destroy", "--yes", DELETE_DATA="true")

    assert refused.exit_code == 2
    assert f"gs://{NAMES.bucket('output')}/results/ has 1 file of results" in refused.last_line
    assert "set DELETE_DATA=true" in refused.last_line
    assert all(left.values())
    assert still_made == made
    assert allowed.exit_code == 0, allowed.output
    assert allowed.last_line.startswith(f"nothing left of {NAMES.stem} in {PROJECT}")
    assert deployer.made(STATE) == []


def test_the_scripts_leave_what_terraform_manages_to_it_and_remove_the_rest(deployer):
    assert deployer.invoke("gpu-apply", "--yes").exit_code == 0
    with_objects(deployer.cloud)
    made = deployer.made(STATE)

    refused = deployer.invoke("gpu-deploy", "--yes")
    shown = deployer.invoke("gpu-destroy", "--dry-run")
    still_made = deployer.made(STATE)
    ended = deployer.invoke("gpu-destroy", "--yes")

    assert refused.exit_code == 2
    assert refused.last_line == (
        f"error: Terraform manages this lane (workflow {NAMES.workflow} in {PROJECT}): deploy with `invoke "
        "gpu-apply`, or remove it first: invoke gpu-destroy"
    )
    for output in (shown.output, ended.output):
        destruction = output.index("terraform -chdir=terraform/gpu apply")
        assert destruction < output.index("+ gcloud artifacts repositories delete")
    assert still_made == made
    assert ended.exit_code == 0, ended.output
    assert deployer.made(STATE) == []
    assert (
        f"note: Terraform's state does not have workflow {NAMES.workflow}: gcloud deletes it" in ended.lines
    )
    assert ended.last_line.startswith(f"nothing left of {NAMES.stem} in {PROJECT}; ")
