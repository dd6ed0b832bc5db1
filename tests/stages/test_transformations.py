"""A post hoc transformation changes trajectories and adds series, before they are compared and projected."""

import gzip
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from modeling.failures import UserError
from modeling.result_checks import check_result
from modeling.run_names import EPYDEMIX
from modeling.simulate.run import run_workload
from tests.bending import problems_in
from tests.builds import build
from tests.calibrations import calibrating_start, fitting
from tests.experiments import REPOSITORY, calibrated, write_repository
from tests.in_process import ended
from tests.stage_scripts import Stages

SCRIPT = '''"""Transformations of our own."""

import copy


def reporting(trajectory, context=None):
    """Add those who are reported, a share of all who recover, as a series of its own."""
    changed = copy.deepcopy(trajectory)
    changed.transitions["reported"] = 0.25 * changed.transitions["I_to_R_total"]
    changed.compartments["infected_or_immune"] = (
        changed.compartments["I_total"] + changed.compartments["R_total"]
    )
    return changed


def halving(trajectory):
    for name in trajectory.transitions:
        trajectory.transitions[name] *= 0.5
    return trajectory


def by_context(trajectory, context):
    assert context["location"] == "US-VT"
    assert list(context["observed_data"].columns) == ["date", "cases"]
    assert context["timespan"].delta_t == 1
    factor = 2.0 if context["projection"] else 1.0
    trajectory.transitions["scaled"] = trajectory.transitions["I_to_R_total"] * factor
    trajectory.transitions["drawn"] = 0 * trajectory.transitions["scaled"] + context["params"]["R0"]
    return trajectory


def same(trajectory):
    return trajectory


def silent(trajectory):
    trajectory.transitions["x"] = trajectory.transitions["I_to_R_total"]


def removing(trajectory):
    del trajectory.transitions["I_to_R_total"]
    return trajectory


def negative(trajectory):
    trajectory.compartments["I_total"] -= 1e6
    return trajectory


def unknown(trajectory):
    trajectory.compartments["I_total"][0] = float("nan")
    return trajectory


def shorter(trajectory):
    trajectory.compartments["x"] = trajectory.compartments["I_total"][1:]
    return trajectory


def words(trajectory):
    trajectory.compartments["x"] = ["many"] * len(trajectory.dates)
    return trajectory


def no_dictionary(trajectory):
    trajectory.compartments = [0, 1]
    return trajectory


def a_column(trajectory):
    trajectory.compartments["seed"] = trajectory.compartments["I_total"]
    return trajectory


def odd_name(trajectory):
    trajectory.compartments["a, b"] = trajectory.compartments["I_total"]
    return trajectory


def many(trajectory):
    for number in range(101):
        trajectory.compartments[f"x{number}"] = trajectory.compartments["I_total"]
    return trajectory


def now_and_then(trajectory):
    if now_and_then.calls % 2:
        trajectory.compartments["x"] = trajectory.compartments["I_total"]
    now_and_then.calls += 1
    return trajectory


now_and_then.calls = 0


def failing(trajectory):
    return trajectory.transitions["S_to_X_total"]


def one_more(trajectory, context, scale):
    return trajectory


class Odd:
    def __array__(self, *_, **__):
        raise LookupError("no array")


def no_array(trajectory):
    trajectory.compartments["x"] = Odd()
    return trajectory
'''


def transformed(name: str, experiment: dict | None = None) -> dict:
    experiment = experiment or fitting("SMC", num_particles=12, num_generations=2)
    calibration = experiment["modelset"]["calibration"]
    calibration["fitting_window"]["end_date"] = "2025-02-01"
    calibration["post_hoc_transformation"] = {
        "user_script_path": "data/own.py",
        "user_function_name": name,
    }
    return experiment


def write_script(folder):
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "own.py").write_text(SCRIPT)


def result_of(folder, name: str, compared: str = "I_to_R_total", experiment: dict | None = None):
    write_script(folder)
    experiment = transformed(name, experiment)
    experiment["modelset"]["calibration"]["comparison"][0]["simulation"] = [compared]
    return run_workload(build(folder, experiment)[0])


