"""What terraform/gpu/ refuses, and what its examples plan; and what its files may hold.

One plan shows all that is wrong, so few plans are made.
"""

import json
import re

import pytest

from ops.gpu import terraform as verbs
from ops.gpu.rules import contradictions
from ops.settings import Settings
from tests.experiments import REPOSITORY
from tests.gpu_plans import FOLDER, NEEDED, configured
from tests.terraform_plans import resources

EXAMPLES = REPOSITORY / "examples" / "gpu"
IDLE = (
    "instances that do nothing cost money, day and night; set MIN_INSTANCES to 0, or ACCEPT_IDLE_COST to true"
)
PROJECT = {"TF_VAR_project_id": "my-lab-forecasts"}
GRANTED = "or ask for more: https://g.co/cloudrun/gpu-quota, and set GPU_QUOTA to what is granted"
REFUSED = [
    (
        {"gpu_cpu": 2, "gpu_memory": "8Gi", "min_instances": 1, "region": "us-west1", "zone": "us-east4-a"},
        [
            "GPU_CPU=2: an instance with an nvidia-l4 has 4, 6 or 8 CPUs; set GPU_CPU to one of them",
            f"MIN_INSTANCES=1: {IDLE}",
            "REGION=us-west1: Cloud Run has no nvidia-l4 there; set REGION to one of asia-southeast1, "
            "europe-west1, europe-west4, us-central1, us-east4",
            "ZONE=us-east4-a: it is not a zone of us-west1; leave ZONE out, or set REGION to us-east4",
        ],
    ),
    (
        {"gpu_memory": "8Gi", "gpu_max_instances": 10, "preprocess_memory": "8Gi", "gpu_network": "lab"},
        [
            "GPU_MEMORY=8Gi: an instance with 4 CPUs has 16Gi; set GPU_MEMORY to that",
            "PREPROCESS_MEMORY=8Gi: an instance with 1 CPU has 1Gi to 4Gi; set PREPROCESS_MEMORY to that",
            "GPU_MAX_INSTANCES=10: the project may use 3 nvidia-l4 in us-central1; set GPU_MAX_INSTANCES to "
            f"that at most, {GRANTED}",
            "GPU_NETWORK is set and GPU_SUBNETWORK is not: set both, or neither",
        ],
    ),
    (
        {
            "gpu_cpu": 6,
            "gpu_memory": "32Gi",
            "postprocess_memory": "5Gi",
            "gpu_subnetwork": "lab",
            "monthly_budget_usd": 200,
            "results_retention_days": 30,
            "accept_idle_cost": True,
            "min_instances": 5,
        },
        [
            "GPU_MEMORY=32Gi: an instance with 6 CPUs has 16Gi to 24Gi; set GPU_MEMORY to that",
            "POSTPROCESS_MEMORY=5Gi: an instance with 1 CPU has 1Gi to 4Gi; set POSTPROCESS_MEMORY to that",
            "GPU_SUBNETWORK is set and GPU_NETWORK is not: set both, or neither",
            "MONTHLY_BUDGET_USD=200: a budget belongs to a billing account; set BILLING_ACCOUNT",
            "RESULTS_NEARLINE_DAYS=90: results are deleted after 30 days already; set RESULTS_NEARLINE_DAYS "
            "to fewer, or to 0",
            "MIN_INSTANCES=5 is more than GPU_MAX_INSTANCES=3; set MIN_INSTANCES to that at most",
        ],
    ),
    (
        {"gpu_type": "nvidia-rtx-pro-6000", "region": "us-east4"},
        [
            "GPU_CPU=4: an instance with an nvidia-rtx-pro-6000 has 20 or 22 CPUs; set GPU_CPU to one of "
            "them",
            "REGION=us-east4: Cloud Run has no nvidia-rtx-pro-6000 there; set REGION to one of "
            "asia-southeast1, europe-west4, us-central1",
        ],
    ),
    (
        {"gpu_type": "nvidia-rtx-pro-6000", "gpu_cpu": 20, "gpu_memory": "32Gi", "gpu_quota": 0},
        [
            "GPU_MEMORY=32Gi: an instance with 20 CPUs has 80Gi; set GPU_MEMORY to that",
            "GPU_MAX_INSTANCES=3: the project may use 0 nvidia-rtx-pro-6000 in us-central1; set GPU_TYPE to "
            f"none, {GRANTED}",
        ],
    ),
    (
        {"gpu_type": "none", "gpu_cpu": 20, "gpu_quota": 0, "region": "europe-north1"},
        ["GPU_CPU=20: an instance without a GPU has 1, 2, 4, 6 or 8 CPUs; set GPU_CPU to one of them"],
    ),
]


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    return configured(tmp_path_factory)


def said(done) -> str:
    return " ".join(re.sub("[│╷╵├─]", " ", done.stderr).split())


@pytest.mark.parametrize(("settings", "sentences"), REFUSED, ids=range(len(REFUSED)))
def test_settings_that_do_not_go_together_are_refused_with_what_to_set(configuration, settings, sentences):
    variables = verbs.variables(Settings(**NEEDED | settings))

    refused = configuration.run("plan", "-input=false", **variables)

    assert refused.returncode == 1
    assert [each for each in sentences if each not in said(refused)] == []
    count = f"{len(sentences)} element{'s' if len(sentences) > 1 else ''}"
    assert f"local.mistakes is tuple with {count}" in said(refused)


@pytest.mark.parametrize(("settings", "sentences"), REFUSED, ids=range(len(REFUSED)))
def test_gpu_deploy_refuses_the_same_settings_in_the_same_sentences(settings, sentences):
    assert sorted(contradictions(Settings(**NEEDED | settings))) == sorted(sentences)


