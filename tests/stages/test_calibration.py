"""Calibration finds what made the data, and projects from it."""

import csv
import datetime
import gzip
import pickle

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.simulate.run import run_workload
from modeling.simulate.with_epydemix import calibrate
from modeling.simulate.with_epydemix.simulator import Simulator
from modeling.simulate.with_epydemix.transformation import Transformation
from tests.builds import build, workloads_in
from tests.calibrations import (
    TRUE_R0,
    by_day,
    calibrating_people,
    calibrating_start,
    fitting,
    posterior,
    truth,
)
from tests.experiments import OBSERVED, calibrated, write_repository
from tests.stage_scripts import Stages


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("SMC", {"num_particles": 60, "num_generations": 4}),
        ("SMC", {"num_particles": 30, "num_generations": 3, "epsilon_schedule": [8000, 4000, 2000]}),
        ("rejection", {"num_particles": 25, "epsilon": 3000}),
        ("top_fraction", {"Nsim": 300, "top_fraction": 0.1}),
    ],
    ids=["smc", "smc with a schedule", "rejection", "top fraction"],
)
def test_each_strategy_finds_the_truth_and_narrows_the_prior(tmp_path, data, strategy, options, engine):
    result = run_workload(build(tmp_path, fitting(strategy, **options), data)[0], engine)

    low, median, high = posterior(result, "R0")
    assert low <= TRUE_R0 <= high
    assert abs(median - TRUE_R0) < 0.1
    assert high - low < 1.5 / 3  # of the prior's width
    last = result.generations[-1]
    assert len(last.weights) == options.get("num_particles", 30)
    assert last.weights.sum() == pytest.approx(1)
    assert result.stopped_by == ""
    assert result.simulations >= len(last.weights)
    limit = {"rejection": 3000}.get(strategy, options.get("epsilon_schedule", [np.inf])[-1])
    assert last.distances.max() < limit


def test_a_start_date_and_initial_conditions_are_found_with_it(tmp_path, engine):
    observed = truth(tmp_path, start="2025-01-16", infectious=3000)
    experiment = fitting("SMC", num_particles=50, num_generations=5)
    calibrating_start(calibrating_people(experiment, {"name": "uniform", "args": [500, 9500]}), 28)

    result = run_workload(build(tmp_path, experiment, observed)[0], engine)

    assert result.parameter_names == ["R0", "I", "start_date"]
    for name, true in (("R0", TRUE_R0), ("I", 3000), ("start_date", 11)):
        low, _, high = posterior(result, name)
        assert low <= true <= high, name
    low, _, high = posterior(result, "start_date")
    assert all(value == int(value) for value in result.generations[-1].particles[:, 2])
    assert high - low < 26
    assert result.generations[-1].distances.max() < np.median(result.generations[0].distances) / 2


@pytest.mark.parametrize("distance", ["rmse", "mae", "wmape", "mape"])
def test_a_distance_is_the_one_on_paper_over_all_comparisons(tmp_path, data, distance, engine):
    experiment = fitting("SMC", num_particles=10, num_generations=2)
    calibration = experiment["modelset"]["calibration"]
    calibration["distance_function"] = distance
    second = {"observed_value_column": "infections", "observed_date_column": "date"}
    calibration["comparison"].append(second | {"simulation": ["S_to_I_0-17", "S_to_I_18-64", "S_to_I_65+"]})
    calibration["fitting_window"]["start_date"] = "2025-01-12"

    result = run_workload(build(tmp_path, experiment, data)[0], engine)

    rows = [line.split(",") for line in data.splitlines()[2:]]  # without the week before the window
    assert [fit.observed.label for fit in result.fits] == ["cases", "infections"]
    assert [fit.values.shape for fit in result.fits] == [(10, 8), (10, 8)]
    values = np.concatenate([fit.values for fit in result.fits], axis=1)
    observed = np.array([float(row[column]) for column in (2, 3) for row in rows])
    off = np.abs(values - observed)
    on_paper = {
        "rmse": np.sqrt((off**2).mean(axis=1)),
        "mae": off.mean(axis=1),
        "wmape": off.sum(axis=1) / observed.sum(),
        "mape": (off / observed).mean(axis=1),
    }
    np.testing.assert_allclose(result.generations[-1].distances, on_paper[distance], rtol=1e-12)
    assert (result.fits[1].values.sum(axis=1) > result.fits[0].values.sum(axis=1)).all()


