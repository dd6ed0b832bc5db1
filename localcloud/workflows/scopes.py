"""Variables: where each is visible, and how much memory they take.

A routine has a scope of its own; for, except and the branches of parallel have a scope inside the one around
them. A variable that is first assigned inside a scope is gone after it. A branch changes copies, except for
the variables it shares.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any

from localcloud.workflows.errors import error, limit_error
from localcloud.workflows.expressions import list_index, text_key
from localcloud.workflows.limits import MEMORY_BYTES
from localcloud.workflows.values import size_of, type_name

_REMEMBERED = 16  # number of lists and maps whose size is remembered


class Scope:
    """Variables of a routine, loop or branch; `shared` are those outside that a branch may change.

    It is None for a scope that is not a branch.
    """

    __slots__ = ("_memory", "_parent", "_shared", "_sizes", "_values", "lock")

    def __init__(self, memory: Memory, parent: Scope | None = None, shared: Collection[str] | None = None):
        self._memory, self._parent, self._shared = memory, parent, shared
        self._values: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self.lock: AbstractContextManager | None = None  # held while branches assign to shared variables

    def inner(self, shared: Collection[str] | None = None) -> Scope:
        return Scope(self._memory, self, shared)

    def has(self, name: str) -> bool:
        return self._holder(name) is not None

    def get(self, name: str) -> Any:
        holder = self._holder(name)
        if holder is None:
            raise error("KeyError", f"could not resolve reference: {name}")
        return holder._values[name]

    def owner(self, name: str) -> Scope:
        """Return the scope that an assignment to a variable changes."""
        scope = self
        while name not in scope._values:
            if scope._parent is None:
                return self
            if scope._shared is not None and name not in scope._shared:
                return scope if scope.has(name) else self
            scope = scope._parent
        return scope

    def set(self, name: str, value: Any) -> None:
        """Assign to a variable of this scope."""
        size = self._memory.size_of(value, self._values.get(name))
        self._keep(name, value, size + len(name))

    def set_part(self, name: str, keys: Sequence[Any], value: Any) -> None:
        """Assign to the part at `keys` of a visible variable; the changed variable belongs to this scope."""
        whole = self.get(name)
        changed, growth = _with_part(whole, keys, value)
        known = self._sizes.get(name)
        self._keep(
            name, changed, (self._memory.size_of(whole) + len(name) if known is None else known) + growth
        )

    def share(self, names: Collection[str], lock: AbstractContextManager) -> None:
        """Prepare variables for branches that share them; each must exist."""
        for name in names:
            if not self.has(name):
                raise error(
                    "KeyError", f"the shared variable {name} is not assigned before the parallel step"
                )
            owner = self.owner(name)
            owner.lock = owner.lock or lock

    def release(self) -> None:
        """Free the memory of this scope."""
        self._memory.grow(-sum(self._sizes.values()))

    def _keep(self, name: str, value: Any, size: int) -> None:
        self._memory.grow(size - self._sizes.get(name, 0))
        self._values[name], self._sizes[name] = value, size

    def _holder(self, name: str) -> Scope | None:
        scope = self
        while scope is not None and name not in scope._values:
            scope = scope._parent
        return scope


def _with_part(whole: Any, keys: Sequence[Any], value: Any) -> tuple[Any, int]:
    """Return a value with one part replaced, and its growth in bytes; missing maps are created."""
    key, *deeper = keys
    if isinstance(whole, list):
        index = list_index(whole, key)
        part, growth = _part(whole[index], deeper, value)
        return [*whole[:index], part, *whole[index + 1 :]], growth
    if not isinstance(whole, dict):
        raise error("TypeError", f"a {type_name(whole)} has no member {key!r} to assign to")
    if text_key(key) in whole:
        part, growth = _part(whole[key], deeper, value)
    else:
        part = _new_part(deeper, value)
        growth = size_of(part) + len(key)
    return {**whole, key: part}, growth


def _part(old: Any, keys: Sequence[Any], value: Any) -> tuple[Any, int]:
    return _with_part(old, keys, value) if keys else (value, size_of(value) - size_of(old))


def _new_part(keys: Sequence[Any], value: Any) -> Any:
    for key in reversed(keys):
        value = {text_key(key): value}
    return value


class Memory:
    """The memory that the variables of an execution take.

    It is counted at each assignment and nothing is counted twice: a list that is passed on, or has one more
    element than before, is not measured again. That is right because a value is never changed in place.
    """

    def __init__(self):
        self.used_bytes = 0
        self.peak_bytes = 0
        # By identity; the value is kept so that no other gets the same identity.
        self._measured: dict[int, tuple[Any, int]] = {}
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
    """Whether `value` is `before` with one more element, as list.concat returns it."""
    if not (isinstance(value, list) and isinstance(before, list) and len(value) == len(before) + 1):
        return False
    return all(map(operator.is_, before, value))
