"""A forecast from surveillance data: an experiment of two places of the extract in tests/flusight."""

import shutil
from pathlib import Path

import yaml

from tests.experiments import REPOSITORY

EXTRACT = REPOSITORY / "tests" / "flusight" / "vintages.csv.gz"


def write_weekly(repository: Path, **keys: str) -> None:
    """Write the experiment "weekly" and its data; `keys` replace those of its YAML."""
    config, data = repository / "experiments" / "weekly" / "config", repository / "data"
    config.mkdir(parents=True)
    data.mkdir(exist_ok=True)
    shutil.copy(EXTRACT, data)
    forecast = {
        "method": "random_walk",
        "population_names": ["US-MA", "US-VT"],
        "observed_data_path": "data/vintages.csv.gz",
    }
    (config / "forecast.yaml").write_text(yaml.safe_dump({"forecast": forecast | keys}))
