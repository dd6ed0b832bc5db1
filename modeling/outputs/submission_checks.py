"""The rules of a forecast hub, checked on the rows of a submission, whoever wrote it.

Facts of hub-config/tasks.json and model-output/README.md of FluSight 2025-26. A hub takes a part of the
horizons, too; we ask for all, because nobody means to leave one out.
"""

import datetime
import math
from collections.abc import Iterable, Iterator, Sequence

from modeling import hubs
from modeling.failures import UserError, listed
from modeling.outputs.rate_changes import CATEGORIES, RATE_CHANGE, THRESHOLDS
from modeling.weeks import SATURDAY

LEVELS = [f"{level:g}" for level in hubs.QUANTILES]
_MOST_FROM_ONE = 1e-6  # of the sum of probabilities; what the hub allows
_HORIZONS = {str(horizon): horizon for horizon in hubs.HORIZONS}

Row = Sequence[str]  # the columns of modeling.hubs.COLUMNS, in their order
Task = tuple[str, str, str, str]  # target, location, horizon, kind
Entries = list[tuple[str, str]]  # level or category, and value


def check_submission(
    rows: Iterable[Row],
    locations: Iterable[str] | None = None,
    left_out: Iterable[str] = (),
    hub: hubs.Hub = hubs.FLUSIGHT,
) -> None:
    """Refuse rows that the hub would not take, or in which something is missing.

    Parameters
    ----------
    rows : iterable of sequence of str
        Without the header, the columns in the order of modeling.hubs.COLUMNS.
    locations : iterable of str, optional
        FIPS codes or US that must be there; without it all of the hub.
    left_out : iterable of str
        Those of them that are known to be missing.

    Raises
    ------
    UserError
        One line: location, horizon, what is wrong, and the number of other problems.
    """
    wanted = set(hubs.hub_populations() if locations is None else locations) - set(left_out)
    problems = list(_problems(rows, wanted, hub))
    if problems:
        more = f" (problems in all: {len(problems):,})" if len(problems) > 1 else ""
        raise UserError(f"the submission is not valid: {problems[0]}{more}")


def _problems(rows: Iterable[Row], wanted: set[str], hub: hubs.Hub) -> Iterator[str]:
    tasks: dict[Task, Entries] = {}
    ends: dict[tuple[str, str, str, str], None] = {}
    for number, row in enumerate(rows, 1):
        if len(row) != len(hubs.COLUMNS):
            yield f"row {number:,} has {len(row)} values; the hub has {len(hubs.COLUMNS)} columns"
            continue
        reference, target, horizon, end, location, kind, kind_id, value = row
        ends[reference, location, horizon, end] = None
        tasks.setdefault((target, location, horizon, kind), []).append((kind_id, value))
    yield from _date_problems(list(ends))
    for task, entries in tasks.items():
        yield from (f"{_named(task)}: {problem}" for problem in _task_problems(task, entries, hub))
    yield from _missing(tasks, wanted, hub)


def _named(task: Task) -> str:
    target, location, horizon, _ = task
    return f"location {location}, horizon {horizon}, {target}"


# -- dates


def _date_problems(ends: list[tuple[str, str, str, str]]) -> Iterator[str]:
    references = list(dict.fromkeys(reference for reference, *_ in ends))
    if len(references) != 1:
        yield f"one reference date is expected; found {listed(references) or 'no rows'}"
    days = {text: _day(text) for text in references}
    for text, day in days.items():
        if day is None:
            yield f'reference date "{text}" is not a date such as 2026-01-10'
        elif day.weekday() != SATURDAY:
            yield f"reference date {text} is a {day:%A}, not a Saturday"
    right = {text: hubs.target_dates(day) for text, day in days.items() if day is not None}
    for reference, location, horizon, end in ends:
        expected = right.get(reference, {}).get(_HORIZONS.get(horizon))
        if expected is not None and end != str(expected):
            yield f"location {location}, horizon {horizon}: target_end_date is {end}, not {expected}"


