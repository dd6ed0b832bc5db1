"""Parameters and rates of a plan for many particles: before changes over time ("unchanged"), and by point.

All of it is elementwise over particles, so the bytes of a particle do not depend on the others. A particle
that cannot be simulated is named with the reason; what is wrong without a draw is a UserError.
"""

import datetime
from ast import expr, unparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from modeling.bounds import LARGEST_NUMBER
from modeling.engine.elementwise import Elementwise, largest_eigenvalue
from modeling.expressions import check_names, check_shape, evaluate, names_in, parse_expression, walk
from modeling.failures import UserError
from modeling.over_time import particles_over_time, wave_problems
from modeling.workload import EIGENVALUE, ModelPlan, Schedule

_BLOCK = 2**16  # numbers of an array that stay in the cache of a core

_parse = lru_cache(maxsize=1_000)(parse_expression)


@dataclass(frozen=True)
class ParameterValues:
    """The unchanged values of all parameters, for many particles.

    Attributes
    ----------
    values : dict of str to ndarray of float, shape (particles or 1, groups or 1)
        One row for what is the same for all particles, one column for what is the same for all age groups.
    infeasible : dict of int to str
        Why a particle has no values. Its values mean nothing.
    drawn : set of str
        Names that are drawn, or calculated from drawn ones.
    """

    values: dict[str, np.ndarray]
    infeasible: dict[int, str]
    drawn: set[str]


@dataclass(frozen=True)
class RateValues:
    """The rates of a plan over time, for many particles.

    Attributes
    ----------
    rates : dict of str to ndarray of float, shape (particles or 1, points or 1, groups or 1)
        By expression [1/day]; contiguous. One point for a rate that does not change over time.
    infeasible : dict of int to str
        Why a particle cannot be simulated. Its rates mean nothing.
    """

    rates: dict[str, np.ndarray]
    infeasible: dict[int, str]


def parameter_values(plan: ModelPlan, parameters: Mapping[str, np.ndarray]) -> ParameterValues:
    """Return every parameter's unchanged value by particle.

    Parameters
    ----------
    parameters : mapping of str to ndarray, shape (particles,)
        Drawn values. Those of compartments, and start_date, are ignored.

    Raises
    ------
    UserError
        A parameter has no value; or a calculated one that uses no drawn value is not finite, or has another
        shape.
    """
    drawn = {n: v for n, v in parameters.items() if n not in plan.initial and n != "start_date"}
    fixed = {name: np.asarray(value, dtype=float)[None] for name, value in plan.parameters.items()}
    known = _Known(
        values=fixed | {name: np.asarray(value, dtype=float) for name, value in drawn.items()},
        num_groups=len(plan.age_groups),
        drawn=set(drawn),
    )
    trees = {name: _parse(text) for name, text in plan.calculated}
    if any(EIGENVALUE in names_in(tree) for tree in trees.values()):
        known.values[EIGENVALUE] = np.array([largest_eigenvalue(sum(plan.contacts.values()))])
    for name, tree in trees.items():
        check_names(tree, {*known.values}, unparse(tree))
        known.calculate(name, tree)
    known.values.pop(EIGENVALUE, None)
    by_group = {name: value.reshape(len(value), -1) for name, value in known.values.items()}
    return ParameterValues(by_group, dict(sorted(known.infeasible.items())), known.drawn)


