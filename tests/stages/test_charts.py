"""What the charts of stage C show, read back from the files they write."""

import datetime
import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modeling.outputs.chart_data import calibration_panel
from modeling.outputs.charts import fan_chart
from modeling.outputs.panels import Panel, SeriesPanel
from modeling.outputs.posterior_charts import posterior_chart
from modeling.workload import Expected, Fit, Generation, Observed, Result
from tests.panels import calibration, posterior, sampling, simulation, weekly_fan

# a client that another test left may be collected here; charts open no socket
pytestmark = pytest.mark.filterwarnings("error", "ignore:unclosed <socket:ResourceWarning")
BLUE, ORANGE = (31, 111, 178), (209, 115, 26)


def calibration_result(particles):
    """Return the result of a calibration of one parameter, without a projection."""
    count = len(particles)
    weights = np.arange(1.0, count + 1) / np.arange(1.0, count + 1).sum()
    dates = np.arange("2025-01-04", "2025-01-25", 7, dtype="datetime64[D]")
    observed = Observed("cases", ["S_to_I_total"], dates, np.full(3, 5.0), np.full(3, True))
    return Result(
        index=0,
        primary_id=0,
        population="US-VT",
        population_name="",
        seed=1,
        delta_t_days=1,
        kind="calibration",
        expected=Expected(0, datetime.date(2025, 1, 1), datetime.date(2025, 1, 18), None),
        trajectories=None,
        parameter_names=["beta"],
        generations=[Generation(0, particles[:, None], weights, np.ones(count))],
        fits=[Fit(observed, np.full((count, 3), 4.0))],
    )


def drawn(draw, panel, tmp_path):
    """The pixels of a chart, shape (height, width, 3)."""
    path = tmp_path / "chart.png"
    draw(panel, path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=int)


def share_near(pixels, color, within=24):
    return float((np.abs(pixels - np.array(color)).max(axis=2) <= within).mean())


def colored(pixels):
    """The share of pixels that are blue or orange: fans and bars, neither text nor rules."""
    return float((np.ptp(pixels, axis=2) > 30).mean())


def test_a_calibration_shows_its_fit_and_its_projection_in_two_colours(tmp_path):
    pixels = drawn(fan_chart, calibration(), tmp_path)

    left, right = np.split(pixels, [450], axis=1)
    assert share_near(left, ORANGE) > 0.002 > 0.0005 > share_near(right[:, 60:], ORANGE)
    assert share_near(right, BLUE) > 0.002
    assert colored(pixels) > 0.05


def test_a_fan_that_is_twice_as_wide_covers_more_of_the_chart(tmp_path):
    narrow, wide = weekly_fan(), weekly_fan()
    wide.curves[:3] *= 0.3
    middle = narrow.curves[3:4]
    narrow.curves[:-1] = middle + (narrow.curves[:-1] - middle) * 0.2

    assert colored(drawn(fan_chart, simulation(fan=wide), tmp_path)) > 1.2 * colored(
        drawn(fan_chart, simulation(fan=narrow), tmp_path)
    )


def test_a_chart_is_900_pixels_wide_and_grows_with_its_series(tmp_path):
    panel = simulation()
    one = drawn(fan_chart, panel, tmp_path)
    panel.series = panel.series * 3
    three = drawn(fan_chart, panel, tmp_path)

    assert one.shape[1] == three.shape[1] == 900
    assert one.shape[0] == 406
    assert three.shape[0] == 406 + 2 * 340


def test_an_observation_is_drawn_filled_where_it_was_fitted_and_hollow_elsewhere(tmp_path):
    def ink(fitted):
        panel = calibration()
        observed = panel.series[0].observed
        panel.series[0] = SeriesPanel(
            "admissions",
            Observed("admissions", ["x"], observed.dates, observed.values, np.full(30, fitted)),
        )
        return share_near(drawn(fan_chart, panel, tmp_path)[80:], (28, 39, 51), within=30)

    assert ink(True) > 1.5 * ink(False) > 0


def test_observations_years_away_do_not_squeeze_the_chart(tmp_path):
    panel = calibration()
    near = panel.series[0].observed
    far = Observed(
        near.label,
        near.series,
        np.concatenate([near.dates - 2000, near.dates]),
        np.concatenate([near.values * 1000, near.values]),
        np.concatenate([np.zeros(30, bool), near.fitted]),
    )
    with_far = calibration(series=[SeriesPanel("admissions", far, panel.series[0].fit, weekly_fan())])

    same = drawn(fan_chart, panel, tmp_path) == drawn(fan_chart, with_far, tmp_path)

    assert same.all()


def test_each_parameter_set_leaves_a_line(tmp_path):
    def share(lines):
        pixels = drawn(fan_chart, sampling(lines), tmp_path)
        return float((pixels.sum(axis=2) < 420).mean())

    assert share(60) > share(5) > share(1)


@pytest.mark.parametrize("draw", [fan_chart, posterior_chart])
def test_the_same_panel_gives_the_same_bytes_and_another_panel_others(draw, tmp_path):
    first, again, other = (tmp_path / f"{name}.png" for name in ("first", "again", "other"))
    draw(calibration(), first)
    draw(calibration(), again)
    changed = calibration(posteriors=[posterior("delta")])
    changed.series[0].fit.curves[:] *= 1.1
    draw(changed, other)

    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    with Image.open(first) as image:
        assert image.info.keys() <= {"dpi"}


