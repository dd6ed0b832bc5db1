"""The tries of a job's tasks, put together from what their inputs tell in summaries.

Batch tries a task again as a whole, with all its inputs; each input tells in which try it ran, and an input
that is killed tells nothing.
"""

from dataclasses import dataclass, field


@dataclass
class TaskTries:
    """The tries of one task."""

    attempts: set[int] = field(default_factory=set)  # that were told of, the first is 0
    told_seconds: float = 0.0
    last_seconds: float = 0.0  # of the input that was told of last

    def add(self, attempt: int, seconds: float) -> None:
        self.attempts.add(attempt)
        self.told_seconds += seconds
        self.last_seconds = seconds

    @property
    def number(self) -> int:
        return 1 + max(self.attempts, default=-1)

    @property
    def busy_seconds(self) -> float:
        """Those that were told; a try that was killed before its first input ended is as long as the last."""
        return self.told_seconds + (self.number - len(self.attempts)) * self.last_seconds


@dataclass
class JobTries:
    """The tries of all tasks of a job.

    Inputs come in their order, and so those of a task one behind the other: only that task is kept.
    """

    tasks: int = 0
    _task: int | None = None
    _tries: TaskTries = field(default_factory=TaskTries)  # of that task
    _earlier_tries: int = 0  # of the tasks before it
    _earlier_seconds: float = 0.0

    def add(self, task: int | None, attempt: int, seconds: float) -> None:
        """Add an input, by its task; a stage of one task has no number for it."""
        if not self.tasks or task != self._task:
            self._earlier_tries, self._earlier_seconds = self.tries, self.busy_seconds
            self._task, self._tries = task, TaskTries()
            self.tasks += 1
        self._tries.add(attempt, seconds)

    @property
    def tries(self) -> int:
        return self._earlier_tries + self._tries.number

    @property
    def retries(self) -> int:
        return self.tries - self.tasks

    @property
    def busy_seconds(self) -> float:
        """How long tasks kept their machines busy, but for their starts."""
        return self._earlier_seconds + self._tries.busy_seconds
