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
    place = one_line(" ".join(workload.population.split()), MOST_CHARACTERS)
    share = _share(workload)
    number = unknown_input(workload.index)
    return f"{place}{share} ({number})" if place else number


def _share(workload: "Workload | ForeignWorkload") -> str:
    """Return which parameter set or trajectories of its population an input has; "" if it has all."""
    from modeling.workload import ForeignWorkload, Simulate

    if isinstance(workload, ForeignWorkload):
        return ""
    if workload.set_count > 1:
        return f", parameter set {workload.set_index} of {workload.set_count}"
    task = workload.task
    if isinstance(task, Simulate) and task.count < task.total:
        last = task.first + task.count - 1
        numbers = f"trajectories {task.first} to {last}" if task.count > 1 else f"trajectory {last}"
        return f", {numbers} of {task.total}"
    return ""


def in_a_line(names: Sequence[str], number: int | None = None, most: int = MOST_IN_A_LINE) -> str:
    """Return the first names and how many more there are, out of `number` (default: of all names)."""
    more = (len(names) if number is None else number) - min(len(names), most)
    return "; ".join(names[:most]) + (f" and {more:,} more" if more else "")
