"""What the checks on Cloud Storage share."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def collected_in(checks: list[Callable]) -> Callable:
    """Return a decorator that adds a check to a list."""

    def collect(check: Callable) -> Callable:
        checks.append(check)
        return check

    return collect


def in_threads(function, values):
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(function, values))


def names(blobs):
    return [blob.name for blob in blobs]
