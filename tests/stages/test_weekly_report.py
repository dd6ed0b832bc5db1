"""The report of a weekly forecast: what it says and draws of results made up by hand, and of real ones."""

import datetime
import re
import time
from dataclasses import replace

import numpy as np
import pytest

from modeling.forecast_records import RECENT_WEEKS, WEEK, Doubt
from modeling.hubs import HORIZONS, hub_populations
from modeling.outputs.report import StageTimes
from modeling.outputs.weekly_map import ROWS, tiles
from modeling.outputs.weekly_places import weekly_places
from modeling.outputs.weekly_report import write_weekly_report
from modeling.outputs.weekly_words import on_later_observations, signed
from tests.forecast_results import REFERENCE, made_up_quantiles, made_up_result, random_walk_result
from tests.html_pages import Page
from tests.panels import run_facts

pytestmark = pytest.mark.filterwarnings("error")

FOUR = {"US": (1000, 2000), "25": (100, 800), "50": (20, 20), "06": (4000, 3000)}
MA = 1  # the column of Massachusetts
HOSTILE = '<script>alert("\'&")</script>'


def html_of(tmp_path, result, **facts):
    path = tmp_path / "report.html"
    write_weekly_report(path, run_facts(**facts), result)
    return path.read_text(encoding="utf-8")


def page_of(tmp_path, result, **facts):
    return Page(html_of(tmp_path, result, **facts))


def later_of_massachusetts(*counts):
    """Return later observations, of Massachusetts alone, from horizon -1 on."""
    later = np.full((len(HORIZONS), len(FOUR)), np.nan)
    later[: len(counts), MA] = counts
    return later


def chart_of(html, name):
    return re.search(rf'<svg class="chart" role="img" aria-label="{name}.*?</svg>\s*</figure>', html, re.S)[0]


# -- what it says


def test_the_report_opens_with_dates_the_nation_and_the_directions(tmp_path):
    text = page_of(tmp_path, made_up_result(FOUR)).text

    assert text.index("Forecast of 11 January 2025") < text.index("Expected change") < text.index("Numbers")
    assert "Reference date 11 January 2025; data as known on 8 January 2025; newest week: 4 January" in text
    assert (
        "United States: 2,000 admissions expected in the week to 1 February (90 % interval 1,991 to 2,009), "
        "after 1,000 in the week to 4 January, once complete."
    ) in text
    # Massachusetts +700 of 7.1 million; California -1000 of 39.4 million; Vermont no change
    assert (
        "Of 3 jurisdictions, an increase is expected in 1 (large in 1), a stable level in 1, a decrease in 1."
    ) in text


def test_each_tile_says_place_direction_size_and_how_last_week_did(tmp_path):
    previous = made_up_quantiles(REFERENCE - WEEK, [(1000, 1000), (96, 96), (28, 28), (3900, 3900)])

    html = html_of(tmp_path, made_up_result(FOUR, previous=previous))

    found = {
        code: re.search(
            rf'<li class="(\w+)" style="grid-area:(\d+/\d+)"><a [^>]*><b>{code}</b>(.*?)</li>', html
        )
        for code in ("MA", "VT", "CA")
    }
    assert {code: (m[1], m[2], re.search(r"<span>(.*?)</span>", m[3])[1]) for code, m in found.items()} == {
        "MA": ("large_increase", "3/11", "+9.8"),
        "VT": ("stable", "2/10", "0.0"),
        "CA": ("decrease", "5/1", "\N{MINUS SIGN}2.5"),
    }
    # counts of 100, 20 and 4000; medians 4 below, 8 above, 100 below; bands of 5 and 10 to each side
    assert [re.findall(r'href="#([\w-]+)"', found[code][3]) for code in ("MA", "VT", "CA")] == [
        ["large_increase", "inside-50"],
        ["stable", "inside-95"],
        ["decrease", "outside"],
    ]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (0.04, "0.0"),
        (-0.04, "0.0"),
        (0.05, "+0.1"),
        (9.94, "+9.9"),
        (9.96, "+10"),
        (-999.4, "-999"),
        (2137, "+2k"),
    ],
)
def test_a_change_in_a_tile_is_short(change, shown):
    assert signed(change) == shown.replace("-", "\N{MINUS SIGN}")


def test_each_tile_leads_to_the_chart_of_its_place(tmp_path):
    html = html_of(tmp_path, made_up_result(FOUR))

    link = re.search(r'<li class="large_increase"[^>]*><a href="#([\w-]+)"', html)[1]
    assert re.search(rf'<article id="{link}">\s*<h3><span>Massachusetts', html)


