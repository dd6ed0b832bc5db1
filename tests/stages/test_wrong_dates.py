"""Dates, windows and generations that do not fit together are refused with their line."""

import pytest

from tests.bending import CALIBRATION, calibrated_start, check_mistake, put, sampled_people
from tests.experiments import calibrated, sampled, simulated

# what is wrong: the experiment, how it is bent, and what the first line must say
MISTAKES = {
    "end before start": (
        simulated,
        [put("model", "timespan", "end_date", "2024-12-31")],
        ["model.yaml:5:", "end_date 2024-12-31 is before start_date 2025-01-05"],
    ),
    "no such day": (
        simulated,
        [put("model", "timespan", "end_date", "2025-02-30")],
        ["model.yaml:5:", '"2025-02-30" should be a date such as 2025-01-31'],
    ),
    "window backwards": (
        calibrated,
        [put(*CALIBRATION, "fitting_window", {"start_date": "2025-02-01", "end_date": "2025-01-11"})],
        ["modelset.yaml:24:", "end_date 2025-01-11 must be after start_date 2025-02-01"],
    ),
    "window after the model's end": (
        calibrated,
        [put(*CALIBRATION, "fitting_window", "end_date", "2025-03-01")],
        ["modelset.yaml:26:", "the fitting window ends 2025-03-01, after the model's end_date 2025-02-15"],
    ),
    "window before the model's start": (
        calibrated,
        [put("model", "timespan", "start_date", "2025-02-02")],
        ["modelset.yaml:13:", "the last fitted date, 2025-02-01, is before the start 2025-02-02"],
    ),
    "window from before the model's start": (
        calibrated,
        [put("model", "timespan", "start_date", "2025-01-19")],
        ["modelset.yaml:13:", "fitted date 2025-01-11 is before the model's start_date 2025-01-19"],
    ),
    "window that begins within an interval": (
        calibrated,
        [put("model", "timespan", "start_date", "2025-01-08")],
        ["modelset.yaml:13:", "2025-01-11 covers days from 2025-01-05 on, before the model's start_date"],
    ),
    "window that ends within an interval": (
        calibrated,
        [
            put("model", "simulation", "resample_frequency", "7D"),
            put("model", "timespan", "start_date", "2025-01-04"),
            put("model", "timespan", "end_date", "2025-02-04"),
        ],
        ["modelset.yaml:13:", "covers days up to 2025-02-07, after the model's end_date 2025-02-04"],
    ),
    "people in fractions": (
        simulated,
        [put("model", "compartments", 1, "init", 1.5)],
        ["model.yaml:", "1.5 is neither a share (below 1) nor a number of people (whole)"],
    ),
    "shares and people in one range": (
        sampled,
        sampled_people(0.5, 20),
        ["modelset.yaml:", "0.5 to 20 mixes shares of the people"],
    ),
    "the same series twice": (
        calibrated,
        [put(*CALIBRATION, "comparison", 0, "simulation", ["I_to_R_total", "I_to_R_total"])],
        ["modelset.yaml:", 'duplicate "I_to_R_total"'],
    ),
    "posterior of a generation that is none": (
        calibrated,
        [put("output", "posteriors", {"generations": [7]})],
        ["output.yaml:", "generation 7 of 2"],
    ),
    "calibrated start beyond the window": (
        calibrated,
        calibrated_start("randint", [0, 60]),
        [
            "modelset.yaml:31:",
            "59 days after 2025-01-05",
            "past the end of the fitting window 2025-02-01",
            "to 27",
        ],
    ),
    "calibrated start whose reference is beyond the window": (
        calibrated,
        [
            *calibrated_start("randint", [0, 60]),
            put(*CALIBRATION, "start_date", "reference_date", "2025-06-05"),
        ],
        ["modelset.yaml:31:", "past the end of the fitting window 2025-02-01; change either"],
    ),
    "calibrated start without end": (
        calibrated,
        calibrated_start("expon", [0]),
        ["modelset.yaml:31:", "inf days"],
    ),
    "calibrated start before its reference": (
        calibrated,
        calibrated_start("randint", [-5, 5]),
        ["modelset.yaml:31:", "cannot be negative (-5)"],
    ),
    "calibrated start between time steps": (
        calibrated,
        [*calibrated_start("randint", [0, 9]), put("model", "timespan", "delta_t", 7)],
        ["model.yaml:6:", "steps of 7 days depend on the start date"],
    ),
    "time steps that belong to two days": (
        simulated,
        [put("model", "timespan", "delta_t", 0.3)],
        ["model.yaml:6:", "0.3 days is neither a whole number of days nor an even part", "use 1, 0.5, 0.25"],
    ),
    "no interval that is simulated whole": (
        simulated,
        [
            put("model", "timespan", "start_date", "2025-01-06"),
            put("model", "timespan", "end_date", "2025-01-09"),
        ],
        ["model.yaml:", "no interval of W-SAT is simulated whole from 2025-01-06 to 2025-01-09"],
    ),
    "too few observed days to tell their spacing, beside half days": (
        calibrated,
        [
            put(*CALIBRATION, "fitting_window", "end_date", "2025-01-25"),
            put("model", "timespan", "delta_t", 0.5),
            put("model", "simulation", "resample_frequency", None),
        ],
        ["modelset.yaml:", "observed days cannot be compared with steps of 0.5 days", "D or W-SAT"],
    ),
    "observed dates between those reported": (
        calibrated,
        [put("model", "simulation", "resample_frequency", "7D")],
        ["modelset.yaml:", "fitted date 2025-01-11 is not among those that the model reports"],
    ),
    "calibrated start with dates that depend on it": (
        calibrated,
        [*calibrated_start("randint", [0, 9]), put("model", "simulation", "resample_frequency", "7D")],
        ["7D depends on the start date, which is calibrated; use W-SAT or D"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_its_remedy(tmp_path, name):
    check_mistake(tmp_path, *MISTAKES[name])
