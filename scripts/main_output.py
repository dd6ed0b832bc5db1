"""Stage C: the results stream into tables, charts and a report.

    EXECUTION_MODE=local EXP_ID=... RUN_ID=... python scripts/main_output.py

A missing result ends the stage, unless ALLOW_PARTIAL_RESULTS=1: then the report names it. A damaged result
is removed, and then counts as missing. A result of another version of the code ends the stage; nothing is
removed. Everything is written to a temporary folder first, and published when it is complete.
"""

import logging
import sys
from pathlib import Path

from pipeline.artifacts import RunFiles
from pipeline.environment import StageContext
from pipeline.experiment_files import uploaded_output_file
from pipeline.failures import UserError
from pipeline.forecast_pack import chosen_output_file
from pipeline.logs import counted
from pipeline.manifest import Manifest
from pipeline.metadata import read_run_record
from pipeline.outputs import load_run_output, write_output_files
from pipeline.stage import run_stage
from pipeline.summary import Stopwatch, file_time
from pipeline.temporary import temporary_folder

log = logging.getLogger("pipeline")


def write_outputs(context: StageContext) -> None:
    """Write the outputs of a run, then what it was made with and what it took."""
    stopwatch = Stopwatch()
    files = RunFiles.of(context)
    manifest = files.read_manifest()
    files.remove_left_files()
    record = read_run_record(files, manifest)
    with temporary_folder("outputs") as work:
        outputs = work / "outputs"
        outputs.mkdir()
        output = _output_configuration(context, files, manifest, work / "config")
        _check_number(context, manifest)
        written = write_output_files(files, record, output, outputs, allow_partial=context.allow_partial)
        prefix = files.new_output_prefix(file_time())
        published = files.publish_outputs(prefix, outputs)
    place = files.storage.get_path(prefix)
    summary = stopwatch.summary(
        status="done",
        outputs=place,
        files=[name for name, _ in published],
        num_results=written.collected.results,
        missing=sorted(written.missing),
        **record.described(written.missing),
        headline=written.headline,
        retry_attempt=context.retry_attempt,
        **context.made_with("output"),
    )
    summary = files.write_summary("output", summary)
    files.write_metadata(record.metadata(context, summary))
    results, number = counted(written.collected.results, "result"), counted(len(published), "file")
    log.info("%s, %s: %s", results, number, place)


def _check_number(context: StageContext, manifest: Manifest) -> None:
    total = manifest.num_workloads
    if context.num_tasks not in (None, total):
        raise UserError(f"NUM_TASKS={context.num_tasks}, but the manifest names {total} inputs")


def _output_configuration(context: StageContext, files: RunFiles, manifest: Manifest, folder: Path):
    """Return the output configuration: that of OUTPUT_CONFIG_FILE, else that of the run."""
    with (
        uploaded_output_file(context, files) as asked,
        chosen_output_file(asked, files, manifest) as chosen,
    ):
        return load_run_output(files, folder, _chosen_output_file(chosen, manifest))


def _chosen_output_file(context: StageContext, manifest: Manifest) -> Path | None:
    """Return the file that replaces the run's; None where the run has it and the repository is not here."""
    try:
        return context.output_config_path()
    except UserError:
        if context.output_config_file == manifest.output_config_file:
            return None
        raise


if __name__ == "__main__":
    sys.exit(run_stage("output", write_outputs))
