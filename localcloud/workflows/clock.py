"""The time of an execution: it runs faster than that of the wall, if the emulator was started so."""

import time

MAX_SPEED = 1e6


class Clock:
    """Begins now and goes `speed` times as fast."""

    def __init__(self, speed: float = 1.0):
        if not 0 < speed <= MAX_SPEED:
            raise ValueError(f"A clock's speed is above 0 and at most {MAX_SPEED:g}, not {speed}.")
        self.speed = speed
        self._begun, self._begun_wall = time.monotonic(), time.time()

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return self._begun_wall + (time.monotonic() - self._begun) * self.speed

    def wall_seconds(self, seconds: float) -> float:
        """Return how long a time of the execution takes to pass."""
        return seconds / self.speed
