"""The method growth_regression on real vintages of seven locations: what it may know, and what it returns."""

import datetime
from dataclasses import replace

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.forecast.growth_regression import forecast
from modeling.forecast.methods import METHODS
from modeling.forecast.settings import SETTINGS
from modeling.forecast_records import WEEK, History
from modeling.hubs import MEDIAN
from tests.flu_vintages import FIRST_WEEK, LOCATIONS, PEOPLE, history, known_on, same, vintages

DAY = datetime.date.fromisoformat
OHIO, PENNSYLVANIA, VERMONT = (LOCATIONS.index(fips) for fips in ("39", "42", "50"))
WINTER = DAY("2024-12-21")
DATES = ["2024-11-23", "2024-12-21", "2025-01-25", "2025-02-22", "2025-05-31"]


def past(with_history: bool) -> History | None:
    return history() if with_history else None


def test_experiments_can_name_it():
    assert METHODS["growth_regression"] is forecast


@pytest.mark.parametrize("with_history", [False, True], ids=["alone", "history"])
@pytest.mark.parametrize("date", DATES)
def test_a_forecast_has_whole_increasing_quantiles_of_all_locations_and_horizons(date, with_history):
    found = forecast(known_on(DAY(date)), LOCATIONS, PEOPLE, past(with_history))

    values = found.quantiles.values
    assert found.quantiles.reference_date == DAY(date)
    assert values.shape == (5, len(LOCATIONS), 23)
    assert (values == np.rint(values)).all()
    assert (values >= 0).all()
    assert (np.diff(values, axis=-1) >= 0).all()
    assert (values[1:, -1, -1] > values[1:, -1, 0]).all()
    assert found.nowcast.shape == (3, len(LOCATIONS))


@pytest.mark.parametrize("with_history", [False, True], ids=["alone", "history"])
@pytest.mark.parametrize("date", ["2024-12-21", "2025-01-25", "2025-02-22"])
def test_later_vintages_change_no_bit_of_a_forecast(date, with_history):
    known = known_on(DAY(date))
    destroyed = {
        as_of: counts if as_of <= known.as_of else np.full_like(counts, 12345.0)
        for as_of, counts in vintages().items()
    }

    one = forecast(known, LOCATIONS, PEOPLE, past(with_history))
    other = forecast(known_on(DAY(date), destroyed), LOCATIONS, PEOPLE, past(with_history))

    assert same(one, other)


def test_the_season_of_the_forecast_and_later_ones_are_not_read_from_a_history():
    known = known_on(WINTER)
    weeks = (DAY("2025-06-28") - history().first_week).days // 7 + 1
    values = np.full((weeks, len(history().locations)), np.nan)
    values[: len(history().values)] = history().values
    begins = (DAY("2024-08-03") - history().first_week).days // 7
    values[begins:] = 50

    longer = replace(history(), values=values)

    assert same(forecast(known, LOCATIONS, PEOPLE, history()), forecast(known, LOCATIONS, PEOPLE, longer))


def test_an_earlier_vintage_is_not_changed_by_the_forecast():
    known = known_on(WINTER)
    before = known.counts.copy()

    forecast(known, LOCATIONS, PEOPLE, None)

    np.testing.assert_array_equal(known.counts, before)


@pytest.mark.parametrize("with_history", [False, True], ids=["alone", "history"])
def test_the_same_input_gives_the_same_bits(with_history):
    one, other = (forecast(known_on(WINTER), LOCATIONS, PEOPLE, past(with_history)) for _ in range(2))

    assert same(one, other)


@pytest.mark.parametrize("with_history", [False, True], ids=["alone", "history"])
def test_the_order_of_the_locations_does_not_matter(with_history):
    known, order = known_on(WINTER), [6, 2, 0, 5, 1, 4, 3]
    earlier = [replace(each, counts=each.counts[:, order]) for each in known.earlier]
    turned = replace(known, counts=known.counts[:, order], earlier=earlier)

    one = forecast(known, LOCATIONS, PEOPLE, past(with_history))
    other = forecast(turned, [LOCATIONS[i] for i in order], PEOPLE[order], past(with_history))

    np.testing.assert_allclose(other.quantiles.values, one.quantiles.values[:, order], rtol=1e-9)
    np.testing.assert_allclose(other.nowcast, one.nowcast[:, order], rtol=1e-9)


