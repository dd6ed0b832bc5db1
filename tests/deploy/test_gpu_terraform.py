"""What terraform/gpu/ would make, by plans of the real terraform: names, rights, buckets, workflow, trigger.

Services are in test_gpu_services.py, dashboard and alerts in test_gpu_alerts.py, what is refused in
test_gpu_rules.py, `invoke gpu-...` in test_gpu_terraform_tasks.py.
"""

import json
import re

import pytest

from ops.gpu import terraform as verbs
from ops.gpu.names import ACCOUNTS, BUCKETS, SERVICES, Names
from ops.gpu.rights import bucket_bindings
from ops.settings import Settings
from tests.experiments import REPOSITORY
from tests.gpu_plans import ALL_ELSE, FOLDER, NEEDED, configured, made, plans, project_number
from tests.terraform_plans import resources


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    return configured(tmp_path_factory)


@pytest.fixture(scope="module")
def planned(configuration):
    return plans(configuration)


def lifecycle(bucket):
    """Return the rules of a bucket: action, storage class, folders, days."""
    return [
        (
            rule["action"][0]["type"],
            rule["action"][0]["storage_class"] or "",
            tuple(rule["condition"][0]["matches_prefix"] or ()),
            rule["condition"][0]["age"],
        )
        for rule in bucket["lifecycle_rule"]
    ]


def test_the_files_are_formatted_and_valid(configuration):
    formatted = configuration.run("fmt", "-check", "-recursive", str(FOLDER))
    examples = configuration.run("fmt", "-check", str(REPOSITORY / "examples" / "gpu"))
    valid = configuration.run("validate")

    assert formatted.returncode == 0, formatted.stdout
    assert examples.returncode == 0, examples.stdout
    assert valid.returncode == 0, valid.stderr
    assert "Warning" not in valid.stdout


def test_the_tests_of_terraform_itself_pass(configuration):
    done = configuration.run("test")

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Success! \d+ passed, 0 failed", done.stdout)


@pytest.mark.parametrize("settings", [{}, ALL_ELSE], ids=["defaults", "all else"])
def test_names_are_those_of_the_scripts(planned, settings):
    plan, names = planned(**settings), Names.of(Settings(**NEEDED | settings))

    assert plan["planned_values"]["outputs"]["names"]["value"] == names.stem
    assert {name: each["name"] for name, each in made(plan, "google_cloud_run_v2_service").items()} == {
        name: names.service(name) for name in SERVICES
    }
    assert {name: each["name"] for name, each in made(plan, "google_storage_bucket").items()} == {
        name: names.bucket(name) for name in BUCKETS
    }
    accounts = {name: each["account_id"] for name, each in made(plan, "google_service_account").items()}
    assert accounts == {name: names.account_id(name) for name in ACCOUNTS}
    [workflow] = resources(plan, "google_workflows_workflow").values()
    [trigger] = resources(plan, "google_eventarc_trigger").values()
    assert (workflow["name"], trigger["name"]) == (names.workflow, names.trigger)
    assert {
        name: each["template"][0]["service_account"]
        for name, each in made(plan, "google_cloud_run_v2_service").items()
    } == {name: names.account(name) for name in SERVICES}


