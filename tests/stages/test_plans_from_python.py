"""The engine as a modeller calls it from Python: the example of its page, and what it refuses."""

import datetime
import re

import numpy as np
import pytest

from modeling.engine.plan import Keys, Observables, compile_plan
from modeling.failures import UserError
from modeling.workload import Schedule
from tests.experiments import REPOSITORY
from tests.small_models import START, plan

DRAWN = plan(parameters={"gamma": 0.25}, initial={"S": "default", "I": "calibrated", "R": None})
VALUES = {"beta": np.full(5, 0.2), "I": np.full(5, 20.0)}


def simulated(parameters: dict, starts=None, series=("I_total",), sums=(("S_to_I_total",),)):
    compiled = compile_plan(DRAWN, START, START + datetime.timedelta(days=30))
    return compiled.simulate(parameters, Keys(1, np.arange(5)), starts, Observables(series, sums))


def test_the_example_of_the_page_runs_as_it_is_copied():
    page = (REPOSITORY / "docs" / "engine.md").read_text(encoding="utf-8")
    names: dict = {}

    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], names)

    infections = names["done"].by_transition[:, 0]
    assert infections.shape == (1_000, 181)
    assert np.corrcoef(names["values"]["transmission_rate"], infections.sum(axis=1))[0, 1] > 0.7


@pytest.mark.parametrize(
    ("changes", "starts", "said"),
    [
        ({"beta": None}, None, 'no values of "beta"'),
        ({"beta": None, "betta": np.ones(5)}, None, 'no values of "beta".*did you mean "betta"'),
        ({"I": None}, None, 'no values of "I"'),
        ({"beta": np.ones(4)}, None, r"beta has shape \(4,\); 5 particles need \(5,\)"),
        ({"beta": 0.2}, None, r"beta has shape \(\)"),
        ({"I": np.ones((5, 2))}, None, r"I has shape \(5, 2\)"),
        ({}, np.zeros(3, dtype=int), r"starts has shape \(3,\)"),
    ],
)
def test_values_that_are_not_one_a_particle_are_refused(changes, starts, said):
    parameters = {name: value for name, value in (VALUES | changes).items() if value is not None}

    with pytest.raises(UserError, match=said):
        simulated(parameters, starts)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (1, 0, "from 2025-01-04 to 2025-02-04 is not within .* from 2025-01-05 to 2025-02-04"),
        (0, 1, "from 2025-01-05 to 2025-02-05 is not within .* from 2025-01-05 to 2025-02-04"),
        (0, -31, "the last day, 2025-01-04, is before the first, 2025-01-05"),
    ],
)
def test_a_period_that_the_changes_of_a_plan_do_not_cover_is_refused(before, after, said):
    changing = plan(schedule=Schedule(START, 1, None, {"beta": np.full(31, 0.5)}, {}, {}, None, None))
    first, last = START - datetime.timedelta(days=before), START + datetime.timedelta(days=30 + after)

    with pytest.raises(UserError, match=said):
        compile_plan(changing, first, last)


@pytest.mark.parametrize("lists", [{"sums": ["S_to_I_total"]}, {"series": "I_total"}])
def test_a_name_where_a_list_belongs_is_refused(lists):
    with pytest.raises(UserError, match=r'write \["\w+_total"\]'):
        simulated(VALUES, **lists)
