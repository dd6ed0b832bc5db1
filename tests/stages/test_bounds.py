"""Numbers and dates have bounds, so that nothing huge reaches arithmetic or memory."""

from datetime import date

import pytest
from pydantic import BaseModel

from modeling.failures import UserError as StageError
from modeling.vocabulary import Model, Modelset, Output
from modeling.vocabulary import base as vocabulary
from modeling.vocabulary.experiment import load_experiment
from modeling.vocabulary.strategy import RejectionOptions, SmcOptions, TopFractionOptions
from ops.environment import read_settings
from ops.failures import UserError as OperatorError
from ops.tasks.verb import NUMBERS, whole_number
from pipeline.environment import read_stage_context
from tests.bending import CALIBRATION, SAMPLING, problems_of, put
from tests.experiments import calibrated, sampled, simulated, write_repository
from tests.in_process import ended
from tests.stage_scripts import RUN_ID, Stages

OPTIONS = (*CALIBRATION, "strategy", "options")


def _numbers(schema: object, path: str):
    """Yield path and schema of each number below a JSON schema."""
    if isinstance(schema, dict):
        if schema.get("type") in ("number", "integer"):
            yield path, schema
        schema = schema.items()
    elif isinstance(schema, list):
        schema = enumerate(schema)
    else:
        return
    for name, below in schema:
        yield from _numbers(below, f"{path}.{name}")


