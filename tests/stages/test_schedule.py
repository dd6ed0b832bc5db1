"""What changes over time in a model happens on its days and by its amount: against truths on paper."""

import datetime
from dataclasses import replace

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.initial import InfeasibleDraw
from modeling.simulate.run import run_workload
from modeling.simulate.with_epydemix.simulator import Simulator
from modeling.workload import Calibrate, Flow, Observed, Simulate, Wave, Workload
from pipeline.pickles import decode_workload, encode_workload
from tests.schedules import MANY, SIX_WEEKS, axis, day, in_span, leaving, path_of, scheduled, vaccinating
from tests.small_models import SCHOOL, START, plan


def workload_of(of, task, **changes) -> Workload:
    fields = {
        "index": 0,
        "primary_id": 0,
        "population": "US-VT",
        "population_name": "United_States_Vermont",
        "seed": 1,
        "entropy": (1, 2),
        "plan": of,
        "start_date": START,
        "end_date": day(SIX_WEEKS - 1),
        "task": task,
    }
    return Workload(**fields | changes)


# -- parameters


def wave(of, lowest=0.5, highest=1.25) -> Wave:
    """Return a wave that is highest on day 10 and lowest on day 30."""
    return Wave("r", (1 + np.cos(np.pi / 20 * axis(of).days_after(day(10)))) / 2, lowest, highest)


def daily_hazard(s: dict, of) -> np.ndarray:
    """Return the hazard of leaving S that each time step shows [1/day]."""
    left = s["S_to_R_total"]
    return -np.log1p(-left / (s["S_total"] + left)) / of.delta_t_days


@pytest.mark.parametrize("delta_t", [1.0, 0.5])
def test_a_wave_is_at_its_maximum_and_its_minimum_on_their_dates(delta_t):
    of = leaving(delta_t_days=delta_t)

    hazard = daily_hazard(path_of(scheduled(of, wave=wave(of))), of)

    highest, lowest = round(10 / delta_t), round(30 / delta_t)
    assert hazard[highest] == pytest.approx(0.02 * 1.25, rel=0.005)
    assert hazard[lowest] == pytest.approx(0.02 * 0.5, rel=0.008)
    assert hazard[round(20 / delta_t)] == pytest.approx(0.02 * (1.25 + 0.5) / 2, rel=0.006)
    assert abs(np.argmax(hazard) - highest) * delta_t <= 2
    assert abs(np.argmin(hazard) - lowest) * delta_t <= 2


def test_a_drawn_parameter_replaces_the_minimum_of_a_wave():
    of = leaving()
    drawn = scheduled(of, wave=wave(of, lowest="seasonality_min"))

    hazard = daily_hazard(path_of(drawn, draw={"seasonality_min": 0.25}), of)

    assert hazard[30] == pytest.approx(0.02 * 0.25, rel=0.01)
    assert hazard[10] == pytest.approx(0.02 * 1.25, rel=0.005)


def test_scalings_multiply_the_wave_and_an_override_replaces_all():
    of = leaving()
    factors = in_span(of, 8, 12, 0.4) * in_span(of, 10, 30, 0.5)
    overrides = in_span(of, 12, 13, 0.03, otherwise=np.nan)

    hazard = daily_hazard(
        path_of(scheduled(of, wave=wave(of), factors={"r": factors}, overrides={"r": overrides})), of
    )

    expected = {10: 0.02 * 1.25 * 0.4 * 0.5, 12: 0.03, 13: 0.03, 30: 0.02 * 0.5 * 0.5}
    assert {d: hazard[d] for d in expected} == {d: pytest.approx(h, rel=0.01) for d, h in expected.items()}


@pytest.mark.parametrize("delta_t", [1.0, 0.5, 0.25])
def test_an_override_holds_on_all_steps_of_its_first_and_last_day_and_on_no_other(delta_t):
    of = leaving(delta_t_days=delta_t)

    s = path_of(scheduled(of, overrides={"r": in_span(of, 5, 9, 0.0, otherwise=np.nan)}))

    is_still = s["S_to_R_total"] == 0
    assert (np.flatnonzero(is_still) * delta_t).astype(int).tolist() == [
        d for d in (5, 6, 7, 8, 9) for _ in range(round(1 / delta_t))
    ]


def test_a_step_of_a_week_takes_the_values_of_its_first_day():
    of = leaving(delta_t_days=7.0)

    s = path_of(scheduled(of, factors={"r": in_span(of, 8, 14, 0.0)}))

    assert (s["S_to_R_total"] == 0).tolist() == [False, False, True, False, False, False]


