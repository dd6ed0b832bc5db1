"""Calibration finds what made the data, says what stopped it, and never accepts what cannot be."""

import csv
import datetime
import gzip
import json
import pickle
import re

import numpy as np
import pytest

from modeling.build.workloads import DataPlaces, build_workloads
from modeling.failures import UserError
from modeling.outputs.quantiles import weighted_quantiles
from modeling.simulate import calibrate
from modeling.simulate.engine import Simulator
from modeling.simulate.run import run_workload
from modeling.vocabulary.experiment import load_experiment
from tests.experiments import OBSERVED, POPULATIONS, calibrated, simulated, write_repository
from tests.stage_scripts import Stages

TRUE_R0 = 1.8
PEOPLE = 647_464  # in Vermont
WHOLE_PEOPLE = {"name": "randint", "args": [0, 5]}
NINE_WEEKS = {"start_date": "2025-01-05", "end_date": "2025-03-08", "delta_t": 1}


def build(folder, experiment, observed=None, seed=5, population_folder=POPULATIONS):
    config = write_repository(folder, experiment, **({"observed": observed} if observed else {}))
    places = DataPlaces([folder], [population_folder], folder / "cache")
    return list(build_workloads(load_experiment(config), places, seed))


def truth(folder, start="2025-01-05", infectious: float = 500, seed: int = 3) -> str:
    """Return observed data: one epidemic of the model with known values, in weeks, from 2025-01-11."""
    experiment = simulated()
    experiment["model"]["timespan"] = NINE_WEEKS | {"start_date": start}
    experiment["model"]["simulation"]["n_sims"] = 1
    experiment["model"]["compartments"][1]["init"] = infectious
    trajectories = run_workload(build(folder / "truth", experiment, seed=seed)[0]).trajectories
    rows = {str(date)[:10]: 0 for date in np.arange("2025-01-11", "2025-03-09", 7, dtype="datetime64[D]")}
    removed, infected = trajectories.series("I_to_R_total")[0], trajectories.series("S_to_I_total")[0]
    rows |= {str(date)[:10]: pair for date, *pair in zip(trajectories.dates, removed, infected, strict=True)}
    lines = [
        f"{date},US-VT,{pair[0]},{pair[1]}" if pair else f"{date},US-VT,0,0" for date, pair in rows.items()
    ]
    return "\n".join(["date,geo_value,cases,infections", *lines]) + "\n"


def fitting(strategy: str, **options) -> dict:
    """Return a calibration of R0 on nine weeks of data."""
    experiment = calibrated()
    experiment["model"]["timespan"] = dict(NINE_WEEKS)
    calibration = experiment["modelset"]["calibration"]
    calibration["strategy"] = {"name": strategy, "options": options}
    calibration["fitting_window"] = {"start_date": "2025-01-05", "end_date": "2025-03-08"}
    return experiment


def calibrating_people(experiment: dict, prior: dict) -> dict:
    experiment["model"]["compartments"][1]["init"] = "calibrated"
    experiment["modelset"]["calibration"]["compartments"] = {"I": {"prior": prior}}
    return experiment


def calibrating_start(experiment: dict, latest: int) -> dict:
    experiment["model"]["timespan"]["start_date"] = "calibrated"
    prior = {"name": "randint", "args": [0, latest]}
    experiment["modelset"]["calibration"]["start_date"] = {"reference_date": "2025-01-05", "prior": prior}
    return experiment


def posterior(result, name: str, levels=(0.025, 0.5, 0.975)) -> list[float]:
    last = result.generations[-1]
    column = last.particles[:, [result.parameter_names.index(name)]]
    return weighted_quantiles(column, last.weights, list(levels))[:, 0].tolist()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return truth(tmp_path_factory.mktemp("data"))


# -- what is true is found


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
def test_each_strategy_finds_the_truth_and_narrows_the_prior(tmp_path, data, strategy, options):
    result = run_workload(build(tmp_path, fitting(strategy, **options), data)[0])

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


