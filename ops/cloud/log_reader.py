"""Cloud Logging: read the lines of jobs, once or as they come, and print them."""

import json
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rich.text import Text

from modeling.plain_text import one_line
from ops import gcloud
from ops.gcloud import GcloudError, asks_too_often
from ops.polling import through_faults
from ops.shell import Shell

PAGE = 1000  # entries a request, the most that Logging gives
ENTRIES_A_READ = 3 * PAGE  # of one gcloud: more would hold more in memory, fewer would start it more often
REQUESTS_A_MINUTE, LEAST_REQUESTS = 50, 10  # of the project's 60
READ_SECONDS = 300
PATIENCE_SECONDS = 75.0  # with nothing but passing faults
FOLLOW_PATIENCE_SECONDS = 600.0  # of who follows
FOLLOW_SECONDS = 5.0
OVERLAP = timedelta(minutes=2)  # so late an entry may come, and still be shown by --follow

Entry = dict[str, Any]


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


@dataclass
class Pace:
    """Keeps the requests of this program below so many in any minute."""

    requests: int = REQUESTS_A_MINUTE
    seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic
    rest: Callable[[float], object] = time.sleep
    _times: deque[float] = field(default_factory=deque)

    def wait(self, requests: int) -> None:
        """Return once so many more requests may be made."""
        room = self.requests - min(requests, self.requests)
        while self._recent() > room:
            self.rest(max(0.0, self._times[0] + self.seconds - self.clock()))

    def note(self, requests: int) -> None:
        self._times.extend([self.clock()] * requests)

    def slow_down(self) -> None:
        """Leave more to others: what the project may ask in a minute was used up."""
        self.requests = max(min(LEAST_REQUESTS, self.requests), self.requests // 2)

    def _recent(self) -> int:
        while self._times and self._times[0] + self.seconds <= self.clock():
            self._times.popleft()
        return len(self._times)


@dataclass
class LogReader:
    """Reads the entries that a filter selects, a few thousand at a time."""

    shell: Shell
    project: str
    filter: str
    since: datetime
    pace: Pace = field(default_factory=Pace)
    patience_seconds: float = PATIENCE_SECONDS
    read_size: int = ENTRIES_A_READ
    _shown: dict[str, datetime] = field(default_factory=dict)  # of what might come again, its time
    _shown_since_look: int = 0

    def show_command(self, limit: int | None) -> None:
        """Print what would be asked first."""
        order = "desc" if limit else "asc"
        self.read(order, _from(self.since), min(limit or self.read_size, self.read_size))

    def oldest_first(self) -> Iterator[Entry]:
        """Yield all entries; no more than one gcloud's are held at once."""
        for entry in self._run_through("asc", _from(self.since)):
            self._keep_in_mind(entry)
            yield entry

    def newest(self, number: int) -> list[LogLine]:
        """Return the lines of the newest entries, oldest first: lines, for they take less memory."""
        lines: list[LogLine] = []
        since = _from(self.since)
        for entry in self._run_through("desc", since, number):
            if not lines:
                newest = _time(entry)
            if newest - _time(entry) <= OVERLAP:
                self._shown[_key(entry)] = _time(entry)
            lines.append(LogLine.of(entry))
            if len(lines) == number:
                self.since = max(self.since, _time(entry))  # what is older is not wanted later, either
                break
        return lines[::-1]

    def follow(self, tell: Callable[[Entry], None]) -> None:
        """Tell of new entries until Ctrl-C; what comes late is met by looking back a little each time."""
        while True:
            newest = max(self._shown.values(), default=self.since)
            back = max(self.since, newest - OVERLAP)
            for entry in self._run_through("asc", _from(back)):
                if _key(entry) not in self._shown:
                    tell(entry)
                self._keep_in_mind(entry)
            time.sleep(FOLLOW_SECONDS)

    def _keep_in_mind(self, entry: Entry) -> None:
        """Remember an entry for as long as --follow may meet it again."""
        self._shown[_key(entry)] = _time(entry)
        self._shown_since_look += 1
        if self._shown_since_look == self.read_size:
            self._shown_since_look, earliest = 0, _time(entry) - 2 * OVERLAP
            self._shown = {key: at for key, at in self._shown.items() if at >= earliest}

    def _run_through(self, order: str, bound: str, most: int | None = None) -> Iterator[Entry]:
        """Yield entries in order, none twice, beginning each read at the time where the last one ended.

        Page tokens end with their gcloud, and one gcloud that reads all would hold all.
        """
        sign = ">=" if order == "asc" else "<="
        size = min(self.read_size, most or self.read_size)
        reached, at_reached, conditions = "", set(), bound
        while True:
            found = self.read(order, conditions, size)
            yield from (entry for entry in found if _key(entry) not in at_reached)
            if len(found) < size:
                return
            last = found[-1]["timestamp"]
            # twice as many where there are more of one instant than are read at once
            size = 2 * size if last == reached else self.read_size
            at_reached = {_key(entry) for entry in found if entry["timestamp"] == last}
            reached, conditions = last, f'{bound} AND timestamp{sign}"{last}"'

    def read(self, order: str, conditions: str, limit: int) -> list[Entry]:
        """Return the first entries in an order; until a passing fault is over is waited for."""
        words = ["logging", "read", f"{self.filter} AND {conditions}"]
        words += ["--order", order, "--limit", str(limit), "--project", self.project]
        if self.shell.dry_run:
            return gcloud.read_json(self.shell, words) or []
        return through_faults(lambda: self._read_now(words, limit), _say, self.patience_seconds)

    def _read_now(self, words: list[str], limit: int) -> list[Entry]:
        self.pace.wait(-(-limit // PAGE))
        found: list[Entry] = []
        try:
            found = gcloud.read_json(self.shell, words, timeout_seconds=READ_SECONDS, echo=False) or []
        except GcloudError as error:
            if asks_too_often(error):
                self.pace.slow_down()
            raise
        finally:
            self.pace.note(max(1, -(-len(found) // PAGE)))
        return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _from(since: datetime) -> str:
    return f'timestamp>="{since:%Y-%m-%dT%H:%M:%S.%fZ}"'


def _key(entry: Entry) -> str:
    """Return what tells an entry from all others: an insertId alone is one of its log."""
    return f"{entry.get('insertId', '')} {entry.get('timestamp', '')} {entry.get('logName', '')}"


def _time(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry["timestamp"])


def quoted(value: str) -> str:
    """Return a value as Logging's language quotes it, so that it stays a value whatever is in it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


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
