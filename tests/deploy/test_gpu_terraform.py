"""What terraform/gpu/ would make, by plans of the real terraform: services, buckets, rights, names.

Dashboard and alerts are in test_gpu_alerts.py, what is refused in test_gpu_rules.py, `invoke gpu-...` in
test_gpu_terraform_tasks.py.
"""

import json
import re

import pytest

from ops.gpu import terraform as verbs
from ops.gpu.names import ACCOUNTS, BUCKETS, SERVICES, Names
from ops.gpu.rights import bucket_bindings
from ops.settings import Settings
from tests.experiments import REPOSITORY
from tests.terraform_plans import GPU_NEEDED, configured_gpu, gpu_plans, resources

FOLDER = REPOSITORY / "terraform" / "gpu"
ALL_ELSE = {
    "region": "europe-west4",
    "service_prefix": "flu",
    "gpu_type": "nvidia-rtx-pro-6000",
    "gpu_cpu": 20,
    "gpu_memory": "80Gi",
    "gpu_zonal_redundancy": True,
    "gpu_max_instances": 5,
    "gpu_quota": 5,
    "max_instances": 2,
    "gpu_concurrency": 2,
    "preprocess_memory": "4Gi",
    "postprocess_memory": "2Gi",
    "min_instances": 1,
    "accept_idle_cost": True,
    "timeout_seconds": 900,
    "shard_units": 7,
    "models": "lab.models:Flu",
    "image_tag": "v1.2",
    "gpu_repo_name": "flu-images",
    "gpu_ingress": "internal-and-cloud-load-balancing",
    "gpu_network": "lab",
    "gpu_subnetwork": "lab-europe",
    "environment": "test",
    "input_retention_days": 0,
    "work_retention_days": 3,
    "results_retention_days": 365,
    "results_nearline_days": 30,
    "delete_data": True,
    "audit_data_access": True,
    "enable_vertex_ai": True,
    "monthly_budget_usd": 200,
    "billing_account": "012345-6789AB-CDEF01",
    "alert_email": "forecasts@example.org",
}
PROJECT = "project my-lab-forecasts"


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    return configured_gpu(tmp_path_factory)


@pytest.fixture(scope="module")
def planned(configuration):
    return gpu_plans(configuration)


def made(plan, kind):
    """Return what is planned of a kind, by the key of for_each."""
    found = {a: after for a, after in resources(plan, kind).items() if a.partition(".")[0] == kind}
    return {address.partition('"')[2].rstrip('"]'): after for address, after in found.items()}


def services(plan):
    return made(plan, "google_cloud_run_v2_service")


def container(service):
    return service["template"][0]["containers"][0]


