"""Start a run on Google Cloud: check it, upload its repository if needed, execute the workflow.

Running executions are in cloud/executions.py.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling.run_names import ARCHIVE, OUTPUT_CONFIGS
from ops.cloud import checks
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import (
    as_label,
    check_stages_fit,
    check_token_is_kept_apart,
    stage_variables,
    workflow_stages,
)
from ops.cloud.executions import Execution, follow
from ops.cloud.jobs import id_of, running_by_hand, state_of
from ops.costs import cost_report
from ops.failures import UserError
from ops.gcloud import GcloudError, in_parallel, is_no_match
from ops.laptop import local_run
from ops.names import account_email
from ops.run_request import RunRequest
from ops.runs import run_setup
from ops.runs.uploads import (
    OutputFile,
    check_output_file,
    copy_file,
    output_file,
    upload_forecast,
    upload_output_file,
)
from ops.settings import Settings


@dataclass(frozen=True)
class Started:
    """A started run: its execution, and its path gs://.../<run id>/."""

    execution: Execution
    path: str

    @property
    def run_id(self) -> str:
        return self.path.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Origin:
    """A run to repeat: its image, and the forecasting repository that it used."""

    path: str  # gs://.../<run id>/
    image: str  # with its digest
    has_archive: bool  # of its repository; without one FORECAST_REPO_REF is its commit
    commit: str


def run(cloud: Cloud, request: RunRequest, wait: bool = False) -> None:
    """Start a run in the cloud and print how to follow it, or follow it to its end.

    Raises
    ------
    UserError
        The run could not be started, or it failed.
    """
    for option, value in (("--jobs", request.jobs), ("--docker", request.docker)):
        if value:
            raise UserError(f"{option}: only for runs on this machine; leave it out, or add --local")
    if cloud.shell.dry_run:
        start(cloud, request)
        cost_report.show_before(cloud.shell, cloud.settings, request)
        return
    report_cost = cost_report.estimate_in_background(cloud.shell, cloud.settings, request)
    started = start(cloud, request, before=report_cost)
    print_how_to_follow(started.execution)
    if wait:
        follow(started.execution)


@dataclass(frozen=True)
class _Plan:
    """A checked run: the arguments of its execution, and the files to upload before it starts."""

    request: RunRequest  # with the id of the run
    arguments: dict[str, Any]
    repository: Path | None  # None: the run has its own, or clones it from GitHub
    output_file: OutputFile
    origin: Origin | None


def start(
    cloud: Cloud,
    request: RunRequest,
    origin: Origin | None = None,
    before: Callable[[], None] = lambda: None,
) -> Started:
    """Start a new run, resume a run, or repeat the run of an origin.

    `before` is called after all checks and before any upload.

    Raises
    ------
    UserError
        Something is missing or wrong, with the command that fixes it; nothing was started.
    """
    plan = _plan(cloud, request, origin)
    path = cloud.run_path(*plan.request.key)
    # after all checks: a refused run has no id
    print(f"run {plan.request.run_id} of {request.exp_id}: {path}", flush=True)
    before()
    _upload(cloud, plan, path)
    return Started(_execute(cloud, plan), path)


def _plan(cloud: Cloud, request: RunRequest, origin: Origin | None) -> _Plan:
    """Check everything that a run needs, and return what to upload and start."""
    check_stages_fit(cloud.settings)
    check_token_is_kept_apart(cloud.settings)
    is_resumed, request = bool(request.run_id), request.identified()
    where = f"{request.exp_id} in project {cloud.project}, {cloud.region}"
    print(f"EXECUTION_MODE=cloud: {where}", flush=True)
    arguments = run_arguments(cloud.settings, request, is_resumed)
    has_repository = is_resumed or cloud.settings.github_forecast_repo or origin
    repository = None if has_repository else _repository(cloud.settings, request)
    arguments["imageUri"] = _checked_image(cloud, request, is_resumed, repository, origin)
    output_yaml = output_file(cloud.settings, request, is_resumed)
    if repository:
        arguments["forecastCommit"] = local_run.commit_of(repository)
    else:
        check_output_file(cloud, request, output_yaml)
    if origin and origin.has_archive:
        arguments["forecastCommit"] = origin.commit
    return _Plan(request, arguments, repository, output_yaml, origin)


def _upload(cloud: Cloud, plan: _Plan, path: str) -> None:
    """Upload the repository and the output YAML of a run, or copy them from its origin."""
    if plan.origin and plan.origin.has_archive:
        copy_file(cloud, ARCHIVE, plan.origin.path, path)
    if plan.origin and plan.request.output_config_file.startswith(OUTPUT_CONFIGS):
        copy_file(cloud, plan.request.output_config_file, plan.origin.path, path)
    if plan.repository:
        upload_forecast(cloud, plan.repository, path)
    upload_output_file(cloud, plan.output_file, path)


