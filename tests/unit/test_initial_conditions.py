"""Everybody is somewhere on the first day, in whole people, and nobody is twice."""

import re

import numpy as np
import pytest
from epydemix.model import EpiModel
from epydemix.population import Population

from modeling.default_start import default_start
from modeling.failures import UserError
from modeling.initial import InfeasibleDraw, initial_people, initial_people_of, people_of_plan
from modeling.workload import Flow, ModelPlan
from tests.small_models import plan

SIZES = np.array([10, 30, 60])


def people(initial: dict, draw: dict | None = None, sizes=SIZES) -> dict[str, list[int]]:
    placed = initial_people(initial, np.asarray(sizes), draw or {})
    assert sum(placed.values()).tolist() == list(sizes)
    assert all(p.dtype.kind == "i" and (p >= 0).all() for p in placed.values())
    return {compartment: p.tolist() for compartment, p in placed.items()}


def test_a_count_is_spread_by_the_size_of_the_age_groups():
    assert people({"S": "default", "I": 20})["I"] == [2, 6, 12]


def test_a_count_keeps_its_total_when_it_is_rounded():
    assert people({"S": "default", "I": 5})["I"] == [1, 1, 3]  # 0.5, 1.5, 3: the first of equal remainders
    assert people({"S": "default", "I": 1})["I"] == [0, 0, 1]
    assert sum(people({"S": "default", "I": 7})["I"]) == 7


def test_a_share_is_taken_from_every_age_group():
    assert people({"S": "default", "R": 0.25})["R"] == [3, 7, 15]  # 2.5, 7.5, 15: 25 people


def test_a_small_share_keeps_its_total_over_the_age_groups():
    sizes = [30_000, 90_000, 250_000, 130_000, 140_000]

    assert people({"S": "default", "I": 9.4e-6}, sizes=sizes)["I"] == [0, 1, 3, 1, 1]  # 6.0 people
    assert people({"S": "default", "I": [9.4e-6] * 5}, sizes=sizes)["I"] == [0, 1, 3, 1, 1]
    assert sum(people({"S": "default", "I": "sampled"}, {"I": 9.4e-6}, sizes)["I"]) == 6


@pytest.mark.parametrize("share", [0, 1e-9, 7e-7, 8e-7, 1e-5, 0.0031, 0.1, 1 / 3, 0.5, 0.999999])
def test_a_share_of_the_people_is_that_many_people(share):
    sizes = [3, 7, 101, 31, 643_123]

    assert sum(people({"S": "default", "I": share}, sizes=sizes)["I"]) == round(share * sum(sizes))


def test_a_list_holds_a_count_or_a_share_for_each_age_group():
    assert people({"S": "default", "I": [4, 0.5, 0]})["I"] == [4, 15, 0]


def test_one_is_a_person_and_not_everybody():
    assert sum(people({"S": "default", "I": 1.0})["I"]) == 1


def test_the_default_compartment_has_who_is_left():
    assert people({"S": "default", "I": 10, "R": 0.5, "D": None})["S"] == [4, 12, 24]


def test_several_default_compartments_share_who_is_left_and_the_first_have_the_odd_one():
    placed = people({"S": "default", "V": "default", "W": "default", "I": [0, 1, 0]})

    assert placed["S"] == [4, 10, 20]
    assert placed["V"] == [3, 10, 20]
    assert placed["W"] == [3, 9, 20]


def test_a_drawn_value_takes_the_place_of_its_word():
    initial = {"S": "default", "I": "calibrated", "R": "sampled"}

    placed = people(initial, {"I": 20, "R": 0.1})

    assert placed == {"S": [7, 21, 42], "I": [2, 6, 12], "R": [1, 3, 6]}


def test_a_draw_changes_nothing_that_has_a_value_of_its_own():
    assert people({"S": "default", "I": 20}, {"I": 50})["I"] == [2, 6, 12]


@pytest.mark.parametrize("shares", [[0.5, 0.5], [1 / 3, 1 / 3, 1 / 3], [0.1] * 10, [0.15, 0.35, 0.25, 0.25]])
def test_shares_that_add_up_to_one_fit_whatever_the_sizes(shares):
    initial = {"S": "default"} | {f"C{i}": share for i, share in enumerate(shares)}

    placed = people(initial, sizes=[3, 7, 101, 143_123])

    exact = np.array([[share * size for size in (3, 7, 101, 143_123)] for share in shares])
    assert np.abs(np.array([placed[f"C{i}"] for i in range(len(shares))]) - exact).max() <= 2


