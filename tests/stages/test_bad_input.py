"""A mistake gets one line that says what, where and how to mend it; nothing half-written stays."""

import hashlib
import json
import math
import pickle
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.bending import (
    CALIBRATION,
    DELETED,
    SAMPLING,
    Bend,
    calibrated_start,
    problems_in,
    problems_of,
    put,
)
from tests.experiments import (
    OBSERVED,
    POPULATIONS,
    REPOSITORY,
    calibrated,
    sampled,
    simulated,
    write_repository,
)
from tests.stage_scripts import Ended, Stages


def rate(text) -> list[Bend]:
    return [put("model", "transitions", 1, "rate", text)]


def calculated(text) -> list[Bend]:
    return [put("model", "parameters", "beta", "value", text)]


def prior(**content) -> list[Bend]:
    return [put(*CALIBRATION, "parameters", "R0", "prior", content)]


def sampled_people(least: float, most: float) -> list[Bend]:
    sampler = {"strategy": "LHS", "n_samples": 4, "compartments": ["I"]}
    return [
        put("model", "compartments", 1, "init", "sampled"),
        put(*SAMPLING, "compartments", {"I": {"min": least, "max": most}}),
        put(*SAMPLING, "samplers", [{"strategy": "grid", "parameters": ["R0"]}, sampler]),
    ]


def mediators(*content: dict) -> list[Bend]:
    transition = {"type": "multi_mediated", "source": "S", "target": "I", "mediators": list(content)}
    return [put("model", "transitions", 0, transition)]


