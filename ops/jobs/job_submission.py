"""Submit one stage of a run as a Batch job, never twice, or write the jobs of a run to files.

Existing jobs are in batch_jobs.py; job_templates.py makes the content of a job.
"""

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ops.cloud import checks
from ops.cloud.bucket import run_ids
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import check_stages_fit, check_token_is_kept_apart
from ops.cloud.inputs import (
    Selection,
    choose_inputs,
    chosen_inputs,
    find_manifest,
    inputs_with_results,
    unfinished_inputs,
    upload_pending,
)
from ops.cloud.jobs import ENDING_JOB, id_of, jobs_of_run, state_of
from ops.failures import UserError
from ops.gcloud import GcloudError, in_parallel
from ops.jobs import batch_jobs
from ops.jobs.job_templates import FOLDER, Filling, fill_in, named_values, render_job
from ops.laptop import local_run
from ops.manifests import Manifest, Share
from ops.run_request import RunRequest
from ops.runs.uploads import (
    NO_OUTPUT_FILE,
    OutputFile,
    check_output_file,
    output_file,
    refuse_unknown,
    upload_forecast,
    upload_output_file,
)
from ops.settings import RENDERED, Settings
from ops.stages import LETTERS, STAGES
from ops.terminal import counted, nearest

NOTHING_TO_RUN = "nothing to do in stage B: every input has a result; --force runs them again"
_STAGES_OF = {  # stages of an option; all other options are for every stage
    "--only": ("runner",),
    "--max-parallelism": ("runner",),
    "--spot": ("runner",),
    "--count": ("builder",),
    "--seed": ("builder",),
    "--reference-date": ("builder",),
    "--strict": ("builder",),
    "--force": ("builder", "runner"),
    "--output-config-file": ("builder", "output"),
    "--allow-partial": ("output",),
}


@dataclass(frozen=True)
class Found:
    """A run as found in the cloud, and the image for its next job."""

    request: RunRequest  # with the id of the run
    image: str
    manifest: Manifest | None = None  # None: not built, or a dry run
    is_new: bool = False
    is_built: bool = False  # a dry run assumes so
    jobs: list[dict[str, Any]] = field(default_factory=list)  # of one stage
    results: set[int] = field(default_factory=set)  # inputs that have one


@dataclass(frozen=True)
class Plan:
    """A job to submit with its uploads, or the same job if it is already running."""

    stage: str
    job_id: str
    filling: Filling
    selection: Selection
    repository: Path | None = None  # for stage A
    output_file: OutputFile = NO_OUTPUT_FILE
    running: dict[str, Any] | None = None

    @property
    def has_nothing_to_run(self) -> bool:
        return self.stage == "runner" and not self.running and not self.selection.share.num_tasks


def check_options(stage: str, given: Mapping[str, object]) -> None:
    """Refuse an option that the stage would ignore."""
    for option, value in given.items():
        stages = _STAGES_OF.get(option, STAGES)
        if value not in (None, "", False) and stage not in stages:
            raise UserError(f"{option} is for stage {' and '.join(stages)}, not for {stage}")


def render(cloud: Cloud, request: RunRequest, num_tasks: int | None = None, with_probe: bool = False) -> None:
    """Write the jobs of a run's stages to jobs/rendered/, ready for `gcloud batch jobs submit`.

    `with_probe` also writes the job of docs/first-project.md, whose tasks end in different ways.

    Raises
    ------
    UserError
        Something is missing or wrong; or the run is not built, and num_tasks is not given.
    """
    found = look(cloud, request)
    if not found.manifest and num_tasks is None and not cloud.shell.dry_run:
        raise _number_of_tasks_unknown(cloud, found)
    share = share_of(cloud.settings, found, num_tasks)
    repository = _repository(cloud, found)
    _print_run(cloud, found.request, "jobs")
    path = cloud.run_path(*found.request.key)
    if repository:
        upload_forecast(cloud, repository, path)
    filling = _filling(found, share, repository)
    upload_output_file(cloud, _checked_output_file(cloud, found), path)
    print("submit them in order, each after the previous one has succeeded:")
    for stage in STAGES:
        _render_stage(cloud, stage, filling)
    if with_probe:
        path, values = RENDERED / "probe.json", named_values(cloud.settings, filling)
        cloud.shell.write_file(path, _as_json(fill_in(FOLDER / "probe.json", values)))
        print(f"  for docs/first-project.md: {nearest(path)}")


def _render_stage(cloud: Cloud, stage: str, filling: Filling) -> None:
    """Write the job of a stage and print the command that submits it."""
    name = f"stage-{LETTERS[stage].lower()}"
    path = RENDERED / f"{name}.json"
    if stage == "runner" and not filling.share.num_tasks:
        path.unlink(missing_ok=True)
        print(f"  {NOTHING_TO_RUN}")
        return
    cloud.shell.write_file(path, _as_json(render_job(cloud.settings, stage, filling)))
    words = _submit_words(cloud, f"{name}-$(date +%s)", path)
    print(f"  gcloud {' '.join(word if '$' in word else shlex.quote(word) for word in words)}")


