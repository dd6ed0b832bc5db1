"""A plan made of an epydemix model has its rates, and so its trajectories, number by number."""

import datetime
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from epydemix import EpiModel, load_predefined_model
from epydemix.model import simulate
from epydemix.population import Population

from modeling.engine.from_epydemix import plan_of
from modeling.engine.plan import Keys, Observables, compile_plan
from modeling.failures import UserError
from modeling.simulate.with_epydemix.simulator import Simulator
from tests.small_models import HOME, SCHOOL, SIZES, START, series

DAYS = 42
END = START + datetime.timedelta(days=DAYS - 1)
PREDEFINED = [
    {"model_name": "SIR"},
    {"model_name": "SIR", "waning_immunity": True, "outcome": "deaths", "mortality_rate": 0.2},
    {"model_name": "SEIR"},
    {"model_name": "SEIR", "vaccination": True, "outcome": "hospitalization", "waning_immunity": True},
    {"model_name": "SIS"},
    {"model_name": "SIS", "vaccination": True},
    {"model_name": "SEIAR", "waning_immunity": True, "vaccination": True},
]


def in_two_groups(model: EpiModel, sizes: np.ndarray = SIZES) -> EpiModel:
    """Give a model the population of tests/small_models.py, and an epidemic of some weeks."""
    population = Population(name="small")
    population.add_population(sizes, ["0-17", "18+"])
    population.add_contact_matrix(SCHOOL, layer_name="school")
    population.add_contact_matrix(HOME, layer_name="home")
    model.set_population(population)
    if "transmission_rate" in model.parameters:
        model.parameters["transmission_rate"] = 0.08
    return model


def seir() -> EpiModel:
    return in_two_groups(load_predefined_model("SEIR"))


PEOPLE = {"Susceptible": SIZES - [22, 30], "Exposed": [10, 10], "Infected": [12, 20]}


def trajectories(model: EpiModel, dt: float = 1.0, frequency: str | None = None, people=None, **converted):
    """Return the same trajectory by epydemix, and by the plan of the model."""
    last = pd.Timestamp(END) + pd.Timedelta(days=max(0.0, 1 - dt))  # the last day has all its steps
    theirs = simulate(
        model,
        start_date=pd.Timestamp(START),
        end_date=last,
        dt=dt,
        resample_frequency=frequency,
        initial_conditions_dict=people,
        rng=np.random.default_rng(5),
    )
    plan = plan_of(
        model, START, last, dt=dt, resample_frequency=frequency, initial_conditions=people, **converted
    )
    path = Simulator(plan).run({}, START, END, np.random.default_rng(5))
    return {**theirs.compartments, **theirs.transitions}, series(plan, path)


def assert_equal(theirs: dict, ours: dict) -> None:
    assert list(ours) == list(theirs)
    assert all(np.array_equal(ours[name], values) for name, values in theirs.items())
    assert sum(values.sum() for name, values in theirs.items() if "_to_" in name) > 100


@pytest.mark.parametrize("options", PREDEFINED, ids=lambda options: " ".join(map(str, options.values())))
def test_a_predefined_model_has_the_trajectories_of_epydemix(options):
    model = in_two_groups(load_predefined_model(**options), 100 * SIZES + 1)

    assert_equal(*trajectories(model))  # from epydemix's own start, which loses people by rounding


@pytest.mark.parametrize(
    ("dt", "frequency"), [(1.0, "W-SAT"), (0.5, None), (0.25, "D"), (2.0, None), (7.0, None)]
)
def test_steps_and_reported_dates_are_those_of_epydemix(dt, frequency):
    assert_equal(*trajectories(seir(), dt, frequency, PEOPLE))


def wave(steps: int) -> np.ndarray:
    return 0.08 + 0.03 * np.sin(np.arange(steps) / 5)


def by_age_over_time(model: EpiModel, steps: int) -> None:
    model.parameters["transmission_rate"] = wave(steps)[:, None] * [[0.8, 1.3]]


def overrides(model: EpiModel, steps: int) -> None:
    model.override_parameter("2025-01-10", "2025-01-20", "transmission_rate", 0.02)
    model.override_parameter("2025-01-18", "2025-01-30", "recovery_rate", 0.5)
    model.override_parameter("2025-01-18", "2025-01-22", "transmission_rate", 0.15)  # the later one wins
    model.override_parameter("2023-01-18", "2023-01-22", "transmission_rate", 0.15)  # never


