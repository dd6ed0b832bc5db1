"""Past forecasts made again and scored, as `invoke evaluate` does, over real vintages of seven locations."""

import csv
import datetime
import gzip
import shutil

import numpy as np
import pytest

from modeling.build.forecasts import build_forecast
from modeling.evaluation.hub_files import read_hub_table
from modeling.evaluation.sweep import model_name
from modeling.forecast.methods import run_forecast
from modeling.vocabulary.experiment import load_experiment
from tests.evaluations import BASELINE, SPAN, Evaluations
from tests.flu_vintages import FLUSIGHT

DATES = ["2025-01-11", "2025-01-18", "2025-01-25", "2025-02-01"]
COUNTS = FLUSIGHT / "target-hospital-admissions.csv.gz"


def interval_score(quantiles: dict[float, float], observed: float) -> float:
    """Return the weighted interval score as it is written in Bracher et al. (2021)."""
    total = abs(observed - quantiles[0.5]) / 2
    for low in [level for level in quantiles if level < 0.5]:
        high = round(1 - low, 3)
        below, above = quantiles[low] - observed, observed - quantiles[high]
        alpha = 2 * low
        score = quantiles[high] - quantiles[low] + 2 / alpha * (max(below, 0) + max(above, 0))
        total += alpha / 2 * score
    return total / 11.5


