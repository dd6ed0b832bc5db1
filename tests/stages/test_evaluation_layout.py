"""The page of an evaluation as Chromium lays it out: readable on a phone (390 px) and on a desk (1280 px)."""

from pathlib import Path

import numpy as np
import pytest

from modeling.evaluation.page import About, write_evaluation
from modeling.evaluation.scores import Scores
from modeling.evaluation.summary import summarised
from modeling.hubs import hub_names, hub_populations
from tests.browser import measured

PHONE, DESK = 390, 1280
LEAST_PX = 9  # of a letter in a chart that can still be read
MODELS = ["growth_regression", "FluSight-ensemble", "NEU_ISI-AdaptiveEnsemble", "UGA_flucast-INFLAenza"]


def invented(seed: int) -> Scores:
    """Return invented scores of two seasons, four horizons and all locations."""
    weeks = [np.datetime64("2020-11-28") + 7 * n for n in (*range(28), *range(52, 80))]
    places = list(hub_populations())
    tasks = [(week, horizon, place) for week in weeks for horizon in range(4) for place in places]
    dates, horizons, locations = (np.array(column) for column in zip(*tasks, strict=True))
    random = np.random.default_rng(seed)
    scores = np.exp(random.normal(3, 2, len(tasks)))
    inside = [(random.random(len(tasks)) < share).astype(float) for share in (0.5, 0.95)]
    return Scores(dates, horizons, locations.astype(object), scores, scores, scores / 99, scores, *inside)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    names = [*MODELS, "FluSight-baseline", "random_walk"]
    summary = summarised({name: invented(n) for n, name in enumerate(names)}, "random_walk")
    about = About(
        exp_id="flu/an_experiment_of_the_season_2025_2026_with_a_long_name",
        first="2020-11-28",
        last="2022-06-04",
        methods=["growth_regression", "random_walk"],
        observed="Forecasts are scored against the counts as known on 2022-06-29, the newest vintage.",
        command="invoke evaluate --from 2020-11-28 --to 2022-06-04 --compare " + "a_long_path/" * 12,
        notes=["24 reference dates have no vintage and are skipped: 2021-06-12 to 2021-11-20 (24 dates)"],
    )
    return write_evaluation(tmp_path_factory.mktemp("page"), about, summary, hub_names())


@pytest.fixture(scope="module")
def laid_out(page):
    return measured(page, [PHONE, DESK])


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_nothing_of_the_page_is_cut_off_or_to_be_scrolled_to(laid_out, width):
    found = laid_out[width]

    assert found["document"] <= width
    for cut_off in ("sideways", "outside", "overflowing", "ellipses"):
        assert found[cut_off] == [], cut_off


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_numbers_of_a_table_are_whole_and_never_run_together(laid_out, width):
    assert laid_out[width]["touching"] == []
    assert laid_out[width]["broken"] == []
    assert laid_out[width]["high"] == []


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_letters_of_charts_and_text_can_be_read(laid_out, width):
    assert laid_out[width]["smallestText"] >= LEAST_PX


def test_the_page_is_one_small_file(page):
    assert page.stat().st_size < 300_000
    assert [path.name for path in page.parent.iterdir()] == ["evaluation.html"]
