"""Functions of the experiment's author: a distance, read by stage A and run by stage B."""

from dataclasses import replace

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.run_names import EPYDEMIX
from modeling.simulate.run import run_workload
from modeling.workload import UserFunction
from pipeline.environment import read_stage_context
from pipeline.pickles import decode_workload, encode_workload
from tests.bending import problems_in
from tests.builds import build
from tests.calibrations import fitting
from tests.experiments import calibrated, write_repository
from tests.forgeries import builder_file, put_input
from tests.in_process import ended
from tests.operators import Operator
from tests.stage_scripts import RUN_ID, Stages

SCRIPT = '''"""Distances of our own."""

import numpy as np
from epydemix.calibration import rmse


def of_epydemix(data, simulation):
    return rmse(data, simulation)


def of_logs(data, simulation):
    observed, simulated = np.log1p(data["data"]), np.log1p(simulation["data"])
    return np.abs(observed - simulated).mean()


def spoiling(data, simulation):
    distance = np.abs(data["data"] - simulation["data"]).mean()
    data["data"][:] = simulation["data"][:] = 0
    return distance


def other_names(observed, simulated):
    return 0


def one_more(data, simulation, scale):
    return 0


def failing(data, simulation):
    share = 1 / 0
    return share


def leaving(data, simulation):
    raise SystemExit(0)


def negative(data, simulation):
    return -1.0


def unknown(data, simulation):
    return float("nan")


def endless(data, simulation):
    return float("inf")


def silent(data, simulation):
    rmse(data, simulation)


def a_text(data, simulation):
    return "1.5"


class Odd(float):
    def __float__(self):
        raise LookupError("no number")


def an_odd_number(data, simulation):
    return Odd(1)


class Shy:
    def __repr__(self):
        raise LookupError("no text")


def a_shy_object(data, simulation):
    return Shy()
'''


def with_distance(name: str, experiment: dict | None = None, script: str = "data/own.py") -> dict:
    experiment = experiment or calibrated()
    experiment["modelset"]["calibration"]["distance_function"] = {
        "user_script_path": script,
        "user_function_name": name,
    }
    return experiment


def write_script(folder, source: str = SCRIPT, name: str = "data/own.py"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(source)


def calibration_of(folder, name: str, source: str = SCRIPT, **options):
    """Return the workload of an SMC with a distance of one's own."""
    write_script(folder, source)
    experiment = fitting("SMC", **({"num_particles": 12, "num_generations": 3} | options))
    experiment["modelset"]["calibration"]["fitting_window"]["end_date"] = "2025-02-01"
    return build(folder, with_distance(name, experiment))[0]


def test_a_function_that_is_a_metric_of_epydemix_gives_the_posterior_of_that_metric(tmp_path):
    own = run_workload(calibration_of(tmp_path / "own", "of_epydemix"))
    experiment = fitting("SMC", num_particles=12, num_generations=3)
    experiment["modelset"]["calibration"]["fitting_window"]["end_date"] = "2025-02-01"
    metric = run_workload(build(tmp_path / "metric", experiment)[0], EPYDEMIX)

    assert len(own.generations) == len(metric.generations) == 3
    np.testing.assert_array_equal(own.generations[-1].particles, metric.generations[-1].particles)
    np.testing.assert_array_equal(own.generations[-1].distances, metric.generations[-1].distances)


def test_a_distance_is_what_the_function_returns_for_the_values_of_the_fit(tmp_path):
    result = run_workload(calibration_of(tmp_path, "of_logs"))

    [fit], last = result.fits, result.generations[-1]
    observed = fit.observed.values[fit.observed.fitted]
    expected = np.abs(np.log1p(observed) - np.log1p(fit.values)).mean(axis=1)
    np.testing.assert_allclose(last.distances, expected, rtol=1e-12)


def test_the_largest_allowed_distance_is_one_of_a_simulated_draw(tmp_path):
    write_script(tmp_path, "def f(data, simulation):\n    return 1e100\n")
    experiment = with_distance("f", fitting("top_fraction", Nsim=20, top_fraction=0.5))

    result = run_workload(build(tmp_path, experiment)[0])

    assert set(result.generations[-1].distances) == {1e100}


def test_a_function_cannot_change_the_data(tmp_path):
    result = run_workload(calibration_of(tmp_path, "spoiling"))

    [fit] = result.fits
    expected = np.abs(fit.observed.values[fit.observed.fitted] - fit.values).mean(axis=1)
    assert fit.values.max() > 0
    np.testing.assert_allclose(result.generations[-1].distances, expected, rtol=1e-12)


def test_a_script_is_a_module_of_its_own_for_each_input(tmp_path):
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Calls:\n    count: int = 0\n\ncalls = Calls()\n\n"
        "def counted(data, simulation):\n    calls.count += 1\n    return calls.count\n"
    )
    workload = calibration_of(tmp_path, "counted", source, num_generations=1)

    first, second = run_workload(workload), run_workload(workload)

    np.testing.assert_array_equal(first.generations[-1].distances, np.arange(1, 13))
    np.testing.assert_array_equal(second.generations[-1].distances, np.arange(1, 13))


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("SMC", {"num_particles": 8, "num_generations": 2}),
        ("rejection", {"num_particles": 8, "epsilon": 1e9}),
        ("top_fraction", {"Nsim": 30, "top_fraction": 0.2}),
    ],
)
def test_draws_that_cannot_be_simulated_never_reach_a_function(tmp_path, strategy, options):
    source = (
        "def f(data, simulation):\n"
        "    assert 0 <= simulation['data'].max() < 700_000  # people in Vermont\n"
        "    return float(abs(data['data'] - simulation['data']).sum())\n"
    )
    write_script(tmp_path, source)
    experiment = with_distance("f", fitting(strategy, **options))
    prior = {"name": "uniform", "args": [-2, 4]}  # a negative R0 is a negative rate
    experiment["modelset"]["calibration"]["parameters"]["R0"]["prior"] = prior

    result = run_workload(build(tmp_path, experiment)[0])

    assert (result.generations[-1].particles >= 0).all()


