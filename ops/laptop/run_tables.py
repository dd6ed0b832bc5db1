"""Tables of the runs on this machine and of their results.

Those of runs in the cloud are in watching/cloud_tables.py.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from modeling.by_products import check_output_list, check_summary
from modeling.hubs import is_submission
from modeling.input_names import in_a_line, unknown_input
from modeling.plain_text import one_line
from modeling.run_names import CHARTS, OUTPUT_LIST, REPORT, SUMMARIES
from ops.failures import UserError
from ops.input_names import (
    NAME_CHARACTERS,
    index_in,
    input_files,
    local_names,
    missing_indices,
    named,
    names_in_files,
    recorded_names,
    unnamed,
)
from ops.laptop.run_files import LocalRun, by_product, known_runs, latest_run
from ops.names import NO_TABLES
from ops.settings import Settings
from ops.shell import Shell
from ops.terminal import cell, console, counted, nearest

NAMED_A_RUN, MOST_LISTED = 3, 20  # missing inputs that are named in a list of runs, and for a single run
MOST_ROWS = 24  # of a forecast, so that it fits on a screen
MOST_LOOKED_UP = 60  # inputs whose names are looked up for a list of runs


def show_runs(settings: Settings, exp_id: str = "", limit: int | None = None) -> None:
    """Print the newest local runs: when each was built, its results, state and newest outputs."""
    runs = known_runs(settings, exp_id)
    if not runs:
        print(f"no runs below {nearest(settings.local_data_path)}")
        return
    newest = runs[::-1][:limit]
    missing = [_without_result(run) if run.is_built else ([], {}) for run in newest]  # read once
    nameless = [
        path for run, each in zip(newest, missing, strict=True) for path in _unnamed_inputs(run, *each)
    ]
    found = names_in_files(Shell(), nameless[:MOST_LOOKED_UP])
    rows = (
        (run.exp_id, run.run_id, *_row_or_damaged(run, without, recorded | _found_names(run, without, found)))
        for run, (without, recorded) in zip(newest, missing, strict=True)
    )
    print_runs(rows, older=len(runs) - len(newest))


def print_runs(rows: Iterable[tuple[str, ...]], older: int = 0) -> None:
    """Print runs: experiment, run id, reference date, time of building, results, state, newest outputs.

    Without a reference date in any row there is no such column. `older` is the number of other runs.
    """
    shown = list(rows)
    columns = ["experiment", "run id", "reference date", "built", "results", "state", "outputs"]
    if not any(row[2] for row in shown):
        columns, shown = columns[:2] + columns[3:], [row[:2] + row[3:] for row in shown]
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in shown:
        table.add_row(*map(cell, row))
    console().print(table)
    if older:
        print(f"and {counted(older, 'older run')}: --limit all")


def _row_or_damaged(run: LocalRun, without: list[int], names: dict[int, str]) -> tuple[str, ...]:
    try:
        return _row(run, without, names)
    except UserError:  # the manifest is damaged
        return "", "", "", "damaged", ""


def _row(run: LocalRun, without: list[int], names: dict[int, str]) -> tuple[str, ...]:
    """Return a run's reference date, when it was built, its results, state, and newest outputs."""
    if not run.is_built:
        return "", "", "", "not built", ""
    manifest, outputs = run.manifest, run.outputs()
    done, total = len(run.results()), manifest.num_workloads
    newest = outputs[-1].name if outputs else ""
    state = _state(run, done, total, without, names)
    return manifest.reference_date, manifest.created_at, f"{done}/{total}", state, newest


def _state(run: LocalRun, done: int, total: int, without: list[int], names: dict[int, str]) -> str:
    """Return the state of a run."""
    if not run.outputs() and done == total:
        return "no outputs yet"
    which = in_a_line(named(without[:NAMED_A_RUN], names), len(without))
    if run.outputs():
        if "missing" not in run.headline(run.outputs()[-1]):
            return "done"  # the number of results is not recorded
        gone = set(range(total)) - run.results() - set(without)
        return ", ".join(
            ["done"]
            + ([f"{len(without)} missing: {which}"] if without else [])
            + ([f"{counted(len(gone), 'result')} gone"] if gone else [])
        )
    return f"{counted(len(without), 'task')} failed: {which}" if without else "unfinished"


def _without_result(run: LocalRun) -> tuple[list[int], dict[int, str]]:
    """Return the inputs missing in the newest outputs, or whose tasks failed, and their recorded names."""
    if outputs := run.outputs():
        headline = run.headline(outputs[-1])
        return missing_indices(headline), {i: name for i, (name, _) in recorded_names(headline).items()}
    failed, recorded = [], {}
    for path in sorted(run.folder.glob(f"{SUMMARIES}runner_*.json")):
        summary = by_product(path, check_summary) or {}
        if summary.get("status") == "failed":
            failed.append(index_in(path))
            if name := summary.get("input"):
                recorded[failed[-1]] = one_line(name, NAME_CHARACTERS)
    return failed, recorded


def _unnamed_inputs(run: LocalRun, without: list[int], recorded: dict[int, str]) -> list[Path]:
    """Return the files of the inputs in the row of a run whose names are not recorded."""
    nameless = unnamed(without[:NAMED_A_RUN], recorded)
    return [path for index in nameless for path in input_files(run.folder, index)]


