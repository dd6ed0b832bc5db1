"""Forecasts from surveillance data: the extract of real vintages, bent as a test needs it."""

import csv
import gzip
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from modeling.build.workloads import DataPlaces
from modeling.forecast_records import ForecastWorkload
from modeling.suites import Build, build
from tests.experiments import write_repository
from tests.flu_vintages import VINTAGES, Row, rows_by_vintage
from tests.stage_scripts import Stages

DATA = "data/vintages.csv"
COLUMNS = ["as_of", "date", "location", "value"]


def forecast(**changes: Any) -> dict[str, Any]:
    """Return an experiment that forecasts three states on 2025-01-11 from `DATA`."""
    section = {
        "method": "random_walk",
        "population_names": ["US-CA", "US-MA", "US-VT"],
        "observed_data_path": DATA,
        "reference_date": "2025-01-11",
    }
    return {"forecast": {key: value for key, value in (section | changes).items() if value is not None}}


def extract(
    *as_of: str, since: str = "2024-10-05", locations: tuple[str, ...] = ("06", "25", "50")
) -> list[Row]:
    """Return rows of the extract: some vintages and places, from a week on."""
    days = as_of or ("2025-01-02", "2025-01-08")
    rows = (row for day, own in rows_by_vintage().items() if day in days for row in own)
    return [dict(row) for row in rows if row["date"] >= since and row["location"] in locations]


def where(rows: list[Row], **wanted: str) -> list[Row]:
    """Return the rows with these values."""
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    assert found, wanted
    return found


def csv_text(rows: list[Row], columns: list[str] | None = None) -> str:
    written = io.StringIO(newline="")
    table = csv.DictWriter(written, columns or COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return written.getvalue()


def write_forecast(
    folder: Path, rows: list[Row] | None = None, experiment: dict[str, Any] | None = None
) -> Path:
    """Write a forecasting repository with one forecast and its data; return its config folder."""
    config = write_repository(folder, experiment or forecast())
    (folder / DATA).write_text(csv_text(extract() if rows is None else rows))
    return config


def write_weekly(repository: Path, **keys: str) -> None:
    """Write the experiment "weekly" of two places, and the extract; `keys` replace those of its YAML."""
    config, data = repository / "experiments" / "weekly" / "config", repository / "data"
    config.mkdir(parents=True)
    data.mkdir(exist_ok=True)
    shutil.copy(VINTAGES, data)
    whole = {"population_names": ["US-MA", "US-VT"], "observed_data_path": f"data/{VINTAGES.name}"}
    written = forecast(**({"reference_date": None} | whole | keys))
    (config / "forecast.yaml").write_text(yaml.safe_dump(written))


def write_folder(folder: Path, rows: list[Row], name: str = "admissions", ending: str = ".csv.gz") -> Path:
    """Write a folder with a file for each vintage, as `invoke data-update` does."""
    folder.mkdir(parents=True, exist_ok=True)
    for day in {row["as_of"] for row in rows}:
        text = csv_text(where(rows, as_of=day), ["date", "location", "value"]).encode()
        path = folder / f"{name}_{day}{ending}"
        path.write_bytes(gzip.compress(text, mtime=0) if ending.endswith(".gz") else text)
    return folder


def build_of(config: Path, **options: Any) -> Build:
    """Return what stage A builds of an experiment, from its config folder in a forecasting repository."""
    root = config.parents[2]
    places = DataPlaces([root, config.parent], [root], None)
    return build("built-in", config, None, places, **({"seed": None, "count": None} | options))


def workload_of(
    tmp_path: Path, bend: Callable[[list[Row]], object] | None = None, **changes: Any
) -> ForecastWorkload:
    """Return the workload of the small forecast, after its data were bent."""
    rows = extract()
    if bend is not None:
        bend(rows)
    return build_of(write_forecast(tmp_path, rows, forecast(**changes))).workloads[0]


def staged(
    tmp_path: Path,
    rows: list[Row] | None = None,
    experiment: dict[str, Any] | None = None,
    **variables: str,
) -> Stages:
    """Return the stages over a forecasting repository with one forecast and its data."""
    stages = Stages(tmp_path, experiment or forecast(), **variables)
    write_forecast(tmp_path / "forecast", rows, experiment or forecast())
    return stages
