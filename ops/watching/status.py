"""What goes on in the cloud and what has just ended, shown once or until Ctrl-C.

What is told of one execution is in run_status.py; what its tasks wrote is read by run_logs.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.live import Live
from rich.text import Text

from ops.cloud.execution_list import MOST_LISTED, id_of_execution, list_executions
from ops.cloud.executions import ENDED, Execution, Progress, exp_id_of
from ops.cloud.jobs import BY_HAND, ENDED_JOB, experiment_of, id_of, newest_jobs, state_of
from ops.gcloud import at_once
from ops.names import check_exp_id
from ops.polling import looks, tell
from ops.settings import Settings, need
from ops.shell import Shell
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

HOURS = 12  # those that ended earlier are in `invoke workflow-list`
MOST_GOING_ON, MOST_ENDED = 20, 10  # that are asked for; each is a gcloud or several
MOST_JOBS = 20  # that are shown of those without an execution
FEW = 4  # executions a look that are asked what experiment they are of, where no job tells
PAUSE_SECONDS = 5.0  # between two looks of --watch, at first


@dataclass(frozen=True)
class Look:
    """What is shown of one look, those going on first, and a word on what is left out."""

    executions: list[RunStatus]
    jobs: list[JobStatus]  # that no execution stands for
    ended_jobs: list[JobStatus]  # by hand, in the last hours
    left_out: str = ""


@dataclass
class Observer:
    """Looks at executions and at jobs without one, and remembers what has ended, for it changes no more."""

    shell: Shell
    settings: Settings
    exp_id: str = ""
    hours: int = HOURS
    _ended: dict[str, RunStatus] = field(default_factory=dict)
    _ended_jobs: dict[str, StageStatus] = field(default_factory=dict)
    _failures: dict[tuple[str, int], str] = field(default_factory=dict)  # by job and number of failed tasks
    _own: set[str] = field(default_factory=set)  # executions that are known to be of the experiment
    _strangers: set[str] = field(default_factory=set)  # and those that are known not to be
    _knows_jobs: bool = False  # which experiment each of them is of

    def look(self) -> Look:
        """Return how the executions and the jobs stand."""
        jobs = self._jobs()  # first: of a job made later the execution would not be listed
        recent = list(self._listed())
        listed = [each for each in recent if id_of_execution(each) not in self._strangers]
        found: list[RunStatus] = []
        left_out = 0
        for is_going_on, most in ((True, MOST_GOING_ON), (False, MOST_ENDED)):
            some = [each for each in listed if (each["state"] not in ENDED) == is_going_on]
            chosen = self._chosen(some, most)
            left_out += len(some) - len(chosen)
            asked = self._with_spending(at_once([lambda each=each: self._ask(each) for each in chosen]))
            found += [each for each in asked if not self.exp_id or each.exp_id == self.exp_id]
        rest = f"and {counted(left_out, 'more execution')}: invoke workflow-list" if left_out else ""
        unfinished = [job for job in jobs if state_of(job) not in ENDED_JOB]
        return Look(found, self._without_execution(unfinished, recent), self._ended_by_hand(jobs), rest)

    def _jobs(self) -> list[dict[str, Any]]:
        """Return our jobs that have not ended, and those that ended in the last hours.

        With an experiment, the first call also learns from all jobs which executions are of it: a list of
        executions does not show that, but a list of jobs does.
        """
        learns = bool(self.exp_id) and not self._knows_jobs
        but, since = () if learns else ENDED_JOB, self._earliest()
        jobs = newest_jobs(self.shell, self.settings, {}, but, since, echo=False)
        for job in jobs if self.exp_id else ():
            is_own = experiment_of(job) == self.exp_id
            (self._own if is_own else self._strangers).add(_execution_of(job))
        self._knows_jobs = True
        return jobs

    def _earliest(self) -> datetime:
        return datetime.now(UTC) - timedelta(hours=self.hours)

    def _ended_by_hand(self, jobs: list[dict[str, Any]]) -> list[JobStatus]:
        """Return the jobs made by hand that ended in the last hours, newest first."""
        return [
            JobStatus(job, self.settings.region)
            for job in jobs
            if state_of(job) in ENDED_JOB
            and BY_HAND.items() <= job.get("labels", {}).items()
            and datetime.fromisoformat(job.get("updateTime") or job["createTime"]) >= self._earliest()
            and self.exp_id in ("", experiment_of(job))
        ]

    def _without_execution(
        self, unfinished: list[dict[str, Any]], recent: list[dict[str, Any]]
    ) -> list[JobStatus]:
        """Return the jobs by hand, and those whose execution ended too long ago to be shown."""
        told = {id_of_execution(each) for each in recent}
        return [
            JobStatus(job, self.settings.region, self._named_failures(job, None))
            for job in unfinished
            if _execution_of(job) not in told and self.exp_id in ("", experiment_of(job))
        ]

    def _with_spending(self, asked: list[RunStatus]) -> list[RunStatus]:
        """Return what was asked, and of what has just succeeded its cost; it is remembered with that."""
        new = [each for each in asked if each.writes_outputs and each.name not in self._ended]
        spent = {each.name: each for each in with_spending(self.shell, self.settings, new)}
        found = [spent.get(each.name, each) for each in asked]
        self._ended |= {each.name: each for each in found if each.has_ended}
        return found

    def _chosen(self, listed: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
        """Return the newest; of those that may be of other experiments, a few."""
        if not self.exp_id:
            return listed[:most]
        own = [each for each in listed if id_of_execution(each) in self._own][:most]
        unknown = [each for each in listed if id_of_execution(each) not in self._own]
        chosen = own + unknown[: min(FEW, most - len(own))]
        return [each for each in listed if each in chosen]

    def _listed(self) -> Iterator[dict[str, Any]]:
        """Yield the executions that go on or have just ended, the newest first, as a list has them."""
        earliest = self._earliest()
        for each in list_executions(self.shell, self.settings, MOST_LISTED):
            ended = each.get("endTime")
            if each["state"] not in ENDED or not ended or datetime.fromisoformat(ended) > earliest:
                yield each

    def _ask(self, listed: dict[str, Any]) -> RunStatus:
        execution = Execution(self.settings, id_of_execution(listed))
        if execution.execution_id in self._ended:
            return self._ended[execution.execution_id]
        found = execution.describe(self.shell)
        is_ours = self.exp_id in ("", exp_id_of(found))
        stages = self._stages(execution) if is_ours and found["state"] != "SUCCEEDED" else []
        status = RunStatus(execution, found, tuple(stages))
        (self._own if is_ours else self._strangers).add(execution.execution_id)
        return status

    def _stages(self, execution: Execution) -> Iterator[StageStatus]:
        """Yield the stages that have begun: one is asked for once that before it has ended."""
        for stage in STAGES:
            status = self._stage(execution, stage)
            if status:
                yield status
            progress = status.progress if status else Progress.of(stage, {})
            if not progress.may_be_followed:
                return

    def _stage(self, execution: Execution, stage: str) -> StageStatus | None:
        job_id = execution.job_id(stage)
        if job_id in self._ended_jobs:
            return self._ended_jobs[job_id]
        job = execution.job(self.shell, stage)
        if not job:
            return None
        tasks = tasks_of(self.shell, execution, stage, job)
        failed = self._named_failures(job, tasks)
        status = stage_status(stage, job, self.settings.region, tasks, failed)
        if status.progress.has_ended:
            self._ended_jobs[job_id] = status
        return status

    def _named_failures(self, job: dict[str, Any], tasks: list[dict[str, Any]] | None) -> str:
        """Return the names of the failed tasks of stage B; looked up again only if more have failed."""
        if job.get("labels", {}).get("stage") != "runner":
            return ""
        key = id_of(job), Progress.of("runner", job).counts.get("FAILED", 0)
        if key not in self._failures:
            self._failures[key] = named_failures(self.shell, self.settings, job, tasks)
        return self._failures[key]


def show(shell: Shell, settings: Settings, exp_id: str = "", hours: int = HOURS, watch: bool = False) -> None:
    """Print how the executions stand that go on or ended in the last hours, once or until Ctrl-C."""
    need(settings, "project_id")
    if exp_id:
        check_exp_id(exp_id)
    observer = Observer(shell, settings, exp_id, hours)
    if shell.dry_run:
        observer._jobs()
        list(observer._listed())
        return
    if not watch:
        print("\n".join(_page(observer, observer.look())))
        return
    screen = console()
    if screen.is_terminal:
        with Live(console=screen, auto_refresh=False) as live:
            for look in looks(observer.look, tell, PAUSE_SECONDS):  # what is told stands above the page
                live.update(Text("\n".join(_page(observer, look))), refresh=True)
    else:
        told: dict[str, tuple] = {}
        for look in looks(observer.look, tell, PAUSE_SECONDS):
            _tell_changes(look, told)


def _execution_of(job: dict[str, Any]) -> str:
    """Return the execution that a job is called after, if it is: stage, "-", execution."""
    return id_of(job).partition("-")[2]


def _page(observer: Observer, look: Look) -> Iterator[str]:
    going_on = sum(each.is_going_on for each in look.executions)
    settings = observer.settings
    of = f" of {observer.exp_id}" if observer.exp_id else ""
    yield (
        f"{settings.project_id}, {settings.region}, {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}: "
        f"{counted(going_on, 'execution')}{of} going on, {len(look.executions) - going_on} ended in the last "
        f"{counted(observer.hours, 'hour')}; {counted(len(look.jobs), 'job')} going on without an execution"
        f", {len(look.ended_jobs)} by hand ended"
    )
    for each in [*look.executions, *look.jobs[:MOST_JOBS], *look.ended_jobs[:MOST_ENDED]]:
        yield ""
        yield from each.lines()
    if more := look.jobs[MOST_JOBS:] + look.ended_jobs[MOST_ENDED:]:
        yield from ("", f"and {counted(len(more), 'more job')} without an execution: invoke job-list")
    if look.left_out:
        yield from ("", look.left_out)


def _tell_changes(look: Look, told: dict[str, tuple]) -> None:
    """Print the executions and jobs that have changed since they were printed last."""
    for each in [*look.executions, *look.jobs, *look.ended_jobs]:
        if told.get(each.name) != each.substance():
            told[each.name] = each.substance()
            tell("\n".join(each.lines()))
