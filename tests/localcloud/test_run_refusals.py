"""What Cloud Run refuses when a service is deployed, and in which words."""

import copy
import random

import pytest

from localcloud.messages import ApiError
from tests.emulated import post
from tests.localcloud.run_api import IMAGE, REPOSITORY, HeldRun, RunApi, gpu_service, service

MAX_SCALE = "autoscaling.knative.dev/maxScale"
MIN_SCALE = "autoscaling.knative.dev/minScale"
THROTTLING = "run.googleapis.com/cpu-throttling"
REDUNDANCY = "run.googleapis.com/gpu-zonal-redundancy-disabled"
GENERATION = "run.googleapis.com/execution-environment"
ANNOTATIONS = "spec.template.metadata.annotations"
CONTAINER = "spec.template.spec.containers[0]"
LIMITS = f"{CONTAINER}.resources.limits"
PROBE = f"{CONTAINER}.startup_probe"
QUOTA = "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("program")


@pytest.fixture
def run(cloud, api, folder):
    yield RunApi(cloud, api, folder)
    post(f"{cloud.apis}/_emulator/reset", {})


def http(path="/", **more):
    return {"httpGet": {"path": path}, **more}


def of_size(cpu, memory, **more):
    return service(limits={"cpu": cpu, "memory": memory}, **more)


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        (service("9lives"), "metadata.name", "Must begin with a letter"),
        (service("a" * 50), "metadata.name", "less than 50 characters"),
        (service("ends-"), "metadata.name", "cannot end with a '-'"),
        (service(image=""), f"{CONTAINER}.image", "must provide an image name"),
        (service(image="ghcr.io/a/b"), f"{CONTAINER}.image", "where host is one of [region.]gcr.io"),
        (service(spec={"containers": []}), "spec.template.spec", "at least one container"),
        (service(ports=[{"containerPort": 0}]), f"{CONTAINER}.ports[0].container_port", "1 and 65535"),
        (service(ports=[{"name": "grpc"}]), f"{CONTAINER}.ports[0].name", "'http1' or 'h2c'"),
        (service(ports=[{"containerPort": 1}] * 2), f"{CONTAINER}.ports", "0 or 1 port"),
        (
            service(variables=[{"name": "PORT", "value": "1"}]),
            f"{CONTAINER}.env",
            "names were provided: PORT.",
        ),
        (service(variables=[{"name": "A"}, {"name": "A"}]), f"{CONTAINER}.env[1]", "A is there twice"),
        (service(labels={"version": "0.1"}), "metadata.labels[version]", "at most 63 lowercase letters"),
        (service(namespace="other"), "metadata.namespace", "must be p, the project in the address"),
        (
            service(ingress="private"),
            "metadata.annotations[run.googleapis.com/ingress]",
            "must be one of all",
        ),
        (
            service(spec={"containerConcurrency": 1001}),
            "spec.template.spec.container_concurrency",
            "Must be a number between 0 and 1000",
        ),
        (service(spec={"timeoutSeconds": 3601}), "spec.template.spec.timeout_seconds", "one hour"),
        (service(spec={"timeoutSeconds": 0}), "spec.template.spec.timeout_seconds", "between 1 and 3600"),
        (service(annotations={MAX_SCALE: "0"}), f"{ANNOTATIONS}[{MAX_SCALE}]", "between 1 and 1000"),
        (
            service(annotations={MAX_SCALE: "2", MIN_SCALE: "3"}),
            f"{ANNOTATIONS}[{MAX_SCALE}]",
            "greater than or equal to minScale",
        ),
        (service(startupProbe=http(periodSeconds=10, failureThreshold=25)), PROBE, "240 seconds to start"),
        (service(startupProbe=http(periodSeconds=241)), f"{PROBE}.period_seconds", "between 1 and 240"),
        (
            service(startupProbe=http(periodSeconds=10, timeoutSeconds=11)),
            f"{PROBE}.timeout_seconds",
            "not above period_seconds",
        ),
        (service(startupProbe=http(failureThreshold=0)), f"{PROBE}.failure_threshold", "positive number"),
        (service(startupProbe=http("health")), f"{PROBE}.http_get.path", "must begin with '/'"),
        (service(startupProbe={"periodSeconds": 9}), PROBE, "Exactly one probe action"),
        (of_size("3", "4Gi"), f"{LIMITS}.cpu", "Must be equal to one of [.08-1], 1.0, 2.0, 4.0, 6.0, 8.0"),
        (of_size("some", "4Gi"), f"{LIMITS}.cpu", "Could not parse Quantity"),
        (of_size("1", "many"), f"{LIMITS}.memory", "Could not parse Quantity"),
        (
            of_size("1", "8Gi"),
            f"{LIMITS}.memory",
            "For 1.0 CPU, memory must be between 128Mi and 4Gi inclusive.",
        ),
        (of_size("4000m", "1Gi"), f"{LIMITS}.memory", "For 4.0 CPU, memory must be between 2Gi and 16Gi"),
        (
            of_size("1", "256Mi", annotations={GENERATION: "gen2"}),
            f"{LIMITS}.memory",
            "with gen2 execution environment. For 1.0 CPU, memory must be between 512Mi and 4Gi",
        ),
        (
            of_size("500m", "512Mi"),
            "spec.template.spec.containers.resources.limits.cpu",
            "Total cpu < 1 is not supported with concurrency > 1.",
        ),
        (
            of_size("0.5", "512Mi", spec={"containerConcurrency": 1}, annotations={THROTTLING: "false"}),
            "spec.template.spec.containers.resources.limits.cpu",
            "Total cpu < 1 is not supported with cpu always allocated (unthrottled).",
        ),
        (gpu_service(limits={"cpu": "2", "memory": "8Gi"}), LIMITS, "CPU must be at least 4"),
        (gpu_service(limits={"memory": "8Gi"}), LIMITS, "memory must be at least 16Gi"),
        (gpu_service(limits={"nvidia.com/gpu": "2"}), f"{LIMITS}.nvidia.com/gpu", "GPU can only be set to 1"),
        (
            gpu_service(annotations={THROTTLING: "True"}),
            f"{ANNOTATIONS}[{THROTTLING}]",
            "must be disabled in order to set GPU requirements",
        ),
        (
            gpu_service(annotations={GENERATION: "gen1"}),
            f"{ANNOTATIONS}[{GENERATION}]",
            "Execution environment must be set to gen2 in order to set GPU",
        ),
        (
            gpu_service(spec={"nodeSelector": {"run.googleapis.com/accelerator": "nvidia-t4"}}),
            "spec.template.spec.node_selector",
            "Supported GPU types: nvidia-l4",
        ),
        (gpu_service(spec={"nodeSelector": {}}), "spec.template.spec.node_selector", "Invalid GPU type ''"),
        (
            service(spec={"nodeSelector": {"run.googleapis.com/accelerator": "nvidia-l4"}}),
            "spec.template.spec.node_selector",
            "without a limit of nvidia.com/gpu",
        ),
        (
            gpu_service(annotations={REDUNDANCY: "False"}),
            f"{ANNOTATIONS}[{MAX_SCALE}]",
            "You do not have quota for using GPUs with zonal redundancy.",
        ),
    ],
)
def test_it_refuses_and_names_the_field(run, asked, field, words):
    message, fields = run.refusal(asked)

    assert fields == [field]
    assert words in message
    assert message.startswith(f"{field}: ")


