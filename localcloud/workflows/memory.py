"""How much memory the variables of an execution take."""

import threading

from localcloud.workflows.errors import limit_error
from localcloud.workflows.limits import MEMORY_BYTES


class Memory:
    """Kept up by each assignment with what it adds, so that nothing is counted twice."""

    def __init__(self):
        self.used_bytes = 0
        self._lock = threading.Lock()

    def grow(self, size: int) -> None:
        with self._lock:
            self.used_bytes += size
            is_full = size > 0 and self.used_bytes > MEMORY_BYTES
        if is_full:
            raise limit_error(f"the variables take more than {MEMORY_BYTES} bytes")
