"""What charts and report show of parameter sets that start on different days, or are missing."""

import numpy as np
import pytest

from modeling.outputs.collect import Collector
from modeling.outputs.report import RunFacts, write_report
from modeling.simulate.run import run_workload
from modeling.vocabulary.experiment import load_experiment
from tests.builds import build
from tests.experiments import sampled, sampled_twice, write_repository

DAY = np.timedelta64(1, "D")


def results_of(folder, experiment) -> list:
    return [run_workload(workload) for workload in build(folder, experiment, seed=4)]


def collected(folder, experiment, results):
    folder.mkdir(exist_ok=True)
    output = load_experiment(write_repository(folder / "again", experiment)).output
    collector = Collector(output, folder)
    for result in results:
        collector.add(result)
    return collector.finish()


def starting_when(frequency: str | None, n_samples: int = 4) -> dict:
    """Return four sets of six trajectories that start on different days of three weeks."""
    experiment = sampled()
    experiment["model"]["parameters"]["R0"] = {"type": "scalar", "value": 1.8}
    experiment["model"]["timespan"]["start_date"] = "sampled"
    experiment["model"]["simulation"] = {"n_sims": 6}
    if frequency:
        experiment["model"]["simulation"]["resample_frequency"] = frequency
    experiment["output"]["quantiles"] = {"transitions": ["S_to_I_total"], "compartments": ["I_total"]}
    experiment["modelset"]["sampling"] = {
        "samplers": [{"strategy": "LHS", "n_samples": n_samples, "parameters": ["start_date"]}],
        "parameters": {},
        "start_date": {
            "reference_date": "2025-01-06",
            "distribution": {"name": "randint", "args": [0, 21]},
        },
    }
    return experiment


@pytest.mark.parametrize("frequency", ["D", None, "W-SAT"])
def test_the_fan_counts_a_set_that_has_not_begun_as_one_in_which_nobody_moves(tmp_path, frequency):
    experiment = starting_when(frequency)
    by_day = results_of(tmp_path / "days", starting_when("D"))

    [shown] = collected(tmp_path, experiment, results_of(tmp_path / "run", experiment)).panels

    starts = [result.expected.first_date for result in by_day]
    assert len(set(starts)) == 4
    infections, infectious = shown.series
    days = np.arange(np.datetime64(min(starts)), np.datetime64("2025-02-16"))
    moved = np.concatenate([padded(result, "S_to_I_total", days, 0) for result in by_day])
    people = np.concatenate([padded(result, "I_total", days, 500) for result in by_day])
    dates = infections.projection.dates.astype("datetime64[D]")
    assert dates[-1] == np.datetime64("2025-02-15")
    length = 7 if frequency == "W-SAT" else 1
    assert dates[0] - (length - 1) * DAY >= days[0] > dates[0] - (2 * length - 1) * DAY
    median = infections.projection.curves[3]
    for date, found, present in zip(dates, median, infectious.projection.curves[3], strict=True):
        inside = (days > date - length * DAY) & (days <= date)
        assert found == np.median(moved[:, inside].sum(axis=1))
        assert present == np.median(people[:, days == date])
    assert infections.projection.curves[0, 0] == 0 < median[-1]


def padded(result, name: str, days: np.ndarray, before: int) -> np.ndarray:
    """Return a daily series on all days, shape (trajectories, days)."""
    values = result.trajectories.series(name)
    missing = len(days) - values.shape[1]
    return np.pad(values, ((0, 0), (missing, 0)), constant_values=before)


def test_sets_that_report_on_days_of_their_own_have_lines_and_no_fan(tmp_path):
    experiment = starting_when("7D")

    [panel] = collected(tmp_path, experiment, results_of(tmp_path / "run", experiment)).panels

    assert [series.projection for series in panel.series] == [None, None]
    assert [len(series.lines) for series in panel.series] == [4, 4]


def test_a_week_in_which_some_sets_begin_is_told_apart_from_one_that_none_has_whole(tmp_path):
    experiment = starting_when("W-SAT")
    results = results_of(tmp_path / "run", experiment)

    notes = collected(tmp_path, experiment, results).notes

    starts = [np.datetime64(result.expected.first_date) for result in results]
    cut = {
        str(start + (5 - start.item().weekday()) % 7 * DAY) for start in starts if start.item().weekday() != 6
    }
    first = str(min(starts) + (5 - min(starts).item().weekday()) % 7 * DAY)
    never, at_times = sorted(cut & {first}), sorted(cut - {first})
    assert notes == [
        f"left out of tables and charts, because not all of their days were simulated: {', '.join(never)}",
        f"left out of the tables of the parameter sets that begin or end within them: {', '.join(at_times)}",
    ]


@pytest.mark.parametrize(("make", "said"), [(sampled, "2 of 3"), (sampled_twice, "1 of 2")])
def test_the_caption_counts_the_sets_that_are_in_the_report(tmp_path, make, said):
    experiment = make()
    results = results_of(tmp_path / "run", experiment)
    facts = RunFacts("trial", "", "sampling", "builtin", 4, "", "", len(results), len(results) - 1)

    for missing in (0, len(results) - 1):
        kept = [result for result in results if result.index != missing]
        panels = collected(tmp_path / str(missing), experiment, kept).panels
        write_report(tmp_path / "report.html", facts, panels, {}, {})

        words = " ".join((tmp_path / "report.html").read_text().split())
        assert f"{said} parameter sets, {6 * len(kept)} trajectories" in words
        assert "spread evenly" not in words