def test_a_start_date_and_initial_conditions_are_found_with_it(tmp_path):
    observed = truth(tmp_path, start="2025-01-16", infectious=3000)
    experiment = fitting("SMC", num_particles=50, num_generations=4)
    calibrating_start(calibrating_people(experiment, {"name": "uniform", "args": [500, 9500]}), 28)

    result = run_workload(build(tmp_path, experiment, observed)[0])

    assert result.parameter_names == ["R0", "I", "start_date"]
    for name, true in (("R0", TRUE_R0), ("I", 3000), ("start_date", 11)):
        low, _, high = posterior(result, name)
        assert low <= true <= high, name
    low, _, high = posterior(result, "start_date")
    assert all(value == int(value) for value in result.generations[-1].particles[:, 2])
    assert high - low < 26
    assert result.generations[-1].distances.max() < np.median(result.generations[0].distances) / 2


@pytest.mark.parametrize("distance", ["rmse", "mae", "wmape", "mape"])
def test_a_distance_is_the_one_on_paper_over_all_comparisons(tmp_path, data, distance):
    experiment = fitting("SMC", num_particles=10, num_generations=2)
    calibration = experiment["modelset"]["calibration"]
    calibration["distance_function"] = distance
    second = {"observed_value_column": "infections", "observed_date_column": "date"}
    calibration["comparison"].append(second | {"simulation": ["S_to_I_0-17", "S_to_I_18-64", "S_to_I_65+"]})
    calibration["fitting_window"]["start_date"] = "2025-01-12"

    result = run_workload(build(tmp_path, experiment, data)[0])

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

    fitted = calibrate.calibrate(workload, simulator).fits[0].values[:, 0]
    draw, rng = {"R0": 1.5}, np.random.default_rng(1)
    whole = simulator.run(draw, workload.start_date, workload.end_date, rng)
    column = np.flatnonzero(whole.dates == np.datetime64(days[frequency], "s"))[0]
    rng = np.random.default_rng(1)
    cut = simulator.run(draw, workload.start_date, workload.task.fit_end, rng)

    assert cut.by_transition[:, column].tolist() == whole.by_transition[:, column].tolist()
    assert (fitted > 0).all()


# -- the same seed, the same bytes


def test_a_calibration_is_the_same_bit_for_bit_and_another_seed_differs(tmp_path, data):
    experiment = fitting("SMC", num_particles=10, num_generations=3)
    calibrating_start(calibrating_people(experiment, {"name": "randint", "args": [100, 2000]}), 10)

    first, again, other = (
        run_workload(build(tmp_path / str(i), experiment, data, seed)[0]) for i, seed in enumerate((1, 1, 2))
    )

    assert pickle.dumps(first) == pickle.dumps(again)
    assert first.generations[0].particles.tolist() != other.generations[0].particles.tolist()
    assert first.trajectories.by_transition.tolist() != other.trajectories.by_transition.tolist()


def test_populations_have_draws_of_their_own(tmp_path, data):
    experiment = fitting("SMC", num_particles=6, num_generations=1)
    del experiment["model"]["population"]["name"]
    experiment["modelset"]["population_names"] = ["US-VT", "US-MA"]
    observed = data + data.split("\n", 1)[1].replace("US-VT", "US-MA")
    alone = fitting("SMC", num_particles=6, num_generations=1)

    both = [run_workload(workload) for workload in build(tmp_path / "both", experiment, observed)]
    only = run_workload(build(tmp_path / "only", alone, data)[0])

    assert [result.population for result in both] == ["US-VT", "US-MA"]
    assert both[0].generations[0].particles.tolist() != both[1].generations[0].particles.tolist()
    assert both[0].generations[0].particles.tolist() == only.generations[0].particles.tolist()


# -- limits


def test_max_time_ends_a_calibration_and_the_result_says_so(tmp_path, data):
    experiment = fitting("SMC", num_particles=8, num_generations=500, max_time="1s")

    result = run_workload(build(tmp_path, experiment, data)[0])

    assert result.stopped_by == "max_time"
    assert 1 <= len(result.generations) < 500
    assert result.trajectories.count == 8


