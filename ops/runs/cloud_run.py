"""A run on Google Cloud: checked, its repository uploaded where need be, and started as a workflow execution.

Executions that have begun are in executions.py. Nothing here knows what a stage computes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ops import gcloud, run_paths
from ops.cloud import checks
from ops.cloud.deployment import (
    as_label,
    check_stages_fit,
    check_token_is_kept_apart,
    stage_variables,
    workflow_stages,
)
from ops.cloud.executions import Execution, follow
from ops.cloud.jobs import going_on_by_hand, id_of, state_of
from ops.costs import cost_report
from ops.failures import UserError
from ops.gcloud import GcloudError, at_once, is_no_match
from ops.laptop import local_run
from ops.names import account_email
from ops.run_paths import ARCHIVE, OUTPUT_CONFIGS
from ops.run_request import RunRequest, new_run_id
from ops.runs import run_setup
from ops.runs.uploads import check_output_file, copy_file, output_file, upload_forecast, upload_output_file
from ops.settings import Settings, need
from ops.shell import Shell


@dataclass(frozen=True)
class Started:
    """A run that has begun, and where it is in the bucket: gs://.../<run id>/."""

    execution: Execution
    path: str


@dataclass(frozen=True)
class Origin:
    """A run that is to be run again: its image, and the forecasting repository it used."""

    path: str  # gs://.../<run id>/
    image: str  # with its digest
    has_archive: bool  # of the repository; else FORECAST_REPO_REF names its commit
    commit: str


def run(shell: Shell, settings: Settings, request: RunRequest, wait: bool = False) -> None:
    """Start a run and say how to follow it, or follow it to its end; UserError where it fails."""
    for option, value in (("--jobs", request.jobs), ("--docker", request.docker)):
        if value:
            raise UserError(f"{option}: for runs on this machine; leave it out, or add --local")
    if shell.dry_run:
        start(shell, settings, request)
        cost_report.show_before(shell, settings, request)
        return
    report_cost = cost_report.in_the_meantime(shell, settings, request)
    started = start(shell, settings, request, before=report_cost)
    tell_how_to_follow(started.execution)
    if wait:
        follow(shell, started.execution)


def start(
    shell: Shell,
    settings: Settings,
    request: RunRequest,
    origin: Origin | None = None,
    before: Callable[[], None] = lambda: None,
) -> Started:
    """Check what a run needs, then start it, or go on with one; with an origin, do that once more.

    `before` is called after all checks, before anything is uploaded.

    Raises
    ------
    UserError
        Something is missing or wrong, with the command that mends it; nothing was started.
    """
    need(settings, "project_id", "bucket_name", instead="with --local it runs on this machine")
    check_stages_fit(settings)
    check_token_is_kept_apart(settings)
    goes_on = bool(request.run_id)
    request = replace(request, run_id=request.run_id or new_run_id())
    print(
        f"EXECUTION_MODE=cloud: {request.exp_id} in project {settings.project_id}, {settings.region}",
        flush=True,
    )
    arguments = run_arguments(settings, request, goes_on)
    is_elsewhere = goes_on or settings.github_forecast_repo or origin
    repository = None if is_elsewhere else _repository(settings, request)
    image = _check(shell, settings, request, goes_on, repository, origin)
    another = output_file(settings, request, goes_on)
    if not repository:
        check_output_file(shell, settings, request, another)
    # only now: the id of a refused run would name nothing
    print(f"run {request.run_id} of {request.exp_id}: {run_path(settings, request)}", flush=True)
    before()
    if origin and origin.has_archive:
        copy_file(shell, settings, ARCHIVE, origin.path, run_path(settings, request))
        arguments["forecastCommit"] = origin.commit
    if origin and request.output_config_file.startswith(OUTPUT_CONFIGS):
        copy_file(shell, settings, request.output_config_file, origin.path, run_path(settings, request))
    if repository:
        upload_forecast(shell, settings, repository, run_path(settings, request))
        arguments["forecastCommit"] = local_run.commit_of(repository)
    upload_output_file(shell, settings, another, run_path(settings, request))
    execution = _execute(shell, settings, request, arguments | {"imageUri": image})
    return Started(execution, run_path(settings, request))


def run_path(settings: Settings, request: RunRequest) -> str:
    """Return where a run is in the bucket, ending with /."""
    return run_paths.run_path(settings, request.exp_id, request.run_id)


