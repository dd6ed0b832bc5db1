"""What `scripts/deploy.sh` and `destroy.sh` refuse and print before they ask a cloud anything."""

import os
import re
import subprocess
import sys

import pytest

from ops.environment import read_settings
from ops.gpu.rules import contradictions
from ops.settings import Settings
from ops.terraform_settings import terraform_variables
from tests.experiments import REPOSITORY, sampled
from tests.operators import Operator
from tests.stage_scripts import Ended

PROJECT = "my-lab-forecasts"


@pytest.fixture
def operator(tmp_path):
    return Operator(tmp_path, sampled())


def script(operator: Operator, name: str, *words: str, **variables: str) -> Ended:
    """Run deploy.sh or destroy.sh as an operator does, without a gcloud."""
    path = os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep) if "gcloud" not in each)
    environ = {"VIRTUAL_ENV": sys.prefix, "PROJECT_ID": PROJECT, "PATH": path, **variables}
    done = subprocess.run(
        [str(REPOSITORY / "scripts" / f"{name}.sh"), *words],
        env={**operator.environ, **environ},
        cwd=operator.folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    output = done.stdout + done.stderr
    return Ended(done.returncode, output, output.strip().splitlines())


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"GPU_CPU": "2"}, "GPU_CPU=2: an instance with an nvidia-l4 has 4, 6 or 8 CPUs; set GPU_CPU to"),
        ({"GPU_MEMORY": "8Gi"}, "GPU_MEMORY=8Gi: an instance with 4 CPUs has 16Gi; set GPU_MEMORY to that"),
        (
            {"GPU_CPU": "6", "GPU_MEMORY": "32Gi"},
            "GPU_MEMORY=32Gi: an instance with 6 CPUs has 16Gi to 24Gi; set GPU_MEMORY to that",
        ),
        ({"PREPROCESS_MEMORY": "8Gi"}, "PREPROCESS_MEMORY=8Gi: an instance with 1 CPU has 1Gi to 4Gi; set"),
        ({"POSTPROCESS_MEMORY": "5Gi"}, "POSTPROCESS_MEMORY=5Gi: an instance with 1 CPU has"),
        (
            {"GPU_MAX_INSTANCES": "10"},
            "GPU_MAX_INSTANCES=10: the project may use 3 nvidia-l4 in us-central1; set GPU_MAX_INSTANCES to",
        ),
        ({"REGION": "us-west1"}, "REGION=us-west1: Cloud Run has no nvidia-l4 there; set REGION to one of "),
        ({"ZONE": "us-east4-a"}, "ZONE=us-east4-a: it is not a zone of us-central1; leave ZONE out, or set"),
        ({"GPU_NETWORK": "lab"}, "GPU_NETWORK is set and GPU_SUBNETWORK is not: set both, or neither"),
        ({"GPU_SUBNETWORK": "lab"}, "GPU_SUBNETWORK is set and GPU_NETWORK is not: set both, or neither"),
        ({"MIN_INSTANCES": "1"}, "MIN_INSTANCES=1: instances that do nothing cost money, day and night; set"),
        (
            {"MIN_INSTANCES": "4", "ACCEPT_IDLE_COST": "true"},
            "MIN_INSTANCES=4 is more than GPU_MAX_INSTANCES=3; set MIN_INSTANCES to that at most",
        ),
        ({"MONTHLY_BUDGET_USD": "50"}, "MONTHLY_BUDGET_USD=50: a budget belongs to a billing account; set"),
        (
            {"RESULTS_RETENTION_DAYS": "30"},
            "RESULTS_NEARLINE_DAYS=90: results are deleted after 30 days already; set RESULTS_NEARLINE_DAYS",
        ),
        (
            {"GPU_QUOTA": "0"},
            "GPU_MAX_INSTANCES=3: the project may use 0 nvidia-l4 in us-central1; set GPU_TYPE to none, or",
        ),
        (
            {"GPU_TYPE": "nvidia-rtx-pro-6000"},
            "GPU_CPU=4: an instance with an nvidia-rtx-pro-6000 has 20 or 22 CPUs; set GPU_CPU to one of",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_setting_that_cannot_work_with_the_others_is_refused_with_what_to_set(chosen, said):
    (found,) = contradictions(read_settings({"PROJECT_ID": PROJECT, **chosen}))

    assert found.startswith(said)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"GPU_CPU": "8", "GPU_MEMORY": "32Gi", "GPU_MAX_INSTANCES": "50", "GPU_QUOTA": "50"},
        {"GPU_TYPE": "none", "GPU_CPU": "2", "GPU_MEMORY": "8Gi", "REGION": "us-west1", "GPU_QUOTA": "0"},
        {"REGION": "europe-west4", "ZONE": "europe-west4-b"},
        {"GPU_NETWORK": "lab", "GPU_SUBNETWORK": "lab-west"},
        {"GPU_TYPE": "nvidia-rtx-pro-6000", "GPU_CPU": "20", "GPU_MEMORY": "80Gi", "REGION": "europe-west4"},
        {"RESULTS_RETENTION_DAYS": "30", "RESULTS_NEARLINE_DAYS": "0"},
    ],
    ids=lambda chosen: "-".join(chosen) or "defaults",
)
def test_settings_that_work_together_are_not_refused(chosen):
    assert list(contradictions(read_settings({"PROJECT_ID": PROJECT, **chosen}))) == []