def test_a_budget_of_simulations_ends_a_calibration_and_the_result_says_so(tmp_path, data):
    experiment = fitting("SMC", num_particles=10, num_generations=50, total_simulations_budget=60)

    result = run_workload(build(tmp_path, experiment, data)[0])

    assert result.stopped_by == "total_simulations_budget"
    assert 10 < result.simulations <= 61
    assert all(len(generation.weights) == 10 for generation in result.generations)


def test_a_rejection_keeps_what_it_accepted_within_its_budget(tmp_path, data):
    experiment = fitting("rejection", num_particles=500, epsilon=4000, total_simulations_budget=60)

    result = run_workload(build(tmp_path, experiment, data)[0])

    assert result.stopped_by == "total_simulations_budget"
    assert 0 < len(result.generations[-1].weights) < 60


def test_the_least_epsilon_ends_a_calibration_and_the_result_says_so(tmp_path, data):
    experiment = fitting("SMC", num_particles=10, num_generations=30, minimum_epsilon=4000)

    result = run_workload(build(tmp_path, experiment, data)[0])

    assert result.stopped_by == "minimum_epsilon"
    assert len(result.generations) < 30


def test_a_budget_too_small_for_anything_ends_with_a_remedy(tmp_path, data):
    experiment = fitting("rejection", num_particles=10, epsilon=1e-6, total_simulations_budget=20)

    with pytest.raises(UserError) as caught:
        run_workload(build(tmp_path, experiment, data)[0])

    assert "US-VT: no particle accepted in 21 simulations" in str(caught.value)
    assert "nearest distance" in str(caught.value)
    assert "raise epsilon, max_time or total_simulations_budget" in str(caught.value)


# -- calibrations that cannot go on


NOTHING_HAPPENS = "date,geo_value,cases\n" + "".join(f"2025-01-{day},US-VT,0\n" for day in (11, 18, 25))
HALF_A_CASE = NOTHING_HAPPENS.replace(",0\n", ",0.5\n")


def quiet(strategy: str = "SMC", infectious: int = 1, **options) -> dict:
    """Return a calibration over three weeks in which most draws infect nobody."""
    experiment = fitting(strategy, **options)
    experiment["model"]["timespan"] = {"start_date": "2025-01-05", "end_date": "2025-01-25", "delta_t": 1}
    experiment["model"]["compartments"][1]["init"] = infectious
    calibration = experiment["modelset"]["calibration"]
    calibration["comparison"][0]["simulation"] = ["S_to_I_total"]
    calibration["parameters"]["R0"]["prior"]["args"] = [0.01, 0.3]
    calibration["fitting_window"] = {"start_date": "2025-01-05", "end_date": "2025-01-25"}
    return experiment


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
    tmp_path, observed, options, stopped_by, generations, most_simulations
):
    experiment = quiet(**{"num_particles": 12, "num_generations": 3, **options})

    result = run_workload(build(tmp_path, experiment, observed)[0])

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
    tmp_path, first, rejections, found
):
    limits = {"epsilon_schedule": [first], "max_consecutive_rejections": rejections}
    experiment = quiet(infectious=3000, num_particles=500, num_generations=1, **limits)
    observed = NOTHING_HAPPENS.replace(",0\n", ",700\n")

    with pytest.raises(UserError) as caught:
        run_workload(build(tmp_path, experiment, observed)[0])

    assert re.fullmatch(
        rf"US-VT: {found} accepted in \d+ simulations \(the nearest distance: [1-9][\d.]*\); "
        rf"raise the first value of epsilon_schedule, {first:g}",
        str(caught.value),
    )


def test_a_time_that_is_over_at_once_is_an_error_without_a_distance(tmp_path, data):
    experiment = fitting("SMC", num_particles=4, max_time="0.000001s")

    with pytest.raises(UserError, match=r"no particle accepted in 0 simulations \(the time ended before"):
        run_workload(build(tmp_path, experiment, data)[0])


