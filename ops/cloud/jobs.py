"""Jobs of Batch and their tasks: which there are, what they were given, and how each attempt ended."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ops import gcloud
from ops.gcloud import place_words
from ops.names import COMPONENT
from ops.settings import Settings
from ops.shell import Shell

# A job in a state unknown to us counts as running.
ENDED_JOB = ("SUCCEEDED", "FAILED", "CANCELLED", "DELETION_IN_PROGRESS")
ENDING_JOB = (*ENDED_JOB, "CANCELLATION_IN_PROGRESS")  # it has ended, or is about to
PAGE = 1000  # jobs a request, the most that Batch gives
BY_HAND = {"managed-by": "manual"}  # as jobs/*.json have it; those of an execution have another


def newest_jobs(
    shell: Shell,
    settings: Settings,
    labels: Mapping[str, str],
    but: Sequence[str] = (),
    since: datetime | None = None,
    echo: bool = True,
) -> list[dict[str, Any]]:
    """Return our jobs with these labels, newest first, without those in the states `but`.

    With `since`, jobs in these states that have changed since then are included.

    gcloud asks for all jobs of the region, which are kept for 60 days, and filters what it got. A --limit it
    would count before it sorts, so none is given.
    """
    wanted = [f'labels.{name}="{value}"' for name, value in {"component": COMPONENT, **labels}.items()]
    if but:  # so a job in a state unknown to us is included
        recent = f' OR updateTime>="{since:%Y-%m-%dT%H:%M:%SZ}"' if since else ""
        wanted.append(f"(NOT status.state=({' '.join(but)}){recent})")
    words = ["batch", "jobs", "list", *place_words(settings), "--page-size", str(PAGE)]
    words += ["--sort-by", "~createTime", "--filter", " AND ".join(wanted)]
    return gcloud.read_json(shell, words, echo=echo) or []


def jobs_of_run(shell: Shell, settings: Settings, run_id: str, stage: str) -> list[dict[str, Any]]:
    """Return the jobs that there are of a stage of a run."""
    return newest_jobs(shell, settings, {"run_id": run_id, "stage": stage}, echo=False)


def going_on_by_hand(shell: Shell, settings: Settings, exp_id: str, run_id: str) -> list[dict[str, Any]]:
    """Return the jobs of a run that were made by hand and have not ended."""
    found = newest_jobs(shell, settings, {"run_id": run_id, **BY_HAND}, ENDED_JOB, echo=False)
    return [job for job in found if experiment_of(job) == exp_id]


def id_of(job: dict[str, Any]) -> str:
    return job["name"].rpartition("/")[2]


def state_of(job: dict[str, Any]) -> str:
    return job.get("status", {}).get("state", "STATE_UNSPECIFIED")


def variables_of(job: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables that a job gives to its tasks."""
    return job["taskGroups"][0]["taskSpec"].get("environment", {}).get("variables", {})


def experiment_of(job: dict[str, Any]) -> str:
    """Return the experiment by its name; its label is lower case, and has no / in it."""
    return variables_of(job).get("EXP_ID") or job.get("labels", {}).get("exp_id", "")


def run_path_of(job: dict[str, Any]) -> str:
    """Return where the job's run is in the bucket, ending with /."""
    variables = variables_of(job)
    place_of_run = f"{experiment_of(job)}/{variables.get('RUN_ID', '')}/"
    return f"gs://{variables.get('GCS_BUCKET', '')}/{variables.get('DIR_PREFIX', '')}{place_of_run}"


EXIT_CODES = {
    2: "the input or a setting is wrong",
    75: "a passing fault",
    137: "killed, most likely for want of memory",
    50000: "no cause that Batch knows; see its log",
    50001: "a Spot machine was taken away",
    50002: "its machine stopped reporting in time",
    50003: "its machine was restarted",
    50004: "its machine, or the task, no longer answered",
    50005: "it took longer than it may",
    50006: "its machine was made anew",
}
OUT_OF_MEMORY = frozenset((137, 50002, 50004))  # without memory a machine kills the task, or cannot report
CANCELLED_JOB = ("CANCELLED", "CANCELLATION_IN_PROGRESS")
_STOPPED = (50000, 130, 143)  # exit codes of a task that is stopped with its job


def described(exit_code: int) -> str:
    """Return an exit code with what it means."""
    meaning = EXIT_CODES.get(exit_code, "")
    return f"exit code {exit_code}{f' ({meaning})' if meaning else ''}"


def memory_hint(codes: Iterable[int]) -> str:
    """Return a hint if all attempts of a task ended as they do when memory is exhausted; else ""."""
    codes = set(codes)
    if not codes or not codes <= OUT_OF_MEMORY or codes == {137}:  # that code says so itself
        return ""
    return "all its attempts ended alike: its memory may be too small"


def stage_exit_code(codes: Iterable[int]) -> int:
    """Return the exit code of a stage from those of its tasks: 2, 75 or 130 if all agree, else 1."""
    codes = set(codes)
    return codes.pop() if codes in ({2}, {75}, {130}) else 1


def was_cancelled(task: dict[str, Any]) -> bool:
    """Return whether a task of a cancelled job was stopped with it, not failed before."""
    codes = exit_codes(task)
    failed = task.get("status", {}).get("state") == "FAILED"
    return failed and (not codes or codes[-1] in _STOPPED)


def tries(task: dict[str, Any]) -> int:
    """Return how often a task has begun."""
    return sum(event.get("taskState") == "RUNNING" for event in _events(task))


def exit_codes(task: dict[str, Any]) -> list[int]:
    """Return with what each attempt ended of which Batch tells, the first first."""
    return [event["taskExecution"].get("exitCode", 0) for event in _events(task) if "taskExecution" in event]


def seconds_run(task: dict[str, Any], now: datetime) -> float:
    """Return how long a task has run, all its attempts together."""
    events = _events(task)
    times = [datetime.fromisoformat(event["eventTime"]) for event in events]
    return sum(
        (end - begin).total_seconds()
        for event, begin, end in zip(events, times, [*times[1:], now], strict=True)
        if event.get("taskState") == "RUNNING"
    )


def _events(task: dict[str, Any]) -> list[dict[str, Any]]:
    return task.get("status", {}).get("statusEvents", [])
