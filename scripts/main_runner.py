"""Stage B: one input becomes one result.

    EXECUTION_MODE=local EXP_ID=... RUN_ID=... TASK_INDEX=0 python scripts/main_runner.py

TASK_INDEX chooses an input. A task of a Batch job has BATCH_TASK_INDEX instead; the pending file
(PENDING_FILE, or the one named in the manifest) lists its inputs. An input that has a valid result
is left alone, unless FORCE=1.
"""

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import MANIFEST, RunFiles
from pipeline.checkpoint_files import CheckpointFile
from pipeline.environment import StageContext
from pipeline.failures import TemporaryFault, UserError
from pipeline.forecast_pack import custom_code
from pipeline.input_files import Inputs, inputs_of_task, pending_of_job
from pipeline.input_names import input_name, name_in_list, unknown_input
from pipeline.logs import counted, one_line
from pipeline.manifest import Manifest
from pipeline.pickles import ForeignResult
from pipeline.result_files import Results
from pipeline.stage import run_stage
from pipeline.summary import Stopwatch

if TYPE_CHECKING:
    from modeling.forecast_records import ForecastResult
    from modeling.workload import Result

log = logging.getLogger("pipeline")

MOST_CLEANED = 1000  # inputs; in larger runs only stages A and C remove partial files of killed stages


def run_task(context: StageContext) -> None:
    """Run the inputs of one task; one that fails does not keep the others from their results."""
    files = RunFiles.of(context)
    manifest = files.read_manifest()
    inputs = Inputs(files, manifest)
    if manifest.num_workloads <= MOST_CLEANED:
        files.remove_left_files()
    indices = _chosen_inputs(context, files, manifest)
    failed: dict[int, Exception] = {}
    with custom_code(context, files, manifest):
        for index in indices:
            try:
                _run_input(index, context, inputs)
            except TemporaryFault:
                raise  # most likely of the storage: the other inputs would wait for it in vain
            except Exception as error:
                failed[index] = error
    if failed:
        raise _failure(failed, len(indices))


def _failure(failed: dict[int, Exception], number: int) -> Exception:
    """Return what to raise for failed inputs: a bug with its traceback, else one error for all mistakes."""
    bugs = [error for error in failed.values() if not isinstance(error, UserError)]
    if bugs or len(failed) == 1:
        return (bugs or list(failed.values()))[0]
    reasons = "; ".join(str(error) for error in failed.values())  # each names its input
    return UserError(f"{len(failed)} of {counted(number, 'input')} failed. {reasons}")


def _chosen_inputs(context: StageContext, files: RunFiles, manifest: Manifest) -> list[int]:
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
        manifest = pending_of_job(files, context.pending_file, manifest, context.workloads_per_task)
    return inputs_of_task(files, context.batch_task_index, manifest)


def _run_input(index: int, context: StageContext, inputs: Inputs) -> None:
    """Write the result of one input and its summary; an input that has a result is left alone."""
    results, made, checkpoint = Results(inputs), _made_with(context), CheckpointFile(inputs, index)
    if context.force and not context.retry_attempt:
        checkpoint.remove()
    if not context.force and results.has(index):
        log.info("result %d exists already; FORCE=1 (invoke: --force) computes it again", index)
        checkpoint.remove()  # of a task that ended between its result and this
        _complete_summary(index, results, made)
        return
    files, stopwatch, called = inputs.files, Stopwatch(), ""
    try:
        workload = inputs.read(index)
        called = input_name(workload)
        log.info("%s", called)
        _refuse_functions(workload, context)
        # after the cheap checks: it may load the simulator
        from modeling.suites import run
        from modeling.threads import set_usable_threads

        set_usable_threads(context.threads)
        made |= {"engine": _engine(workload, inputs.manifest.engine), "threads": context.threads}
        result = run(workload, inputs.manifest.engine, checkpoint)
        path = results.write(result)
        checkpoint.remove()
    except Exception as error:
        called = called or name_in_list(inputs, index) or unknown_input(index)
        failure = {"status": "failed", "error": _reason(error), "task_index": index, "input": called}
        # the storage may be what failed: its second failure must not hide the first
        with contextlib.suppress(UserError, TemporaryFault, OSError):
            files.write_summary(_summary_name(index, inputs.manifest), stopwatch.summary(**failure, **made))
        if (named := _with_name(called, error)) is not error:
            raise named from None
        raise
    files.write_summary(
        _summary_name(index, inputs.manifest), stopwatch.summary(**_facts(index, result), **made)
    )
    log.info("wrote %s", path)


def _engine(workload: Any, engine: str) -> str:
    """Return the engine that simulates a workload; that of its run where it is not known here."""
    if not hasattr(workload, "task"):
        return engine
    from modeling.simulate.run import engine_for

    return engine_for(workload, engine)


def _refuse_functions(workload: Any, context: StageContext) -> None:
    """Refuse source text in an input where it may not run; who may write to the bucket may forge an input."""
    functions = getattr(getattr(workload, "task", None), "functions", [])
    if functions and not context.allow_user_functions:
        raise UserError(
            f"the input has a function of its own ({functions[0].name} of {functions[0].script}), and such "
            "functions do not run where the experiment is only uploaded; name its repository in "
            "GITHUB_FORECAST_REPO, or set ALLOW_USER_FUNCTIONS=true"
        )


def _made_with(context: StageContext) -> dict[str, Any]:
    """Return what the summaries of a task say of its attempt, image and machine."""
    made = {"retry_attempt": context.retry_attempt, **context.made_with("runner")}
    if context.task_index is None:
        made["batch_task_index"] = context.batch_task_index  # Batch retries all inputs of a task together
    return made


def _summary_name(index: int, manifest: Manifest) -> str:
    return f"runner_{index:0{manifest.width}d}"


def _reason(error: Exception) -> str:
    is_known = isinstance(error, (UserError, TemporaryFault))
    return one_line(str(error) if is_known else f"a bug: {error!r}")


def _with_name(called: str, error: Exception) -> Exception:
    """Return the failure of an input with the input's name; its exit code is kept."""
    for kind in (UserError, TemporaryFault):
        if isinstance(error, kind):
            return kind(f"{called}: {error}")
    log.error("%s failed", called)  # a bug keeps its traceback, and a full disk its message
    return error


def _complete_summary(index: int, results: Results, made: dict[str, Any]) -> None:
    """Write the summary of a result whose task died before writing one; its usage is unknown."""
    name = _summary_name(index, results.manifest)
    if results.files.read_summary(name).get("status") == "done":
        return
    stopwatch = Stopwatch()
    with contextlib.suppress(ForeignResult):
        result = results.read(index)
        results.files.write_summary(name, stopwatch.summary(**_facts(index, result), **made))


def _facts(index: int, result: "Result | ForecastResult") -> dict[str, Any]:
    """Return what a summary says of a result; a forecast from surveillance data simulates nothing."""
    facts = {"status": "done", "task_index": index, "population": result.population}
    if not hasattr(result, "trajectories"):
        return facts | {"trajectories": 0, "simulations": 0, "stopped_by": ""}
    trajectories = result.trajectories.count if result.trajectories else 0
    return facts | {
        "trajectories": trajectories,
        "simulations": result.simulations or trajectories,
        "stopped_by": result.stopped_by,
    }


if __name__ == "__main__":
    sys.exit(run_stage("runner", run_task))
