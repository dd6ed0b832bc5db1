"""What the report of stage C shows, read back from the file it writes."""

import base64
import re
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from modeling.outputs.panels import Posterior
from modeling.outputs.report import MOST_EMBEDDED, StageTimes, write_report
from tests.html_pages import Page
from tests.panels import calibration, generation, posterior, row, run_facts, sampling, simulation

pytestmark = pytest.mark.filterwarnings("error")


def report_of(tmp_path, panels=(), facts=None, charts=None, posteriors=None):
    path = tmp_path / "report.html"
    write_report(path, facts or run_facts(), list(panels), charts or {}, posteriors or {})
    return path.read_text(encoding="utf-8")


@pytest.fixture
def png(tmp_path):
    def write(name, size=8):
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (size, size), "#1f6fb2").save(path)
        return path

    return write


def test_the_report_holds_its_pictures_and_loads_nothing(tmp_path, png):
    charts, posteriors = {"US-MA": png("fan")}, {"US-MA": png("posterior", size=5)}

    html = report_of(tmp_path, [calibration()], charts=charts, posteriors=posteriors)

    page = Page(html)
    pictures = [base64.b64decode(src.removeprefix("data:image/png;base64,")) for src in page.values("src")]
    assert pictures == [charts["US-MA"].read_bytes(), posteriors["US-MA"].read_bytes()]
    assert not re.search(r"https?:|url\(|@import|<script|<link", html)
    assert all(href.startswith("#") for href in page.values("href"))
    assert not list(tmp_path.glob("*.partial"))


def test_the_same_run_gives_the_same_report(tmp_path):
    first, again = (report_of(tmp_path, [calibration(), sampling()]) for _ in range(2))

    assert first == again


def test_what_users_name_is_text_and_never_markup(tmp_path, png):
    evil = '<script>alert("1")</script>'
    panel = calibration(evil, population_name=evil, stopped_by=evil, posteriors=[posterior(evil)])
    facts = run_facts(
        exp_id=evil,
        run_id=evil,
        workflow=evil,
        suite=evil,
        notes=[evil],
        missing=[(1, evil)],
        stages=[StageTimes(evil, 1, 1, 1, 1, 1)],
        packages={evil: evil},
        tables=[(evil, 1)],
        headline=[row(evil, evil, evil)],
    )

    html = report_of(tmp_path, [panel, panel], facts, charts={evil: png("fan")})

    page = Page(html)
    assert "script" not in {tag for tag, _ in page.elements}
    assert page.text.count(evil) >= 15
    assert f"Fan chart of {evil}" in page.values("alt")


def test_a_complete_run_has_no_alarm(tmp_path):
    page = Page(report_of(tmp_path, [calibration()]))

    assert "alert" not in page.values("role")
    assert "3 of 3" in page.text


def test_missing_results_are_shown_loudly_with_their_reasons(tmp_path):
    missing = [(0, "no result file"), (2, "ran out of memory")]
    facts = run_facts(num_results=1, missing=missing, names={0: "US-MA, parameter set 0 of 3 (input 0)"})

    page = Page(report_of(tmp_path, [calibration()], facts))

    assert "alert" in page.values("role")
    assert "2 of 3 results are missing" in page.text
    assert "US-MA, parameter set 0 of 3 (input 0) no result file input 2 ran out of memory" in page.text


def test_of_100000_missing_results_the_first_50_and_the_number_are_shown(tmp_path):
    missing = [(index, f"lost {index}.") for index in range(100_000)]
    facts = run_facts(num_workloads=120_000, num_results=20_000, missing=missing)

    html = report_of(tmp_path, [calibration()], facts)

    text = Page(html).text
    assert "100,000 of 120,000 results are missing" in text
    assert "The first 50 of 100,000" in text
    assert "lost 49." in text
    assert "lost 50." not in text
    assert len(html) < 60_000


def test_of_150_populations_100_are_embedded_and_the_rest_named(tmp_path, png):
    panels = [calibration(f"P{number:03}", posteriors=[]) for number in range(150)]
    chart = png("fan")
    charts = {panel.population: chart.with_name(f"{panel.population}.png") for panel in panels}
    for path in list(charts.values())[:MOST_EMBEDDED]:
        path.write_bytes(chart.read_bytes())

    page = Page(report_of(tmp_path, panels, charts=charts))

    assert MOST_EMBEDDED == 100
    assert len(page.values("src")) == 100
    assert "charts of these 50" in page.text
    assert [href for href in page.values("href") if not href.startswith("#")] == [
        f"charts/P{number}.png" for number in range(100, 150)
    ]


