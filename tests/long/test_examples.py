"""The bundled experiments do what their README says."""

import csv
import gzip
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

from modeling.outputs.quantiles import weighted_quantiles
from tests.experiments import EXAMPLES, REPOSITORY
from tests.operators import invoke_in


def invoke(folder, *words):
    kept = {n: os.environ[n] for n in ("PATH", "HOME", "LANG") if n in os.environ}
    (folder / "empty.env").touch()
    kept |= {"LOCAL_DATA_PATH": str(folder / "local"), "ENV_FILE": "empty.env"}
    command = [*invoke_in(REPOSITORY), *words]
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def newest_tables(folder):
    outputs = sorted((folder / "local" / "bucket").glob("*/*/outputs/*/files.json"))[-1].parent
    tables = {}
    for path in outputs.glob("*.csv.gz"):
        with gzip.open(path, "rt", newline="") as file:
            tables[path.name.removesuffix(".csv.gz")] = list(csv.DictReader(file))
    return tables


def test_the_demo_finds_the_parameters_its_series_was_simulated_with(tmp_path):
    truth = yaml.safe_load((EXAMPLES / "data" / "demo_truth.yaml").read_text())
    with open(EXAMPLES / "data" / "demo_admissions.csv", newline="") as file:
        observed = {row["target_end_date"]: float(row["admissions"]) for row in csv.DictReader(file)}

    printed = invoke(tmp_path, "run", "--local", "--exp-id", "demo")
    tables = newest_tables(tmp_path)

    weights = np.array([float(row["weight"]) for row in tables["posteriors"]])
    for name, value in {**truth["parameters"], **truth["compartments"]}.items():
        values = np.array([[float(row[name])] for row in tables["posteriors"]])
        low, high = weighted_quantiles(values, weights, [0.05, 0.95])[:, 0]
        assert low < value < high, name
    band = {(r["date"], r["quantile"]): float(r["value"]) for r in tables["quantiles_projection"]}
    later = [date for date in observed if date > "2026-01-24"]
    inside = [band[date, "0.025"] <= observed[date] <= band[date, "0.975"] for date in later]
    assert len(later) == 8
    assert sum(inside) >= 7
    [shown] = [line for line in (REPOSITORY / "README.md").read_text().splitlines() if " US-MA " in line]
    assert shown.split() in [line.split() for line in printed.splitlines()]
    assert "report.html" in printed


def test_the_scenarios_run_every_point_of_the_grid_in_both_populations(tmp_path):
    invoke(tmp_path, "run", "--exp-id", "scenarios")
    tables = newest_tables(tmp_path)

    points = {(row["population"], row["R0"], row["infectious_days"]) for row in tables["model_metadata"]}

    assert len(points) == len(tables["model_metadata"]) == 12
    assert {population for population, _, _ in points} == {"US-MA", "US-VT"}


@pytest.mark.parametrize(
    ("script", "makes"),
    [("make_contacts.py", "contacts_matrix_*.csv"), ("make_demo_series.py", "demo_admissions.csv")],
)
def test_the_scripts_that_made_the_data_make_the_same_bytes_again(tmp_path, script, makes):
    copy = tmp_path / "examples" / "forecast"
    shutil.copytree(EXAMPLES, copy)
    (tmp_path / "modeling").symlink_to(REPOSITORY / "modeling")
    made = list((copy / "data").rglob(makes))
    for path in made:
        path.unlink()

    subprocess.run([sys.executable, str(copy / "data" / script)], check=True, cwd=copy)

    assert made
    for path in made:
        assert path.read_bytes() == (EXAMPLES / path.relative_to(copy)).read_bytes(), path.name
