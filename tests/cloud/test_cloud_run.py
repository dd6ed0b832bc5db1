"""`invoke run --cloud` with the real stages, as typed by an operator: real gcloud on the emulated cloud."""

import gzip
import io
import json
import os
import re
import shutil

import pandas as pd
import pytest
import yaml

from localcloud.process import running
from tests.cloud_operators import BUCKET, IMAGE, WORKFLOW, CloudOperator, execution_in, ready_cloud, run_id_in
from tests.cloud_runs import PROJECT, REGION, Pipeline
from tests.emulated import object_of
from tests.experiments import POPULATIONS, calibrated, sampled, simulated
from tests.needs import need_engine, need_program, one_build_at_a_time
from tests.operators import Operator
from tests.surveillance import write_weekly


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """A cloud with real tasks, whose services' clock goes fast, furnished once."""
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "20") as cloud:
        ready_cloud(cloud)
        yield cloud


@pytest.fixture
def operator(cloud, tmp_path):
    return CloudOperator(cloud, tmp_path, sampled())


def test_a_run_is_followed_to_its_outputs_and_its_tables_are_those_of_a_run_here(operator):
    ended = operator.invoke("run", "--exp-id", "trial", "--wait")

    assert ended.exit_code == 0, ended.output
    assert ended.lines[0].startswith("EXECUTION_MODE=cloud: trial in project ")
    assert ended.lines[0].endswith(f"in project {PROJECT}, {REGION}")
    assert (
        "https://console.cloud.google.com/workflows/workflow/us-central1/epydemix-pipeline/" in ended.output
    )
    assert "invoke workflow-cancel " in ended.output
    assert re.search(r"runner +SUCCEEDED +3 succeeded", ended.output)
    run_id = run_id_in(ended.output)
    assert f"run {run_id} of trial: gs://{BUCKET}/trial/{run_id}/" in ended.lines
    assert f"outputs  gs://{BUCKET}/trial/{run_id}/outputs/" in ended.output
    assert ended.last_line == f"fetch    invoke download --exp-id trial --run-id {run_id}"
    here = operator.invoke("run", "--local", "--exp-id", "trial")
    assert here.exit_code == 0, here.output
    expected = {path.name: path.read_bytes() for path in operator.outputs()[0].parent.glob("*.csv.gz")}
    tables = [name for name in operator.files(run_id, "outputs/") if name.endswith(".csv.gz")]
    assert len(expected) >= 4
    assert {n.rpartition("/")[2]: object_of(operator.cloud, BUCKET, n) for n in tables} == expected


def test_one_hundred_tasks_with_the_real_stages(cloud, tmp_path):
    experiment = sampled()
    values = [1.0 + number / 100 for number in range(100)]
    experiment["modelset"]["sampling"]["parameters"]["R0"]["values"] = values
    operator = CloudOperator(cloud, tmp_path, experiment)

    ended = operator.invoke("run", "--exp-id", "trial", "--wait")

    assert ended.exit_code == 0, ended.output
    assert re.search(r"runner +SUCCEEDED +100 succeeded", ended.output)
    results = operator.files(run_id_in(ended.output), "runner-artifacts/")
    assert [name.rpartition("/")[2] for name in results] == [f"result_{n:04d}.pkl" for n in range(100)]


def test_a_run_whose_tasks_failed_says_which_and_goes_on_with_those_alone(cloud, operator):
    pipeline = Pipeline(cloud, BUCKET, WORKFLOW)
    pipeline.order({"job": "runner", "tasks": [1], "exit_code": 2})
    failed = operator.invoke("run", "--exp-id", "trial", "--wait")
    pipeline.clear_faults()
    run_id = run_id_in(failed.output)

    ended = operator.invoke("run", "--exp-id", "trial", "--run-id", run_id, "--wait")

    assert failed.exit_code == 2
    before, _, _ = failed.output.partition("+ gcloud workflows execute")
    assert re.search(r"^(estimate \$|no cost estimate: )", before, re.MULTILINE)
    assert "1 of 3 tasks failed (task 1)" in failed.last_line
    assert failed.last_line.startswith("error: execution ")
    assert ended.exit_code == 0, ended.output
    runner = pipeline.job(f"runner-{execution_in(ended.output)}")
    assert int(runner["taskGroups"][0]["taskCount"]) == 1
    assert len(operator.files(run_id, "runner-artifacts/")) == 3


def test_options_win_over_settings_and_reach_the_jobs(null_cloud, pipeline, tmp_path):
    operator = CloudOperator(null_cloud, tmp_path, simulated())

    ended = operator.invoke(
        *("run", "--exp-id", "trial", "--spot", "--max-parallelism", "3", "--billing-project", "R01/77"),
        *("--set", "STAGE_B_MACHINE_TYPE=n2-standard-4", "--set", "STAGE_B_MEMORY_MIB=12000", "--seed", "5"),
        *("--allow-partial", "--skip-output", "--count", "3"),
        STAGE_B_MEMORY_MIB="2048",
    )

    assert ended.exit_code == 0, ended.output
    execution = pipeline.execution(execution_in(ended.output))
    asked = json.loads(execution["argument"])
    assert asked["provisioningModel"] == "SPOT"
    assert asked["maxParallelism"] == 3
    assert asked["stages"]["runner"]["machineType"] == "n2-standard-4"
    assert asked["stages"]["runner"]["memoryMib"] == 12000
    assert (asked["seed"], asked["count"], asked["allowPartial"], asked["runOutputStage"]) == (
        5,
        3,
        True,
        False,
    )
    assert re.fullmatch(rf"{IMAGE}@sha256:[0-9a-f]{{64}}", asked["imageUri"])
    assert execution["labels"] == {"exp_id": "trial", "run_id": asked["runId"]}


