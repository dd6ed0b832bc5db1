"""Tasks run a second time while they run: what is left of a machine that was only thought to be lost."""

import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from measuring import ROOT, environment

from soaking.disturbances import LEAST_GHOSTS, PASSING_FAULT
from soaking.outcome import Outcome
from soaking.pipeline_cloud import PipelineCloud, stage_of

LOOK_SECONDS = 0.5


@contextmanager
def ghosts(pipeline: PipelineCloud, outcome: Outcome, seed: int) -> Iterator[None]:
    """Run as many tasks twice as the outcome wants until the block ends, and count them by exit code."""
    is_over = threading.Event()
    thread = threading.Thread(target=_haunt, args=(pipeline, outcome, random.Random(seed), is_over))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _haunt(pipeline: PipelineCloud, outcome: Outcome, draw: random.Random, is_over: threading.Event) -> None:
    # the fewest that are wanted begin at once, for a small run is over before one has followed another
    with ThreadPoolExecutor(LEAST_GHOSTS) as pool:
        while (left := outcome.ghosts_wanted - outcome.ghosts.total()) and not is_over.wait(LOOK_SECONDS):
            at_work = list(_at_work(pipeline))
            chosen = draw.sample(at_work, min(left, LEAST_GHOSTS, len(at_work)))
            for exit_code, said in pool.map(lambda task: _run(pipeline, *task), chosen):
                outcome.ghosts[exit_code] += 1
                if exit_code not in (0, PASSING_FAULT):
                    outcome.wrong.append(f"a task that was run twice ended with {exit_code}: {said}")


def _at_work(pipeline: PipelineCloud) -> Iterator[tuple[dict, str]]:
    """Yield job and index of every task of stage B that runs."""
    for name, job in pipeline.jobs().items():
        if stage_of(name) == "runner" and job["status"]["state"] == "RUNNING":
            for task in pipeline.tasks(name, "RUNNING"):
                yield job, task["name"].rpartition("/")[2]


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
