"""Evaluations that cannot be made: each is refused in one line."""

import shutil

import pytest

from tests.evaluations import HUB_COLUMNS, SPAN, Evaluations
from tests.flu_vintages import FLUSIGHT, VINTAGES

MEANS = (
    "model,locations,reference_date,horizon,n_locations,n_locations_common,wis,wis_log,ae,cov50,cov95,"
    "baseline_wis,baseline_wis_log,rel_wis,rel_wis_log\nTeam,states,2025-01-11,0,52,52,1,1,1,.5,.9,2,2,.5,.5\n"
)
HUB_ROW = "2025-01-11,wk inc flu hosp,0,2025-01-11,25,quantile,{level},{value}"


def hub_file(*values: str) -> str:
    levels = ["0.01", "0.025", *(f"{n / 20:g}" for n in range(1, 20)), "0.975", "0.99"]
    rows = [HUB_ROW.format(level=x, value=y) for x, y in zip(levels, values, strict=False)]
    return "\n".join([HUB_COLUMNS, *rows]) + "\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", "peer.csv: neither a hub file nor scores; hub files have the columns reference_date"),
        ("", "peer.csv: neither a hub file nor scores"),
        (
            "model,reference_date,horizon,location,value,wis,wis_log,ae,in50,in95\nA,2025-01-11,0,25,1,,1,1,1,1\n",
            "peer.csv:2: not a row of scores; fix or remove it",
        ),
        (MEANS, "peer.csv: mean scores over all states, which mean nothing beside some of them"),
        (hub_file(*["5"] * 20), "reference date 2025-01-11, horizon 0, location 25: a quantile is missing"),
        (hub_file(*["5"] * 22, "4"), "horizon 0, location 25: the quantiles decrease"),
        (hub_file(*["-1"] * 23), "horizon 0, location 25: a quantile is negative"),
        (hub_file(*["x"] * 23), "peer.csv:2: not a row of a hub file"),
        (hub_file(*["5"] * 23) + hub_file("5").split("\n", 1)[1], "peer.csv:25: quantile 0.01 of this"),
        (
            hub_file(*["5"] * 23).replace("2025-01-11", "2023-01-14"),
            "no forecast of 2025-01-11 to 2025-02-01; name another file",
        ),
        (
            hub_file(*["5"] * 23).replace(",25,", ",48,"),
            "peer: none of its forecasts is of a date and location",
        ),
    ],
)
def test_a_file_that_cannot_be_compared_with_is_one_line(tmp_path, content, said):
    evaluations, peer = Evaluations(tmp_path), tmp_path / "peer.csv"
    peer.write_text(content)

    ended = evaluations.run(*SPAN, "--compare", str(peer))

    assert ended.exit_code == 2
    assert said in ended.last_line
    assert not (evaluations.folder / "evaluation.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--from", "2025-01-12"],
            "--from 2025-01-12: a Sunday; a reference date is a Saturday, such as 2025-01-11 or",
        ),
        (
            ["--to", "2025-02-06"],
            "--to 2025-02-06: a Thursday; a reference date is a Saturday, such as 2025-02-01 or",
        ),
        (["--from", "2025-02-08"], "--from 2025-02-08 is after --to 2025-02-01; exchange them"),
        (["--from", "last week"], "--from last week: a day of the calendar is needed, such as 2026-01-10"),
        (["--method", "random_wlak"], '--method random_wlak: no such method (did you mean "random_walk"?)'),
        (["--locations", "US-MX"], '--locations: "US-MX" is not a known population (did you mean'),
        (["--locations", "CA-BC"], "--locations: CA-BC: British Columbia is not a location of the"),
        (["--from", ""], "--from is needed: the first reference date"),
        (["--exp-id", "flusigth"], 'no such experiment (did you mean "flusight"?)'),
        (
            ["--from", "2019-01-05", "--to", "2019-05-04"],
            "no reference date from 2019-01-05 to 2019-05-04 has a",
        ),
        (["--compare", "nowhere"], "nowhere: no such file or folder to compare with"),
        (["--observations", "nowhere.csv"], "--observations: counts nowhere.csv cannot be read (No such"),
        (["--observations", str(VINTAGES)], ": duplicate week 2022-02-05 of location"),
        (["--history", "nowhere.csv"], "nowhere.csv"),
        (["--exp-id", "../flusight"], '--exp-id "../flusight": letters, digits'),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line(tmp_path, words, said):
    evaluations = Evaluations(tmp_path)

    ended = evaluations.run(*SPAN, *words)

    assert ended.exit_code == 2
    assert said in ended.last_line
    assert len(ended.lines) == 1
    assert evaluations.files() == {}


def test_an_experiment_of_a_model_is_refused(tmp_path):
    evaluations = Evaluations(tmp_path)
    config = evaluations.repository / "experiments" / "flusight" / "config" / "forecast.yaml"
    shutil.copy(FLUSIGHT.parents[1] / "examples/forecast/experiments/demo/config/model.yaml", config)

    ended = evaluations.run(*SPAN)

    assert (ended.exit_code, len(ended.lines)) == (2, 1)
