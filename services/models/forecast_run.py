"""A built run in memory: its units are calibrated and projected, and their results become tables and report.

Predicting loads only what a runner of stage B does: no vocabulary, no populations, no charts.
"""

import contextvars
import datetime
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from modeling.engine.cuda.device import CPU, device_in_use
from modeling.failures import TemporaryFault, UserError
from modeling.input_names import input_name
from modeling.plain_text import one_line
from modeling.run_names import RUNNER, SUMMARIES
from modeling.workload import Flow, ModelPlan, Simulate, Workload
from pipeline.artifacts import RunFiles
from pipeline.input_files import Inputs
from pipeline.pickles import encode_result
from pipeline.result_files import result_name
from services.models import Finished, Predicted
from services.models.forecast_files import PackedFiles

log = logging.getLogger(__name__)

UNITS = "units.json"
UNITS_ON_A_GPU = 4  # that run side by side
MOST_SHOWN = 20  # warnings in result.json; the report has more

_one_at_a_time = threading.Lock()  # charts need much memory, and freeze what exists


@dataclass(frozen=True)
class Unit:
    """A population and its inputs, or why it has none."""

    name: str
    inputs: list[int]
    refused: str = ""


def write_units(storage: PackedFiles, units: Iterable[Unit]) -> None:
    storage.save_bytes(UNITS, json.dumps([asdict(unit) for unit in units]).encode())


class BuiltRun:
    """A run that forecast_build.py has built, with the results of some shards.

    Raises
    ------
    UserError
        The content is damaged.
    """

    def __init__(self, content: bytes, *shards: bytes):
        self.storage = PackedFiles(content, *shards)
        self.files = RunFiles(self.storage, "", "")
        self.manifest = self.files.read_manifest()
        self.units = [Unit(**each) for each in json.loads(self.storage.load_bytes(UNITS))]


def warm_up() -> None:
    """Load what calibrating needs, and simulate one day of a population of a hundred."""
    import scipy.stats  # noqa: F401 - of the priors; the first request would wait a second for it

    from modeling.simulate.abc import run  # noqa: F401
    from modeling.simulate.run import run_workload

    day = datetime.date(2025, 1, 1)
    plan = ModelPlan(
        name="warm-up",
        age_groups=["all"],
        sizes=np.array([100]),
        contacts={"all": np.ones((1, 1))},
        compartments=["S", "I"],
        flows=[Flow("S", "I", "beta", "I")],
        parameters={"beta": 0.1},
        calculated=[],
        initial={"S": "default", "I": 10},
        delta_t_days=1.0,
        resample_frequency=None,
    )
    run_workload(Workload(0, 0, "warm-up", "", 0, (0,), plan, day, day, Simulate(0, 1, 1, {})))


def predict(content: bytes, first: int, count: int) -> Predicted:
    """Return the results of units `first` to `first + count - 1`.

    Raises
    ------
    Exception
        A bug in each of the units; one that only some have is logged, and named as their reason.
    """
    run = BuiltRun(content)
    inputs, made = Inputs(run.files, run.manifest), PackedFiles()
    chosen = run.units[first : first + count]
    outcomes = list(_in_turn(lambda unit: _run_unit(unit, inputs, made), chosen))
    failed = {unit.name: why for unit, (why, _) in zip(chosen, outcomes, strict=True) if why}
    bugs = [bug for _, bug in outcomes if bug]
    if bugs and len(failed) == len(chosen):
        raise bugs[0]
    return Predicted(made.packed(), failed)


