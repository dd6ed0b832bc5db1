"""How much memory the variables of an execution take.

Counted as they are assigned, and nothing twice: a list of thousands that is handed on, or has one more
element than before, is not gone through again. That holds because a value is never changed in place.
"""

import operator
import threading
from typing import Any

from localcloud.workflows.errors import limit_error
from localcloud.workflows.limits import MEMORY_BYTES
from localcloud.workflows.values import size_of

_REMEMBERED = 16  # sizes of lists and maps


class Memory:
    def __init__(self):
        self.used_bytes = 0
        self.peak_bytes = 0
        self._measured: dict[
            int, tuple[Any, int]
        ] = {}  # by identity; the value is held, so that it stays its own
        self._lock = threading.Lock()

    def grow(self, size: int) -> None:
        with self._lock:
            self.used_bytes += size
            self.peak_bytes = max(self.peak_bytes, self.used_bytes)
            is_full = size > 0 and self.used_bytes > MEMORY_BYTES
        if is_full:
            raise limit_error(f"the variables take more than {MEMORY_BYTES} bytes")

    def size_of(self, value: Any, before: Any = None) -> int:
        """Return the size of a value that is assigned where `before` was."""
        if not isinstance(value, list | dict):
            return size_of(value)
        size = self._known(value)
        if size is None:
            known = self._known(before) if _has_one_more(value, before) else None
            size = size_of(value) if known is None else known + size_of(value[-1])
            self._remember(value, size)
        return size

    def _known(self, value: Any) -> int | None:
        with self._lock:
            return self._measured.get(id(value), (None, None))[1]

    def _remember(self, value: Any, size: int) -> None:
        with self._lock:
            self._measured[id(value)] = value, size
            if len(self._measured) > _REMEMBERED:
                del self._measured[next(iter(self._measured))]


def _has_one_more(value: Any, before: Any) -> bool:
    """Whether a list is what list.concat makes of another."""
    if not (isinstance(value, list) and isinstance(before, list) and len(value) == len(before) + 1):
        return False
    return all(map(operator.is_, before, value))