def test_counts_that_add_up_to_everybody_fit():
    placed = people({"S": "default", "I": 53, "R": 52}, sizes=[3, 101, 1])

    assert placed["S"] == [0, 0, 0]


def test_random_conditions_place_everybody_once():
    rng = np.random.default_rng(1)
    for _ in range(300):
        sizes = rng.integers(1, 500, size=4)
        shares = rng.dirichlet(np.ones(3)) * 0.999
        count = max(1.0, shares[1] * sizes.sum() * 0.9)

        people({"S": "default", "A": shares[0] * 0.9, "B": count, "C": [shares[2] * 0.9] * 4}, sizes=sizes)


def test_more_people_than_there_are_is_told_with_both_numbers():
    with pytest.raises(UserError, match="place 11 people where there are 10"):
        initial_people({"S": "default", "I": [11, 0, 0]}, SIZES, {})
    with pytest.raises(UserError, match="place 66 people where there are 60"):
        initial_people({"S": "default", "I": 0.6, "R": 50}, SIZES, {})


@pytest.mark.parametrize("value", [101, 1e12, -5, -0.1, np.inf, np.nan])
def test_a_draw_that_no_population_can_have_is_infeasible_not_a_mistake(value):
    with pytest.raises(InfeasibleDraw):
        initial_people({"S": "default", "I": "calibrated"}, SIZES, {"I": value})


def test_a_negative_draw_is_told_as_what_it_is():
    with pytest.raises(InfeasibleDraw, match="I cannot start with -5 people"):
        initial_people({"S": "default", "I": "calibrated"}, SIZES, {"I": -5})


# -- many particles at once

MANY = 200
AGES = ["0-17", "18-64", "65+"]
DRAWN = {"S": "default", "V": "default", "A": 0.1, "I": "calibrated", "R": "sampled", "H": [2, 0.05, 0]}


def random_draws(seed: int = 2) -> dict[str, np.ndarray]:
    """Return shares and counts, some of which no population can have."""
    rng = np.random.default_rng(seed)
    counts, shares = rng.uniform(1, 60, MANY), rng.uniform(-0.05, 0.8, MANY)
    return {"I": np.where(rng.random(MANY) < 0.5, counts, shares), "R": rng.uniform(0, 0.5, MANY)}


def test_each_of_many_particles_starts_as_if_it_were_alone():
    draws = random_draws()

    people, infeasible = initial_people_of(DRAWN, SIZES, draws, MANY, AGES)

    assert people.shape == (MANY, len(DRAWN), len(SIZES))
    assert 10 < len(infeasible) < MANY - 50
    for particle in range(MANY):
        draw = {name: float(values[particle]) for name, values in draws.items()}
        if particle in infeasible:
            with pytest.raises(InfeasibleDraw, match=re.escape(infeasible[particle])):
                initial_people(DRAWN, SIZES, draw, AGES)
        else:
            alone = initial_people(DRAWN, SIZES, draw, AGES)
            assert people[particle].tolist() == [each.tolist() for each in alone.values()]


def test_many_particles_are_placed_by_largest_remainder():
    sizes = np.array([3, 7, 101, 31, 643])
    shares = np.random.default_rng(3).uniform(0, 0.99, MANY)

    people, infeasible = initial_people_of({"S": "default", "I": "sampled"}, sizes, {"I": shares}, MANY)

    assert not infeasible
    assert (people.sum(axis=1) == sizes).all()
    for placed, share in zip(people[:, 1], shares, strict=True):
        exact = share * sizes
        order = sorted(range(5), key=lambda group: np.floor(exact[group]) - exact[group])
        up = order[: round(exact.sum()) - int(np.floor(exact).sum())]
        assert placed.tolist() == [int(np.floor(e)) + (g in up) for g, e in enumerate(exact)]


def test_particles_that_cannot_start_are_named_with_the_value_or_the_age_group():
    draws = {"I": np.array([-5.0, 20.0, 5_000.0, np.nan]), "R": np.array([0.1, 0.1, 0.1, 0.1])}

    _, infeasible = initial_people_of(
        {"S": "default", "I": "calibrated", "R": "sampled"}, SIZES, draws, 4, AGES
    )

    assert infeasible == {
        0: "I cannot start with -5.0 people",
        2: 'initial conditions place 3006 people where there are 60 in age group "65+"',
        3: "I cannot start with nan people",
    }


def test_one_row_is_enough_where_no_compartment_is_drawn():
    people, infeasible = initial_people_of({"S": "default", "I": 20}, SIZES, {"R0": np.ones(9)}, 9)

    assert people.tolist() == [[[8, 24, 48], [2, 6, 12]]]
    assert not infeasible