def test_more_gpu_instances_than_the_quota_are_refused_as_users_quote_it(run):
    message, _ = run.refusal(gpu_service(most="10"))

    assert message == (
        f"{ANNOTATIONS}[{MAX_SCALE}]: Max instances must be set to 3 or fewer in order to set GPU "
        "requirements.\nTo request quota: g.co/cloudrun/gpu-quota\n\n"
        f"Quota violated:\n{QUOTA} requested: 10 allowed: 3"
    )


def test_a_larger_quota_admits_more_gpu_instances_and_cloud_quotas_tells_it(run, cloud):
    post(f"{cloud.apis}/_emulator/run", {"quotas": {QUOTA: 10}})

    admitted = run.http(
        "POST", "/apis/serving.knative.dev/v1/namespaces/p/services?dryRun=all", json=gpu_service(most="10")
    )
    infos = run.http("GET", "/v1beta/projects/p/locations/global/services/run.googleapis.com/quotaInfos")
    [told] = [each for each in infos.json()["quotaInfos"] if each["quotaId"] == QUOTA]

    assert admitted.status_code == 200
    assert {"region": "us-central1"} in [each["dimensions"] for each in told["dimensionsInfos"]]
    assert {each["details"]["value"] for each in told["dimensionsInfos"]} == {"10"}


def test_cpu_and_memory_of_all_instances_together_have_quotas(run, cloud):
    new_project = {"CpuAllocPerProjectRegion": 20_000, "MemAllocPerProjectRegion": 40 * 2**30}
    post(f"{cloud.apis}/_emulator/run", {"quotas": new_project})

    message, _ = run.refusal(of_size("4", "16Gi", annotations={MAX_SCALE: "15"}))

    assert "Max instances must be set to 5 or fewer to set the requested total CPU." in message
    assert "CpuAllocPerProjectRegion requested: 60000 allowed: 20000\n" in message
    assert "MemAllocPerProjectRegion requested: 257698037760 allowed: 42949672960" in message