def test_the_nowcast_is_the_newest_weeks_and_the_median_of_the_week_before_the_reference_date():
    known = known_on(DAY("2025-02-22"))

    found = forecast(known, LOCATIONS, PEOPLE, None)

    assert known.weeks_ahead == 1
    assert (found.nowcast[-1] >= 0.9 * known.counts[-1]).all()
    states = slice(0, 5)
    np.testing.assert_allclose(
        found.quantiles.values[0, states, MEDIAN], found.nowcast[-1, states], rtol=0.15
    )


def test_after_a_missing_release_the_steps_are_counted_from_the_newest_known_week():
    known = known_on(DAY("2025-01-25"))
    assert known.weeks_ahead == 2

    late = forecast(known, LOCATIONS, PEOPLE, None)
    before = forecast(replace(known, reference_date=DAY("2025-01-18")), LOCATIONS, PEOPLE, None)

    # horizon h of one date is horizon h + 1 of the date before: the same weeks from the same data
    np.testing.assert_array_equal(late.quantiles.values[:4], before.quantiles.values[1:])


def test_a_jump_of_a_factor_of_five_is_replaced_and_an_older_one_doubted():
    known = known_on(DAY("2024-11-23"))

    found = forecast(known, LOCATIONS, PEOPLE, None)

    faults = {doubt.location: doubt.sentence for doubt in found.doubts if doubt.kind == "fault"}
    assert set(faults) == {"25", "39", "42"}
    assert faults["42"] == "the week ending 2024-11-16 rises from 141 to 729; the forecast takes it as 141"
    assert faults["25"] == "the week ending 2024-11-09 rises from 3 to 53; the forecast takes it as it is"
    assert faults["39"] == "the week ending 2024-10-26 rises from 11 to 229; the forecast takes it as it is"
    assert known.counts[-1, PENNSYLVANIA] == 729
    assert found.nowcast[-1, PENNSYLVANIA] < 300


def test_a_location_without_the_newest_week_is_forecast_from_the_week_before():
    known = known_on(DAY("2025-02-22"))
    known.counts[-1, VERMONT] = np.nan

    found = forecast(known, LOCATIONS, PEOPLE, None)

    assert np.isfinite(found.quantiles.values).all()
    # the week before the reference date is a forecast, so it is wider than a nowcast
    whole = forecast(known_on(DAY("2025-02-22")), LOCATIONS, PEOPLE, None)
    widths = [
        each.quantiles.values[0, VERMONT, -1] - each.quantiles.values[0, VERMONT, 0]
        for each in (found, whole)
    ]
    assert widths[0] > widths[1]


def test_a_location_whose_counts_are_far_behind_loses_no_other():
    known = known_on(DAY("2025-02-22"))
    known.counts[-9:, VERMONT] = np.nan

    found = forecast(known, LOCATIONS, PEOPLE, None)

    assert np.isfinite(found.quantiles.values).all()


@pytest.mark.parametrize("names", [["50"], ["US"], ["50", "25"], ["39", "US"]])
@pytest.mark.parametrize("with_history", [False, True], ids=["alone", "history"])
def test_few_locations_are_forecast_too(names, with_history):
    known, columns = known_on(WINTER), [LOCATIONS.index(name) for name in names]
    earlier = [replace(each, counts=each.counts[:, columns]) for each in known.earlier]
    fewer = replace(known, counts=known.counts[:, columns], earlier=earlier)

    found = forecast(fewer, names, PEOPLE[columns], past(with_history))

    assert np.isfinite(found.quantiles.values).all()
    last = known.counts[-1, columns]
    assert (found.quantiles.values[1, :, MEDIAN] < 5 * last + 10).all()
    assert (found.quantiles.values[1, :, MEDIAN] > last / 5 - 10).all()


def test_a_location_of_zeros_and_one_with_a_short_history_are_forecast():
    known = known_on(WINTER)
    known.counts[:, VERMONT] = 0
    known.counts[:-3, OHIO] = np.nan

    found = forecast(known, LOCATIONS, PEOPLE, None)

    assert np.isfinite(found.quantiles.values).all()
    assert found.quantiles.values[1, VERMONT, MEDIAN] <= 2
    assert 100 < found.quantiles.values[1, OHIO, MEDIAN] < 2000


def test_without_earlier_vintages_the_usual_revisions_are_taken():
    known = replace(known_on(WINTER), earlier=[])

    found = forecast(known, LOCATIONS, PEOPLE, None)

    np.testing.assert_allclose(found.nowcast[-1] + 1, (known.counts[-1] + 1) * np.exp(0.08))
    assert (np.diff(found.quantiles.values[0, :, [0, -1]], axis=0) > 0).all()


