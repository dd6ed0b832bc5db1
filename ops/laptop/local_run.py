"""A run on this machine: all three stages, or one of them.

launch.py starts a stage; stage_b.py runs the tasks of stage B at the same time.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modeling.input_names import MOST_IN_A_LINE, in_a_line
from modeling.run_names import BUILT_IN
from modeling.threads import fair_share, usable_cores
from ops.cloud.deployment import user_functions_run
from ops.failures import TEMPORARY_FAULT, UserError, did_you_mean
from ops.folders import check_writable
from ops.input_names import FailedInputs
from ops.laptop.launch import Containers, Launcher, Processes
from ops.laptop.run_files import LocalRun, latest_run, run_named
from ops.laptop.run_lock import held
from ops.laptop.stage_b import StageTasks
from ops.run_request import RunRequest, new_run_id, resume_command
from ops.settings import ROOT, Settings
from ops.shell import Shell
from ops.stages import stage_name
from ops.terminal import counted, nearest

EXAMPLES = ROOT / "examples" / "forecast"
CHECK_SECONDS = 600


def run(shell: Shell, settings: Settings, request: RunRequest) -> LocalRun:
    """Run the three stages, or what is left of a run.

    Raises
    ------
    UserError
        The run does not exist, or a stage failed (with its exit code); what is finished is kept.
    KeyboardInterrupt
        After the running tasks were stopped.
    """
    is_resumed, request = bool(request.run_id), request.identified()
    here = run_named(settings, *request.key)
    check_writable(settings)
    if is_resumed and not here.folder.is_dir():  # not its manifest: a run that was stopped early has none
        raise UserError(
            f"{nearest(here.folder)}: no such run; "
            f"`invoke runs --local --exp-id {request.exp_id}` lists them, "
            "and without --run-id a new one is started"
        )
    work = _prepared(shell, settings, request)
    is_named = is_resumed or shell.dry_run  # otherwise there is no run yet
    experiment = Path(work.variables["FORECAST_REPO_DIR"], "experiments", request.exp_id)
    print(
        f"EXECUTION_MODE=local: {f'run {request.run_id} of ' if is_named else ''}{request.exp_id} "
        f"({experiment}) on this machine, in {nearest(settings.local_data_path)}",
        flush=True,
    )
    try:
        with work.alone(), work.launcher.cleaned_up(shell):
            work.run_stage("builder", is_new=not is_resumed)
            if not is_named:
                print(f"run {request.run_id} of {request.exp_id} is built", flush=True)
            work.run_tasks()
            if settings.run_output_stage and request.run_output_stage:
                work.run_stage("output")
    except KeyboardInterrupt:
        rest = f"what is finished is kept. Resume with: {resume_command(request)}"
        print(f"\nstopped; {rest if here.folder.is_dir() else 'nothing was written'}", file=sys.stderr)
        raise
    return here


def run_stage(
    shell: Shell,
    settings: Settings,
    request: RunRequest,
    stage: str,
    task_index: int | None,
    num_tasks: int | None,
) -> LocalRun:
    """Run one stage alone.

    Parameters
    ----------
    task_index : int, optional
        Stage B: the input to run, or the first of `num_tasks`; without it all that are pending.
    num_tasks : int, optional
        Stage B: number of inputs from `task_index` on. Stage C: number of inputs with results.
    """
    stage = stage_name(stage)
    _check_stage_options(stage, request, task_index, num_tasks)
    is_new, request = not request.run_id, request.identified()
    here = run_named(settings, *request.key)
    check_writable(settings)
    if stage != "builder" and not shell.dry_run:
        latest_run(settings, *request.key)  # refuses a run that is not built
    work = _prepared(shell, settings, request)
    if task_index is not None and num_tasks in (None, 1):
        # not alone: single inputs may run side by side, as the tasks of a job do
        with work.launcher.cleaned_up(shell):
            work.run_stage(stage, {"TASK_INDEX": str(task_index)})
        return here
    with work.alone(), work.launcher.cleaned_up(shell):
        if stage == "runner":
            work.run_tasks(None if task_index is None else range(task_index, task_index + num_tasks))
        else:
            extra = {"NUM_TASKS": str(num_tasks)} if num_tasks is not None else {}
            work.run_stage(stage, extra, is_new)
    return here


def _check_stage_options(
    stage: str, request: RunRequest, task_index: int | None, num_tasks: int | None
) -> None:
    """Refuse options that the stage would ignore, and a missing run id."""
    if stage != "builder" and not request.run_id:
        raise UserError(
            f"--run-id is needed for stage {stage}; "
            f"`invoke runs --local --exp-id {request.exp_id}` lists them"
        )
    of_builder = {
        "--count": request.count is not None,
        "--seed": request.seed is not None,
        "--reference-date": bool(request.reference_date),
        "--strict": request.strict,
    }
    if stage != "builder" and (given := [name for name, is_given in of_builder.items() if is_given]):
        raise UserError(f"{given[0]} belongs to stage builder, not to {stage}")
    if stage != "runner" and task_index is not None:
        raise UserError(f"--task-index belongs to stage runner, not to {stage}")
    if stage != "runner" and request.jobs is not None:
        raise UserError(f"--jobs belongs to stage runner, not to {stage}")
    if stage == "runner" and num_tasks is not None and task_index is None:
        raise UserError("--num-inputs counts from --task-index on; add --task-index 0, or leave both out")


@dataclass(frozen=True)
class _Work:
    """A run to work on: its files, the launcher of its stages, and their environment variables."""

    shell: Shell
    settings: Settings
    request: RunRequest
    here: LocalRun
    launcher: Launcher
    variables: dict[str, str]

    def alone(self) -> contextlib.AbstractContextManager:
        """Lock the run while this task uses it; a dry run does not."""
        return contextlib.nullcontext() if self.shell.dry_run else held(self.here)

    def run_stage(self, stage: str, extra: Mapping[str, str] | None = None, is_new: bool = False) -> None:
        """Run a stage; the id of a new run is not shown, because stage A may refuse the run."""
        variables = self.launcher.environment({**self.variables, **(extra or {})})
        hidden = ("RUN_ID",) if is_new else ()
        if code := self.shell.stream(self.launcher.command(stage), variables, hidden=hidden):
            raise UserError(f"stage {stage} ended with exit code {code}", exit_code=exit_code_for(code))

    def run_tasks(self, only: Iterable[int] | None = None) -> None:
        """Run tasks of stage B, some at a time: those of some inputs, or of all that are pending.

        Raises
        ------
        UserError
            Some tasks failed, and partial results are not allowed.
        """
        jobs = self.request.jobs or self.settings.local_jobs or usable_cores()
        command, variables = self.launcher.command("runner"), self.launcher.environment(self.variables)
        if self.shell.dry_run:
            note = f"the first task; set TASK_INDEX for the others, {jobs} at once"
            self.shell.echo(command, {**variables, "TASK_INDEX": "0"}, note)
            return
        indices = list(self.here.pending() if only is None else only)
        if not indices:
            print("stage B: every result already exists")
            return
        # cores that no task is left for; those that --jobs keeps free stay free
        threads = fair_share(min(jobs, usable_cores()), len(indices))
        variables["ENGINE_THREADS"] = os.environ.get("ENGINE_THREADS") or str(threads)
        note = f"{counted(len(indices), 'task')}, {min(jobs, len(indices))} at once"
        self.shell.echo(command, {**variables, "TASK_INDEX": str(indices[0])}, note)
        inputs = FailedInputs(self.shell, self.here.folder)
        retries = self.settings.max_retry_count
        tasks = StageTasks(self.shell, command, variables, self.here.logs, retries, inputs)
        if failed := tasks.run(indices, jobs):
            self._judge(failed, inputs)

    def _judge(self, failed: dict[int, int], inputs: FailedInputs) -> None:
        """Continue without the failed tasks if that is allowed; otherwise refuse with their names."""
        names = in_a_line([inputs.name(index) for index in sorted(failed)[:MOST_IN_A_LINE]], len(failed))
        tasks, logs = counted(len(failed), "task"), nearest(self.here.logs)
        message = f"{tasks} of stage B failed ({names}); the logs are in {logs}"
        if self.request.allow_partial or self.settings.allow_partial_results:
            print(f"{message}; continuing without them", file=sys.stderr)
            return
        codes = set(failed.values())
        raise UserError(
            f"{message}. Fix it, then: {resume_command(self.request)}  (or add --allow-partial)",
            exit_code=codes.pop() if codes in ({2}, {75}) else 1,
        )


def _prepared(shell: Shell, settings: Settings, request: RunRequest) -> _Work:
    """Return a run to work on, after checking its launcher."""
    launcher = Containers(settings) if request.docker else Processes()
    launcher.check(shell)
    variables = local_variables(settings, request)
    here = run_named(settings, *request.key)
    if here.is_built and here.manifest.suite == BUILT_IN and here.manifest.engine != settings.engine:
        print(
            f"run {request.run_id} keeps ENGINE={here.manifest.engine}, with which it was built", flush=True
        )
    return _Work(shell, settings, request, here, launcher, variables)


def validate(shell: Shell, settings: Settings, request: RunRequest, in_cloud: bool | None = None) -> None:
    """Check an experiment as stage A would, without a run.

    Parameters
    ----------
    in_cloud : bool, optional
        Whether the stage will run in the cloud, where less may run; default EXECUTION_MODE.
    """
    variables = local_variables(settings, replace(request, run_id=new_run_id()))
    in_cloud = settings.execution_mode == "cloud" if in_cloud is None else in_cloud
    if in_cloud and not user_functions_run(settings):
        variables["ALLOW_USER_FUNCTIONS"] = "false"
    del variables["RUN_ID"]  # its id would mislead: there is no run
    command = [sys.executable, nearest(ROOT / "scripts" / "check_experiment.py")]
    if code := shell.stream(command, variables):
        said = "is not valid" if code == 2 else f"could not be checked (exit code {code})"
        raise UserError(f"{request.exp_id} {said}", exit_code=exit_code_for(code))


def count_workloads(shell: Shell, settings: Settings, request: RunRequest) -> int:
    """Return the number of inputs that stage A would make of an experiment; nothing is written."""
    launcher = Processes()
    variables = launcher.environment(local_variables(settings, replace(request, run_id=new_run_id())))
    command = [sys.executable, nearest(ROOT / "scripts" / "check_experiment.py"), "--json"]
    ended = shell.run_always(command, variables, timeout_seconds=CHECK_SECONDS)
    if ended.exit_code:
        raise UserError(
            f"{request.exp_id} is not valid, or cannot be checked",
            exit_code=exit_code_for(ended.exit_code),
            fix=f"invoke validate --exp-id {request.exp_id}",
        )
    return json.loads(ended.output.splitlines()[-1])["num_workloads"]  # the experiment may print, too


def local_variables(settings: Settings, request: RunRequest) -> dict[str, str]:
    """Return the environment variables of every stage on this machine, from settings and request."""
    count, seed, suite, engine = request.count, request.seed, "", ""
    output = settings.output_config_file and nearest(Path(settings.output_config_file))
    forecast = forecast_repository(settings, request.exp_id)
    if not run_named(settings, request.exp_id, request.run_id).is_built:
        check_experiment_exists(settings, request.exp_id)
        # a run keeps what it was built with; only what is asked for on the command line is checked
        count = settings.run_count if count is None else count
        seed = settings.run_seed if seed is None else seed
        suite, engine = settings.modeling_suite, settings.engine
    variables = {
        "EXECUTION_MODE": "local",
        "LOCAL_DATA_PATH": nearest(settings.local_data_path),
        "DIR_PREFIX": settings.dir_prefix,
        "EXP_ID": request.exp_id,
        "RUN_ID": request.run_id,
        "FORECAST_REPO_DIR": nearest(forecast),
        "EPYDEMIX_DATA_DIR": nearest(settings.epydemix_data_dir) if settings.epydemix_data_dir else "",
        "MODELING_SUITE": suite,
        "ENGINE": engine,
        "COUNT": "" if count is None else str(count),
        "SEED": "" if seed is None else str(seed),
        "REFERENCE_DATE": request.reference_date,
        "STRICT": "1" if request.strict else "",
        "FORCE": "1" if request.force else "",
        "OUTPUT_CONFIG_FILE": request.output_config_file or output,
        "ALLOW_PARTIAL_RESULTS": "1" if request.allow_partial or settings.allow_partial_results else "",
        "ALLOW_USER_FUNCTIONS": "",  # always here; the setting is for experiments that are only uploaded
        "LOG_LEVEL": settings.log_level,
        "STORAGE_VERBOSE": "1" if settings.storage_verbose else "",
        "CODE_COMMIT": commit_of(ROOT),
        "FORECAST_COMMIT": commit_of(forecast),
    }
    # an empty value has to be passed if the environment of the caller has another one
    return {name: value for name, value in variables.items() if value or os.environ.get(name)}


def forecast_repository(settings: Settings, exp_id: str) -> Path:
    """Return the forecasting repository: the setting, else the first folder with the experiment."""
    if settings.forecast_repo_dir is not None:
        return settings.forecast_repo_dir
    own = settings.local_data_path / "forecast"
    places = [own, EXAMPLES]
    return next(
        (p for p in places if (p / "experiments" / exp_id).is_dir()), own if own.is_dir() else EXAMPLES
    )


def check_experiment_exists(settings: Settings, exp_id: str) -> None:
    """Refuse an experiment that is in no folder; with FORECAST_REPO_DIR, stage A checks that."""
    folders = [p / "experiments" for p in (settings.local_data_path / "forecast", EXAMPLES)]
    if settings.forecast_repo_dir is not None or any((f / exp_id).is_dir() for f in folders):
        return
    known = sorted(c.parent.relative_to(f).as_posix() for f in folders for c in f.glob("**/config"))
    raise UserError(
        f"{exp_id}: no such experiment in {' or '.join(nearest(f) for f in folders)}"
        f"{did_you_mean(exp_id, known)}; there are: {', '.join(dict.fromkeys(known))}; "
        "set FORECAST_REPO_DIR for a repository elsewhere"
    )


def commit_of(folder: Path) -> str:
    """Return the commit of a folder, with -dirty if tracked files differ; "" outside a repository."""
    git = ["git", "-C", str(folder)]
    # LOCAL_DATA_PATH is ignored by the repository around it, whose commit would be misleading
    if not Shell().capture([*git, "ls-tree", "--name-only", "HEAD"], timeout_seconds=10):
        return ""
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return Shell().capture([*git, *describe], timeout_seconds=10)


def exit_code_for(code: int) -> int:
    """Return the exit code of a task whose script failed: 2, 75 or else 1."""
    return code if code in (2, TEMPORARY_FAULT) else 1
