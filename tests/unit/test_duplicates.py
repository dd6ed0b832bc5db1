"""Nothing counts twice: not a flow, not a value of a grid, not an age group beside its total."""

import pytest

from modeling.vocabulary.experiment import load_experiment
from tests.bending import CALIBRATION, SAMPLING, problems_of, put
from tests.experiments import calibrated, sampled, simulated, write_repository

INFECTION = {"type": "mediated", "source": "S", "target": "I", "mediator": "I", "rate": "beta"}
RECOVERY = {"type": "spontaneous", "source": "I", "target": "R", "rate": "gamma"}
GRID = (*SAMPLING, "parameters", "R0", "values")


def flows(*more: dict) -> list:
    return [put("model", "transitions", [INFECTION, RECOVERY, *more])]


def several(*mediators: dict) -> dict:
    return {"type": "multi_mediated", "source": "S", "target": "I", "mediators": list(mediators)}


def named(*ids: str) -> list:
    return [put("model", "compartments", [{"id": "S", "init": "default"}, *({"id": i} for i in ids)])]


def moved(source: str, target: str) -> dict:
    return {"type": "spontaneous", "source": source, "target": target, "rate": 0.1}


def compared(*names: str) -> list:
    return [put(*CALIBRATION, "comparison", 0, "simulation", list(names))]


