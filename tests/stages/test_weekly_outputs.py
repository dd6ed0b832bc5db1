"""What stage C makes of a weekly forecast beside its report: the table, the headline, what the log says."""

import csv
import gzip
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from modeling.by_products import check_headline
from modeling.failures import UserError
from modeling.forecast_records import Doubt
from modeling.hubs import hub_populations
from modeling.outputs.collect import AnyCollector
from modeling.simulate.run import run_workload
from modeling.vocabulary import Output
from pipeline.manifest import Manifest
from pipeline.metadata import RunRecord
from pipeline.outputs import write_collected
from tests.builds import build
from tests.experiments import simulated
from tests.forecast_results import made_up_result, random_walk_result
from tests.html_pages import Page
from tests.in_process import ended
from tests.surveillance import extract, forecast, staged

FOUR = {"06": (4000, 3000), "US": (1000, 2000), "25": (100, 800), "50": (20, 20)}


def manifest():
    fields = {
        "exp_id": "flusight",
        "run_id": "20250108-120000-1a2b3c4d",
        "workflow": "forecast",
        "suite": "builtin",
        "created_at": "2025-01-08T12:00:00Z",
        "num_workloads": 1,
        "seed": None,
        "num_pending": 1,
        "workloads_per_task": 1,
        "inputs_sha256": "0" * 64,
    }
    return Manifest(**fields)


def written(folder: Path, result, **output):
    """Return the folder of the outputs of a result, written as stage C writes them."""
    folder.mkdir()
    collector = AnyCollector(Output(**output), folder)
    collector.add(result)
    write_collected(folder, collector.finish(), {}, RunRecord(manifest(), packages={}, is_dated=False))
    return folder


def headline_of(folder):
    found = json.loads((folder / "headline.json").read_text())
    check_headline(found)
    return found