def test_each_account_may_do_what_it_needs_and_nothing_else(planned):
    plan, names = planned(), Names.of(Settings(**NEEDED))
    number = project_number(plan)
    agents = {
        "Cloud Storage": f"serviceAccount:service-{number}@gs-project-accounts.iam.gserviceaccount.com",
        "Eventarc": f"serviceAccount:service-{number}@gcp-sa-eventarc.iam.gserviceaccount.com",
    }
    in_project = made(plan, "google_project_iam_member").values()

    assert {(each["member"], each["role"], bool(each["condition"])) for each in in_project} == {
        (names.member("workflow"), "roles/logging.logWriter", False),
        (names.member("workflow"), "roles/workflows.viewer", False),
        (names.member("trigger"), "roles/eventarc.eventReceiver", False),
        (names.member("trigger"), "roles/workflows.invoker", False),
        (agents["Cloud Storage"], "roles/pubsub.publisher", True),
        (agents["Eventarc"], "roles/eventarc.serviceAgent", True),
    }
    on_buckets = made(plan, "google_storage_bucket_iam_member").values()
    assert {_grant(each) for each in on_buckets} == {
        (names.bucket(bucket), member, binding["role"], binding.get("condition", {}).get("expression", ""))
        for bucket in BUCKETS
        for binding in bucket_bindings(names, bucket)
        for member in binding["members"]
    }
    calls = made(plan, "google_cloud_run_v2_service_iam_member")
    assert {(each["name"], each["member"], each["role"]) for each in calls.values()} == {
        (names.service(name), names.member("workflow"), "roles/run.invoker") for name in SERVICES
    }
    others = {address.partition(".")[0] for address in resources(plan) if "_iam_" in address}
    assert others == {
        "google_project_iam_member",
        "google_storage_bucket_iam_member",
        "google_cloud_run_v2_service_iam_member",
    }
    assert not [address for address in resources(plan) if "key" in address.partition(".")[0]]


def test_rights_of_googles_accounts_are_the_deployments_own_so_that_its_end_takes_them_from_no_other(planned):
    agents = [
        {after["condition"][0]["title"]: after["condition"][0]["expression"]}
        for region in ("us-central1", "europe-west4")
        for address, after in resources(planned(region=region)).items()
        if address.startswith("google_project_iam_member.agents")
    ]

    always = 'request.time > timestamp("2020-01-01T00:00:00Z")'
    stems = [Names.of(Settings(**NEEDED, region=region)).stem for region in ("us-central1", "europe-west4")]
    assert agents == [{stem: always} for stem in stems for _ in range(2)]


def _grant(after):
    [condition] = after["condition"] or [{"expression": ""}]
    return after["bucket"], after["member"], after["role"], condition["expression"]


def test_buckets_are_in_the_triggers_region_and_closed_to_the_public(planned):
    plan = planned(region="europe-west4")

    buckets = made(plan, "google_storage_bucket")
    [trigger] = resources(plan, "google_eventarc_trigger").values()
    assert set(buckets) == set(BUCKETS)
    for bucket in buckets.values():
        assert bucket["location"] == "europe-west4"
        assert bucket["uniform_bucket_level_access"] is True
        assert bucket["public_access_prevention"] == "enforced"
        assert bucket["force_destroy"] is False
        assert bucket["soft_delete_policy"][0]["retention_duration_seconds"] == 604800
        assert bucket["versioning"][0]["enabled"] is False
        assert bucket["storage_class"] == "STANDARD"
    assert trigger["location"] == "europe-west4"
    assert {each["attribute"]: each["value"] for each in trigger["matching_criteria"]} == {
        "type": "google.cloud.storage.object.v1.finalized",
        "bucket": buckets["input"]["name"],
    }
    assert "transport" not in _configured(plan, "google_eventarc_trigger.upload")["expressions"]


def test_files_are_deleted_and_move_when_the_settings_say_and_models_never(planned):
    abort = ("AbortIncompleteMultipartUpload", "", (), 1)
    work, results = ("work/",), ("results/",)

    assert {n: lifecycle(b) for n, b in made(planned(), "google_storage_bucket").items()} == {
        "input": [("Delete", "", (), 30), abort],
        "models": [abort],
        "output": [("Delete", "", work, 7), ("SetStorageClass", "NEARLINE", results, 90), abort],
    }
    buckets = made(planned(**ALL_ELSE), "google_storage_bucket")
    assert {n: lifecycle(b) for n, b in buckets.items()} == {
        "input": [abort],
        "models": [abort],
        "output": [
            ("Delete", "", work, 3),
            ("SetStorageClass", "NEARLINE", results, 30),
            ("Delete", "", results, 365),
            abort,
        ],
    }
    assert all(bucket["force_destroy"] for bucket in buckets.values())