def run_arguments(settings: Settings, request: RunRequest, goes_on: bool = False) -> dict[str, Any]:
    """Return the workflow's arguments: settings and request by the names it knows, but for the image.

    All that can be chosen is passed on, so that .env is the truth also where it changed since the deployment.
    """
    count, seed = request.count, request.seed
    variables = stage_variables(settings)
    if goes_on:  # a run keeps what it was built with: only what is asked for now is checked
        variables["MODELING_SUITE"] = ""
    else:
        count = settings.run_count if count is None else count
        seed = settings.run_seed if seed is None else seed
    return {
        "exp_id": request.exp_id,
        "runId": request.run_id,
        "bucket": settings.bucket_name,
        "dirPrefix": settings.dir_prefix,
        "batchSaEmail": account_email(settings.project_id, settings.batch_service_account),
        "builderSaEmail": account_email(settings.project_id, settings.builder_service_account),
        "githubForecastRepo": settings.github_forecast_repo,
        "forecastRepoRef": settings.forecast_repo_ref,
        "githubPatSecret": settings.github_pat_secret,
        "maxParallelism": settings.max_parallelism,
        "maxRetryCount": settings.max_retry_count,
        "workloadsPerTask": settings.workloads_per_task,
        "taskCountPerNode": settings.task_count_per_node,
        "provisioningModel": settings.provisioning_model,
        "stages": workflow_stages(settings),
        "billingProject": settings.billing_project,
        "outputConfigFile": output_file(settings, request, goes_on).name,
        "allowPartial": request.allow_partial or settings.allow_partial_results,
        "runOutputStage": request.run_output_stage and settings.run_output_stage,
        "force": request.force,
        "variables": variables | {run_setup.VARIABLE: run_setup.run_setup(settings)},
    } | {name: value for name, value in (("count", count), ("seed", seed)) if value is not None}


def _repository(settings: Settings, request: RunRequest) -> Path:
    """Return the local forecasting repository; refuse where it has no such experiment."""
    local_run.check_experiment_is_there(settings, request.exp_id)
    return local_run.forecast_repository(settings, request.exp_id)


def _check(
    shell: Shell,
    settings: Settings,
    request: RunRequest,
    goes_on: bool,
    repository: Path | None,
    origin: Origin | None,
) -> str:
    """Return the image with its digest. All is asked at once; what is missing first is told."""
    questions: list[Callable[[], Any]] = [
        lambda: checks.check_account(shell),
        lambda: checks.check_bucket(shell, settings),
        lambda: checks.check_workflow_takes(shell, settings, "builderSaEmail"),
        lambda: checks.check_image(shell, origin.image) if origin else checks.resolve_image(shell, settings),
    ]
    if settings.github_pat_secret:
        questions.append(lambda: checks.check_secret(shell, settings))
    if goes_on:
        questions.append(lambda: _check_run(shell, settings, request))
        questions.append(lambda: _check_no_job_by_hand(shell, settings, request))
    if repository:
        local_run.validate(shell, settings, request)
    return at_once(questions)[3]


def _check_run(shell: Shell, settings: Settings, request: RunRequest) -> None:
    """Refuse to go on with a run of which there is nothing."""
    path = run_path(settings, request)
    try:
        gcloud.read(shell, ["storage", "ls", path, "--project", settings.project_id], echo=False)
    except GcloudError as error:
        if not is_no_match(error):
            raise
        raise UserError(
            f"{path}: no such run; `invoke runs --cloud --exp-id {request.exp_id}` lists them, "
            "and without --run-id a new one is started"
        ) from None


def _check_no_job_by_hand(shell: Shell, settings: Settings, request: RunRequest) -> None:
    """Refuse to go on with a run while a job by hand does: the same tasks would be paid for twice."""
    for job in going_on_by_hand(shell, settings, request.exp_id, request.run_id):
        state, stage = state_of(job), job["labels"].get("stage", "")
        wrong = f"job {id_of(job)}, made by hand, is {state} on stage {stage} of this run"
        raise UserError(f"{wrong}; wait for it, or end it", mend=f"invoke job-cancel {id_of(job)}")


def _execute(shell: Shell, settings: Settings, request: RunRequest, arguments: dict[str, Any]) -> Execution:
    labels = {"exp_id": as_label(request.exp_id), "run_id": request.run_id}
    words = [
        *("workflows", "execute", settings.workflow_name),
        *("--location", settings.region, "--project", settings.project_id),
        *("--labels", ",".join(f"{name}={value}" for name, value in labels.items())),
        *("--data", json.dumps(arguments, separators=(",", ":"))),
    ]
    answer = gcloud.read_json(shell, words) or {"name": "executions/dry-run"}
    return Execution(settings, answer["name"].rpartition("/")[2])


def tell_how_to_follow(execution: Execution) -> None:
    print(f"execution {execution.execution_id} has begun, and goes on whatever becomes of this terminal")
    print(f"console  {execution.console_link}")
    print(f"follow   invoke workflow-describe {execution.execution_id} --wait")
    print(f"cancel   invoke workflow-cancel {execution.execution_id}", flush=True)
