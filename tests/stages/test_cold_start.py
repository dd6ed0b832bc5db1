"""A runner starts without the libraries that take longer to load than a simulation to run."""

import importlib.util
import re
import subprocess
import sys

import pytest

from tests.experiments import REPOSITORY, simulated
from tests.stage_scripts import Stages

HEAVY = {
    *("epydemix", "numba", "pandas", "pyarrow", "scipy", "matplotlib", "jinja2"),
    *("dill", "google", "holidays", "invoke", "pydantic", "requests", "rich", "yaml"),
}


def loaded_by(script: str, variables: dict[str, str]) -> set[str]:
    """Return the packages that a stage script loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(REPOSITORY / "scripts" / script)],
        env=variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in re.findall(r"^import time: .*\| +(\S+)$", done.stderr, re.M)}


@pytest.mark.skipif(
    importlib.util.find_spec("modeling.simulate.ensemble") is None, reason="simulates through epydemix alone"
)
def test_a_runner_on_the_engine_loads_nothing_heavy(tmp_path):
    stages = Stages(tmp_path, simulated(), ENGINE="cpu")
    assert stages.run("builder").exit_code == 0
    assert stages.run("runner", TASK_INDEX=0).exit_code == 0  # compiles the engine, if need be

    loaded = loaded_by("main_runner.py", stages.environment(TASK_INDEX=0, FORCE=1))

    assert "numpy" in loaded
    assert not loaded & HEAVY


def test_a_runner_whose_result_exists_loads_nothing_heavy(tmp_path):
    stages = Stages(tmp_path, simulated())
    assert stages.run("builder").exit_code == 0
    assert stages.run("runner", TASK_INDEX=0).exit_code == 0

    loaded = loaded_by("main_runner.py", stages.environment(TASK_INDEX=0))

    assert "numpy" in loaded
    assert not loaded & (HEAVY | {"llvmlite"})
