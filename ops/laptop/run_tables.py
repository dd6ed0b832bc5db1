"""Tables of the runs of this machine and of their results: what ran, how it ended, and what came out.

The same of runs in the cloud are in cloud_tables.py.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table

from modeling.by_products import check_output_list, check_summary
from ops.failures import UserError
from ops.laptop.run_files import LocalRun, by_product, known_runs, latest_run
from ops.run_paths import CHARTS, NO_TABLES, OUTPUT_LIST, REPORT, SUMMARIES
from ops.settings import Settings
from ops.shown import cell, console, counted, nearest


def show_runs(settings: Settings, exp_id: str = "", limit: int | None = None) -> None:
    """Print the newest local runs: when each was built, how far it came, and its newest outputs."""
    runs = known_runs(settings, exp_id)
    if not runs:
        print(f"no runs below {nearest(settings.local_data_path)}")
        return
    newest = runs[::-1][:limit]
    rows = ((run.exp_id, run.run_id, *_row_or_damaged(run)) for run in newest)
    print_runs(rows, older=len(runs) - len(newest))


def print_runs(rows: Iterable[tuple[str, ...]], older: int = 0) -> None:
    """Print runs: experiment, run id, when it was built, results, state, newest outputs; how many are not."""
    table = Table(box=None, header_style="bold")
    for column in ("experiment", "run id", "built", "results", "state", "outputs"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    console().print(table)
    if older:
        print(f"and {counted(older, 'older run')}: --limit all")


def _row_or_damaged(run: LocalRun) -> tuple[str, str, str, str]:
    try:
        return _row(run)
    except UserError:  # its manifest is none
        return "", "", "damaged", ""


def _row(run: LocalRun) -> tuple[str, str, str, str]:
    """Return when a run was built, its results, how it stands, and its newest outputs."""
    if not run.is_built:
        return "", "", "not built", ""
    manifest, outputs = run.manifest, run.outputs()
    done, total = len(run.results()), manifest["num_workloads"]
    newest = outputs[-1].name if outputs else ""
    return manifest["created_at"], f"{done}/{total}", _state(run, done, total), newest


def _state(run: LocalRun, done: int, total: int) -> str:
    """Return how a run stands, for people."""
    if run.outputs():
        headline = run.headline(run.outputs()[-1])
        if "missing" not in headline:
            return "done"  # with how many results, nobody tells
        missing = headline["missing"]
        gone = set(range(total)) - run.results() - set(missing)
        return ", ".join(
            ["done"]
            + ([f"{len(missing)} missing"] if missing else [])
            + ([f"{counted(len(gone), 'result')} gone"] if gone else [])
        )
    if done == total:
        return "no outputs yet"
    summaries = (by_product(p, check_summary) for p in run.folder.glob(f"{SUMMARIES}runner_*.json"))
    failed = [one for one in summaries if one and one.get("status") == "failed"]
    return f"{counted(len(failed), 'task')} failed" if failed else "unfinished"


def show_results(settings: Settings, exp_id: str, run_id: str = "") -> None:
    """Print the forecast of a run and where its tables, charts and report are."""
    run = latest_run(settings, exp_id, run_id)
    outputs = run.outputs()
    if not outputs:
        raise UserError(
            f"run {run.run_id} of {exp_id} has no outputs yet ({len(run.results())} of "
            f"{counted(run.manifest['num_workloads'], 'result')}); "
            f"go on with: invoke run --exp-id {exp_id} --run-id {run.run_id}"
        )
    show_outputs(run, outputs[-1])


def show_outputs(run: LocalRun, folder: Path) -> None:
    """Print what one output folder holds; its own forecast, not that of a later try."""
    print_forecast(run.exp_id, run.run_id, run.headline(folder))
    listed = by_product(folder / OUTPUT_LIST, check_output_list)
    files = _files_in(folder) if listed is None else [entry["name"] for entry in listed]
    tables = [name for name in files if "/" not in name and name not in NO_TABLES]
    pictures = counted(sum(name.startswith(CHARTS) for name in files), "picture")
    print(f"report   {nearest(folder / REPORT)}")
    print(f"charts   {nearest(folder / CHARTS)} ({pictures})")
    print(f"tables   {nearest(folder)}: {', '.join(sorted(tables))}")


def _files_in(folder: Path) -> list[str]:
    """Return the files of an output folder, as its list would name them."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != OUTPUT_LIST)
    return [path.relative_to(folder).as_posix() for path in paths]


def print_forecast(exp_id: str, run_id: str, summary: dict[str, Any]) -> None:
    """Print what headline.json of a run's outputs holds."""
    rows = summary.get("headline", [])
    if rows:
        console().print(_headline(rows, f"{exp_id}, run {run_id}"))
    left_out = summary.get("left_out_populations", 0)
    if left_out:
        print(f"and {counted(left_out, 'more population')}; see the report")
    missing = summary.get("missing", [])
    if missing:
        print(f"{counted(len(missing), 'result')} missing: {', '.join(map(str, missing[:10]))}")


def _headline(rows: list[dict], title: str) -> Table:
    table = Table(title=title, box=None, header_style="bold", title_justify="left")
    for column in ("population", "series", "date"):
        table.add_column(column)
    for column in ("low", "median", "high"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in rows:
        counts = [f"{row[name]:,.0f}" for name in ("low", "median", "high")]
        table.add_row(*(cell(row[n]) for n in ("population", "series", "date")), *counts, cell(row["note"]))
    return table