def counts() -> dict[tuple[str, str], float]:
    with gzip.open(COUNTS, "rt", newline="") as file:
        return {(row["date"], row["location"]): float(row["value"] or "nan") for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """An evaluation of four dates beside the hub's baseline."""
    evaluations = Evaluations(tmp_path_factory.mktemp("evaluation"))
    ended = evaluations.run(*SPAN, "--compare", str(BASELINE), "--observations", str(COUNTS))
    assert ended.exit_code == 0, ended.output
    return evaluations, ended


def test_each_date_has_a_hub_file_of_what_would_have_been_handed_in(done):
    evaluations, _ = done

    names = sorted(path.name for path in (evaluations.folder / "random_walk").glob("*.csv"))

    assert names == [f"{date}-local-random_walk.csv" for date in DATES]
    rows = list(csv.DictReader((evaluations.folder / "random_walk" / names[2]).open(newline="")))
    last_known = {row["target_end_date"]: row for row in rows if row["horizon"] == "-1"}
    assert {row["location"] for row in rows} == {"06", "25", "39", "42", "50", "72", "US"}
    assert list(last_known) == ["2025-01-18"]  # not released: the newest known week is one before


def test_every_forecast_is_scored_as_its_hub_file_says(done):
    evaluations, _ = done
    observed, expected = counts(), {}
    for path in sorted((evaluations.folder / "random_walk").glob("*.csv")):
        forecasts: dict[tuple[str, ...], dict[float, float]] = {}
        for row in csv.DictReader(path.open(newline="")):
            if row["output_type"] == "quantile" and row["horizon"] != "-1":
                key = (row["reference_date"], row["horizon"], row["location"], row["target_end_date"])
                forecasts.setdefault(key, {})[float(row["output_type_id"])] = float(row["value"])
        for (date, horizon, place, end), quantiles in forecasts.items():
            expected[date, horizon, place] = interval_score(quantiles, observed[end, place])

    found = {
        (row["reference_date"], row["horizon"], row["location"]): float(row["wis"])
        for row in evaluations.scores()
        if row["model"] == "random_walk"
    }

    assert len(found) == 4 * 4 * 7
    assert found == pytest.approx(expected, rel=1e-5)
    [states] = evaluations.summary(model="random_walk", scope="states", by="season")
    own = [score for (_, _, place), score in expected.items() if place != "US"]
    assert float(states["wis"]) == pytest.approx(sum(own) / len(own), rel=1e-5)


def test_the_terminal_shows_the_ratio_and_names_what_is_missing(done):
    _, ended = done

    assert "2024-25, states; the baseline of the ratios is FluSight-baseline" in ended.output
    assert "2024-25: FluSight-baseline lacks forecasts of 2025-01-25" in ended.output
    [walk] = [line for line in ended.lines if line.startswith("random_walk  ")]
    assert walk.split()[-1] == "96"  # 4 dates, 4 horizons, 6 states


def test_the_page_has_every_table_and_loads_nothing(done):
    evaluations, _ = done

    page = (evaluations.folder / "evaluation.html").read_text(encoding="utf-8")

    for words in (
        "by location, worst first",
        "by horizon",
        "What the figures mean",
        "Caveat",
        "<svg",
        "Ohio",
    ):
        assert words in page
    assert "invoke evaluate --from 2025-01-11 --to 2025-02-01 --exp-id flusight" in page
    assert "http:" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert (evaluations.folder / "relative-wis-2024-25.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("method", ["growth_regression", "random_walk"])
def test_what_is_scored_is_what_a_run_would_have_handed_in(tmp_path, method):
    evaluations = Evaluations(tmp_path, method=method)
    config = evaluations.repository / "experiments" / "flusight" / "config"
    day = datetime.date(2025, 1, 25)
    workload = build_forecast(load_experiment(config), [evaluations.repository], day)

    evaluations.run(*SPAN)
    path = evaluations.folder / method / f"2025-01-25-local-{model_name(method)}.csv"
    found = read_hub_table(path, path.read_text())

    expected = run_forecast(workload).forecast.values[1:].transpose(1, 0, 2).reshape(-1, 23)
    assert found.locations.tolist() == [place for place in workload.locations for _ in range(4)]
    assert np.array_equal(found.quantiles, expected)


def test_a_date_that_was_made_from_the_same_inputs_is_kept(tmp_path):
    evaluations = Evaluations(tmp_path)
    first = evaluations.run(*SPAN)
    before = evaluations.files()

    again = evaluations.run(*SPAN)

    assert "4 computed, 0 kept" in first.output
    assert "0 computed, 4 kept" in again.output
    assert evaluations.files() == before


@pytest.mark.parametrize("damage", ["removed", "edited", "half-written"])
def test_a_hub_file_that_is_not_as_it_was_written_is_made_again(tmp_path, damage):
    evaluations = Evaluations(tmp_path)
    evaluations.run(*SPAN)
    before = evaluations.files()
    path = evaluations.folder / "random_walk" / "2025-01-18-local-random_walk.csv"
    text = path.read_text()
    path.write_text({"edited": text.replace(",50,", ",51,"), "half-written": text[:999]}.get(damage, ""))
    if damage == "removed":
        path.unlink()

    ended = evaluations.run(*SPAN)

    assert "1 computed, 3 kept" in ended.output
    assert evaluations.files() == before


def test_other_inputs_make_every_date_again(tmp_path):
    evaluations = Evaluations(tmp_path)
    evaluations.run(*SPAN)

    ended = evaluations.run(*SPAN, "--locations", "US-MA,US")

    assert "4 computed, 0 kept" in ended.output
    assert {row["location"] for row in evaluations.scores()} == {"25", "US"}


def test_a_file_of_another_team_does_not_stay_beside_that_of_the_same_date(tmp_path):
    evaluations = Evaluations(tmp_path)
    evaluations.run(*SPAN)
    config = evaluations.repository / "experiments" / "flusight" / "config"
    (config / "output.yaml").write_text("output: {flusight_format: {team: mylab, model: walk}}\n")

    evaluations.run(*SPAN)

    names = sorted(path.name for path in (evaluations.folder / "random_walk").glob("*.csv"))
    assert names == [f"{date}-mylab-walk.csv" for date in DATES]


def test_a_vintage_that_changed_makes_the_dates_again_that_used_it(tmp_path):
    evaluations = Evaluations(tmp_path)
    evaluations.run(*SPAN)
    data = evaluations.repository / "data" / "vintages.csv.gz"
    lines = gzip.decompress(data.read_bytes()).decode().splitlines()
    changed = [
        f"{line.rsplit(',', 1)[0]},7777" if line.startswith("2025-01-29,2025-01-25,25") else line
        for line in lines
    ]
    data.unlink()
    data.write_bytes(gzip.compress("\n".join(changed).encode()))

    ended = evaluations.run(*SPAN)

    assert changed != lines
    assert "1 computed, 3 kept" in ended.output


def test_one_process_or_two_write_the_same_bytes(tmp_path):
    serial, parallel = Evaluations(tmp_path / "serial"), Evaluations(tmp_path / "parallel")

    serial.run(*SPAN)
    ended = parallel.run_process(*SPAN, "--jobs", "2")

    assert ended.exit_code == 0, ended.output
    assert serial.files() == parallel.files()


def test_later_vintages_do_not_change_what_was_handed_in(tmp_path):
    whole, cut = Evaluations(tmp_path / "whole"), Evaluations(tmp_path / "cut")
    data = cut.repository / "data" / "vintages.csv.gz"
    lines = gzip.decompress(data.read_bytes()).decode().splitlines()
    known = [lines[0], *(line for line in lines[1:] if line < "2025-02-27")]
    data.unlink()
    data.write_bytes(gzip.compress("\n".join(known).encode()))

    whole.run(*SPAN)
    ended = cut.run(*SPAN)

    assert ended.exit_code == 0, ended.output
    for path in (whole.folder / "random_walk").glob("*.csv"):
        assert (cut.folder / "random_walk" / path.name).read_bytes() == path.read_bytes()


def test_dates_without_a_vintage_are_named_and_skipped(tmp_path):
    ended = Evaluations(tmp_path).run("--from", "2025-05-24", "--to", "2025-06-28")

    assert ended.exit_code == 0, ended.output
    assert "2 forecasts of 2025-05-24 to 2025-05-31" in ended.output
    assert (
        "4 reference dates have no vintage and are skipped: 2025-06-07 to 2025-06-28 (4 dates)"
        in ended.output
    )


def test_without_the_hubs_baseline_ratios_are_to_our_own_and_say_so(tmp_path):
    evaluations = Evaluations(tmp_path)

    ended = evaluations.run(*SPAN)

    assert "2024-25: ratios are to random_walk, our own baseline" in ended.output
    [line] = evaluations.summary(model="random_walk", scope="states", by="season")
    assert (line["baseline"], line["rel_wis"]) == ("random_walk", "1")


def test_the_nation_alone_can_be_evaluated(tmp_path):
    ended = Evaluations(tmp_path).run(*SPAN, "--locations", "US")

    assert ended.exit_code == 0, ended.output
    assert "2024-25, US; the baseline of the ratios is random_walk" in ended.output


def test_hub_files_in_the_forecasting_repository_are_compared_with(tmp_path):
    evaluations = Evaluations(tmp_path)
    evaluations.run(*SPAN)
    models = evaluations.repository / "data" / "flusight" / "model-output"
    for source in (evaluations.folder / "random_walk").glob("*.csv"):
        (models / "Other-walk").mkdir(parents=True, exist_ok=True)
        shutil.copy(source, models / "Other-walk" / source.name.replace("local-random_walk", "Other-walk"))
    (models / "Other-walk" / "2019-01-05-Other-walk.csv").write_text("not read: of another season")
    (models / "FluSight-baseline").mkdir()
    shutil.copy(BASELINE, models / "FluSight-baseline")

    ended = evaluations.run(*SPAN)

    assert ended.exit_code == 0, ended.output
    own, other = (
        evaluations.summary(model=m, scope="states", by="season")[0] for m in ("random_walk", "Other-walk")
    )
    assert other["baseline"] == "FluSight-baseline"
    assert {**own, "model": ""} == {**other, "model": ""}


def test_the_scores_of_an_earlier_evaluation_are_compared_with(tmp_path):
    evaluations = Evaluations(tmp_path)
    evaluations.run(*SPAN, "--compare", str(BASELINE))
    earlier = shutil.copy(evaluations.folder / "scores.csv.gz", tmp_path / "earlier.csv.gz")

    ended = evaluations.run(*SPAN, "--compare", str(earlier))

    assert ended.exit_code == 0, ended.output
    own, before = (
        evaluations.summary(model=name, scope="states", by="season")[0]
        for name in ("random_walk", "random_walk (earlier.csv.gz)")
    )
    assert float(own["rel_wis"]) == pytest.approx(float(before["rel_wis"]), rel=1e-5)


def test_a_location_without_data_is_named_and_does_not_lose_the_others(tmp_path):
    evaluations = Evaluations(tmp_path)
    data = evaluations.repository / "data" / "vintages.csv.gz"
    lines = gzip.decompress(data.read_bytes()).decode().splitlines()
    cut = str(datetime.date(2024, 12, 1))
    kept = [line for line in lines if not (line.split(",")[2] == "50" and line.split(",")[1] > cut)]
    data.unlink()
    data.write_bytes(gzip.compress("\n".join(kept).encode()))

    ended = evaluations.run(*SPAN)

    assert ended.exit_code == 0, ended.output
    assert f"Vermont is left out: {', '.join(DATES)}" in ended.output
    assert {row["location"] for row in evaluations.scores()} == {"06", "25", "39", "42", "72", "US"}
