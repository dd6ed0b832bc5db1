"""Batch jobs and their tasks: lists of jobs, their variables and progress, and exit codes of attempts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from modeling.refusals import MAY_NOT_COUNT_YET
from ops.cloud.cloud import Cloud
from ops.names import COMPONENT

# A job in any other state, including one unknown to us, counts as running.
ENDED_JOB = ("SUCCEEDED", "FAILED", "CANCELLED", "DELETION_IN_PROGRESS")
ENDING_JOB = (*ENDED_JOB, "CANCELLATION_IN_PROGRESS")  # has ended or is about to
PAGE = 1000  # jobs per request, the most that Batch allows
CANCELLED_JOB = ("CANCELLED", "CANCELLATION_IN_PROGRESS")
NOT_BEGUN = "not begun"
FAILED_OR_CANCELLED = "FAILED OR CANCELLED"  # tasks of a cancelled job: Batch counts them together
_WHEN_CANCELLED = {"FAILED": FAILED_OR_CANCELLED, "UNEXECUTED": "CANCELLED"}
BY_HAND = {"managed-by": "manual"}  # label in jobs/*.json; jobs of an execution have another value


def newest_jobs(
    cloud: Cloud,
    labels: Mapping[str, str],
    without_states: Sequence[str] = (),
    since: datetime | None = None,
    echo: bool = True,
) -> list[dict[str, Any]]:
    """Return our jobs with these labels, newest first, without those in some states.

    With `since`, jobs in `without_states` that have changed since then are included.

    gcloud lists all jobs of the region, which Batch keeps for 60 days, and filters them itself. It applies
    --limit before sorting, so no limit is given.
    """
    wanted = [f'labels.{name}="{value}"' for name, value in {"component": COMPONENT, **labels}.items()]
    if without_states:  # by name, so that a job in a state unknown to us is included
        recent = f' OR updateTime>="{since:%Y-%m-%dT%H:%M:%SZ}"' if since else ""
        wanted.append(f"(NOT status.state=({' '.join(without_states)}){recent})")
    words = ["batch", "jobs", "list", *cloud.in_region, "--page-size", str(PAGE)]
    words += ["--sort-by", "~createTime", "--filter", " AND ".join(wanted)]
    return cloud.read_json(words, echo=echo) or []


def jobs_of_run(cloud: Cloud, run_id: str, stage: str) -> list[dict[str, Any]]:
    """Return the jobs of a stage of a run, newest first."""
    return newest_jobs(cloud, {"run_id": run_id, "stage": stage}, echo=False)


def running_by_hand(cloud: Cloud, exp_id: str, run_id: str) -> list[dict[str, Any]]:
    """Return the jobs of a run that were submitted by hand and have not ended."""
    found = newest_jobs(cloud, {"run_id": run_id, **BY_HAND}, ENDED_JOB, echo=False)
    return [job for job in found if experiment_of(job) == exp_id]


def id_of(job: dict[str, Any]) -> str:
    return job["name"].rpartition("/")[2]


def state_of(job: dict[str, Any]) -> str:
    return job.get("status", {}).get("state", "STATE_UNSPECIFIED")


def variables_of(job: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables of the tasks of a job."""
    return job["taskGroups"][0]["taskSpec"].get("environment", {}).get("variables", {})


def experiment_of(job: dict[str, Any]) -> str:
    """Return the name of the experiment; a label would be lower case and without /."""
    return variables_of(job).get("EXP_ID") or job.get("labels", {}).get("exp_id", "")


def run_path_of(job: dict[str, Any]) -> str:
    """Return the path of the job's run in the bucket, ending with /."""
    variables = variables_of(job)
    place_of_run = f"{experiment_of(job)}/{variables.get('RUN_ID', '')}/"
    return f"gs://{variables.get('GCS_BUCKET', '')}/{variables.get('DIR_PREFIX', '')}{place_of_run}"


