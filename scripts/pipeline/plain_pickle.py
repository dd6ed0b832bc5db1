"""Pickles of our records, read without running their code or trusting any size or type in them.

1. The opcodes are checked: only those of our own pickles, with lengths that fit into the data.
2. They are loaded with stand-ins for every class.
3. The stand-ins become records; each field must have the type that its class declares.
"""

import datetime
import io
import pickle
import re
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from math import prod
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from modeling.bounds import EARLIEST_DAY, LATEST_DAY
from modeling.failures import UserError
from modeling.forecast_records import FORECAST_RECORDS
from modeling.plain_text import is_unicode
from modeling.workload import RECORDS

MOST_OPCODES = 2_000_000  # an empty list takes one byte here and 56 in memory
MOST_TUPLES = 20_000  # hashing nested tuples recurses in C, without a limit
MOST_ITEMS = 3_000_000  # in all lists and dictionaries; one that is referred to twice counts twice
MOST_CHARACTERS = 100_000  # of a text
MOST_DEPTH = 10  # of values without a declared type
LARGEST = 2**128  # of a whole number

# opcodes of protocol 5, with the number of bytes of their argument, or of the length before their argument
_FIXED = {
    **dict.fromkeys(b"(.)]}aestuNRb\x81\x85\x86\x87\x88\x89\x93\x94", 0),
    ord("K"): 1,
    ord("M"): 2,
    ord("J"): 4,
    ord("G"): 8,
    ord("h"): 1,
    ord("j"): 4,
    0x80: 1,  # protocol
    0x95: 8,  # frame
}
_COUNTED = {
    0x8A: 1,  # whole number
    0x8C: 1,  # text
    ord("X"): 4,
    0x8D: 8,
    ord("C"): 1,  # bytes
    ord("B"): 4,
    0x8E: 8,
    0x96: 8,  # bytearray
}
_OUTSIDE = {0x97, 0x98}  # an array outside the pickle, and a read-only one
_TUPLES = frozenset(b"t\x85\x86\x87")
_DTYPE = re.compile("b1|[iuf][1248]|M8")
_UNITS = {b"D", b"s"}


class NotOurs(UserError):
    """A record refers to a class or function that is not ours."""


def load_record(data: bytes, *kinds: type, arrays: Sequence[bytearray] = ()) -> Any:
    """Return the record of one of these kinds in a pickle.

    Parameters
    ----------
    arrays : sequence of bytearray
        The contents of the arrays outside the pickle, in its order.

    Raises
    ------
    UserError
        It is not such a record, refers to code that is not ours, or has a field of a wrong type or size.
    """
    outside = iter(arrays)
    try:
        _check_opcodes(data, len(arrays))
        loaded = _PlainUnpickler(io.BytesIO(data), buffers=outside).load()
    except UserError:
        raise
    except Exception as error:  # pickle raises anything, depending on the bytes
        raise UserError(f"not a record: {error}") from None
    if not isinstance(loaded, _Record) or loaded.kind not in kinds:
        raise UserError("it contains another kind of record")
    if next(outside, None) is not None:
        raise UserError("not a record: it does not use all of its arrays")
    return _Reader(len(data) + sum(map(len, arrays))).record(loaded, loaded.kind, loaded.kind.__name__)


def _check_opcodes(data: bytes, arrays: int) -> None:
    """Refuse opcodes that ours do not use, and lengths beyond the end, which pickle would allocate."""
    at, count, tuples, end = 0, 0, 0, len(data)
    while at < end:
        code = data[at]
        at, count = at + 1, count + 1
        if code in _FIXED:
            at += _FIXED[code]
            tuples += code in _TUPLES
        elif code in _COUNTED:
            size = _COUNTED[code]
            at += size + int.from_bytes(data[at : at + size], "little")
        elif code not in _OUTSIDE or not arrays:
            raise UserError(f"not a record: opcode {code:#x}")
        if at > end or count > MOST_OPCODES or tuples > MOST_TUPLES:
            raise UserError("not a record: cut short, or with too many parts")


class _Record:
    """Stand-in for a record until its fields are checked; each load makes its own subclasses."""

    kind: type

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _DType:
    """Stand-in for a dtype."""

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise UserError(f"an array of type {str(code)[:20]!r}")
        self.code, self.order, self.unit = code, "=", ""

    def __setstate__(self, state: Any) -> None:
        self.order = {"<": "<", ">": ">", "|": "|", "=": "="}[state[1]]
        if self.code == "M8":
            unit, *steps = state[8][1]
            if unit not in _UNITS or steps[:2] != [1, 1]:
                raise UserError("an array of dates in other units than days or seconds")
            self.unit = f"[{unit.decode()}]"

    @property
    def numpy(self) -> np.dtype:
        return np.dtype(f"{self.order}{self.code}{self.unit}")


