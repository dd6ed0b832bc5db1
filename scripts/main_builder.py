"""Stage A: an experiment's YAML files become N self-contained inputs and a manifest.

    EXECUTION_MODE=local EXP_ID=demo RUN_ID=20260131-120000-0a1b2c3d \\
    FORECAST_REPO_DIR=examples/forecast python scripts/main_builder.py

A run that has a manifest keeps its inputs; those without a result or a summary become pending.
"""

import logging
import sys
from dataclasses import replace

from pipeline.artifacts import RunFiles
from pipeline.environment import StageContext
from pipeline.experiment_files import build_experiment, uploaded_output_file
from pipeline.failures import UserError
from pipeline.forecast_pack import save_forecast, uploaded_repository
from pipeline.input_files import Inputs, write_inputs, write_pending
from pipeline.logs import counted, kept_warnings
from pipeline.manifest import Manifest
from pipeline.result_files import finished_inputs, summarized_inputs
from pipeline.stage import run_stage
from pipeline.summary import Stopwatch, utc_now

log = logging.getLogger("pipeline")

MOST_WARNINGS = 100  # in the summary, and so in the report


def build_run(context: StageContext) -> None:
    """Build the run, or resume it. The manifest is written last."""
    stopwatch = Stopwatch()
    files = RunFiles.of(context)
    found = files.find_manifest()
    files.remove_left_files()
    with kept_warnings() as warnings, uploaded_repository(context, files) as context:
        manifest = _build(context, files) if found is None else _resume(context, files, found)
    if found is not None:
        warnings = files.read_summary("builder").get("warnings", [])  # those of the build
    files.write_summary(
        "builder",
        stopwatch.summary(
            status="done",
            resumed=found is not None,
            num_workloads=manifest.num_workloads,
            num_pending=manifest.num_pending,
            seed=manifest.seed,
            count=manifest.count,
            suite=manifest.suite,
            engine=manifest.engine,
            warnings=warnings[:MOST_WARNINGS],
            retry_attempt=context.retry_attempt,
            **context.made_with("builder"),
        ),
    )
    files.write_manifest(manifest)
    log.info(
        "%s (%s), %d to run: %s",
        counted(manifest.num_workloads, "input"),
        manifest.workflow,
        manifest.num_pending,
        files.storage.get_path(files.out_prefix),
    )


def _build(context: StageContext, files: RunFiles) -> Manifest:
    """Write configuration and inputs of a new run; return its manifest, with every input pending."""
    # all workloads exist before the first is written, so bad input leaves nothing behind
    with uploaded_output_file(context, files) as asked:
        built = build_experiment(asked)
        files.write_config(built.config_files)
    written = write_inputs(files, built.workloads)
    packed = save_forecast(context.forecast_repo_dir, files) if context.mode == "cloud" else ""
    manifest = Manifest(
        exp_id=context.exp_id,
        run_id=context.run_id,
        suite=context.suite_to_build,
        engine=context.engine_to_build,
        workflow=built.workflow,
        created_at=utc_now(),
        seed=built.seed,
        num_workloads=len(built.workloads),
        num_pending=len(built.workloads),
        workloads_per_task=context.workloads_per_task or 1,
        inputs_sha256=written.digests_sha256,
        input_list_sha256=written.list_sha256,
        count=context.count,
        reference_date=_reference_date(built.workloads),
        strict=context.is_strict,
        output_config_file=context.output_config_file,
        forecast_commit=context.forecast_commit,
        forecast_sha256=packed,
    )
    everything = list(range(manifest.num_workloads))
    return write_pending(files, everything, manifest, manifest.workloads_per_task)


def _reference_date(workloads: list) -> str:
    """Return the reference date of a forecast from surveillance data; "" for other workloads."""
    from modeling.forecast_records import ForecastWorkload

    first = workloads[0]
    return str(first.known.reference_date) if isinstance(first, ForecastWorkload) else ""


def _resume(context: StageContext, files: RunFiles, manifest: Manifest) -> Manifest:
    """Return the manifest of a built run with its inputs that have no result, or no summary, as pending."""
    _refuse_another_build(context, manifest)
    if context.config_folder.is_dir() and not _same_config(context, files, manifest):
        log.warning("the YAML files have changed since this run was built; it keeps its own inputs")
    Inputs(files, manifest, files.out_prefix)  # refuses digests that do not match the manifest
    places = files, manifest, files.out_prefix
    # a task that died between its result and its summary writes only the summary when it runs again
    done = set() if context.force else finished_inputs(*places) & summarized_inputs(*places)
    pending = [index for index in range(manifest.num_workloads) if index not in done]
    return write_pending(files, pending, manifest, context.workloads_per_task or 1)


def _refuse_another_build(context: StageContext, manifest: Manifest) -> None:
    """Refuse to resume a run with settings that would have built another one."""
    options = {  # of the one run; the others are settings
        "SEED": (context.seed, manifest.seed),
        "COUNT": (context.count, manifest.count),
        "REFERENCE_DATE": (context.reference_date and str(context.reference_date), manifest.reference_date),
        "STRICT": (1 if context.is_strict else None, 1 if manifest.strict else None),
    }
    settings = {
        "MODELING_SUITE": (context.suite, manifest.suite),
        "ENGINE": (context.engine, manifest.engine),
    }
    for name, (asked, built) in (options | settings).items():
        if asked is not None and asked != built:
            had = f"without {name}" if built in (None, "") else f"with {name}={built}"
            same = f"set {name}={built}"  # in the cloud, settings reach every run
            if name in options:
                same = f"leave {name} out (invoke: --{name.lower().replace('_', '-')})"
            raise UserError(f"run {manifest.run_id} was built {had}, not {asked}; start a new run, or {same}")


def _same_config(context: StageContext, files: RunFiles, manifest: Manifest) -> bool:
    """Tell whether the experiment's YAML files are those the run was built from."""
    from modeling.vocabulary.experiment import find_sources

    asked = replace(context, output_config_file=manifest.output_config_file)
    try:
        with uploaded_output_file(asked, files) as built:
            sources = find_sources(context.config_folder, built.output_config_path())
            now = {kind: source.path.read_bytes() for kind, source in sources.items()}
    except UserError:
        return False  # they were valid when the run was built
    return now == files.read_config(files.out_prefix)


if __name__ == "__main__":
    sys.exit(run_stage("builder", build_run))
