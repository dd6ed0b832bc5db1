"""Infrastructure Manager takes a blueprint that keeps its rules, and refuses any other by name."""

import pytest

from localcloud.infra.versions import NotAConstraint, admits
from localcloud.process import running
from tests.emulated import names_in, object_of, post, request
from tests.localcloud.infra_api import INPUTS, LOCATION, MAIN, Infra, archive_of, described
from tests.needs import need_terraform

ARTIFACTS = f"123456789012-{LOCATION}-blueprint-config"
ZIP = archive_of({"main.tf": MAIN})
BROKEN_ZIP = ZIP[:-30]
AT_CONTENT = 30 + len("main.tf")
DAMAGED_ZIP = ZIP[:AT_CONTENT] + b"\xff" + ZIP[AT_CONTENT + 1 :]


@pytest.fixture
def infra(cloud):
    yield Infra(cloud)
    post(f"{cloud.apis}/_emulator/reset", {})


def test_a_blueprint_that_keeps_the_rules_is_active_and_its_log_says_that_nothing_was_created(infra):
    deployment = infra.apply({"main.tf": MAIN, "data.json": "{}"})

    name = deployment["name"].rpartition("/")[2]
    [log] = names_in(infra.cloud, ARTIFACTS, f"{name}/r-0/logs/")
    assert deployment["state"] == "ACTIVE"
    assert deployment["tfVersion"] == "1.5.7"
    assert deployment["latestRevision"].endswith(f"/{name}/revisions/r-0")
    text = object_of(infra.cloud, ARTIFACTS, log).decode()
    assert "2 files" in text
    assert "Only these rules were checked" in text
    assert "no apply of resources: none was created" in text


REFUSED = {
    "no file of Terraform in the root": (
        {"deeper/main.tf": MAIN},
        INPUTS,
        "No configuration files: there is no .tf file in the root of the blueprint",
    ),
    "a backend": (
        {"main.tf": MAIN, "backend.tf": 'terraform {\n  backend "gcs" {}\n}\n'},
        INPUTS,
        'backend.tf:2: backend "gcs": Infrastructure Manager keeps the state itself',
    ),
    "a cloud block": (
        {"main.tf": MAIN + "terraform {\n  cloud {}\n}\n"},
        INPUTS,
        "main.tf:15: cloud: Infrastructure Manager keeps the state itself",
    ),
    "a later Terraform": (
        {"main.tf": MAIN.replace(">= 1.3", ">= 1.6")},
        INPUTS,
        'main.tf:3: Unsupported Terraform Core version: required_version ">= 1.6" does not admit 1.5.7',
    ),
    "a later Terraform in a module": (
        {
            "main.tf": MAIN + 'module "a" {\n  source = "./a"\n}\n',
            "a/main.tf": 'terraform {\n  required_version = "~> 1.6"\n}\n',
        },
        INPUTS,
        'a/main.tf:2: Unsupported Terraform Core version: required_version "~> 1.6" does not admit 1.5.7',
    ),
    "a module outside": (
        {"main.tf": MAIN + 'module "a" {\n  source = "../modules/a"\n}\n'},
        INPUTS,
        'main.tf:15: module source "../modules/a" is outside the blueprint',
    ),
    "a module that was not uploaded": (
        {"main.tf": MAIN + 'module "a" {\n  source = "./a"\n}\n'},
        INPUTS,
        'main.tf:15: module source "./a": no .tf file there in the blueprint',
    ),
    "a file outside": (
        {"main.tf": MAIN + 'locals {\n  a = file("${path.module}/../machine_types.json")\n}\n'},
        INPUTS,
        'main.tf:15: file("./../machine_types.json") is outside the blueprint',
    ),
    "a file outside, from a module": (
        {
            "main.tf": MAIN + 'module "a" {\n  source = "./a"\n}\n',
            "a/main.tf": 'locals {\n  a = file("${path.module}/../../x")\n}\n',
        },
        INPUTS,
        'a/main.tf:2: file("a/../../x") is outside the blueprint',
    ),
    "a file that was not uploaded": (
        {"main.tf": MAIN + 'locals {\n  a = templatefile("${path.module}/workflow.yaml", {})\n}\n'},
        INPUTS,
        'main.tf:15: templatefile("./workflow.yaml"): no such file in the blueprint',
    ),
    "an unknown input": (
        {"main.tf": MAIN},
        INPUTS | {"projectid": "my-lab"},
        'Value for undeclared variable: the blueprint has no variable "projectid"',
    ),
    "a missing input": (
        {"main.tf": MAIN},
        {},
        'main.tf:6: No value for required variable: "project_id" is not given and has no default',
    ),
    "text for a number": (
        {"main.tf": MAIN},
        INPUTS | {"instances": "many"},
        "main.tf:10: Invalid value for input variable \"instances\": a number is required, not 'many'",
    ),
    "a scalar for a list": (
        {"main.tf": MAIN + 'variable "zones" {\n  type = list(string)\n}\n'},
        INPUTS | {"zones": "a"},
        'main.tf:14: Invalid value for input variable "zones": it is a list(string), and inputs are scalars',
    ),
    "half a file": (
        {"main.tf": MAIN, "a.tf": 'variable "a" {\n  type ='},
        INPUTS,
        'a.tf:2: The argument "type"',
    ),
    "bytes that are no text": (
        {"main.tf": MAIN, "a.tf": b"# \n\xff\xfe"},
        INPUTS,
        "a.tf:2: The file is not UTF-8",
    ),
    "JSON": ({"main.tf": MAIN, "a.tf.json": "{}"}, INPUTS, "localcloud reads .tf files only"),
    "unreadable values": (
        {"main.tf": MAIN, "terraform.tfvars": "a = ["},
        INPUTS,
        "terraform.tfvars:1: Unclosed [",
    ),
}


