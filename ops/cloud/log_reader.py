"""Entries of Cloud Logging, read once or followed, and the line that shows an entry."""

import json
import re
import shlex
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rich.text import Text

from modeling.plain_text import one_line
from ops.cloud.cloud import Cloud
from ops.gcloud import GcloudError, asks_too_often
from ops.polling import through_faults

PAGE = 1000  # entries per request, the most that Logging allows
ENTRIES_A_READ = 3 * PAGE  # per gcloud call: more need more memory, fewer start it more often
REQUESTS_A_MINUTE, LEAST_REQUESTS = 50, 10  # of the 60 that a project may make
NEWEST = 1000  # entries shown by default
READ_SECONDS = 300
PATIENCE_SECONDS = 75.0  # of nothing but temporary faults
FOLLOW_PATIENCE_SECONDS = 600.0  # the same while following
FOLLOW_SECONDS = 5.0
OVERLAP = timedelta(minutes=2)  # an entry that arrives later than this is not shown by --follow

Entry = dict[str, Any]


@dataclass(frozen=True)
class LogRequest:
    """Entries that the operator asks for."""

    exp_id: str
    run_id: str = ""
    stage: str = ""
    task: int | None = None
    severity: str = ""
    since: str = ""
    limit: int | None = NEWEST  # None: all
    follow: bool = False

    @property
    def command(self) -> str:
        """The command for this request, without its limit."""
        flags = {
            "--exp-id": self.exp_id,
            "--run-id": self.run_id,
            "--stage": self.stage,
            "--task": "" if self.task is None else str(self.task),
            "--severity": self.severity,
            "--since": self.since,
        }
        given = [word for flag, value in flags.items() if value for word in (flag, value)]
        return shlex.join(["invoke", "logs", *given])


