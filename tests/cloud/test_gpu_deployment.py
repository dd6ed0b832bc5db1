"""`scripts/deploy.sh` as an operator types it, the real gcloud, an emulated cloud."""

import os
import re
import shlex
import signal
import subprocess
from dataclasses import replace

import pytest

from localcloud.run.quotas import LIMITS
from ops.failures import UserError
from ops.gpu.names import SERVICES
from ops.gpu.quotas import check_quota
from tests.cloud_runs import PROJECT, REGION
from tests.emulated import request
from tests.experiments import REPOSITORY
from tests.gpu_operators import DIGEST, NEWER, STOPS

pytestmark = pytest.mark.timeout(600)


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