def submit(
    cloud: Cloud, stage: str, request: RunRequest, only: str | None = None, wait: bool = False
) -> None:
    """Submit one stage of a run as a job; with `wait`, follow it to its end.

    Parameters
    ----------
    only : str
        Inputs of stage B, such as 3,17,40; by default all without a result, or all with `force`.

    Raises
    ------
    UserError
        Something is missing or wrong, or another job of the stage is running: nothing was submitted. Or the
        job failed.
    """
    inputs = [] if only is None else chosen_inputs(only)
    if stage != "builder" and not request.run_id:
        raise UserError(
            f"--run-id is needed for stage {stage}; `invoke job-list --exp-id {request.exp_id}` lists runs"
        )
    found = look(cloud, request, stage, wants_results=only is None and not request.force)
    plan = plan_job(cloud, found, stage, inputs)
    if plan.has_nothing_to_run:
        print(NOTHING_TO_RUN)
        return
    created = None if plan.running else create(cloud, plan)
    cloud.shell.end_if_dry_run()
    job = created or plan.running or batch_jobs.describe(cloud, plan.job_id)
    batch_jobs.print_how_to_follow(cloud, job, is_new=bool(created))
    if wait:
        batch_jobs.follow(cloud, plan.job_id)


def look(cloud: Cloud, request: RunRequest, stage: str = "", wants_results: bool = False) -> Found:
    """Return the run with its image and manifest, the jobs of a stage, and the inputs that have results.

    All questions are asked at once; the first answer that is missing, in their order, is refused.
    """
    check_stages_fit(cloud.settings)
    check_token_is_kept_apart(cloud.settings)
    is_new, request = not request.run_id, request.identified()
    path = cloud.run_path(*request.key)
    questions: dict[str, Callable[[], Any]] = {
        "bucket": lambda: checks.check_bucket(cloud),
        "image": lambda: checks.resolve_image(cloud),
    }
    if cloud.settings.github_pat_secret:
        questions["secret"] = lambda: checks.check_secret(cloud)
    if not is_new:
        questions["manifest"] = lambda: find_manifest(cloud, path)
    if not is_new and stage:
        questions["jobs"] = lambda: jobs_of_run(cloud, request.run_id, stage)
    if not is_new and stage == "runner" and wants_results:
        questions["results"] = lambda: inputs_with_results(cloud, path)
    found = dict(zip(questions, in_parallel(list(questions.values())), strict=True))
    manifest = found.get("manifest")
    is_built = bool(manifest) or (cloud.shell.dry_run and not is_new)
    jobs, results = found.get("jobs", []), found.get("results", set())
    return Found(request, found["image"], manifest, is_new, is_built, jobs, results)


def plan_job(cloud: Cloud, found: Found, stage: str, inputs: Sequence[int]) -> Plan:
    """Return the job for a stage of a run, or the same job if it is running.

    Raises
    ------
    UserError
        The run is not built, the experiment or its output YAML is not valid, or another job is running.
    """
    repository = _repository(cloud, found) if stage == "builder" else None
    if stage != "builder" and not found.is_built:
        _check_there(cloud, found.request)
        path = cloud.run_path(*found.request.key)
        raise UserError(f"{path}: not built yet", fix=_command("builder", found.request))
    _print_run(cloud, found.request, f"stage {LETTERS[stage]} ({stage})")
    if stage == "runner" and not found.manifest:
        note = "a dry run reads no manifest; taskCount and PENDING_FILE will have other values"
        print(f"note: {note}", file=sys.stderr)
    selection = Selection(share_of(cloud.settings, found))
    if inputs and found.manifest:
        selection = choose_inputs(found.manifest, inputs)
    filling = _filling(found, selection.share, repository)
    job_id, running = job_id_of(cloud.settings, stage, filling, found.jobs, bool(inputs))
    plan = Plan(stage, job_id, filling, selection, repository, running=running)
    if running:
        return plan
    if stage == "runner" and not inputs and found.manifest:
        # The id is made from all pending inputs, so the same command finds the job while it runs.
        plan = _narrowed(plan, _unfinished(found))
    if plan.has_nothing_to_run:
        return plan
    return replace(plan, output_file=_checked_output_file(cloud, found))


def create(cloud: Cloud, plan: Plan) -> dict[str, Any] | None:
    """Upload what a job needs and submit it; None if an earlier request has done so."""
    path = cloud.run_path(*plan.filling.request.key)
    upload_pending(cloud, path, plan.selection)
    upload_output_file(cloud, plan.output_file, path)
    if plan.repository:
        upload_forecast(cloud, plan.repository, path)
    body = _as_json(render_job(cloud.settings, plan.stage, plan.filling, plan.job_id))
    rendered = RENDERED / f"{plan.job_id}.json"
    cloud.shell.write_file(rendered, body, preview=body)
    try:
        return cloud.read_json(_submit_words(cloud, plan.job_id, rendered))
    except GcloudError as error:
        if "ALREADY_EXISTS" not in error.said:
            raise
        return None


