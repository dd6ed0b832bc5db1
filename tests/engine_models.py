"""Models on which the engine is compared with epydemix: one a construct, in which 1 % in a rate is visible.

They start with many people in many places, so that chance moves a weekly count by less than that.
"""

import datetime
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
from epydemix import load_predefined_model
from epydemix.population import Population

from benchmarks.engines import flu
from modeling.engine.from_epydemix import plan_of
from modeling.workload import Flow, ModelPlan, Schedule, Wave
from tests.builds import workloads_in
from tests.experiments import POPULATION, write_repository
from tests.schedules import axis, day, scheduled
from tests.small_models import START, plan

WEEKS = 10
DAYS = 7 * WEEKS
AGES = ["0-4", "5-17", "18-49", "50-64", "65+"]
SIZES = np.array([1_100_000, 3_200_000, 18_000_000, 4_000_000, 3_900_000])  # one above 2 ** 24
ACTIVITY = np.array([0.8, 1.5, 1.1, 0.9, 0.6])
MIXED = 3.0 * np.outer(ACTIVITY, ACTIVITY * SIZES) / (ACTIVITY * SIZES).sum()
CONTACTS = {"school": np.diag([0.5, 4.0, 0.3, 0.0, 0.0]), "home": np.diag([1.0, 1.0, 1.5, 1.5, 1.0]) + MIXED}
CONTACTS_OFF = 0.03  # of the contacts of a layer, which are a part of all contacts


@dataclass(frozen=True)
class Case:
    """A plan, its days, and what a comparison of it must see when it is off by 1 %.

    Attributes
    ----------
    biased : dict of str to ModelPlan
        The same plan with one thing off.
    trajectories : int
        Of epydemix, in the short comparison.
    """

    of: ModelPlan
    biased: dict[str, ModelPlan]
    first_day: datetime.date = START
    days: int = DAYS
    draw: dict[str, float] = field(default_factory=dict)
    trajectories: int = 60

    @property
    def last_day(self) -> datetime.date:
        return self.first_day + datetime.timedelta(days=self.days - 1)


def epidemic(**changes) -> ModelPlan:
    """Return an S-E-I-R in five age groups, by weeks."""
    fields = {
        "age_groups": AGES,
        "sizes": SIZES,
        "contacts": CONTACTS,
        "compartments": ["S", "E", "I", "R"],
        "flows": [Flow("S", "E", "beta", "I"), Flow("E", "I", "sigma"), Flow("I", "R", "gamma")],
        "parameters": {"R0": 1.7, "sigma": 0.5, "gamma": 0.3},
        "calculated": [("beta", "R0 * gamma / eigenvalue")],
        "initial": {"S": "default", "E": 0.002, "I": 0.001, "R": 0.1},
        "resample_frequency": "W-SAT",
    }
    return plan(**fields | changes)


def off(of: ModelPlan, *names: str) -> dict[str, ModelPlan]:
    """Return the plan with one parameter off by 1 %, by name; a calculated one too."""
    found = {}
    for name in names:
        if name in of.parameters:
            found[name] = replace(of, parameters=of.parameters | {name: of.parameters[name] * 1.01})
        else:
            text = dict(of.calculated) | {name: f"1.01 * ({dict(of.calculated)[name]})"}
            found[name] = replace(of, calculated=list(text.items()))
    return found


def changes_off(of: ModelPlan) -> dict[str, ModelPlan]:
    """Return the plan with each of its changes over time off by 1 %, or by a part of a layer's contacts."""
    schedule: Schedule = of.schedule
    found = {}
    if schedule.wave:
        found["wave"] = replace(schedule, wave=replace(schedule.wave, maximum=schedule.wave.maximum * 1.01))
    for kind in ("factors", "overrides", "contact_factors"):
        for name, values in getattr(schedule, kind).items():
            off_by = CONTACTS_OFF if kind == "contact_factors" else 0.01 * values
            wrong = {name: np.where(values == 1, 1, values + off_by)}
            found[f"{kind} of {name}"] = replace(schedule, **{kind: getattr(schedule, kind) | wrong})
    if schedule.doses is not None:
        found["doses"] = replace(schedule, doses=schedule.doses * 1.01)
    return {name: replace(of, schedule=each) for name, each in found.items()}


