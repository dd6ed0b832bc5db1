"""Parameters, overrides and rates of an epydemix model, as those of a plan: for from_epydemix.py.

Arrays over time have one value a time step here; rows are (1 or steps, 1 or groups).
"""

import ast
import keyword
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modeling.expressions import check_names, evaluate, parse_expression
from modeling.failures import UserError, did_you_mean
from modeling.workload import EIGENVALUE

_TAKEN = {EIGENVALUE, "start_date"}  # names that mean something else in a plan


@dataclass(frozen=True)
class Steps:
    """Time steps; `times` is an ndarray of datetime64[s], shape (steps,)."""

    times: np.ndarray

    def between(self, first: object, last: object) -> np.ndarray:
        """Return whether each step begins from one moment to another, both included, shape (steps,)."""
        from pandas import Timestamp

        moments = self.times.astype("datetime64[ns]")
        return (moments >= Timestamp(first).to_datetime64()) & (moments <= Timestamp(last).to_datetime64())


class Parameters:
    """The parameters of a plan.

    Attributes
    ----------
    fixed : dict
        As in ModelPlan.
    factors, overrides : dict of str to ndarray, shape (steps,)
        As in Schedule, by time step.
    """

    def __init__(
        self,
        values: Mapping[str, object],
        overrides: Mapping[str, list],
        drawn: Collection[str],
        steps: Steps,
        groups: int,
    ):
        self.fixed: dict[str, float | np.ndarray] = {}
        self.factors: dict[str, np.ndarray] = {}
        self.overrides: dict[str, np.ndarray] = {}
        self._steps, self._groups = steps, groups
        self._names = {*values, *drawn, *_TAKEN}
        self._meaning: dict[str, ast.expr] = {}  # of a parameter, in a rate of the plan
        for position, (name, value) in enumerate(values.items(), 1):
            if name not in drawn:
                self._meaning[name] = self._added(name, position, value, overrides.get(name, []))
        for name in drawn:
            self._meaning[name] = self._added_drawn(name, overrides.get(name, []))
        for name in overrides:
            if name not in self._meaning:
                hint = did_you_mean(name, self._meaning)
                raise UserError(f'an override of "{name}", which is not a parameter{hint}')

    def rate(self, rate: object, where: str) -> float | str:
        """Return a rate of a transition as a plan has it.

        Raises
        ------
        UserError
            It is neither a number, nor one number an age group, nor arithmetic of parameters.
        """
        if not isinstance(rate, str):
            return self._number_or_parameter(rate, where)
        if rate in self._meaning:  # also a name that is no Python name
            return ast.unparse(self._meaning[rate])
        try:
            tree = parse_expression(rate, calls=False)
            check_names(tree, set(self._meaning), rate)
            tree = ast.fix_missing_locations(_Renaming(self._meaning).visit(tree))
            uses_parameters = any(isinstance(node, ast.Name) for node in ast.walk(tree))
            return ast.unparse(tree) if uses_parameters else evaluate(tree, {})
        except UserError as error:
            raise UserError(f"{where}: {error}") from None

    def _number_or_parameter(self, rate: object, where: str) -> float | str:
        values = _numbers(rate, f"{where}: the rate")
        if values.size == 1 and values.ndim <= 1:
            return float(values.item())
        if values.shape != (self._groups,):
            raise UserError(f"{where}: the rate has shape {values.shape} for {self._groups} age groups")
        name = self._unused("rate")
        self.fixed[name] = values
        return name

    def _added(self, name: str, position: int, value: object, overrides: Sequence[Mapping]) -> ast.expr:
        """Add a parameter; return what it is in a rate."""
        what = f'parameter "{name}"'
        base = self._rows(value, len(self._steps.times), what)
        spans = list(self._spans(overrides, what))
        own = name if _is_usable(name) else self._unused(f"parameter_{position}")
        if (len(base) > 1 and base.shape[1] > 1) or any(rows.shape[1] > 1 for _, rows in spans):
            return self._by_group(own, base, spans, what)
        over_time = np.full(len(self._steps.times), np.nan) if len(base) == 1 else base[:, 0].copy()
        for during, rows in spans:
            over_time[during] = rows[:, 0]
        if not np.isnan(over_time).all():
            self.overrides[own] = over_time
        self.fixed[own] = base[0].copy() if base.shape[1] > 1 else float(base[0, 0])
        return ast.Name(own)

    def _added_drawn(self, name: str, overrides: Sequence[Mapping]) -> ast.expr:
        """Add the overrides of a parameter that is drawn."""
        what = f'parameter "{name}"'
        if not _is_usable(name):
            raise UserError(f"{what} is drawn, but its name has a meaning in Python or in a plan; rename it")
        over_time = np.full(len(self._steps.times), np.nan)
        for during, rows in self._spans(overrides, what):
            if rows.shape[1] > 1:
                raise UserError(f"{what} is drawn, and overridden by age; override one that is not drawn")
            over_time[during] = rows[:, 0]
        if not np.isnan(over_time).all():
            self.overrides[name] = over_time
        return ast.Name(name)

    def _by_group(self, name: str, base: np.ndarray, spans: list, what: str) -> ast.expr:
        """Add one parameter an age group, which is 1 in its group and 0 elsewhere, times what changes."""
        values = np.broadcast_to(base, (len(self._steps.times), self._groups)).copy()
        for during, rows in spans:
            values[during] = rows
        if (values < 0).any():
            raise UserError(f"{what} changes over time by age and is negative ({values.min():g})")
        names = [self._unused(f"{name}_in_group_{group}") for group in range(self._groups)]
        for group, each in enumerate(names):
            self.fixed[each] = (np.arange(self._groups) == group).astype(float)
            self.factors[each] = values[:, group].copy()
        return _sum([ast.Name(each) for each in names])

    def _spans(self, overrides: Sequence[Mapping], what: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the steps of each override, and its rows."""
        for number, override in enumerate(overrides, 1):
            during = self._steps.between(override["start_date"], override["end_date"])
            if during.any():
                where = f"override {number} of {what}"
                rows = self._rows(override["value"], int(during.sum()), where)
                yield during, rows

    def _rows(self, value: object, steps: int, what: str) -> np.ndarray:
        """Return a value of epydemix as rows: it is a number, (steps,), (1, groups) or (steps, groups)."""
        values = _numbers(value, what)
        if values.ndim == 0:
            return values.reshape(1, 1)
        if values.ndim == 1 and len(values) >= steps:
            return values[:steps].reshape(-1, 1)
        if values.ndim == 2 and values.shape[0] in (1, steps) and values.shape[1] == self._groups:
            return values
        hint = ""
        if values.shape == (self._groups,):
            hint = "; one value an age group has shape (1, groups)"
        raise UserError(
            f"{what} has shape {values.shape} where there are {steps} time steps and {self._groups} age "
            f"groups{hint}"
        )

    def _unused(self, name: str) -> str:
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name


class _Renaming(ast.NodeTransformer):
    def __init__(self, meaning: Mapping[str, ast.expr]):
        self._meaning = meaning

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._meaning[node.id]


def _is_usable(name: str) -> bool:
    """Return whether expressions of a plan can name a parameter so."""
    return (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and not name.startswith("_")
        and name not in _TAKEN
    )


def _sum(terms: list[ast.expr]) -> ast.expr:
    """Return the sum of terms, nested as little as possible."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return ast.BinOp(_sum(terms[:middle]), ast.Add(), _sum(terms[middle:]))


def _numbers(value: object, what: str) -> np.ndarray:
    """Return finite numbers; refuse anything else."""
    try:
        if value is None or isinstance(value, (str, bytes)):
            raise ValueError
        values = np.array(value, dtype=float)
    except (TypeError, ValueError):
        raise UserError(f"{what} is {value!r}, not a number or an array of numbers") from None
    if not values.size or not np.isfinite(values).all():
        raise UserError(f"{what} has values that are not finite numbers")
    return values
