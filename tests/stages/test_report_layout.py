"""The report as Chromium lays it out: readable on a phone (390 px) and on a desk (1280 px)."""

from pathlib import Path

import numpy as np
import pytest

from modeling.outputs.charts import DPI, SMALL, fan_chart
from modeling.outputs.panels import Panel, Peaks, SeriesPanel, SetRow
from modeling.outputs.posterior_charts import posterior_chart
from modeling.outputs.report import RunFacts, StageTimes, write_report
from tests.browser import measured
from tests.panels import calibration, generation, posterior, row, run_facts, simulation, weekly_fan

PHONE, TABLET, DESK = 390, 1000, 1280
LEAST_PX = 9  # of a letter in a chart that can still be read
LONG = "Hospital_admissions_of_people_with_laboratory_confirmed_influenza_total"
NOTE = (
    "still rising at the end, medians of 60 of 1,000 sets: lowest, middle, highest; 2025-12-20 to 2026-03-28"
)
FOLDER = "/mnt/share/bucket/pipeline/flu/2026-w05/20260131-120000-1a2b3c4d/runner-artifacts"


def sampled(population: str, parameters: int, series: int, sets: int = 12) -> Panel:
    """Return a population with rows for its parameter sets, as wide as asked."""
    panel = simulation(population)
    panel.kind, panel.sets = "sampling", sets
    day = np.datetime64("2025-12-20")
    peaks = [
        Peaks((90_000.0, 94_610.0 + n, 99_000.0), (day, day + n, day + 2 * n), where)
        for n, where in enumerate(["peak", "still rising at the end"] * (sets // 2))
    ]
    panel.series = [SeriesPanel(f"{LONG}_{n}"[-50:], projection=weekly_fan()) for n in range(series)]
    for each in panel.series:
        each.set_peaks = peaks
    names = [f"reduction_of_contacts_{n}" for n in range(parameters)]
    panel.set_rows = [SetRow(n, dict.fromkeys(names, 0.123456 * n + 1e7 * (n == 3))) for n in range(sets)]
    return panel


def without_underscores(panel: Panel) -> Panel:
    """Return a population whose names have no place to break."""
    panel.series[0].label = LONG.title().replace("_", "") * 2
    panel.set_rows = [
        SetRow(each.number, {n.title().replace("_", "") * 2: v for n, v in each.values.items()})
        for each in panel.set_rows
    ]
    return panel


def facts_of_everything() -> RunFacts:
    """Return facts with something in every section, most of it long."""
    dates = ["2025-12-20", "2025-12-27", "2026-01-03"]
    headline = [
        row("US-MA", "admissions", day, 44_105, 48_704, 94_610, "forecast, 90 % interval") for day in dates
    ]
    headline += [
        row(
            "A_population_that_somebody_has_given_a_long_name",
            LONG,
            "2026-03-28",
            100_000_000,
            314_159_265,
            8.1e9,
            NOTE,
        ),
        row("US-VT", "I_total", "2026-02-07", 0, 0.25, 1, NOTE),
    ]
    reason = f"{FOLDER}/result_0017.pkl: cut short"
    return run_facts(
        exp_id="flu/an_experiment_of_the_season_2025_2026_with_a_long_name",
        missing=[(17, reason), (18, "no result; its task has not run, or was killed"), (19, "long " * 300)],
        names={
            17: "US-MA, parameter set 3 of 10 (input 17)",
            18: "US-VT, trajectories 200 to 299 of 1000 (input 18)",
        },
        notes=[f"modelset.yaml:14: {LONG}: {NOTE}", f"{'long' * 40}"],
        headline=headline,
        stages=[StageTimes("runner", 123_456, 8_123_456, 8_023_456, 35_999, 153_042)],
        packages={
            "epydemix": "1.0.1",
            "epymodelingsuite": "0.1.dev0+g0123456789abcdef0123456789abcdef01234567",
        },
        tables=[(f"{LONG}.quantiles.csv.gz", 3 * 1024**3), ("posteriors.csv.gz", 890)],
    )


def full_report(folder: Path) -> Path:
    """Write a report with every section, its charts as stage C draws them."""
    names = ["beta", LONG, *(f"p{n}" for n in range(7))]
    posteriors = [posterior(name) for name in names]
    panels = [
        calibration(
            posteriors=posteriors,
            generations=[generation(n, 1.2e9 / (n + 1), 1_234_567, 400.0) for n in range(4)],
            stopped_by="max_time",
        ),
        sampled("US-NY", parameters=2, series=1),
        sampled("US-CA", parameters=20, series=4),
        without_underscores(sampled("US-TX", parameters=2, series=1)),
        *(simulation(f"US-{n:02}", "A_name_of_a_place") for n in range(3)),
    ]
    charts, histograms = folder / "fan.png", folder / "posterior.png"
    fan_chart(panels[0], charts)
    posterior_chart(panels[0], histograms)
    path = folder / "report.html"
    write_report(path, facts_of_everything(), panels, {"US-MA": charts}, {"US-MA": histograms})
    return path


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    """What Chromium measures of a report with everything in it, by width."""
    return measured(full_report(tmp_path_factory.mktemp("report")), [PHONE, TABLET, DESK])


@pytest.mark.parametrize("width", [PHONE, TABLET, DESK])
def test_nothing_of_the_report_is_cut_off_or_to_be_scrolled_to(laid_out, width):
    found = laid_out[width]

    assert found["document"] <= width
    for cut_off in ("sideways", "outside", "overflowing", "ellipses"):
        assert found[cut_off] == [], cut_off


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_numbers_of_a_table_are_whole_and_never_run_together(laid_out, width):
    assert laid_out[width]["touching"] == []
    assert laid_out[width]["broken"] == []


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_notes_and_names_do_not_make_rows_high(laid_out, width):
    assert laid_out[width]["high"] == []


def test_every_median_of_the_forecast_is_on_the_screen_of_a_phone(laid_out):
    medians = laid_out[PHONE]["medians"]

    assert len(medians) == 5
    assert max(medians) <= PHONE


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_words_of_the_report_and_of_its_charts_are_large_enough(laid_out, width):
    pixels = SMALL * DPI / 72  # in the picture

    assert laid_out[width]["smallestText"] >= 10
    assert len(laid_out[width]["pictures"]) == 2
    assert min(laid_out[width]["pictures"]) * pixels >= LEAST_PX
