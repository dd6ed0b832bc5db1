"""Workloads and results as bytes, loaded without running code of somebody else's."""

import hashlib
import io
import json
import pickle
import zlib
from typing import Any, ClassVar

from modeling.failures import UserError
from modeling.workload import RECORDS, ForeignWorkload, Result, Workload

_RESULT_MAGIC = b"epymodelingsuite-cloud result 1\n"


def encode_workload(workload: Workload | ForeignWorkload) -> bytes:
    return zlib.compress(pickle.dumps(workload, protocol=5), level=1)


def decode_workload(data: bytes, path: str) -> Workload | ForeignWorkload:
    """Return the workload in bytes whose digest was checked."""
    mend = "; build the run again under a new RUN_ID"
    workload = _unpack(data, path, mend)
    if not isinstance(workload, Workload | ForeignWorkload):
        raise UserError(f"{path}: not an input{mend}")
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
    UserError
        The file was cut short, changed, or made from another input. How to mend that is not said
        here: stage B makes it anew, stage C removes it.
    """
    magic, rest = data[: len(_RESULT_MAGIC)], data[len(_RESULT_MAGIC) :]
    line, _, packed = rest.partition(b"\n")
    if magic != _RESULT_MAGIC:
        raise UserError(f"{path}: not a result file")
    try:
        header = json.loads(line)
        whole = hashlib.sha256(packed).hexdigest() == header["packed_sha256"]
        same_input = header["input_sha256"] == input_digest
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: its header cannot be read") from None
    if not whole:
        raise UserError(f"{path}: cut short or changed")
    if not same_input:
        raise UserError(f"{path}: made from another input")
    return memoryview(packed)


def decode_result(data: bytes, index: int, input_digest: str, path: str) -> Result:
    """Return the result of the input `index` in the bytes of its file; UserError as check_result_file."""
    packed = check_result_file(data, input_digest, path)
    result = _unpack(packed, path)
    if not isinstance(result, Result):
        raise UserError(f"{path}: not a result")
    if result.index != index:
        raise UserError(f"{path}: holds the result of input {result.index}")
    return result


def _unpack(packed: bytes | memoryview, path: str, mend: str = "") -> Any:
    """Return the record in packed bytes; whatever is wrong with them is the file's fault."""
    try:
        return _PlainUnpickler(io.BytesIO(zlib.decompress(packed))).load()
    except UserError as error:
        raise UserError(f"{path}: {error}{mend}") from None
    except MemoryError:
        raise  # says nothing about the file
    except Exception as error:  # pickle raises what the bytes lead it to
        raise UserError(f"{path}: not a record ({error}){mend}") from None


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
