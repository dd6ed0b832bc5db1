"""The plan of a model over one population, and what all workloads of that population share."""

import ast
import datetime
from dataclasses import dataclass, replace

import numpy as np

from modeling.expressions import evaluate, evaluate_text, names_in, parse_expression
from modeling.failures import UserError
from modeling.populations import Population
from modeling.randomness import name_number
from modeling.vocabulary.experiment import Experiment
from modeling.workload import Calibrate, Flow, ModelPlan, Schedule, Simulate, Workload


@dataclass(frozen=True)
class PopulationModel:
    """An experiment's model over one population.

    Attributes
    ----------
    seed : int
        Root of every random draw of the run.
    order : int
        Position of the population in the run, from 0.
    """

    experiment: Experiment
    population: Population
    plan: ModelPlan
    seed: int
    order: int

    def where(self, kind: str, *at: str | int) -> str:
        """Return "file:line" of a key of the experiment, for messages."""
        return self.experiment.where(kind, *at)

    def workload(
        self,
        index: int,
        task: Simulate | Calibrate,
        start: datetime.date,
        *,
        primary_id: int,
        stream: tuple[int, ...] = (),
        set_index: int = 0,
        set_count: int = 1,
    ) -> Workload:
        """Return one workload of this population.

        Parameters
        ----------
        start : date
            First simulated day.
        stream : tuple of int
            Numbers that distinguish its random draws from those of the population's other workloads.
        """
        return Workload(
            index=index,
            primary_id=primary_id,
            population=self.population.iso,
            population_name=self.population.epydemix_name,
            seed=self.seed,
            entropy=(self.seed, name_number(self.population.iso), *stream),
            plan=self.plan,
            start_date=start,
            end_date=self.experiment.model.timespan.end_date,
            task=task,
            set_index=set_index,
            set_count=set_count,
        )


def build_plan(experiment: Experiment, population: Population, schedule: Schedule | None) -> ModelPlan:
    """Return the plan of the experiment's model over a population.

    Parameters
    ----------
    schedule : Schedule or None
        What changes over time (build_schedule).

    Raises
    ------
    UserError
        A rate or a fixed parameter has no value.
    """
    model = experiment.model
    return ModelPlan(
        name=model.name or "model",
        age_groups=list(model.population.age_groups),
        sizes=population.sizes,
        contacts=population.contacts,
        compartments=model.compartment_ids,
        flows=_flows(experiment),
        parameters=_fixed_parameters(experiment),
        calculated=[(n, str(model.parameters[n].value)) for n in model.calculation_order()],
        initial={c.id: c.init for c in model.compartments},
        delta_t_days=model.timespan.delta_t,
        resample_frequency=model.resample_frequency,
        schedule=schedule,
    )


def _flows(experiment: Experiment) -> list[Flow]:
    flows = []
    for index, transition in enumerate(experiment.model.transitions):
        for at, flow in transition.flows():
            if transition.type == "vaccination":
                eligible = list(experiment.model.vaccination.eligible_compartments)
                flows.append(replace(flow, eligible=eligible))
                continue
            try:
                flows.append(replace(flow, rate=_rate(flow.rate)))
            except UserError as error:
                where = experiment.where("model", "transitions", index, *at)
                raise UserError(f"{where}: {error}") from None
    return flows


def _rate(rate: float | str) -> float | str:
    """Return a rate as epydemix takes it.

    An expression of numbers alone becomes a number, because epydemix wants a parameter in each expression.
    Any other is rewritten, because epydemix takes neither spaces around it nor line breaks.
    """
    if not isinstance(rate, str):
        return rate
    tree = parse_expression(rate, calls=False)
    return ast.unparse(tree) if names_in(tree) else evaluate(tree, {})


def _fixed_parameters(experiment: Experiment) -> dict[str, float | np.ndarray]:
    fixed: dict[str, float | np.ndarray] = {}
    for name, parameter in experiment.model.parameters.items():
        try:
            if parameter.type == "scalar":
                fixed[name] = _number(parameter.value)
            elif parameter.type == "age_varying":
                fixed[name] = np.array([_number(value) for value in parameter.values])
        except UserError as error:
            raise UserError(f"{experiment.where('model', 'parameters', name)}: {error}") from None
    return fixed


def _number(text: float | str) -> float:
    value = evaluate_text(text)
    if np.ndim(value) > 0:
        raise UserError(f'"{text}" is more than one number; use type age_varying')
    return value