def sir() -> Case:
    of = epidemic(
        age_groups=["all"],
        sizes=np.array([60_000_000]),
        contacts={"all": np.array([[6.0]])},
        compartments=["S", "I", "R"],
        flows=[Flow("S", "I", "beta", "I"), Flow("I", "R", "gamma")],
        initial={"S": "default", "I": 0.002, "R": None},
    )
    return Case(of, off(of, "beta", "gamma"))


def seirh() -> Case:
    flows = [
        Flow("S", "E", "beta", "I"),
        Flow("E", "I", "sigma"),
        Flow("I", "H", "gamma * severe"),
        Flow("I", "R", "gamma * (1 - severe)"),
        Flow("H", "R", 0.15),
    ]
    severe = np.array([0.02, 0.01, 0.03, 0.05, 0.2])
    of = epidemic(compartments=["S", "E", "I", "H", "R"], flows=flows)
    of = replace(of, parameters=of.parameters | {"severe": severe}, initial=of.initial | {"H": None})
    return Case(of, off(of, "beta", "sigma", "severe"))


def reported_by_day() -> Case:
    of = epidemic(resample_frequency=None)
    return Case(of, off(of, "beta"))


def interventions() -> Case:
    of = epidemic()
    of = scheduled(
        of,
        DAYS,
        factors={"beta": of_days(of, 14, 27, 0.8) * of_days(of, 21, 41, 0.9)},
        contact_factors={"school": of_days(of, 7, 34, 0.3), "home": of_days(of, 30, 50, 1.2)},
    )
    return Case(of, off(of, "beta") | changes_off(of))


def overrides() -> Case:
    of = epidemic(parameters={"beta": 0.07, "sigma": 0.5, "gamma": 0.3}, calculated=[])
    of = scheduled(
        of,
        DAYS,
        overrides={"gamma": of_days(of, 10, 23, 0.4, np.nan), "beta": of_days(of, 20, 40, 0.09, np.nan)},
    )
    return Case(of, off(of, "beta") | changes_off(of))


def seasonality() -> Case:
    of = epidemic()
    shape = (1 + np.cos(np.pi / 60 * np.arange(DAYS))) / 2
    of = scheduled(of, DAYS, wave=Wave("beta", shape, "lowest", 1.1))
    return Case(of, off(of, "beta") | changes_off(of), draw={"lowest": 0.6})


def vaccination() -> Case:
    flows = [
        Flow("S", "E", "beta", "I"),
        Flow("S", "V", "", eligible=["S", "E", "R"]),
        Flow("V", "E", "beta * 0.4", "I"),
        Flow("E", "I", "sigma"),
        Flow("I", "R", "gamma"),
    ]
    of = epidemic(compartments=["S", "E", "I", "R", "V"], flows=flows)
    of = replace(of, initial=of.initial | {"V": None})
    doses = SIZES * (0.004 + 0.002 * np.sin(np.arange(DAYS) / 9))[:, None]
    of = scheduled(of, DAYS, doses=doses, doses_before=0.02 * SIZES)
    return Case(of, off(of, "beta") | changes_off(of))


def waning() -> Case:
    of = epidemic()
    of = replace(of, flows=[*of.flows, Flow("R", "S", "waning")], parameters=of.parameters | {"waning": 0.02})
    return Case(of, off(of, "beta", "waning"))


def two_strains() -> Case:
    flows = [
        Flow("S", "I1", "beta", "I1"),
        Flow("S", "I2", "beta * fitter", "I2"),
        Flow("I1", "R1", "gamma"),
        Flow("I2", "R2", "gamma"),
        Flow("R1", "J2", "beta * fitter * crossed", "I2"),
        Flow("R1", "J2", "beta * fitter * crossed", "J2"),
        Flow("S", "I2", "beta * fitter", "J2"),
        Flow("J2", "R2", "gamma"),
    ]
    of = epidemic(
        compartments=["S", "I1", "I2", "R1", "R2", "J2"],
        flows=flows,
        parameters={"R0": 1.6, "gamma": 0.3, "fitter": 1.2, "crossed": 0.5},
        initial={"S": "default", "I1": 0.004, "I2": 0.001, "R1": 0.1, "R2": None, "J2": None},
    )
    return Case(of, off(of, "beta", "fitter", "crossed"))