def test_early_deaths_of_an_epidemic_do_not_stop_a_calibration_as_if_nothing_mattered(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "MOST_ALIKE_IN_A_ROW", 20)
    experiment = quiet(num_particles=12, num_generations=100, max_consecutive_rejections=40)
    observed = NOTHING_HAPPENS.replace("11,US-VT,0", "11,US-VT,3")

    result = run_workload(build(tmp_path, experiment, observed)[0])

    assert result.stopped_by == "max_consecutive_rejections"


def test_a_rejection_reports_its_nearest_distance_after_2000_draws(tmp_path, caplog):
    experiment = quiet("rejection", num_particles=5, epsilon=1e-3, total_simulations_budget=2_000)
    experiment["model"]["population"]["age_groups"] = ["0+"]
    week = {"start_date": "2025-01-05", "end_date": "2025-01-11"}
    experiment["model"]["timespan"] |= week
    experiment["modelset"]["calibration"]["fitting_window"] = week
    observed = NOTHING_HAPPENS.replace(",0\n", ",700\n")

    with pytest.raises(UserError, match="no particle accepted in 2001 simulations"):
        run_workload(build(tmp_path, experiment, observed)[0])

    [line] = [record for record in caplog.records if "2,000 simulations" in record.getMessage()]
    assert line.levelname == "WARNING"
    found = r"US-VT: 2,000 simulations, 0 of 5 particles accepted; the nearest distance: 69\d, epsilon 0.001"
    assert re.fullmatch(found, line.getMessage())


def test_a_rejection_below_the_smallest_distance_ends_at_once(tmp_path):
    experiment = quiet("rejection", num_particles=5, epsilon=0.5)

    with pytest.raises(UserError, match=r"epsilon 0.5 is not above 0.5, the smallest possible distance"):
        run_workload(build(tmp_path, experiment, HALF_A_CASE)[0])


@pytest.mark.parametrize(
    "prior", [("uniform", [1.8, 1e-15]), ("norm", [1.8, 1e-30]), ("norm", [1.8, 1e-200])]
)
def test_a_prior_of_hardly_any_width_has_a_posterior(tmp_path, data, prior):
    experiment = fitting("SMC", num_particles=6, num_generations=3)
    name, args = prior
    experiment["modelset"]["calibration"]["parameters"]["R0"]["prior"] = {"name": name, "args": args}

    result = run_workload(build(tmp_path, experiment, data)[0])

    assert result.stopped_by == ""
    assert result.generations[-1].weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(result.generations[-1].particles, 1.8, rtol=1e-12)


@pytest.mark.parametrize("name", ["rng", "data", "distance_of"])
def test_a_parameter_may_have_any_name_that_no_table_uses(tmp_path, data, name):
    experiment = fitting("SMC", num_particles=4, num_generations=2)
    experiment["model"]["parameters"] |= {"R0": {"type": "calculated", "value": name}}
    experiment["model"]["parameters"][name] = {"type": "calibrated"}
    priors = experiment["modelset"]["calibration"]["parameters"]
    priors[name] = priors.pop("R0")

    result = run_workload(build(tmp_path, experiment, data)[0])

    assert result.parameter_names == [name]
    assert ((result.generations[-1].particles >= 1) & (result.generations[-1].particles <= 2.5)).all()


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


@pytest.mark.parametrize(
    ("frequency", "reference_date", "window", "fitted"),
    [
        ("W-SAT", "2025-01-05", "2025-02-01", 4),
        ("W-SAT", "2025-01-06", "2025-02-01", 3),
        ("W-SAT", "2025-01-11", "2025-02-01", 3),
        ("W-SAT", "2025-01-12", "2025-02-01", 4),  # nobody moves in the week before
        ("W-SAT", "2025-01-14", "2025-02-01", 3),
        ("D", "2025-01-14", "2025-02-01", 4),
        ("W-SAT", "2025-01-06", "2025-01-12", None),
    ],
)
def test_a_week_in_which_a_calibrated_start_lies_is_not_fitted(
    tmp_path, frequency, reference_date, window, fitted
):
    experiment = calibrating_start(calibrated(), 3)
    calibration = experiment["modelset"]["calibration"]
    experiment["model"]["simulation"]["resample_frequency"] = frequency
    calibration["start_date"]["reference_date"] = reference_date
    calibration["fitting_window"]["end_date"] = window
    observed = OBSERVED
    if frequency == "D":  # four days, since no week is cut
        observed = "date,geo_value,cases\n" + "".join(f"2025-01-{d},US-VT,9\n" for d in (13, 14, 15, 16))
        calibration["fitting_window"] = {"start_date": "2025-01-13", "end_date": "2025-01-16"}
        calibration["start_date"]["prior"]["args"] = [0, 2]

    if fitted is None:
        with pytest.raises(UserError, match="the only fitted date, 2025-01-11, covers days from 2025-01-05"):
            build(tmp_path, experiment, observed)
        return
    [workload] = build(tmp_path, experiment, observed)

    assert workload.task.observed[0].fitted.sum() == fitted


