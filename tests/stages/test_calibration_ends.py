"""What ends a calibration before its last generation, and what is said of it."""

import csv
import gzip
import json
import re

import pytest

from modeling.failures import UserError
from modeling.simulate import progress
from modeling.simulate.run import run_workload
from tests.builds import build
from tests.calibrations import HALF_A_CASE, NOTHING_HAPPENS, fitting, quiet
from tests.stage_scripts import Stages


def test_max_time_ends_a_calibration_and_the_result_says_so(tmp_path, data, engine):
    # so many rejections that the time is over first, also on a fast engine
    limits = {"max_time": "1s", "max_consecutive_rejections": 10_000_000}
    experiment = fitting("SMC", num_particles=8, num_generations=500, **limits)

    result = run_workload(build(tmp_path, experiment, data)[0], engine)

    assert result.stopped_by == "max_time"
    assert 1 <= len(result.generations) < 500
    assert result.trajectories.count == 8


def test_a_budget_of_simulations_ends_a_calibration_and_the_result_says_so(tmp_path, data, engine):
    experiment = fitting("SMC", num_particles=10, num_generations=50, total_simulations_budget=60)

    result = run_workload(build(tmp_path, experiment, data)[0], engine)

    assert result.stopped_by == "total_simulations_budget"
    assert 10 < result.simulations <= 61
    assert all(len(generation.weights) == 10 for generation in result.generations)


def test_a_rejection_keeps_what_it_accepted_within_its_budget(tmp_path, data, engine):
    experiment = fitting("rejection", num_particles=500, epsilon=4000, total_simulations_budget=60)

    result = run_workload(build(tmp_path, experiment, data)[0], engine)

    assert result.stopped_by == "total_simulations_budget"
    assert 0 < len(result.generations[-1].weights) < 60


def test_the_least_epsilon_ends_a_calibration_and_the_result_says_so(tmp_path, data, engine):
    experiment = fitting("SMC", num_particles=10, num_generations=30, minimum_epsilon=4000)

    result = run_workload(build(tmp_path, experiment, data)[0], engine)

    assert result.stopped_by == "minimum_epsilon"
    assert len(result.generations) < 30


def test_a_budget_too_small_for_anything_ends_with_a_remedy(tmp_path, data, engine):
    experiment = fitting("rejection", num_particles=10, epsilon=1e-6, total_simulations_budget=20)

    with pytest.raises(UserError) as caught:
        run_workload(build(tmp_path, experiment, data)[0], engine)

    assert "US-VT: no particle accepted in 21 simulations" in str(caught.value)
    assert "nearest distance" in str(caught.value)
    assert "raise epsilon, max_time or total_simulations_budget" in str(caught.value)


@pytest.mark.parametrize(
    ("observed", "options", "stopped_by", "generations", "most_simulations"),
    [
        (NOTHING_HAPPENS, {}, "smallest_distance", 1, 12),
        (NOTHING_HAPPENS, {"epsilon_schedule": [1e9, 1e8, 0]}, "smallest_distance", 2, 50),
        (HALF_A_CASE, {"epsilon_schedule": [1e9, 0.5, 0.5]}, "smallest_distance", 1, 12),
        (HALF_A_CASE, {"minimum_epsilon": 1e-9}, "smallest_distance", 1, 12),
        (
            NOTHING_HAPPENS,
            {"minimum_epsilon": 1e-9, "epsilon_schedule": [9, 0, 0]},
            "smallest_distance",
            1,
            99,
        ),
        (
            NOTHING_HAPPENS.replace(",0\n", ",700\n"),
            {"epsilon_schedule": [1e9, 1, 1], "max_consecutive_rejections": 30},
            "max_consecutive_rejections",
            1,
            12 + 30,
        ),
        (
            NOTHING_HAPPENS.replace(",0\n", ",2\n"),  # the more people are infected, the farther off
            {"num_generations": 100, "max_consecutive_rejections": 25},
            "max_consecutive_rejections",
            None,
            9_999,
        ),
        (NOTHING_HAPPENS, {"epsilon_schedule": [0, 0, 0]}, "smallest_distance", 1, 999),
    ],
    ids=[
        "all zero",
        "a schedule that ends with 0",
        "half a case by schedule",
        "half a case",
        "a minimum that is not reached",
        "out of reach",
        "out of reach in the end",
        "a schedule of 0",
    ],
)
def test_an_smc_that_cannot_come_nearer_ends_with_its_last_whole_generation(
    tmp_path, observed, options, stopped_by, generations, most_simulations, engine
):
    experiment = quiet(**{"num_particles": 12, "num_generations": 3, **options})

    result = run_workload(build(tmp_path, experiment, observed)[0], engine)

    assert result.stopped_by == stopped_by
    assert [g.number for g in result.generations] == list(range(generations or len(result.generations)))
    assert (
        len(result.generations)
        < experiment["modelset"]["calibration"]["strategy"]["options"]["num_generations"]
    )
    assert all(len(generation.weights) == 12 for generation in result.generations)
    assert result.simulations <= most_simulations
    assert result.trajectories.count == 8


def test_10000_draws_in_a_row_may_be_rejected_unless_the_strategy_says_otherwise(tmp_path, data):
    [usual] = build(tmp_path / "usual", fitting("SMC"), data)
    [other] = build(tmp_path / "other", fitting("SMC", max_consecutive_rejections=7), data)

    assert usual.task.options["max_consecutive_rejections"] == 10_000
    assert other.task.options["max_consecutive_rejections"] == 7


