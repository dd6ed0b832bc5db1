"""Infrastructure Manager takes terraform/gpu/ as it is; every command of its page is typed."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from localcloud.environment import client_environment
from localcloud.infra.hcl import read_hcl
from localcloud.process import running
from ops.gpu.names import Names
from ops.settings import Settings
from tests.emulated import deploy_workflow, names_in, post, request
from tests.experiments import REPOSITORY, sampled
from tests.needs import need_program, need_terraform
from tests.operators import Operator
from tests.pages import commands_of
from tests.stage_scripts import Ended

PAGE = REPOSITORY / "infrastructure-manager" / "README.md"
EXAMPLE = PAGE.with_name("inputs.tfvars.example")
BLUEPRINT = REPOSITORY / "terraform" / "gpu"
PROJECT, REGION = "my-lab-forecasts", "us-central1"
STAGING = f"{PROJECT}_infra_manager_staging"
VALUES = {"PROJECT_ID": PROJECT, "REGION": REGION}
SHELL = """
set -uo pipefail
invoke() { [[ $1 == gpu-build || $1 == gpu-destroy ]]; }
EDITOR=true
"""


class Desk:
    """A checkout with the page's folder and the blueprint, and a gcloud that knows one emulated cloud."""

    def __init__(self, cloud, folder: Path):
        need_program("gcloud")
        self.cloud = cloud
        self.folder = folder / "infrastructure-manager"
        shutil.copytree(PAGE.parent, self.folder)
        shutil.copytree(BLUEPRINT, folder / "terraform" / "gpu", ignore=shutil.ignore_patterns(".terraform*"))
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "TEST_GCLOUD_SPEED": "20",  # asks as often as ever whether an operation is done, but sooner
            **client_environment(cloud.storage, cloud.apis, cloud.state, PROJECT),
        }

    def furnished(self) -> "Desk":
        """Put the account that applies into the project."""
        post(f"{self.cloud.apis}/v1/projects/{PROJECT}/serviceAccounts", {"accountId": "infra-manager"})
        member = f"serviceAccount:infra-manager@{PROJECT}.iam.gserviceaccount.com"
        bindings = [{"role": "roles/config.agent", "members": [member]}]
        policy = {"policy": {"bindings": bindings}}
        post(f"{self.cloud.apis}/v1/projects/{PROJECT}:setIamPolicy", policy)
        return self

    def type(self, script: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["bash", "-c", SHELL + script],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )

    def apply(self, *options: str) -> subprocess.CompletedProcess:
        """Apply the blueprint as the page does, with other options after those."""
        account = f"projects/{PROJECT}/serviceAccounts/infra-manager@{PROJECT}.iam.gserviceaccount.com"
        words = [
            *("gcloud", "infra-manager", "deployments", "apply", "gpu-lane", f"--location={REGION}"),
            *(f"--service-account={account}", "--local-source=../terraform/gpu", *options),
        ]
        return self.type(" ".join(words))

    def destroy(self) -> Ended:
        """Type `invoke gpu-destroy`."""
        operator = Operator(self.folder, sampled())
        operator.environ |= {**self.environ, "PROJECT_ID": PROJECT, "REGION": REGION}
        return operator.invoke("gpu-destroy", "--yes")

    def get(self, path: str) -> dict:
        place = f"{self.cloud.apis}/v1/projects/{PROJECT}/locations/{REGION}"
        return request("GET", f"{place}/{path}").json()


@pytest.fixture(scope="module")
def planning(tmp_path_factory):
    """A cloud where the real terraform plans blueprints."""
    configuration = need_terraform(applies=True)["TF_CLI_CONFIG_FILE"]
    with running(tmp_path_factory.mktemp("planning"), "--terraform", configuration) as cloud:
        yield cloud


@pytest.fixture
def planner(planning, tmp_path):
    yield Desk(planning, tmp_path)
    post(f"{planning.apis}/_emulator/reset", {})


@pytest.fixture
def desk(emulator, tmp_path):
    """A desk whose cloud checks the rules only, and has the account that applies."""
    yield Desk(emulator, tmp_path).furnished()
    post(f"{emulator.apis}/_emulator/reset", {})


@pytest.mark.timeout(600)
def test_every_command_of_the_page_works_as_it_is_pasted(planner):
    script = [f"{name}={value}" for name, value in VALUES.items()]
    commands = commands_of(PAGE)
    for number, command in enumerate(commands):
        is_ours = command.sets() & VALUES.keys()
        script += [f"echo '@@ {number}'", ":" if is_ours else command.text, 'echo "@@ ended $?"']

    done = planner.type("\n".join(script))

    ended = re.findall(r"^@@ (\d+)\n(.*?)^@@ ended (\d+)$", done.stdout, re.DOTALL | re.MULTILINE)
    failed = [f"{commands[int(number)]}\n{said}" for number, said, code in ended if code != "0"]
    assert len(ended) == len(commands), done.stdout
    assert not failed, "\n\n".join(failed)
    plan = json.loads((planner.folder / "plan.json").read_text())
    kinds = {each["type"] for each in plan["resource_changes"]}
    assert {"google_cloud_run_v2_service", "google_eventarc_trigger", "google_workflows_workflow"} <= kinds
    said = "".join(text for _, text, _ in ended)
    assert said.count("state: ACTIVE") == 1
    assert re.search(r"^r-0 +APPLIED .*\n^r-1 +APPLIED ", said, re.MULTILINE)
    assert planner.get("deployments") == planner.get("previews") == {}


