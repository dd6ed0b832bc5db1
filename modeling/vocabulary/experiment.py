"""An experiment folder: its YAML files, found by their content and validated together.

What the keys mean is in the other modules of vocabulary/; build/ turns an experiment into workloads.
"""

import datetime
import importlib.util
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modeling.bounds import FIRST_DAY, LAST_DAY
from modeling.failures import UserError, did_you_mean, listed
from modeling.plain_text import one_line
from modeling.vocabulary import Model, Modelset, Output, SurveillanceForecast
from modeling.vocabulary.base import Location, Piece, Problems
from modeling.vocabulary.calibration import Calibration
from modeling.vocabulary.forecast import FORECAST_OUTPUT, output_problems
from modeling.vocabulary.output import DEFAULT_OUTPUT
from modeling.vocabulary.priors import DateParameter
from modeling.vocabulary.yaml_source import YamlSource, read_yaml

MOST_CHARACTERS = 800  # of a message
MOST_PROBLEMS = 1_000  # of a file
KINDS: dict[str, type[Piece]] = {
    "model": Model,
    "modelset": Modelset,
    "output": Output,
    "forecast": SurveillanceForecast,
}


class InvalidExperiment(UserError):
    """One or more mistakes in an experiment; the message has the first, and the number of the others."""

    def __init__(self, problems: list[str]):
        # quoted text may have line breaks
        self.problems = [one_line(" ".join(problem.split()), MOST_CHARACTERS) for problem in problems]
        more = len(problems) - 1
        tail = f" (and {more} more; `invoke validate` lists them)" if more else ""
        super().__init__(self.problems[0] + tail)


@dataclass(frozen=True)
class Experiment:
    """A validated experiment."""

    sources: dict[str, YamlSource]
    model: Model
    modelset: Modelset | None
    output: Output

    @property
    def workflow(self) -> str:
        """Either "simulation", "sampling" or "calibration"."""
        if self.modelset is None or self.modelset.is_populations_alone:
            return "simulation"
        return "sampling" if self.modelset.sampling else "calibration"

    @property
    def calibration(self) -> Calibration | None:
        return self.modelset.calibration if self.modelset else None

    @property
    def first_day(self) -> datetime.date | None:
        """First simulated day, the earliest if it is calibrated; None if each parameter set has its own."""
        start = self.model.timespan.start_date
        drawn = self.drawn_start
        if drawn is not None:
            return drawn.reference_date if self.calibration else None
        return start if isinstance(start, datetime.date) else None

    @property
    def drawn_start(self) -> DateParameter | None:
        """The calibrated or sampled start date, which replaces a fixed one; None without."""
        modelset = self.modelset
        drawn = (modelset.calibration or modelset.sampling) if modelset else None
        return drawn.start_date if drawn else None

    def where(self, kind: str, *at: str | int) -> str:
        """Return "file:line" of a key, for messages."""
        return self.sources[kind].where((kind, *at))


@dataclass(frozen=True)
class ForecastExperiment:
    """A validated experiment that forecasts from surveillance data, without a model."""

    sources: dict[str, YamlSource]
    forecast: SurveillanceForecast
    output: Output

    workflow = "forecast"

    def where(self, kind: str, *at: str | int) -> str:
        """Return "file:line" of a key, for messages."""
        return self.sources[kind].where((kind, *at))


def find_sources(folder: Path, output_file: Path | None = None) -> dict[str, YamlSource]:
    """Return the YAML files of an experiment by their top-level key.

    Parameters
    ----------
    folder : Path
        The experiment's config folder.
    output_file : Path, optional
        The output file to use instead of the folder's.

    Raises
    ------
    UserError
        No folder, neither model nor forecast, or a model beside a forecast, two files of one kind, or a file
        of an unknown kind.
    """
    if not folder.is_dir():
        root = next((p for p in folder.parents if p.name == "experiments"), folder.parent.parent)
        # an id may have several parts, as flu/2026-w05
        known = sorted(p.parent.relative_to(root).as_posix() for p in root.glob("**/config") if p.is_dir())
        near = did_you_mean(folder.parent.relative_to(root).as_posix(), known)
        raise UserError(f"{folder}: no such experiment{near}; there are: {listed(known) or 'none'}")
    sources: dict[str, YamlSource] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml")):
        source = read_yaml(path)
        kind = _kind(source)
        if kind == "output" and output_file is not None:
            continue
        if kind in sources:
            also = sources[kind].path.name
            raise UserError(
                f'{path.name} and {also} both have the key "{kind}"; keep one of them in {folder}'
            )
        sources[kind] = source
    if output_file is not None:
        source = read_yaml(output_file)
        if _kind(source) != "output":
            raise UserError(f'{output_file.name}: the output configuration must have the key "output"')
        sources["output"] = source
    _check_kinds(sources, folder)
    return sources


