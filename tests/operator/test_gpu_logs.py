"""What `invoke gpu-logs` would ask, and refuses; the lines themselves are in tests/cloud."""

import pytest

from tests.experiments import sampled
from tests.operators import Operator

KEY = "0a1b2c3d4e5f6x7x"


@pytest.fixture
def operator(tmp_path):
    return Operator(tmp_path, sampled())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--run is needed: the key of an upload, 16 characters"),
        (["--run", "weekly.csv"], '--run "weekly.csv": the key of an upload, 16 characters'),
        (["--run", KEY.upper()], f'--run "{KEY.upper()}": the key of an upload, 16 characters'),
        (["--run", KEY, "--severity", "EROR"], "--severity EROR: one of DEFAULT, DEBUG, "),
        (["--run", KEY, "--since", "yesterday"], "--since yesterday: an age such as 10m"),
    ],
)
def test_what_names_no_upload_is_refused_in_one_line(operator, options, said):
    ended = operator.invoke("gpu-logs", *options, PROJECT_ID="my-lab-forecasts")

    assert ended.exit_code == 2
    assert len(ended.lines) == 1
    assert ended.last_line.startswith(f"error: {said}")
    assert ("the key of an upload" in said) == ("`gcloud storage ls gs://" in ended.last_line)


def test_a_dry_run_prints_the_one_command_that_reads_the_three_services(operator):
    ended = operator.invoke(
        *("gpu-logs", "--run", KEY, "--severity", "warning", "--since", "2026-01-31T12:00Z", "--dry-run"),
        PROJECT_ID="my-lab-forecasts",
        SERVICE_PREFIX="flu",
    )

    assert ended.exit_code == 0, ended.output
    (command,) = [line for line in ended.lines if line.startswith("+ ")]
    assert command.startswith("+ gcloud logging read ")
    for part in (
        'resource.type="cloud_run_revision" AND resource.labels.service_name=("flu-',
        '-preprocess" OR "flu-',
        '-inference" OR "flu-',
        f'-postprocess") AND jsonPayload.run_key="{KEY}" AND severity>=WARNING',
        'AND timestamp>="2026-01-31T12:00:00.000000Z"',
    ):
        assert part in command
