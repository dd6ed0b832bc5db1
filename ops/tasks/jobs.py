"""Tasks for Batch jobs: render, submit, list, describe, cancel."""

from ops.environment import read_settings
from ops.jobs import batch_jobs, job_submission
from ops.stages import LETTERS, stage_name
from ops.tasks.verb import DRY_RUN, LIMIT, ONE_EXPERIMENT, REQUEST, ROWS, STAGE, WAIT, option, the_cloud, verb

JOB = "id of a Batch job, as `invoke job` and `invoke job-list` print it"
MEANING = {name: text for name, (_, text) in REQUEST.items()}
ASKED = (
    "exp_id",
    "run_id",
    "count",
    "seed",
    "reference_date",
    "strict",
    "output_config_file",
    "allow_partial",
    "force",
)


@verb(
    request=ASKED,
    help={
        "run_id": "the run; without it a new one",
        "num_tasks": "tasks of stage B, for a run that is not built yet; or only its first tasks",
        "probe": "also the job of docs/first-project.md, whose tasks end in different ways",
        "dry_run": DRY_RUN,
    },
)
def jobs_render(c, request, num_tasks=None, probe=False, dry_run=False):
    """Write the stages of a run as jobs to jobs/rendered/, for `gcloud batch jobs submit`."""
    job_submission.render(the_cloud(dry_run), request, num_tasks, probe)


@verb(
    request=ASKED,
    help={
        "stage": STAGE,
        "run_id": "the run; without it the builder starts a new one",
        "only": "runner: only these inputs, counted from 0, e.g. 3,17,40 or 3-9",
        "count": f"builder: {MEANING['count']}",
        "seed": f"builder: {MEANING['seed']}",
        "reference_date": f"builder: {MEANING['reference_date']}",
        "strict": f"builder: {MEANING['strict']}",
        "output_config_file": f"builder, output: {MEANING['output_config_file']}",
        "allow_partial": f"output: {MEANING['allow_partial']}",
        "force": f"builder, runner: {MEANING['force']}",
        "max_parallelism": "runner: tasks at once",
        "spot": "runner: cheaper machines, which may be taken away",
        "machine_type": "machines of this job, e.g. c4d-standard-4",
        "cpu_milli": "thousandths of a vCPU per task",
        "memory_mib": "MiB of memory per task",
        "max_run_duration": "seconds until a task is stopped",
        "image_tag": "a tag of the image, e.g. a commit, instead of IMAGE_TAG",
        "billing_project": "label of its costs: the project they are for",
        "wait": WAIT,
        "dry_run": "print the job and the commands, and submit nothing",
    },
)
def job(
    c,
    stage,
    request,
    only=None,
    max_parallelism=None,
    spot=False,
    machine_type=None,
    cpu_milli=None,
    memory_mib=None,
    max_run_duration=None,
    image_tag=None,
    billing_project=None,
    wait=False,
    dry_run=False,
):
    """Submit one stage of a run in the cloud as a Batch job, or rerun single inputs of stage B."""
    stage = stage_name(stage or "")
    of_one_stage = {name: getattr(request, name) for name in ASKED[2:]}
    of_one_stage |= {"only": only, "max_parallelism": max_parallelism, "spot": spot}
    job_submission.check_options(stage, {option(name): value for name, value in of_one_stage.items()})
    limits = {
        "MACHINE_TYPE": machine_type,
        "CPU_MILLI": cpu_milli,
        "MEMORY_MIB": memory_mib,
        "MAX_RUN_DURATION": max_run_duration,
    }
    chosen = {f"STAGE_{LETTERS[stage]}_{name}": value for name, value in limits.items()} | {
        "MAX_PARALLELISM": max_parallelism,
        "PROVISIONING_MODEL": "SPOT" if spot else None,
        "IMAGE_TAG": image_tag,
        "BILLING_PROJECT": billing_project,
    }
    job_submission.submit(the_cloud(dry_run, read_settings(chosen=chosen)), stage, request, only, wait)


@verb(
    help={
        "exp_id": ONE_EXPERIMENT,
        "run_id": "only this run",
        "stage": f"only {STAGE}",
        "limit": LIMIT,
        "dry_run": DRY_RUN,
    }
)
def job_list(c, exp_id="", run_id="", stage="", limit=str(ROWS), dry_run=False):
    """List the newest Batch jobs: stage, run, state and tasks."""
    named = stage_name(stage) if stage else ""
    batch_jobs.show_jobs(the_cloud(dry_run, needs_bucket=False), exp_id, run_id, named, limit)


@verb(positional=["job"], help={"job": JOB, "wait": WAIT, "dry_run": DRY_RUN})
def job_describe(c, job, wait=False, dry_run=False):
    """Show a Batch job: its tasks by state, newest events, failed tasks and how to rerun them."""
    if wait:
        batch_jobs.follow(the_cloud(dry_run, needs_bucket=False), job)
    else:
        batch_jobs.show_job(the_cloud(dry_run, needs_bucket=False), job)


@verb(positional=["job"], help={"job": JOB, "dry_run": DRY_RUN})
def job_cancel(c, job, dry_run=False):
    """Cancel a Batch job; results of finished tasks are kept."""
    batch_jobs.cancel(the_cloud(dry_run, needs_bucket=False), job)
