"""Stage A: an experiment's YAML files become N self-contained inputs and a manifest.

    EXECUTION_MODE=local EXP_ID=demo RUN_ID=20260131-120000-0a1b2c3d \\
    FORECAST_REPO_DIR=examples/forecast python scripts/main_builder.py

On a run that has a manifest the inputs are kept, and what has no result yet becomes pending.
"""

import hashlib
import logging
import sys

from pipeline.artifacts import Manifest, RunFiles
from pipeline.building import build_experiment
from pipeline.environment import StageContext
from pipeline.logs import counted
from pipeline.stage import run_stage
from pipeline.storage import open_storage
from pipeline.summary import Stopwatch, utc_now

log = logging.getLogger("pipeline")


def build_run(context: StageContext) -> None:
    """Build the run, or find out what is left of it. The manifest is written last."""
    stopwatch = Stopwatch()
    files = RunFiles(open_storage(context), context.in_prefix, context.out_prefix)
    found = files.find_manifest()
    manifest = _build(context, files) if found is None else _what_is_left(context, files, found)
    files.write_summary(
        "builder",
        stopwatch.summary(
            status="done",
            resumed=found is not None,
            num_workloads=manifest.num_workloads,
            num_pending=manifest.num_pending,
            seed=manifest.seed,
            count=context.count,
            suite=manifest.suite,
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
    # all workloads exist before the first is written, so bad input leaves nothing behind
    built = build_experiment(context)
    files.write_config(built.config_files)
    digest_lines = files.write_inputs(built.workloads)
    return Manifest(
        exp_id=context.exp_id,
        run_id=context.run_id,
        suite=context.suite,
        workflow=built.workflow,
        created_at=utc_now(),
        seed=built.seed,
        num_workloads=len(built.workloads),
        num_pending=len(built.workloads),
        workloads_per_task=context.workloads_per_task,
        inputs_sha256=hashlib.sha256(digest_lines).hexdigest(),
    )


def _what_is_left(context: StageContext, files: RunFiles, manifest: Manifest) -> Manifest:
    if context.config_folder.is_dir() and not files.same_config(context.config_folder):
        log.warning("the YAML files have changed since this run was built; it keeps its own inputs")
    done = set() if context.force else files.finished(manifest)
    pending = [index for index in range(manifest.num_workloads) if index not in done]
    return files.write_pending(pending, manifest, context.workloads_per_task)


if __name__ == "__main__":
    sys.exit(run_stage("builder", build_run))
