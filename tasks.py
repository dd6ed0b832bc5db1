"""Every operation as an invoke task: parse, call one function of ops/, print. No logic here."""

import functools
import signal
import sys

from invoke import Exit, task

from modeling.bounds import LARGEST_SEED
from modeling.plain_text import plain_lines
from ops import config, quality
from ops.cloud import execution_list, executions
from ops.cloud.inputs import MOST_TASKS
from ops.costs import cost_report
from ops.failures import UserError
from ops.images import cloud_build, images
from ops.jobs import batch_jobs, job_submission
from ops.laptop import clean as cleaning
from ops.laptop import local_cloud, local_run, run_tables
from ops.names import MOST, MOST_SECONDS, without_slash
from ops.project import doctor as check_up
from ops.project import github_token, lifecycle, terraform
from ops.rehearsal import populate, rehearsal
from ops.run_request import RunRequest
from ops.runs import cloud_run, reproduction
from ops.settings import read_settings
from ops.shell import Shell, stop_on_termination
from ops.stages import LETTERS, stage_name
from ops.terminal import forget_output, nearest
from ops.watching import cloud_tables, run_logs
from ops.watching import download as fetcher
from ops.watching import status as observer

EXP_ID = "experiment folder below experiments/, e.g. demo or flu/2026-w05"
RUN_ID = "a run to go on with, e.g. 20260131-120000-0a1b2c3d"
LAST_PORT = 65535
LAST_DAY = 36_500
MOST_HOURS = 24 * 365
MOST_SEED = 2**31 - 1
LEAST_MUTANTS = 2_000  # one a place at least
NO_CACHE = "build every layer anew"
YES = "do not ask"
DRY_RUN = "print what would be started, start nothing"
REQUEST = {
    "exp_id": EXP_ID,
    "run_id": RUN_ID,
    "count": "split a model-only ensemble into this many workloads",
    "seed": "root of every random draw; overrides the experiment's random_seed",
    "jobs": "tasks of stage B at once; default one a core",
    "output_config_file": "another output YAML: a path, or the name of a file in the experiment's config/",
    "allow_partial": "write outputs although results are missing",
    "force": "make results anew that are there already",
    "docker": "in containers of the local image instead of processes",
    "dry_run": DRY_RUN,
}
CLOUD_OPTIONS = {
    "max_parallelism": "cloud: tasks of stage B at once",
    "image_tag": "cloud: a tag of the image, e.g. a commit, instead of IMAGE_TAG",
    "billing_project": "cloud: label of what it costs, to tell whom it was for",
    "spot": "cloud: cheaper machines for stage B, which may be taken away",
} | {
    f"stage_{letter}_{name}": f"cloud: {meaning} of stage {letter.upper()}"
    for letter in "abc"
    for name, meaning in (
        ("machine_type", "machines, e.g. c4d-standard-4,"),
        ("cpu_milli", "thousandths of a vCPU"),
        ("memory_mib", "MiB of memory"),
    )
}
WHERE = {
    "local": "those of this machine, whatever EXECUTION_MODE says",
    "cloud": "those in the bucket, whatever EXECUTION_MODE says",
}
ROWS = 20
LIMIT = f"so many, the newest; or all; default {ROWS}"
EXECUTION = "an execution of the workflow, as `invoke run --cloud` and `invoke workflow-list` name it"
JOB = "a job of Batch, as `invoke job` and `invoke job-list` name it"


def verb(positional=(), **options):
    """Make a function an invoke task; what the operator can mend becomes one line and an exit code.

    Invoke is kept from choosing letters such as -e, which would stand for another option in each task,
    and from looking for --exp-id itself: it would end with exit code 1 where it is missing.
    """

    def decorate(function):
        @functools.wraps(function)
        def guarded(*args, **kwargs):
            stop_on_termination()
            if "exp_id" in kwargs:
                kwargs["exp_id"] = without_slash(kwargs["exp_id"])
            try:
                found = function(*args, **kwargs)
                sys.stdout.flush()
                return found
            except UserError as error:
                raise Exit(f"error: {plain_lines(error)}", code=error.exit_code) from None
            except KeyboardInterrupt:
                raise Exit(code=130) from None
            except BrokenPipeError:  # `invoke status | head -3` has seen enough
                forget_output()
                raise Exit(code=128 + signal.SIGPIPE) from None

        return task(positional=positional, auto_shortflags=False, **options)(guarded)

    return decorate