@pytest.mark.parametrize(
    ("frequency", "start"), [("7D", "2025-01-04"), ("MS", "2025-01-01"), ("W-SAT", "2025-01-05")]
)
def test_the_last_fitted_date_counts_its_whole_interval(tmp_path, frequency, start):
    days = {"7D": "2025-02-01", "MS": "2025-02-01", "W-SAT": "2025-02-01"}
    experiment = fitting("top_fraction", Nsim=4, top_fraction=1.0)
    experiment["model"]["timespan"] |= {"start_date": start, "end_date": "2025-03-31"}
    experiment["model"]["simulation"]["resample_frequency"] = frequency
    experiment["modelset"]["calibration"]["fitting_window"] = {"start_date": start, "end_date": "2025-02-01"}
    observed = f"date,geo_value,cases\n{days[frequency]},US-VT,5\n"
    workload = build(tmp_path, experiment, observed)[0]
    simulator = Simulator(workload.plan)

    transformation = Transformation(workload, simulator)
    fitted = calibrate.calibrate(workload, simulator, transformation).fits[0].values[:, 0]
    draw, rng = {"R0": 1.5}, np.random.default_rng(1)
    whole = simulator.run(draw, workload.start_date, workload.end_date, rng)
    column = np.flatnonzero(whole.dates == np.datetime64(days[frequency], "s"))[0]
    rng = np.random.default_rng(1)
    cut = simulator.run(draw, workload.start_date, workload.task.fit_end, rng)

    assert cut.by_transition[:, column].tolist() == whole.by_transition[:, column].tolist()
    assert (fitted > 0).all()


def test_a_calibration_is_the_same_bit_for_bit_and_another_seed_differs(tmp_path, data, engine):
    experiment = fitting("SMC", num_particles=10, num_generations=3)
    calibrating_start(calibrating_people(experiment, {"name": "randint", "args": [100, 2000]}), 10)

    first, again, other = (
        run_workload(build(tmp_path / str(i), experiment, data, seed)[0], engine)
        for i, seed in enumerate((1, 1, 2))
    )

    assert pickle.dumps(first) == pickle.dumps(again)
    assert first.generations[0].particles.tolist() != other.generations[0].particles.tolist()
    assert first.trajectories.by_transition.tolist() != other.trajectories.by_transition.tolist()


def test_populations_have_draws_of_their_own(tmp_path, data, engine):
    experiment = fitting("SMC", num_particles=6, num_generations=1)
    del experiment["model"]["population"]["name"]
    experiment["modelset"]["population_names"] = ["US-VT", "US-MA"]
    observed = data + data.split("\n", 1)[1].replace("US-VT", "US-MA")
    alone = fitting("SMC", num_particles=6, num_generations=1)

    both = [run_workload(workload, engine) for workload in build(tmp_path / "both", experiment, observed)]
    only = run_workload(build(tmp_path / "only", alone, data)[0], engine)

    assert [result.population for result in both] == ["US-VT", "US-MA"]
    assert both[0].generations[0].particles.tolist() != both[1].generations[0].particles.tolist()
    assert both[0].generations[0].particles.tolist() == only.generations[0].particles.tolist()


def test_what_the_fit_leaves_out_is_in_no_table_and_said_in_stage_a_and_the_report(tmp_path):
    experiment = calibrating_start(calibrated(), 4)
    calibration = experiment["modelset"]["calibration"]
    calibration["start_date"]["reference_date"] = "2025-01-08"  # a Wednesday, in the week to 2025-01-11
    calibration["distance_function"] = "mape"
    stages = Stages(tmp_path, experiment)
    (tmp_path / "forecast" / "data" / "observed.csv").write_text(OBSERVED.replace(",950", ",0"))

    ended = [stages.run(stage, TASK_INDEX=0) for stage in ("builder", "runner", "output")]

    assert [each.exit_code for each in ended] == [0, 0, 0]
    with gzip.open(stages.outputs() / "quantiles_calibration.csv.gz", "rt") as file:
        fit = {row["date"] for row in csv.DictReader(file)}
    with gzip.open(stages.outputs() / "quantiles_projection.csv.gz", "rt") as file:
        projection = {row["date"] for row in csv.DictReader(file)}
    assert min(fit) == min(projection) == "2025-01-18"
    assert len(fit) == 3
    report = (stages.outputs() / "report.html").read_text()
    for said in (
        "fitted date 2025-01-11 covers days from 2025-01-05 on, and the model starts on 2025-01-08",
        "mape leaves out 1 of 3 fitted values of US-VT, which are 0: 2025-01-18",
    ):
        assert said in ended[0].output
        assert said in report
    assert "UserWarning" not in ended[1].output


def test_a_projection_stands_still_before_its_own_start(tmp_path, data, engine):
    experiment = fitting("SMC", num_particles=12, num_generations=1)
    experiment["model"]["simulation"]["resample_frequency"] = "D"
    experiment["modelset"]["calibration"]["projection"]["n_trajectories"] = 20
    calibrating_start(experiment, 28)

    result = run_workload(build(tmp_path, experiment, by_day(data))[0], engine)

    trajectories, starts = result.trajectories, result.projected[:, 1].astype(int)
    assert trajectories.dates[0] == np.datetime64("2025-01-05")
    assert trajectories.dates[-1] == np.datetime64("2025-03-08")
    assert len(set(starts)) > 5
    for number, start in enumerate(starts):
        before = trajectories.in_compartments[number][:, :start]
        assert (trajectories.by_transition[number][:, :start] == 0).all()
        assert (before == before[:, :1]).all()
        if start:
            assert before[trajectories.compartments.index("I_total"), 0] == 500
        assert trajectories.series("S_to_I_total")[number][start] > 0


