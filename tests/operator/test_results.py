"""A result that cannot be right goes no further."""

import datetime
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.outputs.ensemble import Ensemble
from modeling.outputs.quantiles import quantiles, weighted_quantiles
from modeling.result_checks import check_result
from modeling.workload import (
    Expected,
    Fit,
    Generation,
    Observed,
    Result,
    Trajectories,
)

DATES = np.arange("2025-01-11", "2025-02-02", 7, dtype="datetime64[D]").astype("datetime64[s]")
EXPECTED = Expected(2, datetime.date(2025, 1, 5), datetime.date(2025, 2, 1), people=100)
EXACT = replace(EXPECTED, dates=DATES, groups=1)  # as the built-in suite knows it


def trajectories() -> Trajectories:
    """Return two trajectories of 100 people in one age group on four Saturdays."""
    susceptible = np.array([[90, 80, 60, 50], [95, 95, 90, 85]], dtype=np.int32)
    people = np.stack([susceptible, susceptible, 100 - susceptible, 100 - susceptible], axis=1)
    moved = np.array([[5, 10, 20, 10], [0, 0, 5, 5]], dtype=np.int32)
    names = ["S_0+", "S_total", "I_0+", "I_total"]
    return Trajectories(DATES, names, ["S_to_I_0+", "S_to_I_total"], people, np.stack([moved, moved], axis=1))


def simulation() -> Result:
    return Result(
        index=3,
        primary_id=0,
        population="US-VT",
        population_name="United_States_Vermont",
        seed=1,
        delta_t_days=1.0,
        kind="simulation",
        expected=EXPECTED,
        trajectories=trajectories(),
        ensemble_total=2,
    )


def calibration() -> Result:
    days = DATES.astype("datetime64[D]")
    observed = Observed("cases", ["S_to_I_total"], days, np.arange(4.0), np.array([True, True, True, False]))
    generation = Generation(0, np.array([[1.5], [1.8]]), np.array([0.25, 0.75]), np.array([3.0, 2.0]))
    return replace(
        simulation(),
        kind="calibration",
        parameter_names=["R0"],
        generations=[generation],
        fits=[Fit(observed, np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]]))],
        projected=np.array([[1.5], [1.8]]),
    )


def with_trajectories(**changes) -> Result:
    return replace(simulation(), trajectories=replace(trajectories(), **changes))


def exactly(**changes) -> Result:
    return replace(with_trajectories(**changes), expected=EXACT)


def with_generation(**changes) -> Result:
    result = calibration()
    return replace(result, generations=[replace(result.generations[0], **changes)])


def changed(array: np.ndarray, place: tuple, value: float) -> np.ndarray:
    array = array.astype(float) if isinstance(value, float) else array.copy()
    array[place] = value
    return array


def test_a_right_result_passes():
    check_result(simulation())
    check_result(calibration())


@pytest.mark.parametrize(
    ("frequency", "dates"),
    [
        ("days", np.arange("2025-01-05", "2025-02-02", dtype="datetime64[D]")),
        ("weeks past the end", np.arange("2025-01-05", "2025-02-09", 7, dtype="datetime64[D]")),
        ("first days of months", np.array(["2025-01-01", "2025-02-01"], dtype="datetime64[D]")),
        ("last days of months", np.array(["2025-01-31", "2025-02-28"], dtype="datetime64[D]")),
        ("one bin", np.array(["2025-01-31"], dtype="datetime64[D]")),
    ],
)
def test_dates_of_any_resampling_pass(frequency, dates):
    counts = np.zeros((2, 4, len(dates)), dtype=int)
    counts[:, :2] = 100

    check_result(
        with_trajectories(
            dates=dates.astype("datetime64[s]"),
            in_compartments=counts,
            by_transition=np.zeros((2, 2, len(dates)), dtype=int),
        )
    )


whole = trajectories()

