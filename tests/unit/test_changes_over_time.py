"""What changes over time becomes arrays by time point, with values known on paper."""

import datetime
import logging

import numpy as np
import pytest
import yaml

from modeling.build.warnings import warn_once
from tests.changes import CLOSURE, FROM_FILE, WAVE, changing, contacts, override, scaling, schedule_of
from tests.experiments import REPOSITORY, calibrated, sampled

FIRST = datetime.date(2025, 1, 5)
DAYS = 42  # to 2025-02-15


def on(values: np.ndarray, day: str, per_day: int = 1) -> np.ndarray:
    """Return the values of the time points of one day."""
    first = (datetime.date.fromisoformat(day) - FIRST).days * per_day
    return values[first : first + per_day]


def wave_factors(schedule) -> np.ndarray:
    wave = schedule.wave
    return wave.minimum + (wave.maximum - wave.minimum) * wave.shape


# -- seasonality


def test_a_wave_is_at_its_maximum_and_minimum_exactly_on_their_dates(tmp_path):
    factors = wave_factors(schedule_of(tmp_path, changing(season=WAVE)))

    assert factors.shape == (DAYS,)
    assert on(factors, "2025-01-10") == 2.0 == factors.max()
    assert on(factors, "2025-01-30") == 0.5 == factors.min()
    assert on(factors, "2025-01-20") == pytest.approx(1.25)  # half way
    assert on(factors, "2025-01-15") == pytest.approx(1.25 + 0.75 * np.sqrt(0.5))  # cos(45 degrees)


def test_a_wave_has_a_period_of_twice_its_season_else_of_365_days(tmp_path):
    of_40_days = schedule_of(tmp_path / "a", changing(season=WAVE, end_date="2026-01-24")).wave.shape
    year = {key: value for key, value in WAVE.items() if key != "seasonality_min_date"}
    of_a_year = schedule_of(tmp_path / "b", changing(season=year, end_date="2026-01-24")).wave.shape

    assert np.flatnonzero(of_40_days > 1 - 1e-12).tolist() == list(range(5, 385, 40))
    assert np.flatnonzero(of_a_year > 1 - 1e-12).tolist() == [5, 370]
    assert of_a_year.argmin() in (187, 188)  # half a period of 182.5 days later


def test_a_wave_is_evaluated_at_each_step_of_a_day(tmp_path):
    schedule = schedule_of(tmp_path, changing(season=WAVE, delta_t=0.25))

    noon = on(schedule.wave.shape, "2025-01-20", per_day=4)[2]
    assert schedule.points_per_day == 4
    assert schedule.wave.shape.shape == (4 * DAYS,)
    assert noon == pytest.approx((1 + np.cos(np.pi * 10.5 / 20)) / 2)


def test_a_date_of_the_maximum_may_be_years_away(tmp_path):
    far = WAVE | {
        "seasonality_max_date": "2024-01-06",
        "seasonality_min_date": "2024-01-26",
    }  # 370 days before

    shape = schedule_of(tmp_path, changing(season=far)).wave.shape

    assert on(shape, "2025-01-10") == pytest.approx((1 + np.cos(2 * np.pi * 370 / 40)) / 2)


@pytest.mark.parametrize("kind", ["scalar", "calculated", "sampled", "calibrated"])
def test_a_parameter_seasonality_min_replaces_min_value(tmp_path, kind):
    experiment = changing({"sampled": sampled, "calibrated": calibrated}.get(kind, lambda: changing()), WAVE)
    parameter = {"type": kind} | {"scalar": {"value": 0.5}, "calculated": {"value": "R0/4"}}.get(kind, {})
    experiment["model"]["parameters"]["seasonality_min"] = parameter
    if kind == "sampled":
        experiment["modelset"]["sampling"]["samplers"][0]["parameters"].append("seasonality_min")
        experiment["modelset"]["sampling"]["parameters"]["seasonality_min"] = {"values": [0.5, 0.6]}
    if kind == "calibrated":
        prior = {"prior": {"name": "uniform", "args": [0.5, 0.3]}}
        experiment["modelset"]["calibration"]["parameters"]["seasonality_min"] = prior

    assert schedule_of(tmp_path, experiment).wave.minimum == "seasonality_min"


