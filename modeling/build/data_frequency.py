"""The reported dates of a calibration that does not name them: those of its observed data.

spacing.py compares the dates of data with reported ones; here nothing is reported yet.
"""

import datetime
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from modeling.build.csv_table import date_of, find_file, read_table
from modeling.build.observed import FEWEST_DATES
from modeling.build.spacing import Reporting
from modeling.build.warnings import warn_once
from modeling.calendars import WEEKDAYS
from modeling.populations import find_location
from modeling.vocabulary.experiment import Experiment
from modeling.vocabulary.timespan import Simulation

DAY_NAMES = dict(zip(WEEKDAYS, ("Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun"), strict=True))


def with_frequency_of_data(experiment: Experiment, codes: list[str], data_roots: list[Path]) -> Experiment:
    """Return a calibration whose model reports the dates of its data, with a warning.

    Any other experiment is returned as it is: one with a resample_frequency, one whose time steps are as far
    apart as the dates, and one whose dates have no clear spacing, or none that fits the time steps: comparing
    them is refused.

    Parameters
    ----------
    codes : list of str
        ISO 3166 codes of the populations.
    data_roots : list of Path
        Folders that observed_data_path is relative to.

    Raises
    ------
    UserError
        The file or a column is unusable.
    """
    model, calibration = experiment.model, experiment.calibration
    if calibration is None or model.resample_frequency is not None:
        return experiment
    where = experiment.where("modelset", "calibration", "observed_data_path")
    path = find_file(calibration.observed_data_path, data_roots, where)
    frequency = clear_frequency(_days_of_places(experiment, codes, path))
    steps, found = (Reporting(f, model.timespan.delta_t, "") for f in (None, frequency))
    if frequency is None or (steps.spacing_days, steps.is_monthly) == (found.spacing_days, found.is_monthly):
        return experiment
    simulation = (model.simulation or Simulation()).model_copy(update={"resample_frequency": frequency})
    reporting = replace(experiment, model=model.model_copy(update={"simulation": simulation}))
    if reporting.first_day is not None and reporting.model.step_problem(reporting.first_day):
        return experiment
    warn_once(
        f"{experiment.where('model', 'simulation', 'resample_frequency')}: no simulation.resample_frequency, "
        f"so the model reports {_in_words(frequency)}, as the dates in {path.name}; set it for others"
    )
    return reporting


def clear_frequency(places: list[list[datetime.date]]) -> str | None:
    """Return the one resample_frequency of days, weeks or months that dates have; None if it is not clear.

    Parameters
    ----------
    places : list of list of date
        Sorted dates of each place. A weekly date is taken as the last day of its week.
    """
    found = {_frequency(days) for days in places if len(days) >= FEWEST_DATES}
    return found.pop() if len(found) == 1 else None


def _frequency(days: list[datetime.date]) -> str | None:
    gaps = [(b - a).days for a, b in pairwise(days)]
    if min(gaps) >= 28:
        if all(day.day == 1 for day in days):
            return "MS"
        return "ME" if all((day + datetime.timedelta(days=1)).day == 1 for day in days) else None
    common, count = Counter(gaps).most_common(1)[0]
    if common not in (1, 7) or 2 * count < len(gaps) or any(gap % common for gap in gaps):
        return None
    return "D" if common == 1 else f"W-{WEEKDAYS[days[0].weekday()]}"


def _days_of_places(experiment: Experiment, codes: list[str], path: Path) -> list[list[datetime.date]]:
    """Return the sorted dates in the fitting window, of each place and comparison."""
    calibration, found = experiment.calibration, []
    window = calibration.fitting_window
    for index, comparison in enumerate(calibration.comparison):
        where = experiment.where("modelset", "calibration", "comparison", index)
        table = read_table(path, where)
        days = table.parsed(table.column(comparison.observed_date_column, where), date_of)
        column = table.column(comparison.observed_location_column, where)
        for location in map(find_location, codes):
            known = {days[row.line] for row in table.rows_called(column, location)}
            found.append(sorted(day for day in known if window.start_date <= day <= window.end_date))
    return found


def _in_words(frequency: str) -> str:
    if frequency.startswith("W-"):
        day = f"{DAY_NAMES[frequency.removeprefix('W-')]}day"
        return f"weeks that end on {day} ({frequency}; 7D if a date begins its week)"
    return {"D": "days (D)", "MS": "months (MS)", "ME": "months (ME)"}[frequency]
