"""How a job stands that no execution stands for: it was made by hand, or has outlived its execution.

It is told from a list of jobs alone, and so without its tasks one by one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ops.jobs.job_facts import experiment_of, id_of
from ops.jobs.job_list import BY_HAND
from ops.watching.run_status import StageStatus, stage_status


@dataclass(frozen=True)
class JobStatus:
    """A job that goes on, or a job by hand that ended in the last hours."""

    job: dict[str, Any]
    region: str
    failed_tasks: str = ""  # of stage B, named

    @property
    def name(self) -> str:
        return id_of(self.job)

    @property
    def stage(self) -> StageStatus:
        stage = self.job.get("labels", {}).get("stage", "")
        return stage_status(stage, self.job, self.region, failed_tasks=self.failed_tasks)

    def lines(self) -> Iterator[str]:
        labels, stage = self.job.get("labels", {}), self.stage
        is_by_hand = BY_HAND.items() <= labels.items()
        whose = "by hand" if is_by_hand else "its execution has ended, or is not among the newest"
        yield f"{experiment_of(self.job)}  run {labels.get('run_id', '')}  job {self.name} ({whose})"
        yield from (f"  {line}" for line in stage.lines())
        yield f"  {stage.spending.told(so_far=not stage.progress.has_ended)}"
        if stage.progress.has_ended and stage.progress.failed:
            yield f"  failed tasks: invoke job-describe {self.name}"

    def substance(self) -> tuple:
        return self.stage.substance()
