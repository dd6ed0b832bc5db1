"""A time step fits the interval that is reported, or is refused with steps that do."""

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.simulate.run import run_workload
from tests.builds import build
from tests.experiments import calibrated, sampled, simulated
from tests.in_process import ended
from tests.stage_scripts import Stages


def spanning(make, start: str, delta_t, frequency, end: str = "2025-03-29") -> dict:
    experiment = make()
    experiment["model"]["timespan"] = {"start_date": start, "end_date": end, "delta_t": delta_t}
    experiment["model"]["simulation"]["resample_frequency"] = frequency
    return experiment


def starting_sampled(first: int, after_last: int, delta_t, frequency) -> dict:
    """Return an experiment whose start is drawn from these days after Sunday, 5 January 2025."""
    experiment = spanning(sampled, "sampled", delta_t, frequency)
    sampling = experiment["modelset"]["sampling"]
    sampling["samplers"].append({"strategy": "LHS", "n_samples": 4, "parameters": ["start_date"]})
    drawn = {"name": "uniform", "args": [first, after_last - first - 0.01]}  # whole days of it
    sampling["start_date"] = {"reference_date": "2025-01-05", "distribution": drawn}
    return experiment


REFUSED = {
    "days": ("2025-01-05", 2, "D", "from 2025-01-05 runs into the interval from 2025-01-06; use 1, 0.5"),
    "one day": ("2025-01-05", 7, "1D", "use 1, 0.5 or 0.25"),
    "several days": ("2025-01-05", 4, "10D", "use 5, 2, 1, 0.5 or 0.25"),
    "seven days": ("2025-01-05", 6, "7D", "use 7, 1, 0.5 or 0.25"),
    "a week": ("2025-01-05", 2, "W-SAT", "from 2025-01-11 runs into the interval from 2025-01-12; use 7, 1"),
    "a week to Sunday": ("2025-01-06", 3, "W", "use 7, 1, 0.5 or 0.25"),
    "a week out of phase": ("2025-01-08", 7, "W-SAT", "use 1, 0.5 or 0.25, or start on 2025-01-12"),
    "two weeks": ("2025-01-05", 3, "2W-SAT", "use 7, 1, 0.5 or 0.25"),
    "two weeks out of phase": ("2025-01-05", 2, "2W-SAT", "from 2025-01-11 runs into the interval"),
    "months": ("2025-01-01", 2, "MS", "runs into the interval from 2025-02-01; use 1, 0.5 or 0.25"),
    "months by their end": ("2025-01-01", 7, "ME", "runs into the interval from 2025-02-01; use 1, 0.5"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_step_that_runs_into_the_next_interval_is_refused_with_steps_that_fit(tmp_path, name):
    start, delta_t, frequency, said = REFUSED[name]

    with pytest.raises(UserError) as caught:
        build(tmp_path, spanning(simulated, start, delta_t, frequency))

    assert f"model.yaml:6: steps of {delta_t} days from {start} do not fit" in str(caught.value)
    assert said in str(caught.value)


def test_the_stage_refuses_such_a_step_and_writes_nothing(tmp_path):
    code, [said] = ended(Stages(tmp_path, spanning(simulated, "2025-01-05", 2, "W-SAT")), "builder")

    assert code == 2
    assert "steps of 2 days from 2025-01-05 do not fit resample_frequency W-SAT" in said
    assert "use 7, 1, 0.5 or 0.25" in said
    assert not (tmp_path / "bucket").exists()


@pytest.mark.parametrize(
    ("start", "delta_t", "frequency"),
    [
        ("2025-01-05", 7, "W-SAT"),
        ("2025-01-05", 0.5, "W-SAT"),
        ("2025-01-06", 7, "W"),
        ("2025-01-08", 7, "7D"),
        ("2025-01-06", 2, "14D"),
        ("2025-01-06", 2, "2W-SAT"),
        ("2025-01-08", 2, None),
        ("2025-01-08", 0.25, "D"),
    ],
)
def test_every_interval_of_a_step_that_fits_has_the_same_number_of_days(tmp_path, start, delta_t, frequency):
    experiment = spanning(simulated, start, delta_t, frequency)
    # the same chance on each day, so that what leaves in an interval is in proportion to its days
    experiment["model"]["compartments"] = [{"id": "S", "init": "default"}, {"id": "R"}]
    experiment["model"]["transitions"] = [{"type": "spontaneous", "source": "S", "target": "R", "rate": 0.02}]
    experiment["model"]["parameters"] = {}
    del experiment["output"]
    workload = build(tmp_path, experiment)[0]

    paths = run_workload(workload).trajectories

    whole = slice(1, -1)  # the model may begin or end within an interval
    left = paths.series("S_to_R_total")[:, whole].mean(axis=0)
    before = paths.series("S_total").mean(axis=0)[:-2]
    assert len(left) > 2
    shares = left / before
    assert np.ptp(shares) < 0.05 * shares.mean()


@pytest.mark.parametrize("parts", [3, 4, 24])
def test_parts_of_a_day_are_reported_as_they_are_without_a_frequency(tmp_path, parts):
    workload = build(tmp_path, spanning(simulated, "2025-01-05", 1 / parts, None, end="2025-01-08"))[0]

    dates = run_workload(workload).trajectories.dates

    first = np.datetime64("2025-01-05", "s")
    assert (dates == first + np.arange(4 * parts) * np.timedelta64(86_400 // parts, "s")).all()


@pytest.mark.parametrize("sunday", [0, 7])
def test_each_sampled_start_date_has_to_be_in_phase(tmp_path, sunday):
    assert len(build(tmp_path / "in", starting_sampled(sunday, sunday + 1, 7, "W-SAT"))) == 12

    with pytest.raises(UserError, match=r"model.yaml:6: steps of 7 days from .* do not fit .*W-SAT"):
        build(tmp_path / "out", starting_sampled(sunday, sunday + 4, 7, "W-SAT"))


def test_intervals_of_days_begin_with_any_sampled_start(tmp_path):
    assert len(build(tmp_path, starting_sampled(0, 4, 2, "14D"))) == 12


def test_a_calibrated_start_takes_no_step_of_several_days(tmp_path):
    experiment = spanning(calibrated, "calibrated", 7, "W-SAT")
    drawn = {"reference_date": "2025-01-05", "prior": {"name": "randint", "args": [0, 2]}}
    experiment["modelset"]["calibration"]["start_date"] = drawn

    with pytest.raises(UserError, match="steps of 7 days depend on the start date"):
        build(tmp_path, experiment)


@pytest.mark.parametrize("delta_t", [1e-320, 1e-9, 1 / 172_800, 1.5, 3.5, 8, 0.7])
def test_a_step_that_neither_divides_a_day_nor_is_whole_days_is_refused(tmp_path, delta_t):
    with pytest.raises(UserError, match=r"model.yaml:6: .*delta_t"):
        build(tmp_path, spanning(simulated, "2025-01-05", delta_t, "W-SAT"))


def test_more_steps_than_can_be_simulated_are_refused(tmp_path):
    experiment = spanning(simulated, "1900-01-01", 1 / 86_400, "MS", end="2200-01-01")

    with pytest.raises(UserError, match=r"model.yaml:6: 9,467,193,600 time steps .*are more than 1,000,000"):
        build(tmp_path, experiment)


@pytest.mark.parametrize(("end", "warned"), [("2025-01-18", False), ("2025-01-17", True)])
def test_a_last_step_past_the_end_is_warned_about(tmp_path, caplog, end, warned):
    build(tmp_path, spanning(simulated, "2025-01-05", 2, None, end))

    assert ("is simulated to 2025-01-18, past end_date 2025-01-17" in caplog.text) == warned


@pytest.mark.parametrize("first_day", ["1970-01-01", "2025-01-01"])
def test_a_drawn_start_date_has_no_more_steps_than_a_fixed_one(tmp_path, first_day):
    experiment = spanning(sampled, "sampled", 1 / 86_400, "D", end="2025-01-10")
    start = {"reference_date": first_day, "distribution": {"name": "randint", "args": [-9, -4]}}
    experiment["modelset"]["sampling"]["start_date"] = start
    experiment["modelset"]["sampling"]["samplers"].append(
        {"strategy": "LHS", "n_samples": 2, "parameters": ["start_date"]}
    )

    with pytest.raises(UserError, match=r"model.yaml:6: .* time steps .* are more than 1,000,000"):
        build(tmp_path, experiment)
