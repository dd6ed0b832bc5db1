"""An input whose calibration cannot be right is refused with one line, before anything is simulated."""

import datetime
from dataclasses import replace

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.run_names import CPU, EPYDEMIX
from modeling.simulate.run import run_workload
from tests.builds import build
from tests.experiments import calibrated

SMC = {"num_particles": 12, "num_generations": 2}

# fields of the task that are changed, and what the line says
FORGED = {
    "a strategy of another kind": ({"strategy": "mcmc"}, "'mcmc' as a strategy"),
    "a distance of another kind": ({"distance": "dtw"}, "'dtw' as a distance"),
    "no particles": ({"options": {"num_generations": 2}}, "no num_particles"),
    "fewer than no particles": ({"options": SMC | {"num_particles": -1}}, "num_particles -1"),
    "particles in words": ({"options": SMC | {"num_particles": "many"}}, "num_particles 'many'"),
    "a quantile above 1": ({"options": SMC | {"epsilon_quantile_level": 2.0}}, "epsilon_quantile_level 2.0"),
    "a short schedule": ({"options": SMC | {"epsilon_schedule": [9.0]}}, "1 largest accepted distances of 2"),
    "nan in the schedule": ({"options": SMC | {"epsilon_schedule": [9.0, np.nan]}}, "nan as the largest"),
    "words in the schedule": ({"options": SMC | {"epsilon_schedule": "9"}}, "nan as the largest"),
    "a top fraction of nothing": (
        {"strategy": "top_fraction", "options": {"Nsim": 10, "top_fraction": 0}},
        "top_fraction 0",
    ),
    "no priors": ({"priors": {}}, "0 priors"),
    "a prior of nothing": ({"priors": {"R0": ("unifrom", [1, 2], {})}}, '"unifrom" is not a distribution'),
    "a prior of too much": (
        {"priors": {"R0": ("uniform", [1, 2, 3, 4], {})}},
        "wrong arguments for the",
    ),
    "a prior of another parameter": ({"priors": {"R": ("uniform", [1, 2], {})}}, 'uses "R0", which is not a'),
    "nothing observed": ({"observed": []}, "0 observed series"),
    "a fit after the end": ({"fit_end": datetime.date(2199, 1, 1)}, "a fit to 2199-01-01 of a model from"),
    "a fit before the start": ({"fit_end": datetime.date(1999, 1, 1)}, "a fit to 1999-01-01 of a model from"),
    "fewer than no projections": ({"projections": -1}, "-1 projections"),
    "projections of nothing": ({"generation": 7}, "projections from generation 7"),
}
OBSERVED = {
    "short values": ({"values": np.ones(2)}, "values of cases: an array of float64 of shape (2,) instead of"),
    "values that are nan": ({"values": np.full(5, np.nan)}, "values of cases that are not finite"),
    "values beyond all bounds": ({"values": np.full(5, 1e300)}, "values of cases that are not finite"),
    "dates of numbers": ({"dates": np.arange(5)}, "dates of cases: an array of int64"),
    "fitted dates of numbers": ({"fitted": np.arange(5)}, "fitted of cases: an array of int64"),
    "nothing fitted": ({"fitted": np.zeros(5, dtype=bool)}, "nothing of cases is fitted"),
    "no series": ({"series": []}, "nothing of cases is fitted"),
    "a series of nothing": (
        {"series": ["I_to_Q_total"]},
        'is compared with "I_to_Q_total", which is no',
    ),
}


@pytest.fixture(scope="module")
def workload(tmp_path_factory):
    [workload] = build(tmp_path_factory.mktemp("calibrated"), calibrated())
    return workload


@pytest.mark.parametrize("engine", [CPU, EPYDEMIX])
@pytest.mark.parametrize("case", FORGED)
def test_a_calibration_that_cannot_be_right_is_refused_with_one_line(workload, case, engine):
    changes, said = FORGED[case]

    with pytest.raises(UserError) as caught:
        run_workload(replace(workload, task=replace(workload.task, **changes)), engine)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", OBSERVED)
def test_observed_data_that_cannot_be_right_are_refused_with_one_line(workload, case):
    changes, said = OBSERVED[case]
    observed = replace(workload.task.observed[0], **changes)

    with pytest.raises(UserError) as caught:
        run_workload(replace(workload, task=replace(workload.task, observed=[observed])))

    assert said in str(caught.value)
