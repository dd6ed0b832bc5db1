"""Schools are closed on the days that the calendar says, each once, and by share of people in the country."""

import csv
import datetime
import time
from pathlib import Path

import numpy as np
import pytest

from modeling.build.changes import school_calendar
from modeling.build.changes.axis import TimeAxis
from modeling.build.changes.school_calendar import closed_days, people_by_state, thanksgiving
from modeling.build.changes.school_closures import closed_share
from modeling.failures import UserError
from modeling.populations import locations
from modeling.vocabulary.experiment import load_experiment
from tests.changes import CLOSURE, changing
from tests.experiments import write_repository

DAY = datetime.timedelta(days=1)
YEAR = TimeAxis.of_model(datetime.date(2024, 8, 1), datetime.date(2025, 7, 31), 1)


def days_of(*spans: str) -> list[str]:
    """Return the days of spans such as "2024-12-24..2025-01-04"."""
    found = set()
    for span in spans:
        first, last = (datetime.date.fromisoformat(day) for day in (span.split("..") * 2)[:2])
        found |= {str(first + days * DAY) for days in range((last - first).days + 1)}
    return sorted(found)


def share_of(tmp_path, iso: str, calendar: str | None = None, axis: TimeAxis = YEAR) -> np.ndarray:
    path = {} if calendar is None else {"calendar_path": "data/closed.csv"}
    config = write_repository(tmp_path, changing(interventions=[CLOSURE | path]))
    (tmp_path / "data" / "closed.csv").write_text(calendar or "")
    return closed_share(load_experiment(config), 0, iso, [tmp_path], axis)


def closed_in(share: np.ndarray) -> list[str]:
    return [str(YEAR.first_day + int(day) * DAY) for day in np.flatnonzero(share)]


def test_massachusetts_is_closed_on_the_days_of_its_calendar_and_on_holidays(tmp_path):
    share = share_of(tmp_path, "US-MA")

    assert closed_in(share) == days_of(
        "2024-08-01..2024-08-31",  # summer, until the day before school begins
        "2024-09-02",  # Labor Day
        "2024-10-14",  # Columbus Day
        "2024-11-11",  # Veterans Day
        "2024-11-28..2024-11-29",  # Thanksgiving
        "2024-12-24..2025-01-04",  # across the year
        "2025-01-20",  # Martin Luther King Jr. Day
        "2025-02-15..2025-02-19",  # with Presidents' Day, once
        "2025-04-19..2025-04-23",  # with Patriots' Day, once
        "2025-05-26",  # Memorial Day
        "2025-06-19..2025-07-31",  # summer
    )
    assert set(share) == {0, 1}


def test_a_closed_day_is_closed_at_each_of_its_time_points(tmp_path):
    axis = TimeAxis.of_model(datetime.date(2024, 11, 27), datetime.date(2024, 11, 30), 0.5)

    assert share_of(tmp_path, "US-MA", axis=axis).tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(("year", "day"), [(2024, 28), (2025, 27), (2029, 22), (2030, 28)])
def test_the_thanksgiving_break_moves_with_thanksgiving(year, day):
    assert thanksgiving(year) == datetime.date(year, 11, day)
    # from Monday to Friday in Vermont
    closed = closed_days("US-VT", datetime.date(year, 11, 13), datetime.date(year, 11, 30))
    monday = datetime.date(year, 11, day - 3)
    assert sorted(closed) == [monday + days * DAY for days in range(5)]


def test_a_break_that_began_in_december_closes_schools_of_a_model_that_starts_in_january():
    closed = closed_days("US-MA", datetime.date(2025, 1, 2), datetime.date(2025, 1, 19))

    assert sorted(map(str, closed)) == days_of("2025-01-02..2025-01-04")


def test_every_state_has_a_plausible_calendar():
    states = [iso for iso in locations() if iso.startswith("US-") and iso != "US-PR"]

    assert sorted(people_by_state()) == sorted(states)
    for iso in states:
        for year in (2023, 2024):  # two school years, one with a leap day
            closed = closed_days(iso, datetime.date(year, 9, 1), datetime.date(year + 1, 8, 31))
            assert 90 <= len(closed) <= 160, iso
            assert datetime.date(year + 1, 7, 15) in closed, iso
            assert datetime.date(year, 10, 1) not in closed, iso


