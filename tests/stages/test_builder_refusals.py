"""Stage A refuses a wrong setting, experiment or population file in one line and writes nothing."""

import shutil
import subprocess
import sys

import pytest

from tests.bending import CALIBRATION, prior, put, rate, sampled_people
from tests.experiments import POPULATIONS, REPOSITORY, calibrated, sampled, simulated
from tests.stage_scripts import Stages, refused

BUILDER = {
    "missing experiment": (
        {"EXP_ID": "trail"},
        ["no such experiment", '(did you mean "trial"?)', "there are: trial"],
    ),
    "missing experiment of a group": (
        {"EXP_ID": "flu/trial"},
        ["experiments/flu/trial/config: no such experiment", '(did you mean "trial"?)', "there are: trial"],
    ),
    "experiment id that climbs": ({"EXP_ID": "../trial"}, ['EXP_ID="../trial"', "no .."]),
    "experiment id with a space": ({"EXP_ID": "a trial"}, ['EXP_ID="a trial"', "letters, digits"]),
    "experiment id too long": ({"EXP_ID": "a" * 129}, ["129 characters; 128 at most"]),
    "no experiment id": ({"EXP_ID": ""}, ["EXP_ID is not set"]),
    "run id": ({"RUN_ID": "today"}, ['RUN_ID="today"', "looks like 20260131-120000-0a1b2c3d"]),
    "execution mode": ({"EXECUTION_MODE": "clowd"}, ['EXECUTION_MODE="clowd"', "use local, cloud"]),
    "forecast repository": (
        {"FORECAST_REPO_DIR": "/nowhere"},
        ["/nowhere/experiments/trial", "no such experiment"],
    ),
    "population data": (
        {"EPYDEMIX_DATA_DIR": "/nowhere"},
        ['EPYDEMIX_DATA_DIR="/nowhere"', "no such folder"],
    ),
    "count of nothing": ({"COUNT": 0}, ['COUNT="0"', "whole number from 1"]),
    "count above the trajectories": ({"COUNT": 7}, ["model.yaml:8:", "6 trajectories", "COUNT=7"]),
    "reference date in the week": (
        {"REFERENCE_DATE": "2026-01-09"},
        ['REFERENCE_DATE="2026-01-09": a Friday', "such as 2026-01-03 or 2026-01-10"],
    ),
    "reference date that is none": ({"REFERENCE_DATE": "soon"}, ['REFERENCE_DATE="soon": a day of the']),
    "reference date of a model": (
        {"REFERENCE_DATE": "2026-01-10"},
        ["REFERENCE_DATE=2026-01-10 is for forecasts from surveillance data", "leave it out"],
    ),
    "strictness of a model": ({"STRICT": 1}, ["STRICT=1 is for forecasts from surveillance data"]),
    "strictness of another word": ({"STRICT": "very"}, ['STRICT="very": use 1 or 0']),
    "output configuration": (
        {"OUTPUT_CONFIG_FILE": "nope.yaml"},
        ["OUTPUT_CONFIG_FILE=nope.yaml", "no such file"],
    ),
    "output configuration of another kind": (
        {"OUTPUT_CONFIG_FILE": "model.yaml"},
        ["model.yaml:", 'must have the key "output"'],
    ),
    "several at once": ({"RUN_ID": "today", "EXP_ID": "", "COUNT": "x"}, ["RUN_ID", "EXP_ID", "COUNT"]),
}


@pytest.mark.parametrize("name", BUILDER)
def test_a_builder_with_a_wrong_setting_writes_nothing(tmp_path, name):
    variables, fragments = BUILDER[name]
    stages = Stages(tmp_path, simulated())

    line = refused(stages.run("builder", **variables))

    for fragment in fragments:
        assert fragment in line
    assert not (tmp_path / "bucket").exists()


def test_a_mistyped_experiment_is_told_with_those_of_every_group(tmp_path):
    stages = Stages(tmp_path, simulated(), "flu/2026-w05")

    line = refused(stages.run("builder", EXP_ID="flu/2026-w06"))

    assert '(did you mean "flu/2026-w05"?); there are: flu/2026-w05' in line
    assert "there are: flu/2026-w05" in refused(stages.run("builder", EXP_ID="other"))


@pytest.mark.parametrize(
    ("make", "bends", "fragment"),
    [
        (simulated, rate("gama"), 'model.yaml:32: "gama" uses "gama"'),
        (simulated, [put("model", "compartments", 1, "init", 3_000_000)], 'in age group "18-64"'),
        (calibrated, [put(*CALIBRATION, "observed_data_path", "data/nope.csv")], "no file data/nope.csv"),
        (calibrated, prior(name="unifrom"), 'did you mean "uniform"'),
        (sampled, sampled_people(2, 3_000_000), "narrow the ranges"),
    ],
    ids=["names", "people", "observed data", "distribution", "last parameter set"],
)
def test_a_builder_with_a_wrong_experiment_writes_nothing(tmp_path, make, bends, fragment):
    experiment = make()
    for bend in bends:
        bend(experiment)
    stages = Stages(tmp_path, experiment)

    line = refused(stages.run("builder"))

    assert fragment in line
    assert not (tmp_path / "bucket").exists()


def test_the_check_prints_every_mistake_on_a_line_of_its_own(tmp_path):
    experiment = simulated()
    for bend in (
        *rate("gama"),
        put("model", "transitions", 0, "mediator", "J"),
        put("model", "timespan", "end_date", "2024-01-01"),
    ):
        bend(experiment)
    stages = Stages(tmp_path, experiment)

    ended = subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "check_experiment.py")],
        env=stages.environment(FORECAST_REPO_DIR=tmp_path / "forecast"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 2
    assert [line.split(": ")[0] for line in ended.stdout.splitlines()] == [
        "model.yaml:5",
        "model.yaml:27",
        "model.yaml:32",
    ]
    assert ended.stderr.strip().endswith("trial: 3 mistakes")
    assert not (tmp_path / "bucket").exists()


@pytest.mark.parametrize(
    ("file", "text", "fragment"),
    [
        (
            "demographic/age_distribution.csv",
            "group_name,people\n0,5\n",
            "needs columns group_name and value",
        ),
        (
            "demographic/age_distribution.csv",
            "group_name,value\n0,many\n",
            "needs columns group_name and value",
        ),
        ("demographic/age_distribution.csv", "group_name,value\n0,-5\n1,3\n", "counts of people"),
        ("contact_matrices/synthetic_2026/contacts_matrix_home.csv", "1,2\n3\n", "contacts_matrix_home.csv"),
        ("contact_matrices/synthetic_2026/contacts_matrix_home.csv", "1,-2\n3,4\n", "none negative"),
        (
            "contact_matrices/synthetic_2026/contacts_matrix_home.csv",
            None,
            "the population data are incomplete",
        ),
    ],
    ids=["a column", "a word", "negative people", "a ragged matrix", "a negative contact", "a missing file"],
)
def test_a_broken_file_of_the_population_data_is_told_by_name(tmp_path, file, text, fragment):
    stages = Stages(tmp_path / "run", simulated())
    shutil.copytree(POPULATIONS, tmp_path / "populations")
    broken = tmp_path / "populations" / "data" / "United_States_Vermont" / file
    broken.unlink() if text is None else broken.write_text(text)

    line = refused(stages.run("builder", EPYDEMIX_DATA_DIR=tmp_path / "populations"))

    assert file.rpartition("/")[2] in line
    assert fragment in line
    assert not stages.run_folder.exists()
