"""Ways to bend an experiment before it is written, and what stage A says about it."""

from collections.abc import Callable

import pytest

from modeling.failures import UserError
from tests.builds import workloads_in
from tests.experiments import OBSERVED, write_repository

CALIBRATION = ("modelset", "calibration")
SAMPLING = ("modelset", "sampling")
DELETED = object()

Bend = Callable[[dict], None]


def put(*path_and_value) -> Bend:
    """Return a function that sets one value of an experiment; DELETED takes the key away."""
    *path, last, value = path_and_value

    def bend(experiment: dict) -> None:
        place = experiment
        for key in path:
            place = place[key]
        if value is DELETED:
            del place[last]
        else:
            place[last] = value

    return bend


def calibrated_start(name: str, args: list) -> list[Bend]:
    drawn = {"reference_date": "2025-01-05", "prior": {"name": name, "args": args}}
    return [put("model", "timespan", "start_date", "calibrated"), put(*CALIBRATION, "start_date", drawn)]


def problems_of(
    tmp_path, experiment: dict, bends: list[Bend], observed: str = OBSERVED, count=None
) -> list[str]:
    """Return the lines a user reads: all the mistakes of the files, or the first of the data."""
    for bend in bends:
        bend(experiment)
    config = write_repository(tmp_path, experiment, observed=observed)
    return problems_in(config, count)


def check_mistake(tmp_path, make: Callable[[], dict], bends: list[Bend], fragments: list[str]) -> None:
    """Check that the first line about a bent experiment has every fragment."""
    first = problems_of(tmp_path, make(), bends)[0]

    for fragment in fragments:
        assert fragment in first, f"not in the first line: {fragment}\n{first}"


def problems_in(config, count=None) -> list[str]:
    with pytest.raises(UserError) as caught:
        workloads_in(config, count=count)
    lines = getattr(caught.value, "problems", [str(caught.value)])
    assert all(line and "\n" not in line for line in lines), lines
    return lines


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