@verb(
    help=REQUEST
    | {
        "local": "on this machine, whatever EXECUTION_MODE says",
        "cloud": "on Google Cloud, whatever EXECUTION_MODE says",
        "skip_output": "leave stage C out",
        "wait": "cloud: show how it comes on until it ends, and fail if it fails",
    }
    | CLOUD_OPTIONS
)
def run(
    c,
    exp_id,
    run_id="",
    local=False,
    cloud=False,
    count=None,
    seed=None,
    jobs=None,
    output_config_file="",
    allow_partial=False,
    force=False,
    docker=False,
    skip_output=False,
    wait=False,
    max_parallelism=None,
    image_tag=None,
    billing_project=None,
    spot=False,
    stage_a_machine_type=None,
    stage_a_cpu_milli=None,
    stage_a_memory_mib=None,
    stage_b_machine_type=None,
    stage_b_cpu_milli=None,
    stage_b_memory_mib=None,
    stage_c_machine_type=None,
    stage_c_cpu_milli=None,
    stage_c_memory_mib=None,
    dry_run=False,
):
    """Run an experiment here or in the cloud, or go on with a run, and print its forecast."""
    cloud_options = {name.upper(): value for name, value in locals().items() if name in CLOUD_OPTIONS}
    cloud_options["PROVISIONING_MODEL"] = "SPOT" if cloud_options.pop("SPOT") else None
    request = RunRequest(
        exp_id=exp_id,
        run_id=run_id,
        count=whole_number("--count", count, 1),
        seed=whole_number("--seed", seed, most=LARGEST_SEED),
        jobs=whole_number("--jobs", jobs),
        output_config_file=output_config_file,
        allow_partial=allow_partial,
        force=force,
        docker=docker,
        run_output_stage=not skip_output,
    )
    settings = read_settings(chosen=cloud_options | {"EXECUTION_MODE": mode(local, cloud)})
    if settings.execution_mode == "cloud":
        cloud_run.run(Shell(dry_run), settings, request, wait)
        return
    only_in_the_cloud(cloud_options | {"WAIT": wait or None})
    done = local_run.run(Shell(dry_run), settings, request)
    if not dry_run and not skip_output and settings.run_output_stage:
        run_tables.show_results(settings, exp_id, done.run_id)


@verb(
    positional=["stage"],
    help=REQUEST
    | {
        "stage": "builder, runner or output; A, B or C",
        "run_id": "the run; a new one for the builder when left out",
        "task_index": "runner: the input to run, counted from 0; all that are pending without it",
        "num_inputs": "runner: so many inputs, from --task-index on; output: so many inputs to have results",
        "jobs": "runner: tasks at once; default one a core",
    },
)
def stage(
    c,
    stage,
    exp_id,
    run_id="",
    task_index=None,
    num_inputs=None,
    count=None,
    seed=None,
    jobs=None,
    output_config_file="",
    allow_partial=False,
    force=False,
    docker=False,
    dry_run=False,
):
    """Run one stage of a run: builder (A), runner (B) or output (C)."""
    request = RunRequest(
        exp_id=exp_id,
        run_id=run_id,
        count=whole_number("--count", count, 1),
        seed=whole_number("--seed", seed, most=LARGEST_SEED),
        jobs=whole_number("--jobs", jobs),
        output_config_file=output_config_file,
        allow_partial=allow_partial,
        force=force,
        docker=docker,
    )
    index, number = whole_number("--task-index", task_index), whole_number("--num-inputs", num_inputs, 1)
    done = local_run.run_stage(Shell(dry_run), read_settings(), request, stage, index, number)
    print(f"run {done.run_id} in {nearest(done.folder)}")


@verb(
    help={name: REQUEST[name] for name in ("exp_id", "count", "seed", "output_config_file", "dry_run")}
    | {"docker": "tasks in containers of the cloud image, as `invoke build-local` makes it"}
)
def rehearse(c, exp_id, count=None, seed=None, output_config_file="", docker=False, dry_run=False):
    """Run an experiment on an emulated cloud and on this machine, and compare what comes out."""
    request = RunRequest(
        exp_id=exp_id,
        count=whole_number("--count", count, 1),
        seed=whole_number("--seed", seed, most=LARGEST_SEED),
        output_config_file=output_config_file,
        docker=docker,
    )
    rehearsal.rehearse(Shell(dry_run), read_settings(), request)