def _check_kinds(sources: dict[str, YamlSource], folder: Path) -> None:
    """Refuse a folder with neither a model nor a forecast, or with a forecast beside a model or modelset."""
    if not sources.keys() & {"model", "forecast"}:
        raise UserError(f'{folder}: no YAML file has the key "model" (or "forecast")')
    others = [kind for kind in ("model", "modelset") if kind in sources]
    if "forecast" in sources and others:
        named = " and ".join(sources[kind].path.name for kind in others)
        raise UserError(
            f'{folder}: {sources["forecast"].path.name} has the key "forecast", an experiment of its own '
            f"without {' and '.join(others)}; move {named} into the folder of another experiment"
        )


def _kind(source: YamlSource) -> str:
    keys = list(source.data) if isinstance(source.data, dict) else []
    if len(keys) > 1 and set(keys) <= set(KINDS):
        raise UserError(f"{source.path.name}: {listed(keys)} in one file; put each into a file of its own")
    if len(keys) != 1 or keys[0] not in KINDS:
        found = listed(keys) or "nothing"
        near = did_you_mean(keys[0], KINDS) if keys else ""
        raise UserError(
            f"{source.path.name}: one top-level key model, modelset or output, or forecast, is expected; "
            f"found {found}{near}"
        )
    return keys[0]


def load_experiment(folder: Path, output_file: Path | None = None) -> Experiment | ForecastExperiment:
    """Read and validate an experiment.

    Raises
    ------
    InvalidExperiment
        Anything is wrong; each mistake has its file and line.
    UserError
        The files cannot be read, or their kinds are not clear.
    """
    sources = find_sources(folder, output_file)
    problems: list[str] = []
    parsed: dict[str, Any] = {}
    for kind, source in sources.items():
        try:
            parsed[kind] = KINDS[kind].model_validate(source.data[kind])
        except ValidationError as error:
            problems += _pydantic_problems(error, source, kind)
    if problems:
        raise InvalidExperiment(problems)
    experiment, found = (_forecast if "forecast" in parsed else _modelled)(sources, parsed)
    for kind, at_and_message in found.items():
        first = itertools.islice(at_and_message, MOST_PROBLEMS)
        problems += [f"{experiment.where(kind, *at)}: {message}" for at, message in first]
    if problems:
        raise InvalidExperiment(problems)
    return experiment


def _modelled(
    sources: dict[str, YamlSource], parsed: dict[str, Any]
) -> tuple[Experiment, dict[str, Iterable]]:
    """Return the experiment of a model, and by kind of file what is wrong with it beyond its types."""
    model, modelset = parsed["model"], parsed.get("modelset")
    output = parsed.get("output", DEFAULT_OUTPUT)
    experiment = Experiment(sources, model, modelset, output)
    found: dict[str, Iterable] = {
        "model": _model_problems(model, modelset),
        "output": [
            *output.own_problems(),
            *output.problems(model, experiment.calibration, experiment.first_day),
            *_missing_packages(output),
        ],
    }
    if modelset is not None:
        found["modelset"] = modelset.problems(model)
    return experiment, found


def _forecast(
    sources: dict[str, YamlSource], parsed: dict[str, Any]
) -> tuple[ForecastExperiment, dict[str, Iterable]]:
    """Return the experiment of a forecast, and by kind of file what is wrong with it beyond its types."""
    output = parsed.get("output", FORECAST_OUTPUT)
    experiment = ForecastExperiment(sources, parsed["forecast"], output)
    problems = [*output.own_problems(), *output_problems(output), *_missing_packages(output)]
    return experiment, {"forecast": experiment.forecast.problems(), "output": problems}


