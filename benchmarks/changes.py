"""Changed constants of growth_regression, for trials: parsed, and an evaluation with them.

    python benchmarks/changes.py fit.ridge=0.1 -- --exp-id flusight --from 2024-11-23 --to 2025-05-31

evaluates as scripts/evaluate_forecasts.py does, with other settings passed to the method, whose code stays as
it is. benchmarks/forecast.py starts this. Besides the constants of modeling/forecast/settings.py, `without`
leaves out the predictors that are like a pattern, such as "nation's*".
"""

import argparse
import datetime
import math
import multiprocessing
import runpy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import get_args, get_origin, get_type_hints

import numpy as np
from measuring import ROOT

from modeling.forecast import features, growth_regression, methods
from modeling.forecast.panel import panel
from modeling.forecast.season_course import season_course
from modeling.forecast.seasons import season_weeks
from modeling.forecast.settings import SETTINGS, Settings

WITHOUT = "without"


def change(text: str) -> tuple[str, object]:
    """Return the name and the value of a change, NAME=VALUE.

    Raises
    ------
    ArgumentTypeError
        An unknown name, or a value of another kind.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    kinds = dict(_kinds())
    if not equals or name not in kinds:
        known = "; ".join(f"{each} {_text(_value(each))}" for each in kinds if each != WITHOUT)
        raise argparse.ArgumentTypeError(
            f'"{text}": write NAME=VALUE; names and their values are: {known}; '
            f"{WITHOUT} takes a pattern of: {'; '.join(predictor_names())}"
        )
    try:
        parsed = _parsed(value, kinds[name])
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}": not a value as {_text(_value(name))} is') from None
    if name == WITHOUT:
        _check_pattern(parsed)
    elif isinstance(parsed, tuple) and len(parsed) != len(_value(name)):
        raise argparse.ArgumentTypeError(f'"{text}": {name} has {len(_value(name))} values')
    return name, parsed


def changed(changes: Sequence[tuple[str, object]], settings: Settings = SETTINGS) -> Settings:
    """Return the settings with changes; `without` is none of them."""
    for name, value in changes:
        if name != WITHOUT:
            group, _, constant = name.partition(".")
            of_group = replace(getattr(settings, group), **{constant: value})
            settings = replace(settings, **{group: of_group})
    return settings


def predictor_names() -> list[str]:
    """Return the names of all predictors."""
    weeks = season_weeks(datetime.date(2024, 11, 2), 6)
    ones = panel(np.ones((6, 1)), ["US"], np.ones(1), weeks, np.ones(6, dtype=bool))
    course = season_course(ones.rates, weeks, [], 1)
    return [*features.calendar_features(weeks, 1), *features.location_features(ones, course)]


def _kinds() -> Iterator[tuple[str, object]]:
    for group in fields(SETTINGS):
        for name, kind in get_type_hints(type(getattr(SETTINGS, group.name))).items():
            yield f"{group.name}.{name}", kind
    yield WITHOUT, str


def _value(name: str) -> object:
    group, _, constant = name.partition(".")
    return getattr(getattr(SETTINGS, group), constant)


def _parsed(text: str, kind: object) -> object:
    if get_origin(kind) is tuple:
        return tuple(_parsed(part.strip(), get_args(kind)[0]) for part in text.split(","))
    if kind is datetime.date:
        return datetime.date.fromisoformat(text)
    value = kind(text)
    if isinstance(value, float) and math.isnan(value):
        raise ValueError(text)
    return value


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _check_pattern(pattern: str) -> None:
    names = predictor_names()
    if not any(fnmatchcase(name, pattern) for name in names):
        raise argparse.ArgumentTypeError(f'no predictor is like "{pattern}"; there are: {"; ".join(names)}')


def _kept(named, patterns: Sequence[str]):
    """Return a function of features that leaves out those like a pattern."""

    def fewer(*arguments):
        found = named(*arguments)
        return {
            name: values
            for name, values in found.items()
            if not any(fnmatchcase(name, pattern) for pattern in patterns)
        }

    return fewer


def main(words: list[str]) -> None:
    """Evaluate with changes: NAME=VALUE ... -- and the options of scripts/evaluate_forecasts.py."""
    end = words.index("--")
    changes = [change(word) for word in words[:end]]
    patterns = [value for name, value in changes if name == WITHOUT]
    features.calendar_features = _kept(features.calendar_features, patterns)
    features.location_features = _kept(features.location_features, patterns)
    methods.METHODS["growth_regression"] = partial(growth_regression.forecast, settings=changed(changes))
    multiprocessing.set_start_method("fork")  # so that the processes have the changes
    script = str(ROOT / "scripts" / "evaluate_forecasts.py")
    sys.argv = [script, *words[end + 1 :]]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
