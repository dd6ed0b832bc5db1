"""The name of an input wherever people read of it: "US-MA, parameter set 3 of 10 (input 17)".

Sets and trajectories are counted from 0, as inputs are, and as the report and the tables count them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modeling.plain_text import one_line

if TYPE_CHECKING:  # the operator's tasks import this module, and should not load numpy with it
    from modeling.workload import ForeignWorkload, Workload

MOST_NAMED = 50  # inputs whose names are looked up; further ones are shown by their index
MOST_IN_A_LINE = 5
MOST_CHARACTERS = 60  # of a population, which another suite may call anything


def unknown_input(index: int) -> str:
    """Return the name of an input if only its index is known."""
    return f"input {index}"


def input_name(workload: "Workload | ForeignWorkload") -> str:
    """Return place, parameter set or trajectories, and index of an input."""
    return name_of(workload.population, _share(workload), workload.index)


def name_of(population: str, share: str, index: int) -> str:
    """Return the name of an input; its place and its share may be unknown, and empty."""
    place, number = one_line(" ".join(population.split()), MOST_CHARACTERS), unknown_input(index)
    return f"{place}{share} ({number})" if place else number


def _share(workload: "Workload | ForeignWorkload") -> str:
    """Return which parameter set or trajectories of its population an input has; "" if it has all."""
    from modeling.workload import ForeignWorkload, Simulate

    if isinstance(workload, ForeignWorkload):
        return ""
    task = workload.task
    if workload.set_count == 1 and isinstance(task, Simulate):
        return trajectory_share(task.first, task.count, task.total)
    return set_share(workload.set_index, workload.set_count)


def set_share(index: int, count: int) -> str:
    """Return which parameter set an input is; nothing where it is the only one."""
    return f", parameter set {index} of {count}" if count > 1 else ""


def trajectory_share(first: int, count: int, total: int) -> str:
    """Return which trajectories of an ensemble an input is; nothing where it is all of them."""
    if count >= total:
        return ""
    last = first + count - 1
    return f", {f'trajectories {first} to {last}' if count > 1 else f'trajectory {last}'} of {total}"


def in_a_line(names: Sequence[str], number: int | None = None, most: int = MOST_IN_A_LINE) -> str:
    """Return the first names and how many more there are, out of `number` (default: of all names)."""
    more = (len(names) if number is None else number) - min(len(names), most)
    return "; ".join(names[:most]) + (f" and {more:,} more" if more else "")
