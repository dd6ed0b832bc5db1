"""The instances of one revision: enough of them for the requests that come, at most as many as allowed.

https://cloud.google.com/run/docs/about-instance-autoscaling and
https://cloud.google.com/run/docs/about-concurrency
"""

import threading
from collections import deque
from typing import Any

from localcloud.run.definition import Definition
from localcloud.run.instance import Instance, StartFailed, Workshop
from localcloud.times import Clock

LEAST_PENDING_SECONDS = 10.0  # of the services' clock
PENDING_STARTUPS = 3.5  # mean start-ups that a request waits for an instance
PAUSE_AFTER_FAILURE_SECONDS = 1.0


class NoInstance(Exception):
    """No instance became free within the time that a request may wait."""


class Retired(Exception):
    """The revision takes no more requests; another one serves, or none."""


class _Ticket:
    """A request that waits for an instance."""

    failure: StartFailed | None = None


class Revision:
    """The instances of a revision. Times are of the services' clock."""

    def __init__(self, definition: Definition, workshop: Workshop, clock: Clock, idle_seconds: float):
        self.definition, self.logs = definition, workshop.logs
        self._workshop, self._clock, self._idle_seconds = workshop, clock, idle_seconds
        self._living: list[Instance] = []  # starting, ready and stopping
        self._waiting: deque[_Ticket] = deque()
        self._startup_seconds: list[float] = []
        self._next_start = 0.0
        self._is_retired = False
        self._changed = threading.Condition()

    def start(self) -> None:
        """Start the first instance and return when it is ready; further ones of the minimum follow.

        Raises
        ------
        StartFailed
        """
        with self._changed:
            if self._is_retired:
                raise StartFailed("The service was removed.")
            first = self._new_instance()
        failure = self._bring_up(first, "DEPLOYMENT_ROLLOUT - Instance started due to traffic shifting.")
        if failure:
            raise failure
        self.tend()

    def acquire(self) -> Instance:
        """Return an instance that takes one more request, in the order of the requests; release it later.

        Raises
        ------
        NoInstance, Retired, StartFailed
        """
        ticket = _Ticket()
        with self._changed:
            deadline = self._clock.now() + self._pending_seconds()
            self._waiting.append(ticket)
            try:
                return self._wait(ticket, deadline)
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def release(self, instance: Instance) -> None:
        """Note the end of a request."""
        with self._changed:
            instance.busy -= 1
            instance.idle_since = self._clock.now()
            if self._is_retired and not instance.busy:
                self._stop(instance)
            self._changed.notify_all()

    def lose(self, instance: Instance) -> None:
        """Note that an instance did not take its request: it is gone, or listens no more."""
        with self._changed:
            instance.busy -= 1
            instance.is_ready = False
        instance.kill()

    def tend(self) -> None:
        """Stop what has been idle for too long, and keep the minimum of instances."""
        with self._changed:
            if self._is_retired:
                return
            ready = [each for each in self._living if each.is_ready]
            spare = 0 if self._waiting else max(0, len(ready) - self.definition.min_instances)
            longest_first = sorted(filter(self._is_idle, ready), key=lambda each: each.idle_since)
            for instance in longest_first[:spare]:
                self._stop(instance)
            self._start_missing()

    def retire(self) -> None:
        """Take no more requests, and end each instance when it has answered those it has."""
        with self._changed:
            self._is_retired = True
            for instance in self._living:
                if not instance.busy:
                    self._stop(instance)
            self._changed.notify_all()

    def end(self) -> None:
        """Take no more requests, and end all instances; a request that is not answered soon is cut."""
        with self._changed:
            self._is_retired = True
            for instance in self._living:
                self._stop(instance)
            self._changed.notify_all()

    def kill(self) -> None:
        """Kill all instances, and return when they are gone."""
        with self._changed:
            self._is_retired = True
            living = list(self._living)
            self._changed.notify_all()
        for instance in living:
            instance.kill()

    @property
    def is_over(self) -> bool:
        """Whether it is retired and all its instances have ended."""
        with self._changed:
            return self._is_retired and not self._living

    def status(self) -> list[dict[str, Any]]:
        with self._changed:
            return [self._describe(each) for each in self._living]

    def _describe(self, instance: Instance) -> dict[str, Any]:
        is_idle = instance.is_ready and not instance.busy
        state = "stopping" if instance.is_stopping else "ready" if instance.is_ready else "starting"
        return {
            "project": self.definition.project,
            "region": self.definition.region,
            "service": self.definition.service,
            "revision": self.definition.revision,
            "instance": instance.id,
            "state": state,
            "pid": instance.pid,
            "port": instance.port,
            "busy": instance.busy,
            "idle_seconds": self._clock.now() - instance.idle_since if is_idle else 0.0,
        }

    def _wait(self, ticket: _Ticket, deadline: float) -> Instance:
        while True:
            if self._is_retired:
                raise Retired
            if ticket.failure:
                raise ticket.failure
            free = [each for each in self._living if self._room(each)]
            if free and self._waiting[0] is ticket:
                instance = min(free, key=lambda each: each.busy)
                instance.busy += 1
                return instance
            self._start_missing()
            left = deadline - self._clock.now()
            if left <= 0:
                raise NoInstance
            pause = max(0.0, self._next_start - self._clock.now()) or left
            self._changed.wait(self._clock.wall_seconds(min(left, pause)))

    def _room(self, instance: Instance) -> int:
        return self.definition.concurrency - instance.busy if instance.is_ready else 0

    def _is_idle(self, instance: Instance) -> bool:
        return not instance.busy and self._clock.now() - instance.idle_since >= self._idle_seconds

    def _pending_seconds(self) -> float:
        known = self._startup_seconds
        mean = sum(known) / len(known) if known else 0.0
        return max(PENDING_STARTUPS * mean, LEAST_PENDING_SECONDS)

    def _start_missing(self) -> None:
        """Start instances for the requests that wait and for the minimum, within the maximum."""
        if self._clock.now() < self._next_start:
            return
        serving = [each for each in self._living if not each.is_stopping]
        starting = sum(not each.is_ready for each in serving)
        room = sum(self._room(each) for each in serving) + starting * self.definition.concurrency
        for_requests = -((room - len(self._waiting)) // self.definition.concurrency)
        for_minimum = self.definition.min_instances - len(serving)
        allowed = self.definition.max_instances - len(self._living)
        for _ in range(min(max(for_requests, for_minimum), allowed)):
            reason = "AUTOSCALING - Instance started due to traffic."
            if not self._waiting:
                reason = "MIN_INSTANCE - Instance started to keep the minimum."
            arguments = (self._new_instance(), reason)
            threading.Thread(target=self._bring_up, args=arguments, daemon=True).start()

    def _new_instance(self) -> Instance:
        instance = Instance(self.definition, self._workshop, self._forget)
        self._living.append(instance)
        return instance

    def _bring_up(self, instance: Instance, reason: str) -> StartFailed | None:
        """Start an instance; return why it failed."""
        instance.log.system(f"Starting new instance. Reason: {reason}")
        begun = self._clock.now()
        failure = None
        try:
            instance.start()
        except StartFailed as error:
            failure = error
        with self._changed:
            if failure:
                self._note_failure(failure)
            elif self._is_retired:
                self._stop(instance)
            elif instance in self._living:
                instance.is_ready, instance.idle_since = True, self._clock.now()
                self._startup_seconds.append(instance.idle_since - begun)
            self._changed.notify_all()
        return failure

    def _note_failure(self, failure: StartFailed) -> None:
        """Let the requests fail that wait for nothing else, and pause before the next start."""
        self._next_start = self._clock.now() + PAUSE_AFTER_FAILURE_SECONDS
        if not self._living:
            for ticket in self._waiting:
                ticket.failure = failure

    def _stop(self, instance: Instance) -> None:
        if not instance.is_stopping:
            instance.is_ready, instance.is_stopping = False, True
            instance.log.system("Shutting down the instance.")
            instance.terminate()

    def _forget(self, instance: Instance) -> None:
        with self._changed:
            instance.is_ready = False
            self._living.remove(instance)
            self._changed.notify_all()
