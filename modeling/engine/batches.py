"""A batch of particles as the kernel's arrays: coefficients, observables, bound."""

from collections.abc import Mapping, Sequence

import numpy as np

from modeling.engine.arrays import (
    BY_PARTICLE,
    FIXED,
    GROUP_STRIDE,
    KIND,
    NUM_ROWS,
    OFFSET,
    OVER_TIME,
    PARTICLE_STRIDE,
    POINT_STRIDE,
    ROW,
    Batch,
    Look,
    Model,
)
from modeling.engine.observables import DistanceBound
from modeling.engine.starts import Starts, StartTable
from modeling.engine.structure import Structure
from modeling.failures import UserError, did_you_mean


def coefficient_table(rates: Sequence[np.ndarray]) -> np.ndarray:
    """Return Batch.coefficients of rates of shape (particles or 1, points or 1, groups or 1)."""
    table = np.zeros((len(rates), 7), dtype=np.int64)
    row = offset = 0
    for own, rate in zip(table, rates, strict=True):
        particles, points, groups = rate.shape
        own[KIND] = OVER_TIME if points > 1 else BY_PARTICLE if particles > 1 else FIXED
        own[[ROW, NUM_ROWS, OFFSET]] = row, groups, offset
        own[PARTICLE_STRIDE] = points * groups if particles > 1 else 0
        own[POINT_STRIDE] = groups if points > 1 else 0
        own[GROUP_STRIDE] = 1 if groups > 1 else 0
        row, offset = row + groups, offset + rate.size
    return table


def model_arrays(structure: Structure, starts: Starts, coefficients: np.ndarray) -> Model:
    """Return the structure of a model; the kinds of its sources follow from those of the coefficients."""
    kinds = np.append(structure.source_kinds(coefficients[:, KIND]), -1)
    edges = np.array([*structure.edges, (-1, -1)])
    someone = np.maximum(structure.plan.sizes, 1)  # where nobody is, nobody is met; 0 / 0 would be nan
    return Model(
        groups=len(structure.plan.age_groups),
        sources=_table(kinds, structure.first_edge),
        edges=_table(edges, structure.first_term, np.append(structure.split_row, -1)),
        terms=_table(structure.term_kind, structure.term_coefficient, structure.term_mediator),
        draws=_table(structure.from_row, structure.to_row),
        levels=_whole(structure.levels),
        mediators=_whole(structure.mediators),
        eligible=_whole(structure.eligible),
        contacts=np.ascontiguousarray(starts.contacts / someone, dtype=np.float64),
    )


def batch_arrays(
    starts: Starts,
    table: StartTable,
    particles: np.ndarray,
    rates: Sequence[np.ndarray],
    initial: np.ndarray,
    infeasible: Mapping[int, str],
    memory: np.ndarray,
) -> Batch:
    """Return the particles of a batch.

    Parameters
    ----------
    rates : sequence of ndarray, shape (particles or 1, points or 1, groups or 1)
        Coefficients [1/day], in the order of the structure.
    initial, infeasible
        As people_of_plan returns them.
    memory : ndarray of float
        Of an earlier batch, used again for the coefficients: the system hands out fresh memory slowly.
    """
    most = len(particles), starts.num_points, len(starts.model.sizes)
    for rate in rates:  # the kernel would read beyond its values
        if not all(size in (1, whole) for size, whole in zip(rate.shape, most, strict=True)):
            raise ValueError(f"a rate of shape {rate.shape} where 1 or {most} is possible")
    start = table.start.copy()
    start[list(infeasible)] = -1
    ends = np.cumsum([0, *(rate.size for rate in rates)])
    values = (memory if memory.size >= ends[-1] else np.empty(ends[-1]))[: ends[-1]]
    for begin, end, rate in zip(ends[:-1], ends[1:], rates, strict=True):
        np.multiply(rate.reshape(-1), starts.model.delta_t_days, out=values[begin:end])
    return Batch(
        points_a_step=starts.points_a_step,
        particles=np.ascontiguousarray(particles, dtype=np.uint64),
        start=_whole(start),
        initial=np.ascontiguousarray(initial.reshape(len(initial), -1), dtype=np.float64),
        coefficients=coefficient_table(rates),
        values=values,
        starts=_table(table.first_point, table.num_steps),
        column=_whole(table.column),
        due=_whole(table.due),
        doses=np.ascontiguousarray(table.doses),
        matrix_of_point=_whole(starts.matrix_of_point),
    )


