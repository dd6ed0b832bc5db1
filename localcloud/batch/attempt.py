"""One attempt of a task that is a process or a container: its runnables in order, and its time limit."""

import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from localcloud.batch.faults import TaskFault
from localcloud.batch.jobs import Job
from localcloud.batch.machines import Needs
from localcloud.batch.output import TaskLog
from localcloud.batch.retries import OVER_TIME, RESERVED, UNKNOWN_CAUSE
from localcloud.batch.variables import SecretUnavailable, Variables, VariableSource
from localcloud.child import CannotStart, Child, Command, OnLine
from localcloud.logs import LogService
from localcloud.times import seconds_of

NOT_STARTED = 125  # as docker reports it
Ended = Callable[[int], None]  # called with the exit code


class Runtime(Protocol):
    """Makes the command of a runnable, as a process or a container."""

    def command(
        self,
        runnable: Mapping[str, Any],
        variables: Variables,
        by_batch: Mapping[str, str],
        folder: Path,
        needs: Needs,
    ) -> Command: ...


class Workshop:
    """Starts attempts, each in its own folder, which is removed when the attempt ends."""

    def __init__(self, folder: Path, logs: LogService, source: VariableSource, runtime: Runtime):
        shutil.rmtree(folder, ignore_errors=True)  # left by an emulator that was killed
        self._folder, self._logs, self._source, self._runtime = folder, logs, source, runtime

    def start(self, job: Job, index: int, attempt: int, fault: TaskFault | None, ended: Ended) -> "Attempt":
        found = Attempt(self, job, index, attempt, fault, ended)
        found.start()
        return found

    def log(self, job: Job, index: int, attempt: int, runnable: int = 0) -> TaskLog:
        labels = job.spec.runnables[runnable].get("labels")
        return TaskLog(self._logs, job, index, attempt, runnable, labels)

    def work_folder(self, job: Job, index: int, attempt: int) -> Path:
        return self._folder / f"{job.uid}-{index}-{attempt}"

    def variables(self, job: Job, index: int) -> Variables:
        return self._source.of_task(job, index)

    def command(
        self, job: Job, index: int, attempt: int, runnable: Mapping[str, Any], task_variables: Variables
    ) -> Command:
        if why := job.agent.refused_images.get(runnable.get("container", {}).get("imageUri", "")):
            raise CannotStart(f"docker: Error response from daemon: denied: {why}")
        variables = self._source.with_runnable(job, task_variables, runnable.get("environment", {}))
        by_batch = self._source.set_by_batch(job, index, attempt)
        folder = self.work_folder(job, index, attempt)
        return self._runtime.command(runnable, variables, by_batch, folder, job.spec.needs)


