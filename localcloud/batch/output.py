"""The output of tasks and the reports of the agent, as entries of Cloud Logging.

Lines of a task go to batch_task_logs, reports of the agent on its machine to batch_agent_logs; only there is
it reported that a container could not start. Nothing is written unless the job asks for logs and its account
may write them.
"""

from typing import Any

from localcloud.batch.jobs import Job
from localcloud.filters import SEVERITIES
from localcloud.logs import LogService
from localcloud.strict_json import object_in


class TaskLog:
    """The log of one runnable of one attempt."""

    def __init__(
        self,
        logs: LogService,
        job: Job,
        index: int,
        attempt: int,
        runnable: int = 0,
        labels: dict | None = None,
    ):
        self._logs = logs
        self._is_kept = job.spec.is_logged and job.agent.may_log
        self._prefix = f"projects/{job.project}/logs/"
        # All entries share these two objects: a task may write thousands.
        self._resource = _resource(job, index)
        self._labels = {
            **job.spec.labels,
            **(labels or {}),
            "job_uid": job.uid,
            "task_id": f"task/{job.uid}-group0-{index}/{attempt}/{runnable}",
            "hostname": f"{job.uid}-group0-{index}-{attempt}",
        }

    def line(self, text: str, is_error: bool) -> None:
        """Write a line of the task's output."""
        payload = object_in(text) if text.startswith("{") else None
        if payload is None:
            self._write("batch_task_logs", "ERROR" if is_error else "INFO", {"textPayload": text})
        else:
            severity = str(payload.pop("severity", "DEFAULT")).upper()
            known = severity if severity in SEVERITIES else "DEFAULT"
            self._write("batch_task_logs", known, {"jsonPayload": payload})

    def agent(self, text: str, severity: str = "INFO") -> None:
        """Write a report of the agent."""
        self._write("batch_agent_logs", severity, {"textPayload": text})

    def _write(self, name: str, severity: str, payload: dict[str, Any]) -> None:
        if self._is_kept:
            self._logs.write(
                {
                    "logName": self._prefix + name,
                    "resource": self._resource,
                    "labels": self._labels,
                    "severity": severity,
                    **payload,
                }
            )


def _resource(job: Job, index: int) -> dict[str, Any]:
    container = f"projects/{job.project}"
    if job.spec.is_generic:
        labels = {
            "project_id": job.project,
            "location": job.location,
            "namespace": container,
            "job": job.job_id,
            "task_id": str(index),
        }
        return {"type": "generic_task", "labels": labels}
    labels = {"job_id": job.job_id, "location": job.location, "resource_container": container}
    return {"type": "batch.googleapis.com/Job", "labels": labels}