def variables_of(service):
    return {each["name"]: each["value"] for each in container(service)["env"]}


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
    plan, names = planned(**settings), Names.of(Settings(**GPU_NEEDED | settings))

    assert plan["planned_values"]["outputs"]["names"]["value"] == names.stem
    assert {name: each["name"] for name, each in services(plan).items()} == {
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
    assert {name: each["service_account"] for name, each in _templates(plan).items()} == {
        name: names.account(name) for name in SERVICES
    }


def _templates(plan):
    return {name: service["template"][0] for name, service in services(plan).items()}


def test_inference_has_a_gpu_and_no_instance_while_nothing_is_to_be_done(planned):
    service = services(planned())["inference"]
    template, has = service["template"][0], container(service)["resources"][0]

    assert template["node_selector"][0]["accelerator"] == "nvidia-l4"
    assert has["limits"] == {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
    assert (has["cpu_idle"], has["startup_cpu_boost"]) == (False, True)
    assert template["gpu_zonal_redundancy_disabled"] is True
    assert template["scaling"][0] == {"min_instance_count": 0, "max_instance_count": 3}
    assert template["max_instance_request_concurrency"] == 1
    assert variables_of(service)["DEVICE"] == "cuda"


def test_the_others_have_no_gpu_and_are_billed_by_request(planned):
    for name, memory in {"preprocess": "2Gi", "postprocess": "1Gi"}.items():
        service = services(planned())[name]
        template, has = service["template"][0], container(service)["resources"][0]

        assert not template["node_selector"]
        assert has["limits"] == {"cpu": "1", "memory": memory}
        assert has["cpu_idle"] is True
        assert template["scaling"][0] == {"min_instance_count": 0, "max_instance_count": 10}
        assert template["max_instance_request_concurrency"] == 4


def test_every_service_is_reached_by_the_workflow_alone_and_is_ready_when_its_models_are(planned):
    plan = planned()
    for service in services(plan).values():
        assert service["ingress"] == "INGRESS_TRAFFIC_INTERNAL_ONLY"
        assert service["deletion_protection"] is False
        assert service["scaling"][0]["min_instance_count"] == 0  # else every plan would remove it
        assert service["template"][0]["timeout"] == "300s"
        assert service["template"][0]["execution_environment"] == "EXECUTION_ENVIRONMENT_GEN2"
        assert not service["template"][0]["vpc_access"]
        [probe] = container(service)["startup_probe"]
        assert probe["http_get"][0]["path"] == "/health"
        assert probe["period_seconds"] * probe["failure_threshold"] == 240
    assert "allUsers" not in json.dumps(plan)
    assert "allAuthenticatedUsers" not in json.dumps(plan)


def test_services_are_told_what_the_settings_say(planned):
    plan = planned(**ALL_ELSE)
    templates, told = _templates(plan), {name: variables_of(each) for name, each in services(plan).items()}

    bucket = f"{Names.of(Settings(**GPU_NEEDED | ALL_ELSE)).stem}-models"
    both = {"MODELS": "lab.models:Flu", "MODELS_BUCKET": bucket, "VERSION": "v1.2", "TIMEOUT_SECONDS": "900"}
    assert told == {
        "preprocess": {"SERVICE": "preprocess", "SHARD_UNITS": "7", **both},
        "inference": {"SERVICE": "inference", "DEVICE": "cuda", **both},
        "postprocess": {"SERVICE": "postprocess", **both},
    }
    assert templates["inference"]["scaling"][0] == {"min_instance_count": 1, "max_instance_count": 2}
    assert templates["inference"]["gpu_zonal_redundancy_disabled"] is False
    for template in templates.values():
        [access] = template["vpc_access"]
        assert access["egress"] == "ALL_TRAFFIC"
        assert [(each["network"], each["subnetwork"]) for each in access["network_interfaces"]] == [
            ("lab", "lab-europe")
        ]
    ingress = {service["ingress"] for service in services(plan).values()}
    assert ingress == {"INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"}


def test_without_a_gpu_inference_computes_on_its_cpus(planned):
    service = services(planned(gpu_type="none", gpu_cpu=2, gpu_memory="4Gi"))["inference"]

    assert container(service)["resources"][0]["limits"] == {"cpu": "2", "memory": "4Gi"}
    assert container(service)["resources"][0]["cpu_idle"] is True
    assert not service["template"][0]["node_selector"]
    assert variables_of(service)["DEVICE"] == "cpu"


def test_services_run_images_by_digest_and_those_of_another_registry_by_tag(planned):
    plan = planned(image_tag="v1.2", gpu_repo_name="flu-images")
    elsewhere = planned(image_tag="v1.2", registry_host="registry.example.org")

    asked = {
        each["address"].partition('"')[2].rstrip('"]'): each["values"]
        for each in plan["prior_state"]["values"]["root_module"]["resources"]
        if each["type"] == "google_artifact_registry_docker_image"
    }
    assert {
        name: (each["image_name"], each["repository_id"], each["location"]) for name, each in asked.items()
    } == {name: (f"{name}:v1.2", "flu-images", "us-central1") for name in SERVICES}
    for name, service in services(plan).items():
        assert container(service)["image"] == asked[name]["self_link"]  # with the digest of today
    stem = Names.of(Settings(**GPU_NEEDED)).stem
    for name, service in services(elsewhere).items():
        assert container(service)["image"] == f"registry.example.org/my-lab-forecasts/{stem}/{name}:v1.2"


def test_each_account_may_do_what_it_needs_and_nothing_else(planned):
    plan, names = planned(), Names.of(Settings(**GPU_NEEDED))
    number = _project_number(plan)
    agents = {
        "Cloud Storage": f"serviceAccount:service-{number}@gs-project-accounts.iam.gserviceaccount.com",
        "Eventarc": f"serviceAccount:service-{number}@gcp-sa-eventarc.iam.gserviceaccount.com",
    }
    in_project = {(each["member"], each["role"]) for each in made(plan, "google_project_iam_member").values()}

    assert in_project == {
        (names.member("workflow"), "roles/logging.logWriter"),
        (names.member("workflow"), "roles/workflows.viewer"),
        (names.member("trigger"), "roles/eventarc.eventReceiver"),
        (names.member("trigger"), "roles/workflows.invoker"),
        (agents["Cloud Storage"], "roles/pubsub.publisher"),
        (agents["Eventarc"], "roles/eventarc.serviceAgent"),
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


def _grant(after):
    [condition] = after["condition"] or [{"expression": ""}]
    return after["bucket"], after["member"], after["role"], condition["expression"]


def _project_number(plan):
    [project] = [
        each["values"]
        for each in plan["prior_state"]["values"]["root_module"]["resources"]
        if each["address"] == "data.google_project.this"
    ]
    return project["number"]


def test_buckets_are_in_the_triggers_region_and_shut(planned):
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
    assert not trigger["transport"]


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
    plan, names = planned(**ALL_ELSE), Names.of(Settings(**GPU_NEEDED | ALL_ELSE))
    [workflow] = resources(plan, "google_workflows_workflow").values()

    assert workflow["source_contents"] == (FOLDER / "workflow.yaml").read_text()
    assert workflow["deletion_protection"] is False
    assert workflow["call_log_level"] == "LOG_ERRORS_ONLY"
    assert workflow["service_account"] == names.account("workflow")
    variables = dict(workflow["user_env_vars"])
    number = _project_number(plan)
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
    assert "google_project_iam_member.lane" in json.dumps(pause["expressions"]["triggers"])
    identity = _configured(plan, "google_project_service_identity.eventarc")
    assert identity["provider_config_key"] == "google-beta"


def _configured(plan, address):
    found = plan["configuration"]["root_module"]["resources"]
    return next(each for each in found if each["address"] == address)


def test_the_defaults_of_terraform_are_those_of_the_settings(configuration):
    plan = configuration.plan(TF_VAR_project_id="my-lab-forecasts")

    passed = verbs.variables(Settings(**GPU_NEEDED))
    shown = {name: each["value"] for name, each in plan["variables"].items() if name != "find_digests"}
    expected = {name.removeprefix("TF_VAR_"): value for name, value in passed.items()}
    assert {name: v if isinstance(v, str) else json.dumps(v) for name, v in shown.items()} == expected
