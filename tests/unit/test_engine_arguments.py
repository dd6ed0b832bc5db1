"""What the engine is asked to simulate: what does not fit together is refused, before the kernel reads it."""

import datetime

import numpy as np
import pytest

from modeling.engine.plan import DistanceBound, Keys, Observables, compile_plan
from modeling.failures import UserError
from modeling.workload import Flow
from tests.small_models import START, plan

LAST_DAY = START + datetime.timedelta(days=13)
PARTICLES = 5
LEAVING = {"compartments": ["S", "R"], "initial": {"S": "default", "R": None}}


def simulate(of=None, **changes):
    of = of or plan(flows=[Flow("S", "R", "r")], parameters={}, **LEAVING)
    arguments = {
        "parameters": {"r": np.full(PARTICLES, 0.1)},
        "keys": Keys(1, np.arange(PARTICLES)),
        "starts": None,
        "observables": Observables([], [["S_to_R_total"]]),
    }
    return compile_plan(of, START, LAST_DAY).simulate(**arguments | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parameters": {"r": np.full(3, 0.1)}}, r"r has shape \(3,\) for 5 particles"),
        ({"parameters": {"r": np.full((5, 2), 0.1)}}, r"r has shape \(5, 2\) for 5 particles"),
        ({"parameters": {"r": 0.1}}, r"r has shape \(\) for 5 particles"),
        ({"starts": np.zeros(6, dtype=int)}, r"starts has shape \(6,\) for 5 particles"),
        ({"keys": Keys(1, np.arange(-1, 4))}, "a particle's number is outside 0 to 4294967295"),
        ({"lanes": 4}, "4 lanes: not a power of two from 8 to 512"),
        ({"lanes": 100}, "100 lanes: not"),
        ({"lanes": 8192}, "8192 lanes: not"),
        (
            {"bound": DistanceBound(np.zeros((1, 3)), np.ones((1, 3)), 1, 9.0)},
            "observed of the bound has shape",
        ),
        ({"bound": DistanceBound(np.zeros((1, 14)), np.ones((1, 14)), 3, 9.0)}, "a bound of power 3"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        simulate(**changes)


@pytest.mark.parametrize("calculated", [[], [("r", "2 * beta")]])
def test_a_parameter_without_a_value_is_named(calculated):
    of = plan(flows=[Flow("S", "R", "r")], parameters={}, calculated=calculated, **LEAVING)
    wanted = '"2 \\* beta" uses "beta"' if calculated else '"r" uses "r"'

    with pytest.raises(UserError, match=f"^{wanted}, which is not a parameter"):
        simulate(of, parameters={})


def test_a_compartment_without_a_number_of_people_is_named():
    of = plan(
        flows=[Flow("S", "R", 0.1)],
        parameters={},
        **LEAVING | {"initial": {"S": "default", "R": "calibrated"}},
    )

    with pytest.raises(UserError, match=r"^R has no number of people, and its init is calibrated$"):
        simulate(of, parameters={})
