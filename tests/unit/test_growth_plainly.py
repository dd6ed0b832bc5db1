"""The method growth_regression beside a second, plain program that was written from its page."""

import datetime
from dataclasses import replace

import numpy as np
import pytest

from modeling.forecast.growth_regression import forecast
from modeling.forecast_records import Surveillance
from tests.flu_vintages import LOCATIONS, PEOPLE, history, known_on
from tests.plain_growth import plain_forecast

CALIFORNIA, VERMONT = (LOCATIONS.index(fips) for fips in ("06", "50"))


def with_gaps(known: Surveillance) -> Surveillance:
    """Return counts without California's week of two months ago, and without Vermont's newest one."""
    counts = known.counts.copy()
    counts[-9, CALIFORNIA] = counts[-1, VERMONT] = np.nan
    return replace(known, counts=counts)


@pytest.mark.parametrize(
    ("date", "has_gaps", "has_history"),
    [
        pytest.param("2024-11-23", False, False, id="without-earlier-vintages-and-with-faults"),
        pytest.param("2025-01-04", False, False, id="after-Christmas-with-an-under-report"),
        pytest.param("2025-01-25", False, False, id="after-a-missing-release"),
        pytest.param("2025-03-29", True, False, id="with-gaps"),
        pytest.param("2024-11-23", True, True, id="with-gaps-and-a-history"),
        pytest.param("2025-05-31", False, False, id="in-May-with-many-vintages"),
    ],
)
def test_a_plain_program_written_from_the_page_says_the_same(date, has_gaps, has_history):
    known, past = known_on(datetime.date.fromisoformat(date)), history() if has_history else None
    known = with_gaps(known) if has_gaps else known

    found = forecast(known, LOCATIONS, PEOPLE, past)

    quantiles, counts = plain_forecast(known, LOCATIONS, PEOPLE, past)
    np.testing.assert_allclose(found.nowcast, counts[-3:], rtol=1e-9)
    np.testing.assert_array_equal(found.quantiles.values, quantiles)
