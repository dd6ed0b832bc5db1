"""Models and batches at the limits: nobody in an age group, more people than 32 bits hold, Ctrl-C."""

import datetime
import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from modeling.engine.observables import DistanceBound, Observables
from modeling.engine.plan import Keys, Simulated, compile_plan
from modeling.simulate.ensemble import contents_of_result
from modeling.workload import Flow, ModelPlan, Simulate
from tests.small_models import START, plan, workload_of

TO_AND_FRO = [Flow("S", "I", 1e15), Flow("I", "S", 1e15)]  # everybody leaves in every step
TOTALS = Observables(["S_total"], [["S_to_I_total"]])


def last(days: int) -> datetime.date:
    return START + datetime.timedelta(days=days - 1)


def simulated(of: ModelPlan, days: int = 14, particles: int = 20, **options) -> Simulated:
    keys, every = Keys(7, np.arange(particles)), [[name] for name in of.transition_series]
    observables = Observables(of.compartment_series, every)
    return compile_plan(of, START, last(days)).simulate({}, keys, None, observables, **options)


def test_an_age_group_of_nobody_infects_nobody_and_changes_nothing_else():
    three = np.zeros((3, 3))
    three[:2, :2], three[2], three[:, 2] = [[2.0, 1.0], [0.7, 1.5]], 3.0, 3.0
    of = plan(contacts={"home": three[:2, :2]}, initial={"S": "default", "I": [5, 5], "R": None})
    with_nobody = plan(
        age_groups=[*of.age_groups, "100+"],
        sizes=np.append(of.sizes, 0),
        contacts={"home": three},
        initial={"S": "default", "I": [5, 5, 0], "R": None},
    )

    found, wanted = (simulated(each, deterministic=True) for each in (with_nobody, of))

    totals = [name.endswith("_total") for name in with_nobody.transition_series]
    of_two = [name.endswith("_total") for name in of.transition_series]
    np.testing.assert_allclose(found.by_transition[:, totals], wanted.by_transition[:, of_two], rtol=1e-12)
    assert simulated(with_nobody).by_transition[:, totals].any()


def test_nobody_moves_where_the_only_infectious_age_group_is_empty():
    of = plan(sizes=np.array([1, 0]), initial={"S": "default", "I": None, "R": None})

    assert not simulated(of).by_transition.any()


@pytest.mark.parametrize("people", [10**9, 3 * 10**9, 10**12])
def test_more_moves_between_two_dates_than_32_bits_hold_are_counted(people):
    of = plan(
        sizes=np.array([people // 4, people - people // 4]),
        flows=TO_AND_FRO,
        initial={"S": "default", "I": None, "R": None},
        resample_frequency="W-SAT",
    )
    workload = workload_of(of, task=Simulate(0, 3, 3, {}), end_date=last(14))

    trajectories = contents_of_result(workload)["trajectories"]

    # a week begins on Sunday with all in S; seven steps bring four moves there, the next seven three
    assert trajectories.series("S_to_I_total").tolist() == [[4 * people, 3 * people]] * 3
    assert trajectories.series("I_total").tolist() == [[people, 0]] * 3


def test_a_batch_of_no_particles_has_no_counts():
    assert simulated(plan(), particles=0).in_compartments.shape == (0, 9, 14)


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_long_batch_within_a_second(threads):
    of = replace(plan(), delta_t_days=1 / 24, resample_frequency="ME")
    compiled = compile_plan(of, START, last(20_000))
    compiled.simulate({}, Keys(1, np.arange(1)), None, TOTALS, lanes=8)  # loads the machine code
    restored = signal.signal(signal.SIGINT, signal.default_int_handler)
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, press)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):  # half a million steps of each would take minutes
            compiled.simulate({}, Keys(1, np.arange(20_000)), None, TOTALS, threads=threads)
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, restored)

    assert time.monotonic() - pressed[0] < 1


ONE_DATE = np.ones((1, 14))
MISUSED = {
    "three lanes": {"lanes": 3},
    "too many lanes": {"lanes": 1024},
    "fewer than no threads": {"threads": -1},
    "a bound of other dates": {"bound": DistanceBound(ONE_DATE[:, :3], ONE_DATE[:, :3], 1, 5.0)},
    "a bound of other rows": {"bound": DistanceBound(np.ones((2, 14)), np.ones((2, 14)), 1, 5.0)},
    "a power of 3": {"bound": DistanceBound(ONE_DATE, ONE_DATE, 3, 5.0)},
    "a negative weight": {"bound": DistanceBound(ONE_DATE, -ONE_DATE, 1, 5.0)},
    "nan as data": {"bound": DistanceBound(ONE_DATE * np.nan, ONE_DATE, 1, 5.0)},
    "nan as bound": {"bound": DistanceBound(ONE_DATE, ONE_DATE, 1, np.nan)},
    "starts of another number": {"starts": np.zeros(3, dtype=int)},
    "parameters of another number": {"parameters": {"beta": np.ones(3)}},
    "a negative number": {"particles": np.array([-1, 0])},
    "a number of 33 bits": {"particles": np.array([0, 2**32])},
    "half a number": {"particles": np.array([0.5, 1.5])},
    "particles in two dimensions": {"particles": np.zeros((2, 2), dtype=int)},
}


@pytest.mark.parametrize("case", MISUSED)
def test_arrays_that_do_not_fit_the_batch_never_reach_the_machine_code(case):
    given = {"parameters": {}, "starts": None, "particles": np.arange(2)} | MISUSED[case]
    keys = Keys(1, given.pop("particles"))

    with pytest.raises(ValueError, match=r"lanes|bound|shape|outside"):
        compile_plan(plan(), START, last(14)).simulate(keys=keys, observables=TOTALS, **given)


def test_nan_is_no_observed_value_only_where_it_is_compared():
    observed = np.full((1, 14), np.nan)

    done = compile_plan(plan(), START, last(14)).simulate(
        {}, Keys(1, np.arange(5)), None, TOTALS, bound=DistanceBound(observed, np.zeros((1, 14)), 2, 0.0)
    )

    assert not done.stopped.any()
