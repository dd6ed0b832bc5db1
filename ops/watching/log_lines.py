"""An entry of Cloud Logging as one readable line: time, stage, task, severity, message."""

import json
import re
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from ops.shown import one_line

PROGRESS = "stage_progress"  # the event of each poll of a job by the workflow, changed or not
MOST_CHARACTERS = 2000  # of a message
_TASK = re.compile(r"group0-(\d+)/(\d+)/")  # of task/<job uid>-group0-<index>/<attempt>/<runnable>
_COLOURS = {
    "DEBUG": "dim",
    "WARNING": "yellow",
    "ERROR": "red",
    "CRITICAL": "bold red",
    "ALERT": "bold red",
    "EMERGENCY": "bold red",
}


@dataclass(frozen=True)
class LogLine:
    """What is shown of an entry."""

    time: str
    stage: str
    task: str  # its index, and which try it is where it is not the first
    severity: str
    message: str
    progress_of: str = ""  # the job, if this is a poll of it

    @classmethod
    def of(cls, entry: dict[str, Any]) -> "LogLine":
        payload, labels = entry.get("jsonPayload"), entry.get("labels", {})
        payload = payload if isinstance(payload, dict) else {}
        is_task = "task_id" in labels
        stage = labels.get("stage") or payload.get("stage") or ("" if is_task else "workflow")
        message = one_line(_message(entry, payload), MOST_CHARACTERS)
        if entry.get("logName", "").endswith("/batch_agent_logs"):
            message = f"agent: {message}"
        severity = entry.get("severity", "DEFAULT")
        time = entry.get("timestamp", "")[:19] + "Z"
        shown = "" if severity == "DEFAULT" else severity
        job = str(payload.get("job", "")) if payload.get("event") == PROGRESS else ""
        return cls(time, one_line(stage), _task(labels), shown, message, job)

    def __str__(self) -> str:
        return f"{self.time}  {self.stage:8} {self.task:>5}  {self.severity:8} {self.message}".rstrip()

    def coloured(self) -> Text:
        text = Text(str(self), style=_COLOURS.get(self.severity, ""))
        text.stylize("dim", 0, len(self.time))
        return text


def _task(labels: dict[str, Any]) -> str:
    found = _TASK.search(labels.get("task_id", ""))
    if not found:
        return ""
    return found[1] if found[2] == "0" else f"{found[1]} try {int(found[2]) + 1}"


def _message(entry: dict[str, Any], payload: dict[str, Any]) -> str:
    """Return what an entry says, with what makes it whole: a fault's last line, the tasks by state."""
    if "textPayload" in entry:
        return str(entry["textPayload"])
    if "message" not in payload:
        return json.dumps(payload or entry.get("protoPayload", {}), ensure_ascii=False)
    message = str(payload["message"])
    if trace := str(payload.get("exc_info") or "").strip():
        message += f" ({trace.splitlines()[-1]})"
    if isinstance(counts := payload.get("tasks"), dict):
        told = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
        message += f": {told}" if told else ""
    return message