def test_factors_of_a_file_are_interpolated_between_its_dates(tmp_path):
    rows = "date,value\n2025-03-01,0\n2025-01-05,1\n2025-01-09,2\n2025-02-15,2\n"

    factors = schedule_of(tmp_path, changing(season=FROM_FILE, delta_t=0.5), factors=rows).factors["beta"]

    assert factors[:9].tolist() == [1, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75, 1.875, 2]
    assert factors[-2:] == pytest.approx([2, 2 - 2 * 0.5 / 14])


def test_factors_of_a_file_may_be_those_of_several_populations(tmp_path):
    season = FROM_FILE | {"date_column": "day", "value_column": "factor", "location_column": "state"}
    rows = "state,day,factor\n" + "".join(
        f"{state},{day},{factor}\n"
        for state, factor in (("MA", 9), ("Vermont", 3))
        for day in ("2025-01-01", "2025-03-01")
    )

    schedule = schedule_of(tmp_path, changing(season=season, interventions=[scaling(0.5)]), factors=rows)

    assert on(schedule.factors["beta"], "2025-01-09") == 3
    assert on(schedule.factors["beta"], "2025-01-10") == 1.5  # by the intervention
    assert schedule.wave is None


# -- interventions


def test_an_intervention_lasts_from_its_first_to_its_last_day_whole(tmp_path):
    experiment = changing(
        interventions=[scaling(0.5), override(0.25, "2025-01-20", "2025-01-20")], delta_t=0.5
    )

    schedule = schedule_of(tmp_path, experiment)

    factors, overrides = schedule.factors["beta"], schedule.overrides["beta"]
    assert np.flatnonzero(factors != 1).tolist() == [10, 11, 12, 13, 14, 15]  # 10, 11 and 12 January
    assert np.flatnonzero(~np.isnan(overrides)).tolist() == [30, 31]
    assert overrides[30] == 0.25


def test_scalings_of_one_day_multiply_and_the_factor_0_is_a_factor(tmp_path):
    experiment = changing(
        interventions=[
            scaling(0.5),
            scaling(0.25, "2025-01-12", "2025-01-13"),
            scaling(0, "2025-01-20", "2025-01-20"),
            override(0, target="gamma"),
        ]
    )

    schedule = schedule_of(tmp_path, experiment)

    days = ("2025-01-11", "2025-01-12", "2025-01-13", "2025-01-20")
    assert [float(on(schedule.factors["beta"], day)[0]) for day in days] == [0.5, 0.125, 0.25, 0]
    assert on(schedule.overrides["gamma"], "2025-01-10") == 0


def test_factors_of_contacts_belong_to_a_layer_and_multiply(tmp_path):
    experiment = changing(
        interventions=[
            contacts(1.5, "2025-01-01", "2025-01-06"),
            contacts(0, "2025-01-06", "2025-01-06"),
            contacts(0.5, "2025-01-20", "2025-01-21", "school"),
            CLOSURE,  # Vermont is closed on Martin Luther King Jr. Day, 20 January
        ]
    )

    layers = schedule_of(tmp_path, experiment).contact_factors

    assert layers["home"][:3].tolist() == [1.5, 0, 1]
    assert on(layers["school"], "2025-01-20") == 0.5 * 0.25
    assert on(layers["school"], "2025-01-21") == 0.5
    assert sorted(layers) == ["home", "school"]


def test_a_model_without_changes_has_no_schedule(tmp_path):
    assert schedule_of(tmp_path, changing()) is None


def test_the_axis_begins_with_the_trajectory_that_starts_first(tmp_path):
    experiment = changing(sampled, interventions=[scaling(0.5)], start_date="sampled")
    sampling = experiment["modelset"]["sampling"]
    sampling["samplers"] = [{"strategy": "LHS", "n_samples": 20, "parameters": ["R0", "start_date"]}]
    sampling["parameters"]["R0"] = {"distribution": {"name": "uniform", "args": [1, 1]}}
    sampling["start_date"] = {
        "reference_date": "2025-01-05",
        "distribution": {"name": "randint", "args": [0, 3]},
    }

    schedule = schedule_of(tmp_path, experiment)

    assert schedule.first_day == FIRST
    assert np.flatnonzero(schedule.factors["beta"] == 0.5).tolist() == [5, 6, 7]


