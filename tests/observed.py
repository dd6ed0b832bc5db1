"""Observed data in the forms a file may have, and what stage A reads of them or says."""

import datetime

import pytest

from modeling.failures import UserError
from tests.builds import workloads_in
from tests.experiments import OBSERVED, calibrated, write_repository

VALUES = [800, 950, 1200, 1500, 1900]  # of US-VT in OBSERVED, from 11 January 2025 on


def experiment_on(frequency="W-SAT", start="2025-01-05", end="2025-02-15", delta_t=1, **calibration) -> dict:
    experiment = calibrated()
    experiment["model"]["timespan"] = {"start_date": start, "end_date": end, "delta_t": delta_t}
    experiment["model"]["simulation"]["resample_frequency"] = frequency
    experiment["modelset"]["calibration"] |= calibration
    return experiment


def in_both_populations(experiment: dict) -> dict:
    """Return a calibration in both populations of the tests."""
    del experiment["model"]["population"]["name"]
    experiment["modelset"]["population_names"] = ["US-VT", "US-MA"]
    return experiment


def observed_in(tmp_path, content: str | bytes, experiment=None):
    """Return the observed series that stage A packs into its input."""
    [observed] = all_observed_in(tmp_path, content, experiment)
    return observed


def all_observed_in(tmp_path, content: str | bytes, experiment=None) -> list:
    """Return the observed series that stage A packs into each input."""
    config = write_repository(tmp_path, experiment or calibrated())
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "data" / "observed.csv").write_bytes(data)
    return [workload.task.observed[0] for workload in workloads_in(config)]


def problem_of(tmp_path, content: str | bytes, experiment=None) -> str:
    with pytest.raises(UserError) as caught:
        observed_in(tmp_path, content, experiment)
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 500
    return line


def changed(old: str, new: str) -> str:
    assert old in OBSERVED
    return OBSERVED.replace(old, new)


def series(first: str, *steps: int, place: str = "US-VT") -> str:
    """Return rows of dates with these gaps in days, the first as given."""
    day = datetime.date.fromisoformat(first)
    rows = [f"{day},{place},100"]
    for step in steps:
        day += datetime.timedelta(days=step)
        rows.append(f"{day},{place},100")
    return "".join(f"{row}\n" for row in rows)


HEADER = "date,geo_value,cases\n"
WEEKS = series("2025-01-11", 7, 7, 7, 7)
DAYS = series("2025-01-06", *[1] * 30)
MONTHS = series("2025-01-01", 31, 28, 31, 30)
