"""The tasks of one job: states, attempts and times, in about 30 bytes per task that is not retried.

A job may have 100,000 tasks, so there is no object per task; a task's resource is built when it is requested.
"""

from array import array
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any
from zlib import crc32

from localcloud.times import at

# A state is stored as its index.
STATES = ("PENDING", "RUNNING", "FAILED", "SUCCEEDED", "UNEXECUTED")
PENDING, RUNNING, FAILED, SUCCEEDED, UNEXECUTED = range(len(STATES))
TASK_BYTES = 30
RETRIED_TASK_BYTES = 180  # more, for a task that is retried
ATTEMPT_BYTES = 130  # of an attempt before the last


class TaskTable:
    """Tasks by index; the lock of the job store must be held to use it."""

    def __init__(self, count: int):
        self.count = count
        self.counts = [count, 0, 0, 0, 0]  # of tasks by state
        self._states = bytearray(count)
        self._attempts = bytearray(count)
        self._started = array("d", bytes(8 * count))
        self._ended = array("d", bytes(8 * count))
        self._exit_codes = array("i", bytes(4 * count))
        # attempts before the last: (started, ended, exit code)
        self._earlier: defaultdict[int, list[tuple[float, float, int]]] = defaultdict(list)
        self._earlier_count = 0
        self._never_started = 0  # the lowest index that has never started
        self._retried: deque[int] = deque()

    @property
    def size_bytes(self) -> int:
        """Return about how much memory it takes."""
        retried = RETRIED_TASK_BYTES * len(self._earlier) + ATTEMPT_BYTES * self._earlier_count
        return TASK_BYTES * self.count + retried

    @property
    def are_over(self) -> bool:
        return self.counts[PENDING] == self.counts[RUNNING] == 0

    @property
    def has_waiting(self) -> bool:
        return bool(self._retried) or self._never_started < self.count

    def start_next(self, time: float) -> tuple[int, int]:
        """Start the next waiting task and return its index and attempt."""
        if self._retried:
            index = self._retried.popleft()
        else:
            index = self._never_started
            self._never_started += 1
        self._move(index, RUNNING)
        self._started[index] = time
        return index, self._attempts[index]

    def end(self, index: int, time: float, exit_code: int) -> None:
        self._ended[index] = time
        self._exit_codes[index] = exit_code
        self._move(index, FAILED if exit_code else SUCCEEDED)

    def retry(self, index: int, time: float, exit_code: int) -> None:
        """End an attempt and let the task wait for the next one."""
        self._earlier[index].append((self._started[index], time, exit_code))
        self._earlier_count += 1
        self._attempts[index] += 1
        self._move(index, PENDING)
        self._retried.append(index)

    def give_up_waiting(self) -> None:
        """Mark all waiting tasks as unexecuted."""
        waiting = [*self._retried, *range(self._never_started, self.count)]
        self._retried.clear()
        self._never_started = self.count
        for index in waiting:
            self._move(index, UNEXECUTED)

    def attempt(self, index: int) -> int:
        return self._attempts[index]

    def exit_code(self, index: int) -> int:
        return self._exit_codes[index]

    def indices(self, start: int, state: int | None = None) -> Iterator[int]:
        """Yield the indices from `start` on, in order: all, or those in one state."""
        if state is None:
            yield from range(start, self.count)
            return
        while (start := self._states.find(state, start)) >= 0:
            yield start
            start += 1

    def counts_by_name(self) -> dict[str, str]:
        return {STATES[state]: str(count) for state, count in enumerate(self.counts) if count}

    def resource(self, index: int, group: str, zone: str) -> dict[str, Any]:
        state = self._states[index]
        status: dict[str, Any] = {"state": STATES[state]}
        if events := self._events(index, group, zone):
            status["statusEvents"] = events
        return {"name": f"{group}/tasks/{index}", "status": status}

    def last_failure(self, index: int, group: str, zone: str) -> str:
        """Return the description of a task's last event."""
        return self._events(index, group, zone)[-1]["description"]

    def _move(self, index: int, state: int) -> None:
        self.counts[self._states[index]] -= 1
        self.counts[state] += 1
        self._states[index] = state

    def _events(self, index: int, group: str, zone: str) -> list[dict[str, Any]]:
        attempts = list(self._earlier.get(index, ()))
        state = self._states[index]
        if state in (RUNNING, FAILED, SUCCEEDED):
            ended = self._ended[index] if state != RUNNING else 0.0
            attempts.append((self._started[index], ended, self._exit_codes[index]))
        events = []
        for number, (started, ended, exit_code) in enumerate(attempts):
            place = f"zones/{zone}/instances/{crc32(f'{group}/{index}/{number}'.encode())}"
            events += [
                _event("PENDING", "ASSIGNED", place, started),
                _event("ASSIGNED", "RUNNING", place, started),
            ]
            if ended:
                events.append(
                    _event("RUNNING", "FAILED" if exit_code else "SUCCEEDED", place, ended, exit_code)
                )
        return events


def _event(before: str, after: str, place: str, time: float, exit_code: int = 0) -> dict[str, Any]:
    """Return an event; as in the service, only a failure has an exit code."""
    code = f" with exit code {exit_code}" if exit_code else ""
    event = {
        "type": "STATUS_CHANGED",
        "description": f"Task state is updated from {before} to {after} on {place}{code}.",
        "eventTime": at(time),
        "taskState": after,
    }
    return event | ({"taskExecution": {"exitCode": exit_code}} if exit_code else {})
