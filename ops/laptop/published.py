"""The experiments in a folder of epymodelingsuite's YAML files: which files go together.

There a file is named by what it is for (basic_basemodel_sampling.yml), and an experiment is the base model,
modelset and output that a user passes together. They are found by their names and by what the model marks.
"""

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

KINDS = ("model", "modelset", "output")
DATA = (".csv", ".py")  # files that an experiment may name: tables, user functions


@dataclass(frozen=True)
class Published:
    """One YAML file with a top-level key of an experiment."""

    path: Path
    kind: str
    content: dict[str, Any]

    @cached_property
    def given(self) -> frozenset[str]:
        """Names that a model marks, or that a modelset gives values for."""
        if self.kind == "model":
            return frozenset(self.marked("sampled") | self.marked("calibrated"))
        section = self.section(self.purpose) if self.purpose else {}
        names = {name for part in ("parameters", "compartments") for name in _mapping(section.get(part))}
        return frozenset(names | ({"start_date"} if section.get("start_date") else set()))

    @property
    def purpose(self) -> str:
        """What the values come from: "sampling", "calibration", or "" for a model that runs as it is."""
        if self.kind == "modelset":
            return next((p for p in ("calibration", "sampling") if isinstance(self.content.get(p), dict)), "")
        return "sampling" if self.marked("sampled") else "calibration" if self.marked("calibrated") else ""

    @property
    def subject(self) -> str:
        """The file's name without the word for its kind: basic_sampling."""
        return re.sub(r"_?(base_?model|model_?set|output)", "", self.path.stem)

    @property
    def family(self) -> str:
        """The first word of the file's name."""
        return re.split(r"[_-]", self.path.stem)[0]

    def section(self, key: str) -> dict:
        return _mapping(self.content.get(key))

    def marked(self, word: str) -> set[str]:
        """Return the names that a model marks with a word: "sampled" or "calibrated"."""
        names = {n for n, p in self.section("parameters").items() if _mapping(p).get("type") == word}
        compartments = [_mapping(c) for c in _list(self.content.get("compartments"))]
        names |= {str(c.get("id")) for c in compartments if c.get("init") == word}
        return names | ({"start_date"} if self.section("timespan").get("start_date") == word else set())

    def has_series_of(self, output: "Published") -> bool:
        """Return whether the model has every series that an output names."""
        flows = [_mapping(t) for t in _list(self.content.get("transitions"))]
        known = {
            "transitions": {f"{t.get('source')}_to_{t.get('target')}" for t in flows},
            "compartments": {str(_mapping(c).get("id")) for c in _list(self.content.get("compartments"))},
        }
        for table in ("quantiles", "trajectories"):
            for kind, names in known.items():
                chosen = output.section(table).get(kind)
                if not all(str(n).rpartition("_")[0] in names for n in _list(chosen)):
                    return False
        return True


@dataclass(frozen=True)
class PublishedExperiment:
    """Files that go together, in the order model, modelset, output.

    Attributes
    ----------
    problem : str
        Why they cannot be run; "" if they can be tried.
    """

    files: list[Published]
    problem: str = ""

    @property
    def name(self) -> str:
        """The names of the files, without folders."""
        return " + ".join(file.path.name for file in self.files)


def find_experiments(folder: Path) -> list[PublishedExperiment]:
    """Return the experiments below a folder, in the order of their files.

    Each modelset goes with the model of the same name, else with those of its family that mark what it gives.
    A model without one is an experiment of its own. An output goes with the models that have its series.
    """
    by_folder: dict[Path, list[Published]] = {}
    for file in _files(folder):
        by_folder.setdefault(file.path.parent, []).append(file)
    return [experiment for files in by_folder.values() for experiment in _in_one_folder(files)]


def data_root(experiment: PublishedExperiment, folder: Path) -> Path:
    """Return the folder that paths in the YAML files are relative to.

    The nearest one, from that of the files up to `folder`, that has every named file; else the one above
    the files.
    """
    named = [path for file in experiment.files for path in _named_paths(file.content)]
    own = experiment.files[0].path.parent
    above = [own, *(parent for parent in own.parents if parent.is_relative_to(folder))]
    complete = (root for root in above if all((root / path).is_file() for path in named))
    return next(complete, above[min(1, len(above) - 1)])


def _files(folder: Path) -> Iterator[Published]:
    """Yield the YAML files of experiments; other YAML files are passed over."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix not in (".yml", ".yaml"):
                continue
            if file := _read(Path(place, name)):
                yield file


def _read(path: Path) -> Published | None:
    """Return a YAML file with the key of an experiment; None for any other."""
    if not path.is_file():  # a pipe would be waited for
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    try:
        content = _mapping(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError):  # stage A will say what is wrong with one of ours
        content = {key: {} for key in re.findall(rf"(?m)^({'|'.join(KINDS)}):", text)}
    kind = next((kind for kind in KINDS if isinstance(content.get(kind), dict)), None)
    return Published(path, kind, content[kind]) if kind else None


def _in_one_folder(files: list[Published]) -> list[PublishedExperiment]:
    models, modelsets, outputs = ([f for f in files if f.kind == kind] for kind in KINDS)
    pairs = [(model, modelset) for modelset in modelsets for model in _models_of(modelset, models)]
    found = [_with_output(model, [m for p, m in pairs if p is model], outputs) for model in models]
    lonely = [m for m in modelsets if not any(m is other for _, other in pairs)]
    missing = "no model in its folder goes with it"
    return [*itertools.chain(*found), *(PublishedExperiment([m], missing) for m in lonely)]


def _models_of(modelset: Published, models: list[Published]) -> list[Published]:
    """Return the models that go with a modelset."""
    same_purpose = [m for m in models if m.purpose == modelset.purpose]
    if same_name := [m for m in same_purpose if m.subject == modelset.subject]:
        return same_name
    family = [m for m in same_purpose if m.family == modelset.family]
    # a modelset names populations, so a model that names none comes first
    family.sort(key=lambda m: "name" in m.section("population"))
    return [m for m in family if m.purpose and m.given == modelset.given] or family[:1]


def _with_output(
    model: Published, modelsets: list[Published], outputs: list[Published]
) -> Iterator[PublishedExperiment]:
    """Yield the experiments of a model: one with each modelset, or alone."""
    fitting = [o for o in outputs if model.has_series_of(o)]
    own = [o for o in fitting if o.family == model.family]
    chosen = (own or fitting)[:1]
    for modelset in modelsets:
        yield PublishedExperiment([model, modelset, *chosen])
    if not modelsets:
        yield PublishedExperiment([model, *chosen])


def _named_paths(content: Any) -> Iterator[str]:
    """Yield the files that a YAML file names: the values of keys that end with "path"."""
    waiting, seen = [content], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:  # an alias, which may lie within what it names
            continue
        seen.add(id(each))
        for key, value in _mapping(each).items():
            if isinstance(value, str) and str(key).endswith("path"):
                yield value
        waiting += [*_mapping(each).values(), *_list(each)]


def _mapping(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []
