"""`invoke reproduce` and `invoke cost` on runs that have ended: on this machine and on the emulated cloud."""

import gzip
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from localcloud.process import running
from ops.cloud.cloud import Cloud
from ops.costs import cost_report
from ops.laptop.run_files import local_run
from ops.run_request import RunRequest
from ops.runs import cloud_run
from ops.runs.cloud_run import Origin
from ops.runs.comparison import compare_table
from ops.runs.reproduction import repository_of, reproduce
from ops.shell import Shell
from tests.cloud_operators import BUCKET, IMAGE, CloudOperator, ready_cloud, run_id_in
from tests.cloud_runs import PROJECT
from tests.emulated import add_image, commit_all, names_in, object_of, request
from tests.experiments import REPOSITORY, calibrated, sampled_twice
from tests.in_process import called, settings_of, shell_of
from tests.operators import Operator
from tests.stage_scripts import RUN_ID

UPLOADED = "output-configs/other-0a1b2c3d.yaml"
TABLE = "quantiles_compartments.csv.gz"


def run_folder(operator: Operator, run_id: str) -> Path:
    return operator.folder / "local" / "bucket" / "trial" / run_id


def again(operator: Operator, run_id: str, compare_with: str = "", dry_run: bool = False, **variables: str):
    """Run a run again as `invoke reproduce` does."""
    settings = settings_of(operator, **variables)
    return called(lambda: reproduce(shell_of(operator, dry_run), settings, "trial", run_id, compare_with))


# -- on this machine


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """A run, and its reproduction after its model was changed in the repository."""
    operator = Operator(tmp_path_factory.mktemp("here"), sampled_twice())
    first = operator.invoke("run", "--exp-id", "trial", "--seed", "7")
    assert first.exit_code == 0, first.output
    model = operator.folder / "local/forecast/experiments/trial/config/model.yaml"
    model.write_text(model.read_text().replace("value: 1/4", "value: 1/5"))
    second = operator.invoke("reproduce", "--exp-id", "trial", "--run-id", run_id_in(first.output))
    assert "1/5" in model.read_text()
    return operator, run_id_in(first.output), second


@pytest.fixture
def runs(two_runs, tmp_path):
    """The same two runs, for a test to bend."""
    operator, first, second = two_runs
    shutil.copytree(operator.folder / "local", tmp_path / "local", symlinks=True, dirs_exist_ok=True)
    copy = Operator(tmp_path, sampled_twice())
    return copy, first, run_id_in(second.output)


def bend_metadata(operator: Operator, run_id: str, **changes) -> None:
    path = run_folder(operator, run_id) / "run_metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def bend_table(operator: Operator, run_id: str, factor: float) -> None:
    """Multiply the last number of a table, and list its new digest."""
    [path] = run_folder(operator, run_id).glob(f"outputs/*/{TABLE}")
    text, _, last = gzip.decompress(path.read_bytes()).decode().rstrip().rpartition(",")
    path.write_bytes(gzip.compress(f"{text},{float(last) * factor!r}\n".encode(), mtime=0))
    listed = json.loads(path.with_name("files.json").read_text())
    for each in listed:
        each["sha256"] = "0" * 64 if each["name"] == TABLE else each["sha256"]
    path.with_name("files.json").write_text(json.dumps(listed))


def test_a_run_here_is_made_of_its_own_yaml_and_comes_out_the_same_byte_for_byte(two_runs):
    operator, first, second = two_runs

    assert second.exit_code == 0, second.output
    assert re.fullmatch(rf"equal: \d+ files of the runs {first} and \S+, byte for byte", second.last_line)
    metadata = json.loads((run_folder(operator, run_id_in(second.output)) / "run_metadata.json").read_text())
    assert metadata["arguments"]["seed"] == 7
    assert not list((operator.folder / "local").glob("reproduce-*"))


