"""What terraform/ would make, by plans of the real terraform: rights, network, the workflow's environment.

The provider is a stand-in with the real one's schemas where there is no network. `invoke tf-...` is in
test_terraform_tasks.py.
"""

import copy
import json
import re

import pytest

from localcloud import compute
from ops.cloud.checks import APIS
from ops.cloud.deployment import check_token_is_kept_apart, workflow_environment
from ops.cloud.machine_types import check_stage_fits, hyperdisk_only_families
from ops.failures import UserError
from ops.project import terraform as verbs
from ops.settings import Settings
from tests.experiments import REPOSITORY
from tests.terraform_plans import (
    ALL_ELSE,
    BATCH,
    BUILD,
    BUILDER,
    NEEDED,
    WORKFLOW,
    allows,
    condition_of,
    configured,
    grants,
    plans,
    resources,
)


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    with configured(tmp_path_factory) as configuration:
        yield configuration


@pytest.fixture(scope="module")
def planned(configuration):
    return plans(configuration)


def test_the_files_are_formatted_and_valid(configuration):
    formatted = configuration.run("fmt", "-check", "-recursive", str(REPOSITORY / "terraform"))
    valid = configuration.run("validate")

    assert formatted.returncode == 0, formatted.stdout
    assert valid.returncode == 0, valid.stderr
    assert "Warning" not in valid.stdout


def test_the_tests_of_terraform_itself_pass(configuration):
    done = configuration.run("test")

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Success! \d\d passed, 0 failed", done.stdout)


def test_nothing_that_holds_runs_or_tokens_is_made(planned):
    plan = planned(github_pat_secret="github-pat")

    kinds = {address.partition(".")[0] for address in resources(plan)}
    assert "google_storage_bucket" not in kinds
    assert not [
        kind for kind in kinds if kind.startswith("google_secret_manager_secret") and "_iam_" not in kind
    ]
    assert resources(plan, "google_secret_manager_secret", "data")


def test_each_account_may_do_what_it_needs_and_nothing_else(planned):
    assert grants(planned(github_pat_secret="github-pat", github_modeling_suite_repo="my-lab/suite")) == {
        (WORKFLOW, "batch.jobsEditor", "project my-lab-forecasts"),
        (WORKFLOW, "logging.logWriter", "project my-lab-forecasts"),
        (WORKFLOW, "workflows.viewer", "project my-lab-forecasts"),
        (WORKFLOW, "iam.serviceAccountUser", f"service_account {BATCH.partition(':')[2]}"),
        (WORKFLOW, "iam.serviceAccountUser", f"service_account {BUILDER.partition(':')[2]}"),
        (WORKFLOW, "storage.objectViewer", "bucket my-lab-bucket if"),
        (WORKFLOW, "storage.objectUser", "bucket my-lab-bucket if"),
        (BATCH, "batch.agentReporter", "project my-lab-forecasts"),
        (BATCH, "logging.logWriter", "project my-lab-forecasts"),
        (BATCH, "storage.objectUser", "bucket my-lab-bucket if"),
        (BATCH, "storage.legacyBucketReader", "bucket my-lab-bucket"),
        (BATCH, "artifactregistry.reader", "repository epymodelingsuite-repo"),
        (BUILDER, "batch.agentReporter", "project my-lab-forecasts"),
        (BUILDER, "logging.logWriter", "project my-lab-forecasts"),
        (BUILDER, "storage.objectUser", "bucket my-lab-bucket if"),
        (BUILDER, "storage.legacyBucketReader", "bucket my-lab-bucket"),
        (BUILDER, "artifactregistry.reader", "repository epymodelingsuite-repo"),
        (BUILDER, "secretmanager.secretAccessor", "secret github-pat"),
        (BUILD, "logging.logWriter", "project my-lab-forecasts"),
        (BUILD, "storage.objectViewer", "bucket my-lab-bucket if"),
        (BUILD, "artifactregistry.writer", "repository epymodelingsuite-repo"),
        (BUILD, "secretmanager.secretAccessor", "secret github-pat"),
    }