def test_the_example_of_the_docs_gives_the_rate_that_they_say(tmp_path):
    page = (REPOSITORY / "docs" / "changes-over-time.md").read_text()
    example = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])["model"]
    experiment = changing(start_date="2024-11-03", end_date="2025-03-01")
    experiment["model"] |= example

    schedule = schedule_of(tmp_path, experiment)

    day = (datetime.date(2025, 1, 20) - schedule.first_day).days
    assert schedule.wave.parameter == "beta"
    assert f"{0.08 * (wave_factors(schedule) * schedule.factors['beta'])[day]:.4f} per day" in page
    assert schedule.contact_factors["school"][day] == 0.25


# -- warnings


def a_scaled_day_that_an_override_replaces() -> dict:
    return changing(
        interventions=[scaling(0.5, "2025-01-10", "2025-01-13"), override(0.25, "2025-01-12", "2025-01-14")]
    )


def an_intervention_before_the_earliest_start() -> dict:
    experiment = changing(
        calibrated, interventions=[scaling(0.5, "2024-12-01", "2025-01-04")], start_date="calibrated"
    )
    prior = {"reference_date": "2025-01-05", "prior": {"name": "randint", "args": [0, 3]}}
    experiment["modelset"]["calibration"]["start_date"] = prior
    return experiment


def another_lowest_factor() -> dict:
    experiment = changing(season=WAVE)
    experiment["model"]["parameters"]["seasonality_min"] = {"type": "scalar", "value": 0.6}
    return experiment


def a_prior_above_the_highest_factor() -> dict:
    experiment = changing(calibrated, season=WAVE)
    experiment["model"]["parameters"]["seasonality_min"] = {"type": "calibrated"}
    prior = {"prior": {"name": "uniform", "args": [0.5, 2]}}
    experiment["modelset"]["calibration"]["parameters"]["seasonality_min"] = prior
    return experiment


def a_lowest_factor_beside_a_file() -> dict:
    experiment = changing(season=FROM_FILE)
    experiment["model"]["parameters"]["seasonality_min"] = {"type": "scalar", "value": 0.6}
    return experiment


def a_closure_without_a_closed_day() -> dict:
    return changing(interventions=[CLOSURE], start_date="2025-01-26")


def a_calendar_of_other_places() -> dict:
    return changing(interventions=[CLOSURE | {"calendar_path": "data/closed.csv"}])


def an_intervention_within_a_step_of_a_week() -> dict:
    return changing(interventions=[scaling(0.5, "2025-01-13", "2025-01-15")], delta_t=7)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            an_intervention_within_a_step_of_a_week,
            ["model.yaml:", "3 days of the intervention become 0, because a step of 7 days has the values"],
        ),
        (
            a_scaled_day_that_an_override_replaces,
            [
                "model.yaml:",
                "from 2025-01-12 to 2025-01-13 intervention 2 sets beta to 0.25",
            ],
        ),
        (
            an_intervention_before_the_earliest_start,
            ["2025-01-04, before the model's earliest first day 2025-01-05, and would change nothing"],
        ),
        (
            another_lowest_factor,
            ["model.yaml:", "seasonality_min (0.6) replaces min_value of the seasonality (0.5)"],
        ),
        (
            a_prior_above_the_highest_factor,
            ["modelset.yaml:", "can be from 0.5 to 2.5, but factors are from 0 to max_value 2"],
        ),
        (
            a_lowest_factor_beside_a_file,
            ["model.yaml:", "seasonality_min does not change a seasonality of method data_driven"],
        ),
        (
            a_closure_without_a_closed_day,
            ["model.yaml:", "no school of US-VT is closed from 2025-01-26 to 2025-02-15"],
        ),
        (
            a_calendar_of_other_places,
            ["the file of calendar_path has no rows for US-VT; the built-in calendar is used"],
        ),
    ],
)
def test_what_is_hardly_meant_is_warned_of(tmp_path, caplog, make, said):
    warn_once.cache_clear()
    closed = "location,start_date,end_date\nUS-MA,2025-01-13,2025-01-17\n"
    factors = "date,value\n2025-01-01,1\n2025-03-01,2\n"

    with caplog.at_level(logging.WARNING):
        schedule_of(tmp_path, make(), closed=closed, factors=factors)

    warnings = [r.getMessage() for r in caplog.records if "simulated" not in r.getMessage()]
    about = [w for w in warnings if said[-1] in w]
    assert len(about) == 1, warnings
    assert all(fragment in about[0] for fragment in said)
