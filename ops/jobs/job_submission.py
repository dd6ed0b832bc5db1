"""One stage of a run as a job of Batch, by hand: rendered from its template, submitted, never twice.

Jobs that there are, whoever made them, are in batch_jobs.py; what stands in one is in job_templates.py.
"""

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ops import gcloud
from ops.cloud import checks
from ops.cloud.bucket import run_ids
from ops.cloud.deployment import check_stages_fit, check_token_is_kept_apart
from ops.cloud.inputs import (
    Manifest,
    Share,
    choose_inputs,
    chosen_inputs,
    find_manifest,
    inputs_with_results,
    unfinished_inputs,
)
from ops.cloud.jobs import ENDING_JOB, id_of, jobs_of_run, state_of
from ops.failures import UserError
from ops.gcloud import GcloudError, at_once, place_words
from ops.jobs import batch_jobs
from ops.jobs.job_templates import Filling, describe_job
from ops.laptop import local_run
from ops.run_request import RunRequest, new_run_id
from ops.runs.cloud_run import run_path
from ops.runs.uploads import (
    check_output_file,
    output_file,
    refuse_unknown,
    upload_forecast,
    upload_output_file,
)
from ops.settings import RENDERED, Settings, need
from ops.shell import Shell
from ops.stages import LETTERS, STAGES
from ops.terminal import counted, nearest

NOTHING_TO_RUN = "nothing to do in stage B: every input has a result; --force makes them anew"
_STAGES_OF = {  # of an option; the others are for each stage
    "--only": ("runner",),
    "--max-parallelism": ("runner",),
    "--spot": ("runner",),
    "--count": ("builder",),
    "--seed": ("builder",),
    "--force": ("builder", "runner"),
    "--output-config-file": ("builder", "output"),
    "--allow-partial": ("output",),
}


@dataclass(frozen=True)
class Run:
    """A run as it was found in the cloud, with the image that its next job runs."""

    request: RunRequest
    image: str
    manifest: Manifest | None  # where it is built
    forecast_commit: str = ""

    def filling(self, share: Share | None = None, is_dry: bool = False) -> Filling:
        share = share or (self.manifest.share if self.manifest else Share(1, 1))
        return Filling(self.request, self.image, bool(self.manifest) or is_dry, share, self.forecast_commit)


@dataclass(frozen=True)
class Found:
    """What there is of a run in the cloud."""

    run: Run
    jobs: list[dict[str, Any]]  # of one stage
    results: set[int]  # inputs that have one


def check_options(stage: str, given: Mapping[str, object]) -> None:
    """Refuse an option that the stage would not heed."""
    for option, value in given.items():
        stages = _STAGES_OF.get(option, STAGES)
        if value not in (None, "", False) and stage not in stages:
            raise UserError(f"{option} is for stage {' and '.join(stages)}, not for {stage}")


def render(shell: Shell, settings: Settings, request: RunRequest, num_tasks: int | None = None) -> None:
    """Write the jobs of a run's stages to jobs/rendered/, ready for `gcloud batch jobs submit`.

    Raises
    ------
    UserError
        Something is missing or wrong; or the run is not built, and num_tasks not given.
    """
    request, is_new = _named(request)
    _check_settings(settings)
    run = _look(shell, settings, request, is_new).run
    if not run.manifest and num_tasks is None and not shell.dry_run:
        if not is_new:
            _check_there(shell, settings, request)
        which = "a new run" if is_new else f"run {request.run_id}"
        build = _command("builder", replace(request, run_id="") if is_new else request)
        raise UserError(
            f"{which} is not built yet, and how many tasks stage B has is not known: "
            f"add --num-tasks N, or build it first: {build}"
        )
    share = share_of(settings, run, num_tasks)
    repository = _repository(shell, settings, run)
    _tell(settings, request, "jobs")
    if repository:
        upload_forecast(shell, settings, repository, run_path(settings, request))
    run = replace(run, forecast_commit=_commit(repository))
    filling = run.filling(share, is_dry=shell.dry_run and not is_new)
    _bring_output_file(shell, settings, run, filling)
    print("submit them one after the other, each once the one before has succeeded:")
    for stage in STAGES:
        name = f"stage-{LETTERS[stage].lower()}"
        path = RENDERED / f"{name}.json"
        if stage == "runner" and not filling.share.num_tasks:
            path.unlink(missing_ok=True)
            print(f"  {NOTHING_TO_RUN}")
            continue
        if not shell.dry_run:
            _write(path, describe_job(settings, stage, filling))
        words = _submit_words(settings, f"{name}-$(date +%s)", path)
        print(f"  gcloud {' '.join(word if '$' in word else shlex.quote(word) for word in words)}")


