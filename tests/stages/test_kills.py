"""A stage that is killed at any moment leaves whole files or none, and the next run makes good.

Killed at random moments of its life, and right before each change it makes to the store: few random
moments would meet the milliseconds in which it writes.
"""

import hashlib
import json
import random
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.manifest import Manifest
from pipeline.pickles import check_result_file
from pipeline.storage import FolderStorage
from tests.experiments import sampled
from tests.stage_scripts import Stages

WORKLOADS = 3
SIDE_BY_SIDE = 2
ONE_TASK = {"BATCH_TASK_INDEX": 0}  # of a Batch job that has WORKLOADS_PER_TASK=3

# Python imports this module at its start. Audit events precede what they tell of.
KILLER = """
import atexit, os, signal, sys

below, kill_before = os.environ["KILL_BELOW"], int(os.environ["KILL_BEFORE"])
changes = 0


def watch(event, arguments):
    global changes
    if event == "open":
        is_change = bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
    elif event == "os.mkdir":
        is_change = not os.path.exists(arguments[0])
    else:
        is_change = event in ("os.rename", "os.link")
    if is_change and str(arguments[0]).startswith(below):
        changes += 1
        if changes == kill_before:
            os.kill(os.getpid(), signal.SIGKILL)


def tell():
    with open(os.environ["KILL_COUNT"], "w") as file:
        file.write(str(changes))


sys.addaudithook(watch)
atexit.register(tell)
"""


@dataclass(frozen=True)
class Moment:
    """When a stage is killed: some time after its start, or before the n-th change to the store."""

    seconds: float | None = None
    change: int = 0


@dataclass(frozen=True)
class Life:
    """What a stage does that is not killed."""

    seconds: float
    changes: int

    def moments(self, rng: random.Random, in_time: int, at_changes: int) -> list[Moment]:
        times = [Moment(seconds=rng.uniform(0, self.seconds)) for _ in range(in_time)]
        chosen = rng.sample(range(1, self.changes + 1), min(at_changes, self.changes))
        return times + [Moment(change=change) for change in chosen]


