"""What stage C makes of the results of a run, in a folder: tables, charts, headline and report.

main_output.py publishes the folder; the event-driven lane (services/) hands it to the person who uploaded.
"""

import gc
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeling.failures import UserError
from modeling.run_names import CHARTS, HEADLINE, REPORT
from pipeline.artifacts import RunFiles
from pipeline.input_files import Inputs
from pipeline.input_names import MOST_IN_A_LINE, in_a_line, read_input_names, unknown_input
from pipeline.manifest import Manifest
from pipeline.metadata import RunRecord
from pipeline.pickles import DamagedResult
from pipeline.result_files import Results, finished_inputs

if TYPE_CHECKING:
    from modeling.outputs.collect import AnyCollector, Collected, Collector
    from modeling.outputs.weekly_collect import WeeklyCollected
    from modeling.vocabulary import Output

log = logging.getLogger("pipeline")


@dataclass(frozen=True)
class Written:
    """What is in the folder, why each missing input is missing, and the rows of the headline."""

    collected: "Collected | WeeklyCollected"
    missing: dict[int, str]
    headline: list


def write_output_files(
    files: RunFiles, record: RunRecord, output: "Output", folder: Path, *, allow_partial: bool
) -> Written:
    """Write tables, charts, headline and report of a run to an empty folder.

    Parameters
    ----------
    record : RunRecord
        What the summaries say; the names of missing inputs are added.
    allow_partial : bool
        Whether results may be missing, as long as one is there.

    Raises
    ------
    UserError
        Results are missing, or of another version of the code.
    """
    from modeling.outputs.collect import AnyCollector

    collector = AnyCollector(output, folder)
    missing = collect(files, collector, record, allow_partial)
    collected = collector.finish()
    return Written(collected, missing, write_collected(folder, collected, missing, record))


def load_run_output(files: RunFiles, folder: Path, output_file: Path | None) -> "Output":
    """Return an output configuration: that of a file, else that of the run.

    Parameters
    ----------
    folder : Path
        Where the run's file is put; it does not exist yet.
    """
    from modeling.vocabulary.experiment import InvalidExperiment, load_output

    folder.mkdir()
    (folder / "model.yaml").write_text("model: {}\n")  # a configuration folder must have one; it is not used
    if output := files.read_config(files.in_prefix).get("output"):
        (folder / "output.yaml").write_bytes(output)
    try:
        return load_output(folder, output_file)
    except InvalidExperiment:
        raise
    except UserError as error:
        config = files.storage.get_path(f"{files.in_prefix}config")
        raise UserError(str(error).replace(str(folder), config)) from None


# -- results


def collect(
    files: RunFiles, collector: "AnyCollector | Collector", record: RunRecord, allow_partial: bool
) -> dict[int, str]:
    """Feed every result to the collector; return why each missing one is missing, by input."""
    manifest, total = record.manifest, record.manifest.num_workloads
    inputs = Inputs(files, manifest)
    finished = finished_inputs(files, manifest, files.in_prefix)
    missing = {index: record.reason(index) for index in range(total) if index not in finished}
    record.names = read_input_names(inputs, missing)
    _refuse_missing(record, missing, allow_partial)
    if unusable := _feed(collector, Results(inputs), sorted(finished), allow_partial):
        missing |= unusable
        record.names = read_input_names(inputs, sorted(missing))
        _refuse_missing(record, missing, allow_partial)
    if len(missing) == total:
        raise UserError(f"none of the {total} results exists; run stage B (runner) first")
    return missing


def _feed(
    collector: "AnyCollector | Collector", results: Results, finished: list[int], allow_partial: bool
) -> dict[int, str]:
    """Feed results to the collector; remove damaged ones, and return by input why it cannot be used."""
    unusable, damaged = {}, []
    for index, result in results.read_many(finished):
        if isinstance(result, UserError):
            unusable[index] = str(result)
            damaged += [index] if isinstance(result, DamagedResult) else []
        elif allow_partial or not unusable:
            collector.add(result)  # else the stage will fail, and only looks for what else is wrong
        result = None  # before the next one is loaded: each may be as large as all the rest
    for index in damaged:  # only now: a foreign result ends the stage, and must find everything untouched
        results.delete(index)
        unusable[index] += f"; it was removed, and `{_run_again(results.manifest)}` computes it again"
    return unusable