def test_a_transformation_that_changes_nothing_gives_the_result_without_it(tmp_path):
    experiment = fitting("SMC", num_particles=12, num_generations=2)
    experiment["modelset"]["calibration"]["fitting_window"]["end_date"] = "2025-02-01"

    plain = run_workload(build(tmp_path / "plain", experiment)[0], EPYDEMIX)
    same = result_of(tmp_path / "same", "same")

    np.testing.assert_array_equal(same.generations[-1].particles, plain.generations[-1].particles)
    np.testing.assert_array_equal(same.trajectories.in_compartments, plain.trajectories.in_compartments)
    np.testing.assert_array_equal(same.trajectories.by_transition, plain.trajectories.by_transition)
    assert (same.expected.people, same.expected.groups) == (plain.expected.people, 3)


def test_an_added_series_is_compared_and_projected(tmp_path):
    result = result_of(tmp_path, "reporting", compared="reported")

    paths, [fit] = result.trajectories, result.fits
    np.testing.assert_array_equal(paths.series("reported"), 0.25 * paths.series("I_to_R_total"))
    people = paths.series("I_total") + paths.series("R_total")
    np.testing.assert_array_equal(paths.series("infected_or_immune"), people)
    assert (4 * fit.values == np.rint(4 * fit.values)).all()
    assert (fit.values != np.rint(fit.values)).any()
    observed = fit.observed.values[fit.observed.fitted]
    distances = np.sqrt(((fit.values - observed) ** 2).mean(axis=1))
    np.testing.assert_allclose(result.generations[-1].distances, distances)
    assert result.expected.people == paths.in_compartments[0, [3, 7, 11], 0].sum()  # still checked


def test_a_changed_series_is_compared_and_projected_as_it_was_changed(tmp_path):
    result = result_of(tmp_path, "halving")

    paths = result.trajectories
    assert (2 * paths.by_transition == np.rint(2 * paths.by_transition)).all()
    assert (paths.by_transition != np.rint(paths.by_transition)).any()
    assert paths.in_compartments.dtype.kind == "i"
    assert (result.expected.people, result.expected.groups) == (None, 0)
    assert result.transformed_by == "halving of data/own.py"


def test_a_function_is_told_the_draw_the_place_and_whether_it_projects(tmp_path):
    result = result_of(tmp_path, "by_context", compared="scaled")

    paths = result.trajectories
    np.testing.assert_array_equal(paths.series("scaled"), 2 * paths.series("I_to_R_total"))
    np.testing.assert_allclose(paths.series("drawn")[:, 0], result.projected[:, 0])
    assert (paths.series("drawn") == paths.series("drawn")[:, :1]).all()


def test_before_a_calibrated_start_nobody_moves_and_added_people_are_as_on_the_first_date(tmp_path):
    experiment = calibrating_start(fitting("SMC", num_particles=12, num_generations=2), 15)
    experiment["model"]["simulation"]["resample_frequency"] = "D"
    observed = "date,geo_value,cases\n" + "".join(
        f"2025-01-{day:02},US-VT,{10 * day}\n" for day in range(16, 32)
    )
    write_script(tmp_path)
    experiment = transformed("reporting", experiment)
    experiment["modelset"]["calibration"]["comparison"][0]["simulation"] = ["reported"]

    result = run_workload(build(tmp_path, experiment, observed)[0])

    paths, starts = result.trajectories, result.projected[:, result.parameter_names.index("start_date")]
    latest = int(np.argmax(starts))
    before = int(starts[latest])
    assert before > 0
    assert not paths.series("reported")[latest, :before].any()
    immune = paths.series("infected_or_immune")[latest]
    assert (immune[:before] == immune[before]).all()


FAILING = {
    "silent": "silent returned NoneType; return the trajectory",
    "removing": "did not return the same transitions for each trajectory: I_to_R_total",
    "negative": '"I_total" holds -',
    "unknown": '"I_total" holds nan; counts are numbers from 0',
    "shorter": '"x" has shape (3,); one number for each of 4 dates is needed',
    "words": '"x" does not hold numbers',
    "no_array": '"x" does not hold numbers',
    "no_dictionary": "replaced the dictionary compartments; change its series instead",
    "a_column": 'added the series "seed", whose name is taken',
    "odd_name": "added the series 'a, b'; use letters, digits",
    "many": "added 101 series; 100 at most",
    "now_and_then": "did not return the same compartments for each trajectory: x",
    "failing": "data/own.py:97: failing: KeyError: 'S_to_X_total'",
}


