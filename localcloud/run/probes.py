"""Startup probes: when a new instance may receive requests, and for how long Cloud Run waits for that.

https://cloud.google.com/run/docs/configuring/healthchecks
"""

import socket
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection, HTTPException

from localcloud.run.definition import Probe

HOST = "127.0.0.1"
MOST_SECONDS = 240.0
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.02, 0.25


def wait_until_ready(port: int, probe: Probe, has_ended: Callable[[], bool]) -> int:
    """Return after how many attempts the probe succeeded; 0 if it failed, or the process ended.

    Cloud Run asks once in a period. Here the pauses are short, so that a start takes no longer than it must,
    but no probe succeeds later than the last one that Cloud Run would make.
    """
    last_begin = probe.initial_delay_seconds + probe.period_seconds * (probe.failure_threshold - 1)
    deadline = time.monotonic() + min(last_begin + probe.timeout_seconds, MOST_SECONDS)
    attempts, pause = 0, FIRST_PAUSE_SECONDS
    while not has_ended() and (left := deadline - time.monotonic()) > 0:
        attempts += 1
        if _answers(port, probe, min(left, probe.timeout_seconds)) and not has_ended():
            return attempts
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(1.5 * pause, LAST_PAUSE_SECONDS)
    return 0


def _answers(port: int, probe: Probe, timeout_seconds: float) -> bool:
    try:
        if not probe.path:
            socket.create_connection((HOST, port), timeout_seconds).close()
            return True
        with closing(HTTPConnection(HOST, port, timeout=timeout_seconds)) as connection:
            connection.request("GET", probe.path, headers={"User-Agent": "GoogleHC/1.0"})
            return 200 <= connection.getresponse().status < 400
    except (OSError, HTTPException):
        return False


def describe(probe: Probe) -> str:
    """Return how Cloud Run calls a probe: the default one has no path and is TCP."""
    return "STARTUP HTTP probe" if probe.path else "Default STARTUP TCP probe"