def test_only_a_build_that_clones_a_suite_may_read_the_token(planned):
    suite = {"github_modeling_suite_repo": "my-lab/suite"}

    cloning = grants(planned(github_pat_secret="github-pat", **suite))
    others = grants(planned(github_pat_secret="github-pat"))

    assert cloning - others == {(BUILD, "secretmanager.secretAccessor", "secret github-pat")}
    assert others < cloning
    assert not [role for _, role, _ in grants(planned(**suite)) if role.startswith("secretmanager.")]


@pytest.mark.parametrize("prefix", ["", "flu/"])
def test_rights_in_the_bucket_end_where_an_accounts_work_ends(planned, prefix):
    plan = planned(dir_prefix=prefix)
    run, state = f"{prefix}demo/20260131-120000-0a1b2c3d/", "terraform/epymodelingsuite-cloud/default.tfstate"
    objects = [
        f"{run}builder-artifacts/manifest.json",
        f"{run}execution.json",
        f"{run}runner-artifacts/result_0000.pkl",
        f"{prefix}cloudbuild/1769860800.tgz",
        state,
        "covid/demo/20260131-120000-0a1b2c3d/execution.json",
    ]
    mine = {0, 1, 2} if prefix else {0, 1, 2, 5}

    may = {
        grant: {number for number, name in enumerate(objects) if allows(condition_of(plan, grant), name)}
        for grant in (
            "workflow_reads_manifests",
            "workflow_claims_runs",
            'batch_uses_runs["batch"]',
            'batch_uses_runs["builder"]',
            "build_reads_sources",
        )
    }

    assert may == {
        "workflow_reads_manifests": {0},
        "workflow_claims_runs": mine & {1, 5},
        'batch_uses_runs["batch"]': mine,
        'batch_uses_runs["builder"]': mine,
        "build_reads_sources": {3},
    }


@pytest.mark.parametrize(
    ("account", "spelt"),
    [
        ("builder_service_account", "epymodelingsuite-batch"),
        ("build_service_account", BATCH.partition(":")[2]),
    ],
)
def test_stages_b_and_c_cannot_have_an_account_that_may_read_the_token(configuration, account, spelt):
    settings = Settings(**NEEDED | {"github_pat_secret": "github-pat", account: spelt})

    refused = configuration.run("plan", "-input=false", **verbs.variables(settings))
    with pytest.raises(UserError) as ours:
        check_token_is_kept_apart(settings)

    told = " ".join(re.sub("[│╷╵]", " ", refused.stderr).split())
    said = f"is also {account.upper()}, which may read the token: stages B and C need an account of their own"
    assert refused.returncode == 1
    assert f"BATCH_SERVICE_ACCOUNT {said}" in told
    assert said in str(ours.value)
    check_token_is_kept_apart(Settings(**NEEDED | {account: spelt}))


def test_the_name_of_the_secret_is_told_to_the_builder_alone(planned):
    workflow = resources(planned(github_pat_secret="pat-of-the-lab"))["google_workflows_workflow.pipeline"]

    told = {name for name, value in workflow["user_env_vars"].items() if "pat-of-the-lab" in value}
    assert told == {"BUILDER_VARIABLES"}


def test_a_prefix_cannot_break_out_of_a_condition(planned):
    plan = planned(dir_prefix='flu") || true || ("/')

    condition = condition_of(plan, 'batch_uses_runs["batch"]')

    assert r"flu\") || true || (\"/" in condition
    assert not allows(condition.replace("|| true ||", "or True or"), "covid/x")


def test_a_state_in_a_bucket_of_its_own_needs_no_exception(planned):
    condition = condition_of(planned(tf_state_bucket="my-lab-state"), 'batch_uses_runs["batch"]')

    assert "terraform/" not in condition


def test_without_a_secret_nothing_speaks_of_one(planned):
    plan = copy.deepcopy(planned())  # which is kept for other tests

    assert "secretmanager" in json.dumps(resources(plan, "google_project_service"))
    del plan["variables"]
    others = {a: after for a, after in resources(plan).items() if not a.startswith("google_project_service")}
    others["google_workflows_workflow.pipeline"].pop("source_contents")  # the same file with a secret
    assert not re.search("secret|token|pat_|PAT", json.dumps(others).replace("_path", ""))