@verb(
    help={
        "exp_id": "only this experiment's; all without it",
        "limit": LIMIT,
        "dry_run": DRY_RUN,
    }
)
def workflow_list(c, exp_id="", limit=str(ROWS), dry_run=False):
    """List the newest runs in the cloud: how they stand, how long they took."""
    newest = number_shown(limit)
    execution_list.show_executions(Shell(dry_run), read_settings(), exp_id, newest)


@verb(
    positional=["execution"],
    help={
        "execution": EXECUTION,
        "wait": "show how it comes on until it ends, and fail if it fails",
        "dry_run": DRY_RUN,
    },
)
def workflow_describe(c, execution, wait=False, dry_run=False):
    """Show a run in the cloud: its jobs, their tasks by state, and how it ended."""
    if wait:
        executions.follow(Shell(dry_run), executions.named(read_settings(), execution))
    else:
        executions.show_execution(Shell(dry_run), read_settings(), execution)


@verb(positional=["execution"], help={"execution": EXECUTION, "dry_run": DRY_RUN})
def workflow_cancel(c, execution, dry_run=False):
    """End a run in the cloud, with the Batch jobs it has begun; what is finished is kept."""
    executions.cancel(Shell(dry_run), read_settings(), execution)


@verb(
    help={
        "exp_id": EXP_ID,
        "run_id": "a run to go on with: what has no result yet, by its own times; without it a new run",
        "num_inputs": "so many inputs of stage B, instead of those the experiment makes",
        "task_seconds": "seconds one input takes, instead of what an earlier run took",
        "count": REQUEST["count"],
        "max_parallelism": "tasks of stage B at once, instead of MAX_PARALLELISM",
        "dry_run": "print the commands that would ask the bucket, and what is known without",
    }
)
def cost(
    c,
    exp_id,
    run_id="",
    num_inputs=None,
    task_seconds=None,
    count=None,
    max_parallelism=None,
    dry_run=False,
):
    """Estimate what a run in the cloud would cost and how long it would take."""
    request = RunRequest(exp_id=exp_id, run_id=run_id, count=whole_number("--count", count, 1))
    inputs = whole_number("--num-inputs", num_inputs, 1)
    seconds = whole_number("--task-seconds", task_seconds, 1, MOST_SECONDS)
    settings = read_settings(chosen={"MAX_PARALLELISM": max_parallelism})
    cost_report.show(Shell(dry_run), settings, request, inputs, seconds)


@verb(
    help={
        "exp_id": EXP_ID,
        "run_id": "the run to run again; it must have come to its outputs",
        "local": "a run of this machine, whatever EXECUTION_MODE says",
        "cloud": "a run on Google Cloud, whatever EXECUTION_MODE says",
        "compare_with": "a run that has ended, to compare with; none is started",
        "dry_run": DRY_RUN,
    }
)
def reproduce(c, exp_id, run_id="", local=False, cloud=False, compare_with="", dry_run=False):
    """Run a run again from its run_metadata.json and compare the outputs, byte for byte."""
    settings = read_settings(chosen={"EXECUTION_MODE": mode(local, cloud)})
    reproduction.reproduce(Shell(dry_run), settings, exp_id, run_id, compare_with)


@verb(
    help={
        "exp_id": EXP_ID,
        "run_id": "the run; a new one without it",
        "num_tasks": "tasks of stage B's job, where the run is not built yet; or only its first so many",
        "count": REQUEST["count"],
        "seed": REQUEST["seed"],
        "output_config_file": REQUEST["output_config_file"],
        "allow_partial": REQUEST["allow_partial"],
        "force": REQUEST["force"],
        "dry_run": DRY_RUN,
    }
)
def jobs_render(
    c,
    exp_id,
    run_id="",
    num_tasks=None,
    count=None,
    seed=None,
    output_config_file="",
    allow_partial=False,
    force=False,
    dry_run=False,
):
    """Write a run's stages as jobs to jobs/rendered/, for `gcloud batch jobs submit`."""
    request = RunRequest(
        exp_id=exp_id,
        run_id=run_id,
        count=whole_number("--count", count, 1),
        seed=whole_number("--seed", seed, most=LARGEST_SEED),
        output_config_file=output_config_file,
        allow_partial=allow_partial,
        force=force,
    )
    tasks = whole_number("--num-tasks", num_tasks, 1, MOST_TASKS)
    job_submission.render(Shell(dry_run), read_settings(), request, tasks)