def test_on_another_cpu_the_last_digits_may_differ_and_nothing_else(runs):
    operator, first, second = runs
    bend_metadata(operator, second, cpus=["x86_64 Another CPU"])
    bend_table(operator, second, 1 + 1e-12)
    near = again(operator, first, second)
    bend_table(operator, second, 1 + 1e-6)

    far = again(operator, first, second)

    assert near.exit_code == 0, near.output
    assert re.search(r"^equal within 1e-09: \d+ files", near.output, re.MULTILINE)
    assert "Another CPU now" in near.last_line
    assert far.exit_code == 1
    assert f"differ in {TABLE} (row " in far.last_line


def test_on_the_same_cpu_a_digit_is_a_difference(runs):
    operator, first, second = runs
    bend_table(operator, second, 1 + 1e-12)

    ended = again(operator, first, second)

    assert ended.exit_code == 1
    assert f"differ in {TABLE}: on the same packages and kind of CPU they must be equal" in ended.last_line


def test_another_version_of_a_package_is_named(runs):
    operator, first, second = runs
    packages = json.loads((run_folder(operator, first) / "run_metadata.json").read_text())["packages"]
    bend_metadata(operator, second, packages=packages | {"numpy": "9.9.9"})
    bend_table(operator, second, 1 + 1e-12)

    ended = again(operator, first, second)

    assert ended.exit_code == 0, ended.output
    assert f"numpy {packages['numpy']} then, 9.9.9 now" in ended.last_line


def test_a_run_has_the_data_of_its_commit_and_without_one_those_of_today(tmp_path, capsys):
    operator = Operator(tmp_path, calibrated())
    repository = tmp_path / "local" / "forecast"
    commit = commit_all(repository, "then")
    operator.invoke("stage", "A", "--exp-id", "trial", "--run-id", RUN_ID)
    observed = repository / "data" / "observed.csv"
    observed.write_text(observed.read_text().replace("1200", "1300"))
    commit_all(repository, "revised")
    settings = settings_of(operator)
    run = local_run(settings, "trial", RUN_ID)
    manifest = json.loads((run.folder / "builder-artifacts" / "manifest.json").read_text())

    def data(commits: dict) -> str:
        with repository_of(shell_of(operator), settings, run, {"commits": commits}) as folder:
            return (folder / "data" / "observed.csv").read_text()

    assert manifest["forecast_commit"] == commit
    assert "1200" in data({"forecast": commit})
    assert f"data are those of commit {commit}" in capsys.readouterr().out
    assert "1300" in data({})
    assert "no commit holds those of the run" in capsys.readouterr().out


def test_other_inputs_are_named_as_what_makes_outputs_differ(runs):
    operator, first, second = runs
    manifest = json.loads((run_folder(operator, second) / "run_metadata.json").read_text())["manifest"]
    bend_metadata(operator, second, manifest=manifest | {"inputs_sha256": "0" * 64})
    bend_table(operator, second, 1.5)

    ended = again(operator, first, second)

    assert ended.exit_code == 1
    assert "their inputs differ, so data, YAML or code have changed" in ended.last_line


def test_outputs_by_another_output_yaml_are_not_taken_for_another_run(runs):
    operator, first, second = runs
    arguments = json.loads((run_folder(operator, first) / "run_metadata.json").read_text())["arguments"]
    bend_metadata(operator, first, arguments=arguments | {"output_config_file": "local/other.yaml"})
    equal = again(operator, first, second)
    bend_table(operator, first, 1.5)

    other = again(operator, first, second)
    turned = again(operator, second, first)

    assert equal.last_line.startswith("equal: ")
    assert [other.exit_code, turned.exit_code] == [2, 2]
    assert (
        "were written by different output YAML (local/other.yaml, the run's own), so they" in other.last_line
    )
    command = f"write them by the runs' own first: invoke stage output --exp-id trial --run-id {first}"
    assert other.last_line.endswith(command)
    assert turned.last_line.endswith(command)


@pytest.mark.parametrize(
    ("value", "other", "is_same"),
    [("nan", "NaN", True), ("nan", "1.0", False), ("1.0", "nan", False), ("nan", "none", False)],
)
def test_what_is_no_number_in_both_tables_is_the_same(tmp_path, value, other, is_same):
    paths = [tmp_path / "first.csv.gz", tmp_path / "second.csv.gz"]
    for path, text in zip(paths, (value, other), strict=True):
        path.write_bytes(gzip.compress(f"date,value\n2025-01-11,{text}\n".encode()))

    found = compare_table("table.csv.gz", *paths)

    assert (found is None) is is_same