WRONG = {
    "another format": (replace(simulation(), format=0), "format 0 is not 2"),
    "no trajectories": (
        replace(simulation(), trajectories=None),
        "2 trajectories expected, but there are none",
    ),
    "trajectories without a projection": (
        replace(simulation(), expected=replace(EXACT, trajectories=0)),
        "0 trajectories expected, but there are some",
    ),
    "a week missing in the middle": (
        exactly(
            dates=DATES[[0, 1, 3]],
            in_compartments=trajectories().in_compartments[:, :, [0, 1, 3]],
            by_transition=trajectories().by_transition[:, :, [0, 1, 3]],
        ),
        "3 dates 2025-01-11",
    ),
    "all dates a week back": (
        exactly(dates=DATES - np.timedelta64(7, "D")),
        "4 dates 2025-01-04",
    ),
    "an age group off": (
        exactly(in_compartments=trajectories().in_compartments + np.array([1, 0, 0, 0])[:, None]),
        "do not add up to their total",
    ),
    "a trajectory short": (
        replace(simulation(), expected=replace(EXPECTED, trajectories=3)),
        "2 trajectories instead of 3",
    ),
    "a negative count": (
        with_trajectories(by_transition=changed(whole.by_transition, (0, 0, 2), -1)),
        r"negative counts \(lowest -1\)",
    ),
    "a negative number of people": (
        with_trajectories(in_compartments=changed(whole.in_compartments, (0, 0, 2), -1)),
        r"negative counts \(lowest -1\)",
    ),
    "a count that is none": (
        with_trajectories(by_transition=changed(whole.by_transition, (1, 1, 0), np.nan)),
        "counts that are not finite",
    ),
    "an endless count": (
        with_trajectories(in_compartments=changed(whole.in_compartments, (0, 1, 0), np.inf)),
        "counts that are not finite",
    ),
    "people who vanish": (
        with_trajectories(in_compartments=changed(whole.in_compartments, (1, 3, 2), 9)),
        "99 people in its compartments instead of 100",
    ),
    "people who appear": (
        with_trajectories(in_compartments=changed(whole.in_compartments, (0, 1, 0), 91)),
        "101 people in its compartments instead of 100",
    ),
    "other people": (
        replace(simulation(), expected=replace(EXPECTED, people=101)),
        "100 people in its compartments instead of 101",
    ),
    "dates backwards": (with_trajectories(dates=DATES[::-1]), "dates do not increase"),
    "a date twice": (with_trajectories(dates=DATES[[0, 1, 1, 2]]), "dates do not increase"),
    "dates of another year": (
        with_trajectories(dates=DATES + np.timedelta64(365, "D")),
        "instead of 2025-01-05",
    ),
    "a start too early": (with_trajectories(dates=DATES - np.timedelta64(20, "D")), "instead of 2025-01-05"),
    "an end too early": (
        replace(simulation(), expected=replace(EXPECTED, last_date=datetime.date(2025, 4, 1))),
        "instead of 2025-01-05 to 2025-04-01",
    ),
    "a series short": (with_trajectories(compartments=["S_0+", "S_total"]), "for 2 series, 4 dates"),
    "a date short": (with_trajectories(by_transition=whole.by_transition[:, :, :3]), "for 2 series, 4 dates"),
    "weights that add up to 2": (with_generation(weights=np.array([1.0, 1.0])), "is not a distribution"),
    "a negative weight": (with_generation(weights=np.array([-0.5, 1.5])), "is not a distribution"),
    "a weight that is none": (with_generation(weights=np.array([np.nan, 1.0])), "is not a distribution"),
    "a particle that is none": (
        with_generation(particles=np.array([[np.nan], [1.0]])),
        "is not a distribution",
    ),
    "a distance that is none": (with_generation(distances=np.array([np.inf, 1.0])), "is not a distribution"),
    "a particle short": (with_generation(particles=np.array([[1.0]])), "has a wrong shape"),
    "a parameter short": (replace(calibration(), parameter_names=["R0", "gamma"]), "has a wrong shape"),
    "a negative fit": (
        replace(calibration(), fits=[replace(calibration().fits[0], values=np.full((2, 3), -1.0))]),
        "fit to cases: negative counts",
    ),
    "a fit of another length": (
        replace(calibration(), fits=[replace(calibration().fits[0], values=np.ones((2, 4)))]),
        r"fit of shape \(2, 4\) instead of \(2, 3\)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_result_is_refused_by_name(name):
    result, message = WRONG[name]

    with pytest.raises(UserError, match=message) as caught:
        check_result(result)

    assert str(caught.value).startswith("result 3 (US-VT): ")


def test_a_calibration_without_a_posterior_is_refused():
    with pytest.raises(UserError, match="a calibration without posterior or fit"):
        check_result(replace(calibration(), generations=[]))


def test_quantiles_with_equal_weights_are_those_without():
    values = np.random.default_rng(1).normal(size=(7, 3))
    levels = [0.025, 0.25, 0.5, 0.9, 0.975]

    for weights in (np.full(7, 1 / 7), np.full(7, 3.0), np.array([1, 1, 1, 1, 1, 1, 1 + 1e-12])):
        found = weighted_quantiles(values, weights, levels)
        np.testing.assert_allclose(found, quantiles(values, levels), rtol=1e-9)
    np.testing.assert_array_equal(quantiles(np.arange(11.0), [0.05, 0.5]), [0.5, 5])  # type 7


def test_a_weighted_quantile_is_the_mean_over_the_weight_of_one_effective_sample():
    values = np.array([[4.0, 10.0], [2.0, 30.0], [1.0, 20.0], [3.0, 40.0], [99.0, -99.0]])
    weights = np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    effective = 1 / 0.3  # 1 / (0.01 + 0.04 + 0.09 + 0.16)

    found = weighted_quantiles(values, weights, [0.1, 0.5, 0.95])

    for column, ordered, summed in (
        (0, [1.0, 2.0, 3.0, 4.0], [0, 0.3, 0.5, 0.9, 1]),
        (1, [10.0, 20.0, 30.0, 40.0], [0, 0.1, 0.4, 0.6, 1]),
    ):
        for row, level in enumerate([0.1, 0.5, 0.95]):
            first = level * (effective - 1) / effective
            last = first + 1 / effective
            inside = [max(0, min(high, last) - max(low, first)) for low, high in pairwise(summed)]
            mean = sum(w * v for w, v in zip(inside, ordered, strict=True)) * effective
            assert found[row, column] == pytest.approx(mean)


@pytest.mark.parametrize("weights", [[1, 0, 0], [0.98, 0.01, 0.01], [1e-300, 1, 1e-300], [0.2, 0.3, 0.5]])
def test_weighted_quantiles_rise_and_stay_among_the_values(weights):
    values = np.array([[5.0, 0.1, 7.0], [6.0, 0.1, -2.0], [9.0, 0.1, 3.0]])

    found = weighted_quantiles(values, np.array(weights), [0.01, 0.05, 0.5, 0.95, 0.99])

    assert (np.diff(found, axis=0) >= 0).all()
    assert ((found >= values.min(axis=0)) & (found <= values.max(axis=0))).all()
    assert (found[:, 1] == 0.1).all()


def test_the_parts_of_an_ensemble_have_the_same_dates():
    ensemble = Ensemble(replace(simulation(), ensemble_total=4))
    later = replace(with_trajectories(dates=DATES + np.timedelta64(7, "D")), ensemble_total=4)

    with pytest.raises(UserError, match="result 3: its dates are not those of the rest of its ensemble"):
        ensemble.add(later)
    ensemble.add(replace(simulation(), ensemble_total=4))

    assert ensemble.count == 4
    assert ensemble.series("I_total").shape == (4, 4)