def test_an_input_from_before_there_were_functions_is_read(tmp_path):
    workload = build(tmp_path, calibrated())[0]
    del vars(workload.task)["post_hoc"]

    read = decode_workload(encode_workload(workload), "input")

    assert (read.task.functions, read.task.distance) == ([], "rmse")


FAILING = {
    "failing": "data/own.py:31: failing: ZeroDivisionError: division by zero",
    "leaving": "data/own.py:36: leaving: SystemExit: 0",
    "negative": "data/own.py: negative returned -1.0; a distance is a number from 0 to 1e+100",
    "unknown": "unknown returned nan",
    "endless": "endless returned inf",
    "silent": "silent returned None",
    "a_text": "a_text returned '1.5'",
    "an_odd_number": "an_odd_number: LookupError: no number",
    "a_shy_object": "a_shy_object: LookupError: no text",
}


@pytest.mark.parametrize("name", FAILING)
def test_a_function_that_fails_ends_its_input_with_one_line(tmp_path, name):
    workload = calibration_of(tmp_path, name)

    with pytest.raises(UserError) as caught:
        run_workload(workload)

    assert FAILING[name] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_script_that_fails_as_it_begins_names_its_line(tmp_path):
    source = "limit = {}['missing']\n\ndef f(data, simulation):\n    return 0\n"

    with pytest.raises(UserError, match=r"data/own.py:1: f: KeyError: 'missing'"):
        run_workload(calibration_of(tmp_path, "f", source))