@dataclass(frozen=True)
class LogLine:
    """The line that shows an entry."""

    time: str
    stage: str
    task: str  # its index, and the attempt if it is not the first
    severity: str
    message: str
    progress_of: str = ""  # the job, if the entry is the workflow's poll of it

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
    """Limits the requests that this program makes in any minute."""

    requests: int = REQUESTS_A_MINUTE
    seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic
    rest: Callable[[float], object] = time.sleep
    _times: deque[float] = field(default_factory=deque)

    def wait(self, requests: int) -> None:
        """Wait until this number of requests may be made."""
        room = self.requests - min(requests, self.requests)
        while self._recent() > room:
            self.rest(max(0.0, self._times[0] + self.seconds - self.clock()))

    def note(self, requests: int) -> None:
        self._times.extend([self.clock()] * requests)

    def slow_down(self) -> None:
        """Halve the limit, after the project has made too many requests."""
        self.requests = max(min(LEAST_REQUESTS, self.requests), self.requests // 2)

    def _recent(self) -> int:
        while self._times and self._times[0] + self.seconds <= self.clock():
            self._times.popleft()
        return len(self._times)


@dataclass
class LogReader:
    """Reads the entries that a filter selects, a few thousand at a time."""

    cloud: Cloud
    filter: str
    since: datetime
    pace: Pace = field(default_factory=Pace)
    patience_seconds: float = PATIENCE_SECONDS
    line_of: Callable[[Entry], LogLine] = LogLine.of
    read_size: int = ENTRIES_A_READ
    _shown: dict[str, datetime] = field(default_factory=dict)  # time of each entry that may be read again
    _shown_since_look: int = 0

    def oldest_first(self) -> Iterator[Entry]:
        """Yield all entries; only those of one gcloud call are in memory at a time."""
        for entry in self._entries("asc", _from(self.since)):
            self._remember(entry)
            yield entry

    def newest(self, number: int) -> list[LogLine]:
        """Return the lines of the newest entries, oldest first; lines need less memory than entries."""
        lines: list[LogLine] = []
        since = _from(self.since)
        for entry in self._entries("desc", since, number):
            if not lines:
                newest = _time(entry)
            if newest - _time(entry) <= OVERLAP:
                self._shown[_key(entry)] = _time(entry)
            lines.append(self.line_of(entry))
            if len(lines) == number:
                self.since = max(self.since, _time(entry))  # follow() shows no older entries
                break
        return lines[::-1]

    def follow(self, show: Callable[[Entry], None]) -> None:
        """Call `show` with each new entry until Ctrl-C; each read looks back a little for late entries."""
        while True:
            newest = max(self._shown.values(), default=self.since)
            back = max(self.since, newest - OVERLAP)
            for entry in self._entries("asc", _from(back)):
                if _key(entry) not in self._shown:
                    show(entry)
                self._remember(entry)
            time.sleep(FOLLOW_SECONDS)

    def _remember(self, entry: Entry) -> None:
        """Remember an entry for as long as follow() may read it again."""
        self._shown[_key(entry)] = _time(entry)
        self._shown_since_look += 1
        if self._shown_since_look == self.read_size:
            self._shown_since_look, earliest = 0, _time(entry) - 2 * OVERLAP
            self._shown = {key: at for key, at in self._shown.items() if at >= earliest}

    def _entries(self, order: str, bound: str, most: int | None = None) -> Iterator[Entry]:
        """Yield entries in order, without duplicates; each read begins at the time of the last entry.

        A page token is lost when gcloud ends, and a gcloud that reads everything keeps it all in memory.
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
            # double the size if more entries have the same time than one read returns
            size = 2 * size if last == reached else self.read_size
            at_reached = {_key(entry) for entry in found if entry["timestamp"] == last}
            reached, conditions = last, f'{bound} AND timestamp{sign}"{last}"'

    def read(self, order: str, conditions: str, limit: int) -> list[Entry]:
        """Return the first entries in an order, after waiting out temporary faults."""
        words = ["logging", "read", f"{self.filter} AND {conditions}"]
        words += ["--order", order, "--limit", str(limit), *self.cloud.in_project]
        found = through_faults(lambda: self._read_now(words, limit), _print_fault, self.patience_seconds)
        self.cloud.shell.end_if_dry_run()
        return found

    def _read_now(self, words: list[str], limit: int) -> list[Entry]:
        self.pace.wait(-(-limit // PAGE))
        found: list[Entry] = []
        try:
            found = self.cloud.read_json(words, timeout_seconds=READ_SECONDS, echo=False) or []
        except GcloudError as error:
            if asks_too_often(error):
                self.pace.slow_down()
            raise
        finally:
            self.pace.note(max(1, -(-len(found) // PAGE)))
        return found


def _print_fault(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _from(since: datetime) -> str:
    return f'timestamp>="{since:%Y-%m-%dT%H:%M:%S.%fZ}"'


def _key(entry: Entry) -> str:
    """Return the identity of an entry; an insertId is unique only within its log."""
    return f"{entry.get('insertId', '')} {entry.get('timestamp', '')} {entry.get('logName', '')}"


def _time(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry["timestamp"])


def quoted(value: str) -> str:
    """Return a value in quotes, escaped for the query language of Logging."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


PROGRESS = "stage_progress"  # event of each poll of a job by the workflow, also without a change
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
    return found[1] if found[2] == "0" else f"{found[1]} attempt {int(found[2]) + 1}"


def _message(entry: dict[str, Any], payload: dict[str, Any]) -> str:
    """Return the message of an entry, with the last line of a traceback and the number of tasks by state."""
    if "textPayload" in entry:
        return str(entry["textPayload"])
    if "message" not in payload:
        return json.dumps(payload or entry.get("protoPayload", {}), ensure_ascii=False)
    message = str(payload["message"])
    if trace := str(payload.get("exc_info") or payload.get("stack_trace") or "").strip():
        message += f" ({trace.splitlines()[-1]})"
    if isinstance(counts := payload.get("tasks"), dict):
        by_state = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
        message += f": {by_state}" if by_state else ""
    return message
