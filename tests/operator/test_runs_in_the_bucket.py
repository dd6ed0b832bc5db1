"""`invoke cost` and `invoke reproduce` on runs of the emulated cloud that have ended."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
import yaml

from localcloud.process import running
from ops.cloud.cloud import Cloud
from ops.costs import cost_report
from ops.run_request import RunRequest
from ops.runs import cloud_run
from ops.runs.cloud_run import Origin
from ops.shell import Shell
from tests.cloud_operators import BUCKET, IMAGE, CloudOperator, ready_cloud, run_id_in
from tests.cloud_runs import PROJECT
from tests.emulated import add_image, names_in, object_of, request
from tests.experiments import REPOSITORY, sampled_twice
from tests.in_process import again, called, settings_of, shell_of
from tests.operators import TABLE
from tests.stage_scripts import RUN_ID

UPLOADED = "output-configs/other-0a1b2c3d.yaml"


@pytest.fixture(scope="module")
def in_cloud(tmp_path_factory):
    """A run on the emulated cloud, with real tasks; begun as `invoke run` begins one, but without gcloud."""
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "20") as cloud:
        pipeline = ready_cloud(cloud)
        digest = f"sha256:{'1' * 64}"
        add_image(cloud, f"{IMAGE}:latest", digest)
        operator = CloudOperator(cloud, tmp_path_factory.mktemp("operator"), sampled_twice())
        archive = operator.folder / "forecast.tar.gz"
        pack = [sys.executable, REPOSITORY / "scripts" / "pack_forecast.py"]
        subprocess.run([*pack, operator.folder / "local" / "forecast", archive], check=True)
        put(operator, f"trial/{RUN_ID}/builder-artifacts/forecast.tar.gz", archive.read_bytes())
        output = yaml.safe_dump({"output": sampled_twice()["output"]}).encode()
        put(operator, f"trial/{RUN_ID}/{UPLOADED}", output)
        settings = settings_of(operator, PROVISIONING_MODEL="SPOT")
        asked = RunRequest("trial", RUN_ID, seed=3, output_config_file=UPLOADED)
        arguments = cloud_run.run_arguments(settings, asked)
        pipeline.run(**arguments | {"imageUri": f"{IMAGE}@{digest}"})
        yield operator, RUN_ID


def metadata_in(operator: CloudOperator, run_id: str) -> dict:
    return json.loads(object_of(operator.cloud, BUCKET, f"trial/{run_id}/run_metadata.json"))


def put(operator: CloudOperator, name: str, data: bytes) -> None:
    upload = f"{operator.cloud.storage}/upload/storage/v1/b/{BUCKET}/o"
    answer = request("POST", upload, params={"uploadType": "media", "name": name}, data=data)
    assert answer.status_code == 200, answer.text


def copy_objects(operator: CloudOperator, run_id: str, copy: str, *names: str) -> None:
    for name in names:
        put(operator, f"trial/{copy}/{name}", object_of(operator.cloud, BUCKET, f"trial/{run_id}/{name}"))


@dataclass(frozen=True)
class CountingShell(Shell):
    """A shell that remembers which programs it has started."""

    started: list = field(default_factory=list)

    def run_always(self, argv, *others, **options):
        self.started.append(argv)
        return super().run_always(argv, *others, **options)


def cost(operator: CloudOperator, task_seconds=None, settings=(), exp_id="trial", **asked):
    """Estimate as `invoke cost` does."""
    chosen, asked_for = settings_of(operator, **dict(settings)), RunRequest(exp_id, **asked)
    return called(
        lambda: cost_report.show_estimate(shell_of(operator), chosen, asked_for, None, task_seconds)
    )


def test_a_run_in_the_cloud_tells_its_image_its_machines_and_what_they_cost(in_cloud):
    operator, first = in_cloud

    metadata = metadata_in(operator, first)

    assert re.fullmatch(rf"{IMAGE}@sha256:[0-9a-f]{{64}}", metadata["image_uri"])
    [builder], [runner] = metadata["machines"]["builder"], metadata["machines"]["runner"]
    assert builder["machine_type"] == "c4d-standard-2"
    assert (runner["provisioning_model"], runner["jobs"], runner["tasks"]) == ("SPOT", 1, 2)
    assert runner["priced_as"] == "e2-standard-2"
    assert 0.004 < metadata["estimated_cost"]["total_usd"] < 0.1
    assert "and 5 s each try" in metadata["estimated_cost"]["rests_on"]
    summary = json.loads(object_of(operator.cloud, BUCKET, f"trial/{first}/summaries/runner_0001.json"))
    assert summary["batch_task_index"] == 1


def test_the_next_run_is_estimated_by_the_last_one_in_the_bucket(in_cloud):
    operator, first = in_cloud

    ended = cost(operator)

    spent = metadata_in(operator, first)["estimated_cost"]["total_usd"]
    assert ended.exit_code == 0, ended.output
    assert (
        f"measured: run {first} of trial in gs://{BUCKET}/trial/{first}/, which cost about ${spent:.4f}"
        in ended.output
    )
    assert re.search(r"B runner .* 2 +2 +\d+ s measured", ended.output)


def test_a_run_in_the_bucket_that_has_not_ended_is_measured_by_its_first_tasks(in_cloud):
    operator, first = in_cloud
    unfinished = "20200101-120000-0a1b2c3d"
    names = (
        "builder-artifacts/manifest.json",
        "summaries/runner_0001.json",
        "runner-artifacts/result_0001.pkl",
    )
    copy_objects(operator, first, unfinished, *names)
    manifest = json.loads(object_of(operator.cloud, BUCKET, f"trial/{unfinished}/{names[0]}"))
    put(operator, f"trial/{unfinished}/{names[0]}", json.dumps(manifest | {"run_id": unfinished}).encode())
    put(operator, f"trial/{unfinished}/summaries/runner_0000.json", b'{"status": "do')

    going_on = RunRequest("trial", unfinished, run_output_stage=False)
    shell = CountingShell(True, operator.environ)

    ended = called(lambda: cloud_run.run(Cloud.of(shell, settings_of(operator)), going_on))

    assert ended.exit_code == 0, ended.output
    assert (
        f"measured: unfinished run {unfinished} of trial in gs://{BUCKET}/trial/{unfinished}/" in ended.output
    )
    assert f"what is left of run {unfinished}, 1 of 2 inputs" in ended.output
    assert "runner_0000.json: damaged, and left out of the estimate" in ended.output
    assert "C output" not in ended.output
    manifests = [argv for argv in shell.started if argv[-3].endswith("/manifest.json")]
    assert len(manifests) == 1  # read once, and as a gcloud takes a second, not again


def test_a_new_week_is_estimated_by_the_run_of_the_week_before_in_the_bucket(in_cloud):
    operator, first = in_cloud
    experiments = operator.folder / "local/forecast/experiments"
    shutil.copytree(experiments / "trial", experiments / "flu/2026-w06")
    metadata = object_of(operator.cloud, BUCKET, f"trial/{first}/run_metadata.json")
    put(operator, f"flu/2026-w05/{first}/run_metadata.json", metadata)
    put(operator, f"flu/2026-w04/2099{first[4:]}/builder-artifacts/manifest.json", b"{}")  # and no more

    ended = cost(operator, exp_id="flu/2026-w06")

    assert ended.exit_code == 0, ended.output
    assert "flu/2026-w06, 2 inputs: an estimate" in ended.output
    assert f"measured: run {first} of flu/2026-w05 in gs://{BUCKET}/flu/2026-w05/{first}/" in ended.output


def test_without_the_bucket_runs_of_this_machine_are_taken_and_it_is_said(in_cloud):
    operator, _ = in_cloud

    ended = cost(operator, task_seconds=60, settings={"BUCKET_NAME": "nowhere-at-all"})

    assert ended.exit_code == 0, ended.output
    assert "earlier runs in the bucket are left out: " in ended.output


def test_a_run_in_the_cloud_is_run_again_with_its_image_machines_and_repository(in_cloud):
    operator, first = in_cloud
    model = operator.folder / "local/forecast/experiments/trial/config/model.yaml"
    as_it_was = model.read_text()
    model.write_text(as_it_was.replace("value: 1/4", "value: 1/5"))
    then = metadata_in(operator, first)

    ended = operator.invoke(
        *("reproduce", "--exp-id", "trial", "--run-id", first),
        IMAGE_TAG="another",
        STAGE_A_MACHINE_TYPE="n2-standard-4",
    )
    model.write_text(as_it_was)

    assert ended.exit_code == 0, ended.output
    assert re.fullmatch(rf"equal: \d+ files of the runs {first} and \S+, byte for byte", ended.last_line)
    assert (
        "using the settings of the run: STAGE_A_MACHINE_TYPE=c4d-standard-2 (n2-standard-4 now), "
        "PROVISIONING_MODEL=SPOT (STANDARD now)\n"
    ) in ended.output
    second = run_id_in(ended.output)
    now = metadata_in(operator, second)
    assert now["image_uri"] == then["image_uri"]
    assert now["machines"]["builder"][0]["machine_type"] == "c4d-standard-2"
    assert now["machines"]["runner"][0]["provisioning_model"] == "SPOT"
    assert now["manifest"]["forecast_sha256"] == then["manifest"]["forecast_sha256"]
    assert now["arguments"]["seed"] == 3
    for name in ("builder-artifacts/forecast.tar.gz", UPLOADED):
        copies = [object_of(operator.cloud, BUCKET, f"trial/{run_id}/{name}") for run_id in (first, second)]
        assert copies[0] == copies[1]

    [listed] = [name for name in operator.files(second, "outputs/") if name.endswith("/files.json")]
    bent = json.loads(object_of(operator.cloud, BUCKET, listed))
    for each in bent:
        each["sha256"] = "0" * 64 if each["name"] == TABLE else each["sha256"]
    put(operator, listed, json.dumps(bent).encode())
    differs = again(operator, first, second)
    assert differs.exit_code == 1
    assert f"differ in {TABLE}: " in differs.last_line


def test_a_run_whose_image_is_gone_is_not_started_again(in_cloud):
    operator, first = in_cloud
    path = f"gs://{BUCKET}/trial/{first}/"
    gone, before = f"{IMAGE}@sha256:{'0' * 64}", names_in(operator.cloud, BUCKET)
    origin = Origin(path, gone, True, "")

    cloud = Cloud.of(shell_of(operator), settings_of(operator))
    ended = called(lambda: cloud_run.start(cloud, RunRequest("trial"), origin))

    assert ended.exit_code == 2, ended.output
    assert f"image {gone} not found; it may have been deleted: invoke build" in ended.last_line
    assert names_in(operator.cloud, BUCKET) == before


def test_a_run_that_is_not_in_the_bucket_is_one_line(in_cloud):
    operator, _ = in_cloud

    ended = again(operator, "20200103-120000-0a1b2c3d")

    assert ended.exit_code == 2
    assert "has no outputs yet" in ended.last_line


def test_a_dry_run_in_the_cloud_prints_the_copy_and_starts_nothing(in_cloud):
    operator, first = in_cloud
    before = names_in(operator.cloud, BUCKET)

    ended = again(operator, first, dry_run=True)

    assert ended.exit_code == 0, ended.output
    assert (
        f"+ gcloud storage cp gs://{BUCKET}/trial/{first}/builder-artifacts/forecast.tar.gz" in ended.output
    )
    assert f"--project {PROJECT}" in ended.output
    assert "+ gcloud workflows execute" in ended.output
    assert names_in(operator.cloud, BUCKET) == before
