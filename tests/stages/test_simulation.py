"""Trajectories mean what the model says: against truths on paper, a naive simulator, and bare epydemix."""

import datetime
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from epydemix import EpiModel
from epydemix.model import simulate
from epydemix.population import Population
from scipy.stats import ks_2samp

from modeling.build.workloads import DataPlaces, build_workloads
from modeling.failures import UserError
from modeling.initial import InfeasibleDraw
from modeling.simulate.engine import Simulator
from modeling.simulate.run import run_workload
from modeling.vocabulary.experiment import load_experiment
from modeling.workload import Flow, ModelPlan, Simulate
from tests.experiments import POPULATIONS, simulated, write_repository

START = datetime.date(2025, 1, 5)  # a Sunday
SIZES = np.array([400, 600])
HOME = np.array([[2.0, 1.0], [2 / 3, 1.5]])
SCHOOL = np.array([[4.0, 0.5], [1 / 3, 1.0]])


def plan(**changes) -> ModelPlan:
    """Return a small S-I-R in two age groups; changes replace its fields."""
    fields = {
        "name": "small",
        "age_groups": ["0-17", "18+"],
        "sizes": SIZES,
        "contacts": {"school": SCHOOL, "home": HOME},
        "compartments": ["S", "I", "R"],
        "flows": [Flow("S", "I", "beta", "I"), Flow("I", "R", "gamma")],
        "parameters": {"beta": 0.1, "gamma": 0.25},
        "calculated": [],
        "initial": {"S": "default", "I": 20, "R": None},
        "delta_t_days": 1.0,
        "resample_frequency": None,
    }
    return ModelPlan(**fields | changes)


# two infectious compartments, rates that are expressions, and values by age
STRAINS = plan(
    compartments=["S", "L", "I", "A", "H", "R"],
    flows=[
        Flow("S", "L", "beta", "I"),
        Flow("S", "L", "beta * r", "A"),
        Flow("L", "I", "eps * (1 - p)"),
        Flow("L", "A", "eps * p"),
        Flow("I", "H", "mu * severe"),
        Flow("I", "R", "mu * (1 - severe)"),
        Flow("A", "R", "mu"),
        Flow("H", "R", 0.2),
    ],
    parameters={"R0": 2.0, "mu": 0.4, "eps": 0.5, "p": 0.3, "r": 0.5, "severe": np.array([0.05, 0.4])},
    calculated=[("beta", "R0 * mu / (eigenvalue * (1 - p + p * r))")],
    initial={"S": "default", "L": None, "I": [15, 0], "A": None, "H": None, "R": [0, 50]},
)


def run(of: ModelPlan, days: int = 60, seed: int = 1, draw: dict | None = None):
    rng = np.random.default_rng(seed)
    return Simulator(of).run(draw or {}, START, START + datetime.timedelta(days=days), rng)


def series(of: ModelPlan, path) -> dict[str, np.ndarray]:
    return dict(
        zip(
            (*of.compartment_series, *of.transition_series),
            (*path.in_compartments, *path.by_transition),
            strict=True,
        )
    )


# -- truths on paper


def test_nobody_is_infected_by_nobody():
    s = series(plan(), run(plan(initial={"S": "default", "I": None, "R": None})))

    assert (s["S_total"] == 1000).all()
    assert (s["S_to_I_total"] == 0).all()


def test_everybody_moves_at_once_where_the_rate_is_beyond_all_bounds():
    hasty = plan(flows=[Flow("I", "R", 1e9)])

    s = series(hasty, run(hasty))

    assert s["I_to_R_total"].tolist()[:3] == [20, 0, 0]
    assert (s["I_total"] == 0).all()


def test_a_spontaneous_transition_empties_its_compartment_exponentially():
    decay = plan(flows=[Flow("I", "R", "gamma")], initial={"S": "default", "I": [400, 600], "R": None})
    simulator = Simulator(decay)

    left = np.mean(
        [
            simulator.run(
                {}, START, START + datetime.timedelta(days=9), np.random.default_rng(i)
            ).in_compartments[5]
            for i in range(100)
        ],
        axis=0,
    )

    chance = np.exp(-0.25 * np.arange(1, 11))
    error = 4 * np.sqrt(1000 * chance * (1 - chance) / 100)
    assert decay.compartment_series[5] == "I_total"
    assert (np.abs(left - 1000 * chance) < error).all()