def test_a_run_that_was_cut_short_is_not_promised_to_be_the_same(runs):
    operator, first, second = runs
    bend_metadata(operator, first, cut_short=["US-VT: calibration was cut short by max_time"])
    bend_table(operator, second, 1.5)

    ended = again(operator, first, second)

    assert ended.exit_code == 1
    assert "depends on the speed of the machine" in ended.output
    assert "cut short by a limit of time or budget" in ended.last_line


def test_what_cannot_be_reproduced_is_one_line(runs):
    operator, first, second = runs
    unknown = again(operator, "20200101-000000-00000000")
    none = again(operator, "")
    (run_folder(operator, second) / "run_metadata.json").unlink()
    unfinished = again(operator, second)
    shutil.rmtree(run_folder(operator, first) / "config")
    without_yaml = again(operator, first)

    ended = [unknown, none, unfinished, without_yaml]
    assert [each.exit_code for each in ended] == [2] * 4
    said = ["no such run", "--run-id is needed", "has not come to its outputs", "no YAML in it"]
    assert all(text in each.last_line for text, each in zip(said, ended, strict=True))


def test_what_a_run_was_made_on_is_taken_and_said_where_it_is_set_otherwise(runs):
    operator, first, _ = runs
    kinds = [
        {"machine_type": "n2-standard-4", "cpu_milli": 4000, "provisioning_model": "STANDARD", "tasks": 1},
        {"cpu_milli": 2000, "max_run_seconds": 600, "provisioning_model": "SPOT", "tasks": 2},
    ]
    bend_metadata(operator, first, machines={"runner": kinds, "output": kinds[::-1]}, images=["a", "b"])

    ended = again(operator, first, dry_run=True, STAGE_B_MACHINE_TYPE="e2-standard-8")

    assert ended.exit_code == 0, ended.output
    assert "stage B ran on 2 kinds of machines; those of most tasks are taken\n" in ended.output
    assert "stage C ran on 2 kinds of machines; the last ones are taken\n" in ended.output
    assert "the run was made with 2 images; its last one is taken\n" in ended.output
    assert (
        "as the run was, not as it is set now: STAGE_B_MACHINE_TYPE=none (e2-standard-8 now), "
        "STAGE_B_MAX_RUN_DURATION=600 (36000 now), PROVISIONING_MODEL=SPOT (STANDARD now), "
        "STAGE_C_MACHINE_TYPE=n2-standard-4 (c4d-standard-4 now)\n"
    ) in ended.output


def test_machines_that_another_version_told_are_one_line(runs):
    operator, first, _ = runs
    bend_metadata(operator, first, machines={"runner": {"cpu_milli": 2000, "jobs": 1}})

    ended = again(operator, first, dry_run=True)

    assert ended.exit_code == 2, ended.output
    assert "run_metadata.json: what it says of machines cannot be read" in ended.last_line


def test_a_dry_run_starts_nothing(runs):
    operator, first, _ = runs
    before = sorted(run_folder(operator, first).parent.iterdir())

    ended = again(operator, first, dry_run=True)

    assert ended.exit_code == 0, ended.output
    assert "SEED=7" in ended.output
    assert sorted(run_folder(operator, first).parent.iterdir()) == before


# -- in the cloud


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
        "as the run was, not as it is set now: STAGE_A_MACHINE_TYPE=c4d-standard-2 (n2-standard-4 now), "
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
    assert f"the image {gone} is no longer there: invoke build" in ended.last_line
    assert names_in(operator.cloud, BUCKET) == before


def test_a_run_that_is_not_in_the_bucket_is_one_line(in_cloud):
    operator, _ = in_cloud

    ended = again(operator, "20200103-120000-0a1b2c3d")

    assert ended.exit_code == 2
    assert "has not come to its outputs" in ended.last_line


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
