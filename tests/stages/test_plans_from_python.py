"""The engine as a modeller calls it from Python: the example of its page, and what it refuses."""

import datetime
import re

import numpy as np
import pytest

from modeling.engine.plan import Observables, compile_plan
from modeling.failures import UserError
from modeling.workload import Schedule
from tests.experiments import REPOSITORY
from tests.small_models import START, plan


def test_the_example_of_the_page_runs_as_it_is_copied():
    page = (REPOSITORY / "docs" / "engine.md").read_text(encoding="utf-8")
    names: dict = {}

    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], names)

    infections = names["done"].by_transition[:, 0]
    assert infections.shape == (1_000, 181)
    assert np.corrcoef(names["values"]["transmission_rate"], infections.sum(axis=1))[0, 1] > 0.7


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (1, 0, "from 2025-01-04 to 2025-02-04 is not within .* from 2025-01-05 to 2025-02-04"),
        (0, 1, "from 2025-01-05 to 2025-02-05 is not within .* from 2025-01-05 to 2025-02-04"),
    ],
)
def test_a_period_that_the_changes_of_a_plan_do_not_cover_is_refused(before, after, said):
    changing = plan(schedule=Schedule(START, 1, None, {"beta": np.full(31, 0.5)}, {}, {}, None, None))
    first, last = START - datetime.timedelta(days=before), START + datetime.timedelta(days=30 + after)

    with pytest.raises(UserError, match=said):
        compile_plan(changing, first, last)


@pytest.mark.parametrize("lists", [([], ["S_to_I_total"]), ("I_total", [])])
def test_a_name_where_a_list_belongs_is_refused(lists):
    with pytest.raises(UserError, match=r'write \["\w+_total"\]'):
        Observables(*lists)