def test_every_entry_of_the_contents_leads_somewhere(tmp_path):
    facts = run_facts(
        headline=[row("US-MA", "admissions", "2026-02-07")],
        stages=[StageTimes("B", 3, 10.0, 9.0, 5.0, 300.0)],
        packages={"numpy": "2.3.1"},
        tables=[("posteriors.csv.gz", 12_345)],
    )

    page = Page(report_of(tmp_path, [calibration(), simulation()], facts))

    links = [href.removeprefix("#") for href in page.values("href")]
    assert len(links) == 6
    assert set(links) <= set(page.values("id"))


def test_one_population_needs_no_contents(tmp_path):
    page = Page(report_of(tmp_path, [calibration()]))

    assert "nav" not in {tag for tag, _ in page.elements}


def test_a_calibration_is_told_in_numbers(tmp_path):
    panel = calibration(posteriors=[Posterior("beta", 0.25, 0.3, 1234.5, np.array([0, 1]), np.ones(1))])

    text = Page(report_of(tmp_path, [panel])).text

    assert "Calibrated with 5,210 simulations; 200 projections" in text
    assert "beta 0.250 0.300 1,234" in text
    assert "generation epsilon simulations accepted effective sample size" in text
    assert "0 – 400 400 (100 %) 400" in text
    assert "1 1,180 4,810 400 (8.32 %) 88.2" in text
    assert "keep no record" not in text
    assert "cut short" not in text


def test_a_calibration_without_epsilon_and_acceptance_shows_the_largest_distance_and_says_why(tmp_path):
    panel = calibration(generations=[generation(0, None, 0, 400.0), generation(1, None, 0, 88.25)])

    text = Page(report_of(tmp_path, [panel])).text

    assert "generation largest distance effective sample size 0 4,420 400 1 4,420 88.2 Runs through" in text
    assert "Runs through epydemix, and older ones, keep no record of epsilon and acceptance" in text


def test_a_calibration_without_a_threshold_shows_its_acceptance(tmp_path):
    panel = calibration(generations=[generation(0, None, 4_000, 400.0)])

    text = Page(report_of(tmp_path, [panel])).text

    assert "generation largest distance simulations accepted effective sample size" in text
    assert "0 4,420 4,000 400 (10 %) 400" in text


def test_a_calibration_that_was_cut_short_says_so(tmp_path):
    cut = Page(report_of(tmp_path, [calibration(stopped_by="max_time")])).text
    settled = Page(report_of(tmp_path, [calibration(stopped_by="minimum_epsilon")])).text

    assert "cut short by max_time" in cut
    assert "cut short" not in settled
    assert "minimum_epsilon" in settled


def test_the_forecast_times_versions_and_tables_are_listed(tmp_path):
    facts = run_facts(
        headline=[
            row("US-MA", "admissions", "2026-02-07", 12.25, 80, 12_000.4),
            row("US-MA", "admissions", "2026-02-14", 0, float("nan"), None),
        ],
        notes=["US-CA: data end 3 weeks early"],
        stages=[StageTimes("B runner", 1234, 81_234, 59.94, 923, 1530.4)],
        packages={"epydemix": "1.0.1"},
        tables=[("small.csv", 890), ("large.csv.gz", 3 * 1024**2)],
    )

    text = Page(report_of(tmp_path, [simulation()], facts)).text

    assert "US-MA admissions forecast 2026-02-07 12.2 80 12,000 2026-02-14 0 nan –" in text
    assert "US-CA: data end 3 weeks early" in text
    assert "B runner 1,234 22 h 33 min 59.9 s 15 min 23 s 1,530 MiB" in text
    assert "epydemix 1.0.1" in text
    assert "small.csv 890 bytes large.csv.gz 3.0 MiB" in text


def test_the_report_is_made_for_light_for_dark_and_for_paper(tmp_path):
    html = report_of(tmp_path, [calibration()])

    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert '<meta name="color-scheme" content="light dark">' in html


def test_memory_holds_one_picture_at_a_time(tmp_path):
    picture_bytes, count = 2_000_000, 40
    charts = {}
    for number in range(count):
        charts[f"P{number}"] = tmp_path / f"P{number}.png"
        charts[f"P{number}"].write_bytes(bytes(picture_bytes))
    panels = [simulation(name) for name in charts]

    tracemalloc.start()
    write_report(tmp_path / "report.html", run_facts(), panels, charts, {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (tmp_path / "report.html").stat().st_size > count * picture_bytes
    assert peak < 8 * picture_bytes


def test_a_report_that_fails_leaves_the_last_one(tmp_path):
    before = report_of(tmp_path, [calibration()])

    with pytest.raises(FileNotFoundError):
        report_of(tmp_path, [calibration()], charts={"US-MA": tmp_path / "lost.png"})

    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