def test_projections_are_drawn_from_the_chosen_generation(tmp_path, data, engine):
    experiment = fitting("SMC", num_particles=8, num_generations=3)
    projections = {}
    for number in (0, 1, None):
        projection = {"n_trajectories": 25} | ({} if number is None else {"generation_number": number})
        experiment["modelset"]["calibration"]["projection"] = projection

        result = run_workload(build(tmp_path, experiment, data)[0], engine)

        chosen = result.generations[-1 if number is None else number].particles.ravel()
        assert set(result.projected.ravel()) <= set(chosen)
        assert len(set(result.projected.ravel())) > 3
        projections[number] = result.projected.std()
    assert projections[None] < projections[0]


def test_a_generation_that_was_not_reached_is_told(tmp_path, data, engine):
    experiment = fitting("SMC", num_particles=10, num_generations=20, total_simulations_budget=40)
    projection = {"n_trajectories": 5, "generation_number": 19}
    experiment["modelset"]["calibration"]["projection"] = projection

    with pytest.raises(UserError, match=r"generation 19.*stopped by total_simulations_budget"):
        run_workload(build(tmp_path, experiment, data)[0], engine)


def test_without_a_projection_there_is_a_posterior_and_no_trajectory(tmp_path, data, engine):
    experiment = fitting("SMC", num_particles=8, num_generations=1)
    del experiment["modelset"]["calibration"]["projection"]

    result = run_workload(build(tmp_path, experiment, data)[0], engine)

    assert result.trajectories is None
    assert result.projected is None
    assert len(result.generations[0].weights) == 8


def test_a_calibration_on_real_admissions_fits_better_than_its_prior_and_projects_sanely(
    tmp_path, reference_data, engine
):
    experiment = calibrated()
    experiment["model"] |= {
        "timespan": {"start_date": "2024-11-17", "end_date": "2025-03-01", "delta_t": 1},
        "population": {"age_groups": ["0-4", "5-17", "18-49", "50-64", "65+"]},
        "compartments": [
            {"id": "S", "init": "default"},
            {"id": "I", "init": "calibrated"},
            {"id": "H"},
            {"id": "R", "init": 0.3},
        ],
        "transitions": [
            {"type": "mediated", "source": "S", "target": "I", "mediator": "I", "rate": "beta"},
            {"type": "spontaneous", "source": "I", "target": "H", "rate": "gamma * severe"},
            {"type": "spontaneous", "source": "I", "target": "R", "rate": "gamma * (1 - severe)"},
            {"type": "spontaneous", "source": "H", "target": "R", "rate": "1/5"},
        ],
    }
    experiment["model"]["parameters"]["severe"] = {"type": "calibrated"}
    experiment["modelset"] = {
        "population_names": ["US-MA"],
        "calibration": experiment["modelset"]["calibration"]
        | {
            "strategy": {"name": "SMC", "options": {"num_particles": 30, "num_generations": 4}},
            "observed_data_path": "data/target-hospital-admissions.csv",
            "comparison": [
                {
                    "observed_value_column": "value",
                    "observed_date_column": "date",
                    "observed_location_column": "location",
                    "simulation": ["I_to_H_total"],
                }
            ],
            "compartments": {"I": {"prior": {"name": "uniform", "args": [500, 20_000]}}},
            "parameters": {
                "R0": {"prior": {"name": "uniform", "args": [1.3, 1.2]}},
                "severe": {"prior": {"name": "uniform", "args": [0.0005, 0.01]}},
            },
            "fitting_window": {"start_date": "2024-11-23", "end_date": "2025-02-01"},
            "projection": {"n_trajectories": 30},
        },
    }
    del experiment["output"]
    source = reference_data / "flusight" / "target-hospital-admissions.csv"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / source.name).symlink_to(source)

    config = write_repository(tmp_path, experiment)
    workload = workloads_in(config, populations=reference_data / "epydemix-data")[0]
    result = run_workload(workload, engine)

    with open(source, newline="") as file:
        admissions = {row["date"]: row["value"] for row in csv.DictReader(file) if row["location"] == "25"}
    fitted = result.fits[0].observed
    window = fitted.dates[fitted.fitted].astype(str).tolist()
    assert window[0] == "2024-11-23"
    assert window[-1] == "2025-02-01"
    assert fitted.values[fitted.fitted].tolist() == [float(admissions[date]) for date in window]
    distances = [np.median(generation.distances) for generation in result.generations]
    assert len(distances) == 4
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < distances[0] / 2
    projected = np.median(result.trajectories.series("I_to_H_total"), axis=0)
    last_fitted = datetime.date(2025, 2, 1)
    weeks = [str(date)[:10] for date in result.trajectories.dates]
    assert weeks[-1] == "2025-03-01"
    at_end = projected[weeks.index(last_fitted.isoformat())]
    assert 0.3 < at_end / float(admissions[last_fitted.isoformat()]) < 3
    assert projected.max() < 10_000
    assert result.expected.people == workload.plan.sizes.sum() > 6_500_000