def _array(data: Any, kind: Any, shape: Any, order: Any = "C") -> np.ndarray:
    """Return an array; its shape and type must fit the number of bytes."""
    if type(kind) is not _DType or type(shape) is not tuple or not 0 <= len(shape) <= 4:
        raise UserError("not an array")
    if not all(type(size) is int and 0 <= size <= len(data) for size in shape):
        raise UserError(f"an array of shape {str(shape)[:60]} in {len(data)} bytes")
    if prod(shape) * kind.numpy.itemsize != len(data) or order not in ("C", "F"):
        raise UserError(f"an array of shape {shape} in {len(data)} bytes")
    if not data:
        return np.empty(shape, kind.numpy)
    writable = data if type(data) is bytearray else bytearray(data)
    return np.frombuffer(writable, kind.numpy).reshape(shape, order=order)


class _Array:
    """Stand-in for an array that is filled after it is created."""

    array: np.ndarray | None = None

    def __init__(self, *_: Any):
        """The initial shape and type are replaced later."""

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, is_fortran, data = state
        if type(data) is not bytes:
            raise UserError("an array of objects")
        self.array = _array(data, kind, shape, "F" if is_fortran else "C")


def _scalar(kind: Any, data: Any) -> Any:
    return _array(data, kind, ())[()]


_NUMPY: dict[tuple[str, str], Any] = {
    ("datetime", "date"): datetime.date,
    ("numpy", "ndarray"): "ndarray",  # only named, never called
    ("numpy", "dtype"): _DType,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _array,
}
_RECORDS = {(kind.__module__, kind.__name__): kind for kind in (*RECORDS, *FORECAST_RECORDS)}