def test_a_calculated_parameter_changes_but_those_that_use_it_keep_its_unchanged_value():
    of = leaving(
        flows=[Flow("S", "I", "a"), Flow("S", "R", "b")],
        parameters={"r": 0.01},
        calculated=[("a", "2 * r"), ("b", "a / 2")],
    )

    s = path_of(scheduled(of, factors={"a": in_span(of, 0, 41, 0.0)}))

    assert s["S_to_I_total"].sum() == 0
    assert s["S_to_R_total"][0] == pytest.approx(1e8 * -np.expm1(-0.01), rel=0.01)


def test_parameters_by_age_change_alike():
    of = leaving(parameters={"r": np.array([0.01, 0.03])})

    s = path_of(scheduled(of, factors={"r": in_span(of, 0, 41, 0.5)}))

    assert s["S_to_R_0-17"][0] == pytest.approx(4e7 * -np.expm1(-0.005), rel=0.01)
    assert s["S_to_R_18+"][0] == pytest.approx(6e7 * -np.expm1(-0.015), rel=0.01)


def test_the_values_of_a_result_are_the_unchanged_ones():
    of = leaving(initial={"S": "default", "I": None, "R": None})
    changed = scheduled(of, wave=wave(of), factors={"r": in_span(of, 0, 9, 0.5)})
    small = replace(changed, sizes=np.array([400, 600]), initial={"S": "default", "I": 20, "R": None})

    result = run_workload(workload_of(small, Simulate(0, 1, 1, {})))

    assert result.parameters == {"r": 0.02}


WRONG = {
    "minimum above the maximum": (
        lambda of: {"wave": wave(of, lowest="low")},
        {"low": 1.5},
        "low replaces min_value of the seasonality and must be one number from 0 to max_value 1.25, not 1.5",
    ),
    "negative minimum": (lambda of: {"wave": wave(of, lowest="low")}, {"low": -0.1}, "not -0.1"),
    "negative on some days": (
        lambda of: {"overrides": {"r": in_span(of, 9, 10, -0.5, otherwise=np.nan)}},
        {},
        r'"r" is negative \(-0.5\) on 2025-01-14',
    ),
    "without an end": (
        lambda of: {"factors": {"r": in_span(of, 9, 10, np.inf)}},
        {},
        '"r" is not a finite number',
    ),
}


@pytest.mark.parametrize("is_drawn", [True, False])
@pytest.mark.parametrize("name", WRONG)
def test_a_change_that_gives_an_impossible_rate_is_never_simulated(name, is_drawn):
    changes, parameters, said = WRONG[name]
    parameters = {"r": 0.02} | parameters
    of = leaving(parameters={} if is_drawn else parameters)

    with pytest.raises(InfeasibleDraw if is_drawn else UserError, match=said):
        path_of(scheduled(of, **changes(of)), draw=parameters if is_drawn else {})


# -- contacts


@pytest.mark.parametrize(
    ("delta_t", "days"),
    [
        (1.0, [*range(7, 14), 20, 28, 29, 30]),
        (0.5, [*range(7, 14), 20, 28, 29, 30]),
        (7.0, [7, 28]),
    ],
)
def test_closed_schools_have_no_contacts_on_exactly_their_days(delta_t, days):
    of = plan(
        contacts={"school": SCHOOL}, initial={"S": "default", "I": 100, "R": None}, delta_t_days=delta_t
    )
    of = replace(of, sizes=of.sizes * 10_000, flows=[Flow("S", "I", "beta", "I")])
    closed = in_span(of, 7, 13, 0.0) * in_span(of, 20, 20, 0.0) * in_span(of, 28, 30, 0.0)

    s = path_of(scheduled(of, contact_factors={"school": closed}))

    steps_a_day = max(1, round(1 / delta_t))
    infected = s["S_to_I_total"].reshape(-1, steps_a_day)
    assert ((infected == 0).all(axis=1) == (infected == 0).any(axis=1)).all()
    assert (np.flatnonzero(infected[:, 0] == 0) * max(1, round(delta_t))).tolist() == days


def test_a_factor_of_a_layer_leaves_the_others_and_the_eigenvalue():
    of = plan(initial={"S": "default", "I": [40_000_000, 0], "R": None}, sizes=np.array([80_000_000] * 2))
    fixed = {"c": 0.1 * (8.5 + np.sqrt(18.25)) / 2}  # 0.1 x the eigenvalue of [[6, 1.5], [1, 2.5]]
    of = replace(of, flows=[Flow("S", "I", "b", "I")], parameters=fixed, calculated=[("b", "c/eigenvalue")])

    s = path_of(scheduled(of, contact_factors={"school": in_span(of, 0, 41, 0.25)}))

    hazard = 0.1 * (4.0 * 0.25 + 2.0) * 0.5  # beta, contacts of children at school and at home, infectious
    assert s["S_to_I_0-17"][0] == pytest.approx(4e7 * -np.expm1(-hazard), rel=0.005)


