"""Stage C: the results stream into tables, charts and a report.

    EXECUTION_MODE=local EXP_ID=... RUN_ID=... python scripts/main_output.py

A missing result ends the stage, unless ALLOW_PARTIAL_RESULTS=1: then the report names it. A damaged result
is removed, and then counts as missing. A result of another version of the code ends the stage; nothing is
removed. Everything is written to a temporary folder first, and published when it is complete.
"""

import gc
import json
import logging
import sys
from pathlib import Path

from pipeline.artifacts import RunFiles
from pipeline.environment import StageContext
from pipeline.experiment_files import uploaded_output_file
from pipeline.failures import UserError
from pipeline.forecast_pack import chosen_output_file
from pipeline.input_files import Inputs
from pipeline.input_names import MOST_IN_A_LINE, in_a_line, read_input_names, unknown_input
from pipeline.logs import counted
from pipeline.manifest import Manifest
from pipeline.metadata import RunRecord, read_run_record
from pipeline.pickles import DamagedResult
from pipeline.result_files import Results, finished_inputs
from pipeline.stage import run_stage
from pipeline.summary import Stopwatch, file_time
from pipeline.temporary import temporary_folder

log = logging.getLogger("pipeline")


def write_outputs(context: StageContext) -> None:
    """Write the outputs of a run, then what it was made with and what it took."""
    from modeling.outputs.collect import Collector

    stopwatch = Stopwatch()
    files = RunFiles.of(context)
    manifest = files.read_manifest()
    files.remove_left_files()
    record = read_run_record(files, manifest)
    with temporary_folder("outputs") as work:
        outputs = work / "outputs"
        outputs.mkdir()
        collector = Collector(_output_configuration(context, files, manifest, work / "config"), outputs)
        missing = _collect(context, files, manifest, collector, record)
        collected = collector.finish()
        headline = _write_report(outputs, collected, missing, record)
        prefix = files.new_output_prefix(file_time())
        published = files.publish_outputs(prefix, outputs)
    place = files.storage.get_path(prefix)
    summary = stopwatch.summary(
        status="done",
        outputs=place,
        files=[name for name, _ in published],
        num_results=collected.results,
        missing=sorted(missing),
        **record.described(missing),
        headline=headline,
        retry_attempt=context.retry_attempt,
        **context.made_with("output"),
    )
    summary = files.write_summary("output", summary)
    files.write_metadata(record.metadata(context, summary))
    log.info("%s, %s: %s", counted(collected.results, "result"), counted(len(published), "file"), place)


def _output_configuration(context: StageContext, files: RunFiles, manifest: Manifest, folder: Path):
    """Return the output configuration: that of OUTPUT_CONFIG_FILE, else that of the run."""
    with (
        uploaded_output_file(context, files) as asked,
        chosen_output_file(asked, files, manifest) as chosen,
    ):
        return _load_configuration(chosen, files, manifest, folder)


def _load_configuration(context: StageContext, files: RunFiles, manifest: Manifest, folder: Path):
    from modeling.vocabulary.experiment import InvalidExperiment, load_output

    folder.mkdir()
    (folder / "model.yaml").write_text("model: {}\n")  # a configuration folder must have one; it is not used
    if output := files.read_config(files.in_prefix).get("output"):
        (folder / "output.yaml").write_bytes(output)
    try:
        return load_output(folder, _chosen_output_file(context, manifest))
    except InvalidExperiment:
        raise
    except UserError as error:
        config = files.storage.get_path(f"{files.in_prefix}config")
        raise UserError(str(error).replace(str(folder), config)) from None


def _chosen_output_file(context: StageContext, manifest: Manifest) -> Path | None:
    """Return the file that replaces the run's; None where the run has it and the repository is not here."""
    try:
        return context.output_config_path()
    except UserError:
        if context.output_config_file == manifest.output_config_file:
            return None
        raise


def _collect(
    context: StageContext, files: RunFiles, manifest: Manifest, collector, record: RunRecord
) -> dict[int, str]:
    """Feed every result to the collector; return why each missing one is missing, by input."""
    total = manifest.num_workloads
    if context.num_tasks not in (None, total):
        raise UserError(f"NUM_TASKS={context.num_tasks}, but the manifest names {total} inputs")
    inputs = Inputs(files, manifest)
    finished = finished_inputs(files, manifest, files.in_prefix)
    missing = {index: record.reason(index) for index in range(total) if index not in finished}
    record.names = read_input_names(inputs, missing)
    _refuse_missing(context, record, missing)
    if unusable := _feed(collector, Results(inputs), sorted(finished), context.allow_partial):
        missing |= unusable
        record.names = read_input_names(inputs, sorted(missing))
        _refuse_missing(context, record, missing)
    if len(missing) == total:
        raise UserError(f"none of the {total} results exists; run stage B (runner) first")
    return missing


def _feed(collector, results: Results, finished: list[int], allow_partial: bool) -> dict[int, str]:
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


def _refuse_missing(context: StageContext, record: RunRecord, missing: dict[int, str]) -> None:
    if not missing:
        return
    number, total = len(missing), record.manifest.num_workloads
    first = min(missing)
    named = in_a_line([record.name(index) for index in sorted(missing)[:MOST_IN_A_LINE]], number)
    if not context.allow_partial:
        raise UserError(
            f"{number:,} of {total:,} results are missing or wrong ({named}); "
            f"{unknown_input(first)}: {missing[first]}; "
            "run them again, or set ALLOW_PARTIAL_RESULTS=1 (invoke: --allow-partial)"
        )
    log.warning("continuing without %s of %s results: %s", f"{number:,}", f"{total:,}", named)


def _write_report(folder: Path, collected, missing: dict[int, str], record: RunRecord) -> list:
    """Write charts, report and headline beside the tables; return the headline."""
    from modeling.outputs.headline import headline, left_out, left_out_dates
    from modeling.run_names import HEADLINE

    for note in collected.notes:
        log.warning("%s", note)
    rows = headline(collected.panels)
    _draw(folder, collected, missing, rows, record)
    shown = {
        "headline": rows,
        "left_out_populations": left_out(collected.panels, rows),
        "left_out_dates": left_out_dates(collected.panels, rows),
        "missing": sorted(missing),
        **record.described(missing),
    }
    (folder / HEADLINE).write_text(json.dumps(shown, indent=1))
    return rows


def _draw(folder: Path, collected, missing: dict[int, str], rows: list, record: RunRecord) -> None:
    """Draw a chart for each population and write the report."""
    from modeling.outputs.charts import fan_chart
    from modeling.outputs.posterior_charts import posterior_chart
    from modeling.outputs.report import write_report
    from modeling.run_names import CHARTS, REPORT

    charts, posteriors = {}, {}
    (folder / CHARTS).mkdir()
    gc.freeze()  # what exists now is kept, so that each collection below takes no time
    for panel in collected.panels:
        charts[panel.population] = folder / CHARTS / f"{panel.population}.png"
        fan_chart(panel, charts[panel.population])
        if panel.posteriors:
            posteriors[panel.population] = folder / CHARTS / f"{panel.population}-posterior.png"
            posterior_chart(panel, posteriors[panel.population])
        gc.collect()  # figures refer to themselves, and a dozen of them are as large as all the rest
    facts = record.facts(collected, missing, rows)
    write_report(folder / REPORT, facts, collected.panels, charts, posteriors)


if __name__ == "__main__":
    sys.exit(run_stage("output", write_outputs))