def overrides_by_age(model: EpiModel, steps: int) -> None:
    model.parameters["recovery_rate"] = [[0.1, 0.3]]
    model.override_parameter("2025-01-10", "2025-01-14", "recovery_rate", [[0.5, 0.05]])
    model.override_parameter("2025-01-20", "2025-02-05", "recovery_rate", 0.07)


def override_of_a_wave(model: EpiModel, steps: int) -> None:
    model.parameters["transmission_rate"] = wave(steps)
    model.parameters["incubation_rate"] = np.append(2 * wave(steps), 9.0)  # epydemix takes longer ones
    during = pd.date_range("2025-01-12", "2025-01-19", freq=f"{DAYS / steps}D")
    model.override_parameter("2025-01-12", "2025-01-19", "transmission_rate", wave(len(during)) / 3)


def interventions(model: EpiModel, steps: int) -> None:
    model.add_intervention("school", "2025-01-10", "2025-01-25", reduction_factor=0.2)
    model.add_intervention("school", "2025-01-20", "2025-02-02", reduction_factor=0.5)
    model.add_intervention("home", "2025-01-15", "2025-01-30", new_matrix=HOME.T * 1.5)


def a_matrix_for_a_while(model: EpiModel, steps: int) -> None:
    model.add_intervention("home", "2025-01-08", "2025-01-12", reduction_factor=0.3)
    model.add_intervention("home", "2025-01-10", "2025-01-30", new_matrix=2 * HOME)
    model.add_intervention("camp", "2025-01-20", "2025-01-24", new_matrix=SCHOOL)  # a layer of its own


def expressions(model: EpiModel, steps: int) -> None:
    model.parameters |= {"lambda": 0.09, "_share": 0.3, "eigenvalue": 0.4, "reduced": wave(steps) * 4}
    model.parameters["severity"] = np.array([[0.1, 0.6]])
    model.add_compartments(["Ward"])
    model.add_transition("Susceptible", "Exposed", "mediated", ("lambda", "Ward"))
    model.add_transition("Infected", "Ward", "spontaneous", "recovery_rate*-(1 - severity) % 0.2**reduced")
    model.add_transition("Ward", "Recovered", "spontaneous", "eigenvalue")
    model.add_transition("Ward", "Exposed", "spontaneous", "_share")
    model.add_transition("Ward", "Susceptible", "spontaneous", np.array([0.02, 0.1]))
    model.add_transition("Exposed", "Recovered", "spontaneous", 0.05)
    by_age_over_time(model, steps)


@pytest.mark.parametrize("dt", [1.0, 0.5])
@pytest.mark.parametrize(
    "change",
    [
        by_age_over_time,
        overrides,
        overrides_by_age,
        override_of_a_wave,
        interventions,
        a_matrix_for_a_while,
        expressions,
    ],
    ids=lambda change: change.__name__,
)
def test_what_changes_has_the_trajectories_of_epydemix(change, dt):
    model = seir()
    unchanged, _ = trajectories(model, dt, people=PEOPLE)
    change(model, round(DAYS / dt))

    theirs, ours = trajectories(model, dt, people=PEOPLE)

    assert_equal(theirs, ours)
    assert any(not np.array_equal(theirs[name], values) for name, values in unchanged.items())


def test_a_matrix_that_is_replaced_and_reduced_is_reduced_once():
    model = seir()
    model.add_intervention("home", "2025-01-10", "2025-01-30", new_matrix=2 * HOME)
    model.add_intervention("home", "2025-01-12", "2025-01-14", reduction_factor=0.5)

    plan = plan_of(model, START, END)

    in_force = plan.schedule.contact_factors["home of intervention 1"]
    assert in_force.tolist() == [0.0] * 5 + [1.0] * 2 + [0.5] * 3 + [1.0] * 16 + [0.0] * 16
    assert plan.schedule.contact_factors["home"].tolist() == [1.0] * 5 + [0.0] * 21 + [1.0] * 16