def test_instances_of_old_revisions_count_when_a_gpu_is_added(run):
    run.deploy(run.program("gpu", annotations={MAX_SCALE: "10"}))
    replaced = run.http(
        "PUT", "/apis/serving.knative.dev/v1/namespaces/p/services/gpu", json=gpu_service(most="2")
    )

    assert replaced.status_code == 400
    assert f"{QUOTA} requested: 10 allowed: 3" in replaced.json()["error"]["message"]


def test_a_region_without_the_gpu_is_refused(run):
    answer = run.http(
        "POST",
        "/apis/serving.knative.dev/v1/namespaces/p/services",
        host="europe-west3-run.emulated",
        json=gpu_service(),
    )

    assert answer.status_code == 400
    assert "GPU configuration for nvidia-l4 is only supported in regions: asia-southeast1, " in answer.text


def test_a_missing_account_is_denied_as_if_there_were_no_permission(run):
    account = "nobody@p.iam.gserviceaccount.com"

    message, _ = run.refusal(service(spec={"serviceAccountName": account}), code=403)

    assert message == (
        f"Permission 'iam.serviceaccounts.actAs' denied on service account {account} (or it may not exist)."
    )


def test_all_mistakes_are_named_at_once(run):
    _, fields = run.refusal(service(image="", spec={"containerConcurrency": -1, "timeoutSeconds": 0}))

    assert len(fields) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"containerConcurency": 4}, "Unknown name \"containerConcurency\" at 'service.spec.template.spec'"),
        ({"containerConcurrency": "4"}, "Invalid value at 'service.spec.template.spec.containerConcurrency'"),
        ({"timeoutSeconds": True}, "(TYPE_INT32)"),
        ({"containers": {}}, "'service.spec.template.spec.containers' is not a list"),
        ({"nodeSelector": []}, "'service.spec.template.spec.nodeSelector' is not an object"),
    ],
)
def test_a_field_of_the_wrong_name_or_type_is_refused(run, change, words):
    message, _ = run.refusal(service(spec=change))

    assert words in message


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (service(spec={"volumes": [{"name": "models"}]}), "volumes"),
        (service(variables=[{"name": "A", "valueFrom": {"secretKeyRef": {}}}]), "variables from secrets"),
        (service(ports=[{"name": "h2c"}]), "HTTP/2"),
        (service(spec={"containers": [{"image": IMAGE}, {"image": IMAGE}]}), "several containers"),
        (service(startupProbe={"grpc": {"port": 1}}), "gRPC probes"),
        (service(startupProbe={"tcpSocket": {"port": 1}}), "probes of another port than the container's"),
    ],
)
def test_what_is_not_emulated_is_refused_instead_of_ignored(run, asked, words):
    message, _ = run.refusal(asked)

    assert message == f"localcloud does not emulate {words} of Cloud Run."


def test_an_image_that_is_not_in_the_registry_fails_the_deployment(run):
    failed = run.deploy(service(image=f"{REPOSITORY}/app:v9"))

    [revision] = run.revisions()
    name = revision["metadata"]["name"]
    assert {each["message"] for each in failed["status"]["conditions"]} == {
        f"Revision '{name}' is not ready and cannot serve traffic. Image '{REPOSITORY}/app:v9' not found."
    }
    assert "url" not in failed["status"]


def test_a_service_with_anything_in_any_place_is_taken_or_refused_in_words():
    anything = (None, 0, -1, 10**12, 1.5, True, "", "-1", "x", "\u00b2", [], ["a"], {}, {"a": "b"})
    traffic = [{"percent": 100, "latestRevision": True}]
    plain = service(variables=[{"name": "A", "value": "b"}], startupProbe=http(), livenessProbe=http())
    plain["spec"]["traffic"] = traffic
    rng, held = random.Random(1), HeldRun()

    answers = []
    for _ in range(3000):
        asked = copy.deepcopy(rng.choice((plain, gpu_service())))
        holder, name = rng.choice(list(places(asked)))
        holder[name] = rng.choice(anything)
        try:
            held.deployments.create("p", "us-central1", asked, True)
            answers.append("taken")
        except ApiError as error:
            answers.append(str(error))

    assert "" not in answers
    assert 100 < answers.count("taken") < 2000


def places(value):
    """Yield every field and element below a JSON value, as what holds it and its name there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield value, name
        yield from places(each)
