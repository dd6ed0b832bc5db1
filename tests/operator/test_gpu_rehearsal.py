"""What `invoke rehearse --lane gpu` would run, and refuses; the rehearsal itself is in tests/cloud."""

import json
import re

import pytest

from tests.experiments import sampled
from tests.operators import Operator


@pytest.fixture
def operator(tmp_path):
    return Operator(tmp_path, sampled())


def test_a_dry_run_prints_the_commands_of_the_deployment_in_their_order(operator):
    ended = operator.invoke("rehearse", "--lane", "gpu", "--dry-run", PROJECT_ID="my-lab-forecasts")

    assert ended.exit_code == 0, ended.output
    commands = [line for line in ended.lines if line.startswith("+ gcloud ")]
    order = [
        next(number for number, line in enumerate(commands) if line.startswith(f"+ gcloud {words}"))
        for words in (
            "services enable",
            "iam service-accounts create",
            "storage buckets create",
            "storage cp",
            "storage buckets set-iam-policy",
            "run deploy",
            "run services add-iam-policy-binding",
            "workflows deploy",
            "eventarc triggers create",
        )
    ]
    assert order == sorted(order)
    inference = next(line for line in commands if re.search(r"run deploy \S+-inference ", line))
    for option in (
        *("--cpu 4", "--memory 16Gi", "--gpu 1", "--gpu-type nvidia-l4", "--no-gpu-zonal-redundancy"),
        *("--no-cpu-throttling", "--concurrency 1", "--max-instances 3", "--min-instances 0"),
        *("--ingress internal", "--no-allow-unauthenticated", "--timeout 300"),
    ):
        assert f" {option} " in inference
    assert "allUsers" not in ended.output


def test_a_dry_run_prints_each_policy_as_the_file_that_the_command_after_it_reads(operator):
    ended = operator.invoke("rehearse", "--lane", "gpu", "--dry-run", PROJECT_ID="my-lab-forecasts")

    for bucket in ("input", "models", "output"):
        (file,) = re.findall(
            rf"^\+ gcloud storage buckets set-iam-policy \S+ (\S+/{bucket}\.json)", ended.output, re.M
        )
        written, read = ended.output.index(f"cat > {file} <<'END'\n"), ended.output.index(f" {file}\n")
        policy = ended.output[written:].partition("\n")[2].partition("END\n")[0]
        assert json.loads(policy)["bindings"]
        assert written < read


def test_without_a_gpu_type_the_service_has_none(operator):
    ended = operator.invoke(
        *("rehearse", "--lane", "gpu", "--dry-run"), PROJECT_ID="my-lab-forecasts", GPU_TYPE="none"
    )

    inference = next(line for line in ended.lines if re.search(r"run deploy \S+-inference ", line))
    assert "--gpu" not in inference
    assert "DEVICE=cpu" in inference


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lane", "gpu", "--exp-id", "tria"], "tria: no such experiment"),
        (["--lane", "tpu"], "--lane tpu: use batch or gpu"),
        (["--lane", "gpu", "--docker"], "--docker: for --lane batch; leave it out"),
        (
            ["--lane", "gpu", "--seed", "1", "--count", "2"],
            "--count and --seed: for --lane batch; leave it out",
        ),
        (["--lane", "gpu", "--reference-date", "2026-01-10"], "--reference-date: for --lane batch"),
    ],
)
def test_what_the_lane_does_not_have_is_refused(operator, options, said):
    ended = operator.invoke("rehearse", *options)

    assert ended.exit_code == 2
    assert ended.last_line.startswith(f"error: {said}")
    assert "Traceback" not in ended.output
    assert not list((operator.folder / "local").glob("rehearsal-*"))


@pytest.mark.parametrize(
    "words", [["rehearse", "--lane", "gpu"], ["gpu-deploy", "--yes"]], ids=lambda w: w[0]
)
def test_a_forecast_from_surveillance_data_is_refused_before_anything_is_made(operator, words):
    config = operator.folder / "local" / "forecast" / "experiments" / "weekly" / "config"
    config.mkdir(parents=True)
    (config / "forecast.yaml").write_text("forecast:\n  method: random_walk\n")

    ended = operator.invoke(*words, "--exp-id", "weekly", PROJECT_ID="my-lab-forecasts")

    assert ended.exit_code == 2
    assert ended.last_line == (
        "error: local/forecast/experiments/weekly/config/forecast.yaml: this lane calibrates models, and an "
        "experiment with the key forecast has none: invoke run --exp-id weekly"
    )


@pytest.mark.parametrize("where", ["the operator's own", "a repository elsewhere"])
def test_an_experiment_that_is_not_there_is_refused_before_anything_is_made(operator, where):
    elsewhere = {"FORECAST_REPO_DIR": str(operator.folder / "local" / "forecast")}
    ended = operator.invoke(
        *("rehearse", "--lane", "gpu", "--exp-id", "tiral"), **({} if where.endswith("own") else elsewhere)
    )

    assert ended.exit_code == 2
    assert ended.last_line.startswith("error: tiral: no such experiment in local/forecast/experiments")
    assert not list((operator.folder / "local").glob("rehearsal-*"))
