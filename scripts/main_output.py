"""Stage C: the results stream into tables, charts and a report.

    EXECUTION_MODE=local EXP_ID=... RUN_ID=... python scripts/main_output.py

A missing result ends the stage, unless ALLOW_PARTIAL_RESULTS=1: then the report names it.
Everything is written to a temporary folder first, and published when it is whole.
"""

import logging
import sys
import tempfile
from pathlib import Path

from pipeline.artifacts import Manifest, RunFiles, describe_indices
from pipeline.environment import StageContext
from pipeline.failures import UserError
from pipeline.logs import counted
from pipeline.metadata import RunRecord, read_run_record
from pipeline.stage import run_stage
from pipeline.storage import open_storage
from pipeline.summary import Stopwatch, file_time

log = logging.getLogger("pipeline")


def write_outputs(context: StageContext) -> None:
    """Write the outputs of a run."""
    from modeling.collect import Collector
    from modeling.headline import headline

    stopwatch = Stopwatch()
    files = RunFiles(open_storage(context), context.in_prefix, context.out_prefix)
    manifest = files.read_manifest()
    record = read_run_record(files, manifest)
    with tempfile.TemporaryDirectory(prefix="outputs-") as folder:
        work = Path(folder)
        (work / "outputs").mkdir()
        collector = Collector(_output_configuration(context, files, work / "config"), work / "outputs")
        missing = _collect(context, files, manifest, collector, record)
        collected = collector.finish()
        rows = headline(collected.panels)
        _draw(work / "outputs", collected, missing, rows, record)
        prefix = files.new_output_prefix(file_time())
        published = files.publish_outputs(prefix, work / "outputs")
    place = files.storage.get_path(prefix)
    summary = stopwatch.summary(
        status="done",
        outputs=place,
        files=[name for name, _ in published],
        num_results=collected.results,
        missing=sorted(missing),
        headline=rows,
    )
    files.write_summary("output", summary)
    files.write_metadata(record.metadata(context, summary))
    results, published = counted(collected.results, "result"), counted(len(published), "file")
    log.info("%s, %s: %s", results, published, place)


def _output_configuration(context: StageContext, files: RunFiles, folder: Path):
    """Return the output configuration: OUTPUT_CONFIG_FILE's, else that of the run."""
    from modeling.experiment import load_output

    folder.mkdir()
    for name, data in files.storage.load_many(files.config_names()):
        (folder / name.rpartition("/")[2]).write_bytes(data)
    chosen = folder / context.output_config_file if context.output_config_file else None
    if chosen is not None and not chosen.is_file():
        chosen = context.output_config_path()
    return load_output(folder, chosen)


def _collect(
    context: StageContext, files: RunFiles, manifest: Manifest, collector, record: RunRecord
) -> dict[int, str]:
    """Feed every result to the collector and return what is missing, with the reason."""
    from modeling.workload import check_result

    if context.num_tasks not in (None, manifest.num_workloads):
        raise UserError(
            f"NUM_TASKS={context.num_tasks}, but the manifest names {manifest.num_workloads} inputs"
        )
    finished = files.finished(manifest)
    absent = [index for index in range(manifest.num_workloads) if index not in finished]
    missing = {index: record.reason(index) for index in absent}
    _refuse_missing(context, manifest, missing)
    for index, result in files.read_results(manifest, files.digests(manifest), sorted(finished)):
        try:
            if isinstance(result, UserError):
                raise result
            check_result(result)
        except UserError as error:
            missing[index] = str(error)
            _refuse_missing(context, manifest, missing)
            continue
        collector.add(result)
    if len(missing) == manifest.num_workloads:
        raise UserError(f"none of the {len(missing)} results is there; run stage B (runner) first")
    return missing


def _refuse_missing(context: StageContext, manifest: Manifest, missing: dict[int, str]) -> None:
    if missing and not context.allow_partial:
        first = min(missing)
        raise UserError(
            f"{len(missing)} of {manifest.num_workloads} results are missing or wrong "
            f"({describe_indices(missing)}); {first}: {missing[first]}; "
            "run them again, or set ALLOW_PARTIAL_RESULTS=1"
        )
    if missing:
        log.warning("going on without %d of %d results", len(missing), manifest.num_workloads)


def _draw(folder: Path, collected, missing: dict[int, str], rows: list, record: RunRecord) -> None:
    """Draw a chart for each population and write the report."""
    from modeling.plots import fan_chart, posterior_chart
    from modeling.report import write_report

    charts, posteriors = {}, {}
    (folder / "charts").mkdir()
    for panel in collected.panels:
        charts[panel.population] = folder / "charts" / f"{panel.population}.png"
        fan_chart(panel, charts[panel.population])
        if panel.posteriors:
            posteriors[panel.population] = folder / "charts" / f"{panel.population}-posterior.png"
            posterior_chart(panel, posteriors[panel.population])
    facts = record.facts(collected, missing, rows)
    write_report(folder / "report.html", facts, collected.panels, charts, posteriors)


if __name__ == "__main__":
    sys.exit(run_stage("output", write_outputs))
