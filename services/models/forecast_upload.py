"""An upload as the files of an experiment in a temporary folder.

An archive brings its own experiment: a forecasting repository with one experiment, or a folder with `config/`
and the data. A table of admissions (forecast_table.py) goes into the experiment of the models folder.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modeling.build.csv_table import forget_tables
from modeling.failures import UserError, listed
from modeling.plain_text import excerpt
from modeling.run_names import is_exp_id
from modeling.vocabulary.experiment import Experiment, load_experiment
from modeling.vocabulary.yaml_source import YamlSource
from pipeline.forecast_pack import Limits, unpack_archive
from pipeline.temporary import temporary_folder
from services.models import Upload
from services.models.forecast_table import put_table, replaced_data

DEFAULT = "experiment.tar.gz"  # in the models folder
LIMITS = Limits("an upload", 20_000, 512 << 20)
POPULATIONS = Path("data", "epydemix-data")
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
        The upload is damaged, has no experiment or several, or a column is missing; also an error of the
        block. Messages name files as the person who uploaded them knows them.
    """
    own = excerpt(upload.name.rpartition("/")[2], MOST_NAME_CHARACTERS)
    with temporary_folder("upload") as work:
        names = Names({work / "upload": own, work / "default": DEFAULT})
        try:
            if upload.name.lower().endswith(".csv"):
                default = _unpacked(models / DEFAULT, work / "default")
                source = _load(default, [default], names)
                names = Names(names.folders, (Path(replaced_data(source.experiment)).name, own))
                put_table(source.experiment, source.data_roots, upload.content, own)
                yield replace(source, names=names, table=own)
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


# -- archives


def _unpacked(archive: Path, folder: Path) -> Path:
    """Unpack the experiment of the models folder."""
    try:
        content = archive.read_bytes()
    except OSError:
        raise UserError(
            f"the models have no {DEFAULT}, whose observed data a .csv replaces; add it to forecast/ in the "
            "bucket of the models (scripts/pack_forecast.py makes it), or upload a .tar.gz with an experiment"
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