@pytest.mark.parametrize("name", FAILING)
def test_a_trajectory_that_cannot_be_used_ends_its_input_with_one_line(tmp_path, name):
    with pytest.raises(UserError) as caught:
        result_of(tmp_path, name)

    assert FAILING[name] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_comparison_with_a_series_that_was_not_added_names_it(tmp_path):
    with pytest.raises(UserError, match=r'cases is compared with "report", .*did you mean "reported"'):
        result_of(tmp_path, "reporting", compared="report")


def test_a_function_with_other_arguments_is_refused_before_a_run(tmp_path):
    write_script(tmp_path)

    [line] = problems_in(write_repository(tmp_path, transformed("one_more", calibrated())))

    assert "data/own.py:100: one_more(trajectory, context, scale) is called with a trajectory" in line


def test_counts_that_do_not_add_up_are_allowed_for_no_other_result(tmp_path):
    result = result_of(tmp_path, "halving")

    with pytest.raises(UserError, match="numbers of people that are not whole"):
        check_result(replace(result, transformed_by=""))


def test_a_name_that_neither_the_model_nor_the_script_has_is_warned_of(tmp_path, caplog):
    write_script(tmp_path)
    experiment = transformed("reporting", calibrated())
    experiment["modelset"]["calibration"]["comparison"][0]["simulation"] = ["reported"]
    experiment["output"]["quantiles"]["transitions"] = ["reported", "reproted"]

    build(tmp_path, experiment)

    assert [line for line in caplog.messages if "reported" in line or "reproted" in line] == [
        'output.yaml:8: "reproted" is no series of the model, and data/own.py does not mention it'
    ]


def stages_of(tmp_path, name: str) -> Stages:
    experiment = transformed(name, calibrated())
    experiment["modelset"]["calibration"]["comparison"][0]["simulation"] = ["I_to_R_total"]
    experiment["output"]["quantiles"] |= {"compartments": True, "transitions": True}
    if name == "reporting":
        experiment["output"]["trajectories"] |= {"transitions": ["reported"]}
    stages = Stages(tmp_path, experiment)
    write_script(tmp_path / "forecast")
    for stage, chosen in (("builder", {}), ("runner", {"TASK_INDEX": 0}), ("output", {})):
        code, said = ended(stages, stage, **chosen)
        assert code == 0, said
    return stages


def table(stages: Stages, name: str) -> pd.DataFrame:
    return pd.read_csv(gzip.open(stages.outputs() / f"{name}.csv.gz"))


def test_tables_have_the_added_series(tmp_path):
    stages = stages_of(tmp_path, "reporting")

    assert "infected_or_immune" in table(stages, "quantiles_compartments")
    quantiles = table(stages, "quantiles_transitions")
    np.testing.assert_allclose(quantiles["reported"], quantiles["I_to_R_total"] / 4)
    assert list(table(stages, "trajectories_transitions"))[-1] == "reported"
    report = (stages.outputs() / "report.html").read_text()
    assert "2 series are computed by reporting of data/own.py" in report
    assert "whole numbers" not in report


def test_the_report_says_in_one_line_that_counts_were_changed(tmp_path):
    stages = stages_of(tmp_path, "halving")

    report = (stages.outputs() / "report.html").read_text()
    assert report.count("trajectories are as halving of data/own.py has changed them") == 1


def test_the_example_of_the_docs_runs(tmp_path):
    page = (REPOSITORY / "docs" / "user-functions.md").read_text()
    script = re.search("```python\n(.*?)```", page, re.DOTALL)[1]
    keys = yaml.safe_load(re.search("```yaml\n(.*?)```", page, re.DOTALL)[1])["modelset"]["calibration"]
    experiment = fitting("SMC", num_particles=12, num_generations=2)
    experiment["model"]["parameters"]["reported_share"] = {"type": "calibrated"}
    calibration = experiment["modelset"]["calibration"]
    calibration["parameters"]["reported_share"] = {"prior": {"name": "uniform", "args": [0.2, 0.3]}}
    calibration["fitting_window"]["end_date"] = "2025-02-01"
    calibration |= keys
    calibration["comparison"][0]["observed_value_column"] = "cases"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "functions.py").write_text(script.replace("I_to_H_total", "I_to_R_total"))

    result = run_workload(build(tmp_path, experiment)[0])

    paths = result.trajectories
    shares = result.projected[:, [result.parameter_names.index("reported_share")]]
    np.testing.assert_allclose(paths.series("reported"), paths.series("I_to_R_total") * shares)
