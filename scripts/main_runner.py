"""Stage B: one input becomes one result.

    EXECUTION_MODE=local EXP_ID=... RUN_ID=... TASK_INDEX=0 python scripts/main_runner.py

TASK_INDEX chooses an input. A task of a Batch job has BATCH_TASK_INDEX instead, and pending.txt
says which inputs are its own. An input that has a valid result already is left alone, unless FORCE=1.
"""

import logging
import sys

from pipeline.artifacts import MANIFEST, Manifest, RunFiles
from pipeline.environment import StageContext
from pipeline.failures import UserError
from pipeline.stage import run_stage
from pipeline.storage import open_storage
from pipeline.summary import Stopwatch

log = logging.getLogger("pipeline")


def run_task(context: StageContext) -> None:
    """Run the inputs of one task."""
    files = RunFiles(open_storage(context), context.in_prefix, context.out_prefix)
    manifest = files.read_manifest()
    for index in _inputs(context, files, manifest):
        _run_input(index, context, files, manifest)


def _inputs(context: StageContext, files: RunFiles, manifest: Manifest) -> list[int]:
    if context.task_index is not None:
        if context.task_index >= manifest.num_workloads:
            last = manifest.num_workloads - 1
            raise UserError(f"TASK_INDEX={context.task_index}: {MANIFEST} names the inputs 0 to {last}")
        return [context.task_index]
    if context.batch_task_index is None:
        raise UserError(
            "neither TASK_INDEX nor BATCH_TASK_INDEX is set; set TASK_INDEX=0 for the first input"
        )
    return files.inputs_of_task(context.batch_task_index, manifest)


def _run_input(index: int, context: StageContext, files: RunFiles, manifest: Manifest) -> None:
    if not context.force and files.has_result(index, manifest):
        log.info("result %d is there already; FORCE=1 makes it anew", index)
        return
    stopwatch = Stopwatch()
    name = f"runner_{index:0{manifest.width}d}"
    try:
        workload = files.read_workload(index, manifest)
        log.info("input %d: %s", index, workload.population)
        from modeling.suites import run  # after the cheap checks: it loads the simulator

        result = run(workload)
        path = files.write_result(result, files.digest_of_input(index), manifest)
    except UserError as error:
        files.write_summary(name, stopwatch.summary(status="failed", error=str(error), task_index=index))
        raise
    trajectories = result.trajectories.count if result.trajectories else 0
    files.write_summary(
        name,
        stopwatch.summary(
            status="done",
            task_index=index,
            population=result.population,
            trajectories=trajectories,
            simulations=result.simulations or trajectories,
            stopped_by=result.stopped_by,
            retry_attempt=context.retry_attempt,
        ),
    )
    log.info("wrote %s", path)


if __name__ == "__main__":
    sys.exit(run_stage("runner", run_task))
