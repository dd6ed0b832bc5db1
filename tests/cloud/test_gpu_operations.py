"""`invoke gpu-check`, `gpu-smoke` and `gpu-status` with the real gcloud on an emulated cloud."""

import re
import shutil
import threading

import pytest

from localcloud.environment import client_environment
from localcloud.members import member
from localcloud.process import running
from ops.failures import UserError
from ops.gpu import checkup, evidence, smoke, status
from ops.gpu.names import SERVICES, Names
from ops.gpu.uploads import Uploads
from tests.cloud_operators import CloudOperator
from tests.cloud_runs import PROJECT, REGION
from tests.emulated import add_image, post, request, write_service_account_key
from tests.experiments import POPULATIONS, calibrated, sampled
from tests.gpu_lanes import gpu_lane
from tests.in_process import called
from tests.operators import Operator
from tests.stage_scripts import Ended
from tests.web_services import FORECAST, SENTIMENT

OPEN_REGION = "europe-west4"  # where nobody has to be invited
OPERATOR = f"operator@{PROJECT}.iam.gserviceaccount.com"
L4, MEMORY = "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion", "MemAllocPerProjectRegion"


@pytest.fixture(scope="module")
def lane(tmp_path_factory):
    with gpu_lane(tmp_path_factory.mktemp("state"), "--clock-speed", "30") as lane:
        yield lane


@pytest.fixture
def operator(lane, tmp_path):
    """An operator of the deployed lane."""
    operator = Operator(tmp_path, sampled())
    operator.environ |= {**lane.cloud.shell.environment, "PROJECT_ID": PROJECT, "REGION": REGION}
    return operator


# ---- gpu-smoke


def test_the_smoke_test_prints_the_answer_and_the_seconds_of_each_step(lane, operator):
    ended = operator.invoke("gpu-smoke")

    assert ended.exit_code == 0, ended.output
    lines = {
        re.split(r" {2,}", line.strip())[0]: line for line in ended.lines if re.search(r"\d\.\d s\b", line)
    }
    assert lines["health"].endswith("3 services, cpu")
    (upload,) = re.findall(rf"gs://{lane.names.bucket('input')}/test-input\.txt#(\d+)$", lines["upload"])
    place = f"gs://{lane.names.bucket('output')}/results/test-input.txt/{upload}/result.json"
    assert lines["result"].endswith(place)
    assert {"start", "execution", "predict", "postprocess"} <= lines.keys()
    assert "sentiment@1: 1 unit, 0 failed, 1 file" in ended.lines
    assert '"label": "positive"' in ended.last_line


def test_a_report_has_the_lane_s_services_and_the_seconds_that_an_instance_was_idle(lane, operator):
    operator.invoke("gpu-smoke")

    services = evidence.services(lane.cloud).answer
    instances = evidence.idle_times(lane.cloud).answer

    assert {each["service"] for each in services} == set(SERVICES)
    assert all(each["conditions"] for each in services)
    assert any(each["requests"] and each["idle_seconds"] >= 0 for each in instances), instances
    assert all(each["seconds"] >= (each["idle_seconds"] or 0) for each in instances)


@pytest.fixture
def kept_uploads(lane):
    """An input bucket that keeps what is overwritten, so that each upload can be read, however late."""
    update = ["storage", "buckets", "update", f"gs://{lane.names.bucket('input')}"]
    lane.cloud.read([*update, "--versioning"], echo=False)
    yield
    lane.cloud.read([*update, "--no-versioning"], echo=False)


def test_the_smoke_test_finds_its_own_execution_among_uploads_of_the_same_name(lane, kept_uploads):
    stop = threading.Event()

    def upload_others() -> None:
        while not stop.is_set():
            lane.upload(smoke.SENTENCE_NAME, b"This is terrible. I hate it.")
            stop.wait(0.5)

    others = threading.Thread(target=upload_others)
    others.start()
    try:
        ended = called(lambda: smoke.smoke(lane.cloud))
    finally:
        stop.set()
        others.join()

    assert ended.exit_code == 0, ended.output
    assert '"label": "positive"' in ended.last_line
    assert len(lane.executions(smoke.SENTENCE_NAME)) > 2


def test_a_duplicated_event_gives_the_result_of_the_first(lane):
    lane.deliver(smoke.SENTENCE_NAME, 3)

    ended = called(lambda: smoke.smoke(lane.cloud))

    assert ended.exit_code == 0, ended.output
    assert '"label": "positive"' in ended.last_line


def test_an_upload_that_fails_ends_the_smoke_test_with_the_reason_of_its_execution(operator):
    ended = operator.invoke("gpu-smoke", "--exp-id", "trial")  # this lane has no model for archives

    assert ended.exit_code == 1
    assert re.fullmatch(
        r"error: execution \S+: FAILED: preprocess: trial\.tar\.gz: no model takes this file; .*",
        ended.last_line,
    )


