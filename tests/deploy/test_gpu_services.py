"""The services that terraform/gpu/ would make: sizes, GPU, access, variables, images."""

import json

import pytest

from ops.gpu.names import SERVICES, Names
from ops.settings import Settings
from tests.gpu_plans import ALL_ELSE, NEEDED, configured, made, plans, read

# two tests share this plan
ON_CPUS = {
    "gpu_type": "none",
    "gpu_cpu": 2,
    "gpu_memory": "4Gi",
    "image_tag": "v1.2",
    "registry_host": "registry.example.org",
}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    return plans(configured(tmp_path_factory))


def services(plan):
    return made(plan, "google_cloud_run_v2_service")


def templates(plan):
    return {name: service["template"][0] for name, service in services(plan).items()}


def container(service):
    return service["template"][0]["containers"][0]


def variables_of(service):
    return {each["name"]: each["value"] for each in container(service)["env"]}


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
    told = {name: variables_of(each) for name, each in services(plan).items()}
    has = templates(plan)

    bucket = f"{Names.of(Settings(**NEEDED | ALL_ELSE)).stem}-models"
    both = {"MODELS": "lab.models:Flu", "MODELS_BUCKET": bucket, "TIMEOUT_SECONDS": "900"}
    assert told == {
        "preprocess": {"SERVICE": "preprocess", "SHARD_UNITS": "7", **both},
        "inference": {"SERVICE": "inference", "DEVICE": "cuda", "AT_ONCE": "2", **both},
        "postprocess": {"SERVICE": "postprocess", **both},
    }
    assert has["inference"]["scaling"][0] == {"min_instance_count": 1, "max_instance_count": 2}
    assert has["inference"]["gpu_zonal_redundancy_disabled"] is False
    for template in has.values():
        [access] = template["vpc_access"]
        assert access["egress"] == "ALL_TRAFFIC"
        assert [(each["network"], each["subnetwork"]) for each in access["network_interfaces"]] == [
            ("lab", "lab-europe")
        ]
    ingress = {service["ingress"] for service in services(plan).values()}
    assert ingress == {"INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"}


def test_without_a_gpu_inference_computes_on_its_cpus(planned):
    service = services(planned(**ON_CPUS))["inference"]

    assert container(service)["resources"][0]["limits"] == {"cpu": "2", "memory": "4Gi"}
    assert container(service)["resources"][0]["cpu_idle"] is True
    assert not service["template"][0]["node_selector"]
    assert variables_of(service)["DEVICE"] == "cpu"


def test_services_run_images_by_digest_and_those_of_another_registry_by_tag(planned):
    plan, elsewhere = planned(**ALL_ELSE), planned(**ON_CPUS)

    asked = {each["key"]: each for each in read(plan, "google_artifact_registry_docker_image")}
    assert {
        name: (each["image_name"], each["repository_id"], each["location"]) for name, each in asked.items()
    } == {name: (f"{name}:v1.2", "flu-images", "europe-west4") for name in SERVICES}
    for name, service in services(plan).items():
        assert container(service)["image"] == asked[name]["self_link"]  # with the digest of today
    stem = Names.of(Settings(**NEEDED)).stem
    for name, service in services(elsewhere).items():
        assert container(service)["image"] == f"registry.example.org/my-lab-forecasts/{stem}/{name}:v1.2"
