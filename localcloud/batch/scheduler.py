"""The scheduler: it takes jobs from QUEUED to their end, and starts and retries their tasks.

One thread does what is due; the lock of the job store is held for each change of a job. Tasks that are
processes or containers are run by attempt.py; each takes one slot of this machine.

Where the documentation is silent: a job whose agents may not report fails at once, while users see it stay
SCHEDULED (https://github.com/nextflow-io/nextflow/issues/5622); other tasks continue after one has failed; a
task that is killed with its job is FAILED with 50000, and a waiting task stays UNEXECUTED.
"""

import heapq
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple, Protocol

from localcloud.batch.agents import Agents
from localcloud.batch.attempt import NOT_STARTED, Ended
from localcloud.batch.faults import BatchFaults, TaskFault
from localcloud.batch.jobs import (
    CANCELLED,
    CANCELLING,
    DELETING,
    JOB_FAILED,
    JOB_RUNNING,
    OVER,
    SCHEDULED,
    SUCCEEDED,
    Job,
    JobStore,
    Stoppable,
)
from localcloud.batch.machines import why_no_such_disk, why_not_placed
from localcloud.batch.null_tasks import Outcome, is_null, outcome_of
from localcloud.batch.retries import UNKNOWN_CAUSE
from localcloud.batch.tasks import FAILED, RUNNING

MAX_QUEUED_SECONDS = 2 * 86400
MAX_RUNNING_SECONDS = 14 * 86400
LOOK_AGAIN_SECONDS = 0.1  # between two looks at a queue that does not move, and at jobs over their time limit
TURN_SECONDS = 0.02  # the longest time that the lock is held
PAUSE_SECONDS = 0.001  # between two turns, so that others get the lock
STOP_SECONDS = 30.0
GONE = "GONE"  # the last state of a job that is deleted


class StartsTasks(Protocol):
    """Runs tasks that are not null tasks."""

    def start(
        self, job: Job, index: int, attempt: int, fault: TaskFault | None, ended: Ended
    ) -> Stoppable: ...


class _Due(NamedTuple):
    """An action at a time: admit a job, give it machines, end a null task."""

    time: float
    number: int  # keeps the order of actions at the same time
    do: Callable[..., None]
    job: Job
    arguments: tuple[int, ...]