# -- what cannot be


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("SMC", {"num_particles": 15, "num_generations": 3}),
        ("rejection", {"num_particles": 15, "epsilon": 1e6}),
        ("top_fraction", {"Nsim": 60, "top_fraction": 0.05}),
        ("top_fraction", {"Nsim": 60, "top_fraction": 0.9}),
    ],
)
def test_a_draw_of_more_people_than_there_are_is_never_accepted(tmp_path, data, strategy, options):
    everybody_and_more = {"name": "uniform", "args": [100, 2_000_000]}
    experiment = calibrating_people(fitting(strategy, **options), everybody_and_more)

    result = run_workload(build(tmp_path, experiment, data)[0])

    assert len(result.generations[-1].weights) >= 3
    for generation in result.generations:
        people = generation.particles[:, result.parameter_names.index("I")]
        assert (people >= 0).all()
        assert (people <= 0.9 * PEOPLE + 1).all()  # a tenth is in R
        assert np.isfinite(generation.distances).all()
    assert all(np.isfinite(fit.values).all() for fit in result.fits)


def test_a_prior_of_shares_and_people_is_refused(tmp_path, data):
    experiment = calibrating_people(fitting("SMC"), {"name": "uniform", "args": [0.5, 1.0]})

    with pytest.raises(UserError, match=r"0.5 to 1.5 mixes shares of the people"):
        build(tmp_path, experiment, data)


def test_a_prior_of_whole_people_may_hold_nobody(tmp_path, data):
    experiment = calibrating_people(fitting("SMC", num_particles=6, num_generations=2), WHOLE_PEOPLE)

    result = run_workload(build(tmp_path, experiment, data)[0])

    people = result.generations[-1].particles[:, result.parameter_names.index("I")]
    assert set(people) <= set(range(5))


def test_a_prior_of_fewer_than_no_people_is_refused(tmp_path, data):
    experiment = calibrating_people(fitting("SMC"), {"name": "uniform", "args": [-0.2, 0.1]})

    with pytest.raises(UserError, match=r"neither a share nor a number of people can be below 0"):
        build(tmp_path, experiment, data)


@pytest.mark.parametrize("strategy", ["SMC", "rejection"])
def test_a_prior_that_is_hardly_ever_possible_ends_with_a_remedy(tmp_path, data, strategy):
    experiment = calibrating_people(fitting(strategy), {"name": "uniform", "args": [1e7, 1e7]})

    with pytest.raises(
        UserError, match=r"US-VT: 2000 draws in a row cannot be simulated .*narrow the priors"
    ):
        run_workload(build(tmp_path, experiment, data)[0])


def test_a_top_fraction_of_nothing_possible_ends_with_a_remedy(tmp_path, data):
    experiment = fitting("top_fraction", Nsim=40, top_fraction=0.5)
    calibrating_people(experiment, {"name": "uniform", "args": [1e7, 1e7]})

    with pytest.raises(UserError, match="no particle accepted in 40 simulations"):
        run_workload(build(tmp_path, experiment, data)[0])