def _narrowed(plan: Plan, selection: Selection) -> Plan:
    return replace(plan, selection=selection, filling=replace(plan.filling, share=selection.share))


def _unfinished(found: Found) -> Selection:
    """Return the inputs of a built run that have no result; print how many have one."""
    number, done = found.manifest.num_workloads, len(found.results)
    if 0 < done < number:
        print(f"{done:,} of {counted(number, 'input')} have a result and are skipped", flush=True)
    return unfinished_inputs(found.manifest, found.results)


def _filling(found: Found, share: Share, repository: Path | None) -> Filling:
    commit = local_run.commit_of(repository) if repository else ""
    return Filling(found.request, found.image, found.is_built, share, commit)


def _checked_output_file(cloud: Cloud, found: Found) -> OutputFile:
    """Return the output YAML that was asked for, after checking it."""
    file = output_file(cloud.settings, found.request, found.is_built)
    if found.manifest:
        refuse_unknown(cloud.settings, found.request, file, found.manifest.output_config_file)
    check_output_file(cloud, found.request, file)
    return file


def _print_run(cloud: Cloud, request: RunRequest, what: str) -> None:
    """Print the run; only after all checks, because a refused run has no id."""
    print(
        f"{what} of run {request.run_id} of {request.exp_id} in project {cloud.project}, "
        f"{cloud.region}, {cloud.run_path(*request.key)}",
        flush=True,
    )


def _number_of_tasks_unknown(cloud: Cloud, found: Found) -> UserError:
    request = found.request
    if not found.is_new:
        _check_there(cloud, request)
    which = "a new run" if found.is_new else f"run {request.run_id}"
    build = _command("builder", replace(request, run_id="") if found.is_new else request)
    return UserError(
        f"{which} is not built yet, so the number of tasks of stage B is unknown: "
        f"add --num-tasks N, or build it first: {build}"
    )


def _check_there(cloud: Cloud, request: RunRequest) -> None:
    """Refuse a run that is not in the bucket: its name may be mistyped."""
    if request.run_id not in run_ids(cloud, request.exp_id):
        raise UserError(
            f"{cloud.run_path(*request.key)}: no such run",
            fix=f"invoke runs --cloud --exp-id {request.exp_id}",
        )


def _repository(cloud: Cloud, found: Found) -> Path | None:
    """Return this machine's forecasting repository if stage A will use it, after checking the experiment.

    A built run has its own repository; with GITHUB_FORECAST_REPO, stage A clones one.
    """
    if found.manifest or cloud.settings.github_forecast_repo:
        return None
    local_run.check_experiment_exists(cloud.settings, found.request.exp_id)
    local_run.validate(cloud.shell, cloud.settings, found.request, in_cloud=True)
    return local_run.forecast_repository(cloud.settings, found.request.exp_id)


def share_of(settings: Settings, found: Found, num_tasks: int | None = None) -> Share:
    """Return how the pending inputs are divided into tasks; with `num_tasks` only the first tasks."""
    manifest = found.manifest
    share = manifest.share if manifest else Share(num_tasks or 1, settings.workloads_per_task)
    if num_tasks is None:
        return share
    if num_tasks > share.num_tasks:
        raise UserError(f"--num-tasks {num_tasks}: this run has {counted(share.num_tasks, 'task')} to run")
    return replace(share, num_tasks=num_tasks)


def job_id_of(
    settings: Settings, stage: str, filling: Filling, jobs: Iterable[dict[str, Any]], is_chosen: bool
) -> tuple[str, dict[str, Any] | None]:
    """Return the id of a job, and the job itself if it is running.

    The id is made from the content of the job, and a number if such jobs have ended: the same command, and a
    request that gcloud sends twice, result in the same id.

    Raises
    ------
    UserError
        Another job of the stage is running, unless this job is for chosen inputs.
    """
    described = json.dumps(render_job(settings, stage, filling), sort_keys=True)
    base = f"{stage}-{filling.request.run_id}-{hashlib.sha256(described.encode()).hexdigest()[:8]}"
    ended = 0
    for job in jobs:
        job_id, state = id_of(job), state_of(job)
        same = re.fullmatch(rf"{base}(?:-([0-9]{{1,6}}))?", job_id)
        if same and state not in ENDING_JOB:
            return job_id, job
        if same:
            ended = max(ended, int(same[1] or 1))
        elif state not in ENDING_JOB and not is_chosen:
            raise UserError(
                f"job {job_id} is {state} on stage {stage} of this run; wait for it, or cancel it",
                fix=f"invoke job-cancel {job_id}",
            )
    return f"{base}-{ended + 1}" if ended else base, None


def _submit_words(cloud: Cloud, job_id: str, path: Path) -> list[str]:
    return ["batch", "jobs", "submit", job_id, *cloud.in_region, "--config", nearest(path)]


def _as_json(job: dict[str, Any]) -> str:
    return json.dumps(job, indent=2) + "\n"


def _command(stage: str, request: RunRequest) -> str:
    run = f" --run-id {request.run_id}" if request.run_id else ""
    return f"invoke job --stage {stage} --exp-id {request.exp_id}{run}"
