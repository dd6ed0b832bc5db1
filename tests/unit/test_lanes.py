"""Which tests a change calls for: a folder of the repository is mapped to folders of tests."""

import pytest

from ops import lanes
from ops.failures import UserError
from ops.lanes import LANES, LANES_OF, chosen, reasons_for
from tests.experiments import REPOSITORY


@pytest.mark.parametrize(
    ("changed", "places"),
    [
        ([], ["tests/unit"]),
        (["modeling/workload.py"], ["tests/unit", "tests/stages"]),
        (["scripts/main_output.py"], ["tests/unit", "tests/stages"]),
        (["ops/shell.py"], ["tests/unit", "tests/operator", "tests/cloud"]),
        (["ops/laptop/clean.py"], ["tests/unit", "tests/operator"]),
        (["ops/quality.py"], ["tests/unit", "tests/operator/test_quality.py"]),
        (["docker/Dockerfile"], ["tests/unit", "tests/deploy"]),
        (["terraform/main.tf"], ["tests/unit", "tests/deploy"]),
        (["terraform/workflow.yaml"], ["tests/unit", "tests/cloud", "tests/deploy"]),
        (["localcloud/routing.py"], ["tests/unit", "tests/localcloud"]),
        (
            ["services/app.py"],
            [
                "tests/unit",
                *(f"tests/cloud/test_gpu_{name}.py" for name in ("forecast", "lane")),
                "tests/services",
            ],
        ),
        (["benchmarks/soak.py"], ["tests/unit", "tests/long/test_benchmarks.py"]),
        (["LICENSE"], ["tests/unit"]),
    ],
)
def test_a_changed_file_calls_for_unit_and_the_lanes_of_its_folder(changed, places):
    assert list(reasons_for(changed)) == places


def test_what_has_a_folder_of_its_own_calls_for_the_tests_about_it():
    places = list(reasons_for(["modeling/simulate/with_epydemix/simulator.py"]))

    assert places == [
        "tests/unit",
        "tests/stages/test_calibrated_values.py",
        "tests/stages/test_calibration.py",
        "tests/stages/test_calibration_ends.py",
        "tests/stages/test_checkpoints.py",
        "tests/stages/test_cold_start.py",
        "tests/stages/test_constructs.py",
        "tests/stages/test_engines.py",
        "tests/stages/test_ensembles.py",
        "tests/stages/test_old_inputs.py",
        "tests/stages/test_posteriors_compared.py",
        "tests/stages/test_run_metadata.py",
        "tests/stages/test_schedule.py",
        "tests/stages/test_schedule_compared.py",
        "tests/stages/test_simulation.py",
        "tests/stages/test_simulation_compared.py",
        "tests/stages/test_stages.py",
        "tests/stages/test_transformations.py",
        "tests/stages/test_user_functions.py",
    ]


def test_a_changed_test_file_runs_alone_unless_its_lane_runs():
    changed = ["tests/stages/test_yaml.py", "tests/unit/test_lanes.py", "tests/stages/test_deleted.py"]

    assert list(reasons_for(changed)) == ["tests/unit", "tests/stages/test_yaml.py"]
    assert list(reasons_for([*changed, "modeling/bounds.py"])) == ["tests/unit", "tests/stages"]


def test_a_new_test_file_outside_every_lane_runs_too(tmp_path, monkeypatch):
    new = ["tests/test_new.py", "tests/gpu/test_new.py"]
    for path in new:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    monkeypatch.setattr(lanes, "ROOT", tmp_path)

    assert list(reasons_for(new)) == ["tests/unit", *sorted(new)]


def test_what_test_files_share_calls_for_those_that_use_it():
    places = list(reasons_for(["tests/panels.py"]))

    assert places == [
        "tests/unit",
        "tests/stages/test_charts.py",
        "tests/stages/test_report.py",
        "tests/stages/test_report_layout.py",
        "tests/stages/test_weekly_report.py",
        "tests/stages/test_weekly_report_layout.py",
    ]


def test_each_lane_is_named_with_the_files_that_call_for_it():
    reasons = reasons_for(["modeling/bounds.py", "modeling/calendars.py", "modeling/workload.py"])

    assert reasons == {"tests/unit": "always", "tests/stages": "changed: modeling/bounds.py and 2 more"}


def test_every_lane_is_a_folder_and_every_folder_of_tests_a_lane():
    folders = {path.parent.name for path in (REPOSITORY / "tests").glob("*/test_*.py")}

    assert folders == set(LANES)
    assert all((REPOSITORY / "tests" / place).exists() for places in LANES_OF.values() for place in places)


@pytest.mark.parametrize("beginning", LANES_OF)
def test_what_calls_for_a_lane_exists(beginning):
    assert list(REPOSITORY.glob(f"{beginning.rstrip('/')}*"))


def test_a_lane_is_its_folder_and_all_is_every_test():
    assert chosen("unit") == ["tests/unit"]
    assert chosen("all") == []
    with pytest.raises(UserError, match=r"--lane units: no such lane; use unit, stages, .* or all"):
        chosen("units")