# -- a later first day


@pytest.mark.parametrize("delta_t", [1.0, 0.5])
@pytest.mark.parametrize("first", [0, 17, 25])
def test_every_change_keeps_its_days_when_a_trajectory_starts_later(first, delta_t):
    of = plan(
        sizes=MANY,
        contacts={"school": SCHOOL},
        flows=[Flow("S", "I", "beta", "I"), Flow("I", "R", "a"), Flow("S", "R", "b"), Flow("R", "S", "c")],
        parameters={"beta": 0.02, "a": 0.02, "b": 0.02, "c": 0.02},
        initial={"S": "default", "I": 0.2, "R": 0.2},
        delta_t_days=delta_t,
    )
    of = scheduled(
        of,
        contact_factors={"school": in_span(of, 20, 22, 0.0)},
        overrides={"a": in_span(of, 24, 26, 0.0, otherwise=np.nan)},
        factors={"b": in_span(of, 28, 28, 0.0)},
        wave=Wave("c", in_span(of, 30, 33, 0.0), 0.0, 1.0),
    )

    s = path_of(of, first)

    names = ("S_to_I_total", "I_to_R_total", "S_to_R_total", "R_to_S_total")
    still = [(first + np.flatnonzero(s[name] == 0) * delta_t).astype(int).tolist() for name in names]
    assert still == [
        [d for d in days if d >= first for _ in range(round(1 / delta_t))]
        for days in ([20, 21, 22], [24, 25, 26], [28], [30, 31, 32, 33])
    ]


# -- doses

DOSES = np.column_stack([np.full(SIX_WEEKS, 20_000.0), np.linspace(0, 80_000, SIX_WEEKS)])
EARLIER = np.array([100_000.0, 300_000.0])


def sigmas(given: float, due: float) -> float:
    return abs(given - due) / np.sqrt(due)


@pytest.mark.parametrize(
    ("first", "delta_t"), [*((d, t) for d in range(15) for t in (1.0, 0.5)), (0, 7.0), (7, 7.0), (14, 7.0)]
)
def test_no_dose_is_lost_for_any_first_day(first, delta_t):
    of = scheduled(vaccinating(delta_t_days=delta_t), doses=DOSES, doses_before=EARLIER)

    s = path_of(of, first)

    assert sigmas(s["S_to_V_0-17"].sum(), DOSES[:, 0].sum() + EARLIER[0]) < 4
    assert sigmas(s["S_to_V_18+"].sum(), DOSES[:, 1].sum() + EARLIER[1]) < 4


@pytest.mark.parametrize(("weekday", "first", "until"), [("Wed", 3, 6), ("Sat", 6, 13), ("Sun", 7, 13)])
def test_earlier_doses_are_given_evenly_from_the_first_day_to_the_next_saturday(weekday, first, until):
    of = scheduled(vaccinating(), doses=DOSES, doses_before=EARLIER)
    assert day(first).strftime("%a") == weekday

    given = path_of(of, first)["S_to_V_18+"]

    late = EARLIER[1] + DOSES[:first, 1].sum()
    window = until - first + 1
    due = DOSES[first:, 1] + np.where(np.arange(SIX_WEEKS - first) < window, late / window, 0)
    assert max(sigmas(*pair) for pair in zip(given, due, strict=True) if pair[1]) < 4


def test_a_schedule_without_earlier_doses_starts_with_those_of_its_first_day():
    of = scheduled(vaccinating(), doses=DOSES)

    assert sigmas(path_of(of)["S_to_V_0-17"][0], 20_000) < 4


def test_a_third_of_the_people_is_vaccinated_by_as_many_doses():
    """A hazard of doses / people would reach 28 % of them."""
    doses = np.zeros((SIX_WEEKS, 2))
    doses[0] = [40_000_000 / 3, 20_000_000]

    s = path_of(scheduled(vaccinating(), doses=doses))

    assert sigmas(s["S_to_V_total"].sum(), doses.sum()) < 4


def test_eligible_compartments_share_the_doses_by_their_people():
    of = vaccinating(["S", "R"], initial={"S": "default", "R": 0.75, "V": None})

    s = path_of(scheduled(of, doses=DOSES))

    assert sigmas(s["S_to_V_0-17"][:3].sum(), 20_000 / 4 * 3) < 4


