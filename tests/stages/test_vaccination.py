"""Vaccination data become doses by day and age group: as many as coverage times people, none lost."""

import datetime
import re

import numpy as np
import pytest

from modeling.engine.doses import UnusedDoses
from modeling.workload import Flow
from tests.experiments import calibrated, sampled, simulated
from tests.schedules import SIX_WEEKS, path_of, scheduled, vaccinating
from tests.vaccines import COLUMNS, PUBLISHED, built, coverage, doses_given, schedule_of, vaccinated

# people of Vermont in epydemix-data, by age
INFANTS = 5112  # age 0, half of whom are six months old or more
P0_4, P5_17, P18_49, P50_64, P65 = 27348, 87288, 257814, 131891, 143123
P13_17 = 35816
CHILDREN = P0_4 + P5_17 - INFANTS / 2
ADULTS = P18_49 + P50_64
SUNDAY = datetime.date(2025, 1, 5)

DATA = COLUMNS + coverage(children=[1, 8, 10], adults=[2, 2, 9], old=[20, 34, 90])


def test_a_vaccination_is_a_flow_that_the_eligible_compartments_share(tmp_path):
    plan = built(tmp_path, vaccinated(), DATA)[0].plan

    assert plan.flows[-1] == Flow("S", "V", "", None, ["S", "R"])


def test_the_doses_of_a_week_are_the_rise_of_coverage_spread_over_its_days(tmp_path):
    schedule = schedule_of(tmp_path, vaccinated(), DATA)

    assert schedule.first_day == SUNDAY
    assert schedule.doses.shape == (42, 3)
    np.testing.assert_allclose(schedule.doses_before, [0.01 * CHILDREN, 0.02 * ADULTS, 0.2 * P65])
    np.testing.assert_allclose(schedule.doses[:7], [[0.01 * CHILDREN, 0, 0.02 * P65]] * 7)
    np.testing.assert_allclose(schedule.doses[7:14], [[0.02 * CHILDREN / 7, 0.01 * ADULTS, 0.08 * P65]] * 7)
    assert not schedule.doses[14:].any()


def test_the_first_week_of_the_file_has_what_was_given_before_it(tmp_path):
    data = COLUMNS + coverage("2025-01-18", children=[7], adults=[14], old=[21])

    schedule = schedule_of(tmp_path, vaccinated(), data)

    assert not schedule.doses_before.any()
    assert not schedule.doses[:7].any()
    np.testing.assert_allclose(schedule.doses[7:14], [[0.01 * CHILDREN, 0.02 * ADULTS, 0.03 * P65]] * 7)


# the model's age groups, those of the data with their coverage [%], and the doses by age group
GROUPS = {
    "model groups that data groups cut": (
        ["0-4", "5-64", "65+"],
        {"children": 10, "Y18_49": 20, "Y50+": 50},
        [0.1 * (P0_4 - INFANTS / 2), 0.1 * P5_17 + 0.2 * P18_49 + 0.5 * P50_64, 0.5 * P65],
    ),
    "data groups within model groups": (
        ["0-17", "18+"],
        {"Y0_4": 10, "Y5_17": 20, "Y18_49": 30, "Y50_64": 40, "Y65+": 50},
        [0.1 * P0_4 + 0.2 * P5_17, 0.3 * P18_49 + 0.4 * P50_64 + 0.5 * P65],
    ),
    "one model group": (
        ["0+"],
        {"children": 100, "Y18+": 100},
        [CHILDREN + ADULTS + P65],
    ),
    "a sum that finer groups cover": (
        ["0-17", "18-64", "65+"],
        {"Y0_17": 99, "Y13_17": 40, "Y5_12": 20, "Y0_4": 10, "adults": 0, "old": 50, "Y0+": 99},
        [0.1 * P0_4 + 0.2 * (P5_17 - P13_17) + 0.4 * P13_17, 0, 0.5 * P65],
    ),
    "ages without coverage": (["0-17", "18-64", "65+"], {"Y65+": 30}, [0, 0, 0.3 * P65]),
}


@pytest.mark.parametrize("case", GROUPS)
def test_doses_are_coverage_times_the_people_of_each_age(tmp_path, case):
    age_groups, by_age, doses = GROUPS[case]
    experiment = vaccinated()
    experiment["model"]["population"]["age_groups"] = age_groups
    data = COLUMNS + coverage(**{age: [percent / 2, percent] for age, percent in by_age.items()})

    schedule = schedule_of(tmp_path, experiment, data)

    np.testing.assert_allclose(schedule.doses_before + schedule.doses.sum(axis=0), doses, rtol=1e-12)


def sampled_start():
    experiment = sampled()
    experiment["model"]["timespan"]["start_date"] = "sampled"
    modelset = experiment["modelset"]["sampling"]
    modelset["samplers"].append({"strategy": "LHS", "n_samples": 15, "parameters": ["start_date"]})
    days = {"name": "uniform", "args": [0, 15]}
    modelset["start_date"] = {"reference_date": "2024-12-25", "distribution": days}
    modelset["parameters"]["R0"]["values"] = [1.5]
    return experiment