def test_the_scripts_refuse_all_wrong_settings_at_once_and_before_they_need_gcloud(operator):
    ended = script(operator, "deploy", "--yes", GPU_CPU="2", ZONE="us-east4-a")

    assert ended.exit_code == 2
    errors = [line for line in ended.lines if line.startswith("error: ")]
    assert [line.partition("=")[0] for line in errors] == ["error: GPU_CPU", "error: ZONE"]
    assert not (operator.folder / "local" / "gpu").exists()


def test_without_a_terminal_and_without_yes_nothing_is_asked(operator):
    for name in ("deploy", "destroy"):
        ended = script(operator, name)

        assert (ended.exit_code, ended.last_line) == (2, "error: no terminal to ask on; add --yes")


def test_a_removal_without_a_project_asks_for_the_project_first(operator):
    ended = script(operator, "destroy", PROJECT_ID="")

    assert (ended.exit_code, len(ended.lines)) == (2, 1), ended.output
    assert ended.last_line.startswith("error: PROJECT_ID: not set; ")


def test_without_a_virtual_environment_the_scripts_say_what_makes_one(tmp_path):
    for name in ("deploy", "destroy"):
        (tmp_path / "scripts").mkdir(exist_ok=True)
        copy = tmp_path / "scripts" / f"{name}.sh"
        copy.write_bytes((REPOSITORY / "scripts" / f"{name}.sh").read_bytes())

        done = subprocess.run(
            ["bash", str(copy)], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
        )

        assert done.returncode == 2
        assert (
            done.stderr
            == f"error: no virtual environment in {tmp_path}; run `make setup` there, then this again\n"
        )


def test_an_experiment_that_is_not_there_is_refused(operator):
    ended = script(operator, "deploy", "--yes", "--exp-id", "tria")

    assert ended.exit_code == 2
    assert ended.last_line.startswith("error: tria: no such experiment")


