"""Seasonality and interventions that cannot be meant are refused in one line, with place and remedy."""

import pytest

from tests.bending import DELETED, check_mistake, problems_of, put
from tests.changes import CLOSURE, FROM_FILE, WAVE, changing, contacts, dated, override, scaling
from tests.experiments import calibrated, sampled, simulated
from tests.in_process import ended
from tests.stage_scripts import Stages


def season(**keys: object) -> list:
    """Return a bend that gives the model a wave with some keys changed; DELETED takes one away."""
    content = {key: value for key, value in (WAVE | keys).items() if value is not DELETED}
    return [put("model", "seasonality", content)]


def interventions(*content: dict) -> list:
    return [put("model", "interventions", list(content))]


def lowest(**parameter: object) -> list:
    return [*season(), put("model", "parameters", "seasonality_min", parameter)]


def rate(text: str) -> list:
    return [put("model", "transitions", 1, "rate", text)]


# what is wrong: how the experiment is bent, and what the first line must say
MISTAKES = {
    "no such parameter": (
        season(target_parameter="bata"),
        ['"bata" is not a parameter (did you mean "beta"?)'],
    ),
    "wave of a parameter that no rate uses": (
        season(target_parameter="R0"),
        [
            "model.yaml:44:",
            'no rate uses "R0" directly',
            "nothing would change; target beta, which is calculated",
        ],
    ),
    "intervention on a parameter that nothing uses": (
        [
            put("model", "parameters", "p", {"type": "scalar", "value": 1}),
            *interventions(scaling(2, target="p")),
        ],
        ["model.yaml:", 'no rate uses "p" directly', "nothing would change; the rates use gamma, beta"],
    ),
    "season of length zero": (
        season(seasonality_min_date="2025-01-10"),
        ["model.yaml:47:", "are both 2025-01-10, a season of length zero; leave the former out"],
    ),
    "minimum before the maximum": (
        season(seasonality_min_date="2025-01-09"),
        ["model.yaml:47:", "seasonality_min_date 2025-01-09 is before seasonality_max_date 2025-01-10"],
    ),
    "minimum above the maximum": (season(min_value=2.5), ["model.yaml:49:", "2.5 is above max_value 2"]),
    "negative minimum": (season(min_value=-0.1), ["model.yaml:49:", "greater than or equal to 0"]),
    "wave without a maximum": (
        season(max_value=DELETED),
        ["model.yaml:43:", 'seasonality of method balcan needs "max_value"'],
    ),
    "wave with a file": (
        season(data_path="data/x.csv"),
        ["model.yaml:50:", 'seasonality of method balcan has no "data_path"; remove it'],
    ),
    "wave with a column": (season(date_column="day"), ['of method balcan has no "date_column"']),
    "file with a minimum": (
        [put("model", "seasonality", FROM_FILE | {"min_value": 0})],
        ["model.yaml:47:", 'seasonality of method data_driven has no "min_value"; remove it'],
    ),
    "file without a path": (
        [put("model", "seasonality", {"target_parameter": "beta", "method": "data_driven"})],
        ['seasonality of method data_driven needs "data_path"'],
    ),
    "unknown method": (season(method="sine"), ["should be", "balcan", "data_driven"]),
    "seasonality_min by age": (
        lowest(type="age_varying", values=[0.1, 0.2, 0.3]),
        ["model.yaml:43:", "seasonality_min replaces min_value of the seasonality and must be one number"],
    ),
    "seasonality_min above max_value": (
        lowest(type="scalar", value=3),
        ["model.yaml:43:", "must be from 0 to max_value 2, not 3"],
    ),
    "calculated seasonality_min above max_value": (
        lowest(type="calculated", value="2*R0"),
        ["model.yaml:46:", "must be one number from 0 to max_value 2, not 3.6"],
    ),
    "duplicate intervention": (
        interventions(scaling(0.5), scaling(0.5)),
        ["model.yaml:49:", "intervention 2 is the same as intervention 1; keep one"],
    ),
    "two overrides of one day": (
        interventions(override(0.2), override(0.3, "2025-01-12", "2025-01-13")),
        [
            "model.yaml:",
            "on 2025-01-12 beta would be 0.3 and, by intervention 1, 0.2; change the dates of one",
        ],
    ),
    "two school closures": (
        interventions(CLOSURE, CLOSURE | {"scaling_factor": 0.5}),
        ["model.yaml:46:", "more than one school_closure; keep one"],
    ),
    "factor and override": (
        interventions(scaling(0.5) | {"override_value": 1}),
        ["needs either scaling_factor or override_value"],
    ),
    "neither factor nor override": (
        interventions(dated("parameter", "2025-01-10", "2025-01-12", target_parameter="beta")),
        ["needs either scaling_factor or override_value"],
    ),
    "intervention without a target": (
        interventions(dated("parameter", "2025-01-10", "2025-01-12", scaling_factor=1)),
        ['an intervention of type parameter needs "target_parameter"'],
    ),
    "parameter with a layer": (
        interventions(scaling(0.5) | {"contact_matrix_layer": "home"}),
        ["model.yaml:49:", 'an intervention of type parameter has no "contact_matrix_layer"; remove it'],
    ),
    "contacts with a target": (
        interventions(contacts(0.5, "2025-01-10", "2025-01-12") | {"target_parameter": "beta"}),
        ['an intervention of type contact_matrix has no "target_parameter"'],
    ),
    "contacts with an override": (
        interventions(contacts(0.5, "2025-01-10", "2025-01-12") | {"override_value": 0}),
        ['an intervention of type contact_matrix has no "override_value"'],
    ),
    "contacts without a factor": (
        interventions(dated("contact_matrix", "2025-01-10", "2025-01-12", contact_matrix_layer="home")),
        ['an intervention of type contact_matrix needs "scaling_factor"'],
    ),
    "school closure with dates": (
        interventions(CLOSURE | {"start_date": "2025-01-10", "end_date": "2025-01-12"}),
        ["model.yaml:46:", 'an intervention of type school_closure has no "start_date"; remove it'],
    ),
    "school closure with an override": (
        interventions(CLOSURE | {"override_value": 1}),
        ['an intervention of type school_closure has no "override_value"'],
    ),
    "calendar of contacts": (
        interventions(contacts(0.5, "2025-01-10", "2025-01-12") | {"calendar_path": "data/closed.csv"}),
        ['an intervention of type contact_matrix has no "calendar_path"'],
    ),
    "negative factor": (interventions(scaling(-1)), ["greater than or equal to 0"]),
    "end before start": (
        interventions(scaling(0.5, "2025-01-12", "2025-01-10")),
        ["end_date 2025-01-10 is before start_date 2025-01-12"],
    ),
    "after the end": (
        interventions(scaling(0.5, "2025-02-16", "2025-02-20")),
        ["model.yaml:", "starts on 2025-02-16, after the model's end_date 2025-02-15"],
    ),
    "before the first day": (
        interventions(contacts(0.5, "2024-12-01", "2025-01-04")),
        ["ends on 2025-01-04, before the model's first day 2025-01-05", "change its dates, or remove it"],
    ),
    "unknown layer": (
        interventions(contacts(0.5, "2025-01-10", "2025-01-12", "scool")),
        ["model.yaml:47:", '"scool" is not a layer of contacts (did you mean "school"?)'],
    ),
    "unlike any layer": (
        interventions(contacts(0.5, "2025-01-10", "2025-01-12", "traffic")),
        ['"traffic" is not a layer of contacts; there are school, work, home, community'],
    ),
    "every layer": (
        interventions(contacts(0.5, "2025-01-10", "2025-01-12", "all")),
        ['"all" is not a layer of contacts; write one intervention for each of school, work, home'],
    ),
    "layer without a name": (
        interventions(contacts(0.5, "2025-01-10", "2025-01-12", "")),
        ["model.yaml:47:", '"" is not a layer of contacts; there are school, work, home, community'],
    ),
    "target without a name": (
        interventions(scaling(0.5, target="")),
        ["model.yaml:47:", '"" is not a parameter; there are R0, gamma, beta'],
    ),
    "calendar without a name": (
        interventions(CLOSURE | {"calendar_path": ""}),
        ["model.yaml:46:", "no file"],
    ),
    "factors of contacts beyond any bound": (
        interventions(*(contacts(1e15, "2025-01-10", f"2025-01-{day}") for day in range(12, 14))),
        ["model.yaml:", "factors of the same target multiply to 1e+30; 1e+15 at most"],
    ),
    "factors of a parameter beyond any bound": (
        interventions(*(scaling(1e15, last=f"2025-01-{day}") for day in range(12, 14))),
        ["model.yaml:", "factors of the same target multiply to 1e+30; 1e+15 at most"],
    ),
    "seasonality_min without a value": (
        lowest(type="scalar", value="1/0"),
        ["model.yaml:43:", '"1 / 0" has no value: float division by zero'],
    ),
    "override to a negative rate": (
        interventions(override(-0.5)),
        [
            "model.yaml:28:",
            'on 2025-01-10 the rate "beta" of S -> I is negative (-0.5), because beta changes',
        ],
    ),
    "factor that makes a rate negative": (
        [*rate("1 - gamma"), *interventions(scaling(8, target="gamma"))],
        ["model.yaml:32:", 'the rate "1 - gamma" of I -> R is negative (-1)'],
    ),
    "factor that leaves a rate without a value": (
        [*rate("1/gamma"), *interventions(scaling(0, target="gamma"))],
        ["model.yaml:32:", "with what changes over time, the rate", "1 / gamma"],
    ),
    "no calendar file": (
        interventions(CLOSURE | {"calendar_path": "data/none.csv"}),
        ["model.yaml:46:", "no file data/none.csv in"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_its_remedy(tmp_path, name):
    check_mistake(tmp_path, simulated, *MISTAKES[name])


FACTORS = "date,value,place\n2025-01-05,1,US-VT\n2025-02-15,2,US-VT\n"


@pytest.mark.parametrize(
    ("keys", "rows", "said"),
    [
        (
            {},
            FACTORS.replace("01-05", "01-06"),
            "from 2025-01-06 to 2025-02-15, but the model runs from 2025-01-05",
        ),
        (
            {},
            FACTORS.replace("02-15", "02-14"),
            "from 2025-01-05 to 2025-02-14, but the model runs from 2025-01-05",
        ),
        (
            {},
            FACTORS.replace(",2,", ",-2,"),
            'factors.csv:3: a factor of -2 is not from 0 to 1e+15 (column "value")',
        ),
        ({}, FACTORS.replace(",2,", ",,"), 'factors.csv:3: "" is not a number (column "value")'),
        ({}, FACTORS.replace(",2,", ",nan,"), 'factors.csv:3: "nan" is not a number'),
        ({}, FACTORS.replace("02-15", "01-05"), "factors.csv:3: duplicate date 2025-01-05 (first in line 2)"),
        ({}, FACTORS.replace("2025-02-15", "15.2."), 'factors.csv:3: "15.2." is not a date like 2025-01-04'),
        ({"value_column": "factor"}, FACTORS, 'factors.csv has no column "factor"'),
        ({"date_column": "dat"}, FACTORS, 'factors.csv has no column "dat" (did you mean "date"?)'),
        ({"location_column": "state"}, FACTORS, 'factors.csv has no column "state"'),
        (
            {"location_column": "place"},
            FACTORS.replace("VT", "MA"),
            "has no rows for US-VT in column place; it has",
        ),
    ],
)
def test_wrong_factors_of_a_file_are_refused_with_their_line(tmp_path, keys, rows, said):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "factors.csv").write_text(rows)

    assert said in problems_of(tmp_path, changing(season=FROM_FILE | keys), [])[0]


def test_every_mistake_of_a_file_is_listed_at_once(tmp_path):
    bends = season(target_parameter="R0", min_value=3) + interventions(CLOSURE, scaling(1, target="x"))

    assert len(problems_of(tmp_path, simulated(), bends)) == 3


def test_a_drawn_lowest_factor_above_the_highest_is_refused(tmp_path):
    experiment = changing(sampled, WAVE)
    experiment["model"]["parameters"]["seasonality_min"] = {"type": "sampled"}
    experiment["modelset"]["sampling"]["samplers"][0]["parameters"].append("seasonality_min")
    experiment["modelset"]["sampling"]["parameters"]["seasonality_min"] = {"values": [0.5, 2.1]}

    said = problems_of(tmp_path, experiment, [])[0]

    assert "model.yaml:" in said
    assert "seasonality_min replaces min_value of the seasonality" in said
    assert "not 2.1" in said


@pytest.mark.parametrize(
    "content",
    [
        {"season": WAVE},
        {"season": FROM_FILE},
        {"interventions": [scaling(0.5), override(0.3, "2025-01-20", "2025-01-25")]},
        {"interventions": [contacts(0.5, "2025-01-10", "2025-01-12")]},
        {"interventions": [CLOSURE]},
        {"interventions": [CLOSURE | {"calendar_path": "data/closed.csv"}]},
    ],
)
@pytest.mark.parametrize("make", [simulated, sampled, calibrated])
def test_each_construct_passes_stage_a(tmp_path, make, content):
    stages = Stages(tmp_path, changing(make, **content))
    data = tmp_path / "forecast" / "data"
    (data / "factors.csv").write_text(FACTORS)
    (data / "closed.csv").write_text("location,start_date,end_date\nUS-VT,2025-01-13,2025-01-17\n")

    assert ended(stages, "builder") == (0, [])
