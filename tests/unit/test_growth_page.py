"""The page on growth_regression has the constants that the method uses."""

import re
from operator import attrgetter

from modeling.forecast.settings import SETTINGS
from tests.experiments import REPOSITORY


def test_the_page_has_the_constants_of_the_code():
    page = (REPOSITORY / "docs" / "growth-regression.md").read_text(encoding="utf-8")

    rows = re.findall(r"^\| `([\w.]+)` \| ([\d., −]+) \|", page, re.MULTILINE)

    assert len(rows) > 10
    for name, written in rows:
        value = attrgetter(name)(SETTINGS)
        values = value if isinstance(value, tuple) else (value,)
        assert [float(each) for each in written.replace("−", "-").split(",")] == list(values), name