@pytest.mark.parametrize(
    "panel",
    [
        pytest.param(simulation(fan=weekly_fan(weeks=1, peak=50)), id="one date"),
        pytest.param(simulation(fan=weekly_fan(weeks=2)), id="two dates"),
        pytest.param(simulation(fan=weekly_fan(peak=0)), id="all zero"),
        pytest.param(simulation(fan=weekly_fan(peak=0.004)), id="less than one person"),
        pytest.param(simulation(fan=weekly_fan(peak=3e8)), id="everybody"),
        pytest.param(simulation(fan=weekly_fan(72, "2024-12-30T00", unit="h")), id="hours"),
        pytest.param(simulation(fan=weekly_fan(weeks=600)), id="eleven years"),
        pytest.param(sampling(lines=1), id="one line"),
        pytest.param(sampling(lines=60), id="sixty lines"),
    ],
)
def test_an_unusual_series_is_still_drawn(panel, tmp_path):
    pixels = drawn(fan_chart, panel, tmp_path)

    below_the_legend = pixels[70:]
    assert colored(below_the_legend) > 0.002
    assert (pixels[:, :3] == 255).all(), "a label is cut off on the left"
    assert (pixels[:, -3:] == 255).all(), "a label is cut off on the right"


def test_a_fit_without_projection_is_drawn(tmp_path):
    panel = calibration()
    panel.series[0].projection = None

    pixels = drawn(fan_chart, panel, tmp_path)

    assert share_near(pixels, ORANGE) > 0.002
    assert share_near(pixels, BLUE) == 0


def test_observations_that_are_not_numbers_are_left_out(tmp_path):
    panel = calibration()
    panel.series[0].observed.values[::3] = np.nan
    panel.series[0].observed.values[7] = np.inf
    panel.series[0].observed.values[8] = np.finfo(float).max
    panel.series[0].fit.curves[:, 2] = np.nan

    assert colored(drawn(fan_chart, panel, tmp_path)) > 0.05


def test_a_series_with_observations_alone_and_a_panel_without_series_are_charts_too(tmp_path):
    panel = calibration()
    panel.series[0].fit = panel.series[0].projection = None
    nothing = Panel("US-XX", "", "simulation", [])

    for each in (panel, nothing):
        assert len(np.unique(drawn(fan_chart, each, tmp_path))) > 10


def test_names_are_written_as_they_are_and_never_read_as_formulas(tmp_path):
    odd = simulation("$\\frac{$", "A_very_long_name " * 30, label="$x_{$ <script>")
    odd.posteriors = [posterior("$\\nothing{$")]

    assert colored(drawn(fan_chart, odd, tmp_path)) > 0.05
    assert colored(drawn(posterior_chart, odd, tmp_path)) > 0.01


@pytest.mark.parametrize(("parameters", "height"), [(1, 158), (4, 158), (5, 316), (13, 632)])
def test_posteriors_stand_four_a_row(parameters, height, tmp_path):
    panel = calibration(posteriors=[posterior(f"p{i}") for i in range(parameters)])

    pixels = drawn(posterior_chart, panel, tmp_path)

    assert pixels.shape[:2] == (height, 900)
    last_row = pixels[-158:]
    drawn_columns = [colored(part) > 0 for part in np.split(last_row, 4, axis=1)]
    assert drawn_columns == [i < (parameters - 1) % 4 + 1 for i in range(4)]


def test_a_posterior_of_one_value_is_a_bar(tmp_path):
    panel = calibration(posteriors=[posterior("fixed", np.full(50, 3.0))])

    assert 0 < colored(drawn(posterior_chart, panel, tmp_path)) < 0.05


@pytest.mark.parametrize(
    "values",
    [
        [3.0],
        [0.0] * 5,
        [0.035, 0.035 + 6.9e-18],
        [1e17, 1e17],
        [1e15, 1e15 + 0.25],
        [1, 1 + 1e-10],
        [1e-320, 0],
    ],
    ids=["one particle", "zero", "one bit", "large", "large and one bit", "narrow", "next to nothing"],
)
def test_a_posterior_of_hardly_any_width_is_one_bar_in_the_middle(values, tmp_path):
    result = calibration_result(np.array(values))

    pixels = drawn(posterior_chart, calibration_panel(result), tmp_path)

    bars = np.flatnonzero((np.ptp(pixels[41:126, :225], axis=2) > 30).any(axis=0))
    assert 15 < len(bars) < 25
    assert bars[-1] - bars[0] < 25
    assert 100 < bars.mean() < 125


@pytest.mark.parametrize("values", [[1, 1 + 1e-5], [1e300, -1e300], [1e-200, 0], [1.7e308] * 2])
def test_a_posterior_of_any_size_has_a_chart(values, tmp_path):
    posterior_chart(calibration_panel(calibration_result(np.array(values))), tmp_path / "chart.png")

    assert (tmp_path / "chart.png").is_file()


def test_no_posterior_gives_no_chart(tmp_path):
    posterior_chart(simulation(), tmp_path / "posterior.png")

    assert list(tmp_path.iterdir()) == []


def test_charts_leave_no_figure_in_memory_and_no_other_file(tmp_path):
    from matplotlib.figure import Figure

    for _ in range(3):
        fan_chart(calibration(), tmp_path / "chart.png")
    gc.collect()

    # isinstance() would ask what a weak proxy stands for, which may be gone
    assert not [each for each in gc.get_objects() if issubclass(type(each), Figure)]
    assert [path.name for path in tmp_path.iterdir()] == ["chart.png"]


def test_charts_need_no_pyplot():
    code = "import sys, modeling.outputs.charts; print('matplotlib.pyplot' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
