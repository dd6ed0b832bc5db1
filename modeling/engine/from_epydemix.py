"""The plan of an epydemix EpiModel, read from the attributes of the object; epydemix itself is not imported.

A rate that is a Python function has no plan; such a model is refused.
"""

import datetime
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modeling.calendars import FREQUENCY, step_count
from modeling.engine.epydemix_parameters import Parameters, Steps
from modeling.failures import UserError, did_you_mean, listed
from modeling.workload import Flow, ModelPlan, Schedule

if TYPE_CHECKING:
    from epydemix.model import EpiModel

_RATES = {
    "spontaneous": "epydemix.model.epimodel.compute_spontaneous_transition_rate",
    "mediated": "epydemix.model.epimodel.compute_mediated_transition_rate",
}
_SCHEDULED = "epydemix.model.epimodel.compute_scheduled_transition_rate"
_BY_EPYDEMIX = "simulate this model with epydemix"


def plan_of(
    model: "EpiModel",
    start_date: object,
    end_date: object,
    *,
    dt: float = 1.0,
    resample_frequency: str | None = "D",
    drawn: Collection[str] = (),
    initial_conditions: Mapping[str, object] | None = None,
    percentage_in_agents: float = 0.0005,
) -> ModelPlan:
    """Return the plan of what `model.run_simulations` simulates with the same arguments.

    Two differences are meant. The plan has all time steps of the last day, where epydemix stops at its first
    one. And contacts that one intervention replaces and another reduces are reduced once; epydemix reduces
    them again on each day of both.

    A parameter that changes over time becomes an override of every time point. One that also differs by age
    becomes one parameter an age group, and each rate names their sum. What is not a Python name (`lambda`) is
    called `parameter_1`, by its position.

    Parameters
    ----------
    start_date, end_date : date, str or Timestamp
        First and last simulated day.
    dt : float
        Time step [days]: whole days, or a whole part of a day.
    drawn : collection of str
        Parameters whose values come with the particles; those of the model are left out.
    initial_conditions : mapping or None
        People by compartment, a number or one an age group; None for those that epydemix makes up, with
        `percentage_in_agents` as a share (0.0005 is 0.05 %).

    Raises
    ------
    UserError
        A kind of transition that is a Python function, or `scheduled`; a value of a wrong shape; an unknown
        name; people that do not fit the population.
    """
    groups = [str(name) for name in model.population.Nk_names]
    sizes = _sizes(model, groups)
    if resample_frequency is not None and not re.fullmatch(FREQUENCY, resample_frequency):
        raise UserError(
            f'resample_frequency "{resample_frequency}" is none of D, 7D, W-SAT, 2W-SAT, MS, ME and the like'
        )
    calendar = _Calendar.of(start_date, end_date, dt)
    parameters = Parameters(model.parameters, model.overrides, drawn, calendar.steps, len(groups))
    flows = _flows(model, parameters)
    contacts, contact_factors = _contacts(model, calendar.steps, len(groups))
    changes = (parameters.factors, parameters.overrides, contact_factors)
    by_point = [{name: calendar.by_point(each) for name, each in change.items()} for change in changes]
    schedule = Schedule(calendar.first_day, calendar.points_per_day, None, *by_point, None, None)
    return ModelPlan(
        name=str(model.name),
        age_groups=groups,
        sizes=sizes,
        contacts=contacts,
        compartments=list(model.compartments),
        flows=flows,
        parameters=parameters.fixed,
        calculated=[],
        initial=_initial(model, sizes, initial_conditions, percentage_in_agents),
        delta_t_days=float(dt),
        resample_frequency=resample_frequency,
        schedule=schedule if any(by_point) else None,
    )


@dataclass(frozen=True)
class _Calendar:
    """The time steps of a model, and the time points of its schedule."""

    first_day: datetime.date
    num_points: int
    points_per_day: int
    points_a_step: int
    steps: Steps

    @classmethod
    def of(cls, start_date: object, end_date: object, dt: float) -> "_Calendar":
        from pandas import Timestamp  # loaded wherever there is an EpiModel; the engine alone runs without

        start, end = Timestamp(start_date), Timestamp(end_date)
        if start != start.normalize():
            raise UserError(f"start_date {start}: a simulation starts at 0:00; give a day")
        first, last = start.date(), end.date()
        if last < first:
            raise UserError(f"end_date {last} is before start_date {first}")
        per_day = 1 / dt if dt > 0 else 0
        if not dt > 0 or (dt != round(dt) and abs(per_day - round(per_day)) > 1e-9):
            raise UserError(f"dt {dt}: a time step is a whole number of days, or a whole part of a day")
        points_per_day, points_a_step = max(1, round(per_day)), max(1, round(dt))
        num_days = (last - first).days + points_a_step
        seconds = np.arange(step_count(first, last, dt)) * round(dt * 86_400)
        times = np.datetime64(first, "s") + seconds.astype("timedelta64[s]")
        return cls(first, num_days * points_per_day, points_per_day, points_a_step, Steps(times))

    def by_point(self, by_step: np.ndarray) -> np.ndarray:
        """Return values of the time steps on the time points; the last one is held."""
        wide = np.repeat(by_step, self.points_a_step)[: self.num_points]
        return np.pad(wide, (0, self.num_points - len(wide)), mode="edge")


def _sizes(model: "EpiModel", groups: list[str]) -> np.ndarray:
    people = np.asarray(model.population.Nk, dtype=float)
    if people.shape != (len(groups),) or not len(groups):
        raise UserError(f"the population has {people.size} sizes for {len(groups)} age groups")
    wrong = people[~((people >= 0) & (people == np.round(people)))]
    if wrong.size:
        raise UserError(f"the population has an age group of {wrong[0]:g} people; give whole numbers")
    return people.astype(np.int64)