class Scheduler:
    """The jobs that are not over, and the thread that advances them."""

    def __init__(
        self,
        store: JobStore,
        faults: BatchFaults,
        tasks: StartsTasks | None,  # None: every task is a null task
        agents: Agents,
        slots: int,
        queue_seconds: float,
        clock_speed: float,
    ):
        self._store, self._faults, self._tasks, self._agents = store, faults, tasks, agents
        self._free_slots = slots
        self._queue_seconds = queue_seconds / clock_speed
        self._clock_speed = clock_speed
        self._changed = threading.Condition(store.lock)
        self._due: list[_Due] = []
        self._numbers = itertools.count()
        self._active: dict[int, Job] = {}  # jobs that are not over, by number
        self._placed: list[Job] = []  # jobs that have machines, in the order they get slots
        self._is_stopping = False
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, job: Job) -> None:
        with self._changed:
            self._active[job.number] = job
            self._later(self._queue_seconds, self._admit, job)

    def cancel(self, job: Job) -> None:
        self._stop_job(job, CANCELLING, CANCELLED)

    def delete(self, job: Job) -> None:
        """Stop a job if it is not over, and remove it."""
        with self._changed:
            if job.is_over:
                self._store.remove(job)
            else:
                self._stop_job(job, DELETING, GONE)

    def delete_all(self) -> None:
        """Delete all jobs and wait until none of their tasks runs."""
        until = time.monotonic() + STOP_SECONDS
        with self._changed:
            for job in self._store.all():
                self.delete(job)
            while self._active and time.monotonic() < until:
                self._changed.wait(LOOK_AGAIN_SECONDS)

    def stop(self) -> None:
        """Stop all tasks and the scheduler's thread."""
        self.delete_all()
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    def _work(self) -> None:
        next_look = 0.0
        while True:
            with self._changed:
                if self._is_stopping:
                    return
                if time.monotonic() >= next_look:
                    self._end_jobs_over_their_time()
                    next_look = time.monotonic() + LOOK_AGAIN_SECONDS
                has_more = self._take_a_turn_unharmed()
                if not has_more:
                    self._changed.wait(self._idle_seconds())
            if has_more:
                time.sleep(PAUSE_SECONDS)

    def _take_a_turn_unharmed(self) -> bool:
        """Take a turn; a bug of the emulator in one job must not stop the others."""
        try:
            return self._take_a_turn()
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            return False

    def _take_a_turn(self) -> bool:
        """Do what is due and start tasks for TURN_SECONDS; return whether there is more to do."""
        until = time.monotonic() + TURN_SECONDS
        while time.monotonic() < until:
            if not (self._do_what_is_due(until) or self._start_tasks(until)):
                return False
        return True

    def _idle_seconds(self) -> float | None:
        if not self._active:
            return None
        soonest = self._due[0].time - time.monotonic() if self._due else LOOK_AGAIN_SECONDS
        return max(min(soonest, LOOK_AGAIN_SECONDS), 0)

    def _later(self, seconds: float, do: Callable[..., None], job: Job, *arguments: int) -> None:
        due = _Due(time.monotonic() + seconds, next(self._numbers), do, job, arguments)
        heapq.heappush(self._due, due)
        self._changed.notify_all()

    def _do_what_is_due(self, until: float) -> bool:
        did_something = False
        while self._due and self._due[0].time <= time.monotonic() < until:
            due = heapq.heappop(self._due)
            due.do(due.job, *due.arguments)
            did_something = True
        return did_something

    def _admit(self, job: Job) -> None:
        """Schedule a job, unless a fault holds its queue or its machine type is too small."""
        waited = (time.time() - job.created) * self._clock_speed
        fault = self._faults.of_queue(job.job_id)
        if fault and (fault.seconds is None or waited < fault.seconds):
            job.note(_batch_error(fault.queue, "no machine can be had now"))
            self._later(LOOK_AGAIN_SECONDS, self._admit, job)
        elif why := why_not_placed(job.spec.needs):
            job.note(f"The job cannot be placed: {why}.")
        else:
            job.move(SCHEDULED)
            self._later(self._queue_seconds, self._place, job)

    def _place(self, job: Job) -> None:
        """Give a job its machines, so that its tasks may start, unless it cannot have any that report."""
        if why := why_no_such_disk(job.spec.needs):
            error = _batch_error("CODE_GCE_INVALID_FIELD_VALUE", why)
            self._give_up(job, f"Job gets non-retryable information {error}", error)
            return
        job.agent = self._agents.of(job.project, job.spec)
        if job.agent.silent:
            why = f"no VM has an agent that reports, as {job.spec.account} may not: {job.agent.silent}"
            self._give_up(job, f"Batch waits for the agents of the job's VMs, but {why}", why)
            return
        self._placed.append(job)
        self._placed.sort(key=lambda job: (-job.spec.priority, job.number))

    def _give_up(self, job: Job, event: str, why: str) -> None:
        """End a job that waits for machines which it cannot have."""
        job.note(event)
        job.stops_as = JOB_FAILED
        job.tasks.give_up_waiting()
        self._finish_if_over(job, why)

    def _start_tasks(self, until: float) -> bool:
        did_something = False
        for job in list(self._placed):
            while self._may_start(job) and time.monotonic() < until:
                self._start_task(job)
                did_something = True
        return did_something

    def _may_start(self, job: Job) -> bool:
        has_room = job.tasks.counts[RUNNING] < self._faults.at_once(job.job_id, job.spec.parallelism)
        return has_room and job.tasks.has_waiting and (self._free_slots > 0 or self._is_null(job))

    def _start_task(self, job: Job) -> None:
        index, attempt = job.tasks.start_next(time.time())
        if job.state == SCHEDULED:
            job.move(JOB_RUNNING)
        if self._is_null(job):
            outcome = outcome_of(job.spec, self._faults, job.job_id, index, attempt)
            if job.agent.refused_images:
                outcome = Outcome(0, NOT_STARTED)
            seconds = outcome.seconds / self._clock_speed
            self._later(seconds, self._end_task, job, index, outcome.exit_code)
            return
        fault = self._faults.of_task(job.job_id, index, attempt)
        job.running[index] = self._tasks.start(job, index, attempt, fault, self._ended(job, index))
        self._free_slots -= 1

    def _is_null(self, job: Job) -> bool:
        return self._tasks is None or is_null(job.spec)

    def _ended(self, job: Job, index: int) -> Ended:
        def ended(exit_code: int) -> None:
            with self._changed:
                self._free_slots += 1
                del job.running[index]
                self._end_task(job, index, exit_code)
                self._changed.notify_all()

        return ended

    def _end_task(self, job: Job, index: int, exit_code: int) -> None:
        now = time.time()
        if job.stops_as:
            job.tasks.end(index, now, exit_code and UNKNOWN_CAUSE)
        elif job.spec.retry.allows_retry(exit_code, job.tasks.attempt(index)):
            job.tasks.retry(index, now, exit_code)
        else:
            job.tasks.end(index, now, exit_code)
        self._finish_if_over(job)

    def _stop_job(self, job: Job, state: str, stops_as: str) -> None:
        """Kill the tasks of a job; once they have stopped it enters the state `stops_as`.

        A job may be cancelled and then deleted: the later request decides its final state.
        """
        with self._changed:
            if state and state != job.state:
                job.move(state)
            job.stops_as = stops_as
            job.tasks.give_up_waiting()
            self._due = [due for due in self._due if due.job is not job]
            heapq.heapify(self._due)
            for task in job.running.values():
                task.stop()
            for index in list(job.tasks.indices(0, RUNNING)):
                if index not in job.running:
                    job.tasks.end(index, time.time(), UNKNOWN_CAUSE)
            self._finish_if_over(job)

    def _finish_if_over(self, job: Job, why: str = "") -> None:
        if not job.tasks.are_over:
            return
        self._active.pop(job.number, None)
        if job in self._placed:
            self._placed.remove(job)
        if job.stops_as == GONE:
            self._store.remove(job)
        else:
            job.end(job.stops_as or (JOB_FAILED if job.tasks.counts[FAILED] else SUCCEEDED), why)
            self._store.keep(job)
        self._changed.notify_all()

    def _end_jobs_over_their_time(self) -> None:
        now = time.time()
        for job in list(self._active.values()):
            if job.stops_as or job.state in OVER:
                continue
            since = job.running_since or job.created
            limit = MAX_RUNNING_SECONDS if job.state == JOB_RUNNING else MAX_QUEUED_SECONDS
            if (now - since) * self._clock_speed > limit:
                job.note(f"The job was {job.state} for longer than the {limit} seconds allowed.")
                self._stop_job(job, "", JOB_FAILED)


def _batch_error(code: str, description: str) -> str:
    return f"Batch Error: code - {code}, description - {description}."