def test_a_drawn_parameter_has_the_value_of_its_draw_except_where_it_is_overridden():
    model = seir()
    del model.parameters["transmission_rate"]
    model.override_parameter("2025-01-18", "2025-01-30", "transmission_rate", 0.02)
    theirs = simulate(
        model,
        start_date=START,
        end_date=END,
        resample_frequency=None,
        initial_conditions_dict=PEOPLE,
        rng=np.random.default_rng(5),
        transmission_rate=0.09,
    )

    plan = plan_of(model, START, END, drawn=["transmission_rate"], initial_conditions=PEOPLE)

    path = Simulator(plan).run({"transmission_rate": 0.09}, START, END, np.random.default_rng(5))
    assert_equal({**theirs.compartments, **theirs.transitions}, series(plan, path))
    assert "transmission_rate" not in plan.parameters


def test_a_model_that_does_not_change_has_no_schedule():
    plan = plan_of(seir(), "2025-01-05", pd.Timestamp(END), initial_conditions=PEOPLE)

    assert plan.schedule is None
    assert plan.parameters == {"transmission_rate": 0.08, "incubation_rate": 0.2, "recovery_rate": 0.1}
    assert plan.initial["Exposed"] == [10, 10]
    assert plan.initial["Recovered"] == [0, 0]


def test_people_without_contacts_move_on_their_own():
    model = in_two_groups(EpiModel(compartments=["A", "B"], parameters={"r": 0.1}))
    model.add_transition("A", "B", "spontaneous", "r")
    model.population.contact_matrices = {}

    plan = plan_of(model, START, END, initial_conditions={"A": 100})

    path = Simulator(plan).run({}, START, END, np.random.default_rng(1))
    assert 180 < series(plan, path)["A_to_B_total"].sum() <= 200


def test_an_age_group_of_nobody_infects_nobody():
    model, people = seir(), {"Susceptible": [0, 600], "Infected": [0, 20]}
    counts = []
    for sizes in ([0, 620], [1, 620]):  # epydemix divides by the people of each age group
        in_two_groups(model, np.array(sizes))
        plan = plan_of(model, START, END, initial_conditions=people)
        observables = Observables(["Susceptible_18+"], [["Susceptible_to_Exposed_0-17"]])
        done = compile_plan(plan, START, END).simulate({}, Keys(1, np.arange(9)), None, observables)
        counts.append((done.in_compartments, done.by_transition))

    assert np.array_equal(counts[0][0], counts[1][0])
    assert 100 < counts[0][0][:, 0, -1].mean() < 590
    assert not counts[0][1].any()


# -- what has no plan


def changed(change) -> EpiModel:
    model = seir()
    change(model)
    return model


def by_a_function(model: EpiModel) -> None:
    def campaign(params, data):
        return 0.1

    model.register_transition_kind("campaign", campaign)
    model.add_transition("Susceptible", "Recovered", "campaign", None)


def other_mediated(model: EpiModel) -> None:
    def frequency(params, data):
        return 0.1

    model.register_transition_kind("mediated", frequency)