def _found_names(run: LocalRun, without: list[int], found: dict[Path, str]) -> dict[int, str]:
    """Return the names of a run's inputs that were found in their files."""
    paths = (path for index in without[:NAMED_A_RUN] for path in input_files(run.folder, index))
    return {index_in(path): found[path] for path in paths if path in found}


def show_results(settings: Settings, exp_id: str, run_id: str = "") -> None:
    """Print the forecast of a run and where its tables, charts and report are."""
    run = latest_run(settings, exp_id, run_id)
    outputs = run.outputs()
    if not outputs:
        raise UserError(
            f"run {run.run_id} of {exp_id} has no outputs yet ({len(run.results())} of "
            f"{counted(run.manifest.num_workloads, 'result')}); "
            f"resume with: invoke run --exp-id {exp_id} --run-id {run.run_id}"
        )
    show_outputs(run, outputs[-1])


def show_outputs(run: LocalRun, folder: Path) -> None:
    """Print the forecast and the files of one output folder."""
    headline = run.headline(folder)
    nameless = unnamed(missing_indices(headline), recorded_names(headline))
    names = local_names(Shell(), run.folder, nameless[:MOST_LISTED])
    print_forecast(run.exp_id, run.run_id, headline, names)
    listed = by_product(folder / OUTPUT_LIST, check_output_list)
    files = _files_in(folder) if listed is None else [entry["name"] for entry in listed]
    tables = [name for name in files if "/" not in name and name not in NO_TABLES]
    submissions = [name for name in tables if is_submission(name)]
    pictures = sum(name.startswith(CHARTS) for name in files)
    print(f"report   {nearest(folder / REPORT)}")
    if pictures:  # those of a forecast from surveillance data are in its report
        print(f"charts   {nearest(folder / CHARTS)} ({counted(pictures, 'picture')})")
    for name in submissions:
        print(f"hub file {nearest(folder / name)}")
    if tables := sorted({*tables} - {*submissions}):
        print(f"tables   {nearest(folder)}: {', '.join(tables)}")


def _files_in(folder: Path) -> list[str]:
    """Return the files of an output folder, with the names of its list."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != OUTPUT_LIST)
    return [path.relative_to(folder).as_posix() for path in paths]


def print_forecast(exp_id: str, run_id: str, summary: dict[str, Any], names: dict[int, str]) -> None:
    """Print the headline of a run's outputs; `names` are those of inputs that it does not name."""
    every = summary.get("headline", [])
    rows, others = every[:MOST_ROWS], every[MOST_ROWS:]
    if rows:
        _print_headline(rows, f"{exp_id}, run {run_id}", summary.get("reference_date", ""))
    shown = {row["population"] for row in rows}
    later = sum(row["population"] in shown for row in others)
    if later := later + summary.get("left_out_dates", 0):
        print(f"and {counted(later, 'later date')}; see the tables")
    left_out = len({row["population"] for row in others} - shown)
    if left_out := left_out + summary.get("left_out_populations", 0):
        print(f"and {counted(left_out, 'more population')}; see the report")
    if missing := missing_indices(summary):
        print(f"{counted(len(missing), 'result')} missing:")
        for line in _missing_lines(missing, recorded_names(summary), names):
            print(f"  {line}")


def _missing_lines(
    missing: list[int], recorded: dict[int, tuple[str, str]], names: dict[int, str]
) -> Iterator[str]:
    """Yield the first missing inputs, with reasons if known, and the number of others."""
    for index in missing[:MOST_LISTED]:
        name, reason = recorded.get(index) or (names.get(index) or unknown_input(index), "")
        yield f"{name}: {reason}" if reason else name
    if len(missing) > MOST_LISTED:
        yield f"and {len(missing) - MOST_LISTED:,} more"


def _print_headline(rows: list[dict], title: str, reference_date: str) -> None:
    series, end = _in_common(rows)
    of_all = [series, f"reference date {reference_date}" if reference_date else "", end]
    for line in filter(None, [title, "; ".join(filter(None, of_all))]):
        console().print(line, style="table.title", highlight=False)
    table = Table(box=None, header_style="bold")
    named = ["population", "date"] if series else ["population", "series", "date"]
    for column in named:
        table.add_column(column)
    for column in ("low", "median", "high"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in rows:
        counts = [f"{row[name]:,.0f}" for name in ("low", "median", "high")]
        note = cell(row["note"]).removesuffix(end).rstrip(",; ") if end else cell(row["note"])
        table.add_row(*(cell(row[name]) for name in named), *counts, note)
    console().print(table)


def _in_common(rows: list[dict]) -> tuple[str, str]:
    """Return the series and the end of the notes that the rows of several populations share, each or "".

    They are said once, so that a row takes one line of a narrow terminal.
    """
    if len({row["population"] for row in rows}) == 1:
        return "", ""
    series, notes = {cell(row["series"]) for row in rows}, {cell(row["note"]) for row in rows}
    ends = notes if len(notes) == 1 else {re.split("[,;] ", note)[-1] for note in notes}
    return series.pop() if len(series) == 1 else "", ends.pop() if len(ends) == 1 else ""
