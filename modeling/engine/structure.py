"""The structure of a plan: its transitions as the edges, terms and rows of tables that the kernel reads."""

from dataclasses import dataclass

import numpy as np

from modeling.engine.arrays import MEDIATED, OVER_TIME, SPONTANEOUS, VACCINATION
from modeling.failures import UserError
from modeling.workload import Flow, ModelPlan


@dataclass(frozen=True)
class Structure:
    """Edges and terms of a plan; their arrays are explained in arrays.py.

    Attributes
    ----------
    coefficients : list of float or str
        The different rates, each a number or an expression.
    """

    plan: ModelPlan
    edges: list[tuple[int, int]]  # source and target compartment, sorted by source
    first_edge: np.ndarray
    first_term: np.ndarray
    term_kind: np.ndarray
    term_coefficient: np.ndarray
    term_mediator: np.ndarray
    coefficients: list[float | str]
    mediators: list[int]
    eligible: list[int]
    split_row: np.ndarray
    levels: np.ndarray
    from_row: np.ndarray
    to_row: np.ndarray

    def source_kinds(self, coefficient_kind: np.ndarray) -> np.ndarray:
        """Return the kind of each source, which follows from the kinds of its coefficients."""
        of_terms = np.append(coefficient_kind, OVER_TIME)[self.term_coefficient]  # -1 for a vaccination
        kinds = np.where(self.term_kind == SPONTANEOUS, of_terms, OVER_TIME)
        terms = self.first_term[self.first_edge]
        return np.maximum.reduceat(kinds, terms[:-1])


def structure_of(plan: ModelPlan) -> Structure:
    """Return the structure of a plan that check_plan has accepted.

    Raises
    ------
    UserError
        The plan has several vaccinations.
    """
    position = {compartment: number for number, compartment in enumerate(plan.compartments)}
    by_edge: dict[tuple[int, int], list[Flow]] = {}
    for flow in plan.flows:
        by_edge.setdefault((position[flow.source], position[flow.target]), []).append(flow)
    edges = sorted(by_edge)
    terms = [flow for edge in edges for flow in by_edge[edge]]
    rates = dict.fromkeys(flow.rate for flow in terms if flow.eligible is None)
    row_of_rate = {rate: row for row, rate in enumerate(rates)}
    mediators = sorted({position[flow.mediator] for flow in terms if flow.mediator is not None})
    row_of_mediator = {mediator: row for row, mediator in enumerate(mediators)}
    first_edge = np.append(np.flatnonzero(np.diff([source for source, _ in edges], prepend=-1)), len(edges))
    rows = _rows(first_edge, edges, len(plan.age_groups))
    return Structure(
        plan=plan,
        edges=edges,
        first_edge=first_edge,
        first_term=np.cumsum([0, *(len(by_edge[edge]) for edge in edges)]),
        term_kind=np.array([_kind(flow) for flow in terms]),
        term_coefficient=np.array(
            [-1 if flow.eligible is not None else row_of_rate[flow.rate] for flow in terms]
        ),
        term_mediator=np.array(
            [-1 if flow.mediator is None else row_of_mediator[position[flow.mediator]] for flow in terms]
        ),
        coefficients=list(rates),
        mediators=mediators,
        eligible=_eligible(plan),
        **rows,
    )


def _kind(flow: Flow) -> int:
    if flow.eligible is not None:
        return VACCINATION
    return SPONTANEOUS if flow.mediator is None else MEDIATED


def _eligible(plan: ModelPlan) -> list[int]:
    found = [flow.eligible for flow in plan.flows if flow.eligible is not None]
    if len(found) > 1:
        raise UserError(f"{len(found)} vaccinations share one schedule of doses; the engine takes one")
    return [plan.compartments.index(name) for name in found[0]] if found else []


def _rows(first_edge: np.ndarray, edges: list[tuple[int, int]], groups: int) -> dict[str, np.ndarray]:
    """Return the rows of chances: to leave each source, then to take all edges but its last, by level.

    Those who leave are drawn into the row of a source's last edge, and each split takes its part from there.
    """
    last_edges = first_edge[1:] - 1
    sources = np.array([edges[e][0] for e in first_edge[:-1]])
    from_edge, to_edge = list(sources), list(last_edges)
    split_row = np.full(len(edges), -1)
    num_edges = np.diff(first_edge)
    levels = [0, len(sources)]
    for level in range(int(num_edges.max()) - 1):
        for s in np.flatnonzero(num_edges > level + 1):
            split_row[first_edge[s] + level] = len(from_edge)
            from_edge.append(last_edges[s])
            to_edge.append(first_edge[s] + level)
        levels.append(len(from_edge))
    by_group = np.arange(groups)
    return {
        "split_row": np.where(split_row < 0, -1, split_row * groups),
        "levels": np.array(levels) * groups,
        "from_row": (np.array(from_edge)[:, None] * groups + by_group).ravel(),
        "to_row": (np.array(to_edge)[:, None] * groups + by_group).ravel(),
    }