def calibrated_start():
    experiment = calibrated()
    experiment["model"]["timespan"]["start_date"] = "calibrated"
    days = {"name": "randint", "args": [0, 15]}
    experiment["modelset"]["calibration"]["start_date"] = {"reference_date": "2024-12-25", "prior": days}
    return experiment


@pytest.mark.parametrize("make", [simulated, sampled_start, calibrated_start])
def test_no_dose_is_lost_for_any_start(tmp_path, make):
    total = [0.1 * CHILDREN, 0.09 * ADULTS, 0.9 * P65]

    workloads = built(tmp_path, vaccinated(make), DATA)

    schedule = workloads[0].plan.schedule
    earliest = min(workload.start_date for workload in workloads)
    starts = {earliest + datetime.timedelta(days=number) for number in range(15)}
    assert schedule.first_day == earliest
    for start in starts | {workload.start_date for workload in workloads}:
        np.testing.assert_allclose(doses_given(schedule, start).sum(axis=0), total, rtol=1e-12)
    assert len({workload.start_date for workload in workloads}) == (15 if make == sampled_start else 1)


def test_doses_stay_daily_whatever_the_time_step(tmp_path):
    daily = schedule_of(tmp_path, vaccinated(), DATA)
    for delta_t, num_days in ((0.25, 42), (7, 48)):  # a last step of 7 days may begin on the last day
        experiment = vaccinated()
        experiment["model"]["timespan"]["delta_t"] = delta_t

        schedule = schedule_of(tmp_path, experiment, DATA)

        assert len(schedule.doses) == num_days
        np.testing.assert_array_equal(schedule.doses[:42], daily.doses)


@pytest.mark.parametrize("delta_t", [0.25, 1.0, 7.0])
def test_parts_of_a_dose_add_up_whatever_the_time_step(delta_t):
    """A small state has less than a dose a step: rounded to whole doses, nobody would be vaccinated."""
    of = scheduled(vaccinating(delta_t_days=delta_t), doses=np.full((SIX_WEEKS, 2), 0.27))

    given = sum(path_of(of, seed=seed)["S_to_V_total"].sum() for seed in range(50))

    due = 50 * SIX_WEEKS * 2 * 0.27
    assert abs(given - due) < 4 * np.sqrt(due)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_unused_doses_are_dated_by_the_earliest_trajectory_that_has_them(order):
    due, nobody = np.array([[0.0, 0.0], [5.0, 1.0]]), np.zeros((2, 2))
    days = np.array(["2025-01-05", "2025-01-06"], dtype="datetime64[D]")
    unused = UnusedDoses()

    for weeks_later in order:
        unused.count(due, nobody, days + 7 * weeks_later)

    assert unused == UnusedDoses(simulated=2, trajectories=2, doses=12.0, first=days[1])


def test_a_model_may_end_before_the_data(tmp_path):
    experiment = vaccinated()
    experiment["model"]["timespan"]["end_date"] = "2025-01-14"  # two of the third week's days
    experiment["model"]["simulation"]["resample_frequency"] = "D"

    schedule = schedule_of(tmp_path, experiment, DATA)

    total = schedule.doses_before + schedule.doses.sum(axis=0)
    np.testing.assert_allclose(total[2], (0.34 + 3 / 7 * 0.56) * P65)


def test_a_fall_by_rounding_keeps_the_last_coverage_and_no_negative_doses(tmp_path):
    data = COLUMNS + coverage(children=[10, 10.05, 10.02], adults=[0, 0, 0], old=[0, 0, 0])

    schedule = schedule_of(tmp_path, vaccinated(), data)

    assert schedule.doses.min() == 0
    np.testing.assert_allclose(schedule.doses_before[0] + schedule.doses[:, 0].sum(), 0.1002 * CHILDREN)


@pytest.mark.parametrize("scenario", ["C_D", "sc_C_D", "flu.coverage.rd2425.sc_C_D"])
def test_the_published_layout_gives_the_coverage_of_the_chosen_scenario(tmp_path, scenario):
    experiment = vaccinated(scenario=scenario)
    experiment["model"]["timespan"] |= {"start_date": "2024-09-08", "end_date": "2024-09-28"}
    experiment["model"]["population"]["age_groups"] = ["0-4", "5-17", "18-49", "50-64", "65+"]

    schedule = schedule_of(tmp_path, experiment, PUBLISHED)

    schoolchildren = 0.0460475435262539 * (P5_17 - P13_17) + 0.0343680210546237 * P13_17
    infants = 0.0739676496874457 * (P0_4 - INFANTS / 2)
    others = [0.0270730148979118 * P18_49, 0.0250413678551584 * P50_64, 0.0436861183285192 * P65]
    total = schedule.doses_before + schedule.doses.sum(axis=0)
    np.testing.assert_allclose(total, [infants, schoolchildren, *others], rtol=1e-12)
    np.testing.assert_allclose(schedule.doses_before[4], 0.0274749126768893 * P65)


