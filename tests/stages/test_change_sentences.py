"""What changes over time is said in sentences: by the check, by stage A and in the report."""

import html
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from modeling.change_sentences import MOST_CHARACTERS, MOST_SENTENCES, change_sentences
from modeling.workload import Wave
from tests.constructs import DAILY_DOSES, started_by_sampling, vaccinated, with_all_changes, write_data
from tests.experiments import REPOSITORY, simulated
from tests.forgeries import forge, having, refused
from tests.in_process import ended
from tests.schedules import axis, day, in_span, leaving, scheduled, vaccinating
from tests.stage_scripts import Stages

HEADING = "What changes over time"
ALL_CHANGES = [
    "schools are closed on 1 of 42 days: 2025-01-20",  # Martin Luther King Jr. Day
    "beta × 0.7 on 10 of 42 days: 2025-01-15 to 2025-01-24",
    "gamma = 0.5 on 14 of 42 days: 2025-01-20 to 2025-02-02",
    "contacts of layer school × 0.3 on 1 of 42 days: 2025-01-20",
    "contacts of layer work × 0.4 on 10 of 42 days: 2025-02-01 to 2025-02-10",
]


def said(plan, last: int = 41) -> list[str]:
    """Return the sentences of a model from 2025-01-05 to `last` days later."""
    return list(change_sentences(plan, day(last)))


def sequence(*spans: tuple[int, int, float], otherwise: float = 1.0) -> np.ndarray:
    values = np.full(42, otherwise)
    for first, last, value in spans:
        values[first : last + 1] = value
    return values


# -- doses


def test_doses_are_counted_by_age_group_until_their_last_day():
    of = vaccinating()
    doses = np.zeros((42, 2))
    doses[3:10] = [100, 200]  # 8 to 14 January

    found = said(scheduled(of, doses=doses, doses_before=np.array([70.0, 0.0])))

    assert found == [
        "2,170 vaccine doses, 2025-01-05 to 2025-01-14: 770 to 0-17, 1,400 to 18+, "
        "70 of them due before the first day",
        "doses are shared by the people in S (100,000,000 on the first day)",
    ]


@pytest.mark.parametrize("delta_t_days", [0.25, 1.0, 5.0])
def test_doses_after_the_last_simulated_day_do_not_count(delta_t_days):
    of = vaccinating(delta_t_days=delta_t_days)
    doses = np.full((48, 2), [10.0, 20.0])

    [first, _] = said(scheduled(of, doses=doses), last=9)

    assert first == "300 vaccine doses, 2025-01-05 to 2025-01-14: 100 to 0-17, 200 to 18+"


@pytest.mark.parametrize(
    ("init", "number"),
    [(0.25, "100,000,000"), ("sampled", "a drawn number")],
)
def test_the_eligible_people_are_those_of_the_first_day(init, number):
    of = vaccinating(eligible=["S", "R"], initial={"S": "default", "R": init, "V": 0.0})

    found = said(scheduled(of, doses=np.ones((42, 2))))

    assert (
        found[1]
        == f"doses are shared by the people in S, R ({number} on the first day); only those in S move to V"
    )


def test_a_file_without_doses_on_the_simulated_days_is_said():
    assert said(scheduled(vaccinating(), doses=np.zeros((42, 2)))) == [
        "no vaccine doses on the simulated days"
    ]


# -- schools


def test_closed_school_days_have_their_share_of_the_people():
    closed = sequence((0, 1, 1.0), (10, 11, 0.5), otherwise=0.0)

    assert said(scheduled(leaving(), closed_schools=closed)) == [
        "schools are closed for 75 % of the people on average, on 4 of 42 days: "
        "2025-01-05 to 2025-01-06, 2025-01-15 to 2025-01-16"
    ]
    assert said(scheduled(leaving(), closed_schools=closed), last=1) == [
        "schools are closed on 2 of 2 days: 2025-01-05 to 2025-01-06"
    ]
    assert said(scheduled(leaving(), closed_schools=np.zeros(42))) == [
        "no school is closed on the simulated days"
    ]


# -- seasonality: 2 on 10 January, the minimum on 30 January


def waving(minimum, **parameters):
    of = leaving(parameters={"r": 0.02} | parameters)
    phase = np.pi * axis(of).days_after(day(5)) / 20
    return scheduled(of, wave=Wave("r", (1 + np.cos(phase)) / 2, minimum, 2.0))


@pytest.mark.parametrize(
    ("plan", "last", "lowest"),
    [
        (waving(0.5), 41, "0.5 on 2025-01-30"),
        (waving(0.5), 15, "1.25 on 2025-01-20"),  # half way
        (waving("seasonality_min", seasonality_min=0.5), 15, "1.25 on 2025-01-20"),
        (waving("seasonality_min"), 41, "seasonality_min on 2025-01-30"),
        (waving("seasonality_min"), 15, "1 + 0.5 × seasonality_min on 2025-01-20"),
    ],
)
def test_the_seasonal_range_is_that_of_the_simulated_days(plan, last, lowest):
    assert said(plan, last) == [f"seasonal factor of r: lowest {lowest}, highest 2 on 2025-01-10"]


# -- factors and overrides