def run_arguments(settings: Settings, request: RunRequest, is_resumed: bool = False) -> dict[str, Any]:
    """Return the arguments of the workflow, except the image, from settings and request.

    Every setting is passed, so that .env counts even if it has changed since the deployment.
    """
    count, seed = request.count, request.seed
    variables = stage_variables(settings)
    if is_resumed:  # a run keeps what it was built with; only options of this command are checked
        variables |= {"MODELING_SUITE": "", "ENGINE": ""}
    else:
        count = settings.run_count if count is None else count
        seed = settings.run_seed if seed is None else seed
    # only where they are given, since a workflow deployed earlier does not know the newest ones
    given = {"count": count, "seed": seed}
    given |= {"referenceDate": request.reference_date or None, "strict": request.strict or None}
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
        "outputConfigFile": output_file(settings, request, is_resumed).name,
        "allowPartial": request.allow_partial or settings.allow_partial_results,
        "runOutputStage": request.run_output_stage and settings.run_output_stage,
        "force": request.force,
        "variables": variables | {run_setup.VARIABLE: run_setup.run_setup(settings)},
    } | {name: value for name, value in given.items() if value is not None}


def _repository(settings: Settings, request: RunRequest) -> Path:
    """Return the local forecasting repository; refuse if it has no such experiment."""
    local_run.check_experiment_exists(settings, request.exp_id)
    return local_run.forecast_repository(settings, request.exp_id)


def _checked_image(
    cloud: Cloud, request: RunRequest, is_resumed: bool, repository: Path | None, origin: Origin | None
) -> str:
    """Return the image with its digest, after all checks at once; the first that fails is raised."""
    newest = "referenceDate" if request.reference_date or request.strict else "builderSaEmail"
    questions: list[Callable[[], Any]] = [
        lambda: checks.check_account(cloud.shell),
        lambda: checks.check_bucket(cloud),
        lambda: checks.check_workflow_takes(cloud, newest),
        lambda: checks.check_image(cloud.shell, origin.image) if origin else checks.resolve_image(cloud),
    ]
    if cloud.settings.github_pat_secret:
        questions.append(lambda: checks.check_secret(cloud))
    if is_resumed:
        questions.append(lambda: _check_run(cloud, request))
        questions.append(lambda: _check_no_job_by_hand(cloud, request))
    if repository:
        local_run.validate(cloud.shell, cloud.settings, request, in_cloud=True)
    return in_parallel(questions)[3]


def _check_run(cloud: Cloud, request: RunRequest) -> None:
    """Refuse to resume a run that has no files in the bucket."""
    path = cloud.run_path(*request.key)
    try:
        cloud.read(["storage", "ls", path, *cloud.in_project], echo=False)
    except GcloudError as error:
        if not is_no_match(error):
            raise
        raise UserError(
            f"{path}: no such run; `invoke runs --cloud --exp-id {request.exp_id}` lists them, "
            "and without --run-id a new one is started"
        ) from None


def _check_no_job_by_hand(cloud: Cloud, request: RunRequest) -> None:
    """Refuse to resume a run while a job submitted by hand runs on it: its tasks would be paid for twice."""
    for job in running_by_hand(cloud, request.exp_id, request.run_id):
        state, stage = state_of(job), job["labels"].get("stage", "")
        wrong = f"job {id_of(job)}, submitted by hand, is {state} on stage {stage} of this run"
        raise UserError(f"{wrong}; wait for it, or cancel it", fix=f"invoke job-cancel {id_of(job)}")


def _execute(cloud: Cloud, plan: _Plan) -> Execution:
    labels = {"exp_id": as_label(plan.request.exp_id), "run_id": plan.request.run_id}
    words = [
        *("workflows", "execute", cloud.settings.workflow_name),
        *cloud.in_region,
        *("--labels", ",".join(f"{name}={value}" for name, value in labels.items())),
        *("--data", json.dumps(plan.arguments, separators=(",", ":"))),
    ]
    answer = cloud.read_json(words) or {"name": "executions/dry-run"}
    return Execution(cloud, answer["name"].rpartition("/")[2])


def print_how_to_follow(execution: Execution) -> None:
    print(f"execution {execution.execution_id} has started; it continues if this terminal is closed")
    print(f"console  {execution.console_link}")
    print(f"follow   invoke workflow-describe {execution.execution_id} --wait")
    print(f"cancel   invoke workflow-cancel {execution.execution_id}", flush=True)
