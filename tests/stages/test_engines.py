"""The engine of a workload: that of its run, but epydemix where a function in Python takes part."""

import numpy as np

from modeling.simulate.run import run_workload
from tests.builds import build
from tests.calibrations import fitting

DISTANCE = """import numpy as np

def of_logs(data, simulation):
    return float(np.abs(np.log1p(data["data"]) - np.log1p(simulation["data"])).mean())
"""


def test_a_function_runs_through_epydemix_with_a_line_that_says_why_that_is_slow(tmp_path, caplog):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "own.py").write_text(DISTANCE)
    experiment = fitting("SMC", num_particles=12, num_generations=1)
    experiment["modelset"]["calibration"] |= {
        "distance_function": {"user_script_path": "data/own.py", "user_function_name": "of_logs"}
    }
    workload = build(tmp_path, experiment)[0]

    result = run_workload(workload, "cpu")
    [line] = [text for record in caplog.records if "epydemix" in (text := record.getMessage())]
    again = run_workload(workload, "epydemix")

    assert "runs through epydemix, several hundred times slower than the engine, because of_logs of" in line
    assert line.endswith("is a Python function")
    np.testing.assert_array_equal(result.generations[-1].distances, again.generations[-1].distances)