@pytest.mark.parametrize(("files", "inputs", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_blueprint_that_breaks_a_rule_fails_with_file_line_and_reason(infra, files, inputs, reason):
    deployment = infra.apply(files, inputs)

    path = deployment["latestRevision"].partition("/deployments/")[2]
    revision = infra.ask("GET", f"/deployments/{path}").json()
    assert (deployment["state"], deployment["errorCode"]) == ("FAILED", "REVISION_FAILED")
    assert (revision["state"], revision["errorCode"]) == ("FAILED", "APPLY_BUILD_RUN_FAILED")
    assert reason in deployment["stateDetail"]
    assert reason in " ".join(each["errorDescription"] for each in revision["tfErrors"])
    [log] = names_in(infra.cloud, ARTIFACTS, path.replace("revisions/", "") + "/logs/")
    assert f"Error: {reason}" in object_of(infra.cloud, ARTIFACTS, log).decode().replace(
        "main.tf:15: Inv", "Inv"
    )


def test_what_only_looks_like_a_broken_rule_does_not_matter(infra):
    text = """
locals {
  a = "terraform { backend \\"gcs\\" {} }" # file("../x")
  b = <<-EOT
    module "m" {
      source = "../x"
    }
  EOT
}
/* terraform {
  required_version = ">= 9"
} */
"""

    deployment = infra.apply({"main.tf": MAIN + text, "tests/a.tftest.hcl": "run {", "x/y.tf": "broken {"})

    assert deployment["state"] == "ACTIVE"


def test_values_in_the_blueprints_own_files_count_as_given(infra):
    deployment = infra.apply({"main.tf": MAIN, "terraform.tfvars": 'project_id = "my-lab"\n'}, {})

    assert deployment["state"] == "ACTIVE"


@pytest.mark.parametrize(
    ("constraint", "admitted"),
    [
        ("1.5.7", True),
        ("= 1.5.7", True),
        (">= 1.3, < 1.6", True),
        ("~> 1.5", True),
        ("~> 1", True),
        ("~> 1.5.0", True),
        ("<= 1.5", False),
        ("~> 1.4.0", False),
        ("!= 1.5.7", False),
        ("> 1.5.7", False),
        (">= 1.5.7-rc1", True),
        ("1.5.7-rc1", False),
    ],
)
def test_constraints_admit_1_5_7_as_terraform_reads_them(constraint, admitted):
    assert admits(constraint, "1.5.7") == admitted


def test_a_constraint_with_numbers_beyond_measure_is_none():
    with pytest.raises(NotAConstraint):
        admits(f">= {'1' * 5000}", "1.5.7")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.zip", BROKEN_ZIP, "is not a readable zip archive"),
        ("z.zip", DAMAGED_ZIP, "is not a readable zip archive"),
        ("y.zip", archive_of({"../main.tf": MAIN}), "lies outside the archive"),
        ("folder/", "", "has no files"),
        ("other/main.tf", MAIN, "has no files"),
    ],
)
def test_a_damaged_or_missing_upload_fails_by_name(infra, name, content, reason):
    infra.put(name, content)
    source = f"gs://{infra.bucket}/{name if name.endswith('.zip') else 'folder'}"

    deployment = infra.ended(infra.begin("lane", source, INPUTS))

    assert deployment["state"] == "FAILED"
    assert source in deployment["stateDetail"]
    assert reason in deployment["stateDetail"]