def _in_turn(run: Callable[[Unit], Any], units: Sequence[Unit]) -> Iterator[Any]:
    """Yield what is made of each unit, in their order; on a GPU, several run side by side.

    A calibration's batches are too small to fill a GPU, and it waits while the host prepares them.
    """
    if device_in_use() == CPU:
        yield from map(run, units)
        return
    with ThreadPoolExecutor(min(UNITS_ON_A_GPU, max(1, len(units)))) as pool:
        # log lines find the request in the context
        started = [pool.submit(contextvars.copy_context().run, run, unit) for unit in units]
        try:
            yield from (each.result() for each in started)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_unit(unit: Unit, inputs: Inputs, made: PackedFiles) -> tuple[str, Exception | None]:
    """Run the inputs of a unit; return why it failed, "" if it did not, and the first bug."""
    failed, bug = unit.refused, None
    for index in unit.inputs:
        try:
            _run_input(index, inputs, made)
        except TemporaryFault:
            raise
        except Exception as error:
            if not isinstance(error, UserError):
                bug = bug or error
                log.exception("%s failed by a bug", unit.name)
            reason = one_line(str(error) if isinstance(error, UserError) else f"a bug: {error!r}")
            failed = failed or reason
            _save_summary(made, inputs, index, {"status": "failed", "error": reason})
    return failed, bug


def _run_input(index: int, inputs: Inputs, made: PackedFiles) -> None:
    """Run one input; its result and what the report says of it are added to the shard."""
    from modeling.simulate.run import run_workload

    workload = inputs.read(index)
    if getattr(workload.task, "functions", []):
        raise UserError(f"{input_name(workload)} has a function of its own; such functions do not run here")
    result = run_workload(workload, inputs.manifest.engine)
    name = result_name(index, inputs.manifest.width)
    made.save_bytes(name, encode_result(result, inputs.digests[index]))
    facts = {"population": result.population, "stopped_by": result.stopped_by}
    _save_summary(made, inputs, index, {"status": "done", **facts})


def _save_summary(made: PackedFiles, inputs: Inputs, index: int, facts: Mapping[str, Any]) -> None:
    """Add the summary of an input, without times: the same inputs give the same bytes."""
    name = f"{SUMMARIES}runner_{index:0{inputs.manifest.width}d}.json"
    made.save_bytes(name, json.dumps({"task_index": index, **facts}, sort_keys=True).encode())


def finish(content: bytes, shards: Sequence[Predicted], folder: Path) -> Finished:
    """Write tables, charts, headline and report to an empty folder, as stage C does, and return them.

    Raises
    ------
    UserError
        No unit has a result, one is missing without a reason, or the output configuration does not fit.
    """
    from pipeline.metadata import read_run_record
    from pipeline.outputs import load_run_output, write_output_files
    from pipeline.temporary import temporary_folder

    run = BuiltRun(content, *(shard.content for shard in shards))
    failed = {name: reason for shard in shards for name, reason in shard.failed.items()}
    if next(iter(run.storage.list_files(f"{RUNNER}result_")), None) is None:
        first = next(iter(failed), run.units[0].name)
        raise UserError(f"no population has a forecast; {first}: {failed.get(first, 'it has not been run')}")
    with _one_at_a_time, temporary_folder("forecast") as work:
        output = load_run_output(run.files, work / "config", None)
        # dates and the use of machines differ from try to try, and each must give the same files
        record = replace(read_run_record(run.files, run.manifest), stages={}, is_dated=False)
        written = write_output_files(run.files, record, output, folder, allow_partial=True)
    _refuse_unexplained(run, written.missing, failed)
    files = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    notes = [*record.warnings, *written.collected.notes, *record.cut_short]
    summary = {
        "experiment": run.manifest.exp_id,
        "workflow": run.manifest.workflow,
        "seed": run.manifest.seed,
        "engine": run.manifest.engine,
        "populations": len(run.units),
        "results": written.collected.results,
        "missing": len(written.missing),
        "warnings": [one_line(note) for note in notes[:MOST_SHOWN]],
    }
    return Finished(files, summary)


def _refuse_unexplained(run: BuiltRun, missing: Mapping[int, str], failed: Mapping[str, str]) -> None:
    """Refuse shards with a missing result, which would be missing from the forecast without a word."""
    for unit in run.units:
        lost = [index for index in unit.inputs if index in missing]
        if lost and unit.name not in failed:
            raise UserError(
                f"the results of {unit.name} are not in its shard, or are of other inputs "
                f"({one_line(missing[lost[0]])}); upload the file again"
            )