def rows_of(folder):
    with gzip.open(folder / "forecast.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_every_location_week_and_quantile(tmp_path):
    result = made_up_result(FOUR)

    rows = rows_of(written(tmp_path / "outputs", result))

    assert len(rows) == 4 * 5 * 23
    assert rows[0] == {
        "population": "US",
        "location": "US",
        "reference_date": "2025-01-11",
        "horizon": "-1",
        "target_end_date": "2025-01-04",
        "quantile": "0.01",
        "value": "989",
    }
    assert [row["population"] for row in rows[:: 5 * 23]] == ["US", "US-CA", "US-MA", "US-VT"]
    massachusetts = {
        (row["horizon"], row["target_end_date"], row["quantile"]): row["value"]
        for row in rows
        if row["location"] == "25"
    }
    # medians 100, 275, 450, 625, 800; the levels are one admission apart
    assert massachusetts["3", "2025-02-01", "0.5"] == "800"
    assert massachusetts["0", "2025-01-11", "0.975"] == "285"


def test_the_table_comes_in_the_formats_that_the_output_asks_for(tmp_path):
    folder = written(tmp_path / "outputs", made_up_result(FOUR), table_formats=["csv", "parquet"])

    table = pyarrow.parquet.read_table(folder / "forecast.parquet").to_pylist()
    assert [{name: f"{value}" for name, value in row.items()} for row in table] == rows_of(folder)


def test_the_headline_has_the_nation_first_and_then_the_largest_changes_per_person(tmp_path):
    found = headline_of(written(tmp_path / "outputs", made_up_result(FOUR)))

    rows = found["headline"]
    # per 100,000: Massachusetts 700 of 7.1 million, California -1000 of 39.4 million, Vermont 0
    assert [(row["population"], row["date"]) for row in rows] == [
        ("US", "2025-01-11"),
        ("US", "2025-01-18"),
        ("US", "2025-01-25"),
        ("US", "2025-02-01"),
        ("US-MA", "2025-02-01"),
        ("US-CA", "2025-02-01"),
        ("US-VT", "2025-02-01"),
    ]
    assert [rows[3][name] for name in ("low", "median", "high")] == [1991, 2000, 2009]
    assert rows[4]["note"] == "large increase, +9.8 per 100,000; 90 % interval"
    assert (found["left_out_populations"], found["left_out_dates"], found["missing"]) == (0, 0, [])


def test_the_headline_of_53_locations_says_how_many_have_no_row(tmp_path):
    result = made_up_result(dict.fromkeys(hub_populations(), (10, 20)))

    found = headline_of(written(tmp_path / "outputs", result))

    assert len(found["headline"]) == 24
    assert found["left_out_populations"] == 53 - 1 - 20


def test_what_is_left_out_or_doubtful_is_said_in_the_log(tmp_path, caplog):
    result = made_up_result(
        FOUR,
        left_out={"39": "no count since 1 November"},
        notes=["No release since 1 January."],
        doubts=[Doubt("50", "gap", "No count for the week to 7 December.")],
    )

    with caplog.at_level(logging.WARNING):
        written(tmp_path / "outputs", result)

    assert [record.getMessage() for record in caplog.records] == [
        "No release since 1 January.",
        "Ohio is left out: no count since 1 November",
        "Vermont: No count for the week to 7 December.",
    ]


def test_the_same_result_gives_the_same_bytes(tmp_path):
    first, second = (written(tmp_path / name, random_walk_result()) for name in ("first", "second"))

    names = sorted(path.name for path in first.iterdir())
    assert names == ["forecast.csv.gz", "headline.json", "report.html"]
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_second_result_and_one_of_another_kind_are_refused(tmp_path):
    weekly = made_up_result(FOUR)
    collector = AnyCollector(Output(), tmp_path)
    collector.add(weekly)

    with pytest.raises(UserError, match="a weekly forecast has one result"):
        collector.add(replace(weekly, index=1))
    with pytest.raises(UserError, match="results of models and of a weekly forecast"):
        collector.add(run_workload(build(tmp_path, simulated())[0]))


def test_a_place_without_a_newest_count_has_all_outputs(tmp_path):
    result = made_up_result(FOUR)
    result.counts[-2:, 2] = np.nan

    folder = written(tmp_path / "outputs", result)

    assert len(rows_of(folder)) == 4 * 5 * 23


def test_the_output_that_names_team_and_model_gets_a_submission(tmp_path):
    asked = {"reference_date": "2025-01-11", "team": "my_lab", "model": "growth"}

    folder = written(tmp_path / "outputs", made_up_result(FOUR), flusight_format=asked)

    name = "2025-01-11-my_lab-growth.csv"
    lines = (folder / name).read_text().splitlines()
    assert len(lines) == 1 + 4 * (5 * 23 + 4 * 5)
    assert "2025-01-11,wk inc flu hosp,3,2025-02-01,25,quantile,0.5,800" in lines
    assert f'<a href="{name}">' in (folder / "report.html").read_text()


def test_an_output_of_another_reference_date_is_refused(tmp_path):
    asked = {"reference_date": "2025-01-18", "team": "my_lab", "model": "growth"}

    with pytest.raises(UserError, match="reference_date is 2025-01-18, but this run forecasts 2025-01-11"):
        written(tmp_path / "outputs", made_up_result(FOUR), flusight_format=asked)


def test_a_hub_format_without_names_gets_a_note(tmp_path, caplog):
    written(tmp_path / "outputs", made_up_result(FOUR), flusight_format={})

    assert "names neither team nor model" in caplog.text


# -- the three stages


def test_a_forecast_goes_from_vintages_to_table_submission_and_report(tmp_path):
    experiment = forecast(population_names=["US", "US-CA", "US-MA", "US-ME"])
    experiment["output"] = {"flusight_format": {"team": "my_lab", "model": "walk"}}
    rows = extract("2025-01-02", "2025-01-08", "2025-01-29", locations=("US", "06", "25"))
    stages = staged(tmp_path, rows, experiment)
    assert ended(stages, "builder") == (0, [])
    assert ended(stages, "runner", TASK_INDEX=0) == (0, [])

    code, said = ended(stages, "output")

    (folder,) = stages.run_folder.glob("outputs/*")
    assert code == 0
    assert {path.name for path in folder.iterdir()} == {
        "2025-01-11-my_lab-walk.csv",
        "files.json",
        "forecast.csv.gz",
        "headline.json",
        "report.html",
    }
    assert [row["population"] for row in rows_of(folder)[:: 5 * 23]] == ["US", "US-CA", "US-MA"]
    assert [row["population"] for row in headline_of(folder)["headline"][:4]] == ["US"] * 4
    text = Page((folder / "report.html").read_text(encoding="utf-8")).text
    # 18 and 25 January are known on 29 January, 11 January too
    assert "Of 9 later observations of the forecast weeks" in text
    assert "Last week's forecast (reference date 4 January 2025): of 3 counts" in text
    assert text.count("Maine") == 2  # at the top and in the warnings; its tile has a code and a title
    assert said == []  # stage A said that Maine is left out
