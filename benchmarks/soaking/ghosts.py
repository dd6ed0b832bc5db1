"""Tasks run a second time while they run: what is left of a machine that was only thought to be lost."""

import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from measuring import ROOT, environment

from soaking.disturbances import PASSING_FAULT
from soaking.outcome import Outcome
from soaking.pipeline_cloud import PipelineCloud, stage_of

SHARE, LEAST = 0.02, 2  # of the tasks
LOOK_SECONDS = 0.5


@contextmanager
def ghosts(pipeline: PipelineCloud, outcome: Outcome, tasks: int, seed: int) -> Iterator[None]:
    """Run some of the tasks twice until the block ends, one after the other, and count them by exit code."""
    is_over = threading.Event()
    wanted = max(LEAST, round(SHARE * tasks))
    thread = threading.Thread(target=_haunt, args=(pipeline, outcome, wanted, random.Random(seed), is_over))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _haunt(
    pipeline: PipelineCloud, outcome: Outcome, wanted: int, draw: random.Random, is_over: threading.Event
) -> None:
    while outcome.ghosts.total() < wanted and not is_over.wait(LOOK_SECONDS):
        for name, job in pipeline.jobs().items():
            if stage_of(name) != "runner" or job["status"]["state"] != "RUNNING":
                continue
            at_work = [task["name"].rpartition("/")[2] for task in pipeline.tasks(name, "RUNNING")]
            if at_work:
                exit_code, said = _run(pipeline, job, draw.choice(at_work))
                outcome.ghosts[exit_code] += 1
                if exit_code not in (0, PASSING_FAULT):
                    outcome.wrong.append(f"a task that was run twice ended with {exit_code}: {said}")


def _run(pipeline: PipelineCloud, job: dict, index: str) -> tuple[int, str]:
    """Start what the job starts, with its variables and those that Batch would set."""
    with tempfile.TemporaryDirectory() as folder:
        by_batch = {
            "BATCH_TASK_INDEX": index,
            "LOCAL_DATA_PATH": folder,
            "STORAGE_EMULATOR_HOST": pipeline.cloud.storage,
            "GOOGLE_CLOUD_PROJECT": pipeline.settings.project_id,
            "PYTHON": sys.executable,
        }
        done = subprocess.run(
            ["bash", ROOT / "scripts" / "run_runner.sh"],
            env=environment(**job["taskGroups"][0]["taskSpec"]["environment"]["variables"], **by_batch),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return done.returncode, done.stdout[-600:]
