"""A name or key that an experiment does not have is refused with its line and the nearest one."""

import pytest

from tests.bending import (
    CALIBRATION,
    DELETED,
    SAMPLING,
    calculated,
    check_mistake,
    mediators,
    prior,
    problems_of,
    put,
    rate,
)
from tests.experiments import calibrated, sampled, simulated

UNKNOWN_KEYS = [
    ("of the model", simulated, [put("model", "compartmets", [])], "compartments"),
    ("of the timespan", simulated, [put("model", "timespan", "enddate", "2025-02-01")], "end_date"),
    ("of a compartment", simulated, [put("model", "compartments", 1, "initial", 5)], "init"),
    ("of a transition", simulated, [put("model", "transitions", 0, "mediatr", "I")], "mediator"),
    ("of a mediator", simulated, mediators({"rate": "beta", "sources": ["I"]}), "source"),
    ("of a parameter", simulated, [put("model", "parameters", "gamma", "valeu", 1)], "value"),
    ("of the sampling", sampled, [put(*SAMPLING, "sampler", [])], "samplers"),
    ("of the strategy", calibrated, [put(*CALIBRATION, "strategy", "option", {})], "options"),
    (
        "of an option",
        calibrated,
        [put(*CALIBRATION, "strategy", "options", "num_particle", 5)],
        "num_particles",
    ),
    ("of a prior", calibrated, [put(*CALIBRATION, "parameters", "R0", "prior", "arg", [1])], "args"),
    ("of a comparison", calibrated, [put(*CALIBRATION, "comparison", 0, "simulations", [])], "simulation"),
    ("of the output", simulated, [put("output", "quantile", {})], "quantiles"),
    ("of the quantiles", simulated, [put("output", "quantiles", "selection", [])], "selections"),
]


@pytest.mark.parametrize(
    ("bends", "make", "near"), [pytest.param(b, m, n, id=i) for i, m, b, n in UNKNOWN_KEYS]
)
def test_an_unknown_key_is_refused_at_any_depth_with_its_line_and_the_near_one(tmp_path, bends, make, near):
    problems = problems_of(tmp_path, make(), bends)

    files = "".join(p.read_text() for p in (tmp_path / "experiments/trial/config").iterdir())
    assert f'(did you mean "{near}"?)' in problems[0]
    file, line, wrong = problems[0].split(":")[0], int(problems[0].split(":")[1]), problems[0].split('"')[1]
    assert wrong in (tmp_path / "experiments/trial/config" / file).read_text().splitlines()[line - 1]
    assert files.count(f"{wrong}:") == 1