def test_a_share_is_not_rounded_to_all():
    places = dict.fromkeys(hub_populations(), (100, 100))
    later = np.full((len(HORIZONS), len(places)), 100.0)
    later[-1, 0] = 500

    said = on_later_observations(made_up_result(places, later=later))[0]

    assert said.startswith("Of 212 later observations of the forecast weeks, 211 (more than 99 %) fell")


def test_later_observations_inside_the_bands_are_counted_by_horizon(tmp_path):
    # medians 275, 450, 625, 800 of horizons 0 to 3; horizon -1 is not a forecast of a coming week
    result = made_up_result(FOUR, later=later_of_massachusetts(500, 280, 460, 636))

    text = page_of(tmp_path, result).text

    assert (
        "Of 3 later observations of the forecast weeks, 1 (33 %) fell inside the 50 % band and 2 (67 %) "
        "inside the 95 % band."
    ) in text
    assert "Horizon 0, week to 11 January: 1 of 1 inside the 50 % band, 1 inside the 95 % band." in text
    assert "Horizon 1, week to 18 January: 0 of 1 inside the 50 % band, 1 inside the 95 % band." in text
    assert "Horizon 2, week to 25 January: 0 of 1 inside the 50 % band, 0 inside the 95 % band." in text
    assert "Horizon 3" not in text


def test_last_weeks_forecast_is_judged_by_the_newest_week_and_misses_have_a_side(tmp_path):
    previous = made_up_quantiles(REFERENCE - WEEK, [(995, 995), (110, 110), (31, 31), (3900, 3900)])

    text = page_of(tmp_path, made_up_result(FOUR, previous=previous)).text

    assert (
        "Last week's forecast (reference date 4 January 2025): of 4 counts first reported for the week to 4 "
        "January, 1 (25 %) fell inside the 50 % band and 2 (50 %) inside the 95 % band."
    ) in text
    assert "Above the 95 % band: California." in text
    assert "Below the 95 % band: Vermont." in text


def test_without_a_new_week_nothing_is_judged(tmp_path):
    previous = made_up_quantiles(REFERENCE - WEEK, [(1000, 1000)] * 4)
    result = made_up_result(FOUR, previous=previous)
    result = replace(result, first_week=result.first_week - WEEK)  # a missing release: a week shorter

    html = html_of(tmp_path, result)

    assert "The forecast of 4 January 2025 knew the newest week already" in html
    assert 'class="mark"' not in html


def test_the_first_forecast_of_the_data_has_none_before_it(tmp_path):
    page = page_of(tmp_path, made_up_result(FOUR))

    assert "There is no forecast of the week before to compare" in page.text
    assert "None of the forecast weeks has been observed yet." in page.text
    assert "mark" not in page.values("class")
    assert "observed later" not in page.text
    assert "expected when complete" not in page.text
    assert "last week's forecast: median" not in page.text


def test_quiet_places_are_stable_and_have_a_scale(tmp_path):
    result = made_up_result(dict.fromkeys(["US", "25", "50"], (0, 0)))
    result.forecast.values[:] = 0

    html = html_of(tmp_path, result)

    assert "A stable level is expected in all 2 jurisdictions." in html
    assert ">2</text>" in chart_of(html, "Vermont")
    assert "nan" not in html
    assert "-0" not in re.sub(r'aria-label="[^"]*"', "", chart_of(html, "Vermont"))


def test_large_changes_are_counted_among_the_others(tmp_path):
    ends = {"25": (100, 800), "50": (20, 900), "06": (4000, 4500)}  # 10, 136 and 1.3 per 100,000

    text = page_of(tmp_path, made_up_result(ends)).text

    assert "An increase is expected in all 3 jurisdictions (large in 2)." in text


@pytest.mark.parametrize("place", ["US", "25"])
def test_a_forecast_of_one_location_has_a_report(tmp_path, place):
    page = page_of(tmp_path, made_up_result({place: (100, 800)}))

    assert ": 800 admissions expected in the week to 1 February" in page.text
    assert ("tiles" in page.values("class")) == (place != "US")
    assert len([kind for kind in page.values("class") if kind == "chart"]) == (2 if place == "US" else 1)
    assert "100,000 people" in page.text or place == "US"


