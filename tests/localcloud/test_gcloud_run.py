"""The real gcloud deploys, describes, changes and deletes services of Cloud Run in the emulator."""

import json
import sys

import pytest
import requests

from tests.emulated import add_image, post
from tests.localcloud.run_api import DIGEST, IMAGE, PROGRAM

REGION = "--region=us-central1"
GPU = ("--gpu=1", "--gpu-type=nvidia-l4", "--no-gpu-zonal-redundancy", "--no-cpu-throttling")


@pytest.fixture
def run(cloud, run_gcloud, tmp_path):
    """Return a function that runs `gcloud run`; its command "deploy" has an image and a program."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    add_image(cloud, IMAGE, DIGEST)
    container = (f"--image={IMAGE}", f"--command={sys.executable}", f"--args={program}")

    def typed(*words, **more):
        added = container if words[0] == "deploy" else ()
        return run_gcloud("run", *words, *added, **more)

    yield typed
    post(f"{cloud.apis}/_emulator/reset", {})


def test_a_service_from_its_deployment_to_its_deletion(run, run_gcloud, cloud):
    def call(url):
        host = url.strip().removeprefix("https://")
        return requests.get(cloud.apis, headers={"Host": host}, timeout=10).text

    run("deploy", "app", REGION, "--allow-unauthenticated", "--set-env-vars=VERSION=1")
    url = run("services", "describe", "app", REGION, "--format=value(status.url)")
    first = call(url)
    changes = ("--update-env-vars=VERSION=2", "--memory=1Gi", "--update-labels=component=lane")
    run("services", "update", "app", REGION, *changes)
    second = call("https://app-123456789012.us-central1.run.app")
    described = json.loads(run("services", "describe", "app", REGION, "--format=json"))
    revisions = json.loads(run("revisions", "list", "--service=app", REGION, "--format=json"))
    policy = json.loads(run("services", "get-iam-policy", "app", REGION, "--format=json"))
    logs = run("services", "logs", "read", "app", REGION)
    entries = run_gcloud("logging", "read", "resource.type=cloud_run_revision", "--format=value(logName)")
    listed = run("services", "list", "--format=value(metadata.name)")
    labelled = [
        run("services", "list", f"--filter=metadata.labels.component={each}", "--format=value(metadata.name)")
        for each in ("lane", "other")
    ]
    run("services", "delete", "app", REGION, "--quiet")

    assert [each["metadata"]["name"] for each in revisions] == [second.split()[1], first.split()[1]]
    assert (first.split()[0], second.split()[0]) == ("1", "2")
    [container] = described["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "1000m", "memory": "1Gi"}
    assert container["image"] == f"{IMAGE.partition(':')[0]}@{DIGEST}"
    assert policy["bindings"] == [{"members": ["allUsers"], "role": "roles/run.invoker"}]
    assert "ready to answer" in logs
    assert "GET 200 https://app-123456789012.us-central1.run.app/" in logs
    assert "projects/p/logs/run.googleapis.com%2Fstdout" in entries
    assert listed.split() == ["app"]
    assert [each.split() for each in labelled] == [["app"], []]
    assert run("services", "list", "--format=value(metadata.name)") == ""


def test_gcloud_prints_why_a_service_is_refused_or_does_not_start(run):
    deploy = ("deploy", "gpu", REGION, "--no-allow-unauthenticated", *GPU)

    small = run(*deploy, "--cpu=2", "--memory=8Gi", "--max-instances=3", fails=True)
    many = run(*deploy, "--cpu=4", "--memory=16Gi", "--max-instances=10", fails=True)
    stranger = run("deploy", "app", REGION, "--service-account=nobody@p.iam.gserviceaccount.com", fails=True)
    nowhere = run("deploy", "app", "--region=nowhere1", fails=True)
    broken = run("deploy", "app", REGION, "--set-env-vars=EXIT=no model", fails=True)

    assert "CPU must be at least 4; memory must be at least 16Gi." in small
    assert "requested: 10 allowed: 3" in many
    assert "Permission 'iam.serviceaccounts.actAs' denied on service account nobody@" in stranger
    assert "The provided region was invalid" in nowhere
    assert "Revision 'app-00001-" in broken
    assert "The user-provided container failed to start and listen on the port" in broken


def test_a_gpu_service_has_its_probe_its_ingress_and_its_invoker(run, run_gcloud):
    run_gcloud("iam", "service-accounts", "create", "runs-the-flow")
    email = "runs-the-flow@p.iam.gserviceaccount.com"
    size = ("--cpu=4", "--memory=16Gi", "--max-instances=3", "--concurrency=1", "--timeout=300")
    probe = "--startup-probe=httpGet.path=/health,periodSeconds=10,failureThreshold=24"

    run(
        "deploy",
        "gpu",
        REGION,
        *GPU,
        *size,
        probe,
        "--ingress=internal",
        f"--service-account={email}",
        "--no-allow-unauthenticated",
    )
    member = (f"--member=serviceAccount:{email}", "--role=roles/run.invoker")
    for _ in range(2):  # the second with a policy that has an etag
        run("services", "add-iam-policy-binding", "gpu", REGION, *member)
    described = json.loads(run("services", "describe", "gpu", REGION, "--format=json"))
    policy = json.loads(run("services", "get-iam-policy", "gpu", REGION, "--format=json"))
    quotas = run_gcloud(
        "beta",
        "quotas",
        "info",
        "list",
        "--service=run.googleapis.com",
        "--project=p",
        "--format=value(quotaId)",
    )

    spec = described["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"run.googleapis.com/accelerator": "nvidia-l4"}
    assert spec["containers"][0]["startupProbe"]["httpGet"]["path"] == "/health"
    assert spec["serviceAccountName"] == email
    assert described["metadata"]["annotations"]["run.googleapis.com/ingress-status"] == "internal"
    assert policy["bindings"] == [{"members": [f"serviceAccount:{email}"], "role": "roles/run.invoker"}]
    assert "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion" in quotas.split()


def test_quotas_of_each_region_are_listed_and_can_be_changed(run_gcloud, cloud):
    def values(quota):
        words = ("beta", "quotas", "info", "describe", quota, "--service=run.googleapis.com", "--project=p")
        infos = json.loads(run_gcloud(*words, "--format=json"))["dimensionsInfos"]
        return {each["dimensions"]["region"]: int(each["details"]["value"]) for each in infos}

    post(f"{cloud.apis}/_emulator/run", {"quotas": {"NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion": 1}})
    gpus = values("NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion")
    cpus, memory = values("CpuAllocPerProjectRegion"), values("MemAllocPerProjectRegion")
    post(f"{cloud.apis}/_emulator/reset", {})

    assert gpus["europe-west4"] == 1
    assert "us-west4" not in gpus
    assert (cpus["us-west4"], memory["us-west4"]) == (200_000, 400 * 2**30)
    assert values("NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion")["europe-west4"] == 3