@verb(
    help={
        "stage": "builder, runner or output; A, B or C",
        "exp_id": EXP_ID,
        "run_id": "the run; a new one for the builder when left out",
        "only": "runner: these inputs alone, counted from 0, e.g. 3,17,40 or 3-9",
        "count": f"builder: {REQUEST['count']}",
        "seed": f"builder: {REQUEST['seed']}",
        "output_config_file": f"builder, output: {REQUEST['output_config_file']}",
        "allow_partial": f"output: {REQUEST['allow_partial']}",
        "force": f"builder, runner: {REQUEST['force']}",
        "max_parallelism": "runner: tasks at once",
        "spot": "runner: cheaper machines, which may be taken away",
        "machine_type": "machines of this job, e.g. c4d-standard-4",
        "cpu_milli": "thousandths of a vCPU a task",
        "memory_mib": "MiB of memory a task",
        "max_run_duration": "seconds until a task is stopped",
        "image_tag": "a tag of the image, e.g. a commit, instead of IMAGE_TAG",
        "billing_project": "label of what it costs, to tell whom it was for",
        "wait": "show how it comes on until it ends, and fail if it fails",
        "dry_run": "print the job and the commands, start nothing",
    }
)
def job(
    c,
    stage,
    exp_id,
    run_id="",
    only=None,
    count=None,
    seed=None,
    output_config_file="",
    allow_partial=False,
    force=False,
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
    job_submission.check_options(
        stage,
        {
            "--only": only,
            "--count": count,
            "--seed": seed,
            "--output-config-file": output_config_file,
            "--allow-partial": allow_partial,
            "--force": force,
            "--max-parallelism": max_parallelism,
            "--spot": spot,
        },
    )
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
    request = RunRequest(
        exp_id=exp_id,
        run_id=run_id,
        count=whole_number("--count", count, 1),
        seed=whole_number("--seed", seed, most=LARGEST_SEED),
        output_config_file=output_config_file,
        allow_partial=allow_partial,
        force=force,
    )
    job_submission.submit(Shell(dry_run), read_settings(chosen=chosen), stage, request, only, wait)


@verb(
    help={
        "exp_id": "only this experiment's; all without it",
        "run_id": "only this run's",
        "stage": "only of builder, runner or output; A, B or C",
        "limit": LIMIT,
        "dry_run": DRY_RUN,
    }
)
def job_list(c, exp_id="", run_id="", stage="", limit=str(ROWS), dry_run=False):
    """List the newest jobs of Batch: of which stage and run, how they and their tasks stand."""
    newest = number_shown(limit)
    named = stage_name(stage) if stage else ""
    batch_jobs.show_jobs(Shell(dry_run), read_settings(), exp_id, run_id, named, newest)


@verb(
    positional=["job"],
    help={
        "job": JOB,
        "wait": "show how it comes on until it ends, and fail if it fails",
        "dry_run": DRY_RUN,
    },
)
def job_describe(c, job, wait=False, dry_run=False):
    """Show a job: its tasks by state, what it told last, which tasks failed and how to run them again."""
    if wait:
        batch_jobs.follow(Shell(dry_run), read_settings(), job)
    else:
        batch_jobs.show_job(Shell(dry_run), read_settings(), job)


@verb(positional=["job"], help={"job": JOB, "dry_run": DRY_RUN})
def job_cancel(c, job, dry_run=False):
    """End a job of Batch; what its tasks have finished is kept."""
    batch_jobs.cancel(Shell(dry_run), read_settings(), job)


@verb(
    help={"exp_id": "only this experiment's; all without it"} | WHERE | {"limit": LIMIT, "dry_run": DRY_RUN}
)
def runs(c, exp_id="", local=False, cloud=False, limit=str(ROWS), dry_run=False):
    """List what ran, when, and how it ended, the newest first."""
    newest = number_shown(limit)
    settings = read_settings(chosen={"EXECUTION_MODE": mode(local, cloud)})
    if settings.execution_mode == "cloud":
        cloud_tables.show_runs(Shell(dry_run), settings, exp_id, newest)
    else:
        run_tables.show_runs(settings, exp_id, newest)


@verb(help={"exp_id": EXP_ID, "run_id": "the run; the newest without it"} | WHERE | {"dry_run": DRY_RUN})
def results(c, exp_id, run_id="", local=False, cloud=False, dry_run=False):
    """Print a run's forecast and where its report, charts and tables are."""
    settings = read_settings(chosen={"EXECUTION_MODE": mode(local, cloud)})
    if settings.execution_mode == "cloud":
        cloud_tables.show_results(Shell(dry_run), settings, exp_id, run_id)
    else:
        run_tables.show_results(settings, exp_id, run_id)


@verb(
    help={
        "exp_id": EXP_ID,
        "run_id": "the run; the newest that has outputs without it, with --what all the newest",
        "what": "outputs, the newest of the run, which is the default; or all its files",
        "to": "a folder; local/downloads without it",
        "dry_run": DRY_RUN,
    }
)
def download(c, exp_id, run_id="", what="outputs", to="", dry_run=False):
    """Fetch a run's outputs, or all its files, from the cloud, and verify them."""
    fetcher.download(Shell(dry_run), read_settings(), exp_id, run_id, what, to)


@verb(
    help={
        "exp_id": "only this experiment's; all without it",
        "hours": "also those that ended in so many hours; default 12",
        "watch": "go on showing what changes until Ctrl-C",
        "dry_run": DRY_RUN,
    }
)
def status(c, exp_id="", hours=None, watch=False, dry_run=False):
    """Show what goes on in the cloud or has just ended: jobs, tasks, retries, shortages, cost so far."""
    since = whole_number("--hours", hours, 1, MOST_HOURS) or observer.HOURS
    observer.show(Shell(dry_run), read_settings(), exp_id, since, watch)


@verb(
    help={
        "exp_id": EXP_ID,
        "run_id": "the run; the newest in the bucket without it",
        "stage": "only builder, runner or output; A, B or C",
        "task": "only this task of the stage's job of Batch, from 0; its inputs may have other numbers",
        "severity": "so grave at least: DEBUG, INFO, NOTICE, WARNING, ERROR, CRITICAL",
        "since": "not older than 10m, 2h or 3d, or than a time such as 2026-01-31T12:00Z",
        "limit": LIMIT.replace(str(ROWS), "1000"),
        "follow": "go on printing what comes until Ctrl-C, or ten minutes without an answer",
        "dry_run": DRY_RUN,
    }
)
def logs(
    c,
    exp_id,
    run_id="",
    stage="",
    task=None,
    severity="",
    since="",
    limit="1000",
    follow=False,
    dry_run=False,
):
    """Print what a run in the cloud logged: its tasks, their machines, the workflow; a line each."""
    request = run_logs.LogRequest(
        exp_id=exp_id,
        run_id=run_id,
        stage=stage,
        task=whole_number("--task", task),
        severity=severity,
        since=since,
        limit=number_shown(limit),
        follow=follow,
    )
    run_logs.show(Shell(dry_run), read_settings(), request)


@verb(help={"exp_id": EXP_ID, "output_config_file": "check with another output YAML", "dry_run": DRY_RUN})
def validate(c, exp_id, output_config_file="", dry_run=False):
    """Check an experiment and its data without running it."""
    local_run.validate(
        Shell(dry_run), read_settings(), RunRequest(exp_id, output_config_file=output_config_file)
    )


@verb(help={"force": "replace a .env that is there"})
def config_init(c, force=False):
    """Make a .env file from .env.example."""
    config.create(force)


@verb()
def config_edit(c):
    """Open .env in your editor, then check it."""
    config.edit()


@verb()
def config_show(c):
    """Show every setting, its value and where it came from."""
    config.show()


@verb()
def config_validate(c):
    """Check every setting, and that what it names is there."""
    config.validate()


@verb(help={"dry_run": DRY_RUN})
def build_dev(c, dry_run=False):
    """Build the local image, for `invoke run --docker`."""
    images.build_dev(Shell(dry_run), read_settings())


@verb(help={"no_push": "build and test it only", "no_cache": NO_CACHE, "dry_run": DRY_RUN})
def build_local(c, no_push=False, no_cache=False, dry_run=False):
    """Build the cloud image on this machine, test it and push it."""
    images.build_local(Shell(dry_run), read_settings(), push=not no_push, no_cache=no_cache)


@verb(
    help={
        "wait": "print its log until it ends, and fail if it fails",
        "no_cache": NO_CACHE,
        "dry_run": DRY_RUN,
    }
)
def build(c, wait=False, no_cache=False, dry_run=False):
    """Build, test and push the cloud image with Cloud Build."""
    cloud_build.submit(Shell(dry_run), read_settings(), wait, no_cache)


@verb(help={"ongoing": "only those that are not finished", "dry_run": DRY_RUN})
def build_status(c, ongoing=False, dry_run=False):
    """Show the newest builds of Cloud Build and what came of them."""
    cloud_build.show_builds(Shell(dry_run), read_settings(), ongoing)


@verb(help={"dry_run": DRY_RUN})
def tf_init(c, dry_run=False):
    """Fetch Terraform's provider and connect to the state in the bucket."""
    terraform.init(Shell(dry_run), read_settings())


@verb(help={"dry_run": DRY_RUN})
def tf_plan(c, dry_run=False):
    """Show what `invoke tf-apply` would change in the project."""
    terraform.plan(Shell(dry_run), read_settings())


@verb(help={"yes": YES, "dry_run": DRY_RUN})
def tf_apply(c, yes=False, dry_run=False):
    """Set the project up: APIs, registry, accounts, network, workflow."""
    terraform.apply(Shell(dry_run), read_settings(), yes)


@verb(help={"yes": YES, "dry_run": DRY_RUN})
def tf_destroy(c, yes=False, dry_run=False):
    """Delete what `invoke tf-apply` made, with every image; runs and secrets stay."""
    terraform.destroy(Shell(dry_run), read_settings(), yes)


@verb(
    help={
        "days": "inputs and results of runs are deleted after so many; 0 for never, 90 without it",
        "yes": YES,
        "dry_run": "show the rules and print the command that would set them",
    }
)
def bucket_lifecycle(c, days=None, yes=False, dry_run=False):
    """Have the bucket delete what can be made again after some days; forecasts stay."""
    after = whole_number("--days", days, 0, LAST_DAY)
    chosen = lifecycle.DEFAULT_DAYS if after is None else after
    lifecycle.set_rules(Shell(dry_run), read_settings(), chosen, yes)


@verb(help={"json": "as JSON, for scripts", "dry_run": DRY_RUN})
def tf_output(c, json=False, dry_run=False):
    """Print what was set up: workflow, image, accounts, network."""
    terraform.output(Shell(dry_run), read_settings(), json)


@verb(
    help={
        "cloud": "also account, project, bucket, image and the like, whatever EXECUTION_MODE says",
        "dry_run": DRY_RUN,
    }
)
def doctor(c, cloud=False, dry_run=False):
    """Check that this machine, and for the cloud the project, are ready; say how to fix what is missing."""
    check_up.examine(Shell(dry_run), read_settings(), cloud)


@verb(
    help={
        "force": "store what is not like a token of GitHub, too, and what could not read the repositories",
        "disable_old": "then disable the versions there were before",
        "dry_run": DRY_RUN,
    }
)
def secret_set(c, force=False, disable_old=False, dry_run=False):
    """Try a GitHub token on the repositories, and put it into Secret Manager; from a prompt or a file."""
    github_token.store(Shell(dry_run), read_settings(), force, disable_old)


@verb(help={"dry_run": DRY_RUN})
def secret_check(c, dry_run=False):
    """Try the GitHub token in Secret Manager on the repositories, and tell its age."""
    github_token.check(Shell(dry_run), read_settings())


@verb(
    help={"image": "another image than the local one, e.g. one of `invoke build-local`", "dry_run": DRY_RUN}
)
def image_test(c, image="", dry_run=False):
    """Check what an image holds: packages, entry points, user, no token."""
    images.check(Shell(dry_run), image)


@verb(
    help={
        "clock_speed": "how much faster time goes for its services, e.g. 60; tasks that do work keep ours",
        "docker": "run tasks of Batch in containers instead of processes",
        "storage_port": "port of Cloud Storage on 127.0.0.1; a free one without it",
        "apis_port": "port of all other services; a free one without it",
        "furnish": "start none; put into that of this shell's exports what Terraform and a build would",
        "dry_run": DRY_RUN,
    }
)
def localcloud(
    c, clock_speed="1", docker=False, storage_port=None, apis_port=None, furnish=False, dry_run=False
):
    """Run an emulated Google Cloud on this machine until Ctrl-C, and print the exports for a shell."""
    if furnish:
        populate.furnish_this_shell(Shell(dry_run), read_settings())
        return
    request = local_cloud.CloudRequest(
        clock_speed=clock_speed,
        docker=docker,
        storage_port=whole_number("--storage-port", storage_port, 1, LAST_PORT) or 0,
        apis_port=whole_number("--apis-port", apis_port, 1, LAST_PORT) or 0,
    )
    local_cloud.run(Shell(dry_run), read_settings(), request)


@verb(help={"fix": "rewrite what can be fixed automatically", "dry_run": DRY_RUN})
def lint(c, fix=False, dry_run=False):
    """Check the style of Python, shell code and the Dockerfile, and scan terraform/."""
    quality.lint(Shell(dry_run), fix)


@verb(help={"upgrade": "take the newest versions instead of keeping what is locked", "dry_run": DRY_RUN})
def lock(c, upgrade=False, dry_run=False):
    """Lock the packages of every requirements file, with hashes."""
    quality.lock(Shell(dry_run), upgrade)


@verb(
    help={
        "match": "only tests whose name matches, as pytest -k takes it",
        "path": "only this file or folder, e.g. tests/test_storage.py",
        "dry_run": DRY_RUN,
    }
)
def test(c, match="", path="", dry_run=False):
    """Run the test suite."""
    quality.test(Shell(dry_run), match, path)


@verb(
    help={
        "seed": "root of every random draw; another one tries other mutants",
        "count": "number of mutants, about 25 a second and core",
        "dry_run": DRY_RUN,
    }
)
def fuzz(c, seed="1", count="2000", dry_run=False):
    """Try random changes of experiments, data and artifacts: each is refused in a line or valid."""
    numbers = whole_number("--seed", seed, 0, MOST_SEED), whole_number("--count", count, LEAST_MUTANTS)
    quality.fuzz(Shell(dry_run), *numbers)


@verb(
    help={
        "runs": "also delete local runs with their results",
        "buckets": "also delete the buckets of `invoke localcloud`",
        "exp_id": "with --runs: only this experiment's",
        "yes": YES,
        "dry_run": "print what would be removed, remove nothing",
    }
)
def clean(c, runs=False, buckets=False, exp_id="", yes=False, dry_run=False):
    """Remove caches and half-written files, and local runs or buckets when asked."""
    cleaning.clean(read_settings(), runs, buckets, exp_id, yes, dry_run)


def mode(local: bool, cloud: bool) -> str | None:
    """Return the execution mode that was asked for; None leaves it to the settings."""
    if local and cloud:
        raise UserError("--local and --cloud: choose one")
    return "local" if local else "cloud" if cloud else None


def number_shown(limit: str) -> int | None:
    """Return how many of the newest are asked for; None for all."""
    return None if limit == "all" else whole_number("--limit", limit, 1)


def only_in_the_cloud(options: dict[str, object]) -> None:
    """Refuse what a run on this machine would not heed."""
    given = [f"--{name.lower().replace('_', '-')}" for name, value in options.items() if value is not None]
    if given:
        names = " and ".join(given).replace("--provisioning-model", "--spot")
        raise UserError(f"{names}: for runs in the cloud; add --cloud, or leave it out")


def whole_number(option: str, text: str | None, least: int = 0, most: int = MOST) -> int | None:
    """Return the number of an option; invoke hands over text, and would end in a traceback itself."""
    if text is None:
        return None
    digits = str(text)
    known = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(most))
    if not known or not least <= int(digits) <= most:
        raise UserError(f"{option} {digits:.40}: a whole number is needed, from {least} to {most}")
    return int(digits)
