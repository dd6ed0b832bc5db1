"""Top-level key `model`: compartments and parameters, and how the sections of the file fit together.

Transitions, timespan and age groups are in transitions.py, timespan.py and age_groups.py; vaccination,
seasonality and interventions in changes.py.
"""

import datetime
import keyword
import re
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from pydantic import Field, field_validator

from modeling.bounds import MOST_STEPS
from modeling.calendars import step_count, step_problem
from modeling.expressions import check_names, names_in, parse_expression
from modeling.failures import UserError, listed
from modeling.vocabulary.age_groups import PopulationChoice
from modeling.vocabulary.base import Meta, Number, Piece, Problems, Seed
from modeling.vocabulary.change_problems import change_problems
from modeling.vocabulary.changes import Intervention, Seasonality, Vaccination
from modeling.vocabulary.timespan import Simulation, Timespan
from modeling.vocabulary.transitions import Transition, described, with_rate_in_numbers
from modeling.workload import EIGENVALUE, Flow

NAME = r"^[A-Za-z][A-Za-z0-9_]*$"
# columns of the output tables; a parameter has a column of its own name beside them
COLUMNS = {
    *("primary_id", "sim_id", "seed", "population", "kind", "delta_t", "n_sims", "start_date", "end_date"),
    *("generation", "weight", "distance", "n_simulations", "n_generations", "stopped_by"),
    *("fitting_start", "fitting_end"),
}


class Compartment(Piece):
    """A state that people are in, and who is in it on the first day."""

    id: str = Field(pattern=NAME, description="name: a letter, then letters, digits and _")
    label: str | None = Field(None, description="name for readers; nothing uses it")
    init: Literal["default", "sampled", "calibrated"] | Number | list[Number] | None = Field(
        None,
        description="on the first day: people (1 and more), a share of the people (below 1), one of them per "
        "age group, or a word; default is everybody who is not elsewhere; nobody without it",
    )

    @field_validator("init")
    @classmethod
    def _not_negative(cls, init):
        values = init if isinstance(init, list) else [init]
        for value in values:
            if isinstance(value, float) and value < 0:
                raise ValueError(f"init cannot be negative ({value:g})")
            if isinstance(value, float) and value > 1 and not value.is_integer():
                raise ValueError(f"{value:g} is neither a share (below 1) nor a number of people (whole)")
        return init


class Parameter(Piece):
    """A number, an expression, one value an age group, or the word "sampled" or "calibrated"."""

    type: Literal["scalar", "age_varying", "sampled", "calibrated", "calculated"] = Field(
        description="scalar and calculated have a value, age_varying has values; the modelset has the others"
    )
    value: Number | str | None = Field(
        None,
        description="a number, or an expression such as 1/3; if calculated, of parameters and eigenvalue",
    )
    values: list[Number | str] | None = Field(
        None, description="a number, or arithmetic of numbers, per age group"
    )

    def problems(self, age_groups: list[str]) -> Problems:
        """Yield fields that are missing or that the type does not have, and a wrong number of values."""
        wanted = {"scalar": "value", "calculated": "value", "age_varying": "values"}.get(self.type)
        for field in ("value", "values"):
            if field == wanted and getattr(self, field) is None:
                yield (), f'a parameter of type {self.type} needs "{field}"'
            elif field != wanted and getattr(self, field) is not None:
                where = f'; use "{wanted}"' if wanted else ": its values come from the modelset"
                yield (field,), f'a parameter of type {self.type} has no "{field}"{where}'
        if self.values is not None and len(self.values) != len(age_groups):
            yield ("values",), f"{len(self.values)} values for {len(age_groups)} age groups"