def _day(text: str) -> datetime.date | None:
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        return None
    return day if str(day) == text else None


# -- values


def _task_problems(task: Task, entries: Entries, hub: hubs.Hub) -> Iterator[str]:
    """Yield what is wrong with the values of one target, location and horizon."""
    target, location, horizon, kind = task
    kinds = {hub.target: "quantile"} | ({RATE_CHANGE: "pmf"} if hub is hubs.FLUSIGHT else {})
    if target not in kinds:
        yield f"the target is not one of {listed(kinds)}"
        return
    if kind != kinds[target]:
        yield f'output_type is "{kind}", not {kinds[target]}'
        return
    if horizon not in _HORIZONS or (kind == "pmf" and _HORIZONS[horizon] not in THRESHOLDS):
        yield f"the horizon is not one of {listed(THRESHOLDS if kind == 'pmf' else _HORIZONS)}"
    if location not in hubs.hub_populations():
        yield "the hub does not have this location"
    values = {}
    for kind_id, text in entries:
        name = _level(kind_id) if kind == "quantile" else kind_id
        if name in values:
            yield f"duplicate {kind_id}"
        values[name] = text
    expected = LEVELS if kind == "quantile" else CATEGORIES
    if missing := [name for name in expected if name not in values]:
        yield f"{listed(missing)} missing"
    if unknown := [name for name in values if name not in expected]:
        yield f"{listed(unknown)} unknown"
    numbers = {name: _number(values[name]) for name in expected if name in values}
    if odd := [name for name, number in numbers.items() if not math.isfinite(number)]:
        yield f'"{values[odd[0]]}" of {odd[0]} is not a finite number'
    elif kind == "quantile":
        yield from _quantile_problems(numbers, hubs.hub_populations().get(location, math.inf))
    else:
        yield from _probability_problems(numbers)


def _level(text: str) -> str:
    """Return a level as LEVELS has it: 0.10 is 0.1."""
    return text if text in LEVELS else f"{_number(text):g}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _quantile_problems(numbers: dict[str, float], people: float) -> Iterator[str]:
    values = list(numbers.values())
    for level, value in numbers.items():
        if value < 0 or value % 1 or value >= people:
            wrong = "is negative" if value < 0 else "is not a whole number" if value % 1 else ""
            yield f"{value:.15g} of quantile {level} {wrong or f'is not below the population, {people:,}'}"
    if sorted(values) != values:
        levels = list(numbers)
        at = next(i for i in range(1, len(values)) if values[i] < values[i - 1])
        yield (
            f"quantiles cross: {values[at]:.15g} at {levels[at]}, but {values[at - 1]:.15g} at "
            f"{levels[at - 1]}"
        )


def _probability_problems(numbers: dict[str, float]) -> Iterator[str]:
    for name, value in numbers.items():
        if not 0 <= value <= 1:
            yield f"the probability of {name} is {value:.15g}, not between 0 and 1"
    total = math.fsum(numbers.values())
    if abs(total - 1) > _MOST_FROM_ONE:
        yield f"the probabilities sum to {total:.9g}, not to 1"


# -- what is not there


def _missing(tasks: dict[Task, Entries], wanted: set[str], hub: hubs.Hub) -> Iterator[str]:
    """Yield the locations without a row, and of the others the horizons without one."""
    there = {location for _, location, _, _ in tasks}
    for location in sorted(wanted - there):
        yield f"location {location} has no row, and is not named as left out"
    expected = [(hub.target, "quantile", _HORIZONS)]
    if any(kind == "pmf" for *_, kind in tasks):
        expected.append((RATE_CHANGE, "pmf", map(str, THRESHOLDS)))
    for target, kind, horizons in expected:
        for horizon in horizons:
            for location in sorted(there):
                if (target, location, horizon, kind) not in tasks:
                    yield f"location {location}, horizon {horizon}: no row of {target}"
