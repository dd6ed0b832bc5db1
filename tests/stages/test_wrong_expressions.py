"""An expression that is not arithmetic on parameters, or has no value, is refused with its line."""

import pytest

from tests.bending import calculated, check_mistake, put, rate
from tests.experiments import simulated

# what is wrong: the experiment, how it is bent, and what the first line must say
MISTAKES = {
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
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_its_remedy(tmp_path, name):
    check_mistake(tmp_path, *MISTAKES[name])