def _run_again(manifest: Manifest) -> str:
    return f"invoke run --exp-id {manifest.exp_id} --run-id {manifest.run_id}"


def _refuse_missing(record: RunRecord, missing: dict[int, str], allow_partial: bool) -> None:
    if not missing:
        return
    number, total = len(missing), record.manifest.num_workloads
    first = min(missing)
    named = in_a_line([record.name(index) for index in sorted(missing)[:MOST_IN_A_LINE]], number)
    if not allow_partial:
        raise UserError(
            f"{number:,} of {total:,} results are missing or wrong ({named}); "
            f"{unknown_input(first)}: {missing[first]}; "
            "run them again, or set ALLOW_PARTIAL_RESULTS=1 (invoke: --allow-partial)"
        )
    log.warning("continuing without %s of %s results: %s", f"{number:,}", f"{total:,}", named)


# -- charts and report


def write_collected(
    folder: Path, collected: "Collected | WeeklyCollected", missing: dict[int, str], record: RunRecord
) -> list:
    """Write charts, report and headline beside the tables; return the headline."""
    from modeling.outputs.weekly_collect import WeeklyCollected

    for note in collected.notes:
        if note not in record.warnings:  # stage A has said it
            log.warning("%s", note)
    is_weekly = isinstance(collected, WeeklyCollected)
    shown = (_report_weekly if is_weekly else _report_populations)(folder, collected, missing, record)
    shown |= {"missing": sorted(missing), **record.described(missing)}
    (folder / HEADLINE).write_text(json.dumps(shown, indent=1))
    return shown["headline"]


def _report_weekly(
    folder: Path, collected: "WeeklyCollected", missing: dict[int, str], record: RunRecord
) -> dict[str, Any]:
    """Write the report of a weekly forecast; return what headline.json says of it."""
    from modeling.outputs.weekly_collect import weekly_headline, weekly_left_out
    from modeling.outputs.weekly_report import write_weekly_report

    rows = weekly_headline(collected.result)
    write_weekly_report(folder / REPORT, record.facts(collected, missing, rows), collected.result)
    left_out = weekly_left_out(collected.result, rows)
    return {"headline": rows, "left_out_populations": left_out, "left_out_dates": 0}


def _report_populations(
    folder: Path, collected: "Collected", missing: dict[int, str], record: RunRecord
) -> dict[str, Any]:
    """Write charts and report of simulations or calibrations; return what headline.json says of them."""
    from modeling.outputs.headline import headline, left_out, left_out_dates

    rows = headline(collected.panels)
    _draw(folder, collected, missing, rows, record)
    return {
        "headline": rows,
        "left_out_populations": left_out(collected.panels, rows),
        "left_out_dates": left_out_dates(collected.panels, rows),
    }


def _draw(
    folder: Path, collected: "Collected", missing: dict[int, str], rows: list, record: RunRecord
) -> None:
    """Draw a chart for each population and write the report."""
    from modeling.outputs.charts import fan_chart
    from modeling.outputs.posterior_charts import posterior_chart
    from modeling.outputs.report import write_report

    charts, posteriors = {}, {}
    (folder / CHARTS).mkdir()
    gc.freeze()  # what exists now is kept, so that each collection below takes no time
    try:
        for panel in collected.panels:
            charts[panel.population] = folder / CHARTS / f"{panel.population}.png"
            fan_chart(panel, charts[panel.population])
            if panel.posteriors:
                posteriors[panel.population] = folder / CHARTS / f"{panel.population}-posterior.png"
                posterior_chart(panel, posteriors[panel.population])
            gc.collect()  # figures refer to themselves, and a dozen of them are as large as all the rest
    finally:
        gc.unfreeze()  # a service goes on to the next run
    facts = record.facts(collected, missing, rows)
    write_report(folder / REPORT, facts, collected.panels, charts, posteriors)
