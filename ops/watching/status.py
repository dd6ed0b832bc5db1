"""Running and recently ended executions and jobs in the cloud, shown once or until Ctrl-C.

The status of one execution is in run_status.py; logs are in run_logs.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.live import Live
from rich.text import Text

from ops.cloud.cloud import Cloud
from ops.cloud.execution_list import MOST_LISTED, id_of_execution, list_executions
from ops.cloud.executions import ENDED, Execution, exp_id_of
from ops.cloud.jobs import BY_HAND, ENDED_JOB, Progress, experiment_of, id_of, newest_jobs, state_of
from ops.gcloud import in_parallel
from ops.names import check_exp_id
from ops.polling import poll, print_timed
from ops.stages import STAGES
from ops.terminal import console, counted
from ops.watching.run_status import (
    JobStatus,
    RunStatus,
    StageStatus,
    named_failures,
    stage_status,
    tasks_of,
    with_spending,
)

HOURS = 12  # executions that ended earlier are in `invoke workflow-list`
MOST_RUNNING, MOST_ENDED = 20, 10  # executions that are described; each takes several gclouds
MOST_JOBS = 20  # jobs without an execution that are shown
FEW = 4  # executions described in each look to find their experiment, if no job shows it
PAUSE_SECONDS = 5.0  # between two looks of --watch, at first


@dataclass(frozen=True)
class Look:
    """The content of one look: executions, running ones first; jobs; and a line on what is left out."""

    executions: list[RunStatus]
    jobs: list[JobStatus]  # that belong to no running execution
    ended_jobs: list[JobStatus]  # by hand, in the last hours
    left_out: str = ""


@dataclass
class Observer:
    """Looks at executions, and at jobs without one; remembers what has ended, which does not change."""

    cloud: Cloud
    exp_id: str = ""
    hours: int = HOURS
    _ended: dict[str, RunStatus] = field(default_factory=dict)
    _ended_jobs: dict[str, StageStatus] = field(default_factory=dict)
    _failures: dict[tuple[str, int], str] = field(default_factory=dict)  # by job and number of failed tasks
    _own: set[str] = field(default_factory=set)  # executions of the experiment
    _others: set[str] = field(default_factory=set)  # executions of other experiments
    _knows_jobs: bool = False  # whether the experiment of each job is known

    def look(self) -> Look:
        """Return the status of the executions and the jobs."""
        jobs = self._jobs()  # first: the execution of a later job would not be listed
        recent = list(self._listed())
        self.cloud.shell.end_if_dry_run()
        listed = [each for each in recent if id_of_execution(each) not in self._others]
        found: list[RunStatus] = []
        left_out = 0
        for is_running, most in ((True, MOST_RUNNING), (False, MOST_ENDED)):
            some = [each for each in listed if (each["state"] not in ENDED) == is_running]
            chosen = self._chosen(some, most)
            left_out += len(some) - len(chosen)
            asked = self._with_spending(in_parallel([lambda each=each: self._ask(each) for each in chosen]))
            found += [each for each in asked if not self.exp_id or each.exp_id == self.exp_id]
        rest = f"and {counted(left_out, 'more execution')}: invoke workflow-list" if left_out else ""
        unfinished = [job for job in jobs if state_of(job) not in ENDED_JOB]
        return Look(found, self._without_execution(unfinished, recent), self._ended_by_hand(jobs), rest)

    def _jobs(self) -> list[dict[str, Any]]:
        """Return our jobs that have not ended, and those that ended in the last hours.

        With an experiment, the first call also finds its executions, from all jobs: a list of executions
        does not show the experiment, but a list of jobs does.
        """
        learns = bool(self.exp_id) and not self._knows_jobs
        but, since = () if learns else ENDED_JOB, self._earliest()
        jobs = newest_jobs(self.cloud, {}, but, since, echo=False)
        for job in jobs if self.exp_id else ():
            is_own = experiment_of(job) == self.exp_id
            (self._own if is_own else self._others).add(_execution_of(job))
        self._knows_jobs = True
        return jobs

    def _earliest(self) -> datetime:
        return datetime.now(UTC) - timedelta(hours=self.hours)

    def _ended_by_hand(self, jobs: list[dict[str, Any]]) -> list[JobStatus]:
        """Return the jobs made by hand that ended in the last hours, newest first."""
        return [
            JobStatus(job, self.cloud.region)
            for job in jobs
            if state_of(job) in ENDED_JOB
            and BY_HAND.items() <= job.get("labels", {}).items()
            and datetime.fromisoformat(job.get("updateTime") or job["createTime"]) >= self._earliest()
            and self.exp_id in ("", experiment_of(job))
        ]

    def _without_execution(
        self, unfinished: list[dict[str, Any]], recent: list[dict[str, Any]]
    ) -> list[JobStatus]:
        """Return the jobs by hand, and the jobs of executions that ended too long ago to be shown."""
        listed = {id_of_execution(each) for each in recent}
        return [
            JobStatus(job, self.cloud.region, self._named_failures(job, None))
            for job in unfinished
            if _execution_of(job) not in listed and self.exp_id in ("", experiment_of(job))
        ]

    def _with_spending(self, asked: list[RunStatus]) -> list[RunStatus]:
        """Return the statuses, those that have just succeeded with their cost; ended ones are remembered."""
        new = [each for each in asked if each.writes_outputs and each.name not in self._ended]
        spent = {each.name: each for each in with_spending(self.cloud, new)}
        found = [spent.get(each.name, each) for each in asked]
        self._ended |= {each.name: each for each in found if each.has_ended}
        return found

    def _chosen(self, listed: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
        """Return the newest executions, but only a few that may be of other experiments."""
        if not self.exp_id:
            return listed[:most]
        own = [each for each in listed if id_of_execution(each) in self._own][:most]
        unknown = [each for each in listed if id_of_execution(each) not in self._own]
        chosen = own + unknown[: min(FEW, most - len(own))]
        return [each for each in listed if each in chosen]

    def _listed(self) -> Iterator[dict[str, Any]]:
        """Yield the listed executions that are running or have just ended, newest first."""
        earliest = self._earliest()
        for each in list_executions(self.cloud, MOST_LISTED):
            ended = each.get("endTime")
            if each["state"] not in ENDED or not ended or datetime.fromisoformat(ended) > earliest:
                yield each

    def _ask(self, listed: dict[str, Any]) -> RunStatus:
        execution = Execution(self.cloud, id_of_execution(listed))
        if execution.execution_id in self._ended:
            return self._ended[execution.execution_id]
        found = execution.describe()
        is_ours = self.exp_id in ("", exp_id_of(found))
        stages = self._stages(execution) if is_ours and found["state"] != "SUCCEEDED" else []
        status = RunStatus(execution, found, tuple(stages))
        (self._own if is_ours else self._others).add(execution.execution_id)
        return status

    def _stages(self, execution: Execution) -> Iterator[StageStatus]:
        """Yield the stages that have begun; a stage is asked for only after the one before has ended."""
        for stage in STAGES:
            status = self._stage(execution, stage)
            if status:
                yield status
            progress = status.progress if status else Progress.of(stage, {})
            if not progress.next_may_have_begun:
                return

    def _stage(self, execution: Execution, stage: str) -> StageStatus | None:
        job_id = execution.job_id(stage)
        if job_id in self._ended_jobs:
            return self._ended_jobs[job_id]
        job = execution.job(stage)
        if not job:
            return None
        tasks = tasks_of(execution, stage, job)
        failed = self._named_failures(job, tasks)
        status = stage_status(stage, job, self.cloud.region, tasks, failed)
        if status.progress.has_ended:
            self._ended_jobs[job_id] = status
        return status

    def _named_failures(self, job: dict[str, Any], tasks: list[dict[str, Any]] | None) -> str:
        """Return the names of the failed tasks of stage B; looked up again only if more have failed."""
        if job.get("labels", {}).get("stage") != "runner":
            return ""
        key = id_of(job), Progress.of("runner", job).counts.get("FAILED", 0)
        if key not in self._failures:
            self._failures[key] = named_failures(self.cloud, job, tasks)
        return self._failures[key]


def show_status(cloud: Cloud, exp_id: str = "", hours: int = HOURS, watch: bool = False) -> None:
    """Print the executions that are running or ended in the last hours, once or until Ctrl-C."""
    if exp_id:
        check_exp_id(exp_id)
    observer = Observer(cloud, exp_id, hours)
    if not watch:
        print("\n".join(_page(observer, observer.look())))
        return
    screen = console()
    if screen.is_terminal:
        with Live(console=screen, auto_refresh=False) as live:
            for look in poll(observer.look, print_timed, PAUSE_SECONDS):  # faults are printed above the page
                live.update(Text("\n".join(_page(observer, look))), refresh=True)
    else:
        shown: dict[str, tuple] = {}
        for look in poll(observer.look, print_timed, PAUSE_SECONDS):
            _print_changes(look, shown)


def _execution_of(job: dict[str, Any]) -> str:
    """Return the execution in the id of a job, which is the stage, "-" and the execution."""
    return id_of(job).partition("-")[2]


def _page(observer: Observer, look: Look) -> Iterator[str]:
    running = sum(each.is_running for each in look.executions)
    cloud = observer.cloud
    of = f" of {observer.exp_id}" if observer.exp_id else ""
    yield (
        f"{cloud.project}, {cloud.region}, {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}: "
        f"{counted(running, 'execution')}{of} running, {len(look.executions) - running} ended in the last "
        f"{counted(observer.hours, 'hour')}; {counted(len(look.jobs), 'job')} running without an execution"
        f", {len(look.ended_jobs)} by hand ended"
    )
    for each in [*look.executions, *look.jobs[:MOST_JOBS], *look.ended_jobs[:MOST_ENDED]]:
        yield ""
        yield from each.lines()
    if more := look.jobs[MOST_JOBS:] + look.ended_jobs[MOST_ENDED:]:
        yield from ("", f"and {counted(len(more), 'more job')} without an execution: invoke job-list")
    if look.left_out:
        yield from ("", look.left_out)


def _print_changes(look: Look, shown: dict[str, tuple]) -> None:
    """Print the executions and jobs that have changed since they were last printed."""
    for each in [*look.executions, *look.jobs, *look.ended_jobs]:
        if shown.get(each.name) != each.substance():
            shown[each.name] = each.substance()
            print_timed("\n".join(each.lines()))
