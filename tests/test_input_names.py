"""The name of an input: place and parameter set, wherever people read of a task without a result."""

import dataclasses
import datetime
import hashlib
import json
import pickle
import zlib

import pytest

from modeling.input_names import in_a_line, input_name
from modeling.workload import ForeignWorkload, Simulate, Workload
from tests.experiments import sampled, simulated
from tests.stages import Stages


def workload(index=17, population="US-MA", task=None, **changes):
    day = datetime.date(2025, 1, 5)
    task = task or Simulate(0, 300, 300, {})
    whole = Workload(index, index, population, "", 1, (1,), None, day, day, task)
    return dataclasses.replace(whole, **changes)


NAMES = {
    "a set of several": (workload(set_index=3, set_count=10), "US-MA, parameter set 3 of 10 (input 17)"),
    "the only set": (workload(), "US-MA (input 17)"),
    "part of an ensemble": (
        workload(index=2, task=Simulate(200, 100, 300, {})),
        "US-MA, trajectories 200 to 299 of 300 (input 2)",
    ),
    "a part of one": (
        workload(index=2, task=Simulate(2, 1, 3, {})),
        "US-MA, trajectory 2 of 3 (input 2)",
    ),
    "of another suite": (
        ForeignWorkload(17, 17, "United_Kingdom", "epymodelingsuite", b""),
        "United_Kingdom (input 17)",
    ),
    "without a place": (workload(population=""), "input 17"),
    "that a terminal would obey": (workload(population="US\x1b[31m\n-MA"), "US?[31m -MA (input 17)"),
    "without an end": (workload(population="x" * 10_000), f"{'x' * 56} ... (input 17)"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_an_input_is_called_by_its_place_its_share_and_its_index(kind):
    given, name = NAMES[kind]

    assert input_name(given) == name


def test_of_many_names_a_few_and_how_many_more_there_are():
    assert in_a_line(["a", "b"]) == "a; b"
    assert in_a_line([str(n) for n in range(5)], 100_000) == "0; 1; 2; 3; 4 and 99,995 more"


def change_input(stages: Stages, index: int, change) -> None:
    """Change an input as if stage A had built it so."""
    builder = stages.run_folder / "builder-artifacts"
    path, digests = builder / f"input_{index:04d}.pkl", builder / "inputs.sha256"
    data = zlib.compress(pickle.dumps(change(pickle.loads(zlib.decompress(path.read_bytes())))))
    path.write_bytes(data)
    lines = digests.read_text().splitlines()
    lines[index] = hashlib.sha256(data).hexdigest()
    digests.write_text("".join(f"{line}\n" for line in lines))


def test_a_task_that_fails_names_its_input_in_its_log_and_its_summary(tmp_path):
    stages = Stages(tmp_path, sampled())
    stages.run("builder")
    too_many = {"S": "default", "I": 10**9, "R": 0.1}
    change_input(
        stages, 1, lambda w: dataclasses.replace(w, plan=dataclasses.replace(w.plan, initial=too_many))
    )

    mistake = stages.run("runner", TASK_INDEX=1)
    summary = json.loads((stages.run_folder / "summaries" / "runner_0001.json").read_text())
    change_input(stages, 1, lambda w: dataclasses.replace(w, plan=None))
    bug = stages.run("runner", TASK_INDEX=1)

    name = "US-VT, parameter set 1 of 3 (input 1)"
    assert mistake.exit_code == 2
    assert f"error: {name}: " in mistake.last_line
    assert summary["input"] == name
    assert name not in summary["error"]  # which is shown behind it
    assert bug.exit_code == 1
    assert f"error: {name} failed" in bug.output


def test_the_share_of_a_split_ensemble_and_an_input_that_cannot_be_read_are_named_as_far_as_known(tmp_path):
    stages = Stages(tmp_path, simulated(), COUNT="3")
    stages.run("builder")
    stages.run("runner", TASK_INDEX=0)
    (stages.run_folder / "builder-artifacts" / "input_0002.pkl").write_bytes(b"cut short")

    ended = stages.run("output")

    assert ended.exit_code == 2
    assert "(US-VT, trajectories 2 to 3 of 6 (input 1); input 2); input 1: no result" in ended.last_line