def test_a_bucket_an_archive_and_a_generation_of_it_are_sources_too(infra):
    infra.put("main.tf", MAIN)
    archive = infra.put("a/b.zip", archive_of({"main.tf": MAIN, "a/b.json": "{}"}))
    quoted = f"{infra.cloud.storage}/storage/v1/b/{infra.bucket}/o/a%2Fb.zip"
    generation = request("GET", quoted).json()["generation"]
    sources = [f"gs://{infra.bucket}", archive, f"{archive}#{generation}"]

    states = [infra.ended(infra.begin("lane", source, INPUTS))["state"] for source in sources]
    missing = infra.ended(infra.begin("lane", "gs://no-such-bucket/x", INPUTS))
    old = infra.ended(infra.begin("lane", f"{archive}#1", INPUTS))

    assert states == ["ACTIVE"] * 3
    assert "The specified bucket does not exist: no-such-bucket" in missing["stateDetail"]
    assert "No such object" in old["stateDetail"]


BUCKET = """
terraform {
  required_version = ">= 1.3"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.47"
    }
  }
}

provider "google" {
  project = var.project_id
}

variable "project_id" {
  type = string
  validation {
    condition     = length(var.project_id) > 5
    error_message = "project_id: a project's id, such as my-lab-forecasts."
  }
}

resource "google_storage_bucket" "input" {
  name     = "${var.project_id}-input"
  location = "us-central1"
}
"""


@pytest.fixture(scope="module")
def planning(tmp_path_factory):
    """A cloud that has the real terraform plan blueprints."""
    configuration = need_terraform(applies=True)["TF_CLI_CONFIG_FILE"]
    with running(tmp_path_factory.mktemp("planning"), "--terraform", configuration) as cloud:
        yield Infra(cloud)


def test_the_plan_of_a_preview_is_terraforms_own(planning):
    body = described(planning.upload({"main.tf": BUCKET}), INPUTS)

    preview = planning.ended(planning.ask("POST", "/previews?previewId=look", json=body))
    result = planning.ask("POST", "/previews/look:export", json={}).json()["result"]
    plan = request("GET", result["jsonSignedUri"]).json()

    assert preview["state"] == "SUCCEEDED"
    [change] = plan["resource_changes"]
    assert (change["address"], change["change"]["actions"]) == ("google_storage_bucket.input", ["create"])
    assert change["change"]["after"]["name"] == "my-lab-input"


@pytest.mark.parametrize(
    ("text", "inputs", "reason"),
    [
        (BUCKET.replace("  location ", "  lokation "), INPUTS, "lokation"),
        (BUCKET, {"project_id": "x"}, "project_id: a project's id, such as my-lab-forecasts."),
        (BUCKET.replace('"us-central1"', "var.region"), INPUTS, 'variable with the name "region"'),
    ],
)
def test_a_blueprint_that_terraform_refuses_fails_with_terraforms_reason(planning, text, inputs, reason):
    deployment = planning.apply({"main.tf": text}, inputs)

    assert deployment["state"] == "FAILED"
    assert reason in deployment["stateDetail"]
    assert "main.tf:" in deployment["stateDetail"]