REFUSED = {
    "a function": (
        by_a_function,
        r'transition 4, Susceptible -> Recovered: kind "campaign" is the Python function .*campaign; '
        r"simulate this model with epydemix$",
    ),
    "another function of a known kind": (
        other_mediated,
        'transition 1, .*kind "mediated" is the Python func',
    ),
    "scheduled": (
        lambda m: m.add_transition(
            "Susceptible", "Recovered", "scheduled", (np.ones((DAYS, 2)), ["Exposed"])
        ),
        'transition 4, Susceptible -> Recovered: kind "scheduled" takes doses / eligible people as a rate',
    ),
    "too short": (
        lambda m: m.add_parameter("recovery_rate", np.full(DAYS - 1, 0.1)),
        r'parameter "recovery_rate" has shape \(41,\) where there are 42 time steps and 2 age groups$',
    ),
    "ages without an axis": (
        lambda m: m.add_parameter("recovery_rate", [0.1, 0.2]),
        r"shape \(2,\) .*; one value an age group has shape \(1, groups\)$",
    ),
    "three axes": (
        lambda m: m.add_parameter("x", np.ones((1, 2, 2))),
        r'parameter "x" has shape \(1, 2, 2\)',
    ),
    "text": (lambda m: m.add_parameter("x", "0.1"), "parameter \"x\" is '0.1', not a number"),
    "not finite": (lambda m: m.add_parameter("x", np.nan), 'parameter "x" has values that are not finite'),
    "unknown name": (
        lambda m: m.add_transition("Exposed", "Recovered", "spontaneous", "recovry_rate * 2"),
        r'transition 4, Exposed -> Recovered: .*"recovry_rate".*did you mean "recovery_rate"',
    ),
    "no arithmetic": (
        lambda m: m.add_transition("Exposed", "Recovered", "spontaneous", "recovery_rate > 0.1"),
        'transition 4, Exposed -> Recovered: .*"recovery_rate > 0.1" is not allowed',
    ),
    "a rate of three ages": (
        lambda m: m.add_transition("Exposed", "Recovered", "spontaneous", np.ones(3)),
        r"transition 4, Exposed -> Recovered: the rate has shape \(3,\) for 2 age groups",
    ),
    "no mediator": (
        lambda m: m.add_transition("Exposed", "Recovered", "mediated", ("recovery_rate", "Nobody")),
        "transition 4, .*are not a rate and a compartment",
    ),
    "a circle": (
        lambda m: m.add_transition("Exposed", "Exposed", "spontaneous", 0.1),
        "transition 4, Exposed -> Exposed: it leads back to its source",
    ),
    "override of nothing": (
        lambda m: m.override_parameter("2025-01-10", "2025-01-12", "recovery", 1.0),
        'an override of "recovery", which is not a parameter',
    ),
    "short override": (
        lambda m: m.override_parameter("2025-01-10", "2025-01-12", "recovery_rate", [1.0, 2.0]),
        r'override 1 of parameter "recovery_rate" has shape \(2,\) where there are 3 time steps',
    ),
    "unknown layer": (
        lambda m: m.add_intervention("schol", "2025-01-10", "2025-01-12", reduction_factor=0.5),
        'intervention 1: "schol" is not a layer of contacts .*did you mean "school"',
    ),
    "negative factor": (
        lambda m: m.add_intervention("school", "2025-01-10", "2025-01-12", reduction_factor=-0.5),
        "intervention 1: the reduction_factor -0.5 is not a number from 0 on",
    ),
    "wrong matrix": (
        lambda m: m.add_intervention("school", "2025-01-10", "2025-01-12", new_matrix=np.ones((3, 3))),
        r"intervention 1: new_matrix has shape \(3, 3\) where there are 2 age groups",
    ),
    "no transition": (lambda m: m.clear_transitions(), "the model has no transitions"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_plan_is_refused_with_its_place(change, message):
    model = changed(change)

    with pytest.raises(UserError, match=message) as refused:
        plan_of(model, START, END, initial_conditions=PEOPLE)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dt": 0.3}, "dt 0.3: a time step is a whole number of days, or a whole part of a day"),
        ({"dt": 0}, "dt 0: a time step"),
        ({"dt": 1.5}, "dt 1.5: a time step"),
        ({"end_date": "2024-12-31"}, "end_date 2024-12-31 is before start_date 2025-01-05"),
        ({"start_date": "2025-01-05 12:00"}, "start_date 2025-01-05 12:00:00: a simulation starts at 0:00"),
        ({"resample_frequency": "quarterly"}, 'resample_frequency "quarterly" is none of D'),
        ({"initial_conditions": {"Ill": 3}}, 'the model has no compartment "Ill"'),
        ({"initial_conditions": {"Infected": [1, 2, 3]}}, r"Infected has shape \(3,\) for 2 age groups"),
        ({"initial_conditions": {"Infected": -1}}, "Infected cannot start with -1.0 people"),
        ({"initial_conditions": {"Infected": 500}}, 'place 500 people where .* 400, in age group "0-17"'),
        ({"drawn": ["lambda"]}, 'parameter "lambda" is drawn, but its name'),
    ],
)
def test_wrong_arguments_are_refused(given, message):
    arguments = {"start_date": START, "end_date": END, "initial_conditions": PEOPLE} | given

    with pytest.raises(UserError, match=message):
        plan_of(seir(), **arguments)


def test_the_converter_loads_neither_epydemix_nor_pandas():
    code = "import modeling.engine.from_epydemix, sys; print({'epydemix', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_the_plan_of_a_later_start_keeps_its_dates():
    model = seir()
    overrides(model, DAYS)
    plan = plan_of(model, START, END, initial_conditions=PEOPLE)
    late = START + datetime.timedelta(days=10)
    again = plan_of(model, late, END, initial_conditions=PEOPLE)

    ours = Simulator(plan).run({}, late, END, np.random.default_rng(2))
    theirs = Simulator(again).run({}, late, END, np.random.default_rng(2))

    assert np.array_equal(ours.in_compartments, theirs.in_compartments)
