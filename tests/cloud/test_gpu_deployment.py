"""`scripts/deploy.sh` and `destroy.sh` as an operator types them, the real gcloud, an emulated cloud."""

import os
import re
import shlex
import signal
import subprocess
import sys

import pytest

from localcloud.environment import client_environment
from localcloud.process import running
from ops.cloud.cloud import Cloud
from ops.environment import read_settings
from ops.gpu.names import SERVICES, Names
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


def test_a_destroy_after_a_destroy_that_failed_leaves_nothing(operator):
    operator.type("deploy", "--yes")
    operator.fail_once(method="DELETE", path="/serviceAccounts/")

    failed = operator.type("destroy", "--yes")
    done = operator.type("destroy", "--yes")

    assert failed.exit_code
    assert failed.last_line.startswith("error: delete accounts: gcloud iam service-accounts delete")
    assert done.exit_code == 0, done.output
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