def test_the_calendar_has_no_break_that_is_longer_than_usual():
    with open(Path(school_calendar.__file__).with_name("school_calendar.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name in school_calendar.BREAKS:
            days = list(school_calendar._break_days(name, row[name], 2023)) if row[name] else [None]
            longest = 105 if name == "summer" else 19
            assert 1 <= len(days) <= longest, (row["location"], name)


def test_the_united_states_close_by_the_share_of_people_in_closed_states(tmp_path):
    share = share_of(tmp_path, "US")
    on = dict(zip((str(YEAR.first_day + day * DAY) for day in range(YEAR.num_days)), share, strict=True))
    people = people_by_state()

    assert on["2024-12-25"] == on["2025-07-04"] == pytest.approx(1)
    # Kentucky alone has its break in the first days of October
    assert on["2024-10-02"] == pytest.approx(people["US-KY"] / sum(people.values()))
    assert 0 < on["2024-11-27"] < on["2024-11-28"]


def test_a_calendar_of_ones_own_replaces_the_days_of_its_places(tmp_path):
    calendar = """location,start_date,end_date,name
US-PR,2024-05-01,2024-08-02,summer
PR,2024-08-02,2024-08-03,overlap
Massachusetts,2024-09-30,2024-10-01,
"""
    assert closed_in(share_of(tmp_path, "US-PR", calendar)) == days_of("2024-08-01..2024-08-03")
    assert closed_in(share_of(tmp_path, "US-MA", calendar)) == days_of("2024-09-30..2024-10-01")
    assert share_of(tmp_path, "US-VT", calendar).tolist() == share_of(tmp_path, "US-VT").tolist()
    # the country follows its states
    people = people_by_state()
    country = share_of(tmp_path, "US", calendar)[(datetime.date(2024, 9, 30) - YEAR.first_day).days]
    assert country == pytest.approx(people["US-MA"] / sum(people.values()))


def test_a_calendar_of_many_long_spans_is_read_in_seconds(tmp_path):
    axis = TimeAxis.of_model(datetime.date(1900, 1, 1), datetime.date(2199, 12, 31), 1)
    calendar = "location,start_date,end_date\n" + "US-VT,1900-01-01,2199-12-30\n" * 2_000

    began = time.process_time()
    share = share_of(tmp_path, "US-VT", calendar, axis)

    assert time.process_time() - began < 5  # day by day it would be 2,000 times 110,000 dates
    assert share.sum() == axis.num_days - 1


@pytest.mark.parametrize("iso", ["US-PR", "FR"])
def test_a_place_without_a_calendar_is_refused_with_the_key_that_gives_one(tmp_path, iso):
    with pytest.raises(UserError, match=rf"model.yaml:\d+: there is no school calendar for {iso}; write .*"):
        share_of(tmp_path, iso)


@pytest.mark.parametrize(
    ("calendar", "said"),
    [
        ("location,start_date\nUS-MA,2025-01-01\n", 'closed.csv has no column "end_date"'),
        (
            "location,start_date,end_date\nUS-MA,2025-01-02,2025-01-01\n",
            'closed.csv:2: 2025-01-01 is before the start_date 2025-01-02 (column "end_date")',
        ),
        (
            "location,start_date,end_date\nUS-MA,2025-01-01,2025-01-01\nUS-XX,2025-01-02,2025-01-02\n",
            'closed.csv:3: "US-XX" is not a known population, such as US-MA (column "location")',
        ),
        (
            "location,start_date,end_date\nUS-MA,1 May,2025-01-01\n",
            'closed.csv:2: "1 May" is not a date like 2025-01-04 (column "start_date")',
        ),
        ("location,start_date,end_date\n", "closed days"),
    ],
)
def test_a_wrong_calendar_is_refused_with_its_line(tmp_path, calendar, said):
    with pytest.raises(UserError) as caught:
        share_of(tmp_path, "US-MA", calendar)

    assert said in str(caught.value)