@pytest.mark.parametrize(
    ("first", "rejections", "found"),
    [(1e-6, 60, "no particle"), (560, 5, r"only [1-9]\d* of 500 particles")],
)
def test_a_first_generation_that_cannot_be_completed_ends_with_the_nearest_distance(
    tmp_path, first, rejections, found, engine
):
    limits = {"epsilon_schedule": [first], "max_consecutive_rejections": rejections}
    experiment = quiet(infectious=3000, num_particles=500, num_generations=1, **limits)
    observed = NOTHING_HAPPENS.replace(",0\n", ",700\n")

    with pytest.raises(UserError) as caught:
        run_workload(build(tmp_path, experiment, observed)[0], engine)

    assert re.fullmatch(
        rf"US-VT: {found} accepted in \d+ simulations \(the nearest distance: [1-9][\d.]*\); "
        rf"raise the first value of epsilon_schedule, {first:g}",
        str(caught.value),
    )


def test_a_time_that_is_over_at_once_is_an_error_without_a_distance(tmp_path, data, engine):
    experiment = fitting("SMC", num_particles=4, max_time="0.000001s")

    with pytest.raises(UserError, match=r"no particle accepted in 0 simulations \(the time ended before"):
        run_workload(build(tmp_path, experiment, data)[0], engine)


def test_early_deaths_of_an_epidemic_do_not_stop_a_calibration_as_if_nothing_mattered(
    tmp_path, monkeypatch, engine
):
    monkeypatch.setattr(progress, "MOST_ALIKE_IN_A_ROW", 20)
    experiment = quiet(num_particles=12, num_generations=100, max_consecutive_rejections=40)
    observed = NOTHING_HAPPENS.replace("11,US-VT,0", "11,US-VT,3")

    result = run_workload(build(tmp_path, experiment, observed)[0], engine)

    assert result.stopped_by == "max_consecutive_rejections"


def test_a_rejection_reports_its_nearest_distance_after_2000_draws(tmp_path, caplog, engine):
    experiment = quiet("rejection", num_particles=5, epsilon=1e-3, total_simulations_budget=2_000)
    experiment["model"]["population"]["age_groups"] = ["0+"]
    week = {"start_date": "2025-01-05", "end_date": "2025-01-11"}
    experiment["model"]["timespan"] |= week
    experiment["modelset"]["calibration"]["fitting_window"] = week
    observed = NOTHING_HAPPENS.replace(",0\n", ",700\n")

    with pytest.raises(UserError, match="no particle accepted in 2001 simulations"):
        run_workload(build(tmp_path, experiment, observed)[0], engine)

    [line] = [record for record in caplog.records if "2,000 simulations" in record.getMessage()]
    assert line.levelname == "WARNING"
    found = r"US-VT: 2,000 simulations, 0 of 5 particles accepted; the nearest distance: 69\d, epsilon 0.001"
    assert re.fullmatch(found, line.getMessage())


def test_a_rejection_below_the_smallest_distance_ends_at_once(tmp_path, engine):
    experiment = quiet("rejection", num_particles=5, epsilon=0.5)

    with pytest.raises(UserError, match=r"epsilon 0.5 is not above 0.5, the smallest possible distance"):
        run_workload(build(tmp_path, experiment, HALF_A_CASE)[0], engine)


def test_the_summary_the_tables_and_the_report_say_why_a_calibration_ended_early(tmp_path):
    stages = Stages(tmp_path, quiet(num_particles=6, num_generations=3))
    (tmp_path / "forecast" / "data" / "observed.csv").write_text(NOTHING_HAPPENS)

    ended = [stages.run(stage, TASK_INDEX=0) for stage in ("builder", "runner", "output")]

    assert [each.exit_code for each in ended] == [0, 0, 0]
    [summary] = (stages.run_folder / "summaries").glob("runner*.json")
    assert json.loads(summary.read_text())["stopped_by"] == "smallest_distance"
    with gzip.open(stages.outputs() / "model_metadata.csv.gz", "rt") as file:
        [row] = csv.DictReader(file)
    assert (row["stopped_by"], row["n_generations"]) == ("smallest_distance", "1")
    assert "calibration ended with generation 0, the last whole one of 3" in ended[1].output
    said = "epsilon was not above the smallest possible distance"
    assert f"US-VT: calibration ended early with generation 0, because {said}" in ended[2].output
    assert (stages.outputs() / "report.html").read_text().count(said) == 2


def test_data_that_do_not_depend_on_what_is_calibrated_end_with_a_remedy(tmp_path, data, monkeypatch, engine):
    monkeypatch.setattr(progress, "MOST_ALIKE_IN_A_ROW", 40)
    experiment = fitting("SMC", num_particles=10, num_generations=3)
    experiment["model"]["compartments"][1]["init"] = 0  # nobody is infectious

    with pytest.raises(UserError, match="40 draws in a row are equally far from the data"):
        run_workload(build(tmp_path, experiment, data)[0], engine)


def test_an_epsilon_out_of_reach_ends_with_the_nearest_distance(tmp_path, data, monkeypatch, engine):
    monkeypatch.setattr(progress, "MOST_REFUSED_IN_A_ROW", 40)
    experiment = fitting("rejection", num_particles=10, epsilon=1e-6)

    with pytest.raises(UserError, match=r"farther off than epsilon 1e-06 \(the nearest distance: \d+"):
        run_workload(build(tmp_path, experiment, data)[0], engine)
