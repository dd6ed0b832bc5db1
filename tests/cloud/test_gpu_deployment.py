"""`scripts/deploy.sh` and `destroy.sh` as an operator types them, the real gcloud, an emulated cloud."""

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from localcloud.environment import client_environment
from localcloud.process import running
from localcloud.run.quotas import LIMITS
from ops.cloud.cloud import Cloud
from ops.environment import read_settings
from ops.failures import UserError
from ops.gpu.names import SERVICES, Names
from ops.gpu.quotas import check_quota
from ops.shell import Shell
from tests.cloud_runs import PROJECT, REGION
from tests.emulated import add_image, names_in, order_faults, request
from tests.experiments import REPOSITORY, sampled
from tests.needs import need_program
from tests.operators import Operator
from tests.stage_scripts import Ended

pytestmark = pytest.mark.timeout(600)
DIGEST, NEWER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


class LaneOperator(Operator):
    """An operator with a cloud of their own, which has the lane's images."""

    def __init__(self, emulator, folder):
        need_program("gcloud")
        super().__init__(folder, sampled())
        self.emulator = emulator
        self.environ |= {
            **client_environment(emulator.storage, emulator.apis, emulator.state, PROJECT),
            "PROJECT_ID": PROJECT,
            "REGION": REGION,
            "VIRTUAL_ENV": sys.prefix,
            "GPU_TYPE": "none",  # this machine has no GPU, so the service would not start with DEVICE=cuda
        }
        self.settings = read_settings(self.environ)
        self.names = Names.of(self.settings)
        self.cloud = Cloud.of(Shell(environment=self.environ), self.settings, needs_bucket=False)
        self.push(DIGEST)

    def push(self, digest: str) -> None:
        for name in SERVICES:
            add_image(self.emulator, self.names.image(name, "latest"), digest)

    def type(self, name: str, *words: str, **variables: str) -> Ended:
        """Run deploy.sh or destroy.sh."""
        done = subprocess.run(
            [str(REPOSITORY / "scripts" / f"{name}.sh"), *words],
            env={**self.environ, **variables},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=500,
        )
        return Ended(done.returncode, done.stdout, done.stdout.strip().splitlines())

    def fail_once(self, **rule: object) -> None:
        """Have the emulated cloud refuse the next request that a rule describes."""
        order_faults(self.emulator, {"status": 403, "message": "no right", "times": 1, **rule})

    def left(self) -> list[str]:
        """Return what the emulated cloud still has of the lane."""
        project, region = self.cloud.in_project, ["--region", REGION]
        lists = [
            ["iam", "service-accounts", "list", *project, "--format", "value(email)"],
            ["storage", "buckets", "list", *project, "--format", "value(name)"],
            ["run", "services", "list", *region, *project, "--format", "value(metadata.name)"],
            ["workflows", "list", *self.cloud.in_region, "--format", "value(name)"],
            ["eventarc", "triggers", "list", *self.cloud.in_region, "--format", "value(name)"],
            ["alpha", "monitoring", "policies", "list", *project, "--format", "value(displayName)"],
            ["monitoring", "dashboards", "list", *project, "--format", "value(displayName)"],
            ["beta", "monitoring", "channels", "list", *project, "--format", "value(displayName)"],
            ["artifacts", "repositories", "list", *self.cloud.in_region, "--format", "value(name)"],
        ]
        found = [line for words in lists for line in self.cloud.read(words, echo=False).split("\n")]
        policy = self.cloud.read(["projects", "get-iam-policy", PROJECT], echo=False)
        return [line for line in [*found, *policy.split("\n")] if self.names.stem in line]


@pytest.fixture(scope="module")
def lane_operator(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "60") as emulator:
        yield LaneOperator(emulator, tmp_path_factory.mktemp("operator"))


@pytest.fixture
def operator(lane_operator):
    yield lane_operator
    request("DELETE", f"{lane_operator.emulator.apis}/_emulator/faults")


