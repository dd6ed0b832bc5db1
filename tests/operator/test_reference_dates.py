"""The reference date and the strictness of a forecast, from the command line to the stages and back."""

import json
import shutil

import pytest
from rich.console import Console

from ops.laptop import run_tables
from tests.experiments import sampled, simulated
from tests.operators import RUN, THIS_RUN, Operator, run_folder

WEEK = "2026-01-10"
TERMINAL_WIDTH = 80


@pytest.fixture
def forecast(finished) -> Operator:
    """A finished run that was built for a reference date."""
    bend(finished, "builder-artifacts/manifest.json", reference_date=WEEK, strict=True)
    return finished


def bend(operator: Operator, name: str, **changes) -> None:
    path = run_folder(operator) / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("words", [["run"], ["stage", "builder"], ["validate"], ["rehearse"]])
def test_a_day_that_is_no_saturday_is_refused_before_anything_starts(tmp_path, words):
    operator = Operator(tmp_path, simulated())

    ended = operator.invoke(*words, "--exp-id", "trial", "--reference-date", "2026-01-09")

    assert ended.exit_code == 2
    assert ended.output == (
        "error: --reference-date 2026-01-09: a Friday; a reference date is a Saturday, "
        "such as 2026-01-03 or 2026-01-10\n"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--reference-date", WEEK], f"REFERENCE_DATE={WEEK} is for forecasts from surveillance data"),
        (["--strict"], "STRICT=1 is for forecasts from surveillance data"),
        (["--reference-date", WEEK, "--strict"], f"REFERENCE_DATE={WEEK} and STRICT=1 are for forecasts"),
    ],
)
def test_an_experiment_with_a_model_has_neither(tmp_path, options, said):
    operator = Operator(tmp_path, simulated())

    for words in (["run", "--local"], ["validate"]):
        ended = operator.invoke(*words, "--exp-id", "trial", *options)

        assert ended.exit_code == 2
        assert said in ended.output
        assert "this experiment has no key forecast: leave" in ended.output
    assert not (tmp_path / "local" / "bucket").exists()


def test_variables_of_the_shell_do_not_reach_a_run(tmp_path):
    operator = Operator(tmp_path, simulated())

    ended = operator.invoke("stage", "builder", "--exp-id", "trial", REFERENCE_DATE=WEEK, STRICT="1")

    assert ended.exit_code == 0, ended.output


@pytest.mark.parametrize("stage", ["runner", "output"])
@pytest.mark.parametrize(
    "option",
    [("--reference-date", WEEK), ("--strict",), ("--seed", "0"), ("--count", "1")],
    ids=lambda o: o[0],
)
def test_a_later_stage_takes_no_option_of_the_first(finished, stage, option):
    ended = finished.invoke("stage", stage, *THIS_RUN, *option)

    assert ended.exit_code == 2
    assert ended.last_line == f"error: {option[0]} belongs to stage builder, not to {stage}"


def test_a_run_goes_on_for_its_own_week_alone(forecast):
    same = forecast.invoke("stage", "builder", *THIS_RUN, "--reference-date", WEEK, "--strict")
    unsaid = forecast.invoke("stage", "builder", *THIS_RUN)
    other = forecast.invoke(*RUN, "--reference-date", "2026-01-17")

    assert same.exit_code == unsaid.exit_code == 0, same.output + unsaid.output
    assert other.exit_code == 2
    assert (
        f"was built with REFERENCE_DATE={WEEK}, not 2026-01-17; start a new run, or leave REFERENCE_DATE out "
        "(invoke: --reference-date)"
    ) in other.output


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--reference-date", WEEK), f"was built without REFERENCE_DATE, not {WEEK}"),
        (("--strict",), "was built without STRICT, not 1; start a new run, or leave STRICT out"),
    ],
)
def test_a_run_does_not_become_one_for_a_week_or_strict(finished, option, said):
    ended = finished.invoke(*RUN, *option)

    assert ended.exit_code == 2
    assert said in ended.output


def test_a_run_is_repeated_for_its_week_and_as_strictly(forecast):
    ended = forecast.invoke("stage", "output", *THIS_RUN)
    assert ended.exit_code == 0, ended.output
    metadata = json.loads((run_folder(forecast) / "run_metadata.json").read_text())

    again = forecast.invoke("reproduce", *THIS_RUN, "--dry-run")

    arguments = metadata["arguments"]
    assert (arguments["reference_date"], arguments["strict"]) == (WEEK, True)
    assert again.exit_code == 0, again.output
    assert f"REFERENCE_DATE={WEEK} STRICT=1" in again.output


def test_runs_and_results_show_the_week(forecast, tmp_path):
    other = "20250202-120000-0a1b2c3d"
    written = forecast.invoke("stage", "output", *THIS_RUN)
    assert written.exit_code == 0, written.output
    shutil.copytree(run_folder(forecast), run_folder(forecast).with_name(other))
    manifest = run_folder(forecast).with_name(other) / "builder-artifacts" / "manifest.json"
    old = json.loads(manifest.read_text()) | {"run_id": other}
    manifest.write_text(json.dumps({n: v for n, v in old.items() if n not in ("reference_date", "strict")}))

    runs = forecast.invoke("runs")
    results = forecast.invoke("results", *THIS_RUN)

    assert "reference date" in runs.lines[0]
    assert [WEEK in line for line in runs.lines[1:]] == [False, True]
    assert [line.strip() for line in results.lines[:2]] == [
        f"trial, run {THIS_RUN[-1]}",
        f"reference date {WEEK}",
    ]


def test_runs_without_a_week_have_no_column_for_it(finished):
    ended = finished.invoke("runs")

    assert "reference" not in ended.output
    assert ended.lines[0].split() == ["experiment", "run", "id", "built", "results", "state", "outputs"]


@pytest.mark.parametrize(
    ("notes", "of_all", "last"),
    [
        (("forecast, 90 % interval",), "forecast, 90 % interval", "12,345"),
        (
            ("forecast, 90 % interval", "large increase, 1.2 per 100,000; 90 % interval"),
            "90 % interval",
            "large increase, 1.2 per 100,000",
        ),
        (("forecast", "no data since 2026-01-03"), "", "no data since 2026-01-03"),
    ],
)
def test_a_table_of_many_places_has_a_line_for_each_row_of_a_terminal(
    monkeypatch, capsys, notes, of_all, last
):
    monkeypatch.setattr(run_tables, "console", lambda: Console(width=TERMINAL_WIDTH))
    rows = [
        {
            "population": place,
            "series": "hospital admissions",
            "date": "2026-01-24",
            "low": 81.0,
            "median": 1234.0,
            "high": 12345.0,
            "note": notes[number % len(notes)],
        }
        for number, place in enumerate(["US", *(f"US-{number:02d}" for number in range(52))])
    ]
    summary = {"headline": rows, "reference_date": WEEK, "left_out_populations": 0}

    run_tables.print_forecast("flusight", "20260107-120000-0a1b2c3d", summary, {})

    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert said[0] == "flusight, run 20260107-120000-0a1b2c3d"
    assert said[1] == "; ".join(filter(None, ["hospital admissions", f"reference date {WEEK}", of_all]))
    assert said[2].split() == ["population", "date", "low", "median", "high"]
    assert len(said) == 3 + 24 + 1
    assert said[3 + 23].endswith(last)
    assert said[-1] == "and 29 more populations; see the report"


def test_a_sampling_run_says_nothing_of_a_week(tmp_path):
    ended = Operator(tmp_path, sampled()).invoke("run", "--exp-id", "trial")

    assert ended.exit_code == 0, ended.output
    assert "reference" not in ended.output