@dataclass
class _Known:
    """Values so far, shape (particles or 1,) or (particles or 1, groups), as Elementwise takes them."""

    values: dict[str, np.ndarray]
    num_groups: int
    drawn: set[str]
    infeasible: dict[int, str] = field(default_factory=dict)

    def calculate(self, name: str, tree: expr) -> None:
        """Add a parameter. Particles whose arithmetic is in doubt are calculated alone, as one draw is."""
        used = names_in(tree)
        check_names(tree, {*self.values}, unparse(tree))
        is_drawn = not self.drawn.isdisjoint(used)
        value, suspect = self._of_all(tree, max((len(self.values[each]) for each in used), default=1))
        for row in np.flatnonzero(suspect).tolist():
            if is_drawn and row in self.infeasible:
                continue
            try:
                value[row] = self._of_one(tree, used, row)
            except UserError as error:
                if not is_drawn:
                    raise
                self.infeasible[row] = str(error)
        self.values[name] = value
        if is_drawn:
            self.drawn.add(name)

    def _of_all(self, tree: expr, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the value of each particle, and whether it is in doubt."""
        arithmetic = Elementwise()
        try:
            with np.errstate(all="ignore"):
                found = np.atleast_1d(walk(tree, self.values, arithmetic))
            check_shape(found[0], self.num_groups, f'"{unparse(tree)}"')
        except (ArithmeticError, ValueError, TypeError, UserError):  # for each of them alike
            return np.full(num_rows, np.nan), np.ones(num_rows, dtype=bool)
        value = np.array(np.broadcast_to(found, (num_rows, *found.shape[1:])))  # no alias of a parameter
        is_plain = (np.abs(value) <= LARGEST_NUMBER).reshape(num_rows, -1).all(axis=1)
        return value, arithmetic.suspect | ~is_plain

    def _of_one(self, tree: expr, used: list[str], row: int) -> float | np.ndarray:
        each = {name: self.values[name][row if len(self.values[name]) > 1 else 0] for name in used}
        value = evaluate(tree, {name: v if v.ndim else float(v) for name, v in each.items()})
        check_shape(value, self.num_groups, f'"{unparse(tree)}"')
        return value


def rate_values(
    plan: ModelPlan,
    parameters: Mapping[str, np.ndarray],
    first_day: datetime.date,
    first_points: np.ndarray,
    num_points: int,
) -> RateValues:
    """Return each rate that is an expression, by particle and time point.

    Time points are those of Schedule, from `first_day` on. A particle uses its first point and each later one
    at which a time step begins; its rates must be finite and not negative there.

    Parameters
    ----------
    parameters : mapping of str to ndarray, shape (particles,)
        Drawn parameters and compartments.
    first_day : date
        Not before that of the schedule.
    first_points : ndarray of int, shape (particles,)
        Of the particles' first time steps, counted from `first_day`.
    num_points : int
        To the end of the last simulated day.

    Raises
    ------
    UserError
        A parameter has no value; or a rate, a wave or a calculated parameter that uses no drawn value is not
        possible.
    """
    known = parameter_values(plan, parameters)
    infeasible = dict(known.infeasible)
    rates = [flow.rate for flow in plan.flows if isinstance(flow.rate, str) and flow.eligible is None]
    trees = {rate: _parse(rate, calls=False) for rate in rates}
    for rate, tree in trees.items():
        check_names(tree, {*known.values}, rate)
    over_time = _OverTime(plan, known, trees, first_day, num_points)
    over_time.check_wave(infeasible)
    over_time.fill()
    over_time.check_rates(np.asarray(first_points), infeasible)
    return RateValues(over_time.rates, dict(sorted(infeasible.items())))


class _OverTime:
    """Rates by time point, while they are filled in and checked."""

    def __init__(
        self,
        plan: ModelPlan,
        known: ParameterValues,
        trees: dict[str, expr],
        first_day: datetime.date,
        num_points: int,
    ):
        self.values, self.trees, self.first_day = known.values, trees, first_day
        self.changes = None if plan.schedule is None else _cut(plan.schedule, first_day, num_points)
        self.points_a_step = max(1, round(plan.delta_t_days))
        self.names = list(dict.fromkeys(name for tree in trees.values() for name in names_in(tree)))
        wave = self.changes and self.changes.wave
        self.wave = wave if wave and wave.parameter in self.names else None
        self.drawn = set(known.drawn)
        if self.wave and self.wave.minimum in known.drawn:
            self.drawn.add(self.wave.parameter)
        changing = set() if self.changes is None else {*self.changes.factors, *self.changes.overrides}
        self.changing = changing | ({self.wave.parameter} if self.wave else set())
        self.rates = {text: np.empty(self._shape(tree, num_points)) for text, tree in trees.items()}
        self.suspect: set[int] = set()  # particles with an impossible value at any point
        self.all_suspect = False

    def _shape(self, tree: expr, num_points: int) -> tuple[int, int, int]:
        used = names_in(tree)
        rows = [len(self.values[name]) for name in used]
        if self.wave and self.wave.parameter in used and isinstance(self.wave.minimum, str):
            rows.append(len(self.values[self.wave.minimum]))
        groups = max((self.values[name].shape[1] for name in used), default=1)
        return max(rows, default=1), 1 if self.changing.isdisjoint(used) else num_points, groups

    def check_wave(self, infeasible: dict[int, str]) -> None:
        """Add the particles whose wave has an impossible minimum."""
        problems = wave_problems(self.wave, self.values) if self.wave else {}
        for row, problem in problems.items():
            if self.wave.minimum not in self.drawn:
                raise UserError(problem)
            infeasible.setdefault(row, problem)

    def fill(self) -> None:
        """Fill in the rates by blocks of particles, so that intermediate arrays stay in the cache."""
        for block in self._blocks():
            part = {name: value[block] if len(value) > 1 else value for name, value in self.values.items()}
            by_point = {name: part[name][:, None, :] for name in self.names}
            with np.errstate(all="ignore"):
                if self.changes is not None:
                    by_point |= particles_over_time(self.changes, part, self.names)
                for text, rate in self.rates.items():
                    if len(rate) > 1:
                        self._fill(rate[block], text, by_point, block.start)
                    elif block.start == 0:
                        self._fill(rate, text, by_point, None)

    def _blocks(self) -> Iterator[slice]:
        num_rows = max((len(rate) for rate in self.rates.values()), default=0)
        largest = max((rate[0].size for rate in self.rates.values()), default=1)
        step = max(1, _BLOCK // largest)
        return (slice(begin, min(begin + step, num_rows)) for begin in range(0, num_rows, step))

    def _fill(self, rate: np.ndarray, text: str, by_point: dict, first_row: int | None) -> None:
        rate[:] = walk(self.trees[text], by_point, Elementwise())
        if rate.min(initial=0) >= 0 and rate.max(initial=0) <= LARGEST_NUMBER:  # nan is not
            return
        if first_row is None:
            self.all_suspect = True
            return
        wrong = ~((rate >= 0) & (rate <= LARGEST_NUMBER)).all(axis=(1, 2))
        self.suspect |= {first_row + row for row in np.flatnonzero(wrong).tolist()}

    def check_rates(self, first_points: np.ndarray, infeasible: dict[int, str]) -> None:
        """Add the particles that use a rate where it is negative or not finite."""
        for particle in range(len(first_points)) if self.all_suspect else sorted(self.suspect):
            if particle in infeasible:
                continue
            for text, problem in self._problems(particle, int(first_points[particle])):
                if self.drawn.isdisjoint(names_in(self.trees[text])):
                    raise UserError(problem)
                infeasible.setdefault(particle, problem)

    def _problems(self, particle: int, first_point: int) -> Iterator[tuple[str, str]]:
        """Yield the rates that a particle cannot have, with what is wrong, those without a value first."""
        used = {}
        for text, rate in self.rates.items():
            of_particle = rate[particle if len(rate) > 1 else 0]
            is_steady = self.changing.isdisjoint(names_in(self.trees[text]))
            used[text] = of_particle if is_steady else of_particle[first_point :: self.points_a_step]
        for wrong, described in _PROBLEMS:
            for text, rate in used.items():
                at = np.flatnonzero(wrong(rate).any(axis=1))
                if len(at):
                    value = rate[at[0]][wrong(rate[at[0]])].min()
                    yield text, self._sentence(text, f"{described} ({value:g})", first_point, int(at[0]))

    def _sentence(self, text: str, what: str, first_point: int, step: int) -> str:
        tree = self.trees[text]
        if self.changing.isdisjoint(names_in(tree)):
            return f'the rate "{unparse(tree)}" is {what}'
        days = (first_point + step * self.points_a_step) // self.changes.points_per_day
        return f'the rate "{unparse(tree)}" is {what} on {self.first_day + datetime.timedelta(days=days)}'


# in the order in which a particle is refused
_PROBLEMS = [
    (lambda rate: ~np.isfinite(rate), "not a finite number"),
    (lambda rate: rate > LARGEST_NUMBER, f"larger than {LARGEST_NUMBER:g}"),
    (lambda rate: rate < 0, "negative"),
]


def _cut(schedule: Schedule, first_day: datetime.date, num_points: int) -> Schedule:
    """Return the changes of parameters at the time points from a day on."""
    days_after = (first_day - schedule.first_day).days
    if days_after < 0:
        raise ValueError(f"{first_day} is before the first day of the schedule, {schedule.first_day}")
    begin = days_after * schedule.points_per_day
    points = slice(begin, begin + num_points)
    return replace(
        schedule,
        first_day=first_day,
        wave=schedule.wave and replace(schedule.wave, shape=schedule.wave.shape[points]),
        factors={name: each[points] for name, each in schedule.factors.items()},
        overrides={name: each[points] for name, each in schedule.overrides.items()},
    )
