"""Tasks run a second time while they run, as on a machine that Batch calls lost but that keeps running."""

import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from measuring import ROOT, environment

from soaking.disturbances import LEAST_DUPLICATES, TEMPORARY_FAULT
from soaking.outcome import Outcome
from soaking.pipeline_cloud import PipelineCloud, stage_of

LOOK_SECONDS = 0.5


@contextmanager
def duplicate_tasks(pipeline: PipelineCloud, outcome: Outcome, seed: int) -> Iterator[None]:
    """Run as many tasks twice as the outcome wants, until the block ends; count them by exit code."""
    is_over = threading.Event()
    words = (pipeline, outcome, random.Random(seed), is_over)
    thread = threading.Thread(target=_run_duplicates, args=words)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _run_duplicates(
    pipeline: PipelineCloud, outcome: Outcome, draw: random.Random, is_over: threading.Event
) -> None:
    # in parallel: a small run ends before a second one could start
    with ThreadPoolExecutor(LEAST_DUPLICATES) as pool:
        while (left := outcome.duplicates_wanted - outcome.duplicates.total()) and not is_over.wait(
            LOOK_SECONDS
        ):
            running = list(_running_tasks(pipeline))
            chosen = draw.sample(running, min(left, LEAST_DUPLICATES, len(running)))
            for exit_code, output in pool.map(lambda task: _run(pipeline, *task), chosen):
                outcome.duplicates[exit_code] += 1
                if exit_code not in (0, TEMPORARY_FAULT):
                    outcome.wrong.append(f"a task that was run twice ended with {exit_code}: {output}")


def _running_tasks(pipeline: PipelineCloud) -> Iterator[tuple[dict, str]]:
    """Yield job and index of every running task of stage B."""
    for name, job in pipeline.jobs().items():
        if stage_of(name) == "runner" and job["status"]["state"] == "RUNNING":
            for task in pipeline.tasks(name, "RUNNING"):
                yield job, task["name"].rpartition("/")[2]


def _run(pipeline: PipelineCloud, job: dict, index: str) -> tuple[int, str]:
    """Run the job's command with its variables and those that Batch sets; return exit code and output."""
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