def test_a_negative_or_endless_rate_is_never_accepted(tmp_path, data):
    experiment = fitting("SMC", num_particles=10, num_generations=2)
    experiment["modelset"]["calibration"]["parameters"]["R0"]["prior"] = {"name": "uniform", "args": [-2, 5]}
    experiment["model"]["parameters"]["beta"]["value"] = "np.sqrt(R0) * gamma / eigenvalue"

    result = run_workload(build(tmp_path, experiment, data)[0])

    assert all((generation.particles >= 0).all() for generation in result.generations)


def test_data_that_do_not_depend_on_what_is_calibrated_end_with_a_remedy(tmp_path, data, monkeypatch):
    monkeypatch.setattr(calibrate, "MOST_ALIKE_IN_A_ROW", 40)
    experiment = fitting("SMC", num_particles=10, num_generations=3)
    experiment["model"]["compartments"][1]["init"] = 0  # nobody is infectious

    with pytest.raises(UserError, match="40 draws in a row are equally far from the data"):
        run_workload(build(tmp_path, experiment, data)[0])


def test_an_epsilon_out_of_reach_ends_with_the_nearest_distance(tmp_path, data, monkeypatch):
    monkeypatch.setattr(calibrate, "MOST_REFUSED_IN_A_ROW", 40)
    experiment = fitting("rejection", num_particles=10, epsilon=1e-6)

    with pytest.raises(UserError, match=r"farther off than epsilon 1e-06 \(the nearest distance: \d+"):
        run_workload(build(tmp_path, experiment, data)[0])


# -- projections


def by_day(weekly: str) -> str:
    """Return weekly data with each week's counts spread evenly over its days."""
    header, *rows = weekly.splitlines()
    lines = [header]
    for date, place, *counts in (row.split(",") for row in rows):
        shares = ",".join(f"{int(count) / 7:.2f}" for count in counts)
        days = np.datetime64(date) - np.arange(7)[::-1]
        lines += [f"{day},{place},{shares}" for day in days]
    return "\n".join(lines) + "\n"


def test_a_projection_stands_still_before_its_own_start(tmp_path, data):
    experiment = fitting("SMC", num_particles=12, num_generations=1)
    experiment["model"]["simulation"]["resample_frequency"] = "D"
    experiment["modelset"]["calibration"]["projection"]["n_trajectories"] = 20
    calibrating_start(experiment, 28)

    result = run_workload(build(tmp_path, experiment, by_day(data))[0])

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


def test_projections_are_drawn_from_the_chosen_generation(tmp_path, data):
    experiment = fitting("SMC", num_particles=8, num_generations=3)
    projections = {}
    for number in (0, 1, None):
        projection = {"n_trajectories": 25} | ({} if number is None else {"generation_number": number})
        experiment["modelset"]["calibration"]["projection"] = projection

        result = run_workload(build(tmp_path, experiment, data)[0])

        chosen = result.generations[-1 if number is None else number].particles.ravel()
        assert set(result.projected.ravel()) <= set(chosen)
        assert len(set(result.projected.ravel())) > 3
        projections[number] = result.projected.std()
    assert projections[None] < projections[0]


def test_a_generation_that_was_not_reached_is_told(tmp_path, data):
    experiment = fitting("SMC", num_particles=10, num_generations=20, total_simulations_budget=40)
    projection = {"n_trajectories": 5, "generation_number": 19}
    experiment["modelset"]["calibration"]["projection"] = projection

    with pytest.raises(UserError, match=r"generation 19.*stopped by total_simulations_budget"):
        run_workload(build(tmp_path, experiment, data)[0])


def test_without_a_projection_there_is_a_posterior_and_no_trajectory(tmp_path, data):
    experiment = fitting("SMC", num_particles=8, num_generations=1)
    del experiment["modelset"]["calibration"]["projection"]

    result = run_workload(build(tmp_path, experiment, data)[0])

    assert result.trajectories is None
    assert result.projected is None
    assert len(result.generations[0].weights) == 8


# -- reality


def test_a_calibration_on_real_admissions_fits_better_than_its_prior_and_projects_sanely(
    tmp_path, reference_data
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

    workload = build(tmp_path, experiment, population_folder=reference_data / "epydemix-data")[0]
    result = run_workload(workload)

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
