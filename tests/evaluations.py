"""A forecasting repository with real vintages of seven locations, and evaluations of its past forecasts."""

import contextlib
import csv
import gzip
import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import evaluate_forecasts
import yaml

from pipeline.failures import exit_code_of
from tests.flu_vintages import FLUSIGHT, VINTAGES
from tests.stage_scripts import Ended

BASELINE = FLUSIGHT / "FluSight-baseline_2024-25.csv.gz"
LOCATIONS = "US-CA,US-MA,US-OH,US-PA,US-VT,US-PR,US"
SPAN = ("--from", "2025-01-11", "--to", "2025-02-01")  # four dates; the release for the third is missing
HUB_COLUMNS = "reference_date,target,horizon,target_end_date,location,output_type,output_type_id,value"


def write_repository(folder: Path, **changes: object) -> Path:
    """Write a forecasting repository with the experiment flusight, and return its folder."""
    forecast = {
        "method": "random_walk",
        "population_names": LOCATIONS.split(","),
        "observed_data_path": "data/vintages.csv.gz",
        **changes,
    }
    config = folder / "experiments" / "flusight" / "config"
    config.mkdir(parents=True)
    (config / "forecast.yaml").write_text(yaml.safe_dump({"forecast": forecast}), encoding="utf-8")
    (folder / "data").mkdir()
    os.symlink(VINTAGES, folder / "data" / VINTAGES.name)
    return folder


class Evaluations:
    """A forecasting repository, and its evaluations."""

    def __init__(self, folder: Path, **changes: object):
        self.repository, self.local = write_repository(folder / "forecast", **changes), folder / "local"
        self.folder = self.local / "evaluations" / "flusight"

    def _variables(self) -> dict[str, str]:
        threads = dict.fromkeys(evaluate_forecasts.THREADS, "1")  # so that they are as before afterwards
        return {**threads, "FORECAST_REPO_DIR": str(self.repository), "LOCAL_DATA_PATH": str(self.local)}

    def run_process(self, *words: str) -> Ended:
        """Evaluate as `invoke evaluate` does."""
        done = subprocess.run(
            [sys.executable, evaluate_forecasts.__file__, "--exp-id", "flusight", *words],
            env={**os.environ, **self._variables()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return Ended(done.returncode, done.stdout, done.stdout.strip().splitlines())

    def run(self, *words: str) -> Ended:
        """Evaluate in this process."""
        said, log = io.StringIO(), logging.getLogger("pipeline")
        handler = logging.StreamHandler(said)
        log.addHandler(handler)
        try:
            with mock.patch.dict(os.environ, self._variables()), contextlib.redirect_stdout(said):
                code = exit_code_of(
                    lambda: evaluate_forecasts.main(["--exp-id", "flusight", "--jobs", "1", *words]), log
                )
        finally:
            log.removeHandler(handler)
        return Ended(code, said.getvalue(), said.getvalue().strip().splitlines())

    def files(self) -> dict[str, bytes]:
        """Return the content of every file that was written."""
        found = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}

    def summary(self, **wanted: str) -> list[dict[str, str]]:
        """Return the rows of summary.csv with these values."""
        with open(self.folder / "summary.csv", newline="") as file:
            return [row for row in csv.DictReader(file) if wanted.items() <= row.items()]

    def scores(self) -> list[dict[str, str]]:
        """Return the rows of scores.csv.gz."""
        with gzip.open(self.folder / "scores.csv.gz", "rt", newline="") as file:
            return list(csv.DictReader(file))