def everything(delta_t_days: float) -> Case:
    """Return all changes together, in other steps than a day, from a later start."""
    case = vaccination()
    of = replace(case.of, delta_t_days=delta_t_days)
    days = DAYS + 7
    points = axis(of, days).num_points
    shape = (1 + np.cos(np.linspace(0, 2, points))) / 2
    length = axis(of, days).num_days
    of = scheduled(
        of,
        days,
        wave=Wave("beta", shape, 0.7, 1.1),
        factors={"beta": of_days(of, 20, 34, 0.8, length=days)},
        overrides={"gamma": of_days(of, 15, 29, 0.35, np.nan, length=days)},
        contact_factors={"school": of_days(of, 28, 41, 0.3, length=days)},
        doses=np.tile(0.004 * SIZES, (length, 1)),
        doses_before=0.02 * SIZES,
    )
    later = START + datetime.timedelta(days=7)
    biased = off(of, "beta") | changes_off(of)
    return Case(of, biased, first_day=later, trajectories=240 if delta_t_days > 1 else 60)


def converted() -> Case:
    """Return an epydemix model with what only epydemix has: values by age and time, a matrix for a while."""
    population = Population(name="five ages")
    population.add_population(SIZES, AGES)
    for layer, matrix in CONTACTS.items():
        population.add_contact_matrix(matrix, layer_name=layer)
    model = load_predefined_model("SEIR", incubation_rate=0.5, vaccination=True, waning_immunity=True)
    model.set_population(population)
    rising = 0.05 + 0.02 * np.sin(np.arange(DAYS) / 20)
    model.add_parameter("transmission_rate", rising[:, None] * [[0.8, 1.2, 1.0, 1.0, 0.9]])
    model.override_parameter(day(20), day(30), "recovery_rate", [[0.2, 0.3, 0.25, 0.2, 0.15]])
    model.add_intervention("home", day(25), day(45), new_matrix=0.9 * CONTACTS["home"])
    model.add_intervention("school", day(30), day(60), reduction_factor=0.5)
    people = {"Exposed": 0.002 * SIZES, "Infected": 0.001 * SIZES, "Recovered": 0.1 * SIZES}
    people = {compartment: number.astype(int) for compartment, number in people.items()}
    people["Susceptible"] = SIZES - sum(people.values())
    of = plan_of(model, START, day(DAYS - 1), resample_frequency="W-SAT", initial_conditions=people)
    off_factors = {name: 1.01 * values for name, values in of.schedule.factors.items()}
    beta = replace(of, schedule=replace(of.schedule, factors=off_factors))
    return Case(of, off(of, "vaccination_rate", "incubation_rate") | {"transmission_rate": beta})


def of_days(
    of: ModelPlan, first: int, last: int, value: float, otherwise: float = 1.0, length: int = DAYS
) -> np.ndarray:
    """Return an array of a schedule with a value on the days `first` to `last` after START."""
    return np.where(axis(of, length).between(day(first), day(last)), value, otherwise)


def of_experiment(three_ages: bool, days: int = 98) -> Case:
    """Return the flu model of the benchmarks as stage A builds it, in a place of 20 times as many people."""
    last_day = flu.FIRST_DAY + datetime.timedelta(days=days - 1)
    experiment = flu.simulated(POPULATION, last_day=last_day)
    experiment = flu.in_three_ages(experiment) if three_ages else experiment
    with tempfile.TemporaryDirectory() as folder:
        config = write_repository(Path(folder), experiment)
        flu.write_coverage(Path(folder), "Vermont")
        [workload] = workloads_in(config)
    of, schedule = workload.plan, workload.plan.schedule
    of = replace(
        of,
        sizes=20 * of.sizes,
        initial=of.initial | {"L": 0.005},
        schedule=replace(schedule, doses=20 * schedule.doses, doses_before=20 * schedule.doses_before),
    )
    biased = off(of, "beta", "severe", "leaky") | changes_off(of)
    del biased["contact_factors of school"]  # schools are closed on a few days of these weeks
    return Case(of, biased, first_day=workload.start_date, days=days)


CASES: dict[str, Callable[[], Case]] = {
    "SIR": sir,
    "SEIRH": seirh,
    "reported by day": reported_by_day,
    "interventions": interventions,
    "overrides": overrides,
    "seasonality": seasonality,
    "vaccination": vaccination,
    "waning": waning,
    "two strains": two_strains,
    "half days": lambda: everything(0.5),
    "weeks": lambda: everything(7.0),
    "converted from epydemix": converted,
    "flu in five ages": lambda: of_experiment(three_ages=False),
    "flu in three ages": lambda: of_experiment(three_ages=True),
}


@cache
def case_of(name: str) -> Case:
    return CASES[name]()