REFUSED = {
    "no script": ({"script": "data/other.py"}, SCRIPT, ["modelset.yaml:", "no file data/other.py"]),
    "an absolute path": (
        {"script": "/data/own.py"},
        SCRIPT,
        ["modelset.yaml:", "must lie in the forecasting"],
    ),
    "a path that climbs": (
        {"script": "data/../../own.py"},
        SCRIPT,
        ["must lie in the forecasting repository"],
    ),
    "no Python file": ({"script": "data/observed.csv"}, SCRIPT, ["is not a Python script"]),
    "no name": ({"name": "own.f"}, SCRIPT, ['"own.f" is not the name of a Python function']),
    "a mistyped name": ({"name": "of_log"}, SCRIPT, ['function of_log (did you mean "of_logs"?)']),
    "other arguments": (
        {"name": "other_names"},
        SCRIPT,
        ["data/own.py:22: other_names(observed, simulated)"],
    ),
    "one more argument": (
        {"name": "one_more"},
        SCRIPT,
        ["data/own.py:26:", "def one_more(data, simulation)"],
    ),
    "no Python": ({}, "x = 1\ndef f(data simulation):\n", ["data/own.py:2: not valid Python: "]),
    "nested too deeply": ({}, "x = " + "-" * 20_000 + "1\n", ["not valid Python: it is nested too deeply"]),
    "a NUL": ({}, "x = 1\0\n", ["data/own.py", "not valid Python"]),
    "a missing package": ({}, "import no_such_package.x\n", ['data/own.py:1: imports "no_such_package.x"']),
    "a file beside it": ({}, "from .helpers import f\n", ['data/own.py:1: imports ".helpers"']),
    "too long": ({}, "#" * 100_001, ["own.py has more than 100,000 characters"]),
    "a class": ({"name": "f"}, "class f:\n    pass\n", ["does not define a function f"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_function_that_cannot_work_is_refused_before_a_run(tmp_path, case):
    given, source, fragments = REFUSED[case]
    write_script(tmp_path, source)
    config = write_repository(tmp_path, with_distance(**({"name": "f"} | given)))

    [line] = problems_in(config)

    for fragment in fragments:
        assert fragment in line


def test_a_script_that_is_a_link_out_of_the_repository_is_refused(tmp_path):
    write_script(tmp_path, name="elsewhere/own.py")
    config = write_repository(tmp_path / "forecast", with_distance("of_logs"))
    (tmp_path / "forecast" / "data" / "own.py").symlink_to(tmp_path / "elsewhere" / "own.py")

    [line] = problems_in(config)

    assert "data/own.py is a link that leads out of the forecasting repository" in line


def test_unknown_keys_and_metrics_are_told_with_what_is_known(tmp_path):
    config = write_repository(tmp_path, calibrated())
    path = config / "modelset.yaml"
    path.write_text(path.read_text().replace("distance_function: rmse", "distance_function: rmsee"))
    metric = problems_in(config)
    path.write_text(path.read_text().replace("rmsee", "{user_script: data/own.py, user_function_name: f}"))

    key = problems_in(config)

    known = "should be 'rmse', 'wmape', 'mae' or 'mape'"
    assert metric == [
        f'modelset.yaml:10: calibration.distance_function: "rmsee" {known} (did you mean "rmse"?)'
    ]
    assert 'unknown key "user_script" (did you mean "user_script_path"?)' in key[0]


# -- where functions may run

UPLOADED = "functions of your own do not run where the experiment is only uploaded"
MARK = """
def of_logs(data, simulation):
    open({path!r}, "w").close()
    return float(abs(data["data"] - simulation["data"]).sum())
"""


@pytest.fixture
def stages(tmp_path):
    stages = Stages(tmp_path, with_distance("of_logs"))
    stages.mark = tmp_path / "has-run"
    write_script(tmp_path / "forecast", MARK.format(path=str(stages.mark)))
    return stages


def test_the_stages_run_a_function_on_this_machine_but_stage_a_only_reads_it(stages):
    assert ended(stages, "builder") == (0, [])
    assert not stages.mark.exists()
    (stages.folder / "forecast" / "data" / "own.py").unlink()  # a runner needs only the bucket

    code, said = ended(stages, "runner", TASK_INDEX=0)

    assert (code, stages.mark.exists()) == (0, True), said


def test_stage_a_refuses_functions_where_they_may_not_run(stages):
    code, [line] = ended(stages, "builder", ALLOW_USER_FUNCTIONS="false")

    assert code == 2
    assert line.startswith(f"modelset.yaml:10: {UPLOADED}")
    assert line.endswith("name its repository in GITHUB_FORECAST_REPO, or set ALLOW_USER_FUNCTIONS=true")
    assert not stages.run_folder.exists()


def test_source_text_in_an_input_does_not_run_where_functions_may_not(stages):
    assert ended(stages, "builder")[0] == 0

    code, [line] = ended(stages, "runner", TASK_INDEX=0, ALLOW_USER_FUNCTIONS="false")

    assert code == 2
    assert "of_logs of data/own.py" in line
    assert "set ALLOW_USER_FUNCTIONS=true" in line
    assert not stages.mark.exists()


def test_a_forged_input_runs_none_of_its_source_text(tmp_path, stages):
    plain = Stages(tmp_path / "plain", calibrated())
    assert ended(plain, "builder")[0] == 0
    path = builder_file(plain, "input_0000.pkl")
    workload = decode_workload(path.read_bytes(), str(path))
    evil = UserFunction("data/own.py", "of_logs", MARK.format(path=str(stages.mark)))
    data = encode_workload(replace(workload, task=replace(workload.task, distance=evil)))
    put_input(plain, data)

    code, [line] = ended(plain, "runner", TASK_INDEX=0, ALLOW_USER_FUNCTIONS="false")

    assert (code, stages.mark.exists()) == (2, False)
    assert "such functions do not run" in line


@pytest.mark.parametrize(
    ("mode", "given", "allowed"),
    [("local", "", True), ("cloud", "", False), ("cloud", "true", True), ("local", "false", False)],
)
def test_in_the_cloud_functions_run_only_where_a_variable_says_so(mode, given, allowed):
    environ = {"EXECUTION_MODE": mode, "GCS_BUCKET": "b", "EXP_ID": "trial", "RUN_ID": RUN_ID}

    assert read_stage_context(environ | {"ALLOW_USER_FUNCTIONS": given}).allow_user_functions is allowed


def test_validate_says_what_the_cloud_will_refuse(tmp_path):
    operator = Operator(tmp_path, with_distance("of_logs"))
    write_script(tmp_path / "local" / "forecast")
    validate = ("validate", "--exp-id", "trial")

    here = operator.invoke(*validate, ALLOW_USER_FUNCTIONS="false")
    uploaded = operator.invoke(*validate, EXECUTION_MODE="cloud")
    allowed = operator.invoke(*validate, EXECUTION_MODE="cloud", ALLOW_USER_FUNCTIONS="true")
    cloned = operator.invoke(*validate, EXECUTION_MODE="cloud", GITHUB_FORECAST_REPO="lab/flu")

    assert [each.exit_code for each in (here, uploaded, allowed, cloned)] == [0, 2, 0, 0], uploaded.output
    assert UPLOADED in uploaded.output
    assert "Traceback" not in uploaded.output