def submit(
    shell: Shell,
    settings: Settings,
    stage: str,
    request: RunRequest,
    only: str | None = None,
    wait: bool = False,
) -> None:
    """Submit one stage of a run as a job, and follow it to its end if asked to.

    Parameters
    ----------
    only : str
        The inputs of stage B to run, such as 3,17,40; without it all that have no result, with --force all.

    Raises
    ------
    UserError
        Something is missing or wrong, or the stage is under way; nothing was submitted. Or it failed.
    """
    inputs = [] if only is None else chosen_inputs(only)
    if stage != "builder" and not request.run_id:
        raise UserError(
            f"--run-id is needed for stage {stage}; `invoke job-list --exp-id {request.exp_id}` shows some"
        )
    request, is_new = _named(request)
    _check_settings(settings)
    wants_results = stage == "runner" and only is None and not request.force
    found = _look(shell, settings, request, is_new, stage, wants_results)
    run = found.run
    repository = _repository(shell, settings, run) if stage == "builder" else None
    if stage != "builder" and not run.manifest and not shell.dry_run:
        _check_there(shell, settings, request)
        raise UserError(f"{run_path(settings, request)}: not built yet", mend=_command("builder", request))
    _tell(settings, request, f"stage {LETTERS[stage]} ({stage})")
    if stage == "runner" and shell.dry_run:
        print(
            "note: no manifest is read in a dry run; taskCount and PENDING_FILE will be its own",
            file=sys.stderr,
        )
    share = share_of(settings, run)
    if inputs and run.manifest:
        share = choose_inputs(shell, settings, run_path(settings, request), run.manifest, inputs)
    run = replace(run, forecast_commit=_commit(repository))
    filling = run.filling(share, is_dry=shell.dry_run and not is_new)
    job_id, job = job_id_of(settings, stage, filling, found.jobs, bool(inputs))
    was_there = bool(job)
    if not job:
        if stage == "runner" and not inputs and run.manifest:
            # its id is that of all that is pending: given again while it runs, the command finds this job
            filling = replace(filling, share=_unfinished(shell, settings, run, found.results))
        if stage == "runner" and not filling.share.num_tasks:
            print(NOTHING_TO_RUN)
            return
        _bring_output_file(shell, settings, run, filling)
        if repository:
            upload_forecast(shell, settings, repository, run_path(settings, request))
        job = _create(shell, settings, job_id, describe_job(settings, stage, filling, job_id))
        was_there = not job
    if shell.dry_run:
        return
    job = job or batch_jobs.describe(shell, settings, job_id)
    batch_jobs.tell_how_to_follow(settings, job, was_there)
    if wait:
        batch_jobs.follow(shell, settings, job_id)


def _unfinished(shell: Shell, settings: Settings, run: Run, results: set[int]) -> Share:
    """Return what stage B has to do on a run that is built, and say what it leaves alone."""
    number, done = run.manifest.num_workloads, len(results)
    if 0 < done < number:
        print(f"{done:,} of {counted(number, 'input')} have a result, and are left alone", flush=True)
    return unfinished_inputs(shell, settings, run_path(settings, run.request), run.manifest, results)


def _bring_output_file(shell: Shell, settings: Settings, run: Run, filling: Filling) -> None:
    """Check another output YAML, and upload it where it has to go along."""
    file = output_file(settings, run.request, filling.is_built)
    if run.manifest:
        refuse_unknown(settings, run.request, file, run.manifest.output_config_file)
    check_output_file(shell, settings, run.request, file)
    upload_output_file(shell, settings, file, run_path(settings, run.request))


def _named(request: RunRequest) -> tuple[RunRequest, bool]:
    """Return the request with the id of its run, and whether that is a new one."""
    return replace(request, run_id=request.run_id or new_run_id()), not request.run_id


def _check_settings(settings: Settings) -> None:
    need(settings, "project_id", "bucket_name")
    check_stages_fit(settings)
    check_token_is_kept_apart(settings)


def _tell(settings: Settings, request: RunRequest, what: str) -> None:
    """Print the run, after all checks: the id of a refused run would name nothing."""
    print(
        f"{what} of run {request.run_id} of {request.exp_id} in project {settings.project_id}, "
        f"{settings.region}, {run_path(settings, request)}",
        flush=True,
    )