def test_a_location_that_is_left_out_has_a_tile_a_reason_and_a_pointer(tmp_path):
    left_out = {"39": "no count since 1 November", "23": "no count", "33": "no count since 1 November"}

    page = page_of(tmp_path, made_up_result(FOUR, left_out=left_out))

    assert "Read the warnings: Maine, New Hampshire and Ohio are left out" in page.text
    assert "Maine no count New Hampshire, Ohio no count since 1 November" in page.text
    assert "Ohio: no forecast; no count since 1 November" in page.values("title")
    assert "Pennsylvania: not in this run" in page.values("title")


def test_doubts_stand_under_their_kind_and_beside_their_chart(tmp_path):
    doubts = [
        Doubt("50", "revision", "The week to 28 December rose from 3 to 20."),
        Doubt("25", "fault", "The week to 4 January is ten times its neighbours."),
    ]
    result = made_up_result(FOUR, doubts=doubts, notes=["No release since 1 January."])

    page = page_of(tmp_path, result, notes=["No release since 1 January.", "another note"])

    assert (
        "Faults in the data Massachusetts The week to 4 January is ten times its neighbours. "
        "Large revisions Vermont The week to 28 December rose from 3 to 20. "
        "Notes No release since 1 January. another note"
    ) in page.text
    assert "Read the warnings: the data of Massachusetts and Vermont are doubtful" in page.text
    marked = [each for each in page.values("aria-label") if each.endswith("; its data are doubtful")]
    assert [each.partition(":")[0] for each in marked] == ["Massachusetts", "Vermont"]
    assert len([kinds for kinds in page.values("class") if "doubtful" in kinds.split()]) == len(marked) + 1
    assert "Massachusetts fault" in page.text
    assert "Vermont revision" in page.text


def test_text_of_others_is_never_markup(tmp_path):
    result = made_up_result(
        {HOSTILE: (1, 2), "50": (3, 4)},
        left_out={HOSTILE: HOSTILE, "39": HOSTILE},
        notes=[HOSTILE],
        method=HOSTILE,
        doubts=[Doubt("50", "fault", HOSTILE), Doubt("50", HOSTILE, HOSTILE)],
    )

    page = page_of(tmp_path, result, exp_id=HOSTILE, run_id=HOSTILE, notes=[HOSTILE])

    assert "script" not in {tag for tag, _ in page.elements}
    assert page.text.count(HOSTILE) >= 10
    assert any(HOSTILE in label for label in page.values("aria-label"))


def test_the_facts_of_the_run_end_the_page(tmp_path):
    facts = {
        "tables": [("forecast.csv.gz", 2048)],
        "packages": {"numpy": "2.3.1"},
        "stages": [StageTimes("runner", 1, 0.4, 0.4, 0.4, 110.0)],
    }

    page = page_of(tmp_path, made_up_result(FOUR), **facts)

    assert "flu/2026-w05, run 20260131-120000-1a2b3c4d" in page.text
    assert "Method random walk Reference date 2025-01-11 Data as of 2025-01-08" in page.text
    assert "forecast.csv.gz" in page.values("href")
    for words in ("Started 2026-01-31T12:00:00Z", "runner 1 0.4 s", "numpy 2.3.1", "forecast.csv.gz 2.0 KiB"):
        assert words in page.text


# -- what it draws


def test_a_chart_has_bands_later_circles_the_nowcast_and_a_gap_in_the_data(tmp_path):
    result = made_up_result(FOUR, later=later_of_massachusetts(100, 280, 460))
    result.counts[-5, MA] = np.nan
    result.nowcast[:, MA] = [100, 105, 110]

    chart = chart_of(html_of(tmp_path, result), "Massachusetts")

    assert chart.count('class="later"') == 2  # the week before the reference date is as it was known
    assert re.search(r'class="nowcast" d="([^"]*)"', chart)[1].count("Z") == 2  # one week is as reported
    known = re.search(r'class="known" d="([^"]*)"', chart)[1]
    assert known.count("M") == 2
    assert known.count("L") == 26 - 1 - 2  # points, one of them missing, in two lines
    assert [chart.count(f'class="{band}"') for band in ("band95", "band50", "median")] == [1, 1, 1]
    assert ">800</text>" in chart
    assert 'class="before' not in chart


def test_a_nowcast_of_a_week_without_a_count_is_drawn(tmp_path):
    result = made_up_result(FOUR)
    result.counts[-1, MA] = np.nan
    result.nowcast[:, MA] = [100, 100, 130]

    html = html_of(tmp_path, result)

    assert re.search(r'class="nowcast" d="([^"]*)"', chart_of(html, "Massachusetts"))[1].count("Z") == 1
    assert ">–</td>" in html  # of the newest count


