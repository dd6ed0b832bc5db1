"""Which data a forecast is made from: the vintage of a reference date, from a file or a folder."""

import datetime
import gzip

import numpy as np
import pytest

from modeling.build.surveillance import open_vintages
from modeling.failures import UserError
from tests.flu_vintages import LOCATIONS, VINTAGES
from tests.surveillance import csv_text, extract, where, write_folder

WEEK = datetime.timedelta(days=7)
SEASONS = [("2024-11-23", "2025-05-31"), ("2025-11-22", "2026-05-30")]
# vintages of other days than the Wednesday before: late releases, and none in January 2025
UNUSUAL = {"2024-12-28": "2024-12-26", "2025-01-04": "2025-01-02", "2025-01-25": "2025-01-15"}


@pytest.fixture(scope="module")
def vintages():
    return open_vintages(VINTAGES, LOCATIONS)


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def reference_dates() -> list[datetime.date]:
    spans = [(day(first), day(last)) for first, last in SEASONS]
    return [first + index * WEEK for first, last in spans for index in range((last - first).days // 7 + 1)]


def test_each_reference_date_of_two_seasons_has_the_vintage_that_was_known_then(vintages):
    wanted = {
        each: day(UNUSUAL[str(each)]) if str(each) in UNUSUAL else each - datetime.timedelta(days=3)
        for each in reference_dates()
    }

    found = {each: vintages.choice(each).as_of for each in reference_dates()}

    assert len(wanted) == 56
    assert found == wanted


def test_a_late_and_a_missing_release_are_said(vintages):
    notes = {
        str(each): vintages.choice(each).note for each in reference_dates() if vintages.choice(each).note
    }

    assert notes.keys() == UNUSUAL.keys()
    assert (
        "the data of 2024-12-25 had no count of the week ending 2024-12-21; those of 2024-12-26"
        in (notes["2024-12-28"])
    )
    assert "made from those of 2025-01-15, which end with the week ending 2025-01-11" in notes["2025-01-25"]
    assert [vintages.known(day(each)).weeks_ahead for each in UNUSUAL] == [1, 1, 2]


def test_a_forecast_knows_what_the_file_says_was_known(vintages):
    known = vintages.known(day("2025-02-15"))

    rows = where(extract("2025-02-12", since="2025-02-08"), date="2025-02-08")
    assert [known.counts[-1, LOCATIONS.index(row["location"])] for row in rows] == [
        float(row["value"]) for row in rows
    ]
    assert (known.first_week, known.last_week) == (day("2022-02-05"), day("2025-02-08"))
    assert len(known.earlier) == 11
    assert [each.as_of for each in known.earlier[-2:]] == [day("2025-01-29"), day("2025-02-05")]
    assert known.earlier[-1].last_week == day("2025-02-01")
    assert known.earlier[-1].counts.shape == (3, len(LOCATIONS))


def test_later_counts_are_those_of_the_newest_vintage(vintages):
    later = vintages.later(day("2025-02-15"))

    rows = extract("2026-05-27", since="2025-02-08", locations=("50",))[:5]
    assert [row["date"] for row in rows] == [str(day("2025-02-08") + index * WEEK) for index in range(5)]
    np.testing.assert_array_equal(later[:, LOCATIONS.index("50")], [float(row["value"]) for row in rows])
    assert np.isnan(vintages.later(day("2026-05-30"))[1:]).all()


def test_a_folder_gives_what_a_file_gives(tmp_path, vintages):
    days = ("2025-01-02", "2025-01-08", "2025-01-15")
    folder = write_folder(
        tmp_path / "vintages", extract(*days, since="2022-01-01", locations=tuple(LOCATIONS))
    )
    (folder / "lock.json").write_text("{}")

    found = open_vintages(folder, LOCATIONS).known(day("2025-01-18"))

    wanted = vintages.known(day("2025-01-18"))
    assert (found.as_of, found.first_week) == (wanted.as_of, wanted.first_week)
    np.testing.assert_array_equal(found.counts, wanted.counts)
    np.testing.assert_array_equal(found.earlier[-1].counts, wanted.earlier[-1].counts)


def test_of_a_folder_only_what_is_needed_is_read(tmp_path):
    folder = write_folder(tmp_path, extract("2025-01-02", "2025-01-08", "2025-01-15"))
    (folder / "admissions_2025-01-15.csv.gz").write_bytes(b"not read")

    known = open_vintages(folder, ["50"]).known(day("2025-01-11"))

    assert known.as_of == day("2025-01-08")


def test_later_counts_that_the_newest_vintage_does_not_have_are_those_of_the_one_before(tmp_path):
    rows = extract("2025-02-05", "2025-02-12")
    short = [row for row in rows if row["as_of"] == "2025-02-05" or row["date"] >= "2025-02-01"]
    short.append(rows[0] | {"as_of": "2025-02-19", "date": "2025-02-15"})

    later = open_vintages(write_folder(tmp_path / "data", short), ["50"]).later(day("2025-02-01"))

    weeks = ["2025-01-25", "2025-02-01", "2025-02-08"]
    as_of = ["2025-02-05", "2025-02-12", "2025-02-12"]
    known = [
        float(where(rows, as_of=known, date=week, location="50")[0]["value"])
        for week, known in zip(weeks, as_of, strict=True)
    ]
    np.testing.assert_array_equal(later[:, 0], [*known, np.nan, np.nan])  # Vermont has no row in the last


def test_later_vintages_do_not_change_what_was_known(tmp_path):
    rows = extract("2025-01-02", "2025-01-08", "2025-01-15")
    path = tmp_path / "vintages.csv"
    path.write_text(csv_text(rows))
    before = open_vintages(path, ["06", "50"]).known(day("2025-01-11"))
    for row in where(rows, as_of="2025-01-15"):
        row["value"] = "-1"
    path.write_text(csv_text(rows))

    after = open_vintages(path, ["06", "50"]).known(day("2025-01-11"))

    np.testing.assert_array_equal(after.counts, before.counts)
    assert [each.as_of for each in after.earlier] == [each.as_of for each in before.earlier]


def test_a_release_may_be_missing_also_in_the_newest_data(tmp_path):
    path = tmp_path / "vintages.csv"
    path.write_text(csv_text(extract("2025-01-02", "2025-01-08", "2025-01-15")))

    known = open_vintages(path, ["50"]).known(day("2025-01-25"))

    assert (known.as_of, known.weeks_ahead) == (day("2025-01-15"), 2)


@pytest.mark.parametrize(
    ("reference_date", "fragments"),
    [
        (
            "2025-01-10",
            ["2025-01-10 is a Friday; a reference date is a Saturday, such as 2025-01-04 or 2025-01-11"],
        ),
        ("2026-06-13", ["2026-06-13 is in the future", "newest vintage is of 2026-05-27", "2026-05-30"]),
        ("2024-11-16", ["no vintage at or before the reference date 2024-11-16", "first is of 2024-11-20"]),
        (
            "2025-08-30",
            [
                "of 2025-05-28 and ends with the week ending 2025-05-24, 14 weeks before it; 2 at most",
                "an earlier reference date, such as 2025-05-31",
            ],
        ),
    ],
)
def test_a_reference_date_without_data_is_refused(vintages, reference_date, fragments):
    with pytest.raises(UserError) as caught:
        vintages.known(day(reference_date))

    for fragment in fragments:
        assert fragment in str(caught.value)


def test_without_a_reference_date_it_is_the_saturday_after_the_newest_vintage(vintages):
    assert vintages.default_reference_date == day("2026-05-30")


@pytest.mark.parametrize(
    ("names", "fragments"),
    [
        ([], ["has no vintages; fetch them with `invoke data-update`"]),
        (["admissions.csv"], ["admissions.csv: the name of a vintage ends with the day"]),
        (["a_2025-02-30.csv"], ["a_2025-02-30.csv: the name of a vintage ends with the day"]),
        (
            ["a_2025-01-08.csv", "a_2025-01-08.csv.gz"],
            ["a_2025-01-08.csv and", "both of 2025-01-08; keep one"],
        ),
        (["a_2025-01-08.csv", "b_2025-01-15.csv"], ["several series (a_2025-01-08.csv, b_2025-01-15.csv)"]),
    ],
)
def test_a_folder_that_does_not_hold_the_vintages_of_one_series_is_refused(tmp_path, names, fragments):
    for name in names:
        (tmp_path / name).write_bytes(gzip.compress(b"date,location,value\n"))

    with pytest.raises(UserError) as caught:
        open_vintages(tmp_path, ["50"])

    for fragment in fragments:
        assert fragment in str(caught.value)