class _PlainUnpickler(pickle.Unpickler):
    """Loads stand-ins for our records and numpy's arrays, and nothing that could run code."""

    def __init__(self, file: io.BytesIO, buffers: Iterator[bytearray]):
        super().__init__(file, buffers=buffers)
        self._classes: dict[tuple[str, str], Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        # exact names only: "np.load" of modeling.workload would reach everything that it imports
        place = (module, name)
        if place not in self._classes:
            self._classes[place] = self._stand_in(module, name)
        return self._classes[place]

    @staticmethod
    def _stand_in(module: str, name: str) -> Any:
        if (module, name) in _RECORDS:
            return type(name, (_Record,), {"kind": _RECORDS[module, name]})
        found = _NUMPY.get((module, name))
        if found is None:
            raise NotOurs(f"a record names {module[:80]}.{name[:80]}, which is not ours; it is not loaded")
        # an opcode may change attributes of the class it names, so the real class is never returned
        return type(name, (found,), {}) if found is _Array else _called(found)


def _called(function: Any) -> Any:
    if not callable(function):
        return function

    def call(*arguments: Any) -> Any:
        return function(*arguments)

    return call


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


class _Reader:
    """Turns stand-ins into records, checks the type of each field, and counts items and bytes."""

    def __init__(self, size: int):
        self.items = 0
        self.bytes_left = 10 * size  # several fields may share an array, but not thousands

    def record(self, value: Any, kind: type, where: str) -> Any:
        state = getattr(value, "state", None) if isinstance(value, _Record) else None
        hints = _hints(kind)
        if not isinstance(value, _Record) or value.kind is not kind:
            raise UserError(f"{where} is not a {kind.__name__}")
        names = {field.name for field in fields(kind)}
        required = {field.name for field in fields(kind) if "since" not in field.metadata}
        if type(state) is not dict or not required <= state.keys() <= names:
            raise UserError("it contains another kind of record")
        made = object.__new__(kind)
        for name, content in state.items():
            vars(made)[name] = self.typed(content, hints[name], f"{where}.{name}")
        return made

    def typed(self, value: Any, kind: Any, where: str) -> Any:
        """Return a value of a declared type; UserError for any other type."""
        origin = get_origin(kind)
        if origin in (Union, types.UnionType):
            return self._one_of(value, get_args(kind), where)
        if is_dataclass(kind):
            return self.record(value, kind, where)
        read: Callable[[Any, Any, str], Any] = _READERS.get(origin or kind, _Reader._plain)
        return read(self, value, get_args(kind), where)

    def _one_of(self, value: Any, kinds: tuple, where: str) -> Any:
        for kind in kinds:
            if _may_be(value, kind):
                return self.typed(value, kind, where)
        raise UserError(f"{where} is {_name(value)}")

    def _list(self, value: Any, kinds: tuple, where: str) -> list:
        self._see(value, list, where)
        kind = kinds[0] if kinds else object
        return [self.typed(each, kind, where) for each in value]

    def _tuple(self, value: Any, kinds: tuple, where: str) -> tuple:
        self._see(value, tuple, where)
        if kinds[1:] == (...,):
            kinds = kinds[:1] * len(value)
        if len(kinds) != len(value):
            raise UserError(f"{where} has {len(value)} parts instead of {len(kinds)}")
        return tuple(self.typed(each, kind, where) for each, kind in zip(value, kinds, strict=True))

    def _dict(self, value: Any, kinds: tuple, where: str) -> dict:
        self._see(value, dict, where)
        key, content = kinds or (str, object)
        return {self.typed(k, key, where): self.typed(v, content, where) for k, v in value.items()}

    def _see(self, value: Any, kind: type, where: str) -> None:
        if type(value) is not kind:
            raise UserError(f"{where} is {_name(value)} instead of a {kind.__name__}")
        self.items += 1 + len(value)
        if self.items > MOST_ITEMS:
            raise UserError(f"{where}: too many parts for a record")

    def _array(self, value: Any, _: tuple, where: str) -> np.ndarray:
        array = value.array if isinstance(value, _Array) else value
        if type(array) is not np.ndarray:
            raise UserError(f"{where} is {_name(value)} instead of an array")
        self.bytes_left -= array.nbytes
        if self.bytes_left < 0:
            raise UserError(f"{where}: too many numbers for the size of the record")
        return array

    def _int(self, value: Any, _: tuple, where: str) -> int:
        if not (type(value) is int or isinstance(value, np.integer)) or abs(int(value)) > LARGEST:
            raise UserError(f"{where} is {_name(value)} instead of a whole number")
        return value

    def _bool(self, value: Any, _: tuple, where: str) -> bool:
        if not isinstance(value, (bool, np.bool_)):
            raise UserError(f"{where} is {_name(value)} instead of true or false")
        return bool(value)

    def _float(self, value: Any, _: tuple, where: str) -> float:
        if type(value) is float or isinstance(value, np.floating):
            return value
        try:
            return self._int(value, (), where)
        except UserError:
            raise UserError(f"{where} is {_name(value)} instead of a number") from None

    def _str(self, value: Any, _: tuple, where: str) -> str:
        if type(value) is not str or len(value) > MOST_CHARACTERS:
            raise UserError(f"{where} is {_name(value)} instead of a text")
        if not is_unicode(value):
            raise UserError(f"{where} is not valid Unicode")
        return value

    def _bytes(self, value: Any, _: tuple, where: str) -> bytes:
        if type(value) is not bytes:
            raise UserError(f"{where} is {_name(value)} instead of bytes")
        return value

    def _date(self, value: Any, _: tuple, where: str) -> datetime.date:
        if type(value) is not datetime.date or not EARLIEST_DAY <= value <= LATEST_DAY:
            raise UserError(f"{where} is not a date from 1900 to 2200")
        try:
            return datetime.date(value.year, value.month, value.day)  # a pickled one may have day 200
        except ValueError:
            raise UserError(f"{where} is not a date from 1900 to 2200") from None

    def _none(self, value: Any, _: tuple, where: str) -> None:
        if value is not None:
            raise UserError(f"{where} is {_name(value)}")

    def _plain(self, value: Any, _: tuple, where: str, depth: int = 0) -> Any:
        """Return a value without a declared type: texts and numbers, in lists, tuples and dictionaries."""
        if depth > MOST_DEPTH:
            raise UserError(f"{where} is nested too deeply")
        if type(value) in (list, tuple):
            self._see(value, type(value), where)
            return type(value)(self._plain(each, (), where, depth + 1) for each in value)
        if type(value) is dict:
            self._see(value, dict, where)
            return {self._str(k, (), where): self._plain(v, (), where, depth + 1) for k, v in value.items()}
        if value is None or type(value) is bool:
            return value
        kind = next((kind for kind in (np.ndarray, str, float) if _may_be(value, kind)), int)
        return self.typed(value, kind, where)


_READERS: dict[Any, Callable] = {
    list: _Reader._list,
    tuple: _Reader._tuple,
    dict: _Reader._dict,
    np.ndarray: _Reader._array,
    bool: _Reader._bool,
    int: _Reader._int,
    float: _Reader._float,
    str: _Reader._str,
    bytes: _Reader._bytes,
    datetime.date: _Reader._date,
    types.NoneType: _Reader._none,
}


def _may_be(value: Any, kind: Any) -> bool:
    """Tell whether a value may be read as one of several declared types."""
    if is_dataclass(kind):
        return isinstance(value, _Record) and value.kind is kind
    if kind is np.ndarray:
        return isinstance(value, (np.ndarray, _Array))
    if kind in (int, float):
        return type(value) in (int, float) or isinstance(value, (np.integer, np.floating))
    return type(value) is (get_origin(kind) or kind)


def _name(value: Any) -> str:
    """Return the kind of a value, for messages."""
    kind = value.kind if isinstance(value, _Record) else type(value)
    words = {types.NoneType: "nothing", bool: "true or false", int: "a whole number", str: "a text"}
    words |= {
        float: "a number",
        list: "a list",
        dict: "a mapping",
        _Array: "an array",
        np.ndarray: "an array",
    }
    return words.get(kind, f"of type {kind.__name__[:40]}")
