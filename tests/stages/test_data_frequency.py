"""A calibration without resample_frequency reports the dates of its data, if they have one clear spacing."""

import pickle

import pytest

from tests.builds import workloads_in
from tests.experiments import write_repository
from tests.observed import (
    DAYS,
    HEADER,
    WEEKS,
    experiment_on,
    in_both_populations,
    problem_of,
    series,
)

SPAN = {"start": "2025-01-01", "end": "2025-06-30"}
WINDOW = {"start_date": "2025-01-05", "end_date": "2025-06-01"}


def unspecified(delta_t=0.5, section=True, **changes) -> dict:
    """Return a calibration that does not say which dates it reports."""
    experiment = experiment_on(None, **{**SPAN, **changes}, delta_t=delta_t, fitting_window=dict(WINDOW))
    del experiment["model"]["simulation"]["resample_frequency"]
    if not section:
        del experiment["model"]["simulation"]
    return experiment


def build(folder, experiment, rows) -> list:
    config = write_repository(folder, experiment, observed=HEADER + rows)
    return workloads_in(config)


FOUND = {
    "weeks": (WEEKS, "W-SAT", "weeks that end on Saturday (W-SAT; 7D if a date begins its week)"),
    "weeks with a gap": (series("2025-01-11", 7, 7, 14, 7, 7), "W-SAT", "weeks that end on Saturday"),
    "weeks to Sunday": (series("2025-01-12", 7, 7, 7), "W-SUN", "weeks that end on Sunday (W-SUN"),
    "days": (DAYS, "D", "days (D)"),
    "working days": (series("2025-01-06", 1, 1, 1, 1, 3, 1, 1, 1, 1), "D", "days (D)"),
    "months": (series("2025-02-01", 28, 31, 30, 31), "MS", "months (MS)"),
    "months by their ends": (series("2025-01-31", 28, 31, 30), "ME", "months (ME)"),
}


@pytest.mark.parametrize("section", [True, False], ids=["no frequency", "no section"])
@pytest.mark.parametrize("name", FOUND)
def test_the_model_reports_the_dates_of_the_data_with_one_warning(tmp_path, caplog, name, section):
    rows, frequency, said = FOUND[name]
    stated = unspecified(section=section)
    stated["model"].setdefault("simulation", {})["resample_frequency"] = frequency

    [found] = build(tmp_path / "found", unspecified(section=section), rows)
    warned = [line for line in caplog.messages if "no simulation.resample_frequency" in line]
    [expected] = build(tmp_path / "stated", stated, rows)

    assert pickle.dumps(found) == pickle.dumps(expected)
    [warning] = warned
    assert warning.startswith("model.yaml:")
    assert f"so the model reports {said}" in warning
    assert "as the dates in observed.csv" in warning


def test_several_populations_report_the_same_dates_with_one_warning(tmp_path, caplog):
    rows = WEEKS + series("2025-01-18", 7, 7, 7, place="US-MA")

    workloads = build(tmp_path, in_both_populations(unspecified()), rows)

    assert [workload.plan.resample_frequency for workload in workloads] == ["W-SAT", "W-SAT"]
    assert caplog.text.count("no simulation.resample_frequency") == 1


@pytest.mark.parametrize(("delta_t", "rows", "start"), [(1, DAYS, "2025-01-01"), (7, WEEKS, "2025-01-04")])
def test_steps_as_far_apart_as_the_dates_are_reported_as_they_are(tmp_path, caplog, delta_t, rows, start):
    [workload] = build(tmp_path, unspecified(delta_t, start=start), rows)

    assert workload.plan.resample_frequency is None
    assert "no simulation.resample_frequency" not in caplog.text


UNCLEAR = {
    "few dates": (0.5, series("2025-01-11", 7, 7), "observed days cannot be compared with steps of 0.5 days"),
    "fortnights": (1, series("2025-01-11", 14, 14, 14, 14), "14 days apart, but the model reports each step"),
    "other weekdays": (1, series("2025-01-11", 7, 7, 8, 7, 7), "7 days apart, but the model reports each"),
    "quarters": (1, series("2025-01-05", 90, 30, 31), "days apart, but the model reports each step of 1 day"),
    "days that do not fit the steps": (7, DAYS, "1 day apart, but the model reports each step of 7 days"),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_dates_without_one_clear_spacing_are_refused(tmp_path, name):
    delta_t, rows, said = UNCLEAR[name]

    assert said in problem_of(tmp_path, HEADER + rows, unspecified(delta_t))


def test_places_with_other_spacings_are_refused(tmp_path):
    rows = WEEKS + DAYS.replace("US-VT", "US-MA")

    problem = problem_of(tmp_path, HEADER + rows, in_both_populations(unspecified(1)))

    assert "7 days apart, but the model reports each step of 1 day" in problem