def load_output(folder: Path, output_file: Path | None = None) -> Output:
    """Read the output configuration alone, for stage C; return the default one if the folder has none.

    Raises
    ------
    UserError
        As load_experiment, of the output file.
    """
    source = find_sources(folder, output_file).get("output")
    if source is None:
        return DEFAULT_OUTPUT
    try:
        output = Output.model_validate(source.data["output"])
    except ValidationError as error:
        raise InvalidExperiment(_pydantic_problems(error, source, "output")) from None
    found = [f"{source.where(('output', *at))}: {message}" for at, message in output.own_problems()]
    if found:
        raise InvalidExperiment(found)
    return output


# what should have been written, by pydantic's type of error
_WANTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a mapping",
    "string_type": "text",
}


def _pydantic_problems(error: ValidationError, source: YamlSource, kind: str) -> list[str]:
    """Return pydantic's errors as "file:line: key: what is wrong", one for each place."""
    problems = error.errors(include_url=False)[: 10 * MOST_PROBLEMS]
    located = [(_place(problem, source, kind), problem) for problem in problems]
    ends = {place for place, problem in located if problem["type"] != "missing"}
    found: dict[str, list[dict]] = {}
    shown: dict[str, str] = {}
    for place, problem in located:
        # a union reports every branch: those that look inside the value belong to what is wrong with it
        known = next((place[:end] for end in range(1, len(place)) if place[:end] in ends), place)
        at = problem.get("ctx", {}).get("at", ())
        missing = [problem["loc"][-1]] if problem["type"] == "missing" else []
        key = f"{source.where(known)}{known}{missing}"
        found.setdefault(key, []).append(problem)
        name = "" if at else ".".join(str(k) for k in known[1:])
        shown[key] = f"{source.where(known)}: {name}{': ' if name else ''}"
    first = itertools.islice(found.items(), MOST_PROBLEMS)
    return [shown[key] + _what_is_wrong(group) for key, group in first]


def _place(problem: dict, source: YamlSource, kind: str) -> Location:
    """Return the keys of an error that are in the file; a union adds the name of a branch, which is none."""
    known: Location = (kind,)
    for part in (*problem["loc"], *problem.get("ctx", {}).get("at", ())):
        known = (*known, part) if (*known, part) in source.lines else known
    return known


def _what_is_wrong(problems: list[dict]) -> str:
    """Return the message for one place; several problems are the branches of a union."""
    first, value = problems[0], problems[0]["input"]
    wanted = list(dict.fromkeys(filter(None, map(_wanted, problems))))
    if not wanted:
        if first["type"] == "missing":
            return f'"{first["loc"][-1]}" is missing'
        return first["msg"].removeprefix("Value error, ")
    words = [w for p in problems for w in re.findall("'(.+?)'", p.get("ctx", {}).get("expected", ""))]
    near = did_you_mean(value, words) if isinstance(value, str) else ""
    short = isinstance(value, (str, int, float, datetime.date)) and len(str(value)) <= 60
    subject = f'"{value}" should be' if short else "it should be"
    example = f", such as [{value}]" if short and wanted == ["a list"] else ""
    return f"{subject} {' or '.join(wanted)}{example}{near}"


def _wanted(problem: dict) -> str:
    """Return what should be there, or "" if the error's own message is complete."""
    if problem["type"] == "date_range":
        return f"a date from {FIRST_DAY} to {LAST_DAY}"
    if problem["type"].startswith("date"):
        return "a date such as 2025-01-31"
    if problem["type"] == "too_short":
        return f"a list with at least {problem['ctx']['min_length']} entry"
    if problem["type"] == "too_long":
        return f"a list with at most {problem['ctx']['max_length']} entries"
    prefix = "Input should be "
    wanted = problem["msg"].removeprefix(prefix) if problem["msg"].startswith(prefix) else ""
    return _WANTED.get(problem["type"], wanted)


def _model_problems(model: Model, modelset: Modelset | None) -> Problems:
    yield from model.problems()
    if modelset is None:
        if model.population.name is None:
            yield ("population",), 'without a modelset the model needs "population.name", e.g. US-MA'
        for word in ("sampled", "calibrated"):
            if marked := sorted(model.marked(word)):
                yield (), f"{listed(marked)}: {word} values need a modelset file"


def _missing_packages(output: Output) -> Problems:
    """Yield the table formats whose package is not installed."""
    if "parquet" in output.table_formats and not importlib.util.find_spec("pyarrow"):
        yield ("table_formats",), "Parquet tables need the package pyarrow; install it, or use csv"