def test_a_project_without_any_of_it_is_planned_and_refused_the_same(configuration, tmp_path):
    fresh = ("-input=false", f"-state={tmp_path / 'none.tfstate'}")

    planned = configuration.run("plan", *fresh, **PROJECT)
    refused = configuration.run("plan", *fresh, **PROJECT, TF_VAR_gpu_cpu="2")

    assert planned.returncode == 0, planned.stderr
    assert "Plan: 53 to add, 0 to change, 0 to destroy" in planned.stdout
    assert refused.returncode == 1
    assert "set GPU_CPU to one of them" in said(refused)


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("service_prefix", "a" * 19, "3 to 18 characters"),
        ("gpu_type", "nvidia-t4", "use nvidia-l4, nvidia-rtx-pro-6000 or none"),
        ("timeout_seconds", "1801", "a whole number from 10 to 1790"),
        ("region", "us-central1-a", "a region such as us-central1, not a zone"),
        ("gpu_memory", "16GB", "whole GiB, such as 16Gi"),
    ],
)
def test_a_value_that_can_never_be_is_refused_by_its_variable(configuration, variable, value, wanted):
    refused = configuration.run(
        "plan", "-input=false", TF_VAR_project_id="my-lab-forecasts", **{f"TF_VAR_{variable}": value}
    )

    assert refused.returncode == 1
    assert f"{variable}: {wanted}" in said(refused)


@pytest.mark.parametrize(
    ("example", "instances", "limits"),
    [
        ("high-performance", 50, {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}),
        ("cost-optimized", 1, {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}),
        ("development", 1, {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}),
    ],
)
def test_each_example_plans_a_lane(configuration, example, instances, limits):
    file = EXAMPLES / f"{example}.tfvars"

    done = configuration.run("plan", "-input=false", "-out=plan", f"-var-file={file}", **PROJECT)

    assert done.returncode == 0, done.stderr
    assert "Warning: " not in done.stdout + done.stderr  # a variable that is not declared
    plan = json.loads(configuration.run("show", "-json", "plan").stdout)
    service = resources(plan)['google_cloud_run_v2_service.lane["inference"]']
    assert service["template"][0]["containers"][0]["resources"][0]["limits"] == limits
    assert service["template"][0]["scaling"][0]["max_instance_count"] == instances


def test_every_example_is_planned():
    assert {path.stem for path in EXAMPLES.iterdir()} == {"high-performance", "cost-optimized", "development"}


def test_two_deployments_in_two_regions_share_nothing_that_has_a_name(configuration):
    first, second = (
        resources(configuration.plan(**verbs.variables(Settings(**NEEDED, region=region))))
        for region in ("us-central1", "europe-west4")
    )

    named = [{_name(after) for after in each.values() if _name(after)} for each in (first, second)]
    assert len(named[0]) == len(named[1]) > 10
    assert not named[0] & named[1]
    regions = [
        {after[key] for after in each.values() for key in ("location", "region") if after.get(key)}
        for each in (first, second)
    ]
    assert regions == [{"us-central1"}, {"europe-west4"}]


def _name(after):
    return after.get("name") or after.get("account_id") or after.get("display_name")


def _code(pattern: str = "*.tf") -> dict[str, str]:
    """Return the folder's files without comments."""
    return {p.name: re.sub(r"(?m)(^|\s)#.*$", "", p.read_text()) for p in sorted(FOLDER.glob(pattern))}


def test_every_variable_is_used():
    code = _code()
    declared = {name for text in code.values() for name in re.findall(r'(?m)^variable "(\w+)"', text)}
    used = {
        name
        for file, text in code.items()
        if file not in ("settings.tf", "variables.tf")
        for name in re.findall(r"\bvar\.(\w+)", text)
    }

    assert used == declared


def test_nothing_in_the_folder_needs_more_than_terraform_1_5_7():
    code = _code()
    whole = "\n".join(code.values())

    assert re.findall(r"required_version\s*=\s*\"(.*)\"", whole) == [">= 1.5.7"]
    newer = {
        "removed blocks, 1.7": r"(?m)^removed\s*\{",
        "import with for_each, 1.7": r"(?m)^import\s*\{",
        "provider functions, 1.8": r"provider::",
        "issensitive(), 1.8": r"\bissensitive\(",
        "templatestring(), 1.9": r"\btemplatestring\(",
        "ephemeral values, 1.10": r"\bephemeral\b",
        "write-only arguments, 1.11": r"\w+_wo\b",
        "actions and list blocks, 1.14": r"(?m)^(action|list)\s+\"",
    }
    assert [what for what, pattern in newer.items() if re.search(pattern, whole)] == []
    for name, block in re.findall(
        r'(?ms)^variable "(\w+)" \{(.*?)^\}', whole
    ):  # of other variables only since 1.9
        assert set(re.findall(r"\bvar\.(\w+)", block)) <= {name}
        assert "local." not in block


def test_infrastructure_manager_can_take_the_folder_as_it_is():
    code = _code()
    kept_back = (FOLDER / ".gcloudignore").read_text().splitlines()

    assert {"backend.tf", "tests/", ".terraform*"} <= set(kept_back)
    assert [file for file, text in code.items() if "backend " in text] == ["backend.tf"]
    others = {file: text for file, text in code.items() if file != "backend.tf"}
    assert not [
        file for file, text in others.items() if re.search(r"\.\./|(?m:^module )|path\.(root|cwd)", text)
    ]
    types = {t for text in code.values() for t in re.findall(r"(?m)^  type\s+= (\w+)$", text)}
    assert types == {"string", "number", "bool"}  # all that --input-values takes
    assert not [path for path in FOLDER.rglob("*") if path.is_symlink()]