def look_arrays(
    structure: Structure,
    table: StartTable,
    num_dates: int,
    compartments: Sequence[str],
    transitions: Sequence[Sequence[str]],
    bound: DistanceBound | None,
) -> Look:
    """Return the observables, each the sum of series by name, and the bound.

    Raises
    ------
    UserError
        A series is unknown.
    ValueError
        The bound is of other observables or dates.
    """
    names, groups = structure.plan.compartments, structure.plan.age_groups
    edges = [f"{names[source]}_to_{names[target]}" for source, target in structure.edges]
    first_of_people, people = _summands([[name] for name in compartments], _rows_of_series(names, groups))
    first_of_moved, moved = _summands(transitions, _rows_of_series(edges, groups))
    shape = len(transitions), num_dates
    if bound is None:
        bound = DistanceBound(np.zeros(shape), np.zeros(shape), 0, np.inf)
    else:
        _check_bound(bound, shape)
    observed = np.where(bound.weights == 0, 0.0, bound.observed)
    costs = (bound.weights * np.abs(observed) ** bound.power).sum(axis=0)  # of dates on which nobody moves
    before = np.array([costs[:column].sum() for column in table.first_column])
    for start, column, _ in table.repeated:
        before[start] += costs[column]
    return Look(
        first_of_people=first_of_people,
        people=people,
        first_of_moved=first_of_moved,
        moved=moved,
        power=bound.power,
        most=float(bound.most) * (1 + 1e-9),
        observed=np.ascontiguousarray(observed, dtype=np.float64),
        weights=np.ascontiguousarray(bound.weights, dtype=np.float64),
        cost_before=before,
    )


def _check_bound(bound: DistanceBound, shape: tuple[int, int]) -> None:
    observed, weights = np.asarray(bound.observed), np.asarray(bound.weights)
    for name, each in (("observed", observed), ("weights", weights)):
        if each.shape != shape:
            raise ValueError(f"{name} of the bound has shape {each.shape}, not {shape}")
    compared = np.where(weights > 0, observed, 0)
    if not ((weights >= 0) & np.isfinite(weights) & np.isfinite(compared)).all():
        raise ValueError("a bound whose weights are negative or not finite, or compare with such numbers")
    if bound.power not in (1, 2) or np.isnan(bound.most):
        raise ValueError(f"a bound of power {bound.power}, at most {bound.most}")


def _rows_of_series(names: Sequence[str], groups: Sequence[str]) -> dict[str, list[int]]:
    rows = {}
    for position, name in enumerate(names):
        own = [position * len(groups) + group for group in range(len(groups))]
        rows |= {f"{name}_{group}": [row] for group, row in zip(groups, own, strict=True)}
        rows[f"{name}_total"] = own
    return rows


def _summands(
    wanted: Sequence[Sequence[str]], known: Mapping[str, list[int]]
) -> tuple[np.ndarray, np.ndarray]:
    rows = []
    for names in wanted:
        for name in names:
            if name not in known:
                raise UserError(f'"{name}" is not a series of the model{did_you_mean(name, known)}')
        rows.append([row for name in names for row in known[name]])
    first = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return first, np.array([row for each in rows for row in each], dtype=np.int64)


def _table(*columns: np.ndarray) -> np.ndarray:
    return _whole(np.column_stack(columns))


def _whole(values: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.int64)
