"""Every construct of the vocabulary goes through the three stages."""

import json

import pytest

from tests.constructs import CONSTRUCTS, write_data
from tests.in_process import ended
from tests.stage_scripts import Stages


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_a_construct_is_built_run_and_written(tmp_path, name):
    stages = Stages(tmp_path, CONSTRUCTS[name]())
    write_data(tmp_path / "forecast")

    code, lines = ended(stages, "builder")
    assert code == 0, lines
    for index in range(stages.manifest()["num_workloads"]):
        code, lines = ended(stages, "runner", TASK_INDEX=index)
        assert code == 0, lines
    code, lines = ended(stages, "output")

    assert code == 0, lines
    files = json.loads((stages.outputs() / "files.json").read_text())
    assert any("quantiles" in str(name) for name in files), files
