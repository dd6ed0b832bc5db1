"""How long does a weekly run take? Stages A, B and C of the flu experiment for the nation, the states and DC.

Each location is calibrated with 1,000 particles in 10 generations to its admissions of 2024-25, and has 1,000
projections. --admissions names the target file of the FluSight hub, target-hospital-admissions.csv;
populations are read from --data or EPYDEMIX_DATA_DIR. There is no peer: epydemix would take days.
"""

import argparse
import csv
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engines import flu, models
from experiments import EXP_ID, write_repository
from measuring import ROOT, environment, print_table

from modeling.populations import find_location, locations

STAGES = {"builder": "A", "runner": "B", "output": "C"}
_FIRST, _LAST = datetime.date(2024, 9, 21), datetime.date(2025, 5, 17)


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        places = write(root / "forecast", arguments)
        variables = environment(
            FORECAST_REPO_DIR=root / "forecast",
            LOCAL_DATA_PATH=root / "local",
            EPYDEMIX_DATA_DIR=arguments.data,
            EXECUTION_MODE="local",
        )
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "invoke", "run", "--exp-id", EXP_ID],
            env=variables,
            cwd=ROOT,
        )
        seconds = time.perf_counter() - started
        if done.returncode:
            return done.returncode
        [run] = (root / "local" / "bucket" / EXP_ID).iterdir()
        _print(run, len(places), seconds)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--admissions", type=Path, help="target-hospital-admissions.csv of the hub")
    parser.add_argument("--data", type=Path, default=os.environ.get("EPYDEMIX_DATA_DIR"))
    parser.add_argument("--locations", type=int, default=52, help="number of locations (default: 52)")
    parser.add_argument("--quick", action="store_true", help="US-VT, tiny sizes, to see that it runs")
    arguments = parser.parse_args()
    arguments.data = models.data_folder(arguments.data, arguments.quick)
    if not arguments.quick and arguments.admissions is None:
        parser.error("--admissions is needed: target-hospital-admissions.csv of the FluSight hub")
    return arguments


def write(folder: Path, arguments: argparse.Namespace) -> list[str]:
    """Write the forecasting repository, and return the locations."""
    admissions = _observed(arguments.admissions) if not arguments.quick else {"US-VT": _synthetic()}
    places = sorted(admissions)[: arguments.locations]
    sizes = (20, 2) if arguments.quick else (1000, 10)
    experiment = flu.calibrated(places[0], *sizes)
    experiment["modelset"]["population_names"] = places
    del experiment["model"]["population"]["name"]
    experiment["modelset"]["calibration"]["projection"] = {"n_trajectories": sizes[0]}
    experiment["output"] = {"quantiles": {"transitions": True}, "posteriors": True}
    write_repository(folder, experiment)
    flu.write_coverage(folder, *(find_location(place).name for place in places))
    flu.write_admissions(folder, {place: admissions[place] for place in places})
    return places


def _observed(path: Path) -> dict[str, dict[datetime.date, int]]:
    """Return the weekly admissions of the nation, each state and DC by date."""
    # Puerto Rico has no calendar of school holidays
    own = {location.name: code for code, location in locations().items() if code.startswith("US-")}
    codes = {**own, "US": "US"}
    codes.pop("Puerto Rico")
    found: dict[str, dict[datetime.date, int]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            code, day = codes.get(row["location_name"]), datetime.date.fromisoformat(row["date"])
            if code and row["value"] and _FIRST <= day <= _LAST:
                found.setdefault(code, {})[day] = int(float(row["value"]))
    return found


def _synthetic() -> dict[datetime.date, int]:
    weeks = range((_LAST - _FIRST).days // 7 + 1)
    return {_FIRST + datetime.timedelta(weeks=week): 5 + 20 * (15 < week < 25) for week in weeks}


def _print(run: Path, num_locations: int, seconds: float) -> None:
    """Print the wall time, and the CPU time of each stage by its summaries."""
    summaries = {path.stem: json.loads(path.read_text()) for path in (run / "summaries").glob("*.json")}
    rows = []
    for stage, letter in STAGES.items():
        own = [summary for name, summary in summaries.items() if name.startswith(stage)]
        cpu = sum(summary["cpu_seconds"] for summary in own)
        memory = max(summary["peak_memory_mib"] for summary in own)
        rows.append([letter, str(len(own)), f"{cpu:,.1f}", f"{memory:,.0f}"])
    simulations = sum(summary.get("simulations", 0) for summary in summaries.values())
    print_table(
        f"{num_locations} locations, {simulations:,} simulations, {os.cpu_count()} cores: "
        f"{seconds / 60:.1f} minutes in all",
        ["stage", "tasks", "CPU seconds", "peak MiB"],
        rows,
    )


if __name__ == "__main__":
    sys.exit(main())
