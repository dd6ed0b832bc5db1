"""`invoke evaluate` as an operator types it: its options, its one line of error, and Ctrl-C."""

import signal
import time

import pytest

from ops.laptop.run_lock import held_file
from tests.evaluations import BASELINE, LOCATIONS, SPAN, write_repository
from tests.experiments import simulated
from tests.operators import Operator

SEASON = ("--from", "2024-11-23", "--to", "2025-05-31")


@pytest.fixture
def operator(tmp_path) -> Operator:
    operator = Operator(tmp_path, simulated())
    operator.environ["FORECAST_REPO_DIR"] = str(write_repository(tmp_path / "flu"))
    return operator


def test_evaluate_prints_the_table_and_says_where_the_page_is(operator):
    ended = operator.invoke("evaluate", *SPAN, "--method", "random_walk", "--compare", str(BASELINE))

    assert ended.exit_code == 0, ended.output
    assert "2024-25, states; the baseline of the ratios is FluSight-baseline" in ended.output
    assert ended.last_line.startswith("page, charts, scores and hub files: ")
    folder = operator.folder / "local" / "evaluations" / "flusight"
    assert {path.name for path in folder.iterdir()} == {
        "coverage-2024-25.svg",
        "evaluation.html",
        "random_walk",
        "relative-wis-2024-25.svg",
        "scores.csv.gz",
        "summary.csv",
    }


def test_a_wrong_option_is_one_line_and_exit_code_2(operator):
    ended = operator.invoke("evaluate", "--from", "2025-01-12", "--to", "2025-02-01")

    assert ended.exit_code == 2
    assert [line for line in ended.lines if not line.startswith("+ ")] == [ended.last_line]
    assert "--from 2025-01-12: a Sunday; a reference date is a Saturday" in ended.last_line


def test_a_second_evaluation_at_the_same_time_is_refused(operator):
    lock = operator.folder / "local" / "evaluations" / "flusight" / "lock"
    with held_file(lock, "taken twice"):
        ended = operator.invoke("evaluate", *SPAN)

    assert ended.exit_code == 2
    assert ended.last_line == "error: an evaluation of flusight is under way; wait until it has ended"


def test_a_dry_run_prints_the_command_and_writes_nothing(operator):
    ended = operator.invoke("evaluate", *SPAN, "--locations", LOCATIONS, "--dry-run")

    assert ended.exit_code == 0
    assert (
        f"scripts/evaluate_forecasts.py --exp-id flusight {' '.join(SPAN)} --locations {LOCATIONS}"
        in ended.output
    )
    assert not (operator.folder / "local" / "evaluations").exists()


def test_ctrl_c_keeps_the_dates_that_are_done_and_the_same_command_continues(operator):
    words = ("evaluate", *SEASON, "--method", "growth_regression", "--jobs", "1")
    folder = operator.folder / "local" / "evaluations" / "flusight" / "growth_regression"
    process = operator.start(*words)
    while len(list(folder.glob("made-from/*.json"))) < 2 and process.poll() is None:
        time.sleep(0.005)

    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.csv")}
    ended = operator.invoke(*words)

    assert process.returncode == 130, said
    assert "stopped; the dates that are done are kept, and the same command continues" in said
    assert 2 <= len(kept) < 28
    assert not list(folder.glob("*.partial"))
    assert ended.exit_code == 0, ended.output
    again = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.csv")}
    assert len(again) == 28
    assert len(kept.items() & again.items()) >= len(kept) - 1  # one may have been written without its record