# what is wrong: the experiment, how it is bent, and what the first line must say
MISTAKES = {
    "population": (
        simulated,
        [put("model", "population", "name", "US-VTT")],
        ["model.yaml:11:", '"US-VTT" is not a known population', 'did you mean "US-VT"', "ISO 3166"],
    ),
    "population of the modelset": (
        sampled,
        [put("model", "population", "name", DELETED), put("modelset", "population_names", ["US-VT", "US-M"])],
        ["modelset.yaml:4:", '"US-M" is not a known population'],
    ),
    "population beside all": (
        sampled,
        [put("model", "population", "name", DELETED), put("modelset", "population_names", ["all", "US-M"])],
        ["modelset.yaml:4:", '"US-M" is not a known population'],
    ),
    "another population in the modelset": (
        sampled,
        [put("modelset", "population_names", ["US-MA"])],
        ["modelset.yaml:3:", "US-MA is not the model's population US-VT; remove one"],
    ),
    "a population twice": (
        sampled,
        [put("modelset", "population_names", ["US-VT", "US-VT"])],
        ["modelset.yaml:4:", "duplicate population US-VT"],
    ),
    "an empty list of populations": (
        sampled,
        [put("modelset", "population_names", [])],
        ["modelset.yaml:2:", "population_names: it should be a list with at least 1 entry"],
    ),
    "no population": (
        simulated,
        [put("model", "population", "name", DELETED)],
        ["model.yaml:10:", "population.name", "US-MA"],
    ),
    "Norway written bare": (
        sampled,
        [put("modelset", "population_names", [False])],
        ["modelset.yaml:2:", "population_names: true or false (in YAML also yes, no, on, off)"],
    ),
    "compartment of a transition": (
        simulated,
        [put("model", "transitions", 0, "source", "SS")],
        ["model.yaml:25:", '"SS" is not a compartment (did you mean "S"?)', "S, I, R"],
    ),
    "mediator": (
        simulated,
        [put("model", "transitions", 0, "mediator", "II")],
        ["model.yaml:27:", '"II" is not a compartment (did you mean "I"?)'],
    ),
    "compartment of a mediator among several": (
        simulated,
        mediators({"rate": "beta", "source": ["I"]}, {"rate": 0.1, "source": ["I", "J"]}),
        ["model.yaml:32:", '"J" is not a compartment; there are S, I, R'],
    ),
    "compartment of the modelset": (
        calibrated,
        [put(*CALIBRATION, "compartments", {"Q": {"prior": {"name": "uniform", "args": [0, 9]}}})],
        ["modelset.yaml:30:", '"Q" is not a compartment of the model'],
    ),
    "compartment twice": (
        simulated,
        [put("model", "compartments", 2, "id", "I")],
        ["model.yaml:21:", 'duplicate compartment "I"; keep one'],
    ),
    "parameter of a rate": (
        simulated,
        rate("gama"),
        ["model.yaml:32:", '"gama", which is not a parameter (did you mean "gamma"?)'],
    ),
    "parameter of a rate among several": (
        simulated,
        mediators({"rate": "betta", "source": ["I"]}),
        ["model.yaml:28:", 'did you mean "beta"'],
    ),
    "parameter of a calculated one": (
        simulated,
        calculated("R00*gamma/eigenvalue"),
        ["model.yaml:40:", '"R00", which is not', 'did you mean "R0"'],
    ),
    "parameter of the modelset": (
        calibrated,
        [put(*CALIBRATION, "parameters", "R_0", {"prior": {"name": "uniform", "args": [1, 1]}})],
        ["modelset.yaml:24:", '"R_0" is not a parameter of the model (did you mean "R0"?)'],
    ),
    "a calibrated value that is nowhere given": (
        calibrated,
        [put("model", "parameters", "gamma", {"type": "calibrated"})],
        ["modelset.yaml:4:", 'the model says that "gamma" is calibrated, but it is not given here'],
    ),
    "a parameter named as a word of Python": (
        simulated,
        [put("model", "parameters", "lambda", {"type": "scalar", "value": 1}), *rate("lambda")],
        ["model.yaml:43:", '"lambda" is a keyword of expressions; choose another name'],
    ),
    "distribution": (
        calibrated,
        prior(name="unifrom", args=[1, 1]),
        ["modelset.yaml:19:", '"unifrom" is not a distribution of scipy.stats (did you mean "uniform"?)'],
    ),
    "arguments outside the domain": (
        calibrated,
        prior(name="uniform", args=[1, -1]),
        ["modelset.yaml:19:", "uniform(1.0, -1.0)", "domain"],
    ),
    "arguments missing": (
        calibrated,
        prior(name="beta", args=[2]),
        ["modelset.yaml:19:", "beta(2.0): wrong arguments"],
    ),
    "an argument by a name it has not": (
        calibrated,
        prior(name="uniform", kwargs={"scael": 2}),
        ["modelset.yaml:19:", "wrong arguments", "scael"],
    ),
    "whole numbers without end": (
        calibrated,
        prior(name="poisson", args=[2]),
        ["modelset.yaml:19:", "poisson has too many values for smc (0 to inf); use a bounded prior"],
    ),
    "strategy": (
        calibrated,
        [put(*CALIBRATION, "strategy", "name", "SCM")],
        [
            "modelset.yaml:6:",
            '"SCM" is not a strategy (did you mean "smc"?); use smc, rejection, top_fraction',
        ],
    ),
    "distance function": (
        calibrated,
        [put(*CALIBRATION, "distance_function", "rsme")],
        ["modelset.yaml:10:", '"rsme" should be', "'rmse', 'wmape', 'mae' or 'mape'", 'did you mean "rmse"'],
    ),
    "word for the start date": (
        calibrated,
        [put("model", "timespan", "start_date", "calibrate")],
        ["model.yaml:4:", '"calibrate" should be a date such as 2025-01-31 or', 'did you mean "calibrated"'],
    ),
    "transition of a comparison": (
        calibrated,
        [put(*CALIBRATION, "comparison", 0, "simulation", ["I_to_R"])],
        ["modelset.yaml:15:", '"I_to_R" is not a transition', "source_to_target_total"],
    ),
    "series of the quantiles": (
        simulated,
        [put("output", "quantiles", "transitions", ["S_to_I_totl"])],
        ["output.yaml:8:", '"S_to_I_totl" is not among the transitions (did you mean "S_to_I_total"?)'],
    ),
    "series in another case": (
        simulated,
        [put("output", "trajectories", "compartments", ["i_total"])],
        ["output.yaml:11:", '(did you mean "I_total"?)'],
    ),
    "series of the trajectories": (
        simulated,
        [put("output", "trajectories", "compartments", ["I_0-18"])],
        ["output.yaml:11:", '"I_0-18" is not among the compartments (did you mean "I_0-17"?)'],
    ),
    "frequency": (
        simulated,
        [put("model", "simulation", "resample_frequency", "W-SAX")],
        ["model.yaml:9:", '"W-SAX" is not a frequency; use D, 7D, W-SAT, MS or ME'],
    ),
    "frequency of nothing": (
        simulated,
        [put("model", "simulation", "resample_frequency", "0D")],
        ["model.yaml:9:", '"0D" is not a frequency'],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_its_remedy(tmp_path, name):
    check_mistake(tmp_path, *MISTAKES[name])
