"""Changed constants of growth_regression for trials, as benchmarks/forecast.py --change takes them."""

import argparse
import datetime
import math
import re
import shlex
import sys

import pytest

from modeling.forecast.settings import SETTINGS
from tests.experiments import REPOSITORY


@pytest.fixture
def changes(monkeypatch):
    """The module. Its folder is last on the path, for its localcloud.py is not the package of that name."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(REPOSITORY / "benchmarks")])
    import changes

    return changes


def test_a_change_replaces_one_constant_and_leaves_the_others(changes):
    found = changes.changed([changes.change("fit.ridge=0.1"), changes.change("rows.reach=6")])

    assert (found.fit.ridge, found.rows.reach) == (0.1, 6)
    assert (found.fit.most_growth, found.rows.window) == (SETTINGS.fit.most_growth, SETTINGS.rows.window)
    assert (found.faults, found.spread) == (SETTINGS.faults, SETTINGS.spread)
    assert changes.changed([]) is SETTINGS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("faults.fewest=inf", math.inf),
        ("rows.run_in=0", 0),
        ("revisions.default_shifts=0,0,0", (0.0, 0.0, 0.0)),
        ("rows.voluntary=2000-01-01, 2000-01-08", (datetime.date(2000, 1, 1), datetime.date(2000, 1, 8))),
        ("without=growth, 1 week", "growth, 1 week"),
    ],
)
def test_a_value_is_of_the_kind_of_its_constant(changes, text, value):
    assert changes.change(text) == (text.partition("=")[0], value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("fit.rigde=0.1", "names and their values are: .*fit.ridge 0.03; .*patterns? of: .*nation's rate"),
        ("fit.ridge", "write NAME=VALUE"),
        ("fit.ridge=small", "not a value as 0.03 is"),
        ("fit.ridge=nan", "not a value as 0.03 is"),
        ("rows.run_in=1.5", "not a value as 4 is"),
        ("revisions.default_shifts=0", "has 3 values"),
        ("without=nations*", 'no predictor is like "nations\\*"; there are: .*nation\'s rate'),
    ],
)
def test_a_change_that_means_nothing_is_refused(changes, text, why):
    with pytest.raises(argparse.ArgumentTypeError, match=why):
        changes.change(text)


def test_predictors_like_a_pattern_are_left_out(changes):
    def named():
        return dict.fromkeys(changes.predictor_names(), 0)

    kept = changes._kept(named, ["*Christmas +*", "*Thanksgiving"])()

    assert set(named()) - set(kept) == {
        f"{which} {holiday}"
        for which in ("origin", "target")
        for holiday in ("Christmas + 0", "Christmas + 1", "Christmas + 2", "Thanksgiving")
    }


def test_the_page_has_only_changes_that_there_are(changes):
    page = (REPOSITORY / "docs" / "forecast-quality.md").read_text(encoding="utf-8")

    table = re.search(r"^as chosen .*?^```", page, re.MULTILINE | re.DOTALL)[0]
    rows = [re.split(r" {2,}", line)[0] for line in table.splitlines()[1:-1]]

    assert len(rows) >= 25
    for row in rows:
        for text in shlex.split(row):
            changes.change(text)