@pytest.mark.parametrize("date", ["2025-07-19", "2025-08-09", "2025-09-13"])
def test_in_summer_the_forecast_learns_from_the_edge_of_the_season(date):
    weeks = (DAY(date) - FIRST_WEEK).days // 7
    counts = vintages()[max(vintages())][:weeks]
    known = replace(known_on(DAY("2025-05-31")), reference_date=DAY(date), counts=counts)

    found = forecast(known, LOCATIONS, PEOPLE, None)

    assert np.isfinite(found.quantiles.values).all()


def test_without_a_past_season_the_forecast_is_refused_and_says_what_is_missing():
    known = known_on(WINTER)
    cut = (DAY("2024-08-03") - FIRST_WEEK).days // 7
    young = replace(known, first_week=FIRST_WEEK + cut * WEEK, counts=known.counts[cut:], earlier=[])

    with pytest.raises(UserError) as refused:
        forecast(young, LOCATIONS, PEOPLE, None)

    assert str(refused.value) == (
        "reference date 2024-12-21: no past season to learn from; the data begin in the week ending "
        "2024-08-03, and growth_regression needs the weeks around 14 December of an earlier season that "
        "they have from October on (or a history_path)"
    )


def test_a_history_stands_in_for_past_seasons_of_admissions():
    known = known_on(WINTER)
    cut = (DAY("2024-08-03") - FIRST_WEEK).days // 7
    young = replace(known, first_week=FIRST_WEEK + cut * WEEK, counts=known.counts[cut:], earlier=[])

    found = forecast(young, LOCATIONS, PEOPLE, history())

    assert np.isfinite(found.quantiles.values).all()


def test_a_history_that_is_too_short_to_be_learned_from_is_named():
    whole = history()
    short = replace(whole, values=whole.values[:60])

    assert forecast(known_on(WINTER), LOCATIONS, PEOPLE, whole).notes == []
    (note,) = forecast(known_on(WINTER), LOCATIONS, PEOPLE, short).notes
    assert note.startswith("the history adds nothing")


def test_one_past_season_is_enough_and_that_is_said():
    known = known_on(WINTER)
    cut = (DAY("2023-08-05") - FIRST_WEEK).days // 7
    young = replace(known, first_week=FIRST_WEEK + cut * WEEK, counts=known.counts[cut:])

    found = forecast(young, LOCATIONS, PEOPLE, None)

    assert np.isfinite(found.quantiles.values).all()
    assert len(found.notes) == 1
    assert "2023-24 is the only past season that is learned from" in found.notes[0]
    assert forecast(known, LOCATIONS, PEOPLE, None).notes == []


def test_a_season_that_the_data_skip_is_none_to_learn_from():
    known = known_on(WINTER)
    first, end = ((DAY(day) - FIRST_WEEK).days // 7 for day in ("2023-08-05", "2024-08-03"))
    known.counts[first:end] = np.nan

    found = forecast(known, LOCATIONS, PEOPLE, None)

    assert "2023-08-05" in found.notes[0]
    assert "2022-23 is the only past season" in found.notes[1]
    assert (found.quantiles.values[1:, -1, -1] > found.quantiles.values[1:, -1, 0]).all()


def test_a_nation_without_counts_in_the_newest_week_costs_no_state_its_forecast():
    whole, faulty = known_on(WINTER), known_on(WINTER)
    faulty.counts[-1, -1] = 0

    one, other = (forecast(each, LOCATIONS, PEOPLE, None).quantiles.values for each in (whole, faulty))

    np.testing.assert_allclose(other[1:, :, MEDIAN], one[1:, :, MEDIAN], rtol=0.2, atol=2)


def test_a_newest_week_of_zeros_everywhere_is_forecast_as_a_missing_release():
    known = known_on(WINTER)
    places = LOCATIONS.index("US")
    fewer = replace(SETTINGS, faults=replace(SETTINGS.faults, fewest_locations=places))
    empty, zeros = (replace(known, counts=known.counts.copy()) for _ in range(2))
    empty.counts[-1], zeros.counts[-1] = np.nan, 0

    one, other = (forecast(each, LOCATIONS, PEOPLE, None, fewer) for each in (empty, zeros))

    np.testing.assert_array_equal(one.quantiles.values, other.quantiles.values)
    assert [(each.location, each.kind) for each in other.doubts[:1]] == [("US", "fault")]


def test_no_quantile_reaches_the_people_of_the_place():
    known = known_on(WINTER)
    known.counts[-6:, VERMONT] = 400_000

    values = forecast(known, LOCATIONS, PEOPLE, None).quantiles.values

    assert values[:, VERMONT].max() == PEOPLE[VERMONT] - 1
