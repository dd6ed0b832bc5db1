"""The file of observed data: what is read, what is refused with line and column, and what is warned about."""

import pytest

from tests.experiments import OBSERVED
from tests.observed import VALUES, changed, experiment_on, observed_in, problem_of
from tests.stage_scripts import Stages

# -- the file

REFUSED = {
    "a column twice": (changed("cases", "cases,cases").replace("00\n", "00,1\n"), 'duplicate column "cases"'),
    "a column twice but for blanks": (
        "date,geo_value,cases, cases\n2025-01-11,US-VT,1,2\n",
        'observed.csv:1: duplicate column "cases" (columns 3 and 4)',
    ),
    "a value with a comma": (
        changed("950", "1,950"),
        'observed.csv:3: 4 fields instead of 3: column 4, "950", has no name',
    ),
    "a row cut short": (
        changed(",US-MA,8000", ""),
        'observed.csv:7: 1 field instead of 3: column "geo_value"',
    ),
    "a broken row of another place": (
        changed("US-MA,8000", "US-MA,8000,1"),
        "observed.csv:7: 4 fields instead of 3",
    ),
    "a broken row outside the window": (OBSERVED + "2020-01-04,US-VT\n", 'column "cases" is missing'),
    "text after a date": (
        changed("2025-01-18", "2025-01-18xyz"),
        'observed.csv:3: "2025-01-18xyz" is not a date like 2025-01-04 (column "date")',
    ),
    "two dates": (changed("2025-01-18", "2025-01-12/2025-01-18"), '3: "2025-01-12/2025-01-18" is not a date'),
    "a date without dashes": (changed("2025-01-18", "20250118"), '3: "20250118" is not a date'),
    "a week": (changed("2025-01-18", "2025-W03-6"), '3: "2025-W03-6" is not a date'),
    "a day that does not exist": (changed("2025-01-18", "2025-02-30"), '3: "2025-02-30" is not a date'),
    "an hour that does not exist": (changed("2025-01-18", "2025-01-18T25:00"), "is not a date"),
    "digits that are not ASCII": (changed("2025-01-18", "２０２５-01-18"), "is not a date"),
    "no date": (changed("2025-01-18", ""), 'observed.csv:3: "" is not a date'),
    "a year too far": (changed("2025-02-08", "9999-12-31"), "observed.csv:6: "),
    "a date of another place": (
        changed("2025-01-11,US-MA", "11.1.2025,US-MA"),
        'observed.csv:7: "11.1.2025"',
    ),
    "a date twice with other times": (
        OBSERVED + "2025-01-18T12:00:00Z,US-VT,950\n",
        "observed.csv:8: duplicate date 2025-01-18 for US-VT (first in line 3); if the file holds vintages",
    ),
    "a date twice under two names": (OBSERVED + "2025-01-18,Vermont,950\n", "observed.csv:8: duplicate date"),
    "a suppressed value": (
        changed("950", "<5"),
        'observed.csv:3: "<5" is not a number (column "cases"); leave the field empty',
    ),
    "a value with a separator": (
        changed("950", '"1,950"'),
        '3: "1,950" is not a number (column "cases"); write it without separators',
    ),
    "a value with an underscore": (changed("950", "1_950"), '"1_950" is not a number'),
    "a value of other digits": (changed("950", "٩٥٠"), "is not a number"),
    "a negative value": (changed("950", "-950"), "observed.csv:3: -950 is not a count"),
    "a huge value": (changed("950", "1e300"), "observed.csv:3: 1e300 is not a count"),
    "blank lines before": ("\n\n" + changed("950", "x"), 'observed.csv:5: "x" is not a number'),
    "blank lines between": (changed("2025-01-18,US-VT,950", "\n\n,,\n2025-01-18,US-VT,x"), "observed.csv:6:"),
    "quoted line breaks": (
        'note,date,geo_value,cases\n"a\nb\r\nc",2025-01-11,US-VT,1\n,2025-01-18,US-VT,x\n',
        'observed.csv:5: "x"',
    ),
    "Windows line ends": (changed("950", "x").replace("\n", "\r\n"), 'observed.csv:3: "x"'),
    "old Macintosh line ends": (changed("950", "x").replace("\n", "\r"), 'observed.csv:3: "x"'),
    "a quote that is not closed": (
        changed("1500", '"1500'),
        "observed.csv:5: a quote that opens in this row",
    ),
    "rows swallowed by two stray quotes": (
        changed("1900\n", '"1900\n').replace("8000", '8000"'),
        "observed.csv:6: a line break inside",
    ),
    "text after a quote": (changed("950", '"950"1'), "observed.csv:3: text after a closing quote"),
    "a long field": (changed("950", "9" * 200_000), "observed.csv:3: a field is longer than 131,072"),
    "a long value": (changed("950", "x" * 90_000), 'observed.csv:3: "xxxxx'),
    "control characters": (changed("950", "\x1b[31m9"), '"\\x1b[31m9" is not a number'),
    "a NUL byte": (changed("950", "9\x0050"), "observed.csv:3: a NUL byte"),
    "Latin-1": (changed("US-MA", "Vermonté").encode("latin-1"), "observed.csv:7: byte 0xe9 is not UTF-8"),
    "UTF-16": (OBSERVED.encode("utf-16"), "are UTF-16; save them as UTF-8"),
    "UTF-16 without a mark": (OBSERVED.encode("utf-16-le"), "are UTF-16; save them as UTF-8"),
    "UTF-16 of the other order": (OBSERVED.encode("utf-16-be"), "are UTF-16; save them as UTF-8"),
    "UTF-32": (OBSERVED.encode("utf-32"), "are UTF-32; save them as UTF-8"),
    "tabs": (OBSERVED.replace(",", "\t"), "modelset.yaml:13: the columns of"),
    "semicolons": (OBSERVED.replace(",", ";"), "separated by semicolons; commas are needed"),
    "an empty file": ("", "are empty; a header and rows are needed"),
    "a byte order mark alone": (b"\xef\xbb\xbf", "are empty"),
    "blank lines alone": ("\n\n \n", "are empty"),
    "a header alone": ("date,geo_value,cases\n\n", "have no rows below the header"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_broken_or_ambiguous_is_refused_with_its_line(tmp_path, name):
    content, said = REFUSED[name]

    assert said in problem_of(tmp_path, content)


READ = {
    "as it is": OBSERVED,
    "places in small letters": OBSERVED.replace("US-VT", "vt"),
    "places with blanks": OBSERVED.replace("US-VT", " Us - Vt "),
    "places by name": OBSERVED.replace("US-VT", "VERMONT"),
    "places by FIPS code": OBSERVED.replace("US-VT", "50").replace("US-MA", "25"),
    "blanks around names": OBSERVED.replace("date,geo_value,cases", " date , geo_value,cases "),
    "blanks around values": OBSERVED.replace("950", " 950 "),
    "a byte order mark": "\ufeff" + OBSERVED,
    "a byte order mark and quotes": "\ufeff" + OBSERVED.replace("date,", '"date",', 1),
    "Windows line ends": OBSERVED.replace("\n", "\r\n"),
    "no last line end": OBSERVED.rstrip("\n"),
    "blank lines": OBSERVED.replace("\n", "\n\n"),
    "rows of commas": OBSERVED + ",,\n , ,\n",
    "columns without a name": OBSERVED.replace("\n", ",,\n"),
    "quoted commas": OBSERVED.replace("US-MA", '"Washington, DC"'),
    "times": OBSERVED.replace("2025-01-18", "2025-01-18T00:00:00"),
    "times with a zone": OBSERVED.replace("2025-01-18", "2025-01-18 23:30:00.000+05:30"),
    "times of Greenwich": OBSERVED.replace("2025-01-18", "2025-01-18T12:00Z"),
    "numbers with a point": OBSERVED.replace("950", "950.0"),
    "numbers with an exponent": OBSERVED.replace("950", "9.5e2"),
    "a strange row of another place": OBSERVED.replace("8000", "<5"),
}


@pytest.mark.parametrize("name", READ)
def test_usual_spellings_of_the_same_data_are_read_alike(tmp_path, caplog, name):
    observed = observed_in(tmp_path, READ[name])

    assert observed.values.tolist() == VALUES
    assert observed.dates.astype(str).tolist()[:2] == ["2025-01-11", "2025-01-18"]
    assert observed.fitted.tolist() == [True] * 4 + [False]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("text", ["", "NA", "n/a", "N/A", "NULL", "null", "NaN", ".", " . "])
def test_a_missing_value_is_left_out_with_a_warning(tmp_path, caplog, text):
    observed = observed_in(tmp_path, changed("950", text))

    assert observed.values.tolist() == [800, 1200, 1500, 1900]
    assert "1 dates of US-VT have no value and are left out" in caplog.text


@pytest.mark.parametrize("text", ["-3", "<5", "inf", "1e300", "*"])
def test_a_value_outside_the_fitting_window_that_is_no_count_is_left_out_with_a_warning(
    tmp_path, caplog, text
):
    observed = observed_in(tmp_path, OBSERVED + f"2020-05-02,US-VT,{text}\n")

    assert observed.values.tolist() == VALUES
    assert "observed.csv:8: " in caplog.text
    assert "outside the fitting window, so it is left out" in caplog.text


def test_a_file_that_changed_is_read_again(tmp_path):
    observed_in(tmp_path, OBSERVED)

    assert observed_in(tmp_path, changed("950", "951 ")).values.tolist()[1] == 951


def test_a_path_too_long_for_a_file_is_refused_in_one_line(tmp_path):
    experiment = experiment_on(observed_data_path="x" * 5000)

    assert "File name too long" in problem_of(tmp_path, OBSERVED, experiment)


# -- at the door


def test_the_stage_refuses_unusable_data_in_one_line_and_writes_nothing(tmp_path):
    stages = Stages(tmp_path, experiment_on("D"))

    ended = stages.run("builder")

    assert ended.exit_code == 2
    assert "Traceback" not in ended.output
    assert "the dates of US-VT in observed.csv are 7 days apart" in ended.last_line
    assert not (tmp_path / "bucket").exists()
