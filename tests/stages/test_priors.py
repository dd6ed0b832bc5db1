"""A distribution of scipy.stats that can be drawn from is a prior; any other is refused at its place."""

from datetime import date

import pytest

from modeling.simulate.run import run_workload
from tests.bending import CALIBRATION, SAMPLING, calibrated_start, problems_of, put
from tests.builds import build
from tests.experiments import calibrated, sampled

DISCRETE = {
    "binom": {"args": [5, 0.3]},
    "binom, written with a point": {"args": [5.0, 0.3]},
    "binom by names": {"kwargs": {"n": 5, "p": 0.3}},
    "randint": {"args": [1, 6]},
    "randint by names": {"kwargs": {"low": 1, "high": 6, "loc": 2}},
    "betabinom": {"args": [5, 2, 3]},
    "hypergeom": {"args": [30, 12, 6]},
    "boltzmann": {"args": [1, 9]},
    "zipfian": {"args": [2, 8]},
}
ENDLESS = {
    "poisson": {"args": [3]},
    "nbinom": {"args": [4, 0.5]},
    "geom": {"args": [0.5]},
    "planck": {"args": [1]},
    "zipf": {"args": [4]},
}


@pytest.mark.parametrize("name", DISCRETE)
def test_a_discrete_prior_with_whole_numbers_is_calibrated(tmp_path, name):
    experiment = calibrated()
    drawn = {"name": name.split()[0].strip(","), **DISCRETE[name]}
    for bend in calibrated_start("randint", [0, 3]):
        bend(experiment)
    put(*CALIBRATION, "start_date", "prior", drawn)(experiment)

    [workload] = build(tmp_path, experiment)
    result = run_workload(workload)

    days = result.generations[-1].particles[:, result.parameter_names.index("start_date")]
    assert (days == days.astype(int)).all()
    assert len(set(days)) > 1


@pytest.mark.parametrize("name", ENDLESS)
def test_whole_numbers_without_end_are_calibrated_by_rejection(tmp_path, name):
    experiment = calibrated()
    put(*CALIBRATION, "strategy", {"name": "rejection", "options": {"num_particles": 5, "epsilon": 1e12}})(
        experiment
    )
    put(*CALIBRATION, "parameters", "R0", "prior", {"name": name, **ENDLESS[name]})(experiment)

    [workload] = build(tmp_path, experiment)
    result = run_workload(workload)

    assert len(result.generations[-1].particles) == 5


WRONG = {
    "a list": ({"name": "uniform", "kwargs": {"loc": [1]}}, "kwargs.loc: it should be a number"),
    "a mapping": ({"name": "uniform", "kwargs": {"loc": {"a": 1}}}, "kwargs.loc: it should be a number"),
    "a yes": ({"name": "uniform", "kwargs": {"loc": True}}, "loc: true or false"),
    "a text": ({"name": "uniform", "kwargs": {"loc": "far"}}, 'kwargs.loc: "far" should be a number'),
    "nothing": ({"name": "uniform", "kwargs": {"loc": None}}, "kwargs.loc: it should be a number"),
    "a date": ({"name": "uniform", "kwargs": {"loc": date(2025, 1, 1)}}, '"2025-01-01" should be a number'),
    "a list of arguments": ({"name": "uniform", "args": [[0, 1]]}, "args.0: it should be a number"),
    "a name that is a number": ({"name": "uniform", "kwargs": {3: 1}}, '"3" should be text'),
    "one of its own": ({"name": "uniform", "kwargs": {"size": 3}}, "unexpected keyword argument 'size'"),
    "an argument twice": ({"name": "norm", "args": [1], "kwargs": {"loc": 2}}, "multiple values"),
    "of type custom": ({"type": "custom", "name": "mine"}, "custom are not built; use one of scipy"),
    "several variables": ({"name": "multivariate_normal"}, '"multivariate_normal" is not a distribution'),
    "a class": ({"name": "rv_continuous"}, '"rv_continuous" is not a distribution'),
    "an attribute": ({"name": "norm.__init__"}, '"norm.__init__" is not a distribution'),
    "no width": ({"name": "norm", "kwargs": {"scale": 0}}, "norm(scale=0.0): arguments outside"),
    "half a trial": ({"name": "binom", "args": [5.5, 0.3]}, "binom(5.5, 0.3): arguments outside"),
    "half a place": ({"name": "randint", "args": [0, 9], "kwargs": {"loc": 0.5}}, "must be a whole number"),
    "huge draws": ({"name": "pareto", "args": [1e-15]}, "draws values beyond 1e+15"),
    "no density": ({"name": "gamma", "args": [1e-15]}, "no finite density"),
    "slow draws": ({"name": "studentized_range", "args": [3, 10]}, "takes too long to draw from"),
    "no end": ({"name": "nct", "args": [1e9, 1e9]}, "takes too long to draw from"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_prior_that_cannot_be_drawn_from_is_refused_at_its_place(tmp_path, name):
    prior, message = WRONG[name]

    [problem] = problems_of(tmp_path, calibrated(), [put(*CALIBRATION, "parameters", "R0", "prior", prior)])

    assert problem.startswith("modelset.yaml:")
    assert message in problem


def start_by(name: str, args: list) -> list:
    drawn = {"reference_date": "2025-01-05", "distribution": {"name": name, "args": args}}
    sampler = {"strategy": "LHS", "n_samples": 50, "parameters": ["start_date"]}
    return [
        put("model", "timespan", "start_date", "sampled"),
        put(*SAMPLING, "start_date", drawn),
        put(*SAMPLING, "samplers", [{"strategy": "grid", "parameters": ["R0"]}, sampler]),
    ]


@pytest.mark.parametrize("scale", [1e6, 1e14])
def test_a_sampled_start_date_outside_the_calendar_is_refused(tmp_path, scale):
    [problem] = problems_of(tmp_path, sampled(), start_by("norm", [0, scale]))

    assert problem.startswith("modelset.yaml:")
    assert "is not between 1900-01-01 and 2200-12-31" in problem