def test_a_removal_of_its_lane_names_the_command_that_deletes_the_deployment_first(desk):
    names = Names.of(Settings(project_id=PROJECT, region=REGION))
    labels = {"managed-by": "terraform"}
    deploy_workflow(
        desk.cloud, names.workflow, "main:\n  steps:\n    - a:\n        return: 1\n", PROJECT, labels=labels
    )
    desk.apply(f"--input-values=project_id={PROJECT},service_prefix=flu")
    another = desk.destroy()
    desk.apply(f"--input-values=project_id={PROJECT},gpu_max_instances=2")

    stopped = desk.destroy()
    deletion = stopped.last_line.rpartition(": ")[2]
    deleted = desk.type(f"{deletion} --quiet")
    kept = desk.get("deployments")
    after = desk.destroy()
    post(f"{desk.cloud.apis}/v1/projects/{PROJECT}/services/config.googleapis.com:disable", {})
    disabled = desk.destroy()

    without_state = (
        "error: TF_STATE_BUCKET: not set, nor is BUCKET_NAME; Terraform keeps its state in one of them"
    )
    for ended in (another, after, disabled):
        assert ended.exit_code == 2
        assert ended.last_line.startswith(without_state)
    assert stopped.exit_code == 2
    assert stopped.last_line.startswith(
        "error: nothing was deleted: the deployment gpu-lane of Infrastructure "
    )
    where = f"--location {REGION} --project {PROJECT}"
    assert deletion == f"gcloud infra-manager deployments delete gpu-lane {where}"
    assert "+ gcloud" not in stopped.output
    assert deleted.returncode == 0, deleted.stdout
    assert kept == {}
    assert desk.get("workflows")["workflows"]


def test_what_terraform_refuses_of_the_settings_is_told_by_the_apply(planner):
    done = planner.furnished().apply(f"--input-values=project_id={PROJECT},gpu_cpu=2")

    assert done.returncode == 1
    assert "set GPU_CPU to one of them" in " ".join(done.stdout.split())


def test_what_is_uploaded_has_no_backend_no_tests_and_no_values(desk):
    folder = desk.folder.parent / "terraform" / "gpu"
    (folder / "tests").mkdir(exist_ok=True)
    for name in ("tests/later.tf", "terraform.tfvars", "gpu.tfstate", ".terraform.lock.hcl"):
        (folder / name).write_text("")

    done = desk.apply(f"--input-values=project_id={PROJECT}")

    assert done.returncode == 0, done.stdout
    uploaded = {name.split("/", 4)[4] for name in names_in(desk.cloud, STAGING)}
    ours = {path.name for path in BLUEPRINT.iterdir() if path.is_file() and not path.name.startswith(".")}
    assert uploaded == ours - {"backend.tf"}


@pytest.mark.parametrize(
    ("change", "inputs", "reason"),
    [
        ("", f"project_id={PROJECT},gpu_typ=none", 'the blueprint has no variable "gpu_typ"'),
        ("", "region=us-central1", 'No value for required variable: "project_id" is not given'),
        ('terraform {\n  backend "gcs" {}\n}\n', f"project_id={PROJECT}", 'added.tf:2: backend "gcs"'),
        (
            'terraform {\n  required_version = ">= 1.6"\n}\n',
            f"project_id={PROJECT}",
            'added.tf:2: Unsupported Terraform Core version: required_version ">= 1.6" does not admit 1.5.7',
        ),
        (
            'module "lane" {\n  source = "../modules/lane"\n}\n',
            f"project_id={PROJECT}",
            'added.tf:2: module source "../modules/lane" is outside the blueprint',
        ),
    ],
)
def test_what_breaks_a_rule_is_refused_by_name(desk, change, inputs, reason):
    (desk.folder.parent / "terraform" / "gpu" / "added.tf").write_text(change)

    done = desk.apply(f"--input-values={inputs}")

    assert done.returncode == 1
    assert reason in " ".join(done.stdout.split())
    deployment = desk.get("deployments/gpu-lane")
    assert (deployment["state"], deployment["errorCode"]) == ("FAILED", "REVISION_FAILED")


@pytest.mark.parametrize(
    "example", sorted((REPOSITORY / "examples" / "gpu").glob("*.tfvars")), ids=lambda p: p.stem
)
def test_each_set_of_the_examples_with_a_project_is_an_input(desk, example):
    (desk.folder / "inputs.tfvars").write_text(f'{example.read_text()}\nproject_id = "{PROJECT}"\n')

    done = desk.apply("--inputs-file=inputs.tfvars")

    assert done.returncode == 0, done.stdout


def test_the_example_names_variables_that_are_there_and_all_variables_are_scalars():
    blocks = [
        block for path in BLUEPRINT.glob("*.tf") for block in read_hcl(path.read_text()).named("variable")
    ]
    text = re.sub(r"^# (\w+ +=)", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)

    named = read_hcl(text).arguments

    assert {block.body.arguments["type"].text for block in blocks} <= {"string", "number", "bool"}
    assert len(named) >= 8
    assert named.keys() <= {block.name for block in blocks}
