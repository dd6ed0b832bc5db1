"""Tasks that run an experiment here or in the cloud, check it, or estimate its cost."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from ops.costs import cost_report
from ops.environment import chosen_settings, read_settings
from ops.failures import UserError
from ops.gpu import cost as gpu_cost
from ops.laptop import local_run, run_tables
from ops.rehearsal import gpu_lane, rehearsal
from ops.rehearsal.five_states import EXP_ID as FIVE_STATES
from ops.rehearsal.furnish import check_words
from ops.rehearsal.rights import RightsRequest
from ops.run_request import RunRequest
from ops.runs import cloud_run, reproduction
from ops.shell import Shell
from ops.tasks.verb import DRY_RUN, EXP_ID, REQUEST, STAGE, WAIT, WHERE, mode, the_cloud, verb
from ops.terminal import nearest

CLOUD_OPTIONS = {
    "MAX_PARALLELISM": "--max-parallelism",
    "IMAGE_TAG": "--image-tag",
    "BILLING_PROJECT": "--billing-project",
    "PROVISIONING_MODEL": "--spot",
}
ONLY_HERE = ("LOCAL_JOBS", "HOST_UID", "HOST_GID")  # settings that only a run on this machine uses
HERE = (  # every setting that a run on this machine uses
    *ONLY_HERE,
    "EXECUTION_MODE",
    "LOCAL_DATA_PATH",
    "FORECAST_REPO_DIR",
    "DIR_PREFIX",
    "EPYDEMIX_DATA_DIR",
    "MODELING_SUITE",
    "ENGINE",
    "RUN_COUNT",
    "RUN_SEED",
    "RUN_OUTPUT_STAGE",
    "OUTPUT_CONFIG_FILE",
    "ALLOW_PARTIAL_RESULTS",
    "MAX_RETRY_COUNT",
    "LOG_LEVEL",
    "STORAGE_VERBOSE",
)
REHEARSALS = {"batch": rehearsal.rehearse, "gpu": gpu_lane.rehearse}
FORECASTING = ("reference_date", "strict")
BUILDING = ("exp_id", "count", "seed", *FORECASTING, "output_config_file")
RUNNING = (
    "exp_id",
    "run_id",
    "count",
    "seed",
    *FORECASTING,
    "jobs",
    "output_config_file",
    "allow_partial",
    "force",
    "docker",
)


@verb(
    request=RUNNING,
    help=WHERE
    | {
        "skip_output": "skip stage C",
        "wait": f"cloud: {WAIT}",
        "max_parallelism": "cloud: tasks of stage B at once",
        "image_tag": "cloud: a tag of the image, e.g. a commit, instead of IMAGE_TAG",
        "billing_project": "cloud: label of its costs: the project they are for",
        "spot": "cloud: cheaper machines for stage B, which may be taken away",
        "set": "a setting for this run only, as in --set STAGE_B_MEMORY_MIB=8192; may be repeated",
        "dry_run": DRY_RUN,
    },
    iterable=["set"],
)
def run(
    c,
    request,
    local=False,
    cloud=False,
    skip_output=False,
    wait=False,
    max_parallelism=None,
    image_tag=None,
    billing_project=None,
    spot=False,
    set=None,
    dry_run=False,
):
    """Run an experiment here or in the cloud, or resume a run, and print its forecast."""
    request = replace(request, run_output_stage=not skip_output)
    options = {
        "EXECUTION_MODE": mode(local, cloud),
        "MAX_PARALLELISM": max_parallelism,
        "IMAGE_TAG": image_tag,
        "BILLING_PROJECT": billing_project,
        "PROVISIONING_MODEL": "SPOT" if spot else None,
    }
    chosen = chosen_settings(set or [], options)
    _refuse_second_values(chosen, request)
    settings = read_settings(chosen=chosen)
    if settings.execution_mode == "cloud":
        _refuse_local_settings(chosen)
        instead = "with --local it runs on this machine"
        cloud_run.run(the_cloud(dry_run, settings, instead=instead), request, wait)
        return
    _refuse_cloud_options(chosen, options, wait)
    done = local_run.run(Shell(dry_run), settings, request)
    if not dry_run and not skip_output and settings.run_output_stage:
        run_tables.show_results(settings, request.exp_id, done.run_id)


@verb(
    positional=["stage"],
    request=RUNNING,
    help={
        "stage": STAGE,
        "run_id": "the run; without it the builder starts a new one",
        "task_index": "runner: the input to run, counted from 0; without it all that are pending",
        "num_inputs": "runner: number of inputs, from --task-index on; output: number of inputs with results",
        "jobs": "runner: tasks at once; default one per core",
        "dry_run": DRY_RUN,
    },
)
def stage(c, stage, request, task_index=None, num_inputs=None, dry_run=False):
    """Run one stage of a run: builder (A), runner (B) or output (C)."""
    done = local_run.run_stage(Shell(dry_run), read_settings(), request, stage, task_index, num_inputs)
    print(f"run {done.run_id} in {nearest(done.folder)}")


@verb(
    request=(*BUILDING, "docker"),
    defaults={"exp_id": FIVE_STATES},
    help={
        "exp_id": f"{EXP_ID}; default the demo for five states",
        "lane": "batch: stages as Batch jobs; gpu: services of Cloud Run, started by an upload",
        "docker": "batch: run tasks in containers of the cloud image that `invoke build-local` builds",
        "rights": "fail if rights cannot be rehearsed; with a file, take them from it: a plan as JSON",
        "iam_delay": "seconds of the services' clock until rights that were given count, e.g. 420; default 0",
        "dry_run": DRY_RUN,
    },
    optional=["rights"],
)
def rehearse(c, request, lane="batch", rights=None, iam_delay=0, dry_run=False):
    """Run an experiment on an emulated cloud and on this machine, and compare the outputs."""
    if lane not in REHEARSALS:
        raise UserError(f"--lane {lane}: use {' or '.join(REHEARSALS)}")
    check_words(rights, None, furnish=False)
    REHEARSALS[lane](Shell(dry_run), read_settings(), request, RightsRequest.of(rights, iam_delay))


@verb(
    help={
        "exp_id": f"{EXP_ID}; not for --lane gpu",
        "lane": "batch: a run as Batch jobs; gpu: an upload to the services of Cloud Run",
        "run_id": "a run to resume: its inputs without a result, by its own times; without it a new run",
        "count": REQUEST["count"][1],
        "num_inputs": "number of inputs of stage B, instead of the experiment's",
        "task_seconds": "seconds per input, instead of those of an earlier run",
        "max_parallelism": "tasks of stage B at once, instead of MAX_PARALLELISM",
        "dry_run": "print the commands that would read the bucket, and what is known without them",
    },
)
def cost(
    c,
    exp_id="",
    lane="batch",
    run_id="",
    count=None,
    num_inputs=None,
    task_seconds=None,
    max_parallelism=None,
    dry_run=False,
):
    """Estimate the cost and duration of a run in the cloud."""
    if lane not in REHEARSALS:
        raise UserError(f"--lane {lane}: use {' or '.join(REHEARSALS)}")
    if lane == "gpu":
        options = {
            "--exp-id": exp_id or None,
            "--run-id": run_id or None,
            "--count": count,
            "--num-inputs": num_inputs,
            "--task-seconds": task_seconds,
            "--max-parallelism": max_parallelism,
        }
        if given := [name for name, value in options.items() if value is not None]:
            raise UserError(f"{' and '.join(given)}: for --lane batch; leave it out")
        gpu_cost.show_cost(read_settings())
        return
    settings = read_settings(chosen={"MAX_PARALLELISM": max_parallelism})
    request = RunRequest(exp_id, run_id, count)
    cost_report.show_estimate(Shell(dry_run), settings, request, num_inputs, task_seconds)


@verb(
    help={
        "exp_id": EXP_ID,
        "run_id": "the run to repeat; it must have outputs",
        "local": "a run on this machine; overrides EXECUTION_MODE",
        "cloud": "a run on Google Cloud; overrides EXECUTION_MODE",
        "compare_with": "compare with this finished run instead of starting one",
        "dry_run": DRY_RUN,
    }
)
def reproduce(c, exp_id, run_id="", local=False, cloud=False, compare_with="", dry_run=False):
    """Repeat a run from its run_metadata.json and compare the outputs, byte for byte."""
    settings = read_settings(chosen={"EXECUTION_MODE": mode(local, cloud)})
    reproduction.reproduce(Shell(dry_run), settings, exp_id, run_id, compare_with)


@verb(
    request=("exp_id", *FORECASTING, "output_config_file"),
    help={"output_config_file": "check with another output YAML", "dry_run": DRY_RUN},
)
def validate(c, request, dry_run=False):
    """Check an experiment and its data without running it."""
    local_run.validate(Shell(dry_run), read_settings(), request)


def _refuse_second_values(chosen: Container[str], request: RunRequest) -> None:
    """Refuse a setting chosen by --set whose own option is given, too."""
    own = {
        "RUN_COUNT": request.count is not None,
        "RUN_SEED": request.seed is not None,
        "LOCAL_JOBS": request.jobs is not None,
        "OUTPUT_CONFIG_FILE": bool(request.output_config_file),
        "ALLOW_PARTIAL_RESULTS": request.allow_partial,
        "RUN_OUTPUT_STAGE": not request.run_output_stage,
    }
    for name, is_given in own.items():
        if is_given and name in chosen:
            raise UserError(f"--set {name}: {name} is given twice; leave one out")


def _refuse_local_settings(chosen: Container[str]) -> None:
    """Refuse what a run in the cloud would ignore."""
    if given := [f"--set {name}" for name in ONLY_HERE if name in chosen]:
        raise UserError(f"{' and '.join(given)}: for runs on this machine; leave it out, or add --local")


def _refuse_cloud_options(chosen: Iterable[str], options: Mapping[str, object], wait: bool) -> None:
    """Refuse what a run on this machine would ignore."""
    given = [
        f"--set {name}" if options.get(name) is None else CLOUD_OPTIONS[name]
        for name in chosen
        if name not in HERE
    ]
    given += ["--wait"] if wait else []
    if given:
        raise UserError(f"{' and '.join(given)}: for runs in the cloud; add --cloud, or leave it out")