def test_functions_of_an_uploaded_experiment_run_if_the_setting_allows_them(null_cloud, pipeline, tmp_path):
    experiment = calibrated()
    function = {"user_script_path": "data/own.py", "user_function_name": "f"}
    experiment["modelset"]["calibration"]["distance_function"] = function
    operator = CloudOperator(null_cloud, tmp_path, experiment)
    (tmp_path / "local" / "forecast" / "data" / "own.py").write_text(
        "def f(data, simulation):\n    return 1\n"
    )
    run = ("run", "--exp-id", "trial")

    refused = operator.invoke(*run)
    allowed = operator.invoke(*run, "--set", "ALLOW_USER_FUNCTIONS=true")

    assert refused.exit_code == 2
    assert "modelset.yaml:10: functions of your own do not run" in refused.output
    execution = pipeline.execution(execution_in(allowed.output))
    assert json.loads(execution["argument"])["variables"]["ALLOW_USER_FUNCTIONS"] == "true"


def test_outputs_are_written_by_a_file_of_this_machine_as_it_is_now(operator):
    def quantiles(run_id: str) -> list[list[float]]:
        names = [n for n in operator.files(run_id, "outputs/") if "quantiles_compartments" in n]
        tables = [gzip.decompress(object_of(operator.cloud, BUCKET, name)) for name in names]
        return [sorted(pd.read_csv(io.BytesIO(table))["quantile"].unique()) for table in tables]

    def ask_for(*selections: float) -> None:
        wanted = {"quantiles": {"selections": [*selections], "compartments": True}}
        other.write_text(yaml.safe_dump({"output": wanted}))

    other = operator.folder / "other.yaml"
    ask_for(0.1, 0.9)
    run = operator.invoke("run", "--exp-id", "trial", "--output-config-file", "./other.yaml", "--wait")
    run_id = run_id_in(run.output)
    ask_for(0.25, 0.75)
    words = ["--stage", "output", "--exp-id", "trial", "--run-id", run_id]
    again = operator.invoke("job", *words, "--output-config-file", "./other.yaml", "--wait")

    assert (run.exit_code, again.exit_code) == (0, 0), run.output + again.output
    assert quantiles(run_id) == [[0.1, 0.9], [0.25, 0.75]]
    assert len(operator.files(run_id, "output-configs/other-")) == 2


def test_a_rehearsal_of_one_task_compares_the_run_in_the_cloud_with_the_run_here(tmp_path):
    experiment = calibrated()
    function = {"user_script_path": "data/own.py", "user_function_name": "f"}
    experiment["modelset"]["calibration"]["post_hoc_transformation"] = function
    operator = Operator(tmp_path, experiment)
    (tmp_path / "local" / "forecast" / "data" / "own.py").write_text(
        "def f(trajectory):\n    return trajectory\n"
    )
    need_program("gcloud")
    shutil.copytree(POPULATIONS, tmp_path / "local" / "forecast" / "data" / "epydemix-data")
    del operator.environ["EPYDEMIX_DATA_DIR"]

    # with a repository on GitHub, functions run in the cloud
    ended = operator.invoke("rehearse", "--exp-id", "trial", GITHUB_FORECAST_REPO="lab/flu")

    assert ended.exit_code == 0, ended.output
    assert re.fullmatch(
        r"equal: \d+ files of the run in the cloud and of the run here, byte for byte", ended.lines[-2]
    )
    assert ended.last_line.startswith("rights: ")
    assert not list((tmp_path / "local").glob("rehearsal-*"))
    after_the_run = ended.output[ended.output.index("done in") :]
    assert not re.search(r"invoke|gs://", after_the_run.partition("+ gcloud")[0])


def test_a_rehearsal_in_the_images_is_equal_to_the_run_here_too(tmp_path):
    need_program("gcloud")
    need_engine()
    operator = Operator(tmp_path, sampled())
    operator.environ |= {n: os.environ[n] for n in ("DOCKER_HOST", "DOCKER_CONFIG") if n in os.environ}
    shutil.copytree(POPULATIONS, tmp_path / "local" / "forecast" / "data" / "epydemix-data")
    del operator.environ["EPYDEMIX_DATA_DIR"]
    with one_build_at_a_time():
        built = operator.invoke("build-local", "--no-push", PROJECT_ID="rehearsal")
    assert built.exit_code == 0, built.output

    ended = operator.invoke("rehearse", "--exp-id", "trial", "--docker")

    assert ended.exit_code == 0, ended.output
    assert ended.lines[-2].startswith("equal: ")


def test_a_forecast_from_surveillance_data_is_the_same_in_the_cloud_and_here(tmp_path):
    need_program("gcloud")
    operator = Operator(tmp_path, simulated())
    write_weekly(tmp_path / "local" / "forecast")

    ended = operator.invoke("rehearse", "--exp-id", "weekly", "--reference-date", "2025-01-11", "--strict")

    assert ended.exit_code == 0, ended.output
    assert '"referenceDate":"2025-01-11","strict":true' in ended.output
    assert re.fullmatch(
        r"equal: [1-9]\d* files? of the run in the cloud and of the run here, byte for byte", ended.lines[-2]
    )
