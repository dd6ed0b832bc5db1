"""One function for many items, in some processes at once; Ctrl-C stops them, and what is done is kept."""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from modeling.failures import TemporaryFault

Item, Result = TypeVar("Item"), TypeVar("Result")


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item], processes: int) -> Iterator[Result]:
    """Yield the results of a function in the order of the items, from some processes at once.

    Raises
    ------
    TemporaryFault
        A process was killed, perhaps for memory.
    """
    items = list(items)
    if min(processes, len(items)) < 2:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(min(processes, len(items)), initializer=_leave_signals_to_the_parent) as pool:
        waiting = [pool.submit(work, item) for item in items]
        try:
            for each in waiting:
                yield each.result()
        except BrokenProcessPool:
            raise TemporaryFault(
                "a process was killed, perhaps for memory; the same command continues, with --jobs 1 in less"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C what is under way is finished and kept


def _leave_signals_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
