"""A reference date as it is typed: a Saturday, written one way."""

import datetime

import pytest

from modeling.by_products import check_metadata
from modeling.manifest import check_manifest
from modeling.reference_dates import is_reference_date, parse_reference_date


def test_a_saturday_is_a_reference_date():
    assert parse_reference_date("2026-01-10") == datetime.date(2026, 1, 10)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-01-09", "a Friday; a reference date is a Saturday, such as 2026-01-03 or 2026-01-10"),
        ("2026-01-11", "a Sunday; a reference date is a Saturday, such as 2026-01-10 or 2026-01-17"),
        ("2026-02-30", "a day of the calendar is needed"),
        ("20260110", "a day of the calendar is needed"),
        ("2026-W02-6", "a day of the calendar is needed"),
        ("10.1.2026", "a day of the calendar is needed"),
        ("0001-01-01", "a day from 1900-01-01 to 2200-12-31 is needed"),
        ("9999-12-31", "a day from 1900-01-01 to 2200-12-31 is needed"),
    ],
)
def test_another_text_is_refused_with_what_to_write(text, said):
    with pytest.raises(ValueError, match=said):
        parse_reference_date(text)


@pytest.mark.parametrize("value", ["2026-01-09", "next week", None, 20260110])
def test_files_of_a_run_with_another_value_are_damaged(value):
    with pytest.raises(ValueError, match="reference_date is"):
        check_manifest({"reference_date": value})
    with pytest.raises(ValueError, match="manifest is"):
        check_metadata({"manifest": {"reference_date": value}, "stages": {}})

    assert is_reference_date("")  # of a run without one
