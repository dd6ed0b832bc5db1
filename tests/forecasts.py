"""Uploads for the forecast model: five jurisdictions with made-up data, as a table and as archives."""

import gzip
import shutil
import tarfile
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.forecast_pack import pack
from services.models import Finished, Predicted, Prepared, Upload
from services.models.forecast import Forecast
from tests.experiments import POPULATIONS, calibrated, write_repository

# by ISO code: the name in epydemix-data and the FIPS code; all have Vermont's people and contacts
PLACES = {
    "US-CT": ("Connecticut", "09"),
    "US-ME": ("Maine", "23"),
    "US-NH": ("New_Hampshire", "33"),
    "US-RI": ("Rhode_Island", "44"),
    "US-VT": ("Vermont", "50"),
}
WEEKS = ("2025-01-11", "2025-01-18", "2025-01-25", "2025-02-01")
COUNTS = (800, 950, 1200, 1500)
SEED = 7  # of a request; the experiment has its own


def five_places() -> dict[str, Any]:
    """Return a calibration of R0 in each of the five jurisdictions."""
    experiment = calibrated()
    del experiment["model"]["population"]["name"]
    experiment["modelset"]["population_names"] = list(PLACES)
    return experiment


def own_table() -> str:
    """Return admissions in the columns of the experiment."""
    rows = [
        f"{week},{iso},{count + 10 * place}"
        for place, iso in enumerate(PLACES)
        for week, count in zip(WEEKS, COUNTS, strict=True)
    ]
    return "\n".join(["date,geo_value,cases", *rows]) + "\n"


def hub_table() -> str:
    """Return the same admissions in the columns of a hub's target data."""
    rows = [
        f"{week},{fips},{name},{count + 10 * place},0.1"
        for place, (name, fips) in enumerate(PLACES.values())
        for week, count in zip(WEEKS, COUNTS, strict=True)
    ]
    return "\n".join(["date,location,location_name,value,weekly_rate", *rows]) + "\n"


def write_places(folder: Path) -> Path:
    """Write the populations of the five jurisdictions."""
    names = [f"United_States_{name}" for name, _ in PLACES.values()]
    for name in names:
        shutil.copytree(POPULATIONS / "data" / "United_States_Vermont", folder / "data" / name)
    rows = [f"{name},synthetic_2026" for name in names]
    (folder / "locations.csv").write_text("\n".join(["location,primary_contact_source", *rows]) + "\n")
    return folder


def write_upload(folder: Path, experiment: dict[str, Any], observed: str = "") -> Path:
    """Write a forecasting repository of the experiment, with its populations, and return its folder."""
    write_repository(folder, experiment, observed=observed or own_table())
    write_places(folder / "data" / "epydemix-data")
    return folder


def packed(folder: Path) -> bytes:
    """Return a folder as an archive."""
    archive = folder.with_name(f"{folder.name}.tar.gz")
    pack(folder, archive)
    return archive.read_bytes()


def archive_of(files: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    """Return an archive of some files, or of entries made by hand."""
    made = BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=made, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for name, content in files.items():
            entry = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = b"" if isinstance(content, tarfile.TarInfo) else content
            entry.size = len(data) or entry.size
            tar.addfile(entry, BytesIO(data))
    return made.getvalue()


def prepared(name: str, content: bytes | str, models: Path, **options: object) -> Prepared:
    """Prepare an upload."""
    data = content.encode() if isinstance(content, str) else content
    return Forecast().prepare(Upload(name, data, options), models, SEED)


def predicted(given: Prepared, shards: int = 1) -> list[Predicted]:
    """Predict all units, in some shards."""
    total = len(given.units)
    ends = [total * number // shards for number in range(shards + 1)]
    return [Forecast().predict(given.content, first, end - first, SEED) for first, end in pairwise(ends)]


def finished(given: Prepared, shards: list[Predicted], folder: Path) -> tuple[Finished, dict[str, bytes]]:
    """Finish a forecast; return what the model says of it, and its files."""
    folder.mkdir()
    done = Forecast().finish(given.content, shards, folder)
    return done, {name: Path(path).read_bytes() for name, path in done.files.items()}
