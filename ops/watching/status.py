"""What goes on in the cloud and what has just ended, shown once or until Ctrl-C.

What is told of one execution is in run_status.py; what its tasks wrote is read by run_logs.py.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.live import Live
from rich.text import Text

from ops import gcloud
from ops.failures import UserError
from ops.names import check_exp_id
from ops.runs.executions import ACTIVE, STAGES, Execution, arguments_of, at_once, place_words
from ops.settings import Settings, need
from ops.shell import Shell
from ops.shown import console, counted
from ops.watching.run_status import RunStatus, StageStatus, stage_status

HOURS = 12  # those that ended earlier are in `invoke workflow-list`
MOST_LISTED = 1000  # a page of executions
MOST_GOING_ON, MOST_ENDED = 20, 10  # that are asked for; each is a gcloud or several
FEW = 4  # executions that are sooner asked for their experiment one by one than with a list of all jobs
LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 5.0, 60.0  # between two looks of --watch
MOST_FAULT_SECONDS = 300.0  # and while the cloud cannot tell


@dataclass
class Observer:
    """Looks at the executions, and remembers of those that have ended, for they do not change any more."""

    shell: Shell
    settings: Settings
    exp_id: str = ""
    hours: int = HOURS
    _ended: dict[str, RunStatus] = field(default_factory=dict)
    _ended_jobs: dict[str, StageStatus] = field(default_factory=dict)
    _own: set[str] = field(default_factory=set)  # executions that are known to be of the experiment
    _strangers: set[str] = field(default_factory=set)  # and those that are known not to be
    _without_job: set[str] = field(default_factory=set)  # when the jobs were listed

    def look(self) -> tuple[list[RunStatus], str]:
        """Return the executions to show, those going on first, and a word on what is left out."""
        listed = self._of_experiment(list(self._listed()))
        found: list[RunStatus] = []
        left_out = 0
        for is_going_on, most in ((True, MOST_GOING_ON), (False, MOST_ENDED)):
            some = [each for each in listed if (each["state"] in ACTIVE) == is_going_on]
            chosen = self._chosen(some, most)
            left_out += len(some) - len(chosen)
            asked = at_once([lambda each=each: self._ask(each) for each in chosen])
            found += [each for each in asked if not self.exp_id or each.exp_id == self.exp_id]
        return found, f"and {counted(left_out, 'more execution')}: invoke workflow-list" if left_out else ""

    def _chosen(self, listed: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
        """Return the newest; of those that may be of other experiments, a few."""
        if not self.exp_id:
            return listed[:most]
        own = [each for each in listed if _id(each) in self._own][:most]
        unknown = [each for each in listed if _id(each) not in self._own][: min(FEW, most - len(own))]
        return [each for each in listed if each in own or each in unknown]

    def _listed(self) -> Iterator[dict[str, Any]]:
        """Yield the executions that go on or have just ended, the newest first, as a list has them."""
        settings = self.settings
        words = ["workflows", "executions", "list", settings.workflow_name, *place_words(settings)]
        words += ["--limit", str(MOST_LISTED), "--page-size", str(MOST_LISTED)]
        earliest = datetime.now(UTC) - timedelta(hours=self.hours)
        for each in gcloud.read_json(self.shell, words, echo=False) or []:
            ended = each.get("endTime")
            if each["state"] in ACTIVE or not ended or datetime.fromisoformat(ended) > earliest:
                yield each

    def _of_experiment(self, listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave out executions of other experiments, where that is cheaper than to ask each for its own.

        A list of executions does not tell what they run, but a list of jobs does.
        """
        if not self.exp_id:
            return listed
        unknown = {_id(each) for each in listed} - self._own - self._strangers - self._without_job
        if len(unknown) > FEW:
            field_of_exp_id = "taskGroups[0].taskSpec.environment.variables.EXP_ID"
            words = ["batch", "jobs", "list", *place_words(self.settings), "--page-size", str(MOST_LISTED)]
            words += ["--format", f"value(name,{field_of_exp_id})"]
            for line in gcloud.read(self.shell, words, echo=False).splitlines():
                name, _, exp_id = line.partition("\t")
                if exp_id:
                    known = self._own if exp_id == self.exp_id else self._strangers
                    known.add(name.rpartition("/")[2].partition("-")[2])
            self._without_job |= unknown - self._own - self._strangers
        return [each for each in listed if _id(each) not in self._strangers]

    def _ask(self, listed: dict[str, Any]) -> RunStatus:
        execution = Execution(self.settings, _id(listed))
        if execution.execution_id in self._ended:
            return self._ended[execution.execution_id]
        found = execution.describe(self.shell)
        is_ours = not self.exp_id or arguments_of(found).get("exp_id") == self.exp_id
        stages = self._stages(execution) if is_ours and found["state"] != "SUCCEEDED" else []
        status = RunStatus(execution, found, tuple(stages))
        (self._own if is_ours else self._strangers).add(execution.execution_id)
        if not status.is_going_on and all(stage.has_ended for stage in stages):
            self._ended[execution.execution_id] = status
        return status

    def _stages(self, execution: Execution) -> Iterator[StageStatus]:
        """Yield the stages that have begun: one is asked for once that before it has ended."""
        for stage in STAGES:
            job_id = execution.job_id(stage)
            status = self._ended_jobs.get(job_id)
            if not status:
                job = execution.job(self.shell, stage)
                if not job:
                    return
                status = stage_status(self.shell, execution, stage, job)
            yield status
            if not status.has_ended:
                return
            self._ended_jobs[job_id] = status