class Killable:
    """A run in a folder of its own, whose stages are killed."""

    def __init__(self, folder: Path):
        self.stages = Stages(folder, sampled(), WORKLOADS_PER_TASK=str(WORKLOADS), TMPDIR=str(folder))
        self.store = FolderStorage(folder / "bucket")
        killer = folder / "killer"
        killer.mkdir()
        (killer / "sitecustomize.py").write_text(KILLER)

    def live(self, stage: str, **variables: object) -> Life:
        """Run a stage to its end."""
        begun = time.monotonic()
        process = self._start(stage, 0, variables)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        return Life(time.monotonic() - begun, int((self.stages.folder / "changes").read_text()))

    def kill(self, stage: str, moment: Moment, **variables: object) -> None:
        process = self._start(stage, moment.change, variables)
        try:
            process.communicate(timeout=120 if moment.seconds is None else moment.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def _start(self, stage: str, kill_before: int, variables: dict) -> subprocess.Popen:
        return self.stages.start(
            stage,
            **variables,
            PYTHONPATH=self.stages.folder / "killer",
            KILL_BELOW=self.store.folder,
            KILL_BEFORE=kill_before,
            KILL_COUNT=self.stages.folder / "changes",
        )

    def copy(self, folder: Path) -> "Killable":
        """Return a run of the same experiment that has come as far."""
        other = Killable(folder)
        shutil.copytree(self.store.folder, other.store.folder)
        return other

    def names(self) -> list[str]:
        """Return what the store lists, below the run."""
        listed = list(self.store.list_files(""))
        assert not [name for name in listed if ".partial-" in name]
        return [name.partition(f"{self.stages.run_folder.name}/")[2] for name in listed]

    def whole_results(self) -> set[int]:
        """Return the inputs that have a result; each must be whole."""
        digests = (self.stages.run_folder / "builder-artifacts" / "inputs.sha256").read_text().split()
        found = set()
        for name in self.names():
            if name.startswith("runner-artifacts/"):
                index = int(name.removeprefix("runner-artifacts/result_").removesuffix(".pkl"))
                data = (self.stages.run_folder / name).read_bytes()
                check_result_file(data, digests[index], name)
                found.add(index)
        return found

    def inputs(self) -> dict[str, bytes]:
        """Return the inputs and their digests; each input must match its own."""
        folder = self.stages.run_folder / "builder-artifacts"
        found = {path.name: path.read_bytes() for path in folder.glob("input*")}
        digests = found["inputs.sha256"].decode().split()
        for index, digest in enumerate(digests):
            assert hashlib.sha256(found[f"input_{index:04d}.pkl"]).hexdigest() == digest
        return found

    def whole_outputs(self) -> int:
        """Return how many output folders count; what each lists must be there, and whole."""
        lists = [name for name in self.names() if name.endswith("/files.json")]
        for name in lists:
            path = self.stages.run_folder / name
            for entry in json.loads(path.read_bytes()):
                digest = hashlib.sha256((path.parent / entry["name"]).read_bytes()).hexdigest()
                assert digest == entry["sha256"]
        return len(lists)

    def tables(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.stages.outputs().glob("*.csv.gz")}


@dataclass(frozen=True)
class Unkilled:
    """One run that nothing happened to, and copies of it after each stage."""

    built: Killable
    ran: Killable
    lives: dict[str, Life]
    tables: dict[str, bytes]


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unkilled")
    run = Killable(folder / "run")
    lives = {"builder": run.live("builder")}
    built = run.copy(folder / "built")
    lives["runner"] = run.live("runner", **ONE_TASK)
    ran = run.copy(folder / "ran")
    lives["output"] = run.live("output")
    return Unkilled(built, ran, lives, run.tables())


def each(moments: list[Moment], act) -> list:
    """Return act(number, moment) for each moment, a few at a time."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return list(pool.map(act, range(len(moments)), moments))


def test_a_killed_runner_leaves_whole_results_and_the_next_one_goes_on(unkilled, tmp_path):
    moments = unkilled.lives["runner"].moments(random.Random(1), in_time=12, at_changes=99)

    def kill(number, moment):
        run = unkilled.built.copy(tmp_path / str(number))
        run.kill("runner", moment, **ONE_TASK)
        return run, run.whole_results()

    killed = each(moments, kill)

    assert {len(results) for _, results in killed} == {0, 1, 2, 3}
    for run in {len(results): run for run, results in killed}.values():
        run.live("runner", **ONE_TASK)
        run.live("output")
        assert run.whole_results() == {0, 1, 2}
        assert run.tables() == unkilled.tables


def test_a_killed_runner_that_was_to_redo_its_results_leaves_the_old_or_the_new(unkilled, tmp_path):
    moments = unkilled.lives["runner"].moments(random.Random(2), in_time=0, at_changes=5)

    def kill(number, moment):
        run = unkilled.ran.copy(tmp_path / str(number))
        run.kill("runner", moment, FORCE=1, **ONE_TASK)
        return run.whole_results()

    killed = each(moments, kill)

    assert killed == [{0, 1, 2}] * len(moments)


def test_killed_outputs_do_not_count_and_the_next_are_the_same(unkilled, tmp_path):
    moments = unkilled.lives["output"].moments(random.Random(3), in_time=7, at_changes=8)
    moments += [Moment(change=change) for change in changes_around_the_list(unkilled.lives["output"])]

    def kill(number, moment):
        run = unkilled.ran.copy(tmp_path / str(number))
        run.kill("output", moment)
        folders = list((run.stages.run_folder / "outputs").glob("*"))
        return run, len(folders), run.whole_outputs()

    killed = each(moments, kill)

    kinds = {(folders, counted): run for run, folders, counted in killed}
    assert set(kinds) == {(0, 0), (1, 0), (1, 1)}
    for (_, counted), run in kinds.items():
        run.live("output")
        assert run.whole_outputs() == counted + 1
        assert run.tables() == unkilled.tables


def changes_around_the_list(life: Life) -> list[int]:
    """Return the last changes: files.json, the summary and the metadata, each opened and renamed."""
    return [life.changes - back for back in (5, 4, 3)]


def test_a_killed_builder_leaves_a_whole_manifest_or_none_and_the_next_completes(unkilled, tmp_path):
    moments = unkilled.lives["builder"].moments(random.Random(4), in_time=4, at_changes=6)
    moments.append(Moment(change=unkilled.lives["builder"].changes))  # the manifest's own name

    def kill_and_build_again(number, moment):
        run = Killable(tmp_path / str(number))
        run.kill("builder", moment)
        handed_over = run.stages.run_folder / "builder-artifacts" / "manifest.json"
        if handed_over.exists():
            check_manifest(run)
        run.live("builder")
        check_manifest(run)
        return run

    runs = each(moments, kill_and_build_again)

    assert len(runs) == 11
    assert all(run.inputs() == unkilled.built.inputs() for run in runs)
    runs[-1].live("runner", **ONE_TASK)
    runs[-1].live("output")
    assert runs[-1].tables() == unkilled.tables


def check_manifest(run: Killable) -> None:
    """What the manifest names must be there."""
    path = run.stages.run_folder / "builder-artifacts" / "manifest.json"
    manifest = Manifest.from_json(path.read_bytes(), str(path))
    inputs = run.inputs()
    assert manifest.num_workloads == WORKLOADS
    assert len(inputs) == WORKLOADS + 2  # and their digests, and the list of them
    assert hashlib.sha256(inputs["inputs.sha256"]).hexdigest() == manifest.inputs_sha256
    assert {"config/model.yaml", "config/modelset.yaml", "config/output.yaml"} <= set(run.names())