@dataclass(frozen=True)
class Progress:
    """Progress of a stage: the state of its job and the number of tasks in each state."""

    stage: str
    state: str  # of its job
    tasks: int
    counts: dict[str, int]  # of tasks by state
    event: str  # the newest of its job

    @classmethod
    def of(cls, stage: str, job: dict[str, Any]) -> "Progress":
        status = job.get("status", {})
        counts = status.get("taskGroups", {}).get("group0", {}).get("counts", {})
        events = status.get("statusEvents", [])
        state = status.get("state", NOT_BEGUN)
        names = _WHEN_CANCELLED if state in CANCELLED_JOB else {}
        return cls(
            stage,
            state,
            int((job.get("taskGroups") or [{}])[0].get("taskCount", 0)),
            {names.get(name, name): int(number) for name, number in counts.items()},
            events[-1].get("description", "") if events else "",
        )

    @property
    def has_begun(self) -> bool:
        return self.state != NOT_BEGUN

    @property
    def has_ended(self) -> bool:
        return self.has_begun and self.state in ENDED_JOB

    @property
    def failed(self) -> int:
        """Number of failed tasks, including those that were stopped with a cancelled job."""
        return self.counts.get("FAILED", 0) + self.counts.get(FAILED_OR_CANCELLED, 0)

    @property
    def next_may_have_begun(self) -> bool:
        """Whether the next stage may have begun; stage B is skipped if no input is pending."""
        if self.stage == "runner":
            return self.has_ended or not self.has_begun
        return self.state == "SUCCEEDED"

    @property
    def counted(self) -> str:
        """Number of tasks by state, e.g. "1 failed, 39 succeeded"."""
        return ", ".join(
            f"{number:,} {name.lower()}" for name, number in sorted(self.counts.items()) if number
        )

    def __str__(self) -> str:
        waits = f"; {self.event}" if self.state in ("QUEUED", "SCHEDULED") and self.event else ""
        return f"{self.stage:8} {self.state:10} {self.counted}{waits}".rstrip()


EXIT_CODES = {
    2: "the input or a setting is wrong",
    75: "a temporary fault",
    125: f"its container did not start; if its image was not pulled: {MAY_NOT_COUNT_YET}",
    137: "killed, most likely out of memory",
    50000: "cause unknown to Batch; see its log",
    50001: "a Spot machine was taken away",
    50002: "its machine stopped reporting",
    50003: "its machine was restarted",
    50004: "its machine or the task stopped responding",
    50005: "it exceeded its time limit",
    50006: "its machine was recreated",
}
OUT_OF_MEMORY = frozenset((137, 50002, 50004))  # out of memory, a machine kills the task or stops reporting
_STOPPED = (50000, 130, 143)  # exit codes of a task that is stopped with its job


def described(exit_code: int) -> str:
    """Return an exit code with its meaning."""
    meaning = EXIT_CODES.get(exit_code, "")
    return f"exit code {exit_code}{f' ({meaning})' if meaning else ''}"


def memory_hint(codes: Iterable[int]) -> str:
    """Return a hint if all attempts of a task ended in ways typical of too little memory; else ""."""
    codes = set(codes)
    if not codes or not codes <= OUT_OF_MEMORY or codes == {137}:  # its meaning says so already
        return ""
    return "all attempts ended in ways typical of too little memory"


def stage_exit_code(codes: Iterable[int]) -> int:
    """Return the exit code of a stage from those of its tasks: 2, 75 or 130 if all agree, else 1."""
    codes = set(codes)
    return codes.pop() if codes in ({2}, {75}, {130}) else 1


def was_cancelled(task: dict[str, Any]) -> bool:
    """Return whether a task of a cancelled job was stopped with it, and had not failed before."""
    codes = exit_codes(task)
    failed = task.get("status", {}).get("state") == "FAILED"
    return failed and (not codes or codes[-1] in _STOPPED)


def attempts(task: dict[str, Any]) -> int:
    """Return the number of attempts that have begun."""
    return sum(event.get("taskState") == "RUNNING" for event in _events(task))


def exit_codes(task: dict[str, Any]) -> list[int]:
    """Return the exit code of each finished attempt, oldest first."""
    return [event["taskExecution"].get("exitCode", 0) for event in _events(task) if "taskExecution" in event]


def seconds_run(task: dict[str, Any], now: datetime) -> float:
    """Return the run time of a task in seconds, over all attempts."""
    events = _events(task)
    times = [datetime.fromisoformat(event["eventTime"]) for event in events]
    return sum(
        (end - begin).total_seconds()
        for event, begin, end in zip(events, times, [*times[1:], now], strict=True)
        if event.get("taskState") == "RUNNING"
    )


def _events(task: dict[str, Any]) -> list[dict[str, Any]]:
    return task.get("status", {}).get("statusEvents", [])
