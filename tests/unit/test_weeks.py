"""Weeks of surveillance end on Saturdays, and seasons begin in August."""

import datetime
import subprocess
import sys

from modeling.weeks import saturday_after, saturday_from, saturdays, season_of, season_start
from tests.experiments import REPOSITORY

DAY = datetime.date.fromisoformat
FRIDAY, SATURDAY, SUNDAY = DAY("2025-01-24"), DAY("2025-01-25"), DAY("2025-01-26")


def test_a_week_ends_on_the_saturday_on_or_after_its_days():
    assert [str(saturday_from(day)) for day in (FRIDAY, SATURDAY, SUNDAY)] == [
        "2025-01-25",
        "2025-01-25",
        "2025-02-01",
    ]


def test_the_next_saturday_is_never_today():
    assert [str(saturday_after(day)) for day in (FRIDAY, SATURDAY, SUNDAY)] == [
        "2025-01-25",
        "2025-02-01",
        "2025-02-01",
    ]


def test_saturdays_from_one_day_to_another_have_both_ends():
    assert list(map(str, saturdays(SATURDAY, DAY("2025-02-08")))) == [
        "2025-01-25",
        "2025-02-01",
        "2025-02-08",
    ]
    assert list(map(str, saturdays(SUNDAY, DAY("2025-02-07")))) == ["2025-02-01"]


def test_a_season_begins_in_august():
    assert season_of(DAY("2025-07-31")) == 2024
    assert season_of(DAY("2025-08-01")) == 2025
    assert season_of(DAY("2026-01-10")) == 2025
    assert str(season_start(2025)) == "2025-08-01"


def test_every_task_starts_without_numpy():
    asks = "import sys, tasks; print('numpy' in sys.modules)"

    said = subprocess.run([sys.executable, "-c", asks], cwd=REPOSITORY, capture_output=True, text=True)

    assert said.stdout == "False\n", said.stderr
