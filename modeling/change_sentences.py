"""What changes over time in a model, in short sentences: for the log of stage A and for the report."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modeling.calendars import step_count
from modeling.failures import listed
from modeling.initial import initial_people
from modeling.over_time import doses_from
from modeling.plain_text import one_line
from modeling.workload import ModelPlan, Wave

MOST_SENTENCES, MOST_CHARACTERS = 40, 600  # of a model, of a sentence
MOST_VALUES = 3  # of a factor, a sentence each; with more, its lowest and highest
MOST_SPANS, MOST_GROUPS = 5, 16  # listed in a sentence
_DAY = np.timedelta64(1, "D")


def change_sentences(plan: ModelPlan, last_day: datetime.date) -> tuple[str, ...]:
    """Return what changes over time in a model; nothing for a model without a schedule.

    Days and doses are those of a trajectory from the first day of the schedule to the last simulated day,
    at the time steps that it has.
    """
    schedule = plan.schedule
    if schedule is None or last_day < schedule.first_day:
        return ()
    steps = _Steps.of_plan(plan, last_day)
    found = [
        *(_doses(plan, steps) if schedule.doses is not None else ()),
        *(_closures(schedule.closed_schools, steps) if schedule.closed_schools is not None else ()),
        *(_wave(schedule.wave, plan, steps) if schedule.wave else ()),
    ]
    for name, factors in schedule.factors.items():
        found += _changed(name, "×", factors[steps.points], steps)
    for name, values in schedule.overrides.items():
        found += _changed(name, "=", values[steps.points], steps)
    for layer, factors in schedule.contact_factors.items():
        found += _changed(f"contacts of layer {layer}", "×", factors[steps.points], steps)
    if len(found) > MOST_SENTENCES:
        found[MOST_SENTENCES - 1 :] = [f"and {len(found) - MOST_SENTENCES + 1} more changes"]
    return tuple(one_line(sentence, MOST_CHARACTERS) for sentence in found)


@dataclass(frozen=True)
class _Steps:
    """The time steps of a trajectory from the first day of the schedule on.

    Attributes
    ----------
    points : ndarray of int, shape (steps,)
        Their time points in the schedule.
    first, last : ndarray of datetime64[D], shape (steps,)
        First and last day of each.
    num_days : int
        Days of the model.
    """

    points: np.ndarray
    first: np.ndarray
    last: np.ndarray
    num_days: int

    @classmethod
    def of_plan(cls, plan: ModelPlan, last_day: datetime.date) -> "_Steps":
        schedule, days_a_step = plan.schedule, max(1, round(plan.delta_t_days))
        count = step_count(schedule.first_day, last_day, plan.delta_t_days)
        points = np.arange(count) * days_a_step
        first = np.datetime64(schedule.first_day, "D") + points // schedule.points_per_day
        last = np.minimum(first + days_a_step - 1, np.datetime64(last_day, "D"))
        return cls(points, first, last, (last_day - schedule.first_day).days + 1)

    def days(self, chosen: np.ndarray) -> str:
        """Return "on 3 of 42 days: 2025-01-10 to 2025-01-12" for the steps that are chosen."""
        first, at = np.unique(self.first[chosen], return_index=True)
        count = int(((self.last[chosen][at] - first) // _DAY + 1).sum())
        edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(int)))
        spans = [_span(self.first[a], self.last[b - 1]) for a, b in edges.reshape(-1, 2)]
        return f"on {count:,} of {self.num_days:,} days: {listed(spans, MOST_SPANS)}"


def _doses(plan: ModelPlan, steps: _Steps) -> Iterator[str]:
    schedule = plan.schedule
    # all days of the last step, which may run past the model's end
    num_days = round(len(steps.points) * plan.delta_t_days)
    doses = doses_from(schedule, schedule.first_day, num_days)
    given = np.flatnonzero(doses.any(axis=1))
    if not len(given):
        yield "no vaccine doses on the simulated days"
        return
    begin = np.datetime64(schedule.first_day, "D")
    groups = zip(doses.sum(axis=0), plan.age_groups, strict=True)
    by_group = listed((f"{count:,.0f} to {group}" for count, group in groups), MOST_GROUPS)
    late = 0.0 if schedule.doses_before is None else float(schedule.doses_before.sum())
    before = f", {late:,.0f} of them due before the first day" if late >= 0.5 else ""
    span = _span(begin + given[0], begin + given[-1])
    yield f"{doses.sum():,.0f} vaccine doses, {span}: {by_group}{before}"
    yield _eligible(plan)


def _eligible(plan: ModelPlan) -> str:
    """Return who shares the doses, and whom they move."""
    flow = next(flow for flow in plan.flows if flow.eligible is not None)
    if any(isinstance(init, str) and init != "default" for init in plan.initial.values()):
        number = "a drawn number"
    else:
        people = initial_people(plan.initial, plan.sizes, {}, plan.age_groups)
        number = f"{sum(int(people[name].sum()) for name in flow.eligible):,}"
    moved = "" if flow.eligible == [flow.source] else f"; only those in {flow.source} move to {flow.target}"
    return f"doses are shared by the people in {listed(flow.eligible)} ({number} on the first day){moved}"


def _closures(closed: np.ndarray, steps: _Steps) -> Iterator[str]:
    """Yield on how many days schools are closed, and for which share of the people."""
    closed = closed[steps.points]
    days = closed > 0
    if not days.any():
        yield "no school is closed on the simulated days"
        return
    share = closed[days].mean()
    part = "" if share > 1 - 1e-9 else f" for {100 * share:.3g} % of the people on average,"
    yield f"schools are closed{part} {steps.days(days)}"


def _wave(wave: Wave, plan: ModelPlan, steps: _Steps) -> Iterator[str]:
    shape = wave.shape[steps.points]
    found = []
    for word, at in (("lowest", shape.argmin()), ("highest", shape.argmax())):
        found.append(f"{word} {_wave_factor(wave, plan, float(shape[at]))} on {steps.first[at]}")
    yield f"seasonal factor of {wave.parameter}: {', '.join(found)}"


def _wave_factor(wave: Wave, plan: ModelPlan, shape: float) -> str:
    """Return the factor of a wave; where its minimum is not known yet, with the parameter that holds it."""
    minimum = wave.minimum
    if isinstance(minimum, str):
        minimum = plan.parameters.get(minimum, minimum)
    if not isinstance(minimum, str):
        return f"{minimum * (1 - shape) + wave.maximum * shape:.3g}"
    shape = round(shape, 3)
    if shape in (0, 1):
        return f"{wave.maximum:.3g}" if shape else minimum
    return f"{wave.maximum * shape:.3g} + {1 - shape:.3g} × {minimum}"


def _changed(what: str, sign: str, values: np.ndarray, steps: _Steps) -> Iterator[str]:
    """Yield the values of a factor other than 1, or of an override, with their days."""
    changed = values != 1 if sign == "×" else ~np.isnan(values)
    different = dict.fromkeys(values[changed].tolist())
    if not different:
        yield f"{what}: no change on the simulated days"
    elif len(different) <= MOST_VALUES:
        for value in different:
            yield f"{what} {sign} {value:.4g} {steps.days(values == value)}"
    else:
        low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
        yield (
            f"{what} {sign} {values[low]:.4g} (lowest, on {steps.first[low]}) to "
            f"{values[high]:.4g} (highest, on {steps.first[high]})"
        )


def _span(first: np.datetime64, last: np.datetime64) -> str:
    return str(first) if first == last else f"{first} to {last}"
