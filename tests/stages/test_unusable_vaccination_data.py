"""Vaccination that cannot be right is refused in one line with its place."""

import pytest

from tests.bending import problems_in, put
from tests.vaccines import COLUMNS, PUBLISHED, coverage, vaccinated, write_vaccinated

WEEKLY = COLUMNS + coverage(children=[1, 8, 10], adults=[2, 2, 9], old=[20, 34, 90])
DAILY = """dates,location,0-17,18-64,65+
2025-01-04,US-VT,10,20,30
2025-01-05,US-VT,0.5,0,7
2025-01-06,US-VT,100,0,0
"""
TWO_SCENARIOS = (
    "dates,location,scenario,0-17,18-64,65+\n2025-01-05,US-VT,A_B,1,2,3\n2025-01-05,US-MA,C_D,1,2,3\n"
)
VACCINATION = ("model", "vaccination")
AGAIN = {"type": "vaccination", "source": "R", "target": "V"}


def without(data: str, text: str, instead: str = "") -> str:
    assert text in data
    return data.replace(text, instead)


# what is wrong: how the experiment is bent, and what the line says
MISTAKES = {
    "two transitions": (
        [lambda experiment: experiment["model"]["transitions"].append(AGAIN)],
        ["model.yaml:", "a second transition of type vaccination; keep one"],
    ),
    "no transition": (
        [lambda experiment: experiment["model"]["transitions"].pop()],
        ["model.yaml:", "a vaccination section needs a transition of type vaccination"],
    ),
    "no section": (
        [lambda experiment: experiment["model"].pop("vaccination")],
        ["model.yaml:", 'a vaccination transition needs the section "vaccination"'],
    ),
    "another source": (
        [put(*VACCINATION, "origin_compartment", "R")],
        ["model.yaml:35:", "the vaccination transition leaves S, but origin_compartment is R"],
    ),
    "origin that is not eligible": (
        [put(*VACCINATION, "eligible_compartments", ["R"])],
        ["model.yaml:49:", "origin_compartment S must be one of eligible_compartments (R)"],
    ),
    "unknown origin": (
        [put(*VACCINATION, "origin_compartment", "s")],
        ["model.yaml:49:", '"s" is not a compartment (did you mean "S"?)'],
    ),
    "unknown eligible compartment": (
        [put(*VACCINATION, "eligible_compartments", ["S", "Q"])],
        ["model.yaml:52:", '"Q" is not a compartment; there are S, I, R, V'],
    ),
    "duplicate eligible compartment": (
        [put(*VACCINATION, "eligible_compartments", ["S", "R", "S"])],
        ["model.yaml:53:", 'duplicate eligible compartment "S"; keep one'],
    ),
    "two files": (
        [put(*VACCINATION, "preprocessed_vaccination_data_path", "data/doses.csv")],
        ["model.yaml:", "give either scenario_data_path or preprocessed_vaccination_data_path"],
    ),
    "file without a name": (
        [put(*VACCINATION, "scenario_data_path", "")],
        ["model.yaml:48:", "no file"],
    ),
    "missing file": (
        [put(*VACCINATION, "scenario_data_path", "data/vaccines.csv")],
        ["model.yaml:48:", "no file data/vaccines.csv in"],
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_section_that_does_not_fit_the_model_is_refused_with_its_line(tmp_path, case):
    bends, fragments = MISTAKES[case]
    experiment = vaccinated()
    for bend in bends:
        bend(experiment)

    first = problems_in(write_vaccinated(tmp_path, experiment, WEEKLY))[0]

    for fragment in fragments:
        assert fragment in first


# of weekly coverage, what is wrong: the data, and what the line says
WEEKLY_MISTAKES = {
    "place": (
        without(WEEKLY, "Vermont", "Maine") + coverage(place="MA", children=[1]),
        ["model.yaml:48:", "doses.csv has no rows for US-VT in column Geography; it has MA, Maine"],
    ),
    "column of ages": (
        without(WEEKLY, "Age,", "age,"),
        ["model.yaml:48:", 'doses.csv has no column "Age" (did you mean "age"?)'],
    ),
    "column of weeks": (without(WEEKLY, "Week_Ending_Sat", "Week"), ['has no column "Week_Ending_Sat"']),
    "column of places": (without(WEEKLY, "Geography", "Place"), ['has no column "Geography"']),
    "column of coverage": (
        without(WEEKLY, "Coverage", "Percent"),
        ["model.yaml:48:", 'no column "Coverage", nor one a scenario such as', "Week_Ending_Sat, Percent"],
    ),
    "age group": (
        without(WEEKLY, "18-64 Years,2025-01-11", "Adults,2025-01-11"),
        ["doses.csv:6:", '"Adults" is not an age group; write "6 Months - 4 Years", "5-12 Years" or "65+'],
    ),
    "age group of no age": (without(WEEKLY, "18-64", "64-18"), ["doses.csv:5:", "is not an age group"]),
    "age group of other units": (without(WEEKLY, "18-64 Years", "18-64 Weeks"), ["is not an age group"]),
    "ages that overlap": (
        without(WEEKLY, "18-64", "17-64"),
        ["model.yaml:48:", "6 Months - 17 Years and 17-64 Years of doses.csv overlap for US-VT"],
    ),
    "an age group twice": (
        WEEKLY + coverage(Y65_120=[1, 2, 3]).replace("65-120 Years", "65 + years"),
        ["65 + years and 65+ Years of doses.csv overlap"],
    ),
    "a sum without one of its parts": (
        WEEKLY + coverage(Y5_12=[1, 2, 3]),
        ["6 Months - 17 Years and 5-12 Years of doses.csv overlap", "give all parts of the larger"],
    ),
    "ages that are not counted": (
        WEEKLY.replace("65+", "65-89") + coverage(**{"Y90+": [1, 2, 3]}),
        ["age group 90+ Years of doses.csv begins above 84", "use a wider group"],
    ),
    "no Saturday": (
        without(WEEKLY, "2025-01-11", "2025-01-12"),
        ["doses.csv:3:", "2025-01-12 is a Sunday; weeks end on Saturday"],
    ),
    "no date": (without(WEEKLY, "2025-01-11", "11/01/2025"), ["doses.csv:3:", "is not a date like"]),
    "missing week": (
        without(WEEKLY, "Vermont,18-64 Years,2025-01-11,2\n"),
        [
            "model.yaml:48:",
            "no row of 18-64 Years in US-VT for the week that ends on 2025-01-11; give every week from",
        ],
    ),
    "week that is missing everywhere": (
        without(without(WEEKLY, "2025-01-18", "2025-02-01"), "2025-01-11", "2025-01-18"),
        ["for the week that ends on 2025-01-11, 2025-01-25;"],
    ),
    "duplicate week": (
        WEEKLY + "US-VT,65+ Years,2025-01-11,34\n",
        ["doses.csv:11:", "duplicate week 2025-01-11 of 65+ Years for US-VT (first in line 9)"],
    ),
    "above 100": (without(WEEKLY, ",90", ",100.1"), ["doses.csv:10:", "100.1 is not from 0 to 100 %"]),
    "negative": (without(WEEKLY, ",20\n", ",-20\n"), ["doses.csv:8:", "-20 is not from 0 to 100 %"]),
    "no number": (without(WEEKLY, ",90", ",90%"), ["doses.csv:10:", '"90%" is not a number']),
    "infinite": (without(WEEKLY, ",90", ",inf"), ["doses.csv:10:", "inf is not from 0 to 100 %"]),
    "empty": (without(WEEKLY, ",90", ","), ["doses.csv:10:", '"" is not a number']),
    "falling": (
        without(WEEKLY, ",90", ",33"),
        ["doses.csv:10:", "coverage falls from 34 to 33 %, but it is cumulative (column"],
    ),
    "another season, past": (
        without(WEEKLY, "2025-01", "2020-02")
        .replace("2020-02-04", "2020-02-01")
        .replace("-11", "-08")
        .replace("-18", "-15"),
        ["model.yaml:48:", "doses.csv ends on 2020-02-15, before the model starts on 2025-01-05"],
    ),
    "another season, to come": (
        COLUMNS + coverage("2025-08-16", children=[1], adults=[1], old=[1]),
        ["model.yaml:48:", "doses.csv begins on 2025-08-10, after the model ends on 2025-02-15"],
    ),
    "nothing but a header": (
        COLUMNS,
        ["model.yaml:48:", "vaccination data", "have no rows below the header"],
    ),
}


@pytest.mark.parametrize("case", WEEKLY_MISTAKES)
def test_unusable_coverage_is_refused_with_its_line(tmp_path, case):
    data, fragments = WEEKLY_MISTAKES[case]

    first = problems_in(write_vaccinated(tmp_path, vaccinated(), data))[0]

    for fragment in fragments:
        assert fragment in first


# of daily doses, what is wrong: the data, and what the line says
DAILY_MISTAKES = {
    "place": (
        without(DAILY, "US-VT", "US-ME"),
        ["model.yaml:48:", "doses.csv has no rows for US-VT in column location; it has US-ME"],
    ),
    "column of dates": (without(DAILY, "dates", "date"), ['has no column "dates" (did you mean "date"?)']),
    "column of places": (without(DAILY, "location", "place"), ['has no column "location"']),
    "missing age group": (without(DAILY, "18-64", "adults"), ['doses.csv has no column "18-64"']),
    "surplus age group": (
        DAILY.replace("65+", "65+,18-49").replace("0\n", "0,1\n").replace("7\n", "7,1\n"),
        ["model.yaml:48:", "doses for 18-49, which is no age group of the model", "0-17, 18-64, 65+"],
    ),
    "negative": (without(DAILY, "100,", "-1,"), ["doses.csv:4:", "-1 is not from 0 to 114,636 doses"]),
    "no number": (without(DAILY, "0.5", "none"), ["doses.csv:3:", '"none" is not a number (column "0-17")']),
    "more in a day than people": (
        without(DAILY, "100,", "114637,"),
        ["doses.csv:4:", "114637 is not from 0 to 114,636 doses, the people of the age group"],
    ),
    "more in all than people": (
        without(DAILY, "100,", "114636,"),
        [
            "model.yaml:48:",
            "114,646.5 doses for age group 0-17 of US-VT until 2025-02-15, more than its 114,636 people",
        ],
    ),
    "duplicate day": (
        DAILY + "2025-01-05 12:00:00,Vermont,1,2,3\n",
        ["doses.csv:5:", "duplicate date 2025-01-05 for US-VT (first in line 3); give one row a day"],
    ),
    "missing day": (
        without(DAILY, "2025-01-05,US-VT,0.5,0,7\n"),
        ["model.yaml:48:", "no row of US-VT for 2025-01-05; give every day from 2025-01-04 to 2025-01-06"],
    ),
    "no date": (without(DAILY, "2025-01-05", "5 January"), ["doses.csv:3:", "is not a date like"]),
    "another season, past": (without(DAILY, "2025", "2024"), ["ends on 2024-01-06, before the model starts"]),
    "another season, to come": (
        without(DAILY, "2025", "2026"),
        ["begins on 2026-01-04, after the model ends"],
    ),
}


@pytest.mark.parametrize("case", DAILY_MISTAKES)
def test_unusable_daily_doses_are_refused_with_their_line(tmp_path, case):
    data, fragments = DAILY_MISTAKES[case]

    first = problems_in(write_vaccinated(tmp_path, vaccinated(daily=True), data))[0]

    for fragment in fragments:
        assert fragment in first


# what is wrong with a scenario: whether doses are daily, the scenario, the data, and what the line says
SCENARIO_MISTAKES = {
    "several, none chosen": (
        *(False, {}, PUBLISHED),
        ["model.yaml:", "doses.csv has 3 scenarios (A_B, C_D, E_F); choose one with the key"],
    ),
    "unknown": (
        *(False, {"scenario": "A_D"}, PUBLISHED),
        ["model.yaml:", 'doses.csv has no scenario "A_D"', "it has A_B, C_D, E_F"],
    ),
    "unknown, of one named": (
        *(False, {"scenario": "C_D"}, without(WEEKLY, "Coverage", "sc_A_B")),
        ["model.yaml:53:", 'doses.csv has no scenario "C_D"', "it has A_B"],
    ),
    "ambiguous": (
        *(False, {"scenario": "A_B"}, without(PUBLISHED, "rd2425.sc_C_D", "rd2526.sc_A_B")),
        ["model.yaml:", 'scenario "A_B" may be flu.coverage.rd2425.sc_A_B, flu.coverage.rd2526.sc_A_B'],
    ),
    "without values": (
        *(False, {"scenario": "C_D"}),
        "Geography,Age,Week_Ending_Sat,sc_A_B,sc_C_D\nVermont,65+ Years,2025-01-11,5,\n",
        ["model.yaml:53:", "doses.csv has no values for US-VT in column sc_C_D; choose another scenario"],
    ),
    "daily, several, none chosen": (
        *(True, {}, TWO_SCENARIOS),
        ["model.yaml:48:", "doses.csv has 2 scenarios (A_B, C_D); choose one"],
    ),
    "daily, unknown": (
        *(True, {"scenario": "E_F"}, TWO_SCENARIOS),
        ["model.yaml:53:", 'doses.csv has no scenario "E_F"; it has A_B, C_D'],
    ),
    "daily, without rows": (
        *(True, {"scenario": "C_D"}, TWO_SCENARIOS),
        ["model.yaml:53:", "doses.csv has no row of scenario C_D for US-VT; it has A_B"],
    ),
}


@pytest.mark.parametrize("case", SCENARIO_MISTAKES)
def test_a_scenario_that_the_file_does_not_have_is_refused(tmp_path, case):
    daily, scenario, data, fragments = SCENARIO_MISTAKES[case]
    experiment = vaccinated(daily=daily, **scenario)

    first = problems_in(write_vaccinated(tmp_path, experiment, data))[0]

    for fragment in fragments:
        assert fragment in first
