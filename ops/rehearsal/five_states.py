"""A forecasting repository of five jurisdictions to rehearse with: the demo, five times.

Every state has the people, contacts and admissions of Massachusetts; their posteriors still differ, because
each draw has a random stream of its own. The numbers compare two lanes, and mean nothing else.
"""

import csv
import shutil
from pathlib import Path

import yaml

from ops.settings import ROOT

EXP_ID = "five-states"
STATES = {
    "MA": "United_States_Massachusetts",
    "CT": "United_States_Connecticut",
    "ME": "United_States_Maine",
    "NH": "United_States_New_Hampshire",
    "VT": "United_States_Vermont",
}
EXAMPLES = ROOT / "examples" / "forecast"
OBSERVED = Path("data", "demo_admissions.csv")
POPULATIONS = Path("data", "epydemix-data")


def write_five_states(folder: Path) -> None:
    """Write the repository, whose only experiment is EXP_ID, to a new folder."""
    config = folder / "experiments" / EXP_ID / "config"
    shutil.copytree(EXAMPLES / "experiments" / "demo" / "config", config)
    modelset = yaml.safe_load((config / "modelset.yaml").read_text(encoding="utf-8"))
    modelset["modelset"]["population_names"] = [f"US-{state}" for state in STATES]
    (config / "modelset.yaml").write_text(yaml.safe_dump(modelset, sort_keys=False), encoding="utf-8")
    _write_admissions(folder / OBSERVED)
    _write_populations(folder / POPULATIONS)


def _write_admissions(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with open(EXAMPLES / OBSERVED, encoding="utf-8", newline="") as source:
        columns, *rows = csv.reader(source)
    place = columns.index("geo_value")
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for state in STATES:
            writer.writerows([*row[:place], state, *row[place + 1 :]] for row in rows)


def _write_populations(folder: Path) -> None:
    first = STATES["MA"]
    listed = (EXAMPLES / POPULATIONS / "locations.csv").read_text(encoding="utf-8").splitlines()
    own = next(line for line in listed if line.startswith(f"{first},"))
    folder.mkdir(parents=True)
    lines = [listed[0], *(own.replace(first, name) for name in STATES.values())]
    (folder / "locations.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in STATES.values():
        shutil.copytree(EXAMPLES / POPULATIONS / "data" / first, folder / "data" / name)