def test_an_account_that_is_there_is_given_its_roles_and_not_made(planned):
    plan = planned(batch_service_account="stages@another-lab.iam.gserviceaccount.com")

    made = {after["account_id"] for after in resources(plan).values() if "account_id" in after}
    assert made == {"epymodelingsuite-builder", "epymodelingsuite-workflow", "epymodelingsuite-build"}
    member = "serviceAccount:stages@another-lab.iam.gserviceaccount.com"
    assert (member, "batch.agentReporter", "project my-lab-forecasts") in grants(plan)


def test_machines_have_one_subnet_and_reach_out_through_nat_alone(planned):
    plan = resources(planned(network_name="forecasts"))

    assert plan["google_compute_network.machines"]["auto_create_subnetworks"] is False
    subnet = plan["google_compute_subnetwork.machines"]
    assert (subnet["name"], subnet["private_ip_google_access"]) == ("forecasts", True)
    nat = plan["google_compute_router_nat.nat"]
    assert nat["source_subnetwork_ip_ranges_to_nat"] == "LIST_OF_SUBNETWORKS"
    [firewall] = [after for address, after in plan.items() if "firewall" in address]
    assert (firewall["direction"], firewall["source_ranges"]) == ("INGRESS", ["0.0.0.0/0"])
    assert [deny["protocol"] for deny in firewall["deny"]] == ["all"]
    assert not firewall.get("allow")
    assert not [address for address in plan if "address" in address.partition(".")[0]]


def test_apis_are_those_that_are_checked_before_a_run_and_a_budgets_when_one_is_set(planned):
    def enabled(**settings):
        apis = resources(planned(**settings), "google_project_service").values()
        assert not [api for api in apis if api["disable_on_destroy"]]
        return {api["service"].removesuffix(".googleapis.com") for api in apis}

    budget = {"monthly_budget_usd": 200, "billing_account": "012345-6789AB-CDEF01"}
    assert enabled() == set(APIS)
    assert enabled(**budget) == {*APIS, "billingbudgets"}


def test_all_that_takes_labels_has_them(planned):
    plan = resources(planned(environment="test"))

    labels = {address: after["labels"] for address, after in plan.items() if "labels" in after}
    assert set(labels) == {"google_artifact_registry_repository.images", "google_workflows_workflow.pipeline"}
    ours = {"component": "epymodelingsuite", "environment": "test", "managed-by": "terraform"}
    assert all(each == ours for each in labels.values())


def test_the_newest_images_and_the_workflows_are_kept(planned):
    repository = resources(planned(image_tag="v1.2"))["google_artifact_registry_repository.images"]

    policies = {each["id"]: each for each in repository["cleanup_policies"]}
    assert policies["keep-the-newest"]["most_recent_versions"][0]["keep_count"] == 10
    assert policies["keep-what-the-workflow-names"]["condition"][0]["tag_prefixes"] == ["v1.2"]
    assert policies["delete-the-old"]["action"] == "DELETE"
    assert [each["action"] for each in policies.values()].count("DELETE") == 1


@pytest.mark.parametrize(
    "settings",
    [{}, ALL_ELSE, {"dir_prefix": "flu/", "github_pat_secret": "github-pat", "billing_project": "flu"}],
    ids=["defaults", "all else", "some"],
)
def test_the_workflow_is_told_what_a_rehearsal_is_told(planned, settings):
    workflow = resources(planned(**settings))["google_workflows_workflow.pipeline"]

    assert workflow["user_env_vars"] == workflow_environment(Settings(**NEEDED | settings))
    assert len(workflow["user_env_vars"]) <= 20
    assert all(0 < len(value.encode()) <= 4096 for value in workflow["user_env_vars"].values())


def test_the_workflow_is_the_file_and_may_be_destroyed(planned):
    workflow = resources(planned())["google_workflows_workflow.pipeline"]

    assert workflow["source_contents"] == (REPOSITORY / "terraform" / "workflow.yaml").read_text()
    assert workflow["deletion_protection"] is False
    assert workflow["service_account"] == WORKFLOW.partition(":")[2]