def test_a_service_that_is_not_there_is_named_before_anything_is_uploaded(lane):
    before = len(lane.executions(smoke.SENTENCE_NAME))
    words = ["run", "services", "delete", lane.names.service("postprocess"), "--region", REGION, "--quiet"]
    lane.cloud.read([*words, *lane.cloud.in_project], echo=False)

    try:
        ended = called(lambda: smoke.smoke(lane.cloud))
        shown = called(lambda: status.show_status(lane.cloud, 1))
    finally:
        lane.deploy()

    assert ended.exit_code == 1
    assert "postprocess: " in ended.last_line
    assert len(lane.executions(smoke.SENTENCE_NAME)) == before
    assert re.search(r"postprocess +not deployed; invoke gpu-deploy", shown.output)


def test_an_experiment_can_be_uploaded_instead(tmp_path_factory, tmp_path):
    with gpu_lane(tmp_path_factory.mktemp("state"), MODELS=f"{FORECAST},{SENTIMENT}") as lane:
        experiment = calibrated()
        operator, repository = Operator(tmp_path, experiment), tmp_path / "local" / "forecast"
        experiment["modelset"]["calibration"]["observed_data_path"] = "data/observed.csv"
        shutil.copytree(POPULATIONS, repository / "data" / "epydemix-data")
        operator.environ |= {**lane.cloud.shell.environment, "PROJECT_ID": PROJECT, "REGION": REGION}

        ended = operator.invoke("gpu-smoke", "--exp-id", "trial")

    assert ended.exit_code == 0, ended.output
    assert re.search(r"^forecast@\S+: \d+ units?, 0 failed, \d+ files$", ended.output, re.MULTILINE)
    assert "results/trial.tar.gz/" in ended.output


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (["gpu-smoke"], {}, "is not deployed in us-central1 of my-lab-forecasts: invoke gpu-deploy"),
        (["gpu-smoke", "--exp-id", "tiral"], {}, "tiral: no such experiment"),
        (["gpu-smoke"], {"PROJECT_ID": ""}, "PROJECT_ID: not set"),
        (["gpu-status"], {"PROJECT_ID": ""}, "PROJECT_ID: not set"),
        (["gpu-status", "--limit", "0"], {}, "--limit 0: a whole number is needed"),
        (["gpu-status", "--limit", "ten"], {}, "--limit ten: a whole number is needed"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(operator, words, settings, said):
    ended = operator.invoke(*words, **({"SERVICE_PREFIX": "nobodys", **settings}))

    assert ended.exit_code == 2
    assert len(ended.lines) == 1, ended.output
    assert said in ended.last_line


def test_a_dry_run_of_the_smoke_test_prints_its_commands_and_uploads_nothing(lane, operator):
    before = len(lane.executions(smoke.SENTENCE_NAME))

    ended = operator.invoke("gpu-smoke", "--dry-run")

    assert ended.exit_code == 0, ended.output
    commands = [line.removeprefix("+ gcloud ") for line in ended.lines]
    wanted = (
        "workflows execute ",
        "storage cp ",
        "workflows executions list ",
        "workflows executions describe ",
    )
    assert [line.startswith(words) for line, words in zip(commands, wanted, strict=False)] == [True] * 4
    assert len(lane.executions(smoke.SENTENCE_NAME)) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": "sentiment"}'])
def test_a_result_that_is_none_is_one_line(lane, content):
    bucket, name = lane.names.bucket("output"), "results/odd/1/result.json"
    place = f"{lane.emulator.storage}/upload/storage/v1/b/{bucket}/o"
    request("POST", place, params={"uploadType": "media", "name": name}, data=content)

    with pytest.raises(UserError, match=f"gs://{bucket}/{name} is no result of a service"):
        Uploads(lane.cloud, lane.names).result({"status": "done", "result": f"gs://{bucket}/{name}"})


# ---- gpu-status


def test_the_name_of_a_folder_is_shown_as_text():
    objects = [{"name": "\x1b[2Ja\n/x", "size": "3"}, {"name": "b", "size": "2"}]

    assert status.contents(objects).count("\x1b") == status.contents(objects).count("\n") == 0
    assert status.contents([{"name": "a/x", "size": "3"}]) == "a/ 1 object of 3 B"


def test_the_status_shows_services_buckets_and_the_last_uploads_with_their_results(lane, operator):
    lane.done("shown.txt", generation := lane.upload("shown.txt", b"This product is amazing! I love it."))
    (execution,) = lane.ended("refused.zip", lane.upload("refused.zip", b"PK"))
    lane.check()

    ended = operator.invoke("gpu-status", "--limit", "3")

    assert ended.exit_code == 0, ended.output
    for service, most in (("preprocess", 10), ("inference", 3), ("postprocess", 10)):
        revision = rf"{lane.names.service(service)}-\d+-\w+"
        assert re.search(rf"{service} +yes +{revision} +0 to {most} +{service}[:@]", ended.output)
    assert re.search(r"-input: \d+ objects of ", ended.output)
    assert "-models: empty" in ended.output
    assert re.search(r"-output: results/ \d+ objects of .*, work/ \d+ objects of ", ended.output)
    checked, refused, done = (line.rstrip() for line in ended.lines[-3:])
    assert re.search(r" health +SUCCEEDED .* healthy, cpu$", checked)
    assert re.search(
        rf"{execution['name'].rpartition('/')[2]} +refused.zip#\d+ +FAILED .* no model takes", refused
    )
    place = f"gs://{lane.names.bucket('output')}/results/shown.txt/{generation}/result.json"
    assert re.search(rf"shown.txt#{generation} +SUCCEEDED .* {re.escape(place)}$", done)


def test_the_status_of_a_project_without_a_lane_says_what_deploys_one(operator):
    ended = operator.invoke("gpu-status", SERVICE_PREFIX="nobodys")

    assert ended.exit_code == 0, ended.output
    (line,) = ended.lines
    assert re.fullmatch(
        rf"the GPU lane nobodys-\w{{6}} is not deployed in {REGION} of {PROJECT}; invoke gpu-deploy", line
    )


# ---- gpu-check


@pytest.fixture
def owner(lane, tmp_path):
    """An operator with an account that gcloud knows, in a project that has no lane yet."""
    request("POST", f"{lane.emulator.apis}/_emulator/run", json={"quotas": {L4: 3}})
    operator = Operator(tmp_path, sampled())
    environment = dict(lane.cloud.shell.environment)
    del environment["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"]
    key = write_service_account_key(tmp_path / "key.json", f"{lane.emulator.apis}/token", OPERATOR)
    operator.environ |= {
        **environment,
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_CORE_ACCOUNT": OPERATOR,
    }
    operator.environ |= {"PROJECT_ID": PROJECT, "REGION": OPEN_REGION, "SERVICE_PREFIX": "new-lane"}
    shell = CloudOperator.shell.fget(operator)
    shell.read(["gcloud", "auth", "activate-service-account", f"--key-file={key}"], timeout_seconds=60)
    yield operator
    post(f"{lane.emulator.apis}/_emulator/projects", {"billing": True})
    quotas = {L4: 3, MEMORY: 400 * 2**30}
    request("POST", f"{lane.emulator.apis}/_emulator/run", json={"quotas": quotas})


def check(operator: Operator, **variables: str) -> Ended:
    operator.environ |= variables
    return called(
        lambda: checkup.examine(CloudOperator.shell.fget(operator), CloudOperator.settings(operator))
    )


def found(ended: Ended) -> dict[str, str]:
    """Return the line of each finding, by what was asked."""
    return {match[2]: line for line in ended.lines if (match := re.match(r"  (\w+) +(\S.*?)  +", line))}


def test_a_project_with_everything_is_ready(lane, owner):
    names = Names.of(CloudOperator.settings(owner))
    for name in SERVICES:
        add_image(lane.emulator, names.image(name, "latest"), f"sha256:{'1' * 64}")

    ended = owner.invoke("gpu-check")

    assert ended.exit_code == 0, ended.output
    lines = found(ended)
    assert lines["account"].endswith(OPERATOR)
    assert "3 GPUs allowed, 3 wanted" in lines["GPU quota"]
    assert lines["right to deploy the lane"].endswith("  may: gpu-build, gpu-deploy, gpu-destroy")
    assert lines["right to smoke"].endswith("  may: gpu-smoke")
    assert "  may: gpu-status, gpu-logs, as far as is known; not asked yet: gs://" in lines["right to watch"]
    assert "  not asked yet: gs://" in lines["right to upload"]
    assert lines["names"].endswith(f"{names.stem} is free")
    assert all(line.startswith("  ok ") for what, line in lines.items() if what != "terraform"), ended.output
    assert ended.last_line == "ready for invoke gpu-deploy"


def test_what_is_missing_is_named_with_the_command_that_fixes_it(lane, owner):
    post(f"{lane.emulator.apis}/_emulator/projects", {"billing": False})
    quotas = {L4: 2, MEMORY: 40 * 2**30}
    request("POST", f"{lane.emulator.apis}/_emulator/run", json={"quotas": quotas})
    apis = [
        f"{lane.emulator.apis}/v1/projects/{PROJECT}/services/{name}.googleapis.com"
        for name in ("aiplatform", "eventarc")
    ]
    for api in apis:
        post(f"{api}:disable", {})

    try:
        ended = check(owner, SERVICE_PREFIX="not-built", ENABLE_VERTEX_AI="true")
    finally:
        for api in apis:
            post(f"{api}:enable", {})

    assert ended.exit_code == 1
    lines = found(ended)
    assert f"gcloud billing projects link {PROJECT} --billing-account" in lines["billing"]
    assert "not enabled in my-lab-forecasts: aiplatform, eventarc  -> gcloud services enable" in lines["APIs"]
    assert f"{L4}: 2 allowed; set GPU_MAX_INSTANCES=2" in lines["GPU quota"]
    assert "warning" in lines["CPU and memory"]
    assert "inference: 3 x 16 = 48 GiB, but 40 are allowed: GPU_MAX_INSTANCES=2" in lines["CPU and memory"]
    assert lines["images"].endswith("as latest: preprocess, inference, postprocess  -> invoke gpu-build")
    assert ended.last_line == "error: missing: billing, GPU quota"


@pytest.mark.parametrize(
    ("settings", "what", "said"),
    [
        ({"REGION": "us-central1"}, "region", "warning .*is by invitation; open .*europe-west4"),
        ({"REGION": "us-west1"}, "settings", "missing .*Cloud Run has no nvidia-l4 there; set REGION to one"),
        ({"GPU_CPU": "2", "GPU_MEMORY": "8Gi"}, "settings", "missing .*set GPU_CPU to one of them"),
        (
            {"GPU_MAX_INSTANCES": "10"},
            "settings",
            "missing .*may use 3 nvidia-l4 in europe-west4; set GPU_MAX",
        ),
        ({"GPU_TYPE": "none"}, "GPU quota", "ok .*no GPU is needed"),
        ({"REGION": REGION, "SERVICE_PREFIX": ""}, "names", "ok .*is deployed, at least in part"),
        ({"PROJECT_ID": ""}, "project", "missing .*PROJECT_ID: not set"),
    ],
)
def test_a_region_without_the_gpu_and_a_missing_project_are_found(lane, owner, settings, what, said):
    ended = check(owner, **settings)

    assert re.search(said, found(ended)[what]), ended.output


def test_a_bucket_of_another_project_is_found_before_the_deployment(lane, owner):
    names = Names.of(CloudOperator.settings(owner))
    path = f"/b/{names.bucket('models')}"
    denied = {"method": "GET", "path": path, "status": 403, "message": "does not have permission"}

    with lane.faults(denied):
        ended = check(owner)

    assert f"of another project: gs://{names.bucket('models')}; set another SERVICE_PREFIX" in ended.output


def test_a_person_who_may_not_deploy_is_told_the_missing_roles(tmp_path):
    """What an editor may do is asked for, not looked up: most of what deploys is among it."""
    editor = member("ann@my-lab.example")
    with running(tmp_path / "state", "--rights-of", PROJECT) as cloud:
        policy = {"bindings": [{"role": "roles/editor", "members": [editor]}]}
        post(f"{cloud.apis}/v1/projects/{PROJECT}:setIamPolicy", {"policy": policy})
        person = Operator(tmp_path, sampled())
        person.environ |= client_environment(cloud.storage, cloud.apis, cloud.state, PROJECT, editor)

        ended = check(person, PROJECT_ID=PROJECT, REGION=OPEN_REGION)

    lines = found(ended)
    line = lines["right to deploy the lane"]
    assert line.lstrip().startswith("missing")
    assert lines["right to smoke"].lstrip().startswith("ok")
    assert "may not: run.services.setIamPolicy on the project (run.admin); " in line
    for role in ("run.admin", "artifactregistry.admin", "resourcemanager.projectIamAdmin"):
        give = f"gcloud projects add-iam-policy-binding {PROJECT} --member MEMBER"
        assert f"{give} --role roles/{role} --condition None" in line
    for role in ("workflows.admin", "storage.admin", "iam.serviceAccountAdmin", "monitoring.editor"):
        assert f"({role})" not in line
    assert ended.exit_code == 1
    assert "right to deploy the lane" in ended.last_line


def test_a_dry_run_of_the_check_prints_its_commands(owner):
    ended = owner.invoke("gpu-check", "--dry-run")

    assert ended.exit_code == 0, ended.output
    for words in (
        f"billing projects describe {PROJECT}",
        "beta quotas info list --service run.googleapis.com",
        "auth print-access-token",
        "artifacts docker images list",
    ):
        assert f"+ gcloud {words}" in ended.output
