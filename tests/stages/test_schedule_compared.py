"""What changes over time has the effect that it has in epydemix, written down there by its own features.

The populations are large, so that a bias of 2 % in what changes is seen in a few trajectories.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from epydemix import EpiModel
from epydemix.model import simulate
from epydemix.population import Population

from modeling.simulate.with_epydemix.simulator import Simulator
from modeling.workload import Flow, ModelPlan, Schedule, Wave
from tests.ensembles import MOST_SIGMAS, difference, ensemble
from tests.schedules import SIX_WEEKS, axis, day, in_span, scheduled
from tests.small_models import HOME, SCHOOL, plan, series

TRAJECTORIES = 60
ONE_GROUP = {
    "age_groups": ["all"],
    "sizes": np.array([20_000_000]),
    "contacts": {"school": np.array([[3.0]]), "home": np.array([[2.5]])},
    "initial": {"S": "default", "I": [200_000], "R": [1_000_000], "V": None},
}
TWO_GROUPS = {
    "age_groups": ["0-17", "18+"],
    "sizes": np.array([8_000_000, 12_000_000]),
    "contacts": {"school": SCHOOL, "home": HOME},
    "initial": {"S": "default", "I": [150_000, 100_000], "R": [1_000_000, 3_000_000], "V": None},
}


def epidemic(groups=None, **changes) -> ModelPlan:
    """Return an S-I-R with a compartment of vaccinated people."""
    fields = {
        "compartments": ["S", "I", "R", "V"],
        "flows": [
            Flow("S", "I", "beta", "I"),
            Flow("I", "R", "gamma"),
        ],
        "parameters": {"beta": 0.07, "gamma": 0.25},
    }
    return plan(**fields | (groups or TWO_GROUPS) | changes)


def vaccinated(*eligible: str, **changes) -> ModelPlan:
    of = epidemic(**changes)
    return replace(of, flows=[*of.flows, Flow("S", "V", "", eligible=list(eligible))])


# -- the same in epydemix


@dataclass
class Reference:
    """A model in epydemix, and how it is changed.

    Attributes
    ----------
    beta, gamma : float or list of float
        A list has one value a time step.
    doses : list of list of float
        By time step and age group.
    change : function
        Changes the EpiModel by epydemix's own features.
    """

    beta: object = 0.07
    gamma: object = 0.25
    doses: list | None = None
    eligible: tuple[str, ...] = ()
    change: Callable[[EpiModel], None] = lambda model: None

    def model(self, like: ModelPlan) -> EpiModel:
        population = Population(name="small")
        population.add_population(like.sizes, like.age_groups)
        for layer, matrix in like.contacts.items():
            population.add_contact_matrix(matrix, layer_name=layer)
        model = EpiModel(name="small", compartments=["S", "I", "R", "V"])
        model.set_population(population)
        model.add_parameter(parameters_dict={"beta": self.beta, "gamma": self.gamma})
        model.add_transition("S", "I", kind="mediated", params=("beta", "I"))
        model.add_transition("I", "R", kind="spontaneous", params="gamma")
        if self.doses:
            model.register_transition_kind("given", doses_given)
            model.add_transition("S", "V", kind="given", params=(self.doses, self.eligible))
        self.change(model)
        return model

    def trajectory(self, like: ModelPlan, first: int = 0) -> Callable:
        model, dt = self.model(like), like.delta_t_days
        people = {c: np.array(init or 0) for c, init in like.initial.items() if init != "default"}
        people["S"] = like.sizes - sum(people.values())

        def one(rng: np.random.Generator) -> dict[str, np.ndarray]:
            found = simulate(
                model,
                start_date=pd.Timestamp(day(first)),
                end_date=pd.Timestamp(day(SIX_WEEKS - 1)) + pd.Timedelta(days=1 - min(dt, 1)),
                initial_conditions_dict=people,
                dt=dt,
                resample_frequency=None,
                rng=rng,
            )
            return {**found.compartments, **found.transitions}

        return one


def doses_given(params, data):
    """Return the rate at which the doses of a time step reach the people who share them."""
    doses, eligible = params
    rates = []
    for age, due in enumerate(doses[data["t"]]):
        people = sum(data["pop"][data["comp_indices"][name]][age] for name in eligible)
        rates.append(-math.log(1 - due / people) / data["dt"])
    return np.array(rates)


def balcan(days: float, lowest: float, highest: float) -> float:
    """Return the factor of Balcan et al. 2010 (eq. 25), highest on day 10 and lowest on day 40."""
    return lowest + (highest - lowest) * (1 + math.sin(2 * math.pi / 60 * (days - 10) + math.pi / 2)) / 2


def from_file(day_number: float) -> float:
    return 1.2 - 0.5 * (int(day_number) % 14) / 14


def doses_on(day_number: int) -> list[float]:
    return [20_000.0 + 500 * day_number, 60_000.0 if day_number % 7 < 5 else 10_000.0]


EARLIER = [150_000.0, 400_000.0]


# -- constructs


@dataclass
class Construct:
    """A plan with a schedule, and the same by epydemix."""

    of: ModelPlan
    reference: Reference
    first: int = 0
    draw: dict = field(default_factory=dict)

    @property
    def steps_a_week(self) -> int:
        return round(7 / self.of.delta_t_days)

    def ours(self, schedule: Schedule | None = None) -> dict[str, np.ndarray]:
        of = replace(self.of, schedule=schedule or self.of.schedule)
        simulator, end = Simulator(of), day(SIX_WEEKS - 1)
        return ensemble(
            lambda rng: series(of, simulator.run(self.draw, day(self.first), end, rng)),
            self.steps_a_week,
            seed=1,
            size=TRAJECTORIES,
        )

    def theirs(self) -> dict[str, np.ndarray]:
        one = self.reference.trajectory(self.of, self.first)
        return ensemble(one, self.steps_a_week, seed=2, size=TRAJECTORIES)


def wave(of: ModelPlan, lowest: float | str, highest: float) -> Wave:
    return Wave("beta", (1 + np.cos(np.pi / 30 * axis(of).days_after(day(10)))) / 2, lowest, highest)


def balcan_wave() -> Construct:
    of = epidemic()
    beta = [0.07 * balcan(d, 0.6, 1.4) for d in range(SIX_WEEKS)]
    return Construct(scheduled(of, wave=wave(of, 0.6, 1.4)), Reference(beta=beta))


def drawn_minimum() -> Construct:
    of = epidemic()
    beta = [0.07 * balcan(d, 0.3, 1.4) for d in range(SIX_WEEKS)]
    drawn = {"seasonality_min": 0.3}
    return Construct(scheduled(of, wave=wave(of, "seasonality_min", 1.4)), Reference(beta=beta), draw=drawn)


def wave_from_a_file() -> Construct:
    of, factor = epidemic(), np.array([from_file(d) for d in range(SIX_WEEKS)])
    beta = [0.07 * from_file(d) for d in range(SIX_WEEKS)]
    return Construct(scheduled(of, wave=Wave("beta", factor, 0.0, 1.0)), Reference(beta=beta))


def scaling() -> Construct:
    of = epidemic()
    factors = in_span(of, 7, 20, 0.7) * in_span(of, 14, 27, 0.9)
    beta = [0.07 * (0.7 if 7 <= d <= 20 else 1) * (0.9 if 14 <= d <= 27 else 1) for d in range(SIX_WEEKS)]
    return Construct(scheduled(of, factors={"beta": factors}), Reference(beta=beta))


def override() -> Construct:
    of = epidemic()

    def change(model: EpiModel) -> None:
        model.override_parameter("2025-01-15", "2025-01-28", "gamma", 0.4)

    overrides = {"gamma": in_span(of, 10, 23, 0.4, otherwise=np.nan)}
    return Construct(scheduled(of, overrides=overrides), Reference(change=change))


def layer_factor() -> Construct:
    of = epidemic()

    def change(model: EpiModel) -> None:
        model.add_intervention("home", "2025-01-12", "2025-02-08", reduction_factor=0.5)

    return Construct(
        scheduled(of, contact_factors={"home": in_span(of, 7, 34, 0.5)}), Reference(change=change)
    )


def closures() -> Construct:
    of = epidemic()

    def change(model: EpiModel) -> None:
        for first, last in (("01-10", "01-16"), ("01-20", "01-20"), ("01-27", "02-07")):
            model.add_intervention("school", f"2025-{first}", f"2025-{last}", reduction_factor=0.3)

    factors = in_span(of, 5, 11, 0.3) * in_span(of, 15, 15, 0.3) * in_span(of, 22, 33, 0.3)
    return Construct(scheduled(of, contact_factors={"school": factors}), Reference(change=change))


def vaccination(*eligible: str) -> Construct:
    doses = [doses_on(d) for d in range(SIX_WEEKS)]
    of = scheduled(vaccinated(*eligible), doses=np.array(doses))
    return Construct(of, Reference(doses=doses, eligible=eligible))


def late_start() -> Construct:
    """Return every construct together, in a trajectory that starts on Wednesday, day 17.

    Earlier doses are due until Saturday, day 20.
    """
    due = [doses_on(d) for d in range(SIX_WEEKS)]
    of = vaccinated("S")
    of = scheduled(
        of,
        wave=wave(of, 0.6, 1.4),
        factors={"beta": in_span(of, 20, 27, 0.8)},
        overrides={"gamma": in_span(of, 10, 23, 0.4, otherwise=np.nan)},
        contact_factors={"school": in_span(of, 22, 33, 0.3)},
        doses=np.array(due),
        doses_before=np.array(EARLIER),
    )

    def change(model: EpiModel) -> None:
        model.override_parameter("2025-01-15", "2025-01-28", "gamma", 0.4)
        model.add_intervention("school", "2025-01-27", "2025-02-07", reduction_factor=0.3)

    beta = [0.07 * balcan(d, 0.6, 1.4) * (0.8 if 20 <= d <= 27 else 1) for d in range(17, SIX_WEEKS)]
    doses = []
    for d in range(17, SIX_WEEKS):
        late = [EARLIER[age] + sum(due[before][age] for before in range(17)) for age in (0, 1)]
        doses.append([due[d][age] + (late[age] / 4 if d <= 20 else 0) for age in (0, 1)])
    reference = Reference(beta=beta, doses=doses, eligible=("S",), change=change)
    return Construct(of, reference, first=17, draw={"start_date": 17.0})


def one_age_group() -> Construct:
    """Return every construct together, in one age group."""
    of = vaccinated("S", "R", groups=ONE_GROUP)
    doses = [[sum(doses_on(d))] for d in range(SIX_WEEKS)]
    of = scheduled(
        of,
        wave=wave(of, 0.6, 1.4),
        factors={"beta": in_span(of, 7, 20, 0.8)},
        overrides={"gamma": in_span(of, 10, 23, 0.4, otherwise=np.nan)},
        contact_factors={"school": in_span(of, 22, 33, 0.3)},
        doses=np.array(doses),
    )

    def change(model: EpiModel) -> None:
        model.override_parameter("2025-01-15", "2025-01-28", "gamma", 0.4)
        model.add_intervention("school", "2025-01-27", "2025-02-07", reduction_factor=0.3)

    beta = [0.07 * balcan(d, 0.6, 1.4) * (0.8 if 7 <= d <= 20 else 1) for d in range(SIX_WEEKS)]
    return Construct(of, Reference(beta=beta, doses=doses, eligible=("S", "R"), change=change))


def half_days() -> Construct:
    """Return every construct together, in steps of half a day."""
    of = vaccinated("S", delta_t_days=0.5)
    of = scheduled(
        of,
        wave=wave(of, 0.6, 1.4),
        overrides={"gamma": in_span(of, 10, 23, 0.4, otherwise=np.nan)},
        contact_factors={"school": in_span(of, 5, 11, 0.3)},
        doses=np.array([doses_on(d) for d in range(SIX_WEEKS)]),
    )

    def change(model: EpiModel) -> None:
        model.override_parameter("2025-01-15", "2025-01-28 12:00", "gamma", 0.4)
        model.add_intervention("school", "2025-01-10", "2025-01-16 12:00", reduction_factor=0.3)

    steps = [step / 2 for step in range(2 * SIX_WEEKS)]
    beta = [0.07 * balcan(d, 0.6, 1.4) for d in steps]
    doses = [[due / 2 for due in doses_on(int(d))] for d in steps]
    return Construct(of, Reference(beta=beta, doses=doses, eligible=("S",), change=change))


def weeks() -> Construct:
    """Return every construct together, in steps of a week."""
    of = vaccinated("S", delta_t_days=7.0)
    of = scheduled(
        of,
        wave=wave(of, 0.6, 1.4),
        overrides={"gamma": in_span(of, 13, 23, 0.4, otherwise=np.nan)},
        contact_factors={"school": in_span(of, 21, 22, 0.3)},
        doses=np.array([doses_on(d) for d in range(SIX_WEEKS)]),
    )

    def change(model: EpiModel) -> None:
        model.override_parameter("2025-01-19", "2025-01-26", "gamma", 0.4)
        model.add_intervention("school", "2025-01-26", "2025-01-26", reduction_factor=0.3)

    first_days = range(0, SIX_WEEKS, 7)
    beta = [0.07 * balcan(d, 0.6, 1.4) for d in first_days]
    doses = [[sum(doses_on(d + i)[age] for i in range(7)) for age in (0, 1)] for d in first_days]
    return Construct(of, Reference(beta=beta, doses=doses, eligible=("S",), change=change))


CONSTRUCTS = {
    "Balcan wave": balcan_wave,
    "wave with a drawn minimum": drawn_minimum,
    "wave from a file": wave_from_a_file,
    "scaling": scaling,
    "override": override,
    "factor of a layer": layer_factor,
    "closures": closures,
    "vaccination of S": lambda: vaccination("S"),
    "vaccination of S and R": lambda: vaccination("S", "R"),
    "later start": late_start,
    "one age group": one_age_group,
    "half days": half_days,
    "weeks": weeks,
}


@cache
def construct(name: str) -> Construct:
    return CONSTRUCTS[name]()


@cache
def reference_ensemble(name: str) -> dict[str, np.ndarray]:
    return construct(name).theirs()


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_means_and_quantiles_are_those_of_epydemix(name):
    sigmas, where = difference(construct(name).ours(), reference_ensemble(name))

    assert sigmas < MOST_SIGMAS, where


def biased(schedule: Schedule) -> dict[str, Schedule]:
    """Return the schedule with each of its changes off by 2 %."""
    found = {}
    if schedule.wave:
        found["wave"] = replace(schedule, wave=replace(schedule.wave, shape=schedule.wave.shape * 1.02))
    for kind in ("factors", "overrides", "contact_factors"):
        changed = {name: np.where(v == 1, 1, v * 1.02) for name, v in getattr(schedule, kind).items()}
        if changed:
            found[kind] = replace(schedule, **{kind: changed})
    if schedule.doses is not None:
        found["doses"] = replace(schedule, doses=schedule.doses * 1.02)
    if schedule.doses_before is not None:
        found["earlier doses"] = replace(schedule, doses_before=schedule.doses_before * 1.02)
    return found


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_the_comparison_sees_a_bias_of_2_percent_in_what_changes(name):
    for changed, schedule in biased(construct(name).of.schedule).items():
        sigmas, where = difference(construct(name).ours(schedule), reference_ensemble(name))

        assert sigmas > 2 * MOST_SIGMAS, f"{changed}: {where}"
