"""An upload as the files of an experiment in a temporary folder.

An archive brings its own experiment: a forecasting repository with one experiment, or a folder with `config/`
and the data. A table of admissions replaces the observed data of the experiment in the models folder.
"""

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling.build.csv_table import date_of, find_file, forget_tables, read_table
from modeling.failures import UserError, listed
from modeling.plain_text import excerpt
from modeling.run_names import is_exp_id
from modeling.vocabulary.experiment import Experiment, load_experiment
from modeling.vocabulary.yaml_source import YamlSource
from pipeline.forecast_pack import Limits, unpack_archive
from pipeline.temporary import temporary_folder
from services.models import Upload

DEFAULT = "experiment.tar.gz"  # in the models folder
MOST_TABLE_BYTES = 16 << 20  # the rows take 20 times as much memory
LIMITS = Limits("an upload", 20_000, 512 << 20)
POPULATIONS = Path("data", "epydemix-data")
HUB_COLUMNS = ("date", "location", "value")  # of a hub's target-hospital-admissions
MOST_NAME_CHARACTERS = 100
_HIDDEN = "._*"  # what macOS puts beside a file in an archive


@dataclass(frozen=True)
class Names:
    """What the files of the temporary folder are called by the one who uploaded them.

    Attributes
    ----------
    folders : dict of Path to str
        The archive that each folder was unpacked from.
    observed : tuple of (str, str) or None
        The name of the experiment's observed data, and of the table that replaced them.
    """

    folders: dict[Path, str]
    observed: tuple[str, str] | None = None

    def shown(self, message: object) -> str:
        """Return a message with these names."""
        text = str(message)
        for folder, name in self.folders.items():
            text = text.replace(str(folder), name)
        if self.observed is not None:
            ours, theirs = self.observed
            text = re.sub(rf"(?<![\w.-])([\w.-]+/)*{re.escape(ours)}", lambda _: theirs, text)
        return text


@dataclass(frozen=True)
class Source:
    """An experiment with its data.

    Attributes
    ----------
    data_roots, populations : list of Path
        As DataPlaces has them.
    table : str
        Name of the uploaded table of admissions; "" for an archive.
    """

    exp_id: str
    experiment: Experiment
    data_roots: list[Path]
    populations: list[Path]
    names: Names
    table: str = ""


@contextmanager
def opened(upload: Upload, models: Path) -> Iterator[Source]:
    """Yield the experiment of an upload.

    Raises
    ------
    UserError
        The upload is damaged, has no experiment or another number than one, or lacks a column; also one of
        the block. All name files as the one who uploaded them knows them.
    """
    own = excerpt(upload.name.rpartition("/")[2], MOST_NAME_CHARACTERS)
    with temporary_folder("upload") as work:
        names = Names({work / "upload": own, work / "default": DEFAULT})
        try:
            if is_table(upload.name):
                _check_table_size(upload.content, own)
                default = _unpacked(models / DEFAULT, work / "default")
                source = _load(default, [default], names)
                names = Names(names.folders, (Path(_observed_data(source)).name, own))
                yield _with_table(source, upload.content, names)
            else:
                folder = _unpack(upload.content, work / "upload", own)
                default = work / "default"
                if (models / DEFAULT).is_file():
                    _unpacked(models / DEFAULT, default)
                yield _load(folder, [folder, default], names)
        except UserError as error:
            raise UserError(names.shown(error)) from None
        finally:
            forget_tables()


def is_table(name: str) -> bool:
    """Tell whether a file is a table by its name; else it is an archive."""
    return name.lower().endswith(".csv")


# -- archives


def _unpacked(archive: Path, folder: Path) -> Path:
    """Unpack the experiment of the models folder."""
    try:
        content = archive.read_bytes()
    except OSError:
        raise UserError(
            f"the models have no {DEFAULT}, whose observed data a .csv replaces; add it to forecast/ in the "
            "bucket of the models, or upload a .tar.gz with an experiment of its own"
        ) from None
    return _unpack(content, folder, DEFAULT)


def _unpack(content: bytes, folder: Path, name: str) -> Path:
    folder.mkdir()
    unpack_archive(content, folder, name, LIMITS)
    for path in folder.rglob(_HIDDEN):
        if not path.is_dir():
            path.unlink()
    return folder


def _load(folder: Path, populations: list[Path], names: Names) -> Source:
    """Return the one experiment below a folder."""
    config = _config_folder(folder, names.folders[folder])
    root, exp_id = _root_and_id(config, folder, names.folders[folder])
    experiment = load_experiment(config)
    for source in experiment.sources.values():
        _refuse_paths_outside(source, folder, [root, config.parent])
    with_data = [
        place / POPULATIONS for place in (root, *populations) if (place / POPULATIONS / "data").is_dir()
    ]
    found = list(dict.fromkeys(with_data)) or [root / POPULATIONS]
    return Source(exp_id, experiment, [root, config.parent], found, names)


def _config_folder(folder: Path, name: str) -> Path:
    """Return the one folder `config` with YAML files."""
    found = sorted(
        path
        for path in folder.rglob("config")
        if path.is_dir() and any(each.suffix in (".yaml", ".yml") for each in path.iterdir())
    )
    if not found:
        raise UserError(f"{name} has no folder config/ with the YAML files of an experiment; add it")
    if len(found) > 1:
        places = listed(path.relative_to(folder).as_posix() for path in found)
        raise UserError(f"{name} has {len(found)} experiments ({places}); pack one of them")
    return found[0]