def _look(
    shell: Shell,
    settings: Settings,
    request: RunRequest,
    is_new: bool,
    stage: str = "",
    wants_results: bool = False,
) -> Found:
    """Ask for all that is needed at once: the run, the jobs of a stage of it that there are, its results.

    The first that is missing, in this order, is what is told.
    """
    questions: dict[str, Callable[[], Any]] = {
        "bucket": lambda: checks.check_bucket(shell, settings),
        "image": lambda: checks.resolve_image(shell, settings),
    }
    if settings.github_pat_secret:
        questions["secret"] = lambda: checks.check_secret(shell, settings)
    if not is_new:
        questions["manifest"] = lambda: find_manifest(shell, settings, run_path(settings, request))
    if not is_new and stage:
        questions["jobs"] = lambda: jobs_of_run(shell, settings, request.run_id, stage)
    if not is_new and wants_results:
        questions["results"] = lambda: inputs_with_results(shell, settings, run_path(settings, request))
    found = dict(zip(questions, at_once(list(questions.values())), strict=True))
    run = Run(request, found["image"], found.get("manifest"))
    return Found(run, found.get("jobs", []), found.get("results", set()))


def _check_there(shell: Shell, settings: Settings, request: RunRequest) -> None:
    """Refuse a run, and an experiment, of which the bucket has nothing: a name may be mistyped."""
    if request.run_id not in run_ids(shell, settings, request.exp_id):
        raise UserError(
            f"{run_path(settings, request)}: no such run",
            mend=f"invoke runs --cloud --exp-id {request.exp_id}",
        )


def _repository(shell: Shell, settings: Settings, run: Run) -> Path | None:
    """Return this machine's forecasting repository where stage A is to take it, once it is found valid.

    A run that is built has its own, and so has one that names a repository on GitHub.
    """
    if run.manifest or settings.github_forecast_repo:
        return None
    local_run.check_experiment_is_there(settings, run.request.exp_id)
    local_run.validate(shell, settings, run.request)
    return local_run.forecast_repository(settings, run.request.exp_id)


def _commit(repository: Path | None) -> str:
    return local_run.commit_of(repository) if repository else ""


def share_of(settings: Settings, run: Run, num_tasks: int | None = None) -> Share:
    """Return the tasks of stage B: those that are asked for, of those that there are."""
    share = run.manifest.share if run.manifest else Share(num_tasks or 1, settings.workloads_per_task)
    if num_tasks is None:
        return share
    if num_tasks > share.num_tasks:
        raise UserError(f"--num-tasks {num_tasks}: this run has {counted(share.num_tasks, 'task')} to run")
    return replace(share, num_tasks=num_tasks)


def job_id_of(
    settings: Settings, stage: str, filling: Filling, jobs: Iterable[dict[str, Any]], is_chosen: bool
) -> tuple[str, dict[str, Any] | None]:
    """Return the id of a job, and that job where it is under way.

    It is made from what the job is, and numbered after those that have ended: a command that is given twice,
    and a request that gcloud sends twice, name the same job.
    """
    described = json.dumps(describe_job(settings, stage, filling), sort_keys=True)
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
                f"job {job_id} is {state} on stage {stage} of this run; wait for it, or end it",
                mend=f"invoke job-cancel {job_id}",
            )
    return f"{base}-{ended + 1}" if ended else base, None


def _create(shell: Shell, settings: Settings, job_id: str, job: dict[str, Any]) -> dict[str, Any] | None:
    """Submit a job and return it; None where it turns out to be there already, for an answer was lost."""
    path = RENDERED / f"{job_id}.json"
    if shell.dry_run:
        print(json.dumps(job, indent=2))
    else:
        _write(path, job)
    try:
        return gcloud.read_json(shell, _submit_words(settings, job_id, path))
    except GcloudError as error:
        if "ALREADY_EXISTS" not in error.said:
            raise
        return None


def _submit_words(settings: Settings, job_id: str, path: Path) -> list[str]:
    return ["batch", "jobs", "submit", job_id, *place_words(settings), "--config", nearest(path)]


def _write(path: Path, job: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(job, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{nearest(path)}: cannot be written ({error.strerror})") from None


def _command(stage: str, request: RunRequest) -> str:
    run = f" --run-id {request.run_id}" if request.run_id else ""
    return f"invoke job --stage {stage} --exp-id {request.exp_id}{run}"
