"""Names of inputs for messages, logs and reports: "US-MA, parameter set 3 of 10 (input 17)".

Sets and trajectories count from 0, as inputs do, and as in the report and the tables.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modeling.plain_text import one_line

if TYPE_CHECKING:  # the operator's tasks import this module, and should not load numpy
    from modeling.forecast_records import ForecastWorkload
    from modeling.workload import ForeignWorkload, Workload

MOST_NAMED = 50  # inputs whose names are looked up; further ones are shown by their index
MOST_IN_A_LINE = 5
MOST_CHARACTERS = 60  # of a population, whose name may come from another suite


def unknown_input(index: int) -> str:
    """Return the name of an input that is known only by its index."""
    return f"input {index}"


def input_name(workload: "Workload | ForeignWorkload | ForecastWorkload") -> str:
    """Return place, parameter set or trajectories, and index of an input."""
    return name_of(workload.population, _share(workload), workload.index)


def name_of(population: str, share: str, index: int) -> str:
    """Return the name of an input; `population` and `share` are empty if they are unknown."""
    place, number = one_line(" ".join(population.split()), MOST_CHARACTERS), unknown_input(index)
    return f"{place}{share} ({number})" if place else number


def _share(workload: "Workload | ForeignWorkload | ForecastWorkload") -> str:
    """Return which parameter set or trajectories of its population an input has, or "" for all."""
    from modeling.workload import Simulate, Workload

    if not isinstance(workload, Workload):
        return ""
    task = workload.task
    if workload.set_count == 1 and isinstance(task, Simulate):
        return trajectory_share(task.first, task.count, task.total)
    return set_share(workload.set_index, workload.set_count)


def set_share(index: int, count: int) -> str:
    """Return which parameter set an input is, or "" for the only one."""
    return f", parameter set {index} of {count}" if count > 1 else ""


def trajectory_share(first: int, count: int, total: int) -> str:
    """Return which trajectories of an ensemble an input is, or "" for all."""
    if count >= total:
        return ""
    last = first + count - 1
    return f", {f'trajectories {first} to {last}' if count > 1 else f'trajectory {last}'} of {total}"


def in_a_line(names: Sequence[str], number: int | None = None, most: int = MOST_IN_A_LINE) -> str:
    """Return the first names and the number of the others.

    Parameters
    ----------
    number : int, optional
        Number of all names; that of `names` without it.
    """
    more = (len(names) if number is None else number) - min(len(names), most)
    return "; ".join(names[:most]) + (f" and {more:,} more" if more else "")