def test_a_start_does_not_depend_on_the_other_particles():
    draws = random_draws(seed=4)
    whole, infeasible = initial_people_of(DRAWN, SIZES, draws, MANY, AGES)

    for first, last in ((0, 1), (1, 90), (90, MANY)):
        part = {name: values[first:last] for name, values in draws.items()}
        people, not_these = initial_people_of(DRAWN, SIZES, part, last - first, AGES)
        assert people.tobytes() == whole[first:last].tobytes()
        assert not_these == {p - first: why for p, why in infeasible.items() if first <= p < last}


# -- a model without any init


def epydemix_default(of: ModelPlan) -> dict[str, np.ndarray]:
    """Return epydemix's start for the transitions of a plan; people that it loses are in the largest."""
    model = EpiModel(compartments=of.compartments)
    population = Population(name="small")
    population.add_population(Nk=of.sizes, Nk_names=of.age_groups)
    model.set_population(population)
    for flow in of.flows:
        kind = "spontaneous" if flow.mediator is None else "mediated"
        params = 0.1 if flow.mediator is None else (0.1, flow.mediator)
        model.add_transition(flow.source, flow.target, kind=kind, params=params)
    people = model.create_default_initial_conditions()
    people[max(people, key=lambda name: people[name].sum())] += of.sizes - sum(people.values())
    return people


def without_init(*flows: Flow, sizes=(1_234_567, 7_654_321)) -> ModelPlan:
    names = list(dict.fromkeys(name for flow in flows for name in (flow.source, flow.target)))
    initial = dict.fromkeys(names)
    return plan(compartments=names, flows=list(flows), initial=initial, sizes=np.array(sizes))


INFECTION, RECOVERY, WANING = Flow("S", "I", 0.1, "I"), Flow("I", "R", 0.1), Flow("R", "S", 0.1)
WITHOUT_INIT = {
    "SIR": without_init(INFECTION, RECOVERY),
    "SIS": without_init(INFECTION, Flow("I", "S", 0.1)),
    "SIRS": without_init(INFECTION, RECOVERY, WANING),
    "two kinds of infectious": without_init(
        Flow("S", "L", 0.1, "I"), Flow("S", "L", 0.1, "A"), Flow("L", "I", 0.1), Flow("L", "A", 0.1), RECOVERY
    ),
    "two strains": without_init(INFECTION, Flow("S", "J", 0.1, "J"), RECOVERY, Flow("J", "R", 0.1), WANING),
    "vaccination": without_init(INFECTION, RECOVERY, Flow("S", "V", 0.1), Flow("V", "I", 0.1, "I")),
    "vaccination that wanes": without_init(
        INFECTION, RECOVERY, Flow("S", "V", 0.1), Flow("V", "S", 0.1), Flow("V", "I", 0.1, "I")
    ),
    "two groups of susceptible": without_init(INFECTION, Flow("T", "I", 0.1, "I"), RECOVERY),
    "a mediator that is infected": without_init(INFECTION, Flow("I", "R", 0.1, "S"), RECOVERY),
    "few people": without_init(INFECTION, RECOVERY, sizes=(10, 2_001)),
}


@pytest.mark.parametrize("name", WITHOUT_INIT)
def test_a_model_without_any_init_starts_as_in_epydemix(name):
    of = WITHOUT_INIT[name]
    expected = epydemix_default(of)

    people, infeasible = people_of_plan(of, {}, 5)

    assert people.shape == (1, len(of.compartments), 2)
    assert not infeasible
    assert (people.sum(axis=1) == of.sizes).all()
    assert people[0].tolist() == [expected[compartment].tolist() for compartment in of.compartments]


def test_random_models_without_any_init_start_as_in_epydemix():
    rng = np.random.default_rng(5)
    for _ in range(300):
        names = np.array(list("ABCDE")[: rng.integers(2, 6)])
        flows = []
        for _ in range(rng.integers(1, 9)):
            source, target = rng.choice(names, 2, replace=False)
            mediator = str(rng.choice(names)) if rng.random() < 0.5 else None
            flows.append(Flow(str(source), str(target), 0.1, mediator))
        flows.append(Flow("A", "B", 0.1, str(rng.choice(names))))
        of = without_init(*flows, Flow("A", "E", 0.1), sizes=rng.integers(1, 10**6, size=2))

        expected = epydemix_default(of)

        people = default_start(of)

        assert people.tolist() == [expected[name].tolist() for name in of.compartments], of.flows


def test_a_model_without_init_and_without_infection_is_refused():
    with pytest.raises(UserError, match="no compartment has an init, and no mediated transition"):
        default_start(without_init(RECOVERY))
