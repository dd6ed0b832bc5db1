"""A model that cannot be right is refused with one line, before machine code reads its arrays unchecked."""

import datetime
from dataclasses import replace

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.run_names import CPU, EPYDEMIX
from modeling.simulate.run import run_workload
from modeling.workload import Flow, Simulate
from pipeline.pickles import decode_workload, encode_workload
from tests.forgeries import put_input, refused
from tests.small_models import HOME, SIZES, START, plan, workload_of
from tests.stage_scripts import built

INFECTION, RECOVERY = Flow("S", "I", "beta", "I"), Flow("I", "R", "gamma")

# what is changed in a right model, and what the line says
FORGED = {
    "contacts of one group": (
        {"contacts": {"home": np.ones((1, 1))}},
        "contacts of home: an array of float",
    ),
    "contacts of three": ({"contacts": {"home": np.ones((3, 3))}}, "of shape (3, 3) instead of (2, 2)"),
    "contacts that are nan": ({"contacts": {"home": HOME * np.nan}}, "contacts of home: nan is not a number"),
    "negative contacts": ({"contacts": {"home": -HOME}}, "contacts of home: -2 is not a number from 0"),
    "contacts in words": ({"contacts": {"home": np.array([["a", "b"]] * 2)}}, "an array of <U1"),
    "no contacts": ({"contacts": {}}, "no contacts"),
    "sizes of one group": ({"sizes": SIZES[:1]}, "sizes: an array of int64 of shape (1,) instead of (2,)"),
    "negative sizes": ({"sizes": -SIZES}, "sizes: -400 is not a number from 0"),
    "half people": ({"sizes": SIZES / 2}, "sizes: an array of float64"),
    "people beyond all bounds": ({"sizes": SIZES * 10**13}, "sizes: 4e+15 is not"),
    "no compartments": ({"compartments": []}, "0 compartments"),
    "a compartment twice": (
        {"compartments": ["S", "I", "I", "R"]},
        "4 compartments, of which 3 are",
    ),
    "an age group twice": ({"age_groups": ["0+", "0+"]}, "2 age groups, of which 1 are different"),
    "no transition": ({"flows": []}, "no transition"),
    "a mediator of nothing": ({"flows": [Flow("S", "I", "beta", "Q"), RECOVERY]}, 'uses "Q", which is not a'),
    "a target of nothing": ({"flows": [INFECTION, Flow("I", "Q", "gamma")]}, 'uses "Q", which is not a'),
    "a source of nothing": ({"flows": [INFECTION, Flow("", "R", "gamma")]}, 'uses "", which is not a'),
    "a circle": ({"flows": [INFECTION, Flow("I", "I", 1.0)]}, "I_to_I leads to its own source"),
    "a rate that is nan": ({"flows": [INFECTION, Flow("I", "R", np.nan)]}, "I_to_R: nan is not a number"),
    "a negative rate": ({"flows": [INFECTION, Flow("I", "R", -0.1)]}, "I_to_R: -0.1 is not a number from 0"),
    "an endless rate": ({"flows": [INFECTION, Flow("I", "R", np.inf)]}, "I_to_R: inf is not a number"),
    "an unknown parameter": (
        {"flows": [INFECTION, Flow("I", "R", "gama")]},
        '"gama" uses "gama", which is',
    ),
    "a million transitions": ({"flows": [INFECTION] * 10**6}, "more than 1,000,000 series by age group"),
    "a parameter of three": (
        {"parameters": {"beta": np.ones(3), "gamma": 1.0}},
        "beta: an array of float64",
    ),
    "a parameter that is nan": ({"parameters": {"beta": np.nan, "gamma": 1.0}}, "beta: nan is not a number"),
    "an init of nothing": (
        {"initial": {"S": "default", "I": 20, "Q": None}},
        "initial conditions of 3",
    ),
    "no init of R": ({"initial": {"S": "default", "I": 20}}, "initial conditions of 2 compartments, where"),
    "an init of three": (
        {"initial": {"S": "default", "I": [1, 1, 1], "R": None}},
        "the init of I: an array",
    ),
    "an init in words": ({"initial": {"S": "default", "I": "most", "R": None}}, "an init of I that is"),
    "an init of words": ({"initial": {"S": "default", "I": ["a", 1], "R": None}}, "an init of I that is"),
    "an init that is nan": (
        {"initial": {"S": "default", "I": np.nan, "R": None}},
        "the init of I: nan is",
    ),
    "steps of 0.3 days": ({"delta_t_days": 0.3}, "time steps of 0.3 days"),
    "steps of 1.5 days": ({"delta_t_days": 1.5}, "time steps of 1.5 days"),
    "steps of no time": ({"delta_t_days": 0.0}, "time steps of 0.0 days"),
    "backward steps": ({"delta_t_days": -1.0}, "time steps of -1.0 days"),
    "steps that are nan": ({"delta_t_days": np.nan}, "time steps of nan days"),
    "an odd frequency": ({"resample_frequency": "3Q"}, "'3Q' as resample_frequency"),
}
OF_WORKLOAD = {
    "an end before the start": (
        {"end_date": START - datetime.timedelta(days=2)},
        "-1 time steps from 2025",
    ),
    "an end in ages": ({"end_date": START.replace(year=9999)}, "outside 1 to 1,000,000"),
    "no trajectory": (
        {"task": Simulate(0, 0, 1, {})},
        "0 trajectories, number 0 and on, of an ense",
    ),
    "too many trajectories": ({"task": Simulate(0, 10**13, 10**13, {})}, "trajectories, number 0 and on"),
    "a late trajectory": ({"task": Simulate(1, 1, 1, {})}, "1 trajectories, number 1 and on, of an ensemble"),
    "a draw that is nan": (
        {"task": Simulate(0, 1, 1, {"gamma": np.nan})},
        'rate "gamma" is not a finite',
    ),
}


@pytest.mark.parametrize("engine", [CPU, EPYDEMIX])
@pytest.mark.parametrize("case", FORGED)
def test_a_model_that_cannot_be_right_is_refused_with_one_line(case, engine):
    changes, said = FORGED[case]

    with pytest.raises(UserError) as caught:
        run_workload(workload_of(plan(**changes)), engine)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", OF_WORKLOAD)
def test_days_and_draws_that_cannot_be_right_are_refused_with_one_line(case):
    changes, said = OF_WORKLOAD[case]

    with pytest.raises(UserError) as caught:
        run_workload(workload_of(plan(), **changes))

    assert said in str(caught.value)


def test_the_runner_refuses_a_forged_input_and_leaves_nothing(tmp_path):
    stages = built(tmp_path)
    [path, *_] = sorted((stages.run_folder / "builder-artifacts").glob("input_*.pkl"))
    workload = decode_workload(path.read_bytes(), path.name)
    sizes = workload.plan.sizes[:1]
    put_input(stages, encode_workload(replace(workload, plan=replace(workload.plan, sizes=sizes))))

    line = refused(stages, "runner", TASK_INDEX=0)

    assert f"sizes: an array of int64 of shape (1,) instead of ({len(workload.plan.sizes)},)" in line
    assert not list((stages.run_folder / "runner-artifacts").glob("*.pkl"))