def test_the_workflow_is_the_file_and_knows_the_services(planned):
    plan, names = planned(**ALL_ELSE), Names.of(Settings(**NEEDED | ALL_ELSE))
    [workflow] = resources(plan, "google_workflows_workflow").values()

    assert workflow["source_contents"] == (FOLDER / "workflow.yaml").read_text()
    assert workflow["deletion_protection"] is False
    assert workflow["call_log_level"] == "LOG_ERRORS_ONLY"
    assert workflow["service_account"] == names.account("workflow")
    variables = dict(workflow["user_env_vars"])
    number = project_number(plan)
    assert json.loads(variables.pop("SERVICE_URLS")) == {
        name: f"https://{names.service(name)}-{number}.europe-west4.run.app" for name in SERVICES
    }
    assert variables == {
        "OUTPUT_BUCKET": names.bucket("output"),
        "MAX_SHARDS_AT_ONCE": "2",
        "TIMEOUT_SECONDS": "900",
    }


def test_what_costs_extra_or_is_the_whole_projects_is_made_only_when_it_is_asked_for(planned):
    kinds = (
        "google_project_iam_audit_config",
        "google_billing_budget",
        "google_monitoring_notification_channel",
    )
    without, with_all = planned(), planned(**ALL_ELSE)

    assert not [kind for kind in kinds if resources(without, kind)]
    assert not [address for address in resources(without) if "service.chosen" in address]
    [audit] = resources(with_all, "google_project_iam_audit_config").values()
    assert audit["service"] == "storage.googleapis.com"
    assert {each["log_type"] for each in audit["audit_log_config"]} == {"DATA_READ", "DATA_WRITE"}
    chosen = {each["service"] for a, each in resources(with_all).items() if "service.chosen" in a}
    assert chosen == {"aiplatform.googleapis.com", "billingbudgets.googleapis.com"}
    [budget] = resources(with_all, "google_billing_budget").values()
    assert budget["amount"][0]["specified_amount"][0]["units"] == "200"
    assert [rule["threshold_percent"] for rule in budget["threshold_rules"]] == [0.5, 0.8, 1]
    [channel] = resources(with_all, "google_monitoring_notification_channel").values()
    assert channel["labels"] == {"email_address": "forecasts@example.org"}


def test_all_that_takes_labels_has_them(planned):
    plan = resources(planned(**ALL_ELSE))

    labels = {a: after["labels"] for a, after in plan.items() if "labels" in after and "channel" not in a}
    ours = {"component": "epymodelingsuite", "environment": "test", "managed-by": "terraform"}
    assert len(labels) == len(SERVICES) + len(BUCKETS) + 2  # workflow and trigger
    assert all(each == ours for each in labels.values())
    assert all(each["user_labels"] == ours for each in plan.values() if "user_labels" in each)


def test_the_trigger_waits_for_its_rights(planned):
    plan = planned()
    trigger = _configured(plan, "google_eventarc_trigger.upload")
    pause = _configured(plan, "time_sleep.rights_are_known")

    assert "time_sleep.rights_are_known" in trigger["depends_on"]
    assert pause["expressions"]["create_duration"] == {"constant_value": "90s"}
    awaited = json.dumps(pause["expressions"]["triggers"])
    assert "google_project_iam_member.lane" in awaited
    assert "google_project_iam_member.agents" in awaited
    identity = _configured(plan, "google_project_service_identity.eventarc")
    assert identity["provider_config_key"] == "google-beta"


def _configured(plan, address):
    found = plan["configuration"]["root_module"]["resources"]
    return next(each for each in found if each["address"] == address)


def test_the_defaults_of_terraform_are_those_of_the_settings(configuration):
    plan = configuration.plan(TF_VAR_project_id="my-lab-forecasts")

    passed = verbs.variables(Settings(**NEEDED))
    shown = {name: each["value"] for name, each in plan["variables"].items() if name != "find_digests"}
    expected = {name.removeprefix("TF_VAR_"): value for name, value in passed.items()}
    assert {name: v if isinstance(v, str) else json.dumps(v) for name, v in shown.items()} == expected