@pytest.mark.parametrize("kind", [Model, Modelset, Output, SmcOptions, RejectionOptions, TopFractionOptions])
def test_every_number_of_the_vocabulary_has_a_lowest_and_a_highest_value(kind: type[BaseModel]):
    found = dict(_numbers(kind.model_json_schema(), kind.__name__))

    least, most = {"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}
    unbounded = [path for path, schema in found.items() if not (least & set(schema) and most & set(schema))]
    assert found
    assert unbounded == []


def compartment(value) -> list:
    return [put("model", "compartments", 1, "init", value)]


def prior(**content) -> list:
    return [put(*CALIBRATION, "parameters", "R0", "prior", content)]


HUGE = {
    "parameter": (simulated, [put("model", "parameters", "R0", "value", 1e16)], "less than or equal to 10"),
    "negative parameter": (
        simulated,
        [put("model", "parameters", "R0", "value", -1e300)],
        "-1000000000000000",
    ),
    "rate": (simulated, [put("model", "transitions", 1, "rate", 2e15)], "less than or equal to 10"),
    "people": (simulated, compartment(10**18), "less than or equal to 10"),
    "people by age": (simulated, compartment([1, 1e300, 1]), "less than or equal to 10"),
    "people as text": (simulated, compartment("1e300"), "less than or equal to 10"),
    "seed": (simulated, [put("model", "random_seed", 2**63)], "9223372036854775807 is the largest"),
    "seed as text": (simulated, [put("model", "random_seed", str(2**63))], "equal to 9223372036854775807"),
    "trajectories": (simulated, [put("model", "simulation", "n_sims", 10**9)], "equal to 10000000"),
    "time step": (simulated, [put("model", "timespan", "delta_t", 1e-320)], "should be greater than 0"),
    "time step as text": (simulated, [put("model", "timespan", "delta_t", "1e-400")], "greater than 0"),
    "long time step": (simulated, [put("model", "timespan", "delta_t", 8)], "less than or equal to 7"),
    "grid value": (sampled, [put(*SAMPLING, "parameters", "R0", "values", [1, 1e300])], "less than or equal"),
    "samples": (sampled, [put(*SAMPLING, "samplers", 0, "n_samples", 10**10)], "equal to 1000000000"),
    "generations": (calibrated, [put(*OPTIONS, "num_generations", 10**18)], "equal to 1000000000"),
    "particles": (calibrated, [put(*OPTIONS, "num_particles", 10**10)], "equal to 1000000000"),
    "one particle": (calibrated, [put(*OPTIONS, "num_particles", 1)], "greater than or equal to 2"),
    "budget": (calibrated, [put(*OPTIONS, "total_simulations_budget", 10**10)], "equal to 1000000000"),
    "epsilon": (calibrated, [put(*OPTIONS, "epsilon_schedule", [1e300, 1])], "less than or equal to 10"),
    "negative epsilon": (
        calibrated,
        [put(*OPTIONS, "epsilon_schedule", [1, -1])],
        "greater than or equal to 0",
    ),
    "time": (calibrated, [put(*OPTIONS, "max_time", "9" * 400 + "h")], "is longer than 1000 days"),
    "generation": (calibrated, [put(*CALIBRATION, "projection", "generation_number", 10**10)], "equal to 10"),
    "argument": (calibrated, prior(name="uniform", args=[0, 1e16]), "less than or equal to 10"),
    "keyword argument": (calibrated, prior(name="uniform", kwargs={"scale": 1e300}), "less than or equal"),
    "quantile": (simulated, [put("output", "quantiles", "selections", [1e300])], "less than or equal to 10"),
    "posterior": (calibrated, [put("output", "posteriors", {"generations": [10**10]})], "equal to 10"),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_number_out_of_bounds_is_refused_at_its_place(tmp_path, name):
    make, bends, fragment = HUGE[name]

    [problem] = problems_of(tmp_path, make(), bends)

    assert fragment in problem
    assert problem.split(":")[1].isdigit()


UNDERSCORED = {
    "a number": (simulated, [put("model", "simulation", "n_sims", "6_0")], "n_sims: 6_0 is not a number"),
    "one of a list": (
        simulated,
        [put("model", "compartments", 1, "init", ["0.1_5", 0, 0])],
        "init: 0.1_5 is not a number; underscores may only separate thousands",
    ),
    "an argument": (calibrated, prior(name="uniform", args=["1_0", 1]), "args: 1_0 is not a number"),
    "a named argument": (calibrated, prior(name="uniform", kwargs={"loc": "1_0"}), "loc: 1_0 is not"),
}


@pytest.mark.parametrize("name", UNDERSCORED)
def test_a_text_with_an_underscore_is_no_other_number(tmp_path, name):
    make, bends, fragment = UNDERSCORED[name]

    [problem] = problems_of(tmp_path, make(), bends)

    assert fragment in problem


def test_a_text_may_hold_thousands_with_underscores(tmp_path):
    experiment = simulated()
    experiment["model"]["compartments"][1]["init"] = "6_000"

    assert load_experiment(write_repository(tmp_path, experiment)).model.compartments[1].init == 6000


SEEDS = {
    "SEED": lambda text: read_stage_context({"EXP_ID": "trial", "RUN_ID": RUN_ID, "SEED": text}).seed,
    "RUN_SEED": lambda text: read_settings({"RUN_SEED": text}).run_seed,
    "--seed": lambda text: whole_number("--seed", text, *NUMBERS["seed"]),
}


@pytest.mark.parametrize("door", SEEDS)
def test_a_seed_has_the_same_bound_at_every_door(tmp_path, monkeypatch, door):
    monkeypatch.chdir(tmp_path)
    largest = vocabulary.LARGEST_SEED

    assert SEEDS[door](str(largest)) == largest
    with pytest.raises((StageError, OperatorError), match=f"from 0 to {largest}"):
        SEEDS[door](str(largest + 1))


def test_the_largest_seed_goes_through_all_stages(tmp_path):
    stages = Stages(tmp_path, simulated(), SEED=str(vocabulary.LARGEST_SEED))

    codes = [ended(stages, stage, TASK_INDEX=0)[0] for stage in ("builder", "runner", "output")]

    assert codes == [0, 0, 0]
    assert stages.manifest()["seed"] == vocabulary.LARGEST_SEED


DATES = {
    "start": (simulated, ("model", "timespan", "start_date")),
    "end": (simulated, ("model", "timespan", "end_date")),
    "window": (calibrated, (*CALIBRATION, "fitting_window", "start_date")),
    "window's end": (calibrated, (*CALIBRATION, "fitting_window", "end_date")),
    "reference": (calibrated, (*CALIBRATION, "start_date")),
    "hub's reference": (calibrated, ("output", "flusight_format")),
    "intervention": (simulated, ("model", "interventions")),
    "season": (simulated, ("model", "seasonality")),
}
WITHIN = {
    "reference": lambda day: {"reference_date": day, "prior": {"name": "randint", "args": [0, 3]}},
    "hub's reference": lambda day: {"reference_date": day},
    "intervention": lambda day: [{"type": "school_closure", "scaling_factor": 1, "start_date": day}],
    "season": lambda day: {
        "target_parameter": "R0",
        "method": "balcan",
        "max_value": 1,
        "min_value": 0.5,
        "seasonality_max_date": day,
    },
}


@pytest.mark.parametrize("name", DATES)
@pytest.mark.parametrize(
    ("day", "wanted"),
    [
        (0, '"0" should be a date such as 2025-01-31'),
        (20260101, '"20260101" should be a date such as'),
        ("20260101", '"20260101" should be a date such as'),
        (45_000.0, '"45000.0" should be a date such as'),
        ("01/02/2026", '"01/02/2026" should be a date such as'),
        ("2026-01-01 12:00", "should be a date such as"),
        (date(1899, 12, 31), '"1899-12-31" should be a date from 1900-01-01 to 2200-12-31'),
        ("9999-12-31", '"9999-12-31" should be a date from 1900-01-01 to 2200-12-31'),
    ],
)
def test_a_date_is_written_as_one_and_between_1900_and_2200(tmp_path, name, day, wanted):
    make, place = DATES[name]
    value = WITHIN.get(name, lambda day: day)(day)

    [problem, *_] = problems_of(tmp_path, make(), [put(*place, value)])

    assert wanted in problem


def test_the_first_and_the_last_day_are_known(tmp_path):
    experiment = simulated()
    experiment["model"]["timespan"] = {"start_date": "1900-01-01", "end_date": date(2200, 12, 31)}

    loaded = load_experiment(write_repository(tmp_path, experiment))

    assert loaded.model.timespan.end_date.year == 2200


TOO_LARGE = {
    "time steps": (
        simulated,
        [
            put(
                "model",
                "timespan",
                {"start_date": "1900-01-01", "end_date": "2200-12-31", "delta_t": 1 / 86400},
            ),
        ],
        "model.yaml:6: 9,498,643,200 time steps of 1.15741e-05 days from 1900-01-01 to 2200-12-31 are more",
    ),
    "parameter sets": (
        sampled,
        [
            put("model", "parameters", {n: {"type": "sampled"} for n in ("R0", "gamma", "beta")}),
            put(*SAMPLING, "samplers", 0, "parameters", ["R0", "gamma", "beta"]),
            put(
                *SAMPLING, "parameters", {n: {"values": list(range(1, 102))} for n in ("R0", "gamma", "beta")}
            ),
        ],
        "modelset.yaml:4: 1,030,301 parameter sets for 1 populations are more than 1,000,000 workloads",
    ),
    "samples": (
        sampled,
        [
            put(*SAMPLING, "samplers", [{"strategy": "LHS", "n_samples": 10**9, "parameters": ["R0"]}]),
            put(*SAMPLING, "parameters", {"R0": {"distribution": {"name": "uniform"}}}),
        ],
        "modelset.yaml:4: 1,000,000,000 parameter sets",
    ),
    "trajectories": (
        simulated,
        [
            put("model", "simulation", {"n_sims": 10_000_000}),
            put("model", "timespan", "end_date", "2030-01-01"),
        ],
        "model.yaml:8: 10,000,000 trajectories of 1,823 time steps and 20 series need 1,358 GiB of memory",
    ),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_no_machine_can_hold_is_refused(tmp_path, name):
    make, bends, message = TOO_LARGE[name]

    [problem] = problems_of(tmp_path, make(), bends)

    assert problem.startswith(message)
