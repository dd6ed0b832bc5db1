"""Workloads and results as bytes, loaded without running code of somebody else's."""

import hashlib
import io
import json
import pickle
import zlib
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar

from modeling.failures import UserError
from modeling.workload import RECORDS, ForeignWorkload, Result, Workload, check_result

_RESULT_MAGIC = b"epymodelingsuite-cloud result 1\n"


class DamagedResult(UserError):
    """A result file that is cut short, changed, or of another input: it is worth nothing."""


class ForeignResult(UserError):
    """A result file that another version of the code made, which can read it: it may be worth hours."""

    def __init__(self, path: str, reason: object):
        super().__init__(
            f"{path} was made by another version of the code ({reason}); write the outputs with the image "
            "that made it, or make the results anew with --force; nothing is deleted"
        )


def encode_workload(workload: Workload | ForeignWorkload) -> bytes:
    return zlib.compress(pickle.dumps(workload, protocol=5), level=1)


def decode_workload(data: bytes, path: str) -> Workload | ForeignWorkload:
    """Return the workload in bytes whose digest was checked."""
    try:
        workload = _unpack(data)
        if not isinstance(workload, Workload | ForeignWorkload):
            raise UserError("not an input")
    except UserError as error:
        raise UserError(f"{path}: {error}; build the run again under a new RUN_ID") from None
    return workload


def encode_result(result: Result, input_digest: str) -> bytes:
    """Return the file of a result: a magic line, a header line in JSON, and the packed record.

    Level 1 of zlib is half as long as level 6 and within 10 % of its size on trajectories.
    """
    packed = zlib.compress(pickle.dumps(result, protocol=5), level=1)
    header = {
        "index": result.index,
        "input_sha256": input_digest,
        "packed_bytes": len(packed),
        "packed_sha256": hashlib.sha256(packed).hexdigest(),
    }
    return _RESULT_MAGIC + json.dumps(header).encode() + b"\n" + packed


def check_result_file(data: bytes, input_digest: str, path: str) -> memoryview:
    """Return the packed record of a result file that is whole and belongs to the input.

    Raises
    ------
    DamagedResult
        The file was cut short, changed, or made from another input. How to mend that is not said
        here: stage B makes it anew, stage C removes it.
    ForeignResult
        It begins as no result of this version does, so that nobody here can tell whether it is whole.
    """
    if _RESULT_MAGIC.startswith(data):
        raise DamagedResult(f"{path}: cut short, before its header")
    if not data.startswith(_RESULT_MAGIC):
        raise ForeignResult(path, "its first line is another")
    line, _, packed = data[len(_RESULT_MAGIC) :].partition(b"\n")
    try:
        header = json.loads(line)
    except ValueError:
        raise DamagedResult(f"{path}: its header cannot be read") from None
    try:
        made_from, digest = header["input_sha256"], header["packed_sha256"]
    except (KeyError, TypeError):
        raise ForeignResult(path, "its header has other entries") from None
    if hashlib.sha256(packed).hexdigest() != digest:
        raise DamagedResult(f"{path}: cut short or changed")
    if made_from != input_digest:
        raise DamagedResult(f"{path}: made from another input")
    return memoryview(packed)


def decode_result(data: bytes, index: int, input_digest: str, path: str) -> Result:
    """Return the result of the input `index` in the bytes of its file, checked.

    Raises
    ------
    DamagedResult, ForeignResult
        As check_result_file. A file that is whole has what its maker wrote: where that is no right
        result here, the maker was another version, for stage B checks what it writes.
    """
    packed = check_result_file(data, input_digest, path)
    try:
        result = _unpack(packed)
        if not isinstance(result, Result) or not _has_our_fields(result):
            raise UserError("its record is another")
        if result.index != index:
            raise UserError(f"it holds the result of input {result.index}")
        check_result(result)
    except UserError as error:
        raise ForeignResult(path, error) from None
    return result


def _has_our_fields(value: Any) -> bool:
    """Tell whether records, in whatever holds them, have the fields of today: pickle does not look."""
    if is_dataclass(value):
        return vars(value).keys() == {field.name for field in fields(value)} and all(
            map(_has_our_fields, vars(value).values())
        )
    return not isinstance(value, list) or all(map(_has_our_fields, value))


def _unpack(packed: bytes | memoryview) -> Any:
    """Return the record in packed bytes; whatever is wrong with them is the file's fault."""
    try:
        return _PlainUnpickler(io.BytesIO(zlib.decompress(packed))).load()
    except (UserError, MemoryError):
        raise  # the latter says nothing about the file
    except Exception as error:  # pickle raises what the bytes lead it to
        raise UserError(f"not a record: {error}") from None


class _PlainUnpickler(pickle.Unpickler):
    """Loads our records and numpy arrays, and nothing that could run code of somebody else's."""

    _ALLOWED: ClassVar[set[tuple[str, str]]] = {
        *(("modeling.workload", kind.__name__) for kind in RECORDS),
        ("datetime", "date"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
    }

    def find_class(self, module: str, name: str) -> Any:
        # exact names only: "np.load" of modeling.workload would reach everything that it imports
        if (module, name) in self._ALLOWED:
            return super().find_class(module, name)
        raise UserError(f"a record names {module}.{name}, which is not ours; it is not loaded")
