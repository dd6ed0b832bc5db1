"""The forecast in a few rows: what is called a peak is one, and a week in parts is left out."""

import csv
import gzip
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from modeling.outputs.headline import MOST_ROWS, headline, left_out, left_out_dates
from modeling.outputs.panels import LEVELS, Fan, Panel, SeriesPanel
from modeling.workload import Observed
from tests.experiments import OBSERVED, calibrated, sampled, simulated
from tests.forgeries import forge
from tests.in_process import ended
from tests.stage_scripts import Ended, Stages


def run(tmp_path, experiment, observed=OBSERVED) -> tuple[Stages, Ended]:
    stages = Stages(tmp_path, experiment)
    (tmp_path / "forecast" / "data" / "observed.csv").write_text(observed)
    for stage in ("builder", "runner", "output"):
        tasks = stages.manifest()["num_workloads"] if stage == "runner" else 1
        for index in range(tasks):
            variables = {"TASK_INDEX": index} if stage == "runner" else {}
            ended = stages.run(stage, **variables)
            assert ended.exit_code == 0, ended.output
    return stages, ended


def rows_of(stages: Stages) -> list[dict]:
    return json.loads((stages.outputs() / "headline.json").read_text())["headline"]


def table(stages: Stages, name: str) -> list[dict]:
    with gzip.open(stages.outputs() / f"{name}.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def everything(make=simulated, r0=1.8, **timespan):
    experiment = make()
    experiment["output"]["quantiles"] = {"selections": [0.25, 0.5, 0.75], "transitions": True}
    experiment["output"]["quantiles"]["compartments"] = ["S_total", "I_total", "R_total"]
    experiment["model"]["timespan"] |= timespan
    if make is simulated:
        experiment["model"]["parameters"]["R0"]["value"] = r0
    return experiment


def test_a_wave_that_is_not_over_is_still_rising_and_has_no_peak(tmp_path):
    stages, _ = run(tmp_path, everything(r0=2.5, end_date="2025-01-25"))

    rows = {row["series"]: row for row in rows_of(stages)}
    row = rows["I_total"]
    assert set(rows) == {"S_to_I_total", "I_total"}  # who is susceptible or immune has no peak
    assert (row["date"], row["note"]) == ("2025-01-25", "still rising at the end, 90 % interval")


def test_a_wave_that_only_falls_is_highest_at_the_start(tmp_path):
    row = rows_of(run(tmp_path, everything(r0=0.5))[0])[-1]

    assert (row["date"], row["note"]) == ("2025-01-11", "highest at the start, 90 % interval")


def test_a_wave_that_is_over_has_a_peak(tmp_path):
    row = rows_of(run(tmp_path, everything(r0=2.5))[0])[-1]

    assert "2025-01-11" < row["date"] < "2025-02-15"
    assert row["note"] == "peak, 90 % interval"


def test_a_peak_is_that_of_the_trajectories_and_not_of_their_median(tmp_path):
    experiment = everything(r0=1.9, end_date="2025-12-27")
    experiment["model"]["simulation"]["n_sims"] = 40
    experiment["model"]["compartments"][1]["init"] = 2  # chance decides when it begins, and whether
    experiment["output"]["trajectories"] = {"compartments": ["I_total"]}
    stages, _ = run(tmp_path, experiment)

    row = next(row for row in rows_of(stages) if row["series"] == "I_total")
    paths: dict[str, dict[str, int]] = {}
    for line in table(stages, "trajectories_compartments"):
        paths.setdefault(line["sim_id"], {})[line["date"]] = int(line["I_total"])
    highest = [max(path.values()) for path in paths.values()]
    dates = [max(path, key=path.get) for path in paths.values()]
    by_day = [np.median([path[day] for path in paths.values()]) for day in next(iter(paths.values()))]

    assert len(highest) == 40
    wanted = np.quantile(highest, [0.05, 0.5, 0.95]).round(1).tolist()
    assert [row[name] for name in ("low", "median", "high")] == wanted
    assert row["median"] > max(by_day)
    first, last = row["note"].rpartition("; ")[2].split(" to ")
    assert min(dates) <= first <= row["date"] <= last <= max(dates)
    assert len(set(dates)) > 1


def test_value_and_date_of_a_sampling_experiment_are_those_of_its_middle_set(tmp_path):
    experiment = everything(sampled, end_date="2025-12-27")
    experiment["output"]["trajectories"] = {"compartments": ["I_total"]}
    stages, _ = run(tmp_path, experiment)

    row = next(row for row in rows_of(stages) if row["series"] == "I_total")
    paths: dict[str, dict[str, list[int]]] = {}
    for line in table(stages, "trajectories_compartments"):
        paths.setdefault(line["primary_id"], {}).setdefault(line["date"], []).append(int(line["I_total"]))
    medians = {i: {date: np.median(values) for date, values in of.items()} for i, of in paths.items()}
    low, middle, high = sorted(medians.values(), key=lambda curve: max(curve.values()))

    days = sorted(max(curve, key=curve.get) for curve in medians.values())
    assert row["note"] == f"peak, medians of 3 sets: lowest, middle, highest; {days[0]} to {days[-1]}"
    assert row["median"] == max(middle.values()) == middle[row["date"]]
    assert (row["low"], row["high"]) == (max(low.values()), max(high.values()))


def forecast(population="US-VT", weeks=20) -> Panel:
    dates = np.datetime64("2025-01-04", "D") + 7 * np.arange(weeks)
    fan = Fan(dates, np.ones((len(LEVELS), weeks)))
    observed = Observed("cases", ["I_to_R_total"], dates[:4], np.ones(4), np.ones(4, dtype=bool))
    return Panel(population, population, "calibration", [SeriesPanel("cases", observed, projection=fan)])


@pytest.mark.parametrize(("populations", "dates"), [(1, 8), (3, 8), (4, 6), (52, 4)])
def test_a_forecast_shows_eight_dates_and_fewer_of_many_populations(populations, dates):
    panels = [forecast(f"P{number:02}") for number in range(populations)]

    rows = headline(panels)

    assert len([row for row in rows if row["population"] == "P00"]) == dates
    assert len(rows) == min(populations * dates, MOST_ROWS)
    assert {row["note"] for row in rows} == {"forecast, 90 % interval"}
    assert left_out(panels, rows) == max(0, populations - MOST_ROWS // dates)
    assert left_out_dates(panels, rows) == min(populations, MOST_ROWS // dates) * (16 - dates)


@pytest.mark.parametrize("make", [simulated, calibrated])
def test_a_week_that_is_simulated_in_part_is_in_no_table_and_the_report_says_so(tmp_path, make):
    experiment = everything(make, end_date="2025-02-19")
    stages, ended = run(tmp_path, experiment)

    names = ["quantiles_transitions", "quantiles_compartments", "trajectories_transitions"]
    for name in names + ["quantiles_projection"] * (make is calibrated):
        dates = {row["date"] for row in table(stages, name)}
        assert (min(dates), max(dates)) == ("2025-01-11", "2025-02-15"), name
    words = "left out of tables and charts, because not all of their days were simulated: 2025-02-22"
    assert words in ended.output
    assert words in (stages.outputs() / "report.html").read_text()
    dates = {row["date"] for row in rows_of(stages)}
    assert dates
    assert dates <= {"2025-02-08", "2025-02-15"}


def test_the_forecast_says_how_many_dates_and_the_posteriors_which_generations_they_leave_out(tmp_path):
    experiment = calibrated()
    experiment["model"]["timespan"]["end_date"] = "2025-04-05"  # nine weeks after the last fitted one
    experiment["output"]["posteriors"] = {"generations": [0, 1]}
    options = experiment["modelset"]["calibration"]["strategy"]["options"]
    options |= {"epsilon_schedule": [1e9, 0], "num_particles": 4}

    stages, ended = run(tmp_path, experiment)

    shown = json.loads((stages.outputs() / "headline.json").read_text())
    assert (len(shown["headline"]), shown["left_out_dates"]) == (8, 1)
    report = " ".join((stages.outputs() / "report.html").read_text().split())
    assert "and 1 later date, charted below and in the tables." in report
    assert {row["generation"] for row in table(stages, "posteriors")} == {"0"}
    words = "the table of posteriors is without generations that were not reached: 1 of US-VT"
    assert words in ended.output
    assert words in report


def test_a_fit_far_from_its_data_is_told_in_the_log_and_in_the_report(tmp_path):
    # no R0 gives 99,800 recoveries in the first week, nor 991,200 of 647,464 people in the third
    stages, ended = run(tmp_path, everything(calibrated), OBSERVED.replace(",US-VT,", ",US-VT,99"))

    [warning] = [line for line in ended.lines if "warning" in line]
    assert "bad fit of US-VT cases (" in warning
    assert warning.endswith("then widen the priors or correct the model")
    assert "bad fit of US-VT cases (" in (stages.outputs() / "report.html").read_text()


def test_the_report_tells_the_parameter_sets_apart(tmp_path):
    experiment = everything(sampled, end_date="2025-12-27")
    stages, _ = run(tmp_path, experiment)

    report = (stages.outputs() / "report.html").read_text()
    rows = re.findall(r"<tr><td class=\"n\"[^>]*>(\d)</td>\s*<td class=\"n\"[^>]*>([\d.]+)</td>", report)

    assert rows == [("0", "1.20"), ("1", "1.60"), ("2", "2")]
    assert '<th class="n">R0</th>' in report
    assert '<th class="n">gamma</th>' not in report  # the same in all sets


def test_the_report_shows_epsilon_and_acceptance_of_the_generations_of_a_result(calibration):
    def counted(result):
        first = replace(
            result.generations[0], epsilon=12.5, simulations=4 * len(result.generations[0].weights)
        )
        return replace(result, generations=[first, *result.generations[1:]])

    forge(calibration, counted)
    code, said = ended(calibration, "output")

    assert code == 0, said
    (report,) = calibration.run_folder.glob("outputs/*/report.html")
    assert '<td class="n" data-of="epsilon">12.5</td>' in report.read_text()
    assert "(25 %)" in report.read_text()