def _flows(model: "EpiModel", parameters: Parameters) -> list[Flow]:
    """Return the flows in the order of the transitions."""
    if not model.transitions_list:
        raise UserError("the model has no transitions")
    flows: list[Flow] = []
    series: dict[str, tuple[str, str]] = {}
    for number, transition in enumerate(model.transitions_list, 1):
        source, target = transition.source, transition.target
        where = f"transition {number}, {source} -> {target}"
        _check_kind(model, transition.kind, where)
        if source == target:
            raise UserError(f"{where}: it leads back to its source, where nobody moves; remove it")
        rate, mediator = transition.params, None
        if transition.kind == "mediated":
            if isinstance(rate, str) or len(rate) != 2 or rate[1] not in model.compartments:
                raise UserError(f"{where}: params {rate!r} are not a rate and a compartment")
            rate, mediator = rate
        flow = Flow(source, target, parameters.rate(rate, where), mediator)
        if series.setdefault(flow.name, (source, target)) != (source, target):
            raise UserError(f'{where}: another transition is also called "{flow.name}"; rename a compartment')
        flows.append(flow)
    return flows


def _check_kind(model: "EpiModel", kind: str, where: str) -> None:
    """Refuse a kind of transition whose rate is not epydemix's own formula."""
    function = model.transition_functions.get(kind)
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}"
    if name == _RATES.get(kind):
        return
    if name == _SCHEDULED:
        raise UserError(
            f'{where}: kind "{kind}" takes doses / eligible people as a rate, which gives fewer people than '
            f"doses; the engine gives all doses of a schedule; {_BY_EPYDEMIX}"
        )
    raise UserError(f'{where}: kind "{kind}" is the Python function {name}; {_BY_EPYDEMIX}')


def _contacts(
    model: "EpiModel", steps: Steps, groups: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the matrices by layer, and their factors by time step where an intervention changes them.

    A matrix that replaces a layer for some time becomes a layer of its own, with factor 0 at other times.
    """
    matrices = {
        str(layer): _matrix(matrix, groups, f'layer "{layer}"')
        for layer, matrix in model.population.contact_matrices.items()
    } or {"all": np.zeros((groups, groups))}
    factors: dict[str, np.ndarray] = {}
    versions = {layer: [layer] for layer in matrices}
    for number, intervention in enumerate(model.interventions, 1):
        layer, where = str(intervention["layer"]), f"intervention {number}"
        during = steps.between(intervention["start_date"], intervention["end_date"])
        factor, matrix = intervention.get("reduction_factor"), intervention.get("new_matrix")
        if factor is None:
            factor = 0.0
            versions.setdefault(layer, [])
        elif layer not in versions:
            hint = did_you_mean(layer, versions) or f"; there are {listed(versions)}"
            raise UserError(f'{where}: "{layer}" is not a layer of contacts{hint}')
        elif not (np.isscalar(factor) and np.isfinite(factor) and factor >= 0):
            raise UserError(f"{where}: the reduction_factor {factor} is not a number from 0 on")
        for version in versions[layer]:
            before = factors.get(version, np.ones(len(steps.times)))
            factors[version] = np.where(during, before * factor, before)
        if intervention.get("reduction_factor") is None:
            version = f"{layer} of {where}"
            matrices[version] = _matrix(matrix, groups, f"{where}: new_matrix")
            factors[version] = during.astype(float)
            versions[layer].append(version)
    return matrices, {layer: each for layer, each in factors.items() if (each != 1).any()}


def _matrix(matrix: object, groups: int, what: str) -> np.ndarray:
    contacts = np.asarray(matrix, dtype=float)
    if contacts.shape != (groups, groups):
        raise UserError(f"{what} has shape {contacts.shape} where there are {groups} age groups")
    if not (np.isfinite(contacts).all() and (contacts >= 0).all()):
        raise UserError(f"{what} has contacts that are negative or not finite")
    return contacts


def _initial(
    model: "EpiModel", sizes: np.ndarray, given: Mapping[str, object] | None, share: float
) -> dict[str, list[int]]:
    """Return the people of every compartment by age group, cut to whole people as epydemix does."""
    if given is None:
        try:
            given = model.create_default_initial_conditions(percentage_in_agents=share)
        except ValueError as error:
            raise UserError(f"initial_conditions: {error}") from None
    unknown = [str(name) for name in given if name not in model.compartments]
    if unknown:
        hint = did_you_mean(unknown[0], model.compartments)
        raise UserError(f'initial_conditions: the model has no compartment "{unknown[0]}"{hint}')
    initial = {}
    for compartment in model.compartments:
        people = np.asarray(given.get(compartment, 0), dtype=float)
        if people.shape not in ((), (1,), sizes.shape):
            raise UserError(
                f"initial_conditions: {compartment} has shape {people.shape} for {len(sizes)} age groups"
            )
        if not (np.isfinite(people).all() and (people >= 0).all()):
            raise UserError(f"initial_conditions: {compartment} cannot start with {people} people")
        initial[compartment] = np.broadcast_to(people, sizes.shape).astype(np.int64).tolist()
    placed = np.sum(list(initial.values()), axis=0)
    if (placed > sizes).any():
        group = int(np.argmax(placed - sizes))
        raise UserError(
            f"initial_conditions place {placed[group]} people where there are {sizes[group]}, in age group "
            f'"{model.population.Nk_names[group]}"'
        )
    return initial