def test_a_first_deployment_prints_where_everything_is_and_a_second_changes_nothing(operator):
    first = operator.type("deploy", "--yes")
    second = operator.type("deploy", "--yes")

    assert first.exit_code == 0, first.output
    stem = operator.names.stem
    assert f"deploy the GPU lane to project {PROJECT}, region {REGION}:" in first.lines
    assert any(line.startswith("  idle      nothing but storage") for line in first.lines)
    assert re.search(r"  in use    \S+ USD .*\(no GPU\), while it works on requests \(", first.output)
    shown = dict(
        line.split(maxsplit=1) for line in first.lines[-11:] if not line.startswith(("bucket", "ser"))
    )
    assert shown["prefix"] == stem
    assert shown["workflow"] == f"{stem}, in {REGION} of {PROJECT}"
    for name in ("input", "models", "output"):
        assert f"bucket {name:<13}gs://{stem}-{name}" in first.lines
    for name in SERVICES:
        url = f"https://{stem}-{name}-123456789012.{REGION}.run.app"
        assert f"service {name:<12}{url}" in first.lines
    assert shown["next"] == f"gcloud storage cp FILE gs://{stem}-input/"
    record = (operator.folder / "local" / "gpu" / "deployment.env").read_text().splitlines()
    assert record[1:] == [
        f"PROJECT_ID={PROJECT}",
        f"REGION={REGION}",
        "SERVICE_PREFIX=ml-pipeline",
        f"LANE={stem}",
    ]
    assert second.exit_code == 0, second.output
    assert "nothing to change" in second.lines
    assert not [line for line in second.lines if line.startswith("+ gcloud")]
    assert second.lines[-11:] == first.lines[-11:]


@pytest.mark.parametrize("shown", [2, 2000], ids=["in GPUs", "in thousandths"])
def test_a_deployment_with_more_instances_than_granted_gpus_is_refused_before_anything_changes(
    operator, shown
):
    limit = "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion"
    quotas = f"{operator.emulator.apis}/_emulator/run"
    request("POST", quotas, json={"quotas": {limit: shown}})
    before = operator.left()

    ended = operator.type("deploy", "--yes", GPU_TYPE="nvidia-l4")

    request("POST", quotas, json={"quotas": {limit: LIMITS[limit]}})
    assert ended.exit_code == 2
    assert ended.last_line.startswith(
        f"error: GPU_MAX_INSTANCES=3: the project may use 2 nvidia-l4 in {REGION}; set GPU_MAX_INSTANCES to"
    )
    assert operator.left() == before


def test_more_instances_are_allowed_once_more_gpus_are_granted(operator):
    limit = "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion"
    settings = operator.settings.model_copy(update={"gpu_type": "nvidia-l4", "gpu_max_instances": 5})
    cloud = replace(operator.cloud, settings=settings)
    with pytest.raises(UserError, match="GPU_MAX_INSTANCES=5: the project may use 3 nvidia-l4 in "):
        check_quota(cloud)

    request("POST", f"{operator.emulator.apis}/_emulator/run", json={"quotas": {limit: 5}})
    check_quota(cloud)  # nothing is refused

    request("POST", f"{operator.emulator.apis}/_emulator/run", json={"quotas": {limit: LIMITS[limit]}})


def test_where_the_quotas_may_not_be_read_the_setting_alone_counts_and_that_is_said(operator, capsys):
    settings = operator.settings.model_copy(update={"gpu_type": "nvidia-l4", "gpu_max_instances": 99})
    cloud = replace(operator.cloud, settings=settings)
    api = f"{operator.emulator.apis}/v1/projects/{PROJECT}/services/cloudquotas.googleapis.com"
    operator.fail_once(method="GET", path="/quotaInfos")
    said = "note: GPU_QUOTA=3 counts, the project's quota cannot be read: "

    check_quota(cloud)  # nothing is refused
    forbidden = capsys.readouterr().out
    request("POST", f"{api}:disable", json={})
    check_quota(cloud)
    disabled = capsys.readouterr().out
    request("POST", f"{api}:enable", json={})

    assert forbidden.startswith(said)
    assert "no right" in forbidden
    assert disabled.startswith(said)
    assert f"gcloud services enable cloudquotas.googleapis.com --project {PROJECT}" in disabled
    with pytest.raises(UserError, match="GPU_MAX_INSTANCES=99: the project may use "):
        check_quota(cloud)


def test_changed_settings_a_new_image_and_what_somebody_changed_are_applied_and_nothing_else(operator):
    assert operator.type("deploy", "--yes").exit_code == 0
    operator.push(NEWER)
    bucket = ["storage", "buckets", "update", f"gs://{operator.names.bucket('models')}", "--clear-lifecycle"]
    operator.cloud.read(bucket, echo=False)
    chosen = {"WORK_RETENTION_DAYS": "9", "ALERT_EMAIL": "lab@example.org", "PREPROCESS_MEMORY": "4Gi"}

    ended = operator.type("deploy", "--yes", **chosen)
    again = operator.type("deploy", "--yes", **chosen)

    assert ended.exit_code == 0, ended.output
    at = ended.lines.index(f"change {operator.names.stem} in {PROJECT}:")
    changes = [line.strip() for line in ended.lines[at + 1 :] if line.startswith("  ")]
    assert [each.partition(":")[0] for each in changes[:6]] == [
        "change bucket models",
        "change bucket output",
        *(f"change service {name}" for name in SERVICES),
        "create the channel for mail to lab@example.org",
    ]
    assert "memory 2Gi -> 4Gi" in changes[2]
    assert "memory" not in changes[3]
    assert {each.partition(":")[0] for each in changes[6:-1]} == {f"change alert {operator.names.stem}"}
    assert changes[-1] == "change the dashboard"  # which counts costs by the size of an instance
    commands = [line for line in ended.lines if line.startswith("+ gcloud")]
    assert not [line for line in commands if "accounts create" in line or "workflows deploy" in line]
    assert "nothing to change" in again.lines


