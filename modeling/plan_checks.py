"""What a model plan must be like, so that a damaged or forged input is refused before it is simulated.

The engine's machine code reads arrays by positions that follow from a plan, and does not check them.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from modeling.bounds import LARGEST_NUMBER
from modeling.calendars import FREQUENCY, MOST_STEP_DAYS
from modeling.failures import UserError
from modeling.initial import DRAWN
from modeling.workload import ModelPlan

MOST_SERIES = 1_000_000  # compartments and transitions, times age groups
_DAY_SECONDS = 86_400


def check_plan(plan: ModelPlan) -> None:
    """Refuse a plan that cannot be right, whichever engine simulates it.

    Raises
    ------
    UserError
        Arrays of a wrong type or shape, numbers that are negative or not finite, unknown or duplicate
        compartments and age groups, no transition, or a time step that does not fit into days.
    """
    for problem in _problems(plan):
        raise UserError(f"the model cannot be right ({problem}); build the run again under a new RUN_ID")


def _problems(plan: ModelPlan) -> Iterator[str]:
    groups = len(plan.age_groups)
    for what, names in (("compartments", plan.compartments), ("age groups", plan.age_groups)):
        if not names or len(set(names)) < len(names):
            yield f"{len(names)} {what}, of which {len(set(names))} are different"
    if (len(plan.compartments) + len(plan.flows)) * groups > MOST_SERIES:
        yield f"more than {MOST_SERIES:,} series by age group"
    yield from _number_problems(plan.sizes, (groups,), "sizes", "iu")
    if np.sum(plan.sizes, dtype=float) > LARGEST_NUMBER:
        yield f"more than {LARGEST_NUMBER:g} people"
    if not plan.contacts:
        yield "no contacts"
    for layer, matrix in plan.contacts.items():
        yield from _number_problems(matrix, (groups, groups), f"contacts of {layer[:80]}")
    for name, value in plan.parameters.items():
        shape = np.shape(value) and (groups,)  # one number, or one an age group
        yield from _number_problems(np.asarray(value), shape, name[:80], lowest=-LARGEST_NUMBER)
    yield from _flow_problems(plan)
    yield from _initial_problems(plan)
    yield from _time_problems(plan)


def _flow_problems(plan: ModelPlan) -> Iterator[str]:
    if not plan.flows:
        yield "no transition"
    known = set(plan.compartments)
    for flow in plan.flows:
        where = f"the transition {flow.name[:80]}"
        for name in (flow.source, flow.target, flow.mediator, *(flow.eligible or ())):
            if name is not None and name not in known:
                yield f'{where} uses "{name[:80]}", which is not a compartment of the model'
        if flow.source == flow.target:
            yield f"{where} leads to its own source"
        if flow.eligible is None and not isinstance(flow.rate, str):
            yield from _number_problems(np.asarray(flow.rate), (), f"the rate of {where}")


def _initial_problems(plan: ModelPlan) -> Iterator[str]:
    known = set(plan.compartments)
    if plan.initial.keys() != known:
        yield f"initial conditions of {len(plan.initial)} compartments, where the model has {len(known)}"
    for name, value in plan.initial.items():
        is_word = isinstance(value, str) and value in ("default", *DRAWN)
        if value is None or is_word:
            continue
        shape = (len(plan.age_groups),) if isinstance(value, list) else ()
        wrong = isinstance(value, list) and any(isinstance(each, (str, list, type(None))) for each in value)
        if isinstance(value, (str, bool, tuple, dict, np.ndarray)) or wrong:
            yield f"an init of {name[:80]} that is not a number"
        else:  # how many people that is, is checked with the draws
            yield from _number_problems(np.asarray(value), shape, f"the init of {name[:80]}", lowest=-np.inf)


def _time_problems(plan: ModelPlan) -> Iterator[str]:
    delta_t, frequency = plan.delta_t_days, plan.resample_frequency
    is_whole = delta_t in range(1, MOST_STEP_DAYS + 1)
    parts = round(1 / delta_t) if 0.5 / _DAY_SECONDS < delta_t < 1 else 0
    if not is_whole and not (parts and delta_t == 1 / parts and _DAY_SECONDS % parts == 0):
        yield f"time steps of {delta_t} days"
    if frequency is not None and not re.fullmatch(FREQUENCY, frequency):
        yield f"{frequency[:80]!r} as resample_frequency"


def _number_problems(
    array: np.ndarray, shape: Sequence[int], what: str, kinds: str = "iuf", lowest: float = 0
) -> Iterator[str]:
    if array.dtype.kind not in kinds or array.shape != shape:
        yield f"{what}: an array of {array.dtype} of shape {array.shape} instead of {shape}"
        return
    wrong = array[~((array >= lowest) & (array <= LARGEST_NUMBER) & np.isfinite(array))]
    if wrong.size:
        yield f"{what}: {wrong.flat[0]:g} is not a number from {lowest:g} to {LARGEST_NUMBER:g}"
