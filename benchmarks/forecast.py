"""How good are the weekly forecasts, and how fast? A season is forecast again as known then, and scored.

Peers, scored beside them on the same weeks and locations: FluSight-baseline, to which all ratios are, and the
other models of the hub whose scores are in --data, above all FluSight-ensemble. Choices are made on 2024-25,
so that alone is the default; look at 2025-26 once a method is fixed.

--data is a folder with the vintages, the counts, the baseline's hub files and the scores of other models, in
the layout of ../shared/data/flusight.

--change scores the method with other constants of modeling/forecast/settings.py, as docs/forecast-quality.md
has them: on 2024-25 only, beside the baseline, and without the times.
"""

import argparse
import csv
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import yaml
from changes import change
from measuring import (
    ROOT,
    Used,
    environment,
    in_turn,
    print_machine,
    print_table,
    ratio,
    read_arguments,
    run_process,
    spread,
    wall,
)

SHARED, EXTRACT = ROOT.parent / "shared" / "data" / "flusight", ROOT / "tests" / "flusight"
SEASONS = {"2024-25": ("2024-11-23", "2025-05-31"), "2025-26": ("2025-11-22", "2026-05-30")}
QUICK_SPAN, QUICK_PLACES = ("2025-01-11", "2025-01-18"), "US-CA,US-MA,US-OH,US-PA,US-VT,US-PR,US"
EXP_ID, OURS = "flusight", "growth_regression"
VARIANTS = {"admissions alone": False, "and past influenza-like illness": True}


def main() -> int:
    arguments = read_arguments(__doc__, 3, _add_options)
    data = EXTRACT if arguments.quick else arguments.data
    if not data.is_dir():
        sys.exit(f"{data}: no such folder; name one with --data")
    if arguments.change and "2025-26" in (arguments.season or []):
        sys.exit("--change is for trials, and trials are scored on 2024-25 only; leave out --season")
    with tempfile.TemporaryDirectory() as folder:
        sweep = Sweep(Path(folder), data, arguments.quick, arguments.change)
        for season in arguments.season or ["2024-25"]:
            print_scores(sweep, season)
        if arguments.change:
            return 0
        print_machine(arguments.repeats)
        print_speed(sweep, arguments.season or ["2024-25"], arguments.repeats)
    return 0


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=SHARED, help="default: ../shared/data/flusight")
    parser.add_argument("--season", action="append", choices=SEASONS, help="default 2024-25; may be repeated")
    parser.add_argument(
        "--change",
        action="append",
        default=[],
        type=_checked_change,
        metavar="NAME=VALUE",
        help="another constant of the method, as fit.ridge=0.1; may be repeated; an unknown name lists all",
    )


def _checked_change(text: str) -> str:
    change(text)
    return text