def test_a_service_that_does_not_start_is_named_with_the_command_that_prints_why(operator):
    assert operator.type("deploy", "--yes").exit_code == 0

    ended = operator.type("deploy", "--yes", GPU_TYPE="nvidia-l4")  # this machine has no GPU
    command = ended.last_line[ended.last_line.index("gcloud logging read ") :]
    log = operator.cloud.read(shlex.split(command)[1:], echo=False)
    again = operator.type("deploy", "--yes")

    assert ended.exit_code == 1
    assert "  change service inference: gpu none -> nvidia-l4; " in ended.output
    assert ended.last_line.startswith("error: deploy services: gcloud run deploy: Revision ")
    assert "DEVICE=cuda, but there is no GPU" in log
    assert again.exit_code == 0, again.output


def test_a_destroy_with_results_stops_before_anything_is_deleted(operator):
    assert operator.type("deploy", "--yes").exit_code == 0
    bucket = f"{operator.emulator.storage}/upload/storage/v1/b/{operator.names.bucket('output')}"
    result = {"name": "results/a.txt/1/result.json", "uploadType": "media"}
    request("POST", f"{bucket}/o", params=result, data=b"{}")
    before = operator.left()

    ended = operator.type("destroy", "--yes")

    assert ended.exit_code == 2
    assert ended.last_line.startswith(
        f"error: nothing was deleted: gs://{operator.names.bucket('output')}/results/ has 1 file of results, "
        "2 bytes; copy them"
    )
    assert operator.left() == before
    assert names_in(operator.emulator, operator.names.bucket("output"), "results/")


def test_a_destroy_waits_for_uploads_being_worked_on_unless_their_results_are_given_up(operator, tmp_path):
    assert operator.type("deploy", "--yes").exit_code == 0
    source = tmp_path / "long.yaml"
    source.write_text(
        "main:\n  steps:\n    - wait:\n        call: sys.sleep\n        args: {seconds: 80000}\n"
    )
    name, where = operator.names.workflow, operator.cloud.in_region
    operator.cloud.read(["workflows", "deploy", name, "--source", str(source), *where], echo=False)
    started = operator.cloud.read_json(["workflows", "execute", name, *where], echo=False)
    output = ["storage", "rm", "--recursive", f"gs://{operator.names.bucket('output')}/**"]
    if names_in(operator.emulator, operator.names.bucket("output")):
        operator.cloud.read(output, echo=False)

    refused = operator.type("destroy", "--yes")
    ended = operator.type("destroy", "--yes", "--delete-data")

    execution = started["name"].rpartition("/")[2]
    assert refused.exit_code == 2
    said = f"error: nothing was deleted: 1 upload being worked on ({execution}); wait until they have ended"
    assert refused.last_line.startswith(said)
    assert ended.exit_code == 0, ended.output
    assert "  with 1 upload being worked on" in ended.lines
    assert any(f"executions cancel {execution}" in line for line in ended.lines)


def test_a_destroy_without_settings_removes_what_was_deployed_here_and_leaves_nothing(operator):
    operator.push(DIGEST)
    assert operator.type("deploy", "--yes").exit_code == 0

    ended = operator.type("destroy", "--yes", "--delete-data", PROJECT_ID="", REGION="")
    again = operator.type("destroy", "--yes")

    assert ended.exit_code == 0, ended.output
    assert f"  bucket gs://{operator.names.bucket('output')}" in ended.lines
    assert ended.last_line.startswith(f"nothing left of {operator.names.stem} in {PROJECT}; ")
    assert operator.left() == []
    assert not (operator.folder / "local" / "gpu" / "deployment.env").exists()
    assert (again.exit_code, again.last_line) == (
        0,
        f"nothing to delete: there is no {operator.names.stem} in {REGION} of {PROJECT}",
    )


# A request of each of five steps, from the first to the last, and how the deployment says where it stopped.
STOPS = {
    "create accounts": {"method": "POST", "path": r"/serviceAccounts\?"},
    "create buckets": {"method": "POST", "path": r"/storage/v1/b\?"},
    "deploy services": {"method": "POST", "path": "/namespaces/[^/]+/services"},
    "create alerts": {"method": "POST", "path": "/alertPolicies"},
    "create the trigger": {"method": "POST", "path": r"/triggers\?"},
}