class Model(Piece):
    """The compartmental model."""

    meta: Meta | None = Field(None, description="notes about the file; nothing reads them")
    name: str | None = Field(None, description="name of the model, for readers; nothing uses it")
    random_seed: Seed | None = Field(
        None, description="root of every random draw; --seed overrides it, and without either one is drawn"
    )
    timespan: Timespan = Field(description="simulated days, and the time step")
    simulation: Simulation | None = Field(None, description="number of trajectories, and reported dates")
    population: PopulationChoice = Field(description="population, and its age groups")
    compartments: list[Compartment] = Field(min_length=1, description="states that people are in")
    transitions: list[Transition] = Field(min_length=1, description="flows between compartments")
    parameters: dict[str, Parameter] = Field(description="parameters by name: letters, digits and _")
    vaccination: Vaccination | None = Field(None, description="doses for the transition of type vaccination")
    seasonality: Seasonality | None = Field(None, description="factor of one parameter over the year")
    interventions: list[Intervention] | None = Field(
        None, description="changes of parameters and contacts for a time"
    )

    @property
    def trajectories(self) -> int:
        """Number of trajectories of a parameter set."""
        return (self.simulation or Simulation()).trajectories

    @property
    def resample_frequency(self) -> str | None:
        return self.simulation.resample_frequency if self.simulation else None

    @property
    def compartment_ids(self) -> list[str]:
        return [c.id for c in self.compartments]

    @property
    def transition_names(self) -> list[str]:
        """Each `source_to_target` once, in the order of the file, because epydemix merges equal pairs."""
        return list(dict.fromkeys(f"{t.source}_to_{t.target}" for t in self.transitions))

    def marked(self, word: str) -> set[str]:
        """Return the names whose value is a word: "sampled" or "calibrated"."""
        names = {c.id for c in self.compartments if c.init == word}
        names |= {name for name, p in self.parameters.items() if p.type == word}
        return names | ({"start_date"} if self.timespan.start_date == word else set())

    def calculation_order(self) -> list[str]:
        """Return the calculated parameters, each after those it uses."""
        uses = {
            name: set(names_in(parse_expression(str(p.value))))
            for name, p in self.parameters.items()
            if p.type == "calculated"
        }
        graph = {name: used & uses.keys() for name, used in uses.items()}
        return list(TopologicalSorter(graph).static_order())

    def problems(self) -> Problems:
        """Yield everything that is wrong with this file and that types alone do not show."""
        yield from self._timespan_problems()
        for at, message in self.population.problems():
            yield ("population", *at), message
        yield from self._compartment_problems()
        yield from self._parameter_problems()
        yield from self._transition_problems()
        yield from change_problems(self)
        sampled, calibrated = self.marked("sampled"), self.marked("calibrated")
        if sampled and calibrated:
            yield (
                (),
                (
                    f"sampled ({listed(sorted(sampled))}) and calibrated ({listed(sorted(calibrated))}) "
                    "cannot be mixed in one experiment"
                ),
            )

    def _timespan_problems(self) -> Problems:
        start, end = self.timespan.start_date, self.timespan.end_date
        if isinstance(start, datetime.date) and end < start:
            yield ("timespan", "end_date"), f"end_date {end} is before start_date {start}"
        elif isinstance(start, datetime.date) and (problem := self.step_problem(start)):
            yield ("timespan", "delta_t"), problem

    def step_problem(self, start: datetime.date) -> str | None:
        """Return why the time step does not fit a model that starts on this day; None if it does."""
        end, delta_t = self.timespan.end_date, self.timespan.delta_t
        too_many = self.step_count_problem(start)
        return too_many or step_problem(start, end, delta_t, self.resample_frequency)

    def step_count_problem(self, start: datetime.date) -> str | None:
        """Return why a model that starts on this day has too many time steps; None if it has not."""
        end, delta_t = self.timespan.end_date, self.timespan.delta_t
        steps = step_count(start, end, delta_t)
        if steps <= MOST_STEPS:
            return None
        return (
            f"{steps:,} time steps of {delta_t:g} days from {start} to {end} are more than {MOST_STEPS:,}; "
            "use a longer step, or simulate fewer days"
        )

    def _compartment_problems(self) -> Problems:
        seen: set[str] = set()
        groups = self.population.age_groups
        shares = [0.0] * len(groups)
        for index, compartment in enumerate(self.compartments):
            if compartment.id in seen:
                yield ("compartments", index, "id"), f'duplicate compartment "{compartment.id}"; keep one'
            seen.add(compartment.id)
            init = compartment.init
            if isinstance(init, list) and len(init) != len(groups):
                yield ("compartments", index, "init"), f"{len(init)} values for {len(groups)} age groups"
            elif isinstance(init, (float, list)):
                each = init if isinstance(init, list) else [init] * len(groups)
                shares = [s + (v if 0 < v < 1 else 0) for s, v in zip(shares, each, strict=True)]
        for group, share in zip(groups, shares, strict=True):
            if share > 1 + 1e-9:
                yield (
                    ("compartments",),
                    f'initial shares of age group "{group}" add up to {share:.10g}, more than 1',
                )
                break
        given = [c for c in self.compartments if c.init is not None]
        if given and not any(c.init == "default" for c in self.compartments):
            yield ("compartments",), 'one compartment needs "init: default", for everybody else'
        if not given and not any(t.mediator or t.mediators for t in self.transitions):
            yield ("compartments",), 'nobody is in any compartment: give one "init: default"'

    def _parameter_problems(self) -> Problems:
        fixed = set(self.parameters) | {EIGENVALUE}
        for name, parameter in self.parameters.items():
            at = ("parameters", name)
            if not re.fullmatch(NAME.strip("^$"), name):
                yield at, f'"{name}" is not a parameter name; use letters, digits and _'
            if keyword.iskeyword(name):
                yield at, f'"{name}" is a keyword of expressions; choose another name, e.g. {name}_'
            if _is_column(name) or name in (EIGENVALUE, *self.compartment_ids):
                yield at, f'"{name}" already names {_other_use(name)}; choose another parameter name'
            for where, message in parameter.problems(self.population.age_groups):
                yield (*at, *where), message
            known = fixed - {name} if parameter.type == "calculated" else set()
            texts = [parameter.value] if parameter.value is not None else parameter.values or []
            for text in texts:
                if isinstance(text, str):
                    yield from _expression_problems(text, known, at)
        try:
            self.calculation_order()
        except CycleError as error:
            yield (
                ("parameters", error.args[1][0]),
                f"parameters depend on each other: {' -> '.join(error.args[1])}",
            )
        except UserError:
            pass  # already reported

    def _transition_problems(self) -> Problems:
        ids = self.compartment_ids
        yield from self._series_problems()
        seen: set[Flow] = set()
        for index, transition in enumerate(self.transitions):
            at = ("transitions", index)
            for where, flow in transition.flows():
                if (same := with_rate_in_numbers(flow)) in seen:
                    yield (*at, *where), f"duplicate transition {described(flow)}; keep one"
                seen.add(same)
            for where, message in transition.problems(ids):
                yield (*at, *where), message
            for where, rate in transition.rates():
                if isinstance(rate, str):
                    yield from _expression_problems(rate, set(self.parameters), (*at, *where), calls=False)
                elif rate < 0:
                    yield (
                        (*at, *where),
                        f"the rate of {transition.source} -> {transition.target} is negative ({rate:g})",
                    )

    def _series_problems(self) -> Problems:
        """Yield transitions and compartments whose series would have the same name, or a table's column."""
        pairs: dict[str, tuple[str, str]] = {}
        for index, t in enumerate(self.transitions):
            name = f"{t.source}_to_{t.target}"
            source, target = pairs.setdefault(name, (t.source, t.target))
            if (source, target) != (t.source, t.target):
                yield (
                    ("transitions", index),
                    f"{t.source} -> {t.target} and {source} -> {target} would both be called {name}; "
                    "rename a compartment",
                )
        for index, compartment in enumerate(self.compartments):
            if compartment.id in pairs:
                source, target = pairs[compartment.id]
                yield (
                    ("compartments", index, "id"),
                    f'"{compartment.id}" is also the name of the transition {source} -> {target}; '
                    "rename the compartment",
                )
            if compartment.init == "calibrated" and compartment.id in COLUMNS:
                yield (
                    ("compartments", index, "id"),
                    f'"{compartment.id}" already names a column of the output tables; rename the compartment',
                )


def _expression_problems(text: str, known: set[str], at: tuple, *, calls: bool = True) -> Problems:
    try:
        check_names(parse_expression(text, calls=calls), known, text)
    except UserError as error:
        yield at, str(error)


def _is_column(name: str) -> bool:
    """Return whether an output table has a column of this name."""
    return name in COLUMNS or re.fullmatch("init_.*_total", name) is not None


def _other_use(name: str) -> str:
    if _is_column(name):
        return "a column of the output tables"
    return "the eigenvalue of the contact matrix" if name == EIGENVALUE else "a compartment"
