"""Stage B: one input becomes one result.

    EXECUTION_MODE=local EXP_ID=... RUN_ID=... TASK_INDEX=0 python scripts/main_runner.py

TASK_INDEX chooses an input. A task of a Batch job has BATCH_TASK_INDEX instead, and the pending
file (PENDING_FILE, or the one that the manifest names) says which inputs are its own. An input that
has a valid result already is left alone, unless FORCE=1.
"""

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import MANIFEST, RunFiles
from pipeline.environment import StageContext
from pipeline.failures import TemporaryFault, UserError
from pipeline.forecast_pack import custom_code
from pipeline.input_names import input_name, name_in_list, unknown_input
from pipeline.logs import counted, one_line
from pipeline.manifest import Manifest
from pipeline.pickles import ForeignResult
from pipeline.stage import run_stage
from pipeline.summary import Stopwatch

if TYPE_CHECKING:
    from modeling.workload import Result

log = logging.getLogger("pipeline")

MOST_TIDIED = 1000  # inputs; in larger runs only stages A and C remove files that killed stages left


def run_task(context: StageContext) -> None:
    """Run the inputs of one task; one that is wrong does not keep the others from their results."""
    files = RunFiles.of(context)
    manifest = files.read_manifest()
    digests = files.digests(manifest)
    if manifest.num_workloads <= MOST_TIDIED:
        files.remove_left_files()
    indices = _inputs(context, files, manifest)
    failed: dict[int, Exception] = {}
    with custom_code(context, files, manifest):
        for index in indices:
            try:
                _run_input(index, context, files, manifest, digests)
            except TemporaryFault:
                raise  # of the storage, most likely: the others would wait for it in vain, too
            except Exception as error:
                failed[index] = error
    if failed:
        raise _failure(failed, len(indices))


def _failure(failed: dict[int, Exception], number: int) -> Exception:
    """Return what to raise for the inputs that failed: a bug keeps its traceback, mistakes become one."""
    bugs = [error for error in failed.values() if not isinstance(error, UserError)]
    if bugs or len(failed) == 1:
        return (bugs or list(failed.values()))[0]
    reasons = "; ".join(str(error) for error in failed.values())  # each names its input
    return UserError(f"{len(failed)} of {counted(number, 'input')} failed. {reasons}")


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
    if context.pending_file:
        manifest = files.pending_of_job(context.pending_file, manifest, context.workloads_per_task)
    return files.inputs_of_task(context.batch_task_index, manifest)


def _run_input(
    index: int, context: StageContext, files: RunFiles, manifest: Manifest, digests: list[str]
) -> None:
    name = f"runner_{index:0{manifest.width}d}"
    made = {"retry_attempt": context.retry_attempt, **context.made_with("runner")}
    if context.task_index is None:
        made["batch_task_index"] = context.batch_task_index  # Batch tries all inputs of it again together
    if not context.force and files.has_result(index, manifest, digests[index]):
        log.info("result %d is there already; FORCE=1 (invoke: --force) makes it anew", index)
        if files.read_summary(name).get("status") != "done":
            _write_lost_summary(name, index, files, manifest, digests, made)
        return
    stopwatch, called = Stopwatch(), ""
    try:
        workload = files.read_workload(index, manifest, digests[index])
        called = input_name(workload)
        log.info("%s", called)
        from modeling.suites import run  # after the cheap checks: it loads the simulator

        result = run(workload)
        path = files.write_result(result, digests[index], manifest)
    except Exception as error:
        said = str(error) if isinstance(error, (UserError, TemporaryFault)) else f"a bug: {error!r}"
        said = one_line(said)
        called = called or name_in_list(files, manifest, index) or unknown_input(index)
        summary = stopwatch.summary(status="failed", error=said, task_index=index, input=called, **made)
        # the storage may be what failed: its second failure must not hide the first
        with contextlib.suppress(UserError, TemporaryFault, OSError):
            files.write_summary(name, summary)
        if (named := _naming(called, error)) is not error:
            raise named from None
        raise
    files.write_summary(name, stopwatch.summary(**_facts(index, result), **made))
    log.info("wrote %s", path)


def _naming(called: str, error: Exception) -> Exception:
    """Return the failure of an input with the input's name; its exit code is kept."""
    for kind in (UserError, TemporaryFault):
        if isinstance(error, kind):
            return kind(f"{called}: {error}")
    log.error("%s failed", called)  # a bug keeps its traceback, and a full disk its message
    return error


def _write_lost_summary(
    name: str, index: int, files: RunFiles, manifest: Manifest, digests: list[str], made: dict[str, Any]
) -> None:
    """Write the summary of a result whose task died before writing one; its usage is unknown."""
    stopwatch = Stopwatch()
    with contextlib.suppress(ForeignResult):
        result = files.read_result(index, manifest, digests)
        files.write_summary(name, stopwatch.summary(**_facts(index, result), **made))


def _facts(index: int, result: "Result") -> dict[str, Any]:
    """Return what a summary tells of a result."""
    trajectories = result.trajectories.count if result.trajectories else 0
    return {
        "status": "done",
        "task_index": index,
        "population": result.population,
        "trajectories": trajectories,
        "simulations": result.simulations or trajectories,
        "stopped_by": result.stopped_by,
    }


if __name__ == "__main__":
    sys.exit(run_stage("runner", run_task))