def test_the_first_infections_follow_the_hazard_on_paper():
    first_day = plan(flows=[Flow("S", "I", "beta", "I")], initial={"S": "default", "I": [40, 0], "R": None})

    infected = np.mean([series(first_day, run(first_day, 0, i))["S_to_I_18+"][0] for i in range(400)])

    hazard = (
        0.1 * (2 / 3 + 1 / 3) * 40 / 400
    )  # beta, contacts of an adult with children, infectious among them
    expected = 600 * (1 - math.exp(-hazard))
    assert abs(infected - expected) < 4 * math.sqrt(expected / 400)


def test_an_age_group_without_contacts_to_the_others_stays_healthy():
    apart = plan(contacts={"home": np.diag([6.0, 3.0])}, initial={"S": "default", "I": [20, 0], "R": None})

    s = series(apart, run(apart))

    assert s["S_to_I_0-17"].sum() > 100
    assert s["S_to_I_18+"].sum() == 0


def test_a_rate_by_age_moves_only_the_ages_that_have_it():
    by_age = plan(
        parameters={"beta": 0.1, "gamma": np.array([0.0, 0.5])},
        initial={"S": "default", "I": [30, 30], "R": None},
    )

    s = series(by_age, run(by_age))

    assert s["I_to_R_0-17"].sum() == 0
    assert s["I_to_R_18+"].sum() >= 30


def test_the_transmission_rate_follows_from_r0_and_the_contacts_of_all_layers():
    eigenvalue = max(np.linalg.eigvals(HOME + SCHOOL).real)

    values = Simulator(STRAINS).values({})

    assert values["beta"] == pytest.approx(2 * 0.4 / (eigenvalue * (0.7 + 0.3 * 0.5)), rel=1e-12)


def test_a_draw_replaces_what_is_sampled_and_what_follows_from_it():
    open_plan = replace(
        STRAINS,
        parameters={k: v for k, v in STRAINS.parameters.items() if k != "R0"},
        initial=STRAINS.initial | {"L": "sampled"},
    )

    path = run(open_plan, draw={"R0": 4.0, "L": 100})

    assert Simulator(open_plan).values({"R0": 4.0, "L": 100})["beta"] == pytest.approx(
        2 * Simulator(STRAINS).values({})["beta"]
    )
    assert path.initial[open_plan.compartment_series.index("L_total")] == 100


@pytest.mark.parametrize("of", [plan(), STRAINS], ids=["two rates", "two strains"])
def test_people_only_move_along_transitions_and_nobody_is_lost(of):
    path = run(of)

    s = series(of, path)
    for group in of.age_groups:
        total = sum(s[f"{c}_{group}"] for c in of.compartments)
        assert (total == of.sizes[of.age_groups.index(group)]).all()
        for c in of.compartments:
            start = path.initial[of.compartment_series.index(f"{c}_{group}")]
            came = sum(s[f"{t}_{group}"] for t in of.transitions if t.endswith(f"_to_{c}"))
            went = sum(s[f"{t}_{group}"] for t in of.transitions if t.startswith(f"{c}_to_"))
            assert (s[f"{c}_{group}"] == start + np.cumsum(came - went)).all()
    for name in (*of.compartments, *of.transitions):
        assert (s[f"{name}_total"] == sum(s[f"{name}_{g}"] for g in of.age_groups)).all()


@pytest.mark.parametrize(
    ("parameters", "draw"),
    [({"beta": 0.1, "gamma": -0.25}, {}), ({"beta": 0.1}, {"gamma": -0.25})],
    ids=["fixed", "drawn"],
)
def test_a_negative_rate_is_never_simulated(parameters, draw):
    wrong = plan(parameters=parameters)

    with pytest.raises(InfeasibleDraw if draw else UserError, match=r'"gamma" is negative \(-0.25\)'):
        run(wrong, draw=draw)


def test_a_draw_without_a_finite_value_is_infeasible():
    odd = plan(parameters={"beta": 0.1}, calculated=[("gamma", "1 / (p - 0.5)")])

    with pytest.raises(InfeasibleDraw, match="division by zero"):
        run(odd, draw={"p": 0.5})


# -- dates


def days(path) -> list[str]:
    return np.datetime_as_string(path.dates.astype("datetime64[h]")).tolist()