def test_a_destroy_without_a_project_and_without_a_record_says_what_is_missing(operator):
    ended = script(operator, "destroy", "--yes", PROJECT_ID="")

    assert ended.exit_code == 2
    assert ended.last_line.startswith("error: PROJECT_ID: not set")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("PROJECT_ID=--quiet\n", "deployment.env: PROJECT_ID is damaged; correct it, or delete the file and"),
        ("PROJECT_ID=my-lab\nSERVICE_PREFIX=a b\n", "deployment.env: SERVICE_PREFIX is damaged; correct it"),
        ("PROJECT_ID=my-lab\nLANE=../../x\n", "deployment.env: LANE is damaged; delete the file, or correct"),
        ("PROJECT_ID\n", "deployment.env:1: "),
        ("SERVICE_PREFIX=flu\n", "PROJECT_ID: not set"),
    ],
    ids=lambda value: value.partition("=")[0] if "\n" in value else "",
)
def test_a_damaged_record_is_refused_before_anything_is_removed(operator, record, said):
    path = operator.folder / "local" / "gpu" / "deployment.env"
    path.parent.mkdir(parents=True)
    path.write_text(record)

    ended = script(operator, "destroy", "--yes", PROJECT_ID="")

    assert ended.exit_code == 2, ended.output
    assert said in ended.last_line, ended.output
    assert ended.last_line.startswith("error: ")
    assert path.read_text() == record


# Another value of each setting of the lane, and others that it needs to show.
EFFECTS = {
    "project_id": "another-lab",
    "zone": "us-central1-a",
    "region": "europe-west4",
    "image_tag": "v2",
    "registry_host": "registry.example.org",
    "environment": "test",
    "billing_account": ("012345-6789AB-CDEF01", {"monthly_budget_usd": "50"}),
    "alert_email": "lab@example.org",
    "monthly_budget_usd": ("50", {"billing_account": "012345-6789AB-CDEF01"}),
    "service_prefix": "flu",
    "gpu_repo_name": "images",
    "models": "my_models:Mine",
    "gpu_type": "none",
    "gpu_cpu": ("6", {}),
    "gpu_memory": ("24Gi", {"gpu_cpu": "6"}),
    "gpu_max_instances": "2",
    "gpu_zonal_redundancy": "true",
    "gpu_concurrency": "2",
    "preprocess_memory": "3Gi",
    "postprocess_memory": "3Gi",
    "max_instances": "5",
    "timeout_seconds": "200",
    "shard_units": "7",
    "min_instances": ("1", {"accept_idle_cost": "true"}),
    "gpu_ingress": "all",
    "gpu_network": ("lab", {"gpu_subnetwork": "lab-west"}),
    "gpu_subnetwork": ("lab-east", {"gpu_network": "lab"}),
    "input_retention_days": "3",
    "work_retention_days": "3",
    "results_retention_days": "300",
    "results_nearline_days": "30",
    "audit_data_access": "true",
    "enable_vertex_ai": "true",
}
# What it is compared with where the others alone change something.
BEFORE = {
    "gpu_memory": {"gpu_cpu": "6"},
    "gpu_subnetwork": {"gpu_network": "lab", "gpu_subnetwork": "lab-west"},
    "min_instances": {"accept_idle_cost": "true"},
}
# Those that a deployment does not show: what they allow is tested above, or where the lane is removed.
NO_COMMANDS = {"gpu_quota", "accept_idle_cost", "delete_data"}


def test_every_setting_of_the_lane_changes_what_a_deployment_does(operator):
    def commands(*names: str, **chosen: str) -> str:
        variables = {name.upper(): value for name, value in chosen.items()}
        ended = operator.invoke("gpu-deploy", "--dry-run", **{"PROJECT_ID": PROJECT, **variables})
        assert ended.exit_code == 0, ended.output
        return re.sub(r"gpu-lane-\w+", "", ended.output)

    settings, as_it_is = set(terraform_variables("gpu")), commands()
    silent = []
    for name, effect in EFFECTS.items():
        value, others = effect if isinstance(effect, tuple) else (effect, {})
        before = commands(**BEFORE[name]) if name in BEFORE else as_it_is
        if commands(**others, **{name: value}) == before:
            silent.append(name)

    assert silent == []
    assert settings == {*EFFECTS, *NO_COMMANDS}
    assert settings <= set(Settings.model_fields)