class Attempt(threading.Thread):
    """A running attempt. A job keeps its definition as long as one of its attempts runs."""

    def __init__(
        self, workshop: Workshop, job: Job, index: int, attempt: int, fault: TaskFault | None, ended: Ended
    ):
        super().__init__(daemon=True)
        self._workshop, self._job, self._index, self._attempt = workshop, job, index, attempt
        self._spec = job.spec
        self._fault, self._ended = fault, ended
        self._children: list[Child] = []
        self._background: list[threading.Thread] = []
        self._failure = 0  # the exit code of the first runnable that failed
        self._is_stopped = False
        self._lock = threading.Lock()
        self._deadline, self._code_at_deadline = self._limit()

    def run(self) -> None:
        agent = self._workshop.log(self._job, self._index, self._attempt)
        folder = self._workshop.work_folder(self._job, self._index, self._attempt)
        exit_code = UNKNOWN_CAUSE
        try:
            folder.mkdir(parents=True)
            agent.agent(f"Task {self._index} starts, attempt {self._attempt}.")
            exit_code = self._run_task(agent)
            known = f" ({RESERVED[exit_code]})" if exit_code in RESERVED else ""
            severity = "ERROR" if exit_code else "INFO"
            agent.agent(f"Task {self._index} ended with exit code {exit_code}{known}.", severity)
        except Exception as error:  # a bug of the emulator must not leave the job running forever
            traceback.print_exception(error, file=sys.stderr)
            agent.agent(f"Fault of the emulator, see its stderr: {error!r}", "ERROR")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._ended(exit_code)

    def stop(self) -> None:
        """Kill all processes of the attempt at once."""
        with self._lock:
            self._is_stopped = True
            children = list(self._children)
        for child in children:
            child.stop()

    def _limit(self) -> tuple[float | None, int]:
        """Return when the attempt is ended from outside, and the exit code it then has."""
        limits = []
        if self._spec.max_run_seconds is not None:
            limits.append((self._spec.max_run_seconds, OVER_TIME))
        if self._fault is not None:
            limits.append((self._fault.after_seconds, self._fault.exit_code))
        if not limits:
            return None, 0
        after_seconds, exit_code = min(limits)
        return time.monotonic() + after_seconds, exit_code

    def _run_task(self, agent: TaskLog) -> int:
        """Run the runnables in order; after the first failure, which is the task's, only alwaysRun ones."""
        try:
            variables = self._workshop.variables(self._job, self._index)
            for number, runnable in enumerate(self._spec.runnables):
                if self._failure and not runnable.get("alwaysRun"):
                    continue
                exit_code = self._run(number, runnable, variables)
                if exit_code is None:
                    return self._code_at_deadline if self._is_late else UNKNOWN_CAUSE
                self._note_end(runnable, exit_code)
        except SecretUnavailable as error:
            agent.agent(f"A secret variable cannot be read: {error}", "ERROR")
            return UNKNOWN_CAUSE
        finally:
            self.stop()
            for each in self._background:
                each.join()
        return self._failure

    def _note_end(self, runnable: Mapping[str, Any], exit_code: int) -> None:
        with self._lock:
            if not self._failure and not runnable.get("ignoreExitStatus"):
                self._failure = exit_code

    def _run(self, number: int, runnable: Mapping[str, Any], variables: Variables) -> int | None:
        """Run one runnable and return its exit code; None if the task was ended from outside."""
        log = self._workshop.log(self._job, self._index, self._attempt, number)
        try:
            command = self._workshop.command(self._job, self._index, self._attempt, runnable, variables)
            child = self._start(command)
        except CannotStart as error:
            log.agent(str(error), "ERROR")
            return NOT_STARTED
        if child is None:
            return None
        on_line = self._listener(log, command)
        timeout = seconds_of(runnable.get("timeout"))
        own_deadline = time.monotonic() + timeout if timeout else None
        deadline = min((each for each in (self._deadline, own_deadline) if each is not None), default=None)
        if not runnable.get("background"):
            return self._follow(child, on_line, deadline)

        def follow() -> None:
            """Let it fail the task like any other, unless it is killed because the others have ended."""
            self._note_end(runnable, self._follow(child, on_line, deadline) or 0)

        self._background.append(threading.Thread(target=follow, daemon=True))
        self._background[-1].start()
        return 0

    def _follow(self, child: Child, on_line: OnLine, deadline: float | None) -> int | None:
        exit_code = child.follow(on_line, deadline)
        if self._is_stopped or (child.was_late and self._is_late):
            return None
        return OVER_TIME if child.was_late else exit_code

    @property
    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _start(self, command: Command) -> Child | None:
        """Start a command, unless the task is being stopped."""
        with self._lock:
            if self._is_stopped or self._is_late:
                return None
            child = Child(command)
            self._children.append(child)
        return child

    def _listener(self, log: TaskLog, command: Command) -> OnLine:
        """Return what logs a line: as the task's own, or as the agent's if docker itself wrote it."""
        if not command.cleanup:
            return log.line

        def take(text: str, is_error: bool) -> None:
            if is_error and text.startswith("docker: "):
                log.agent(text, "ERROR")
            else:
                log.line(text, is_error)

        return take