# -- the YAML files

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
    # names
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
    # expressions
    "unfinished expression": (
        simulated,
        rate("gamma *"),
        ["model.yaml:32:", '"gamma *" is not an arithmetic'],
    ),
    "empty expression": (simulated, rate(""), ["model.yaml:32:", "is not an arithmetic"]),
    "a call into Python": (
        simulated,
        rate("__import__('os').system('x')"),
        ["model.yaml:32:", "is not allowed; use numbers, parameters"],
    ),
    "a call into Python, calculated": (
        simulated,
        calculated("__import__('os').system('x')"),
        ["model.yaml:40:", "is not allowed; docs/experiments.md lists the functions"],
    ),
    "an attribute": (
        simulated,
        calculated("gamma.__class__"),
        ["model.yaml:40:", '"gamma.__class__" is not allowed'],
    ),
    "a function of numpy that is none": (
        simulated,
        calculated("np.load(1)"),
        ["model.yaml:40:", "is not allowed"],
    ),
    "a comment inside an expression, calculated": (
        simulated,
        calculated("R0 * gamma # a chance\n/ eigenvalue"),
        ["model.yaml:40:", '"#" does not start a comment here'],
    ),
    "a comment inside a rate": (simulated, rate("gamma # a day"), ["model.yaml:32:", '"#" does not start']),
    "a comment inside a number": (
        simulated,
        [put("model", "parameters", "gamma", "value", "1/4 # days")],
        ["model.yaml:37:", '"#" does not start'],
    ),
    "an argument too many, which numpy would write to": (
        simulated,
        calculated("np.minimum(R0, gamma, R0)"),
        ["model.yaml:40:", "np.minimum takes 2 arguments, not 3"],
    ),
    "a function that corrupts memory": (
        simulated,
        calculated("scipy.special.pro_cv(1000, 1000, 1000)"),
        ["model.yaml:40:", '"scipy.special.pro_cv" is not allowed'],
    ),
    "a function that a rate cannot have": (
        simulated,
        rate("np.exp(gamma)"),
        ["model.yaml:32:", "is not allowed"],
    ),
    "a lambda": (simulated, rate("(lambda: 1)()"), ["model.yaml:32:", "is not allowed"]),
    "a comprehension": (simulated, calculated("[x for x in [1]]"), ["model.yaml:40:", "is not allowed"]),
    "a condition": (simulated, rate("gamma if 1 else 2"), ["model.yaml:32:", "is not allowed"]),
    "a text": (simulated, rate("'gamma'"), ["model.yaml:32:", "only numbers and parameter names"]),
    "deep nesting": (simulated, rate("-" * 500 + "gamma"), ["model.yaml:32:", "nested too deeply"]),
    "many brackets": (
        simulated,
        rate("(" * 900 + "gamma" + ")" * 900),
        ["model.yaml:32:", "not an arithmetic"],
    ),
    "length": (simulated, rate("gamma+" * 500 + "gamma"), ["model.yaml:32:", "longer than 2000"]),
    "huge exponent": (simulated, rate("gamma*9**9**9**9"), ["model.yaml:32:", "has no value"]),
    "huge exponent, calculated": (simulated, calculated("9**9**9**9"), ["model.yaml:40:", "has no value"]),
    "over several lines": (
        simulated,
        rate("gamma *\n* 2 /"),
        ["model.yaml:32:", '"gamma * * 2 /" is not an arithmetic'],
    ),
    "division by zero": (simulated, calculated("R0/(gamma-gamma)"), ["model.yaml:40:", "division by zero"]),
    "division by zero in a rate": (simulated, rate("gamma/(R0-R0)"), ["model.yaml:32:", "division by zero"]),
    "division by zero of numbers": (simulated, rate("1/0"), ["model.yaml:32:", "division by zero"]),
    "cycle": (
        simulated,
        [put("model", "parameters", "gamma", {"type": "calculated", "value": "beta/2"})],
        ["model.yaml:37:", "parameters depend on each other: gamma -> beta -> gamma"],
    ),
    "two values for three age groups": (
        simulated,
        calculated("[0.1, 0.2]"),
        ["model.yaml:40:", "shape (2,)", "3 age groups"],
    ),
    "a list for a scalar": (
        simulated,
        [put("model", "parameters", "gamma", "value", "[0.1, 0.2, 0.3]")],
        ["model.yaml:37:", "more than one number; use type age_varying"],
    ),
    "too few values by age": (
        simulated,
        [put("model", "parameters", "gamma", {"type": "age_varying", "values": [0.1, 0.2]})],
        ["model.yaml:39:", "2 values for 3 age groups"],
    ),
    # numbers
    "negative rate": (simulated, rate(-1), ["model.yaml:32:", "the rate of I -> R is negative (-1)"]),
    "negative rate as text": (simulated, rate("-1"), ["model.yaml:32:", "negative (-1)"]),
    "negative rate by a parameter": (
        simulated,
        [put("model", "parameters", "gamma", "value", -0.25)],
        ["model.yaml:28:", "rate", "negative"],
    ),
    "negative rate in one age group": (
        simulated,
        [
            put("model", "parameters", "gamma", {"type": "age_varying", "values": [0.2, -0.3, 0.1]}),
            *calculated("0.1"),
        ],
        ["model.yaml:32:", 'the rate "gamma" of I -> R is negative (-0.3)'],
    ),
    "negative rate by a grid": (
        sampled,
        [put(*SAMPLING, "parameters", "R0", "values", [1.5, -1])],
        ["model.yaml:28:", "negative"],
    ),
    "negative people": (
        simulated,
        [put("model", "compartments", 1, "init", -5)],
        ["model.yaml:20:", "negative (-5)"],
    ),
    "negative people in one age group": (
        simulated,
        [put("model", "compartments", 1, "init", [1, -5, 1])],
        ["model.yaml:20:", "negative (-5)"],
    ),
    "no trajectories": (
        simulated,
        [put("model", "simulation", "n_sims", 0)],
        ["model.yaml:8:", "n_sims", "greater than or equal to 1"],
    ),
    "half a trajectory": (
        simulated,
        [put("model", "simulation", "n_sims", 1.5)],
        ["model.yaml:8:", '"1.5" should be a whole number'],
    ),
    "no time step": (
        simulated,
        [put("model", "timespan", "delta_t", 0)],
        ["model.yaml:6:", "delta_t", "than 0"],
    ),
    "a yes for a number": (
        simulated,
        [put("model", "timespan", "delta_t", True)],
        ["model.yaml:6:", "true or false"],
    ),
    "a word for a number": (
        simulated,
        [put("model", "compartments", 1, "init", "many")],
        ["model.yaml:20:", '"many" should be', "'default', 'sampled' or 'calibrated' or a number or a list"],
    ),
    "a count of zero particles": (
        calibrated,
        [put(*CALIBRATION, "strategy", "options", "num_particles", 0)],
        ["modelset.yaml:8:", "num_particles", "greater than or equal to 2"],
    ),
    "a time that is none": (
        calibrated,
        [put(*CALIBRATION, "strategy", "options", "max_time", "soon")],
        ["modelset.yaml:10:", '"soon" is not a duration; write 45s, 30m, 1h30m or 2D'],
    ),
    "a schedule too short": (
        calibrated,
        [put(*CALIBRATION, "strategy", "options", "epsilon_schedule", [5])],
        ["modelset.yaml:7:", "epsilon_schedule has 1 values for 2 generations"],
    ),
    "epsilon that rises": (
        calibrated,
        [put(*CALIBRATION, "strategy", "options", "epsilon_schedule", [5, 8])],
        ["modelset.yaml:", "epsilon_schedule must not rise: 8 follows 5"],
    ),
    "epsilon below 0": (
        calibrated,
        [put(*CALIBRATION, "strategy", "options", "epsilon_schedule", [5, -1])],
        ["modelset.yaml:", "epsilon_schedule", "greater than or equal to 0"],
    ),
    "particles beyond counting": (
        calibrated,
        [put(*CALIBRATION, "strategy", "options", "num_particles", 10**10)],
        ["modelset.yaml:8:", "num_particles", "less than or equal to 1000000000"],
    ),
    "no rejection allowed": (
        calibrated,
        [put(*CALIBRATION, "strategy", "options", "max_consecutive_rejections", 0)],
        ["modelset.yaml:", "max_consecutive_rejections", "greater than or equal to 1"],
    ),
    "a longer time than there is": (
        calibrated,
        [put(*CALIBRATION, "strategy", "options", "max_time", f"{'9' * 400}D")],
        ["modelset.yaml:", "max_time", "is longer than 1000 days"],
    ),
    "a generation there is not": (
        calibrated,
        [put(*CALIBRATION, "projection", "generation_number", 2)],
        ["modelset.yaml:29:", "generation 2 of 2; they count from 0"],
    ),
    # proportions and people
    "shares above 1": (
        simulated,
        [put("model", "compartments", 1, "init", 0.6), put("model", "compartments", 2, "init", 0.6)],
        ["model.yaml:16:", 'age group "0-17" add up to 1.2, more than 1'],
    ),
    "quantile above 1": (
        simulated,
        [put("output", "quantiles", "selections", [0.5, 1.5])],
        ["output.yaml:3:", "quantile 1.5 is not between 0 and 1"],
    ),
    "top fraction above 1": (
        calibrated,
        [put(*CALIBRATION, "strategy", {"name": "top_fraction", "options": {"top_fraction": 1.5}})],
        ["modelset.yaml:8:", "top_fraction", "less than or equal to 1"],
    ),
    "top fraction of nobody": (
        calibrated,
        [
            put(
                *CALIBRATION,
                "strategy",
                {"name": "top_fraction", "options": {"top_fraction": 0.01, "Nsim": 10}},
            )
        ],
        ["modelset.yaml:7:", "top_fraction 0.01 of 10 simulations keeps none; raise top_fraction or Nsim"],
    ),
    "more people than live there": (
        simulated,
        [put("model", "compartments", 1, "init", 3_000_000)],
        ["model.yaml:16: US-VT:", "people where there are"],
    ),
    "more people of one age than live there": (
        simulated,
        [put("model", "compartments", 1, "init", [500_000, 0, 0])],
        ["model.yaml:16: US-VT:", "place 511464 people where there are 114636"],
    ),
    "more people by counts and shares": (
        simulated,
        [put("model", "compartments", 1, "init", 600_000), put("model", "compartments", 2, "init", 0.9)],
        ["model.yaml:16: US-VT:", "people where there are"],
    ),
    "more people by sampling": (
        sampled,
        sampled_people(10, 3_000_000),
        ["modelset.yaml:", "US-VT:", "people where there are", "narrow the ranges"],
    ),
    "everybody nowhere": (
        simulated,
        [put("model", "compartments", i, "init", 0) for i in range(3)],
        ["model.yaml:16:", 'one compartment needs "init: default"'],
    ),
    "an age gap": (
        simulated,
        [put("model", "population", "age_groups", ["0-17", "20+"])],
        ["model.yaml:14:", 'age group "20+" must start at 18'],
    ),
    "a closed last age group": (
        simulated,
        [put("model", "population", "age_groups", ["0-17", "18-64"])],
        ["model.yaml:12:", 'the last age group must be open, e.g. "18+"'],
    ),
    # dates
    "end before start": (
        simulated,
        [put("model", "timespan", "end_date", "2024-12-31")],
        ["model.yaml:5:", "end_date 2024-12-31 is before start_date 2025-01-05"],
    ),
    "no such day": (
        simulated,
        [put("model", "timespan", "end_date", "2025-02-30")],
        ["model.yaml:5:", '"2025-02-30" should be a date such as 2025-01-31'],
    ),
    "window backwards": (
        calibrated,
        [put(*CALIBRATION, "fitting_window", {"start_date": "2025-02-01", "end_date": "2025-01-11"})],
        ["modelset.yaml:24:", "end_date 2025-01-11 must be after start_date 2025-02-01"],
    ),
    "window after the model's end": (
        calibrated,
        [put(*CALIBRATION, "fitting_window", "end_date", "2025-03-01")],
        ["modelset.yaml:26:", "the fitting window ends 2025-03-01, after the model's end_date 2025-02-15"],
    ),
    "window before the model's start": (
        calibrated,
        [put("model", "timespan", "start_date", "2025-02-02")],
        ["modelset.yaml:13:", "the last fitted date, 2025-02-01, is before the start 2025-02-02"],
    ),
    "window from before the model's start": (
        calibrated,
        [put("model", "timespan", "start_date", "2025-01-19")],
        ["modelset.yaml:13:", "fitted date 2025-01-11 is before the model's start_date 2025-01-19"],
    ),
    "window that begins within an interval": (
        calibrated,
        [put("model", "timespan", "start_date", "2025-01-08")],
        ["modelset.yaml:13:", "2025-01-11 covers days from 2025-01-05 on, before the model's start_date"],
    ),
    "window that ends within an interval": (
        calibrated,
        [
            put("model", "simulation", "resample_frequency", "7D"),
            put("model", "timespan", "start_date", "2025-01-04"),
            put("model", "timespan", "end_date", "2025-02-04"),
        ],
        ["modelset.yaml:13:", "covers days up to 2025-02-07, after the model's end_date 2025-02-04"],
    ),
    "people in fractions": (
        simulated,
        [put("model", "compartments", 1, "init", 1.5)],
        ["model.yaml:", "1.5 is neither a share (below 1) nor a number of people (whole)"],
    ),
    "shares and people in one range": (
        sampled,
        sampled_people(0.5, 20),
        ["modelset.yaml:", "0.5 to 20 mixes shares of the people"],
    ),
    "the same series twice": (
        calibrated,
        [put(*CALIBRATION, "comparison", 0, "simulation", ["I_to_R_total", "I_to_R_total"])],
        ["modelset.yaml:", 'duplicate "I_to_R_total"'],
    ),
    "posterior of a generation that is none": (
        calibrated,
        [put("output", "posteriors", {"generations": [7]})],
        ["output.yaml:", "generation 7 of 2"],
    ),
    "calibrated start beyond the window": (
        calibrated,
        calibrated_start("randint", [0, 60]),
        [
            "modelset.yaml:31:",
            "59 days after 2025-01-05",
            "past the end of the fitting window 2025-02-01",
            "to 27",
        ],
    ),
    "calibrated start without end": (
        calibrated,
        calibrated_start("expon", [0]),
        ["modelset.yaml:31:", "inf days"],
    ),
    "calibrated start before its reference": (
        calibrated,
        calibrated_start("randint", [-5, 5]),
        ["modelset.yaml:31:", "cannot be negative (-5)"],
    ),
    "calibrated start between time steps": (
        calibrated,
        [*calibrated_start("randint", [0, 9]), put("model", "timespan", "delta_t", 7)],
        ["model.yaml:6:", "steps of 7 days depend on the start date"],
    ),
    "time steps that belong to two days": (
        simulated,
        [put("model", "timespan", "delta_t", 0.3)],
        ["model.yaml:6:", "0.3 days is neither a whole number of days nor an even part", "use 1, 0.5, 0.25"],
    ),
    "no interval that is simulated whole": (
        simulated,
        [
            put("model", "timespan", "start_date", "2025-01-06"),
            put("model", "timespan", "end_date", "2025-01-09"),
        ],
        ["model.yaml:", "no interval of W-SAT is simulated whole from 2025-01-06 to 2025-01-09"],
    ),
    "observed days beside half days": (
        calibrated,
        [
            put("model", "timespan", "delta_t", 0.5),
            put("model", "simulation", "resample_frequency", None),
        ],
        ["modelset.yaml:", "observed days cannot be compared with steps of 0.5 days", "D or W-SAT"],
    ),
    "observed dates between those reported": (
        calibrated,
        [put("model", "simulation", "resample_frequency", "7D")],
        ["modelset.yaml:", "fitted date 2025-01-11 is not among those that the model reports"],
    ),
    "calibrated start with dates that depend on it": (
        calibrated,
        [*calibrated_start("randint", [0, 9]), put("model", "simulation", "resample_frequency", "7D")],
        ["7D depends on the start date, which is calibrated; use W-SAT or D"],
    ),
    # not built
    "vaccination": (
        simulated,
        [
            put("model", "transitions", 1, {"type": "vaccination", "source": "S", "target": "R"}),
            put("output", DELETED),
            put(
                "model",
                "vaccination",
                {
                    "scenario_data_path": "doses.csv",
                    "scenario": "A_B",
                    "origin_compartment": "S",
                    "eligible_compartments": ["S"],
                },
            ),
        ],
        ["model.yaml:", "vaccination is not built into this version; leave it out, or use MODELING_SUITE"],
    ),
    "seasonality": (
        simulated,
        [
            put(
                "model",
                "seasonality",
                {
                    "target_parameter": "R0",
                    "method": "balcan",
                    "max_value": 1,
                    "min_value": 0.5,
                    "seasonality_max_date": "2024-10-01",
                },
            )
        ],
        ["model.yaml:43:", "seasonality is not built into this version"],
    ),
    "interventions": (
        simulated,
        [put("model", "interventions", [{"type": "school_closure", "scaling_factor": 0.3}])],
        ["model.yaml:43:", "interventions is not built into this version"],
    ),
    "hub file": (
        calibrated,
        [put("output", "flusight_format", {"reference_date": "2025-02-01"})],
        ["output.yaml:16:", "flusight_format is not built into this version"],
    ),
    "distribution of one's own": (
        calibrated,
        prior(type="custom", name="mine"),
        ["modelset.yaml:19:", "custom are not built; use one of scipy"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_its_remedy(tmp_path, name):
    make, bends, fragments = MISTAKES[name]

    problems = problems_of(tmp_path, make(), bends)

    for fragment in fragments:
        assert fragment in problems[0]


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize(
    ("make", "path"),
    [
        (simulated, ("model", "parameters", "R0", "value")),
        (simulated, ("model", "transitions", 1, "rate")),
        (simulated, ("model", "compartments", 1, "init")),
        (simulated, ("model", "timespan", "delta_t")),
        (simulated, ("output", "quantiles", "selections", 0)),
        (sampled, (*SAMPLING, "parameters", "R0", "values", 1)),
        (calibrated, (*CALIBRATION, "parameters", "R0", "prior", "args", 1)),
    ],
    ids=["parameter", "rate", "people", "time step", "quantile", "grid", "prior"],
)
def test_a_number_that_is_not_finite_is_refused_with_its_line(tmp_path, make, path, number):
    problems = problems_of(tmp_path, make(), [put(*path, number)])

    assert len(problems) == 1
    file, line, message = problems[0].split(":", 2)
    assert message.endswith("is not a finite number")
    assert (
        message.split()[0]
        in (tmp_path / "experiments/trial/config" / file).read_text().splitlines()[int(line) - 1]
    )


BROKEN_FILES = {
    "a list left open": ("model.yaml", "model: [1,\n", ["model.yaml:2:", "not valid YAML"]),
    "a tab": ("model.yaml", "model:\n\ttimespan: 1\n", ["model.yaml:2:", "not valid YAML", "'\\t'"]),
    "a key twice": (
        "model.yaml",
        "model:\n  name: a\n  name: b\n",
        ["model.yaml:3:", 'duplicate key "name"'],
    ),
    "no such day": (
        "model.yaml",
        "model:\n  name: 2025-02-30\n",
        ["model.yaml:2:", '"2025-02-30" is not a valid date'],
    ),
    "two documents": ("model.yaml", "model: {}\n---\nmodel: {}\n", ["model.yaml:2:", "another document"]),
    "a byte that is no text": ("model.yaml", "model: \x00\n", ["model.yaml:", "not valid YAML"]),
    "an object of Python": (
        "model.yaml",
        "model: !!python/name:os.system\n",
        ["model.yaml:1:", "not valid YAML"],
    ),
    "an anchor in itself": (
        "model.yaml",
        "model: &a {x: *a}\n",
        ["model.yaml:", "an anchor contains itself"],
    ),
    "depth": ("model.yaml", f"model: {'[' * 3000}{']' * 3000}\n", ["model.yaml:", "nested too deeply"]),
    "anchors that multiply": (
        "model.yaml",
        "model:\n  a0: &a0 [1, 1]\n"
        + "".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)),
        ["model.yaml:", "more than 400000 keys"],
    ),
    "two files of one kind": (
        "other.yml",
        "model: {}\n",
        ["other.yml and model.yaml both have the key", "keep one of them"],
    ),
    "a file of no kind": (
        "extra.yaml",
        "modl: {}\n",
        ["extra.yaml:", "model, modelset or output", 'found modl (did you mean "model"?)'],
    ),
    "a file with two kinds": (
        "extra.yaml",
        "modelset: {}\noutput: {}\n",
        ["extra.yaml: modelset, output in one file; put each into a file of its own"],
    ),
    "an empty file": ("extra.yaml", "", ["extra.yaml:", "found nothing"]),
    "an empty model": ("model.yaml", "model:\n", ["model.yaml:1:", "should be a mapping"]),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_file_that_is_no_part_of_an_experiment_is_told_by_name(tmp_path, name):
    file, text, fragments = BROKEN_FILES[name]
    config = write_repository(tmp_path, simulated())
    (config / file).write_text(text)

    problems = problems_in(config)

    for fragment in fragments:
        assert fragment in problems[0]


# -- observed data


def observed_without(text: str, instead: str = "") -> str:
    assert text in OBSERVED
    return OBSERVED.replace(text, instead)


OBSERVED_MISTAKES = {
    "missing file": (
        [put(*CALIBRATION, "observed_data_path", "data/nope.csv")],
        OBSERVED,
        ["modelset.yaml:11:", "no file data/nope.csv in"],
    ),
    "column of values": (
        [put(*CALIBRATION, "comparison", 0, "observed_value_column", "csaes")],
        OBSERVED,
        ["modelset.yaml:13:", 'no column "csaes" (did you mean "cases"?)'],
    ),
    "column of dates": (
        [put(*CALIBRATION, "comparison", 0, "observed_date_column", "day")],
        OBSERVED,
        ["modelset.yaml:13:", 'no column "day"', "date, geo_value, cases"],
    ),
    "column of places": (
        [put(*CALIBRATION, "comparison", 0, "observed_location_column", "geo_valu")],
        OBSERVED,
        ["modelset.yaml:13:", '(did you mean "geo_value"?)'],
    ),
    "no such place": (
        [],
        OBSERVED.replace("US-VT", "US-ME"),
        ["modelset.yaml:13:", "no rows for US-VT in column geo_value; it has US-MA, US-ME"],
    ),
    "no such place and a row cut short": (
        [],
        OBSERVED.replace("US-VT", "US-ME") + "2025-02-15\n",
        ['observed.csv:8: 1 field instead of 3: column "geo_value" is missing'],
    ),
    "no rows": ([], "date,geo_value,cases\n", ["modelset.yaml:13:", "have no rows"]),
    "nothing in the window": (
        [
            put("model", "timespan", "start_date", "2024-01-01"),
            put(*CALIBRATION, "fitting_window", {"start_date": "2024-02-01", "end_date": "2024-03-01"}),
        ],
        OBSERVED,
        ["modelset.yaml:13:", "nothing for US-VT", "2024-02-01 to 2024-03-01", "2025-01-11 to"],
    ),
    "no number": ([], observed_without("950", "many"), ['observed.csv:3: "many" is not a number']),
    "negative": ([], observed_without("950", "-950"), ["observed.csv:3: -950 is not a count"]),
    "not finite": ([], observed_without("950", "inf"), ["observed.csv:3: inf is not a count"]),
    "no date": (
        [],
        observed_without("2025-01-18", "18/01/2025"),
        ['observed.csv:3: "18/01/2025" is not a date like'],
    ),
    "a date twice": (
        [],
        OBSERVED + "2025-01-18,US-VT,7\n",
        ["observed.csv:8: duplicate date 2025-01-18 for US-VT (first in line 3)"],
    ),
    "wrong weekday": (
        [],
        observed_without("2025-01-18", "2025-01-19"),
        [
            "observed.csv:3: 2025-01-19 (Sunday) is not reported with resample_frequency W-SAT",
            "correct the date",
        ],
    ),
    "all places without brackets": (
        [put("modelset", "population_names", "all")],
        OBSERVED,
        ["modelset.yaml:2:", '"all" should be a list, such as [all]'],
    ),
    "wrong weekday of the model": (
        [put("model", "simulation", "resample_frequency", "W-SUN")],
        OBSERVED,
        [
            "(Saturday) is not reported with",
            "set simulation.resample_frequency (model.yaml:9) to W-SAT if a date ends its interval, "
            "7D if it starts it",
        ],
    ),
    "semicolons": (
        [],
        OBSERVED.replace(",", ";"),
        ["modelset.yaml:13:", "separated by semicolons; commas are needed"],
    ),
    "nothing but zeros for a relative distance": (
        [put(*CALIBRATION, "distance_function", "wmape")],
        "".join(
            f"{line.rpartition(',')[0]},{'cases' if n == 0 else 0}\n"
            for n, line in enumerate(OBSERVED.splitlines())
        ),
        ["modelset.yaml:13:", "all values in the fitting window are 0", "use rmse or mae"],
    ),
}


@pytest.mark.parametrize("name", OBSERVED_MISTAKES)
def test_unusable_observed_data_are_told_with_file_and_line(tmp_path, name):
    bends, observed, fragments = OBSERVED_MISTAKES[name]

    problems = problems_of(tmp_path, calibrated(), bends, observed)

    for fragment in fragments:
        assert fragment in problems[0]


@pytest.mark.parametrize(
    ("make", "count", "fragment"),
    [
        (sampled, 2, "COUNT=2 splits a model-only experiment"),
        (calibrated, 2, "leave COUNT out"),
        (simulated, 7, "model.yaml:8: 6 trajectories cannot be split into COUNT=7"),
    ],
)
def test_a_count_that_cannot_be_is_refused(tmp_path, make, count, fragment):
    assert fragment in problems_of(tmp_path, make(), [], count=count)[0]


# -- through the doors: the stages as processes


def refused(ended: Ended) -> str:
    """Return the one line of a stage that ended because of a user's mistake."""
    assert ended.exit_code == 2, ended.output
    assert "Traceback" not in ended.output
    errors = [line for line in ended.lines if "error" in line]
    assert len(errors) == 1, ended.output
    assert ended.last_line == errors[0]
    return errors[0]


BUILDER = {
    "missing experiment": (
        {"EXP_ID": "trail"},
        ["no such experiment", '(did you mean "trial"?)', "there are: trial"],
    ),
    "missing experiment of a group": (
        {"EXP_ID": "flu/trial"},
        ["experiments/flu/trial/config: no such experiment", '(did you mean "trial"?)', "there are: trial"],
    ),
    "experiment id that climbs": ({"EXP_ID": "../trial"}, ['EXP_ID="../trial"', "no .."]),
    "experiment id with a space": ({"EXP_ID": "a trial"}, ['EXP_ID="a trial"', "letters, digits"]),
    "experiment id too long": ({"EXP_ID": "a" * 129}, ["129 characters; 128 at most"]),
    "no experiment id": ({"EXP_ID": ""}, ["EXP_ID is not set"]),
    "run id": ({"RUN_ID": "today"}, ['RUN_ID="today"', "looks like 20260131-120000-0a1b2c3d"]),
    "execution mode": ({"EXECUTION_MODE": "clowd"}, ['EXECUTION_MODE="clowd"', "use local, cloud"]),
    "forecast repository": (
        {"FORECAST_REPO_DIR": "/nowhere"},
        ["/nowhere/experiments/trial", "no such experiment"],
    ),
    "population data": (
        {"EPYDEMIX_DATA_DIR": "/nowhere"},
        ['EPYDEMIX_DATA_DIR="/nowhere"', "no such folder"],
    ),
    "count of nothing": ({"COUNT": 0}, ['COUNT="0"', "whole number from 1"]),
    "count above the trajectories": ({"COUNT": 7}, ["model.yaml:8:", "6 trajectories", "COUNT=7"]),
    "output configuration": (
        {"OUTPUT_CONFIG_FILE": "nope.yaml"},
        ["OUTPUT_CONFIG_FILE=nope.yaml", "no such file"],
    ),
    "output configuration of another kind": (
        {"OUTPUT_CONFIG_FILE": "model.yaml"},
        ["model.yaml:", 'must have the key "output"'],
    ),
    "several at once": ({"RUN_ID": "today", "EXP_ID": "", "COUNT": "x"}, ["RUN_ID", "EXP_ID", "COUNT"]),
}


@pytest.mark.parametrize("name", BUILDER)
def test_a_builder_with_a_wrong_setting_writes_nothing(tmp_path, name):
    variables, fragments = BUILDER[name]
    stages = Stages(tmp_path, simulated())

    line = refused(stages.run("builder", **variables))

    for fragment in fragments:
        assert fragment in line
    assert not (tmp_path / "bucket").exists()


def test_a_mistyped_experiment_is_told_with_those_of_every_group(tmp_path):
    stages = Stages(tmp_path, simulated(), "flu/2026-w05")

    line = refused(stages.run("builder", EXP_ID="flu/2026-w06"))

    assert '(did you mean "flu/2026-w05"?); there are: flu/2026-w05' in line
    assert "there are: flu/2026-w05" in refused(stages.run("builder", EXP_ID="other"))


@pytest.mark.parametrize(
    ("make", "bends", "fragment"),
    [
        (simulated, rate("gama"), 'model.yaml:32: "gama" uses "gama"'),
        (simulated, [put("model", "compartments", 1, "init", 3_000_000)], 'in age group "18-64"'),
        (calibrated, [put(*CALIBRATION, "observed_data_path", "data/nope.csv")], "no file data/nope.csv"),
        (calibrated, prior(name="unifrom"), 'did you mean "uniform"'),
        (sampled, sampled_people(2, 3_000_000), "narrow the ranges"),
    ],
    ids=["names", "people", "observed data", "distribution", "last parameter set"],
)
def test_a_builder_with_a_wrong_experiment_writes_nothing(tmp_path, make, bends, fragment):
    experiment = make()
    for bend in bends:
        bend(experiment)
    stages = Stages(tmp_path, experiment)

    line = refused(stages.run("builder"))

    assert fragment in line
    assert not (tmp_path / "bucket").exists()


def test_the_check_prints_every_mistake_on_a_line_of_its_own(tmp_path):
    experiment = simulated()
    for bend in (
        *rate("gama"),
        put("model", "transitions", 0, "mediator", "J"),
        put("model", "timespan", "end_date", "2024-01-01"),
    ):
        bend(experiment)
    stages = Stages(tmp_path, experiment)

    ended = subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "check_experiment.py")],
        env=stages.environment(FORECAST_REPO_DIR=tmp_path / "forecast"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 2
    assert [line.split(": ")[0] for line in ended.stdout.splitlines()] == [
        "model.yaml:5",
        "model.yaml:27",
        "model.yaml:32",
    ]
    assert ended.stderr.strip().endswith("trial: 3 mistakes")
    assert not (tmp_path / "bucket").exists()


@pytest.mark.parametrize(
    ("file", "text", "fragment"),
    [
        (
            "demographic/age_distribution.csv",
            "group_name,people\n0,5\n",
            "needs columns group_name and value",
        ),
        (
            "demographic/age_distribution.csv",
            "group_name,value\n0,many\n",
            "needs columns group_name and value",
        ),
        ("demographic/age_distribution.csv", "group_name,value\n0,-5\n1,3\n", "counts of people"),
        ("contact_matrices/synthetic_2026/contacts_matrix_home.csv", "1,2\n3\n", "contacts_matrix_home.csv"),
        ("contact_matrices/synthetic_2026/contacts_matrix_home.csv", "1,-2\n3,4\n", "none negative"),
        (
            "contact_matrices/synthetic_2026/contacts_matrix_home.csv",
            None,
            "the population data are incomplete",
        ),
    ],
    ids=["a column", "a word", "negative people", "a ragged matrix", "a negative contact", "a missing file"],
)
def test_a_broken_file_of_the_population_data_is_told_by_name(tmp_path, file, text, fragment):
    stages = Stages(tmp_path / "run", simulated())
    shutil.copytree(POPULATIONS, tmp_path / "populations")
    broken = tmp_path / "populations" / "data" / "United_States_Vermont" / file
    broken.unlink() if text is None else broken.write_text(text)

    line = refused(stages.run("builder", EPYDEMIX_DATA_DIR=tmp_path / "populations"))

    assert file.rpartition("/")[2] in line
    assert fragment in line
    assert not stages.run_folder.exists()


# -- stages B and C on a run that somebody has touched


def two_values() -> dict:
    experiment = sampled()
    put(*SAMPLING, "parameters", "R0", "values", [1.2, 1.6])(experiment)
    return experiment


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """A run of two inputs, built and simulated once; each test works on a copy."""
    stages = Stages(tmp_path_factory.mktemp("finished"), two_values())
    for ended in (
        stages.run("builder"),
        stages.run("runner", TASK_INDEX=0),
        stages.run("runner", TASK_INDEX=1),
    ):
        assert ended.exit_code == 0, ended.output
    return stages.folder


@pytest.fixture
def run(finished_run, tmp_path):
    """The finished run, copied."""
    shutil.copytree(finished_run / "bucket", tmp_path / "bucket")
    return Stages(tmp_path, two_values())


@pytest.fixture
def built(run):
    """The run before its stage B."""
    shutil.rmtree(run.run_folder / "runner-artifacts")
    return run


def no_results(stages: Stages) -> bool:
    return not list(stages.run_folder.glob("runner-artifacts/*"))


@pytest.mark.parametrize(
    ("variables", "fragment"),
    [
        ({"TASK_INDEX": 2}, "TASK_INDEX=2: builder-artifacts/manifest.json names the inputs 0 to 1"),
        ({"TASK_INDEX": "first"}, 'TASK_INDEX="first": a whole number from 0'),
        ({"TASK_INDEX": -1}, 'TASK_INDEX="-1"'),
        ({}, "neither TASK_INDEX nor BATCH_TASK_INDEX is set; set TASK_INDEX=0"),
        ({"BATCH_TASK_INDEX": 2}, "names 2 tasks"),
        (
            {"TASK_INDEX": 0, "RUN_ID": "20250201-120000-ffffffff"},
            "no such manifest; run stage A (builder) first",
        ),
    ],
)
def test_a_runner_with_a_wrong_task_writes_nothing(built, variables, fragment):
    line = refused(built.run("runner", **variables))

    assert fragment in line
    assert no_results(built)


def packed(record: object) -> bytes:
    return zlib.compress(pickle.dumps(record))


class Touch:
    """A pickle of it creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def touch_through_ours(path) -> bytes:
    """Return a pickle that reaches code through a module that may be named."""

    def text(content: str) -> bytes:
        return b"\x8c" + bytes([len(content)]) + content.encode()

    call = text("modeling.workload") + text("np.testing.runstring") + b"\x93"
    return zlib.compress(b"\x80\x04" + call + text(f"open({str(path)!r}, 'w')") + b"}" + b"\x86R.")


def rewrite_digest(stages: Stages, data: bytes) -> None:
    """Make inputs.sha256 and the manifest agree with another first input."""
    digests = stages.run_folder / "builder-artifacts" / "inputs.sha256"
    digests.write_bytes(hashlib.sha256(data).hexdigest().encode() + digests.read_bytes()[64:])
    manifest = digests.with_name("manifest.json")
    changed = {"inputs_sha256": hashlib.sha256(digests.read_bytes()).hexdigest()}
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changed))


@pytest.mark.parametrize("change", ["cut short", "changed", "emptied", "missing"])
def test_a_runner_refuses_an_input_that_is_not_the_one_built(built, change):
    path = built.run_folder / "builder-artifacts" / "input_0000.pkl"
    data = path.read_bytes()
    changes = {"cut short": data[:-9], "changed": data[:-9] + b"123456789", "emptied": b""}
    path.write_bytes(changes[change]) if change in changes else path.unlink()

    line = refused(built.run("runner", TASK_INDEX=0))

    assert "input_0000.pkl" in line
    assert "build the run again under a new RUN_ID" in line
    assert no_results(built)


def test_a_runner_unpickles_nothing_before_it_knows_the_digest(built, tmp_path):
    evil = packed(Touch(tmp_path / "touched"))
    (built.run_folder / "builder-artifacts" / "input_0000.pkl").write_bytes(evil)
    pickle.loads(zlib.decompress(packed(Touch(tmp_path / "proof")))).close()

    line = refused(built.run("runner", TASK_INDEX=0))

    assert (tmp_path / "proof").exists()
    assert "does not match builder-artifacts/inputs.sha256" in line
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "make", [lambda path: packed(Touch(path)), touch_through_ours], ids=["a builtin", "our module"]
)
def test_an_input_runs_no_code_even_where_its_digest_was_changed_too(built, tmp_path, make):
    evil = make(tmp_path / "touched")
    (built.run_folder / "builder-artifacts" / "input_0000.pkl").write_bytes(evil)
    rewrite_digest(built, evil)

    line = refused(built.run("runner", TASK_INDEX=0))

    assert "not ours" in line
    assert not (tmp_path / "touched").exists()
    assert no_results(built)


@pytest.mark.parametrize(
    "data",
    [b"hello", packed({"a": 1})[:-4], zlib.compress(b"hello"), packed({"a": 1})],
    ids=["no archive", "an archive cut short", "no record", "another record"],
)
def test_an_input_that_is_no_workload_is_told_even_where_its_digest_agrees(built, data):
    (built.run_folder / "builder-artifacts" / "input_0000.pkl").write_bytes(data)
    rewrite_digest(built, data)

    line = refused(built.run("runner", TASK_INDEX=0))

    assert "build the run again" in line


@pytest.mark.parametrize("change", ["changed", "cut short", "missing"])
def test_a_runner_refuses_digests_that_were_touched(built, change):
    digests = built.run_folder / "builder-artifacts" / "inputs.sha256"
    data = digests.read_bytes()
    changes = {"changed": b"0" * 64 + data[64:], "cut short": data[:40]}
    digests.write_bytes(changes[change]) if change in changes else digests.unlink()

    line = refused(built.run("runner", TASK_INDEX=0))

    assert "inputs.sha256" in line
    assert no_results(built)


@pytest.mark.parametrize(
    "change",
    [lambda m: m[:30], lambda m: b"[]", lambda m: m.replace(b": 2", b': "two"')],
    ids=["cut short", "a list", "words for numbers"],
)
def test_a_manifest_that_is_none_is_told(built, change):
    path = built.run_folder / "builder-artifacts" / "manifest.json"
    path.write_bytes(change(path.read_bytes()))

    line = refused(built.run("runner", TASK_INDEX=0))

    assert "manifest.json: not a manifest" in line
    assert "build the run again" in line


def digest_of(index: int, stages: Stages) -> bytes:
    return (stages.run_folder / "builder-artifacts" / "inputs.sha256").read_bytes().split()[index]


def result_file(record: bytes, stages: Stages, index: int = 0) -> bytes:
    """Return a result file of an input whose header agrees with any packed record."""
    header = {
        "index": index,
        "input_sha256": digest_of(index, stages).decode(),
        "packed_sha256": hashlib.sha256(record).hexdigest(),
    }
    whole = (stages.run_folder / "runner-artifacts" / "result_0000.pkl").read_bytes()
    return whole[: whole.index(b"\n") + 1] + json.dumps(header).encode() + b"\n" + record


DAMAGED = {
    "missing": (None, "no result; its task has not run"),
    "emptied": (lambda data, run: b"", "cut short, before its header"),
    "cut short in its first line": (lambda data, run: data[:9], "cut short, before its header"),
    "cut short": (lambda data, run: data[:-50], "cut short or changed"),
    "cut short in the header": (lambda data, run: data[:60], "its header cannot be read"),
    "changed": (lambda data, run: data[:-9] + b"123456789", "cut short or changed"),
    "of another input": (
        lambda data, run: (run.run_folder / "runner-artifacts" / "result_0001.pkl").read_bytes(),
        "made from another input",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_an_output_stage_removes_a_damaged_result_and_publishes_nothing(run, name):
    change, fragment = DAMAGED[name]
    path = run.run_folder / "runner-artifacts" / "result_0000.pkl"
    path.write_bytes(change(path.read_bytes(), run)) if change else path.unlink()

    line = refused(run.run("output"))

    assert "1 of 2 results are missing or wrong (US-VT, parameter set 0 of 2 (input 0)); input 0: " in line
    assert fragment in line
    assert "ALLOW_PARTIAL_RESULTS=1" in line
    assert not path.exists()
    assert not (run.run_folder / "outputs").exists()
    assert not (run.run_folder / "run_metadata.json").exists()


def record_of(data: bytes) -> bytes:
    """Return the pickled record in a result file."""
    return zlib.decompress(data.split(b"\n", 2)[2])


def without_a_field(data: bytes, run: Stages) -> bytes:
    result = pickle.loads(record_of(data))
    vars(result.trajectories).pop("transitions")
    return result_file(packed(result), run, 1)


def with_changes(**changes) -> Callable[[bytes, Stages], bytes]:
    """Return a function that changes a result and packs it as whole as any."""

    def change(data: bytes, run: Stages) -> bytes:
        return result_file(packed(replace(pickle.loads(record_of(data)), **changes)), run, 1)

    return change


def with_names(old: bytes, new: bytes) -> Callable[[bytes, Stages], bytes]:
    """Return a function that gives a module or class another name, as long as its own, in a result."""

    def change(data: bytes, run: Stages) -> bytes:
        record = record_of(data)
        assert len(old) == len(new)
        assert old in record
        return result_file(zlib.compress(record.replace(old, new)), run, 1)

    return change


FOREIGN = {
    "first line": (
        lambda data, run: data.replace(b"result 1\n", b"result 2\n", 1),
        "its first line differs",
    ),
    "header": (lambda data, run: data.replace(b"packed_sha256", b"packed_sha512", 1), "has other entries"),
    "packing": (lambda data, run: result_file(b"hello", run, 1), "not a record"),
    "record": (lambda data, run: result_file(packed({"a": 1}), run, 1), "it contains another kind of record"),
    "field": (without_a_field, "it contains another kind of record"),
    "class": (with_names(b"Trajectories", b"Trajectorien"), "names modeling.workload.Trajectorien"),
    "module of numpy": (with_names(b"numpy._core", b"numpy.score"), "names numpy.score."),
    "format": (with_changes(format=99), "format 99 is not"),
    "index": (with_changes(index=0), "it holds the result of input 0"),
    "check": (with_changes(generations=[], kind="calibration"), "a calibration without posterior or fit"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_whole_result_of_another_version_of_the_code_ends_the_output_stage_and_all_is_kept(run, name):
    change, fragment = FOREIGN[name]
    first, foreign = (run.run_folder / "runner-artifacts" / f"result_000{index}.pkl" for index in range(2))
    foreign.write_bytes(change(foreign.read_bytes(), run))
    first.write_bytes(first.read_bytes()[:-50])
    before = first.read_bytes(), foreign.read_bytes()

    line = refused(run.run("output", ALLOW_PARTIAL_RESULTS=1))

    assert f"{foreign.name} was made by another version of the code (" in line
    assert fragment in line
    assert "with the image that made it, or compute the results again with --force; nothing" in line
    assert "; nothing is deleted" in line
    assert (first.read_bytes(), foreign.read_bytes()) == before
    assert not (run.run_folder / "outputs").exists()


def test_a_result_of_another_version_of_the_code_stays_until_it_is_made_anew_by_force(run):
    path = run.run_folder / "runner-artifacts" / "result_0000.pkl"
    ours = path.read_bytes()
    theirs = ours.replace(b"result 1\n", b"result 2\n", 1)
    path.write_bytes(theirs)

    gone_on = run.run("runner", TASK_INDEX=0)
    kept = path.read_bytes()
    forced = run.run("runner", TASK_INDEX=0, FORCE=1)

    assert gone_on.exit_code == forced.exit_code == 0
    assert kept == theirs
    assert path.read_bytes() == ours


@pytest.mark.parametrize(
    "make", [lambda path: packed(Touch(path)), touch_through_ours], ids=["a builtin", "our module"]
)
def test_a_result_runs_no_code(run, tmp_path, make):
    path = run.run_folder / "runner-artifacts" / "result_0000.pkl"
    path.write_bytes(result_file(make(tmp_path / "touched"), run))

    line = refused(run.run("output"))

    assert "which is not ours; it is not loaded" in line
    assert not (tmp_path / "touched").exists()


OUTPUT = {
    "number of tasks": ({"NUM_TASKS": 5}, ["NUM_TASKS=5", "2 inputs"]),
    "output configuration": (
        {"OUTPUT_CONFIG_FILE": "nope.yaml"},
        ["OUTPUT_CONFIG_FILE=nope.yaml", "no such file"],
    ),
    "output configuration of another kind": (
        {"OUTPUT_CONFIG_FILE": "model.yaml"},
        ['must have the key "output"'],
    ),
    "unknown key": (
        {"OUTPUT_CONFIG_FILE": "key.yml"},
        ["key.yml:2:", '"quantile" (did you mean "quantiles"?)'],
    ),
    "unknown series": (
        {"OUTPUT_CONFIG_FILE": "series.yml"},
        ['"S_to_E_total"', "not among the transitions", 'did you mean "S_to_I_total"'],
    ),
}


@pytest.mark.parametrize("name", OUTPUT)
def test_an_output_stage_with_a_wrong_setting_publishes_nothing(run, name):
    variables, fragments = OUTPUT[name]
    (run.config / "key.yml").write_text("output:\n  quantile: true\n")
    (run.config / "series.yml").write_text("output:\n  quantiles:\n    transitions: [S_to_E_total]\n")

    line = refused(run.run("output", FORECAST_REPO_DIR=run.folder / "forecast", **variables))

    for fragment in fragments:
        assert fragment in line
    assert not (run.run_folder / "outputs").exists()


def test_an_output_stage_refuses_digests_that_were_touched(run):
    digests = run.run_folder / "builder-artifacts" / "inputs.sha256"
    digests.write_bytes(b"0" * 64 + digests.read_bytes()[64:])

    line = refused(run.run("output"))

    assert "inputs.sha256 does not match builder-artifacts/manifest.json" in line
    assert not (run.run_folder / "outputs").exists()


@pytest.mark.parametrize(("written", "read"), [("1:3.5", "63.5"), ("1:30", "90")])
def test_a_number_to_the_base_of_60_is_not_taken_for_a_share(tmp_path, written, read):
    config = write_repository(tmp_path, simulated())
    model = config / "model.yaml"
    model.write_text(model.read_text().replace("value: 1/4", f"value: {written}"))

    [problem] = problems_in(config)

    assert f"{written} would be read as {read}" in problem
    assert problem.startswith("model.yaml:")