def test_a_factor_and_an_override_have_their_days_inside_the_model():
    of = leaving()
    factors = sequence((0, 2, 0.5), (5, 5, 0.25), (8, 9, 0.5))
    overrides = sequence((40, 41, 0.1), otherwise=np.nan)

    changes = {"factors": {"r": factors}, "overrides": {"r": overrides}, "contact_factors": {"home": factors}}

    assert said(scheduled(of, **changes), last=40) == [
        "r × 0.5 on 5 of 41 days: 2025-01-05 to 2025-01-07, 2025-01-13 to 2025-01-14",
        "r × 0.25 on 1 of 41 days: 2025-01-10",
        "r = 0.1 on 1 of 41 days: 2025-02-14",
        "contacts of layer home × 0.5 on 5 of 41 days: 2025-01-05 to 2025-01-07, 2025-01-13 to 2025-01-14",
        "contacts of layer home × 0.25 on 1 of 41 days: 2025-01-10",
    ]
    assert said(scheduled(of, factors={"r": sequence((5, 9, 0.5))}), last=4) == [
        "r: no change on the simulated days"
    ]


def test_a_factor_of_many_values_has_its_range():
    [sentence] = said(scheduled(leaving(), factors={"r": np.linspace(0.5, 1.32, 42)}))

    assert sentence == "r × 0.5 (lowest, on 2025-01-05) to 1.32 (highest, on 2025-02-15)"


@pytest.mark.parametrize(
    ("delta_t_days", "first", "last", "days"),
    [
        (0.25, 10, 12, "× 0.5 on 3 of 42 days: 2025-01-15 to 2025-01-17"),
        (
            7.0,
            13,
            14,
            "× 0.5 on 7 of 42 days: 2025-01-19 to 2025-01-25",
        ),  # a step has the value of its first day
        (7.0, 10, 12, ": no change on the simulated days"),
    ],
)
def test_days_are_those_of_the_time_steps(delta_t_days, first, last, days):
    of = leaving(delta_t_days=delta_t_days)

    [sentence] = said(scheduled(of, factors={"r": in_span(of, first, last, 0.5)}))

    assert sentence.replace("r ", "").replace("r:", ":") == days


def test_the_sentences_of_a_model_are_bounded():
    of = leaving()
    factors = {f"{number}{'x' * 2000}": sequence((0, 0, 0.5)) for number in range(60)}

    found = said(scheduled(of, factors=factors))

    assert len(found) == MOST_SENTENCES
    assert max(map(len, found)) == MOST_CHARACTERS
    assert found[-1] == "and 21 more changes"


# -- at the doors


def check(stages: Stages) -> list[str]:
    """Return the lines of the check that `invoke validate` starts."""
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "check_experiment.py")],
        env=stages.environment(FORECAST_REPO_DIR=stages.folder / "forecast"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (done.stdout + done.stderr).splitlines()


def staged(folder, experiment: dict) -> Stages:
    stages = Stages(folder, experiment)
    write_data(folder / "forecast")
    return stages


def report(stages: Stages) -> str:
    code, lines = ended(stages, "output")
    assert code == 0, lines
    return html.unescape((stages.outputs() / "report.html").read_text())


def report_of_run(stages: Stages) -> str:
    code, lines = ended(stages, "builder")
    assert code == 0, lines
    for index in range(stages.manifest()["num_workloads"]):
        code, lines = ended(stages, "runner", TASK_INDEX=index)
        assert code == 0, lines
    return report(stages)


def test_the_check_says_on_one_line_what_changes_and_the_report_says_it_too(tmp_path):
    stages = staged(tmp_path, with_all_changes())

    [line] = [line for line in check(stages) if "changes over time" in line]
    page = report_of_run(stages)

    assert "validate: US-VT changes over time: 226,358 vaccine doses, 2025-01-05 to 2025-02-15: " in line
    assert page.count(HEADING) == 1
    for sentence in ALL_CHANGES:
        assert sentence in line
        assert f"<li>{sentence}</li>" in page


def test_parameter_sets_with_starts_of_their_own_have_the_doses_of_their_population_once(tmp_path):
    experiment = started_by_sampling()
    with_doses = vaccinated(DAILY_DOSES)["model"]
    experiment["model"]["compartments"].append(with_doses["compartments"][-1])
    experiment["model"]["transitions"] = with_doses["transitions"]
    experiment["model"]["vaccination"] = with_doses["vaccination"]
    stages = staged(tmp_path, experiment)

    page = report_of_run(stages)

    # of the 36 days from 11 January on: 40, 41, ... to 0-17, 100, 101, ... to 18-64, 30 to 65+
    by_group = "2,070 to 0-17, 4,230 to 18-64, 1,080 to 65+"
    assert page.count(f"<li>7,380 vaccine doses, 2025-01-11 to 2025-02-15: {by_group}</li>") == 1


def test_a_model_that_does_not_change_has_neither_a_line_nor_a_heading(tmp_path):
    stages = staged(tmp_path, simulated())

    lines = check(stages)

    assert len(lines) == 1
    assert HEADING not in report_of_run(stages)


# -- results


def test_a_result_of_an_earlier_version_has_no_sentences(run):
    def older(result):
        made = replace(result)
        del vars(made)["changes"]
        return made

    forge(run, older)

    assert HEADING not in report(run)


def test_sentences_are_text_and_no_markup(run):
    forge(run, having(changes=("<script>beta</script> × 2",)))
    code, _ = ended(run, "output")

    assert code == 0
    page = (run.outputs() / "report.html").read_text()
    assert "&lt;script&gt;beta&lt;/script&gt; × 2" in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        (("x",) * (MOST_SENTENCES + 1), "41 changes over time, more than 40"),
        (("x" * (MOST_CHARACTERS + 1),), "is not a change over time"),
        (("",), "is not a change over time"),
        (("beta\x1b[2J",), "'beta\\x1b[2J' is not a change over time"),
        (["beta"], "Result.changes is a list"),
        ((7,), "Result.changes is a whole number instead of a text"),
    ],
)
def test_forged_sentences_are_refused(run, changes, fragment):
    forge(run, having(changes=changes))

    assert fragment in refused(run, "output")
