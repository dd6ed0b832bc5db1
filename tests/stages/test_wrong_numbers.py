"""A number that cannot be is refused with its line: rates, counts, shares and people."""

import math

import pytest

from tests.bending import (
    CALIBRATION,
    SAMPLING,
    calculated,
    check_mistake,
    problems_in,
    problems_of,
    put,
    rate,
    sampled_people,
)
from tests.experiments import calibrated, sampled, simulated, write_repository

# what is wrong: the experiment, how it is bent, and what the first line must say
MISTAKES = {
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
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_its_remedy(tmp_path, name):
    check_mistake(tmp_path, *MISTAKES[name])


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


@pytest.mark.parametrize(("written", "read"), [("1:3.5", "63.5"), ("1:30", "90")])
def test_a_number_to_the_base_of_60_is_not_taken_for_a_share(tmp_path, written, read):
    config = write_repository(tmp_path, simulated())
    model = config / "model.yaml"
    model.write_text(model.read_text().replace("value: 1/4", f"value: {written}"))

    [problem] = problems_in(config)

    assert f"{written} would be read as {read}" in problem
    assert problem.startswith("model.yaml:")