def test_after_a_missing_release_the_median_begins_at_the_newest_known_week(tmp_path):
    usual, late = made_up_result(FOUR), made_up_result(FOUR)
    late = replace(late, first_week=late.first_week - WEEK)

    medians = [
        re.search(r'class="median" d="([^"]*)"', chart_of(html_of(tmp_path, each), "Massachusetts"))[1]
        for each in (usual, late)
    ]

    assert [len(re.findall("[ML]", median)) for median in medians] == [len(HORIZONS), len(HORIZONS) + 1]


def test_a_band_without_end_does_not_flatten_the_data(tmp_path):
    result = made_up_result({"25": (100, 100)})
    result.forecast.values[-1, 0, -2:] = 1_000_000

    chart = chart_of(html_of(tmp_path, result), "Massachusetts")

    ticks = re.findall(r'class="tick"[^>]*>([\d,]+)</text>', chart)
    assert ticks == ["0", "100", "200"]
    assert re.search(r'<svg y="10" [^>]*>(.*?)</svg>', chart)[1].count("band95") == 1  # and is cut off


@pytest.mark.parametrize(
    ("newest", "first_month"),
    [
        (datetime.date(2025, 1, 4), "Aug"),
        (datetime.date(2024, 11, 16), "Jun"),
        (datetime.date(2025, 5, 24), "Sep"),  # the first that begins after the week to 3 August
    ],
)
def test_a_chart_begins_in_august_or_half_a_year_before_its_end(tmp_path, newest, first_month):
    result = made_up_result({"25": (100, 100)})
    result = replace(
        result,
        counts=np.full((60, 1), 100.0),
        first_week=newest - 59 * WEEK,
        forecast=replace(result.forecast, reference_date=newest + WEEK),
    )

    chart = chart_of(html_of(tmp_path, result), "Massachusetts")

    assert re.findall(r">([A-Z][a-z]{2})</text>", chart)[0] == first_month


def test_the_map_has_every_place_of_the_hub_once():
    codes = [code for row in ROWS for code in row.split() if code != ".."]
    places = weekly_places(made_up_result(dict.fromkeys(hub_populations(), (1, 1))))

    found = tiles(places, {})

    assert len(codes) == len(set(codes)) == 52
    assert len({(tile.row, tile.column) for tile in found}) == 52
    assert all(tile.place is not None for tile in found)


def test_a_place_that_the_map_does_not_have_gets_a_tile_below_it():
    (below,) = [tile for tile in tiles(weekly_places(made_up_result({"78": (1, 1)})), {}) if tile.place]

    assert (below.code, below.row, below.column) == ("78", len(ROWS) + 1, 1)


# -- all of it


def test_the_report_of_real_data_is_the_same_bytes_each_time(tmp_path):
    result = random_walk_result()

    first, second = (html_of(tmp_path, each) for each in (result, random_walk_result()))

    assert first == second
    assert "Of 28 later observations of the forecast weeks" in first
    assert "of 7 counts first reported for the week to 4 January" in first
    for name in ("California", "Massachusetts", "Ohio", "Pennsylvania", "Puerto Rico", "Vermont"):
        assert chart_of(first, name)


def test_the_report_of_53_locations_at_the_end_of_a_season_is_small_and_fast(tmp_path):
    result = made_up_result(dict.fromkeys(hub_populations(), (12_345, 67_890)))
    result = replace(
        result,
        counts=np.random.default_rng(5).integers(0, 99_999, (150, 53)).astype(float),
        nowcast=np.full((RECENT_WEEKS, 53), 99_999.0),
        later=result.forecast.values[:, :, 3],
        previous=made_up_quantiles(REFERENCE - WEEK, [(12_345, 67_890)] * 53),
        first_week=datetime.date(2025, 5, 31) - 149 * WEEK,
        forecast=replace(result.forecast, reference_date=datetime.date(2025, 6, 7)),
        doubts=[Doubt(place, "gap", "a gap. " * 40) for place in hub_populations()],
    )
    begun = time.perf_counter()

    html = html_of(tmp_path, result)

    assert time.perf_counter() - begun < 1.5
    assert html.count('class="chart"') == 54
    assert len(html.encode()) < 500_000  # the limit is 3 MB
