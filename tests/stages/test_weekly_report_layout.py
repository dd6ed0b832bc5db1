"""The report of a weekly forecast as Chromium lays it out, on a phone (390 px) and on a desk (1280 px)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modeling.forecast_records import WEEK, Doubt
from modeling.hubs import HORIZONS, hub_populations
from modeling.outputs.weekly_report import write_weekly_report
from tests.browser import measured
from tests.forecast_results import REFERENCE, made_up_quantiles, made_up_result
from tests.panels import run_facts

PHONE, TABLET, DESK = 390, 800, 1280
LEAST_PX = 10  # of a letter
LONG = "Admissions_of_people_with_laboratory_confirmed_influenza_" * 3


def crowded_report(folder: Path) -> Path:
    """Write a report of all places: from no admission to 100,000, one left out, with everything to say."""
    places = [place for place in hub_populations() if place != "23"]
    ends = {place: ((7919 * n) % 12_000, (104_729 * n) % 29_000) for n, place in enumerate(places)}
    result = made_up_result(ends | {"US": (98_700, 104_000), "56": (0, 0), "72": (5, 9_000)})
    result = replace(
        result,
        later=result.forecast.values[:, :, 12] + 3 * np.arange(len(HORIZONS))[:, None],
        previous=made_up_quantiles(REFERENCE - WEEK, list(ends.values())),
        nowcast=result.nowcast * 1.2,
        left_out={"23": "no count in the last 12 weeks; " * 4},
        notes=[LONG],
        doubts=[Doubt("11", kind, "The week to 4 January was revised. " * 5) for kind in ("fault", "gap")],
    )
    path = folder / "report.html"
    write_weekly_report(path, run_facts(tables=[("forecast.csv.gz", 12_345)]), result)
    return path


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    """What Chromium measures of the report, by width."""
    return measured(crowded_report(tmp_path_factory.mktemp("report")), [PHONE, TABLET, DESK])


@pytest.mark.parametrize("width", [PHONE, TABLET, DESK])
def test_nothing_is_cut_off_or_to_be_scrolled_to(laid_out, width):
    found = laid_out[width]

    assert found["document"] <= width
    for cut_off in ("sideways", "outside", "overflowing", "ellipses", "touching", "broken"):
        assert found[cut_off] == [], cut_off


@pytest.mark.parametrize("width", [PHONE, TABLET, DESK])
def test_the_tiles_are_squares_whose_words_are_apart(laid_out, width):
    tiles = laid_out[width]["tiles"]

    assert len(tiles) == 52
    assert min(wide for wide, _ in tiles) >= 30
    assert max(abs(wide - high) for wide, high in tiles) < 1
    assert laid_out[width]["overlapping"] == []


@pytest.mark.parametrize("width", [PHONE, TABLET, DESK])
def test_every_word_of_page_and_charts_can_be_read(laid_out, width):
    assert laid_out[width]["smallestText"] >= LEAST_PX
    assert len(laid_out[width]["chartTexts"]) > 300
    assert min(laid_out[width]["chartTexts"]) >= LEAST_PX
    assert laid_out[width]["chartTextsOutside"] == []