def test_everybody_is_vaccinated_where_there_are_more_doses_than_people():
    of = scheduled(vaccinating(sizes=np.array([400, 600])), doses=np.full((SIX_WEEKS, 2), 500.0))

    s = path_of(of)

    assert s["S_to_V_0-17"].tolist()[:3] == [400, 0, 0]
    assert s["V_total"][-1] == 1000


@pytest.mark.parametrize(("doses", "warned"), [(500.0, True), (4.0, False)])
def test_doses_that_nobody_is_eligible_for_are_warned_of_once_a_workload(caplog, doses, warned):
    amount = np.zeros((SIX_WEEKS, 2))
    amount[3:5] = doses
    some = {"S": "default", "R": [100, 0], "V": None}
    of = scheduled(vaccinating(["S", "R"], sizes=np.array([400, 10_000]), initial=some), doses=amount)

    run_workload(workload_of(of, Simulate(0, 3, 3, {})))

    said = [record.getMessage() for record in caplog.records]
    expected = (
        "500.0 vaccine doses a trajectory are not given, because fewer people are eligible than doses are due"
    )
    where = "(mean of 3 of 3 simulated trajectories, first on 2025-01-08)"
    assert said == ([f"US-VT: {expected} {where}"] if warned else [])


def test_a_vaccination_keeps_its_place_among_the_transitions():
    of = vaccinating(
        compartments=["S", "I", "R", "V"],
        flows=[Flow("S", "I", 0.1), Flow("S", "V", "", eligible=["S"]), Flow("I", "R", 0.1)],
        initial={"S": "default", "I": None, "R": None, "V": 0.0},
    )

    s = path_of(scheduled(of, doses=DOSES))

    assert of.transitions == ["S_to_I", "S_to_V", "I_to_R"]
    assert s["I_to_R_total"][0] == 0
    assert 0 < s["S_to_V_total"][0] < 25_000


# -- a calibrated start, and files


def calibrating(of, name: str, prior: tuple, simulations: int) -> Workload:
    """Return a calibration that keeps every draw that can be simulated, and projects as many."""
    last = next(reversed(of.transition_series))
    dates = np.array([day(d) for d in range(16, 21)], dtype="datetime64[D]")
    task = Calibrate(
        strategy="top_fraction",
        options={"Nsim": simulations, "top_fraction": 1.0},
        max_seconds=None,
        distance="rmse",
        priors={name: prior},
        observed=[Observed("people", [last], dates, np.full(5, 50_000.0), np.ones(5, dtype=bool))],
        fit_end=day(20),
        projections=simulations,
        generation=None,
    )
    return workload_of(replace(of, resample_frequency="D"), task)


def test_a_calibrated_start_gives_every_dose_in_each_projection():
    of = scheduled(vaccinating(), doses=DOSES, doses_before=EARLIER)

    result = run_workload(calibrating(of, "start_date", ("randint", [0, 15], {}), simulations=8))

    starts = result.projected[:, 0].astype(int)
    given = result.trajectories.series("S_to_V_total")
    assert len(set(starts)) > 3
    for first, by_day in zip(starts, given, strict=True):
        assert (by_day[:first] == 0).all()
        assert sigmas(by_day.sum(), DOSES.sum() + EARLIER.sum()) < 4


def test_a_calibration_never_accepts_a_minimum_above_the_maximum():
    of = leaving(parameters={"r": 0.001})
    of = scheduled(of, wave=wave(of, lowest="seasonality_min", highest=0.5))

    result = run_workload(calibrating(of, "seasonality_min", ("uniform", [0, 1], {}), simulations=20))

    accepted = result.generations[-1].particles[:, 0]
    assert 0 < len(accepted) < 20
    assert accepted.max() <= 0.5
    assert result.simulations == 20


def test_a_plan_with_a_schedule_passes_through_its_file():
    of = vaccinating(flows=[Flow("S", "R", "r"), Flow("S", "V", "", eligible=["S"])], parameters={"r": 0.02})
    of = scheduled(
        of,
        wave=wave(of, lowest=0.1),
        factors={"r": in_span(of, 3, 4, 2.0)},
        overrides={"r": in_span(of, 5, 6, 0.1, otherwise=np.nan)},
        contact_factors={"school": in_span(of, 3, 9, 0.0)},
        doses=DOSES,
        doses_before=EARLIER,
    )

    read = decode_workload(encode_workload(workload_of(of, Simulate(0, 1, 1, {}))), "input_0000.pkl")

    end = START + datetime.timedelta(days=20)
    ours, theirs = (Simulator(p).run({}, START, end, np.random.default_rng(2)) for p in (of, read.plan))
    assert (ours.by_transition == theirs.by_transition).all()
    assert read.format == 2