DAILY = """dates,location,0-17,18-64,65+
2025-01-03,US-VT,1,2,3
2025-01-04,US-VT,10,20,30
2025-01-05,US-VT,0.5,0,7
2025-01-06,US-VT,100,0,0
2025-01-03,US-MA,9,9,9
"""


def test_daily_doses_are_taken_as_they_are(tmp_path):
    schedule = schedule_of(tmp_path, vaccinated(daily=True), DAILY)

    assert schedule.doses_before.tolist() == [11, 22, 33]
    assert schedule.doses[:2].tolist() == [[0.5, 0, 7], [100, 0, 0]]
    assert not schedule.doses[2:].any()


def test_daily_doses_are_those_of_the_chosen_scenario(tmp_path):
    data = "scenario,location,dates,65+,0-17,18-64\n"
    data += "A_B,Vermont,2025-01-05,3,1,2\nC_D,Vermont,2025-01-05,30,10,20\n"

    schedule = schedule_of(tmp_path, vaccinated(daily=True, scenario="C_D"), data)

    assert schedule.doses[0].tolist() == [10, 20, 30]


# what is probably not meant: the experiment, its data, and the one warning
WARNINGS = {
    "a scenario that selects nothing": (
        vaccinated(scenario="A_B"),
        DATA,
        'model.yaml:53: doses.csv has only the column "Coverage", so scenario "A_B" selects nothing',
    ),
    "a scenario of daily doses without a column": (
        vaccinated(daily=True, scenario="A_B"),
        DAILY.replace("2025-01-0", "2025-02-0"),
        'model.yaml:53: doses.csv has no column "scenario", so scenario "A_B" selects nothing',
    ),
    "a model that runs on": (
        vaccinated(),
        COLUMNS + coverage("2025-01-11", children=[1], adults=[2], old=[3]),
        "model.yaml:48: doses.csv ends on 2025-01-11; nobody is vaccinated after it, until",
    ),
    "shares": (
        vaccinated(),
        COLUMNS + coverage("2025-02-01", children=[0.1], adults=[0.2], old=[1]),
        "no coverage in column Coverage of doses.csv is above 1 %; if these are shares, multiply",
    ),
    "no doses": (
        vaccinated(),
        COLUMNS + coverage("2025-02-01", children=[0], adults=[0], old=[0]),
        "doses.csv has no doses for US-VT until 2025-02-15; nobody is vaccinated",
    ),
    "ages without coverage": (
        vaccinated(),
        COLUMNS + coverage("2025-02-01", Y5_12=[5], Y65_74=[20]),
        "doses.csv has no coverage of ages 0.5-4, 13-64, 75+, who get no doses",
    ),
    "months without coverage": (
        vaccinated(),
        COLUMNS + coverage("2025-02-01", children=[5], adults=[5], old=[20]).replace("6 Mon", "9 Mon"),
        "doses.csv has no coverage of ages 6-8 months, who get no doses",
    ),
}


def test_doses_for_those_who_are_vaccinated_already_are_warned_of(tmp_path, caplog):
    built(tmp_path, vaccinated(eligible_compartments=["S", "V", "R"]), DATA)

    [message] = [r.getMessage() for r in caplog.records if "vaccinated" in r.getMessage()]
    assert re.match(r"model.yaml:\d+: V holds the vaccinated: their share of the doses moves nobody", message)


def test_a_drawn_first_day_after_the_last_dose_is_warned_of(tmp_path, caplog):
    data = COLUMNS + coverage("2025-01-04", children=[1], adults=[2], old=[3])

    built(tmp_path, vaccinated(calibrated_start), data)

    about = [message for message in caplog.messages if "first day after 2025-01-04" in message]
    assert len(about) == 1
    assert "all doses are then given in the first week" in about[0]


@pytest.mark.parametrize("case", WARNINGS)
def test_what_is_probably_not_meant_is_warned_of_once(tmp_path, caplog, case):
    experiment, data, said = WARNINGS[case]

    built(tmp_path, experiment, data)

    own = [record.getMessage() for record in caplog.records if "doses.csv" in record.getMessage()]
    assert len(own) == 1, own
    assert said in own[0]


def test_a_model_that_ends_within_four_weeks_of_the_data_is_not_warned_of(tmp_path, caplog):
    built(tmp_path, vaccinated(), DATA)

    assert not [record for record in caplog.records if "doses.csv" in record.getMessage()]


def test_a_warning_about_the_file_is_given_once_for_all_populations(tmp_path, caplog):
    experiment = vaccinated(sampled, scenario="A_B")
    del experiment["model"]["population"]["name"]
    experiment["modelset"]["population_names"] = ["US-VT", "US-MA"]

    workloads = built(tmp_path, experiment, DATA + coverage(place="MA", children=[1, 8, 10]))

    assert len({id(workload.plan.schedule) for workload in workloads}) == 2
    assert sum("selects nothing" in record.getMessage() for record in caplog.records) == 1