def _id(listed: dict[str, Any]) -> str:
    return listed["name"].rpartition("/")[2]


def show(shell: Shell, settings: Settings, exp_id: str = "", hours: int = HOURS, watch: bool = False) -> None:
    """Print how the executions stand that go on or ended in the last hours, once or until Ctrl-C."""
    need(settings, "project_id")
    if exp_id:
        check_exp_id(exp_id)
    observer = Observer(shell, settings, exp_id, hours)
    if shell.dry_run:
        list(observer._listed())
        return
    if not watch:
        print("\n".join(_page(observer)))
        return
    screen = console()
    if screen.is_terminal:
        with Live(console=screen, auto_refresh=False) as live:
            _repeat(lambda: live.update(Text("\n".join(_page(observer))), refresh=True))
    else:
        told: dict[str, tuple] = {}
        _repeat(lambda: _tell_changes(observer, told))


def _page(observer: Observer) -> Iterator[str]:
    found, left_out = observer.look()
    going_on = sum(each.is_going_on for each in found)
    settings = observer.settings
    of = f" of {observer.exp_id}" if observer.exp_id else ""
    yield (
        f"{settings.project_id}, {settings.region}, {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}: "
        f"{counted(going_on, 'execution')}{of} going on, {len(found) - going_on} ended in the last "
        f"{counted(observer.hours, 'hour')}"
    )
    for each in found:
        yield ""
        yield from each.lines()
    if left_out:
        yield from ("", left_out)


def _tell_changes(observer: Observer, told: dict[str, tuple]) -> None:
    """Print the executions that have changed since they were printed last."""
    for each in observer.look()[0]:
        if told.get(each.execution.execution_id) != each.substance():
            told[each.execution.execution_id] = each.substance()
            lines = list(each.lines())
            print("\n".join([f"{datetime.now(UTC):%H:%M:%SZ}  {lines[0]}", *lines[1:]]), flush=True)


def _repeat(look: Callable[[], None]) -> None:
    """Look again and again until Ctrl-C, the more seldom the longer it lasts, or the cloud is at fault."""
    begun, fault_pause = time.monotonic(), LEAST_PAUSE_SECONDS
    while True:
        pause = max(LEAST_PAUSE_SECONDS, min(MOST_PAUSE_SECONDS, 0.02 * (time.monotonic() - begun)))
        try:
            look()
            fault_pause = pause
        except UserError as error:
            if error.exit_code != 75:
                raise
            pause = fault_pause = min(MOST_FAULT_SECONDS, 2 * fault_pause)
        time.sleep(pause)
