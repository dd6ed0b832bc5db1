"""Which jobs of Batch there are of ours: by labels, by state, and those that were made by hand."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ops import gcloud
from ops.gcloud import place_words
from ops.jobs.job_facts import experiment_of
from ops.names import COMPONENT
from ops.runs.executions import ENDED_JOB
from ops.settings import Settings
from ops.shell import Shell

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
