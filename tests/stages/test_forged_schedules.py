"""An input whose schedule cannot be right is refused with one line, before anything is simulated."""

from dataclasses import replace

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.simulate.run import run_workload
from modeling.workload import Flow, Simulate, Wave, Workload
from tests.in_process import ended
from tests.schedules import SIX_WEEKS, VACCINATED, axis, day, scheduled, vaccinating
from tests.small_models import START
from tests.stage_scripts import Stages
from tests.vaccines import COLUMNS, coverage, vaccinated

PLAN = vaccinating(flows=[Flow("S", "R", "r"), *VACCINATED], parameters={"r": 0.02})
EVERY_POINT = np.ones(SIX_WEEKS)
DOSES = np.ones((SIX_WEEKS, 2))


def without_one(array: np.ndarray) -> np.ndarray:
    return array[:-1]


def holding(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed[-1] = value
    return changed


def wave(**changes) -> dict:
    fields = {"parameter": "r", "shape": EVERY_POINT, "minimum": 0.5, "maximum": 1.0}
    return {"wave": Wave(**fields | changes)}


# what is changed in a right schedule, and what the line says
FORGED = {
    "short doses": ({"doses": without_one(DOSES)}, "the doses: an array of float64 of shape (41, 2)"),
    "doses of one group": ({"doses": DOSES[:, :1]}, "of shape (42, 1) instead of (42, 2)"),
    "negative doses": ({"doses": holding(DOSES, -1)}, "the doses: -1 is not a number from 0 to inf"),
    "doses that are nan": ({"doses": holding(DOSES, np.nan)}, "the doses: nan is not"),
    "endless doses": ({"doses": holding(DOSES, np.inf)}, "the doses: inf is not"),
    "doses of truth": ({"doses": DOSES > 0}, "an array of bool"),
    "no doses": ({"doses": None}, "a vaccination without doses"),
    "earlier doses of three": ({"doses_before": np.ones(3)}, "earlier doses: an array of float64 of shape"),
    "negative earlier doses": ({"doses_before": np.array([0, -2])}, "the earlier doses: -2 is not"),
    "short factors": ({"factors": {"r": without_one(EVERY_POINT)}}, "factors of r: an array"),
    "long factors": ({"factors": {"r": np.ones(SIX_WEEKS + 1)}}, "of shape (43,) instead of (42,)"),
    "negative factor": ({"factors": {"r": holding(EVERY_POINT, -1)}}, "factors of r: -1 is not"),
    "factor that is nan": ({"factors": {"r": holding(EVERY_POINT, np.nan)}}, "factors of r: nan is not"),
    "factors of nothing": ({"factors": {"q": EVERY_POINT}}, "factors of 'q', which the model does not have"),
    "endless override": ({"overrides": {"r": holding(EVERY_POINT, np.inf)}}, "overrides of r: inf is not"),
    "overrides of nothing": ({"overrides": {"S": EVERY_POINT}}, "overrides of 'S', which the model does"),
    "contacts of nothing": ({"contact_factors": {"bus": EVERY_POINT}}, "contact factors of 'bus', which"),
    "negative contacts": ({"contact_factors": {"home": -EVERY_POINT}}, "contact factors of home: -1 is not"),
    "short wave": (wave(shape=without_one(EVERY_POINT)), "the wave: an array of float64 of shape (41,)"),
    "wave beyond its maximum": (wave(shape=EVERY_POINT * 2), "the wave: 2 is not a number from 0 to 1"),
    "wave of nothing": (wave(parameter="q"), "a wave of 'q', which the model does not have"),
    "minimum of nothing": (wave(minimum="q"), "a wave of 'q', which the model does not have"),
    "minimum above the maximum": (wave(minimum=1.5), "the minimum of the wave: 1.5 is not a number from 0"),
    "maximum that is nan": (wave(maximum=np.nan), "the maximum of the wave: nan is not"),
    "other points": ({"points_per_day": 2}, "2 time points a day instead of 1"),
    "later first day": ({"first_day": day(1)}, "after the input's first day 2025-01-05"),
}


def workload_of(plan) -> Workload:
    return Workload(
        index=0,
        primary_id=0,
        population="US-VT",
        population_name="United_States_Vermont",
        seed=1,
        entropy=(1, 2),
        plan=plan,
        start_date=START,
        end_date=day(SIX_WEEKS - 1),
        task=Simulate(0, 1, 1, {}),
    )


@pytest.mark.parametrize("case", FORGED)
def test_a_schedule_that_cannot_be_right_is_refused_with_one_line(case):
    changes, said = FORGED[case]
    schedule = replace(axis(PLAN).steady(), **{"doses": DOSES} | changes)

    with pytest.raises(UserError) as caught:
        run_workload(workload_of(replace(PLAN, schedule=schedule)))

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flows", "said"),
    [
        ([Flow("S", "V", "", eligible=["R"])], "a vaccination of people who are not eligible"),
        ([Flow("S", "V", "", eligible=["S", "Q"])], 'uses "Q", which is not a compartment of the model'),
        ([*VACCINATED, *VACCINATED], "2 vaccinations share one schedule of doses"),
    ],
)
def test_a_vaccination_that_cannot_be_right_is_refused_with_one_line(flows, said):
    with pytest.raises(UserError, match=said):
        run_workload(workload_of(scheduled(replace(PLAN, flows=flows), doses=DOSES)))


@pytest.mark.parametrize("timespan", [{}, {"delta_t": 0.3333333}, {"delta_t": 7}, {"delta_t": 5}])
def test_every_schedule_that_stage_a_makes_passes(tmp_path, timespan):
    experiment = vaccinated()
    experiment["model"]["timespan"] |= timespan
    experiment["model"]["simulation"] = {"n_sims": 1}
    stages = Stages(tmp_path, experiment)
    data = COLUMNS + coverage(children=[1, 2], adults=[1, 2], old=[1, 2])
    (tmp_path / "forecast" / "data" / "doses.csv").write_text(data)
    assert ended(stages, "builder")[0] == 0

    assert ended(stages, "runner", TASK_INDEX=0)[0] == 0