def _root_and_id(config: Path, folder: Path, name: str) -> tuple[Path, str]:
    """Return the folder that paths in the YAML start from, and the experiment's id."""
    parts = config.relative_to(folder).parts[:-1]
    if "experiments" in parts:
        at = parts.index("experiments")
        root, words = folder.joinpath(*parts[:at]), "/".join(parts[at + 1 :])
    else:
        root, words = config.parent, parts[-1] if parts else name.split(".")[0]
    exp_id = re.sub("[^A-Za-z0-9._/-]+", "-", words).strip("-.")
    return root, exp_id if is_exp_id(exp_id) else "forecast"


def _refuse_paths_outside(source: YamlSource, folder: Path, roots: list[Path]) -> None:
    """Refuse a path in a YAML file that leads out of the folder, to files of the service."""

    def lead_inside(relative: str) -> bool:
        return all(_leads_inside(root, relative, folder) for root in roots)

    waiting: list[tuple[tuple, Any]] = [((), source.data)]
    while waiting:
        at, value = waiting.pop()
        if isinstance(value, (dict, list)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [((*at, key), each) for key, each in items]
        elif isinstance(value, str) and str(at[-1]).endswith("_path") and not lead_inside(value):
            raise UserError(
                f"{source.where(at)}: {at[-1]}: {excerpt(value, 80)} leads out of the archive; write a path "
                "from the folder that holds experiments/ or config/"
            )


def _leads_inside(root: Path, relative: str, folder: Path) -> bool:
    try:
        return (root / relative).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a NUL, a name too long, a loop of links
        return False


# -- tables


def _check_table_size(content: bytes, name: str) -> None:
    if len(content) > MOST_TABLE_BYTES:
        raise UserError(
            f"{name}: {len(content):,} bytes, and a table has at most {MOST_TABLE_BYTES >> 20} MiB; leave "
            "out what the fitting window does not need"
        )


def _observed_data(source: Source) -> str:
    """Return the path of the observed data that a table replaces."""
    calibration = source.experiment.calibration
    if calibration is None:
        raise UserError(
            f"the experiment in {DEFAULT} calibrates nothing, so a .csv has nothing to replace; upload a "
            ".tar.gz with an experiment"
        )
    return calibration.observed_data_path


def _with_table(source: Source, content: bytes, names: Names) -> Source:
    """Put a table in the place of the observed data; its columns may be those of a hub."""
    where = source.experiment.where("modelset", "calibration", "observed_data_path")
    relative = _observed_data(source)
    path = next((r / relative for r in source.data_roots if (r / relative).is_file()), None)
    path = path or source.data_roots[0] / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be a link to a file with another use
    path.write_bytes(content)
    header = read_table(path, where).header
    wanted = _wanted_columns(source, relative)
    if missing := sorted({name for columns in wanted for name in columns} - set(header)):
        if len(set(wanted)) > 1 or not set(HUB_COLUMNS) <= set(header):
            raise _missing_column(missing, header, wanted, names)
        path.write_bytes(_renamed(content, dict(zip(HUB_COLUMNS, wanted[0], strict=True))))
        read_table(path, where)
    return Source(
        source.exp_id,
        source.experiment,
        source.data_roots,
        source.populations,
        names,
        names.observed[1],
    )


def _wanted_columns(source: Source, relative: str) -> list[tuple[str, str, str]]:
    """Return date, location and value column of each use of the observed data."""
    experiment = source.experiment
    users = list(experiment.calibration.comparison)
    trends = experiment.output.rate_trends
    users += [trends] if trends is not None and trends.observed_data_path == relative else []
    return [
        (each.observed_date_column, each.observed_location_column, each.observed_value_column)
        for each in users
    ]


def _missing_column(
    missing: list[str], header: list[str], wanted: list[tuple[str, str, str]], names: Names
) -> UserError:
    """Return the error of a table that has neither the experiment's columns nor all of a hub's."""
    own = list(dict.fromkeys(name for columns in wanted for name in columns))
    of_hub = [name for name in HUB_COLUMNS if name not in header]
    is_of_hub = len(set(wanted)) == 1 and len(of_hub) < len(missing)
    lacking = of_hub if is_of_hub else [name for name in own if name not in header]
    columns = f"column {lacking[0]}" if len(lacking) == 1 else f"columns {listed(lacking)}"
    shown = listed(excerpt(name, 40) for name in header)
    hub = f", or those of a hub's target-hospital-admissions: {', '.join(HUB_COLUMNS)}"
    return UserError(
        f"{names.observed[1]}:1: no {columns}; it has {shown}; needed are {', '.join(own)}"
        f"{hub if len(set(wanted)) == 1 else ''}"
    )


def _renamed(content: bytes, names: dict[str, str]) -> bytes:
    """Return a CSV file with other names of columns; its lines keep their numbers."""
    parts = re.split("(\r\n|\r|\n)", content.decode("utf-8-sig"))  # every second one ends a line
    at = next(number for number, line in enumerate(parts) if line.strip(' \r\n\t,"'))
    header = [name.strip() for name in next(csv.reader([parts[at]]))]
    renamed = [names.get(name, "" if name in names.values() else name) for name in header]
    parts[at] = ",".join(f'"{name}"' for name in (n.replace('"', '""') for n in renamed))
    return "".join(parts).encode()


def check_observed_data(source: Source) -> None:
    """Refuse observed data that no population could use, before each of them is tried.

    Raises
    ------
    UserError
        No file, a damaged one, a missing column, a date that is none.
    """
    calibration = source.experiment.calibration
    if calibration is None:
        return
    where = source.experiment.where("modelset", "calibration", "observed_data_path")
    path = find_file(calibration.observed_data_path, source.data_roots, where)
    for index, comparison in enumerate(calibration.comparison):
        at = source.experiment.where("modelset", "calibration", "comparison", index)
        table = read_table(path, at)
        for name in (comparison.observed_value_column, comparison.observed_location_column):
            table.column(name, at)
        table.parsed(table.column(comparison.observed_date_column, at), date_of)