COMPARISON = {
    "observed_value_column": "cases",
    "observed_date_column": "date",
    "simulation": ["I_to_R_total"],
}
REFUSED = {
    "a spontaneous flow": (
        simulated,
        flows(RECOVERY),
        "model.yaml:33: duplicate transition I -> R with rate gamma",
    ),
    "a rate with blanks": (simulated, flows(RECOVERY | {"rate": " gamma "}), "duplicate transition I -> R"),
    "a rate as a number": (
        simulated,
        flows(moved("R", "S") | {"rate": 0.25}, moved("R", "S") | {"rate": "1/4"}),
        "duplicate transition R -> S with rate 0.25",
    ),
    "a rate in another order": (
        simulated,
        flows(moved("R", "S") | {"rate": "beta*gamma"}, moved("R", "S") | {"rate": "gamma * beta"}),
        "duplicate transition R -> S with rate gamma * beta",
    ),
    "a rate times one": (simulated, flows(RECOVERY | {"rate": "gamma*1 + 0"}), "duplicate transition I -> R"),
    "a mediated flow": (simulated, flows(INFECTION), "duplicate transition S -> I by I with rate beta"),
    "a flow by one of several": (
        simulated,
        flows(several({"rate": 0.1, "source": ["R"]}, {"rate": "beta", "source": ["R", "I"]})),
        "duplicate transition S -> I by I with rate beta",
    ),
    "a mediator": (
        simulated,
        flows(several({"rate": 0.1, "source": ["R", "R"]})),
        "duplicate transition S -> I by R with rate 0.1",
    ),
    "an empty mediator": (
        simulated,
        [put("model", "transitions", 0, "mediator", "")],
        'model.yaml:27: "" is not a compartment',
    ),
    "a mediator that is nothing": (
        simulated,
        [put("model", "transitions", 0, "mediator", None)],
        'a mediated transition needs "mediator"',
    ),
    "a mediator that is a mapping": (
        simulated,
        [put("model", "transitions", 0, "mediator", {})],
        "mediator: it should be text",
    ),
    "an empty mediator of several": (
        simulated,
        flows(several({"rate": 0.1, "source": [""]})),
        '"" is not a compartment',
    ),
    "flows of one name": (
        simulated,
        [*named("I", "R", "I_to_R", "R_to_S"), *flows(moved("I", "R_to_S"), moved("I_to_R", "S"))],
        "I_to_R -> S and I -> R_to_S would both be called I_to_R_to_S; rename a compartment",
    ),
    "a compartment named as a flow": (
        simulated,
        named("I", "R", "I_to_R"),
        '"I_to_R" is also the name of the transition I -> R; rename the compartment',
    ),
    "a parameter named as a column": (
        simulated,
        [put("model", "parameters", "weight", {"type": "scalar", "value": 1})],
        '"weight" already names a column of the output tables',
    ),
    "a total and its group": (
        calibrated,
        compared("I_to_R_total", "I_to_R_65+"),
        'modelset.yaml:15: "I_to_R_total" already includes age group "65+"',
    ),
    "a group and its total": (
        calibrated,
        compared("S_to_I_total", "I_to_R_18-64", "I_to_R_65+", "I_to_R_total"),
        'already includes age group "18-64"',
    ),
    "a comparison": (
        calibrated,
        [put(*CALIBRATION, "comparison", [COMPARISON, COMPARISON])],
        "duplicate comparison, which would count twice",
    ),
    "a comparison in another order": (
        calibrated,
        [
            put(
                *CALIBRATION,
                "comparison",
                [
                    COMPARISON | {"simulation": ["I_to_R_65+", "S_to_I_total"]},
                    COMPARISON | {"simulation": ["S_to_I_total", "I_to_R_65+"]},
                ],
            )
        ],
        "duplicate comparison, which would count twice",
    ),
    "a comparison by age groups": (
        calibrated,
        [
            put(
                *CALIBRATION,
                "comparison",
                [COMPARISON, COMPARISON | {"simulation": [f"I_to_R_{g}" for g in ("0-17", "18-64", "65+")]}],
            )
        ],
        "duplicate comparison, which would count twice",
    ),
    "a name of a compared series": (
        calibrated,
        [put(*CALIBRATION, "comparison", [COMPARISON, COMPARISON | {"simulation": ["S_to_I_total"]}])],
        'modelset.yaml:17: "cases" is compared twice, so both series would have that name',
    ),
    "a grid value": (sampled, [put(*GRID, [1.2, 1, 2, 1.0])], "duplicate grid value 1;"),
    "a grid parameter": (
        sampled,
        [put(*SAMPLING, "samplers", 0, "parameters", ["R0", "R0"])],
        'duplicate "R0"; keep one',
    ),
    "a quantile": (
        simulated,
        [put("output", "quantiles", "selections", [0.5, 0.25, 0.50])],
        "duplicate quantile 0.5;",
    ),
    "a series of a table": (
        simulated,
        [put("output", "trajectories", "compartments", ["I_total", "I_total"])],
        'duplicate "I_total"',
    ),
    "a format": (simulated, [put("output", "table_formats", ["csv", "csv"])], 'duplicate "csv"'),
    "a generation": (
        calibrated,
        [put("output", "posteriors", {"generations": [1, 1]})],
        "duplicate generation 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_count_twice_is_refused(tmp_path, name):
    make, bends, message = REFUSED[name]

    [problem, *_] = problems_of(tmp_path, make(), bends)

    assert message in problem
    assert problem.split(":")[1].isdigit()


@pytest.mark.parametrize(
    "more",
    [
        [INFECTION | {"rate": "beta/2"}],
        [INFECTION | {"mediator": "R"}],
        [several({"rate": "beta", "source": ["R"]}, {"rate": 0.1, "source": ["R", "I"]})],
        [RECOVERY | {"rate": 0.1}],
        [RECOVERY | {"rate": "beta*gamma"}, RECOVERY | {"rate": "beta/gamma"}],
        [moved("R", "S"), moved("R", "I")],
    ],
    ids=[
        "another rate",
        "another mediator",
        "several mediators",
        "another reason",
        "products",
        "another target",
    ],
)
def test_flows_that_differ_add_up(tmp_path, more):
    experiment = simulated()
    for bend in flows(*more):
        bend(experiment)

    loaded = load_experiment(write_repository(tmp_path, experiment))

    assert len(loaded.model.transitions) == 2 + len(more)


@pytest.mark.parametrize(
    "names",
    [["I_to_R_0-17", "I_to_R_18-64", "I_to_R_65+"], ["I_to_R_total", "S_to_I_65+"]],
    ids=["all groups", "another flow"],
)
def test_groups_and_totals_of_different_flows_can_be_summed(tmp_path, names):
    experiment = calibrated()
    for bend in compared(*names):
        bend(experiment)

    loaded = load_experiment(write_repository(tmp_path, experiment))

    assert loaded.modelset.calibration.comparison[0].simulation == names


def test_a_message_that_quotes_a_text_of_several_lines_is_one_line(tmp_path):
    bends = [put("model", "compartments", 1, "init", "many\npeople"), put("model", "a\nb", 1)]

    problems = problems_of(tmp_path, simulated(), bends)

    assert len(problems) == 1
