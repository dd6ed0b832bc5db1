"""What a calibration never accepts: impossible starts, people and rates."""

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.simulate.run import run_workload
from tests.builds import build
from tests.calibrations import PEOPLE, WHOLE_PEOPLE, calibrating_people, calibrating_start, fitting
from tests.experiments import OBSERVED, calibrated


@pytest.mark.parametrize(
    "prior", [("uniform", [1.8, 1e-15]), ("norm", [1.8, 1e-30]), ("norm", [1.8, 1e-200])]
)
def test_a_prior_of_hardly_any_width_has_a_posterior(tmp_path, data, prior, engine):
    experiment = fitting("SMC", num_particles=6, num_generations=3)
    name, args = prior
    experiment["modelset"]["calibration"]["parameters"]["R0"]["prior"] = {"name": name, "args": args}

    result = run_workload(build(tmp_path, experiment, data)[0], engine)

    assert result.stopped_by == ""
    assert result.generations[-1].weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(result.generations[-1].particles, 1.8, rtol=1e-12)


@pytest.mark.parametrize("name", ["rng", "data", "distance_of"])
def test_a_parameter_may_have_any_name_that_no_table_uses(tmp_path, data, name, engine):
    experiment = fitting("SMC", num_particles=4, num_generations=2)
    experiment["model"]["parameters"] |= {"R0": {"type": "calculated", "value": name}}
    experiment["model"]["parameters"][name] = {"type": "calibrated"}
    priors = experiment["modelset"]["calibration"]["parameters"]
    priors[name] = priors.pop("R0")

    result = run_workload(build(tmp_path, experiment, data)[0], engine)

    assert result.parameter_names == [name]
    assert ((result.generations[-1].particles >= 1) & (result.generations[-1].particles <= 2.5)).all()


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


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("SMC", {"num_particles": 15, "num_generations": 3}),
        ("rejection", {"num_particles": 15, "epsilon": 1e6}),
        ("top_fraction", {"Nsim": 60, "top_fraction": 0.05}),
        ("top_fraction", {"Nsim": 60, "top_fraction": 0.9}),
    ],
)
def test_a_draw_of_more_people_than_there_are_is_never_accepted(tmp_path, data, strategy, options, engine):
    everybody_and_more = {"name": "uniform", "args": [100, 2_000_000]}
    experiment = calibrating_people(fitting(strategy, **options), everybody_and_more)

    result = run_workload(build(tmp_path, experiment, data)[0], engine)

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


def test_a_prior_of_whole_people_may_hold_nobody(tmp_path, data, engine):
    experiment = calibrating_people(fitting("SMC", num_particles=6, num_generations=2), WHOLE_PEOPLE)

    result = run_workload(build(tmp_path, experiment, data)[0], engine)

    people = result.generations[-1].particles[:, result.parameter_names.index("I")]
    assert set(people) <= set(range(5))


def test_a_prior_of_fewer_than_no_people_is_refused(tmp_path, data):
    experiment = calibrating_people(fitting("SMC"), {"name": "uniform", "args": [-0.2, 0.1]})

    with pytest.raises(UserError, match=r"neither a share nor a number of people can be below 0"):
        build(tmp_path, experiment, data)


@pytest.mark.parametrize("strategy", ["SMC", "rejection"])
def test_a_prior_that_is_hardly_ever_possible_ends_with_a_remedy(tmp_path, data, strategy, engine):
    experiment = calibrating_people(fitting(strategy), {"name": "uniform", "args": [1e7, 1e7]})

    with pytest.raises(
        UserError, match=r"US-VT: 2000 draws in a row cannot be simulated .*narrow the priors"
    ):
        run_workload(build(tmp_path, experiment, data)[0], engine)


def test_a_top_fraction_of_nothing_possible_ends_with_a_remedy(tmp_path, data, engine):
    experiment = fitting("top_fraction", Nsim=40, top_fraction=0.5)
    calibrating_people(experiment, {"name": "uniform", "args": [1e7, 1e7]})

    with pytest.raises(UserError, match="no particle accepted in 40 simulations"):
        run_workload(build(tmp_path, experiment, data)[0], engine)


def test_a_negative_or_endless_rate_is_never_accepted(tmp_path, data, engine):
    experiment = fitting("SMC", num_particles=10, num_generations=2)
    experiment["modelset"]["calibration"]["parameters"]["R0"]["prior"] = {"name": "uniform", "args": [-2, 5]}
    experiment["model"]["parameters"]["beta"]["value"] = "np.sqrt(R0) * gamma / eigenvalue"

    result = run_workload(build(tmp_path, experiment, data)[0], engine)

    assert all((generation.particles >= 0).all() for generation in result.generations)
