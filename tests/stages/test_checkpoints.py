"""A calibration that was interrupted goes on from its last whole generation."""

import contextlib
import logging
from pathlib import Path

import pytest

from pipeline import checkpoint_files
from pipeline.artifacts import RunFiles
from pipeline.checkpoint_files import CheckpointFile
from pipeline.environment import read_stage_context
from pipeline.input_files import Inputs
from pipeline.pickles import encode_checkpoint
from tests.calibrations import fitting
from tests.in_process import ended
from tests.stage_scripts import Stages
from tests.storages import files_of_at_most

GENERATIONS = 4


class Preempted(BaseException):
    """The machine of the task is taken away."""


def inputs_of(stages: Stages) -> Inputs:
    files = RunFiles.of(read_stage_context(stages.environment(TASK_INDEX=0)))
    return Inputs(files, files.read_manifest())


def result_of(stages: Stages) -> Path:
    return stages.run_folder / "runner-artifacts" / "result_0000.pkl"


def checkpoint_of(stages: Stages) -> Path:
    return result_of(stages).with_name("checkpoint_0000.pkl")


def run_folder_files(stages: Stages) -> list[str]:
    return sorted(path.name for path in (stages.run_folder / "runner-artifacts").iterdir())


@pytest.fixture
def built(tmp_path, data):
    """A calibration on the engine, built."""

    def build(name: str) -> Stages:
        stages = Stages(
            tmp_path / name, fitting("SMC", num_particles=30, num_generations=GENERATIONS), ENGINE="cpu"
        )
        (tmp_path / name / "forecast" / "data" / "observed.csv").write_text(data)
        assert ended(stages, "builder")[0] == 0
        return stages

    return build


@pytest.fixture(autouse=True)
def every_generation(monkeypatch, caplog):
    monkeypatch.setattr(checkpoint_files, "SECONDS_BETWEEN", 0)
    caplog.set_level(logging.INFO)


def preempt(stages: Stages, after: int, monkeypatch) -> None:
    """Run stage B until a generation is whole and its checkpoint written."""
    write = CheckpointFile.write

    def write_and_end(self, checkpoint):
        write(self, checkpoint)
        if checkpoint.generations[-1].number == after:
            raise Preempted

    with monkeypatch.context() as patch, contextlib.suppress(Preempted):
        patch.setattr(CheckpointFile, "write", write_and_end)
        ended(stages, "runner", TASK_INDEX=0)


@pytest.mark.parametrize("after", range(GENERATIONS))
def test_a_preempted_calibration_goes_on_and_its_result_is_the_same_to_the_byte(
    built, monkeypatch, caplog, after
):
    whole, interrupted = built("whole"), built("interrupted")
    assert ended(whole, "runner", TASK_INDEX=0)[0] == 0

    preempt(interrupted, after, monkeypatch)
    left = run_folder_files(interrupted)
    caplog.clear()
    code, _ = ended(interrupted, "runner", TASK_INDEX=0)

    assert left == ["checkpoint_0000.pkl"]
    assert code == 0
    assert f"goes on after generation {after}" in caplog.text
    assert run_folder_files(interrupted) == run_folder_files(whole) == ["result_0000.pkl"]
    results = [
        (each.run_folder / "runner-artifacts" / "result_0000.pkl").read_bytes()
        for each in (whole, interrupted)
    ]
    assert results[0] == results[1]


def _cut(data: bytes) -> bytes:
    return data[:-10]


def _changed(data: bytes) -> bytes:
    return data[:-10] + bytes([data[-10] ^ 1]) + data[-9:]


def _of_another_version(data: bytes) -> bytes:
    return data.replace(b"checkpoint 1\n", b"checkpoint 9\n", 1)


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (_cut, "cut short or changed"),
        (_changed, "cut short or changed"),
        (lambda data: b"", "cut short, before its header"),
        (_of_another_version, "of another version of the code"),
    ],
    ids=["cut", "changed", "empty", "of another version"],
)
def test_a_checkpoint_that_cannot_be_used_is_ignored_with_one_line(built, monkeypatch, bend, reason):
    stages = built("run")
    preempt(stages, 1, monkeypatch)
    path = checkpoint_of(stages)
    path.write_bytes(bend(path.read_bytes()))

    code, said = ended(stages, "runner", TASK_INDEX=0)

    assert code == 0
    [line] = [line for line in said if "checkpoint" in line]
    assert line == f"{path}: {reason}; the calibration starts from the beginning"
    assert run_folder_files(stages) == ["result_0000.pkl"]