def test_a_deployment_that_fails_at_a_step_is_continued_there_by_the_next_one(operator):
    assert operator.type("destroy", "--yes", "--delete-data").exit_code == 0
    operator.push(DIGEST)
    for title, rule in STOPS.items():
        operator.fail_once(**rule)

        ended = operator.type("deploy", "--yes")

        assert ended.exit_code, title
        assert ended.last_line.startswith(f"error: {title}: gcloud "), ended.output
        assert not [line for line in ended.lines if line.startswith("prefix")]

    done = operator.type("deploy", "--yes")

    assert done.exit_code == 0, done.output
    assert "nothing to change" in operator.type("deploy", "--yes").lines


def test_a_deployment_stopped_with_ctrl_c_says_what_continues_it(operator):
    assert operator.type("destroy", "--yes", "--delete-data").exit_code == 0
    operator.push(DIGEST)
    script = subprocess.Popen(
        [str(REPOSITORY / "scripts" / "deploy.sh"), "--yes"],
        env=operator.environ,
        cwd=operator.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    next(line for line in script.stdout if "buckets create" in line)

    os.killpg(script.pid, signal.SIGINT)  # as the terminal sends it to all
    said = script.communicate(timeout=60)[0]
    ended = operator.type("destroy", "--yes")

    assert script.returncode == 130
    assert said.splitlines()[-1] == "stopped halfway; `invoke gpu-deploy` continues"
    assert ended.exit_code == 0, ended.output
    assert operator.left() == []


def test_a_destroy_after_one_that_had_to_stop_leaves_nothing(operator):
    operator.type("deploy", "--yes")
    order_faults(operator.emulator, {"method": "DELETE", "path": "/triggers/", "status": 403})
    refused = operator.type("destroy", "--yes")
    request("DELETE", f"{operator.emulator.apis}/_emulator/faults")
    done = operator.type("destroy", "--yes")

    assert refused.exit_code == 2
    assert refused.last_line.startswith("error: delete the trigger: gcloud eventarc triggers delete: ")
    assert not [line for line in refused.lines if "run services delete" in line]
    assert done.exit_code == 0, done.output
    assert operator.left() == []


# What the emulated cloud refuses to delete for good, and what is left then, as the removal names it.
KEPT = {
    "/services/": [f"service STEM-{name}" for name in SERVICES],
    "/dashboards/": ["dashboard STEM: the GPU lane"],
    "/repositories/": ["repository STEM, with its images"],
    r"/storage/v1/b/[^/]+-output\b": ["bucket gs://STEM-output"],
    "/serviceAccounts/[^/]+-gpu@": [f"account STEM-gpu@{PROJECT}.iam.gserviceaccount.com"],
}


def test_a_destroy_that_is_refused_some_deletions_makes_all_others_and_names_the_command_for_each(operator):
    operator.push(DIGEST)
    assert operator.type("deploy", "--yes").exit_code == 0
    rules = [{"method": "DELETE", "path": path, "status": 403, "message": "no right"} for path in KEPT]
    order_faults(operator.emulator, *rules)

    ended = operator.type("destroy", "--yes", "--delete-data")

    request("DELETE", f"{operator.emulator.apis}/_emulator/faults")
    left = operator.left()
    at = ended.lines.index(f"error: left in {PROJECT}:")
    listed = [line.strip().rpartition(": gcloud ") for line in ended.lines[at + 1 :]]
    for _, _, command in listed:
        operator.cloud.read(shlex.split(command), echo=False)
    again = operator.type("destroy", "--yes")
    assert ended.exit_code == 1
    kept = [what.replace("STEM", operator.names.stem) for each in KEPT.values() for what in each]
    assert sorted(what for what, _, _ in listed) == sorted(kept)
    assert len(left) == len(kept)
    said = [line for line in ended.lines[:at] if line.startswith("error: ")]
    assert len(said) == len(KEPT)
    assert all("no right" in line for line in said)
    assert again.last_line.startswith("nothing to delete: ")
    assert operator.left() == []


@pytest.mark.parametrize("title", ["create buckets", "deploy services"])
def test_a_destroy_after_a_deployment_that_failed_halfway_leaves_nothing(operator, title):
    assert operator.type("destroy", "--yes", "--delete-data").exit_code == 0
    operator.push(DIGEST)
    operator.fail_once(**STOPS[title])
    assert operator.type("deploy", "--yes").exit_code

    ended = operator.type("destroy", "--yes")

    assert ended.exit_code == 0, ended.output
    assert operator.left() == []
