"""Observed data that cannot be used are refused with file and line."""

import pytest

from tests.bending import CALIBRATION, problems_of, put
from tests.experiments import OBSERVED, calibrated


def observed_without(text: str, instead: str = "") -> str:
    assert text in OBSERVED
    return OBSERVED.replace(text, instead)


OBSERVED_MISTAKES = {
    "missing file": (
        [put(*CALIBRATION, "observed_data_path", "data/nope.csv")],
        OBSERVED,
        ["modelset.yaml:11:", "no file data/nope.csv in"],
    ),
    "column of values": (
        [put(*CALIBRATION, "comparison", 0, "observed_value_column", "csaes")],
        OBSERVED,
        ["modelset.yaml:13:", 'no column "csaes" (did you mean "cases"?)'],
    ),
    "column of dates": (
        [put(*CALIBRATION, "comparison", 0, "observed_date_column", "day")],
        OBSERVED,
        ["modelset.yaml:13:", 'no column "day"', "date, geo_value, cases"],
    ),
    "column of places": (
        [put(*CALIBRATION, "comparison", 0, "observed_location_column", "geo_valu")],
        OBSERVED,
        ["modelset.yaml:13:", '(did you mean "geo_value"?)'],
    ),
    "no such place": (
        [],
        OBSERVED.replace("US-VT", "US-ME"),
        ["modelset.yaml:13:", "no rows for US-VT in column geo_value; it has US-MA, US-ME"],
    ),
    "no such place and a row cut short": (
        [],
        OBSERVED.replace("US-VT", "US-ME") + "2025-02-15\n",
        ['observed.csv:8: 1 field instead of 3: column "geo_value" is missing'],
    ),
    "no rows": ([], "date,geo_value,cases\n", ["modelset.yaml:13:", "have no rows"]),
    "nothing in the window": (
        [
            put("model", "timespan", "start_date", "2024-01-01"),
            put(*CALIBRATION, "fitting_window", {"start_date": "2024-02-01", "end_date": "2024-03-01"}),
        ],
        OBSERVED,
        ["modelset.yaml:13:", "nothing for US-VT", "2024-02-01 to 2024-03-01", "2025-01-11 to"],
    ),
    "no number": ([], observed_without("950", "many"), ['observed.csv:3: "many" is not a number']),
    "negative": ([], observed_without("950", "-950"), ["observed.csv:3: -950 is not a count"]),
    "not finite": ([], observed_without("950", "inf"), ["observed.csv:3: inf is not a count"]),
    "no date": (
        [],
        observed_without("2025-01-18", "18/01/2025"),
        ['observed.csv:3: "18/01/2025" is not a date like'],
    ),
    "a date twice": (
        [],
        OBSERVED + "2025-01-18,US-VT,7\n",
        ["observed.csv:8: duplicate date 2025-01-18 for US-VT (first in line 3)"],
    ),
    "wrong weekday": (
        [],
        observed_without("2025-01-18", "2025-01-19"),
        [
            "observed.csv:3: 2025-01-19 (Sunday) is not reported with resample_frequency W-SAT",
            "correct the date",
        ],
    ),
    "all places without brackets": (
        [put("modelset", "population_names", "all")],
        OBSERVED,
        ["modelset.yaml:2:", '"all" should be a list, such as [all]'],
    ),
    "wrong weekday of the model": (
        [put("model", "simulation", "resample_frequency", "W-SUN")],
        OBSERVED,
        [
            "(Saturday) is not reported with",
            "set simulation.resample_frequency (model.yaml:9) to W-SAT if a date ends its interval, "
            "7D if it starts it",
        ],
    ),
    "semicolons": (
        [],
        OBSERVED.replace(",", ";"),
        ["modelset.yaml:13:", "separated by semicolons; commas are needed"],
    ),
    "nothing but zeros for a relative distance": (
        [put(*CALIBRATION, "distance_function", "wmape")],
        "".join(
            f"{line.rpartition(',')[0]},{'cases' if n == 0 else 0}\n"
            for n, line in enumerate(OBSERVED.splitlines())
        ),
        ["modelset.yaml:13:", "all values in the fitting window are 0", "use rmse or mae"],
    ),
}


@pytest.mark.parametrize("name", OBSERVED_MISTAKES)
def test_unusable_observed_data_are_told_with_file_and_line(tmp_path, name):
    bends, observed, fragments = OBSERVED_MISTAKES[name]

    problems = problems_of(tmp_path, calibrated(), bends, observed)

    for fragment in fragments:
        assert fragment in problems[0]