def test_a_checkpoint_of_another_input_or_of_another_kind_is_ignored(built, monkeypatch, caplog):
    stages = built("run")
    preempt(stages, 1, monkeypatch)
    inputs = inputs_of(stages)
    file = CheckpointFile(inputs, 0)
    path = checkpoint_of(stages)
    checkpoint, digest = file.read(), inputs.digests[0]
    assert [each.number for each in checkpoint.generations] == [0, 1]

    path.write_bytes(encode_checkpoint(checkpoint, 0, "0" * 64))
    of_another = file.read()
    assert ended(stages, "runner", TASK_INDEX=0)[0] == 0
    result = path.with_name("result_0000.pkl").read_bytes()
    path.write_bytes(result.replace(b"result 2\n", b"checkpoint 1\n", 1))
    of_another_kind = file.read()

    assert (of_another, of_another_kind) == (None, None)
    assert "made from another input; the calibration starts from the beginning" in caplog.text
    assert "it contains another kind of record; the calibration starts from the beginning" in caplog.text
    assert digest.encode() in result


def test_force_starts_from_the_beginning_but_its_retry_goes_on(built, monkeypatch, caplog):
    stages = built("run")
    preempt(stages, 1, monkeypatch)
    assert ended(stages, "runner", TASK_INDEX=0, FORCE=1)[0] == 0
    assert "goes on after" not in caplog.text
    preempt_forced = {"FORCE": 1, "BATCH_TASK_RETRY_ATTEMPT": 1}

    with monkeypatch.context() as patch:
        patch.setattr(
            stages, "variables", stages.variables | {key: str(v) for key, v in preempt_forced.items()}
        )
        preempt(stages, 2, monkeypatch)
        assert ended(stages, "runner", TASK_INDEX=0)[0] == 0

    assert "goes on after generation 2" in caplog.text


def test_a_checkpoint_beside_a_finished_result_is_removed_and_stage_c_does_not_see_it(built, monkeypatch):
    stages = built("run")
    preempt(stages, 2, monkeypatch)
    path = checkpoint_of(stages)
    checkpoint = path.read_bytes()
    assert ended(stages, "runner", TASK_INDEX=0)[0] == 0
    path.write_bytes(checkpoint)  # as a task leaves it that ends right after its result

    tables, _ = ended(stages, "output")
    again, _ = ended(stages, "runner", TASK_INDEX=0)

    assert (tables, again) == (0, 0)
    assert run_folder_files(stages) == ["result_0000.pkl"]


def test_a_checkpoint_that_does_not_fit_on_the_disk_costs_a_warning_and_leaves_nothing(built, monkeypatch):
    stages, write = built("run"), CheckpointFile.write

    def write_on_a_full_disk(self, checkpoint):
        with files_of_at_most(1000):
            write(self, checkpoint)
        assert run_folder_files(stages) == []

    monkeypatch.setattr(CheckpointFile, "write", write_on_a_full_disk)
    code, said = ended(stages, "runner", TASK_INDEX=0)

    assert code == 0
    lines = [line for line in said if "another attempt would start from an earlier generation than" in line]
    assert [line[-1] for line in lines] == [str(number) for number in range(GENERATIONS)]
    assert run_folder_files(stages) == ["result_0000.pkl"]


def test_two_attempts_at_once_end_with_one_result_that_either_would_have(built, monkeypatch):
    alone, twice = built("alone"), built("twice")
    assert ended(alone, "runner", TASK_INDEX=0)[0] == 0
    write, others = CheckpointFile.write, []

    def write_and_run_another(self, checkpoint):
        write(self, checkpoint)
        if checkpoint.generations[-1].number == 1 and not others:
            others.append(True)
            others.append(ended(twice, "runner", TASK_INDEX=0))  # goes on from here, and ends first

    monkeypatch.setattr(CheckpointFile, "write", write_and_run_another)
    code, _ = ended(twice, "runner", TASK_INDEX=0)

    assert (code, others[1][0]) == (0, 0)
    assert run_folder_files(twice) == ["result_0000.pkl"]
    assert result_of(twice).read_bytes() == result_of(alone).read_bytes()