def test_the_defaults_of_terraform_are_those_of_the_settings(configuration):
    plan = configuration.plan(**{f"TF_VAR_{name}": value for name, value in NEEDED.items()})

    settings = Settings(**NEEDED)
    passed = verbs.variables(settings)
    shown = {name: each["value"] for name, each in plan["variables"].items() if name != "stages"}
    expected = {
        name.removeprefix("TF_VAR_"): value for name, value in passed.items() if name != "TF_VAR_stages"
    }
    alone = {"keep_images", "keep_images_days", "subnet_range"}  # of Terraform
    alone |= {"alert_failed_percent", "alert_waiting_seconds"}
    assert {name: as_text(value) for name, value in shown.items() if name not in alone} == expected
    workflow = resources(plan)["google_workflows_workflow.pipeline"]
    assert workflow["user_env_vars"] == workflow_environment(settings)


def as_text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize(
    ("stage", "wanted", "said"),
    [
        ("A", {"memory_mib": 8192}, "c4d-standard-2 has 7168 MiB of memory, 8192 are asked for"),
        ("C", {"cpu_milli": 8000}, "c4d-standard-4 has 4000 millicores, 8000 are asked for"),
        ("B", {"machine_type": "n1-standard-1", "memory_mib": 3841}, "n1-standard-1 has 3840 MiB of memory"),
    ],
)
def test_a_stage_that_does_not_fit_is_refused_in_the_same_words(configuration, stage, wanted, said):
    settings = Settings(**NEEDED | {f"stage_{stage.lower()}_{name}": value for name, value in wanted.items()})

    refused = configuration.run("plan", "-input=false", **verbs.variables(settings))
    with pytest.raises(UserError) as ours:
        verbs.check_stages_fit(settings)

    told = " ".join(re.sub("[│╷╵]", " ", refused.stderr).split())
    assert refused.returncode == 1
    assert said in str(ours.value)
    assert str(ours.value) in told


@pytest.mark.parametrize("usd", ["199.5", "-1", "2000000000"])
def test_a_budget_is_a_whole_number_of_dollars(configuration, usd):
    variables = verbs.variables(Settings(**NEEDED)) | {"TF_VAR_monthly_budget_usd": usd}

    refused = configuration.run("plan", "-input=false", **variables)

    assert refused.returncode == 1
    assert "monthly_budget_usd: a whole number from 0 to 1000000000" in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("typed", "ours", "terraforms"),
    [
        ("c4d-standrd-4", '(did you mean "c4d-standard-4"?)', "(it lists c4d-highcpu-"),
        ("z9-odd-type", "", "(it lists none that is similar)"),
    ],
)
def test_a_machine_type_that_the_table_does_not_list_is_refused_in_the_same_words(
    configuration, typed, ours, terraforms
):
    settings = Settings(**NEEDED | {"stage_b_machine_type": typed})

    refused = configuration.run("plan", "-input=false", **verbs.variables(settings))
    with pytest.raises(UserError) as error:
        verbs.check_stages_fit(settings)

    told = " ".join(re.sub("[│╷╵]", " ", refused.stderr).split())
    what = f"stage B (runner): {typed} is not in terraform/machine_types.json"
    fix = (
        "; choose another STAGE_B_MACHINE_TYPE (empty: Batch chooses), or add its guestCpus and memoryMb "
        f"there, which this prints: gcloud compute machine-types describe {typed} --zone ZONE"
    )
    assert refused.returncode == 1
    assert f"{what} {terraforms}" in told
    assert fix in told
    assert f"{what}{f' {ours}' if ours else ';'}" in str(error.value)
    assert str(error.value).endswith(fix)


def test_without_a_machine_type_batch_may_choose_any():
    check_stage_fits("runner", 10**6, 10**9, "")


def test_the_table_of_machines_agrees_with_itself_and_with_the_emulated_batch():
    table = json.loads((REPOSITORY / "terraform" / "machine_types.json").read_text())

    for name, holds in table["types"].items():
        assert holds["vcpus"] == int(name.rpartition("-")[2])
        assert 0.8 <= holds["memory_mib"] / 1024 / holds["vcpus"] <= 8, name
    assert {name: vars(has) for name, has in compute.machine_types().items()} == table["types"]
    assert not set(table["no_hyperdisk_families"]) & set(hyperdisk_only_families())