class Sweep:
    """A forecasting repository over some data, and evaluations of it in processes."""

    def __init__(self, folder: Path, data: Path, is_quick: bool, changes: list[str]):
        self.folder, self.data, self.is_quick, self.changes = folder, data, is_quick, changes
        self.repository = folder / "forecast"
        config = self.repository / "experiments" / EXP_ID / "config"
        config.mkdir(parents=True)
        forecast = {
            "method": OURS,
            "population_names": QUICK_PLACES.split(",") if is_quick else ["all"],
            "observed_data_path": "vintages.csv.gz",
        }
        (config / "forecast.yaml").write_text(yaml.safe_dump({"forecast": forecast}), encoding="utf-8")
        (self.repository / "vintages.csv.gz").symlink_to(self._one("*vintages.csv.gz"))

    def _one(self, pattern: str) -> Path:
        found = sorted(self.data.glob(pattern))
        if not found:
            sys.exit(f"{self.data}: no file {pattern}")
        return found[0]

    def run(self, name: str, season: str, has_history: bool, jobs: int = 0) -> Used:
        """Evaluate one season into a folder of its own; existing forecasts are kept."""
        first, last = QUICK_SPAN if self.is_quick else SEASONS[season]
        words = ["--exp-id", EXP_ID, "--from", first, "--to", last, "--method", f"{OURS},random_walk"]
        words += ["--observations", self._one("target-hospital-admissions.csv*"), "--jobs", str(jobs)]
        for peer in self._peers(season):
            words += ["--compare", peer]
        if has_history:
            words += ["--history", self._one("ilinet*.csv.gz")]
        variables = environment(FORECAST_REPO_DIR=self.repository, LOCAL_DATA_PATH=self.folder / name)
        script = [ROOT / "scripts" / "evaluate_forecasts.py"]
        if self.changes:
            script = [ROOT / "benchmarks" / "changes.py", *self.changes, "--"]
        return run_process([sys.executable, *script, *words], variables)

    def _peers(self, season: str) -> Iterable[Path]:
        yield self._one(f"**/FluSight-baseline_{season}.csv.gz")
        if self.changes:
            return
        for name in ("scores_by_location.csv.gz", "scores_by_date.csv"):
            if (self.data / name).is_file():
                yield self.data / name

    def lines(self, name: str) -> list[dict[str, str]]:
        """Return the rows of the summary of an evaluation."""
        path = self.folder / name / "evaluations" / EXP_ID / "summary.csv"
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def print_scores(sweep: Sweep, season: str) -> None:
    """Print the scores of both variants and of all peers, best first."""
    rows: dict[str, list[str]] = {}
    for variant, has_history in VARIANTS.items():
        name = f"{season} {variant}"
        sweep.run(name, season, has_history)
        lines = sweep.lines(name)
        for line in lines:
            if (line["by"], line["scope"]) == ("season", "states"):
                model = f"{OURS}, {variant}" if line["model"] == OURS else line["model"]
                rows[model] = _score_row(model, line, lines)
    by_ratio = sorted(rows.values(), key=lambda row: row[1])
    columns = ["states, horizons 0 to 3", "rel. WIS", "log", "50 %", "95 %", "US", "US 95 %", "dates worse"]
    print_table(f"{season}: ratios to FluSight-baseline, and coverage", columns, by_ratio)


def _score_row(model: str, states: dict[str, str], lines: Iterable[dict[str, str]]) -> list[str]:
    own = [line for line in lines if line["model"] == states["model"]]
    nation = [line for line in own if (line["by"], line["scope"]) == ("season", "US")]
    weeks = [line for line in own if (line["by"], line["scope"]) == ("week", "states") and line["rel_wis"]]
    worse = sum(float(line["rel_wis"]) > 1 for line in weeks)
    shares = [f"{100 * float(states[name]):.1f}" for name in ("cov50", "cov95")]
    of_nation = ["–", "–"]
    if nation:
        of_nation = [_ratio(nation[0]["rel_wis"]), f"{100 * float(nation[0]['cov95']):.1f}"]
    ratios = [_ratio(states["rel_wis"]), _ratio(states["rel_wis_log"])]
    return [model, *ratios, *shares, *of_nation, f"{worse} of {len(weeks)}"]


def _ratio(text: str) -> str:
    return f"{float(text):.3f}" if text else "–"


def print_speed(sweep: Sweep, seasons: list[str], rounds: int) -> None:
    """Print the time of whole evaluations: on all cores, on one, and with nothing left to compute."""
    cores = os.cpu_count() or 1

    def evaluated(has_history: bool, jobs: int, is_new: bool = True) -> Used:
        name = f"speed {has_history}"
        if is_new:
            shutil.rmtree(sweep.folder / name, ignore_errors=True)
        used = [sweep.run(name, season, has_history, jobs) for season in seasons]
        return Used(sum(u.wall_seconds for u in used), sum(u.cpu_seconds for u in used))

    first = f"admissions alone, {cores} processes"
    cases = {
        first: lambda: evaluated(False, cores),
        "admissions alone, again: nothing to compute": lambda: evaluated(False, cores, is_new=False),
        "admissions alone, 1 process": lambda: evaluated(False, 1),
        f"and past influenza-like illness, {cores} processes": lambda: evaluated(True, cores),
    }
    taken = in_turn(cases, rounds)
    rows = [
        [name, spread(wall(used), 1), f"{ratio(wall(used), wall(taken[first])):.2f}"]
        for name, used in taken.items()
    ]
    title = f"Evaluation of {' and '.join(seasons)}, with that of random_walk: seconds"
    print_table(title, ["", "seconds", "x the first"], rows)


if __name__ == "__main__":
    sys.exit(main())