@pytest.mark.parametrize("delta_t", [1.0, 0.5, 0.2])
def test_weeks_end_on_saturday_and_hold_all_their_days(delta_t):
    weekly = replace(STRAINS, delta_t_days=delta_t, resample_frequency="W-SAT")
    steps = replace(STRAINS, delta_t_days=delta_t)

    by_week, by_step = run(weekly, 17), run(steps, 17)

    assert days(by_week) == ["2025-01-11T00", "2025-01-18T00", "2025-01-25T00"]
    week = ((by_step.dates - np.datetime64(START)) // np.timedelta64(7, "D")).astype(int)
    for number in range(3):
        in_week = by_step.by_transition[:, week == number]
        assert in_week.shape[1] == round((7 if number < 2 else 4) / delta_t)
        assert (by_week.by_transition[:, number] == in_week.sum(axis=1)).all()
        assert (by_week.in_compartments[:, number] == by_step.in_compartments[:, week == number][:, -1]).all()
    assert by_step.by_transition.sum() > 0


def test_half_days_are_reported_as_half_days_or_as_days():
    halves = run(plan(delta_t_days=0.5), 2)
    whole = run(plan(delta_t_days=0.5, resample_frequency="D"), 2)

    assert days(halves) == [
        "2025-01-05T00",
        "2025-01-05T12",
        "2025-01-06T00",
        "2025-01-06T12",
        "2025-01-07T00",
        "2025-01-07T12",
    ]
    assert days(whole) == ["2025-01-05T00", "2025-01-06T00", "2025-01-07T00"]
    for day in range(3):
        of_the_day = halves.by_transition[:, 2 * day : 2 * day + 2]
        assert (whole.by_transition[:, day] == of_the_day.sum(axis=1)).all()


@pytest.mark.parametrize("length", [0, 1, 2, 40])
@pytest.mark.parametrize("frequency", [None, "D", "W-SAT", "2W", "10D", "MS", "ME"])
@pytest.mark.parametrize("delta_t", [1.0, 0.5, 2.0, 7.0])
def test_the_calendar_is_that_of_every_trajectory(delta_t, frequency, length):
    of = plan(delta_t_days=delta_t, resample_frequency=frequency)

    path = run(of, length)

    calendar = Simulator(of).calendar(START, START + datetime.timedelta(days=length))
    assert path.dates.tolist() == calendar.tolist()
    assert path.in_compartments.shape[1] == path.by_transition.shape[1] == len(calendar)


# -- epydemix itself


def bare_epydemix(resample_frequency, dt, seed):
    """Return one trajectory of STRAINS, written down for epydemix."""
    population = Population(name="small")
    population.add_population(SIZES, ["0-17", "18+"])
    population.add_contact_matrix(SCHOOL, layer_name="school")
    population.add_contact_matrix(HOME, layer_name="home")
    model = EpiModel(name="small", compartments=["S", "L", "I", "A", "H", "R"])
    model.set_population(population)
    eigenvalue = max(np.linalg.eigvals(SCHOOL + HOME).real)
    model.add_parameter(
        parameters_dict={
            "beta": 2.0 * 0.4 / (eigenvalue * 0.85),
            "mu": 0.4,
            "eps": 0.5,
            "p": 0.3,
            "r": 0.5,
            "severe": np.array([[0.05, 0.4]]),
        }
    )
    model.add_transition("S", "L", kind="mediated", params=("beta", "I"))
    model.add_transition("S", "L", kind="mediated", params=("beta*r", "A"))
    model.add_transition("L", "I", kind="spontaneous", params="eps*(1-p)")
    model.add_transition("L", "A", kind="spontaneous", params="eps*p")
    model.add_transition("I", "H", kind="spontaneous", params="mu*severe")
    model.add_transition("I", "R", kind="spontaneous", params="mu*(1-severe)")
    model.add_transition("A", "R", kind="spontaneous", params="mu")
    model.add_transition("H", "R", kind="spontaneous", params=0.2)
    nobody = np.zeros(2, dtype=int)
    people = {"S": [385, 550], "L": nobody, "I": [15, 0], "A": nobody, "H": nobody, "R": [0, 50]}
    return simulate(
        model,
        start_date=pd.Timestamp("2025-01-05"),
        end_date=pd.Timestamp("2025-03-06") + pd.Timedelta(days=1 - dt),  # the last day has all its steps
        initial_conditions_dict={c: np.array(n) for c, n in people.items()},
        dt=dt,
        resample_frequency=resample_frequency,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize(("frequency", "dt"), [("D", 1.0), ("W-SAT", 1.0), ("W-SAT", 0.5), (None, 0.5)])
def test_a_trajectory_is_that_of_bare_epydemix_for_the_same_generator(frequency, dt):
    of = replace(STRAINS, resample_frequency=frequency, delta_t_days=dt)
    for seed in (3, 4):
        reference = bare_epydemix(frequency, dt, seed)

        path = run(of, 60, seed)

        s = series(of, path)
        assert path.dates.tolist() == np.array(reference.dates, dtype="datetime64[s]").tolist()
        assert all((s[name] == values).all() for name, values in reference.compartments.items())
        assert all((s[name] == values).all() for name, values in reference.transitions.items())
        assert s["S_to_L_total"].sum() > 100


# -- a naive second implementation


def naive_final_size_peak_and_hospital(steps: int, dt: float, rng: np.random.Generator) -> tuple:
    """Simulate STRAINS age by age and step by step, with everything written out."""
    contacts = [[6.0, 1.5], [1.0, 2.5]]
    growth = max(np.linalg.eigvals(np.array(contacts)).real)
    beta = 2.0 * 0.4 / (growth * (1 - 0.3 + 0.3 * 0.5))
    severe = [0.05, 0.4]
    people = [
        {"S": 385, "L": 0, "I": 15, "A": 0, "H": 0, "R": 0},
        {"S": 550, "L": 0, "I": 0, "A": 0, "H": 0, "R": 50},
    ]
    infections, peak, hospital = 0, 0, [0, 0]
    for _ in range(steps):
        now = [dict(group) for group in people]
        for age in (0, 1):
            hazard = sum(
                contacts[age][other] * beta * (now[other]["I"] + 0.5 * now[other]["A"]) / SIZES[other]
                for other in (0, 1)
            )
            moves = {
                "S": {"L": hazard},
                "L": {"I": 0.5 * 0.7, "A": 0.5 * 0.3},
                "I": {"H": 0.4 * severe[age], "R": 0.4 * (1 - severe[age])},
                "A": {"R": 0.4},
                "H": {"R": 0.2},
            }
            for source, rates in moves.items():
                total = sum(rates.values())
                leaving = rng.binomial(now[age][source], 1 - math.exp(-total * dt))
                for target, rate in rates.items():
                    moving = rng.binomial(leaving, rate / total) if total > 0 else 0
                    leaving, total = leaving - moving, total - rate
                    people[age][source] -= moving
                    people[age][target] += moving
                    infections += moving if target == "L" else 0
                    hospital[age] += moving if target == "H" else 0
        peak = max(peak, sum(group["I"] for group in people))
    return infections, peak, *hospital


@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_trajectories_have_the_distribution_of_a_naive_simulator(dt):
    of, count, length = replace(STRAINS, delta_t_days=dt), 250, 60
    simulator = Simulator(of)
    end = START + datetime.timedelta(days=length)

    ours = []
    for seed in range(count):
        s = series(of, simulator.run({}, START, end, np.random.default_rng((7, seed))))
        ours.append(
            (s["S_to_L_total"].sum(), s["I_total"].max(), s["I_to_H_0-17"].sum(), s["I_to_H_18+"].sum())
        )
    steps = int(length / dt) + 1
    naive = [
        naive_final_size_peak_and_hospital(steps, dt, np.random.default_rng((8, i))) for i in range(count)
    ]

    for name, a, b in zip(
        ("infections", "peak", "H 0-17", "H 18+"), np.transpose(ours), np.transpose(naive), strict=True
    ):
        assert ks_2samp(a, b).pvalue > 0.01, name
        assert np.std(a) > 1


def test_the_naive_comparison_would_notice_a_small_mistake():
    """The same test tells half a day a step from a day a step: it has the power to fail."""
    day = [naive_final_size_peak_and_hospital(61, 1.0, np.random.default_rng((8, i))) for i in range(250)]
    half = [naive_final_size_peak_and_hospital(121, 0.5, np.random.default_rng((9, i))) for i in range(250)]

    assert (
        min(ks_2samp(a, b).pvalue for a, b in zip(np.transpose(day), np.transpose(half), strict=True)) < 0.01
    )


# -- workloads


def build(tmp_path, experiment, seed=5, count=None):
    config = write_repository(tmp_path, experiment)
    places = DataPlaces([tmp_path], [POPULATIONS], tmp_path / "cache")
    return list(build_workloads(load_experiment(config), places, seed, count))


def test_the_same_seed_gives_the_same_trajectories_and_another_seed_others(tmp_path):
    first, again, other = (build(tmp_path / str(i), simulated(), seed)[0] for i, seed in enumerate((5, 5, 6)))

    results = [run_workload(workload).trajectories for workload in (first, again, other)]

    assert results[0].in_compartments.tobytes() == results[1].in_compartments.tobytes()
    assert results[0].by_transition.tobytes() == results[1].by_transition.tobytes()
    assert results[0].in_compartments.tobytes() != results[2].in_compartments.tobytes()
    assert len({trajectory.tobytes() for trajectory in results[0].by_transition}) == 6


def test_a_trajectory_does_not_depend_on_how_the_ensemble_is_split(tmp_path):
    whole = run_workload(build(tmp_path, simulated())[0])

    parts = [run_workload(workload) for workload in build(tmp_path, simulated(), count=4)]

    assert [part.trajectories.count for part in parts] == [1, 2, 1, 2]
    joined = np.concatenate([part.trajectories.in_compartments for part in parts])
    assert (joined == whole.trajectories.in_compartments).all()
    assert {part.ensemble_total for part in parts} == {6}
    assert {part.primary_id for part in parts} == {0}


def test_a_transition_by_several_mediators_is_the_sum_of_its_rates(tmp_path):
    several, written_out = simulated(), simulated()
    several["model"]["transitions"][0] = {
        "type": "multi_mediated",
        "source": "S",
        "target": "I",
        "mediators": [{"rate": "beta * 0.5", "source": ["I", "R"]}, {"rate": 0.001, "source": ["I"]}],
    }
    first = {"type": "mediated", "source": "S", "target": "I"}
    written_out["model"]["transitions"][0:1] = [
        first | {"mediator": "I", "rate": "beta * 0.5"},
        first | {"mediator": "R", "rate": "beta * 0.5"},
        first | {"mediator": "I", "rate": 0.001},
    ]

    results = [run_workload(build(tmp_path / n, e)[0]) for n, e in (("a", several), ("b", written_out))]

    assert (results[0].trajectories.by_transition == results[1].trajectories.by_transition).all()
    assert results[0].trajectories.transitions[3::4] == ["S_to_I_total", "I_to_R_total"]


@pytest.mark.parametrize(
    "text", ["gamma*2", " gamma * 2 ", "gamma *\n2", "2*gamma", "-(-gamma)*2", "gamma*2**1"]
)
def test_a_rate_means_the_same_however_it_is_written(tmp_path, text):
    plain, written = simulated(), simulated()
    plain["model"]["parameters"]["twice"] = {"type": "scalar", "value": 0.5}
    plain["model"]["transitions"][1]["rate"] = "twice"
    written["model"]["transitions"][1]["rate"] = text

    results = [run_workload(build(tmp_path / n, e)[0]) for n, e in (("a", plain), ("b", written))]

    assert (results[0].trajectories.by_transition == results[1].trajectories.by_transition).all()


def test_without_initial_conditions_epydemix_chooses_them_and_nobody_is_lost(tmp_path):
    experiment = simulated()
    for compartment in experiment["model"]["compartments"]:
        compartment.pop("init", None)

    result = run_workload(build(tmp_path, experiment)[0])

    assert result.initial["S_total"] + result.initial["I_total"] == result.expected.people
    assert result.initial["I_total"] == pytest.approx(0.0005 * result.expected.people, rel=0.01)


def test_an_infeasible_parameter_set_ends_with_its_name(tmp_path):
    workload = build(tmp_path, simulated())[0]
    plan_without = replace(
        workload.plan, initial=workload.plan.initial | {"I": "sampled"}, resample_frequency="D"
    )
    drawn = replace(workload, plan=plan_without, task=Simulate(0, 2, 2, {"I": 10_000_000}), set_index=3)

    with pytest.raises(UserError, match="US-VT, parameter set 3: initial conditions place"):
        run_workload(drawn)
