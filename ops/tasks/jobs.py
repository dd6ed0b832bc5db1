"""Tasks about jobs of Batch: render, submit one by hand, list, describe, cancel."""

from ops.environment import read_settings
from ops.jobs import batch_jobs, job_submission
from ops.stages import LETTERS, stage_name
from ops.tasks.verb import DRY_RUN, LIMIT, ONE_EXPERIMENT, REQUEST, ROWS, STAGE, WAIT, option, the_cloud, verb

JOB = "a job of Batch, as `invoke job` and `invoke job-list` name it"
MEANING = {name: text for name, (_, text) in REQUEST.items()}
ASKED = ("exp_id", "run_id", "count", "seed", "output_config_file", "allow_partial", "force")


@verb(
    request=ASKED,
    help={
        "run_id": "the run; a new one without it",
        "num_tasks": "tasks of stage B's job, where the run is not built yet; or only its first ones",
        "dry_run": DRY_RUN,
    },
)
def jobs_render(c, request, num_tasks=None, dry_run=False):
    """Write a run's stages as jobs to jobs/rendered/, for `gcloud batch jobs submit`."""
    job_submission.render(the_cloud(dry_run), request, num_tasks)


@verb(
    request=ASKED,
    help={
        "stage": STAGE,
        "run_id": "the run; a new one for the builder when left out",
        "only": "runner: these inputs alone, counted from 0, e.g. 3,17,40 or 3-9",
        "count": f"builder: {MEANING['count']}",
        "seed": f"builder: {MEANING['seed']}",
        "output_config_file": f"builder, output: {MEANING['output_config_file']}",
        "allow_partial": f"output: {MEANING['allow_partial']}",
        "force": f"builder, runner: {MEANING['force']}",
        "max_parallelism": "runner: tasks at once",
        "spot": "runner: cheaper machines, which may be taken away",
        "machine_type": "machines of this job, e.g. c4d-standard-4",
        "cpu_milli": "thousandths of a vCPU a task",
        "memory_mib": "MiB of memory a task",
        "max_run_duration": "seconds until a task is stopped",
        "image_tag": "a tag of the image, e.g. a commit, instead of IMAGE_TAG",
        "billing_project": "label of what it costs: whom it is for",
        "wait": WAIT,
        "dry_run": "print the job and the commands, start nothing",
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
    """Submit one stage of a run in the cloud as a job of Batch, or single inputs of stage B again."""
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
        "run_id": "only this run's",
        "stage": f"only {STAGE}",
        "limit": LIMIT,
        "dry_run": DRY_RUN,
    }
)
def job_list(c, exp_id="", run_id="", stage="", limit=str(ROWS), dry_run=False):
    """List the newest jobs of Batch: of which stage and run, how they and their tasks stand."""
    named = stage_name(stage) if stage else ""
    batch_jobs.show_jobs(the_cloud(dry_run, needs_bucket=False), exp_id, run_id, named, limit)


@verb(positional=["job"], help={"job": JOB, "wait": WAIT, "dry_run": DRY_RUN})
def job_describe(c, job, wait=False, dry_run=False):
    """Show a job: its tasks by state, what it told last, which tasks failed and how to run them again."""
    if wait:
        batch_jobs.follow(the_cloud(dry_run, needs_bucket=False), job)
    else:
        batch_jobs.show_job(the_cloud(dry_run, needs_bucket=False), job)


@verb(positional=["job"], help={"job": JOB, "dry_run": DRY_RUN})
def job_cancel(c, job, dry_run=False):
    """End a job of Batch; what its tasks have finished is kept."""
    batch_jobs.cancel(the_cloud(dry_run, needs_bucket=False), job)
