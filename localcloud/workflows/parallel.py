"""parallel: run branches, or the iterations of a for, at the same time, each on its own strand.

https://cloud.google.com/workflows/docs/reference/syntax/parallel-steps
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from localcloud.workflows.blocks import Block, Walker
from localcloud.workflows.errors import Stopped, WorkflowError, error
from localcloud.workflows.expressions import Expression
from localcloud.workflows.limits import BRANCH_ERRORS, CONCURRENT_BRANCHES, PARALLEL_NESTING
from localcloud.workflows.loops import Loop
from localcloud.workflows.values import is_integer

# A branch or iteration: its name in errors, and what it does on its own strand.
Work = tuple[str, Callable[[Walker], Any]]


@dataclass(frozen=True, slots=True)
class Parallel:
    """A parallel step, with either `branches` or a `loop`."""

    shared: Sequence[str]
    concurrency_limit: Expression | None
    branches: Sequence[tuple[str, Block]] = ()
    loop: Loop | None = None

    def execute(self, strand: Walker) -> None:
        if strand.parallel_depth >= PARALLEL_NESTING:
            raise error("ParallelNestingError", f"parallel steps may be {PARALLEL_NESTING} deep")
        strand.scope.share(self.shared, SharedLock(strand.run.slots))
        group = Group(strand, self.shared)
        group.run(self._work(strand), self._width(strand))
        group.raise_errors()

    def _work(self, strand: Walker) -> Iterator[Work]:
        if self.loop is None:
            return ((name, partial(_run_block, block)) for name, block in self.branches)
        turns = self.loop.each(strand)
        return ((str(index), partial(_run_turn, self.loop, index, value)) for index, value in turns)

    def _width(self, strand: Walker) -> int:
        if self.concurrency_limit is None:
            return CONCURRENT_BRANCHES
        limit = self.concurrency_limit.evaluate(strand)
        if not is_integer(limit) or limit < 1:
            raise error("ValueError", "concurrency_limit must be an integer of at least 1")
        return min(limit, CONCURRENT_BRANCHES)


def _run_block(block: Block, branch: Walker) -> None:
    branch.run_block(block)


def _run_turn(loop: Loop, index: int, value: Any, branch: Walker) -> None:
    loop.run_one(branch, index, value)


class Group:
    """The branches of one parallel step; the others go on after one has failed (continueAll)."""

    def __init__(self, strand: Walker, shared: Sequence[str]):
        self._strand, self._shared = strand, shared
        self._errors: list[tuple[str, WorkflowError]] = []
        self._fatal: BaseException | None = None
        self._lock = threading.Lock()
        self.is_stopped = False

    def run(self, work: Iterator[Work], width: int) -> None:
        """Run all branches, at most `width` at a time, each on its own thread."""
        room = threading.Semaphore(width)
        # A strand that waits for its branches gives back its slot, or nested ones could wait forever.
        with self._strand.run.slots.given_back(self._strand.parallel_depth > 0):
            for part in work:
                room.acquire()
                if self.is_stopped or self._strand.is_stopped:
                    room.release()
                    break
                threading.Thread(target=self._do, args=(*part, room), daemon=True).start()
            for _ in range(width):
                room.acquire()  # succeeds once all branches have ended

    def raise_errors(self) -> None:
        if self._fatal:
            raise self._fatal
        self._strand.check_stopped()
        if self._errors:
            branches = [{"id": name, "error": _shown(failed)} for name, failed in self._errors]
            raise error(
                "UnhandledBranchError",
                "One or more branches or iterations encountered an unhandled runtime error",
                branches=branches,
                truncated=len(branches) >= BRANCH_ERRORS,
            )

    def _do(self, name: str, do: Callable[[Walker], Any], room: threading.Semaphore) -> None:
        with self._strand.run.slots.taken():
            branch = self._strand.branch(self, self._shared)
            try:
                do(branch)
            except Stopped:
                pass
            except WorkflowError as failed:
                self._note(name, failed)
            except BaseException as fault:  # a bug of the emulator, raised where the parallel step ends
                self._stop(fault)
            finally:
                branch.end()
                room.release()

    def _note(self, name: str, failed: WorkflowError) -> None:
        if not failed.is_catchable:
            self._stop(failed)
            return
        with self._lock:
            self._errors.append((name, failed))
            are_too_many = len(self._errors) >= BRANCH_ERRORS
        if are_too_many:
            self._stop(None)

    def _stop(self, fatal: BaseException | None) -> None:
        self._fatal = self._fatal or fatal
        self.is_stopped = True
        self._strand.run.wake_all()


class Slots:
    """Slots for the branches of an execution that run at once, over all its parallel steps."""

    def __init__(self):
        self._free = threading.Semaphore(CONCURRENT_BRANCHES)

    def taken(self) -> threading.Semaphore:
        return self._free

    def given_back(self, has_one: bool) -> _GivenBack:
        return _GivenBack(self._free, has_one)


@dataclass(frozen=True, slots=True)
class _GivenBack:
    free: threading.Semaphore
    has_one: bool

    def __enter__(self) -> None:
        if self.has_one:
            self.free.release()

    def __exit__(self, *_: Any) -> None:
        if self.has_one:
            self.free.acquire()


class SharedLock:
    """Held by a branch while it assigns to a shared variable, whose value may call a parallel step.

    A branch that waits for the lock gives back its slot; otherwise the branches that the holder calls could
    wait for a slot forever.
    """

    def __init__(self, slots: Slots):
        self._slots, self._lock = slots, threading.RLock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            with self._slots.given_back(True):
                self._lock.acquire()

    def __exit__(self, *_: Any) -> None:
        self._lock.release()


def _shown(failed: WorkflowError) -> dict[str, Any]:
    return {"payload": failed.value, "context": "\n".join([failed.message, *map(str, failed.trace)])}
