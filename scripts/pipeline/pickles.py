"""Workloads and results as bytes; loading them runs no code from the file."""

import hashlib
import json
import zlib
from typing import get_args

from modeling.by_products import parse_json
from modeling.failures import UserError
from modeling.forecast_records import ForecastResult, ForecastWorkload
from modeling.result_checks import check_result
from modeling.workload import Checkpoint, ForeignWorkload, Result, Workload
from pipeline.input_list import InputEntry
from pipeline.packing import pack, pickled, unpack, unpacked
from pipeline.plain_pickle import load_record

_RESULT_MAGIC = b"epymodelingsuite-cloud result 2\n"
_MAGIC_OF_A_PICKLE = b"epymodelingsuite-cloud result 1\n"  # of older results: compressed as a whole
_RESULT_MAGICS = (_RESULT_MAGIC, _MAGIC_OF_A_PICKLE)
_CHECKPOINT_MAGIC = b"epymodelingsuite-cloud checkpoint 1\n"
MOST_INPUT_BYTES = 512 << 20  # unpacked; real ones have about 100 KB
MOST_HEADER_BYTES = 10_000
AnyWorkload = Workload | ForeignWorkload | ForecastWorkload
AnyResult = Result | ForecastResult
_WORKLOADS, _RESULTS = get_args(AnyWorkload), get_args(AnyResult)


class DamagedResult(UserError):
    """A result file that is cut short, changed, or of another input; it cannot be used."""


class ForeignResult(UserError):
    """A result file of another version of the code, which can read it; it may hold hours of work."""

    def __init__(self, path: str, reason: object):
        super().__init__(
            f"{path} was made by another version of the code ({reason}); write the outputs with the image "
            "that made it, or compute the results again with --force; nothing is deleted"
        )


def encode_workload(workload: AnyWorkload) -> bytes:
    return zlib.compress(pickled(workload), level=1)


def decode_workload(data: bytes, path: str) -> AnyWorkload:
    """Return the workload in bytes whose digest was checked before."""
    try:
        return load_record(unpacked(data, MOST_INPUT_BYTES), *_WORKLOADS)
    except UserError as error:
        raise UserError(f"{path}: {error}; build the run again under a new RUN_ID") from None


def encode_result(result: AnyResult, input_digest: str) -> bytes:
    """Return the file of a result: a magic line, a header line in JSON, and the packed record."""
    return _encoded(_RESULT_MAGIC, result, result.index, input_digest)


def encode_checkpoint(checkpoint: Checkpoint, index: int, input_digest: str) -> bytes:
    """Return the file of the checkpoint of an input, in the form of a result's."""
    return _encoded(_CHECKPOINT_MAGIC, checkpoint, index, input_digest)


def _encoded(magic: bytes, record: AnyResult | Checkpoint, index: int, input_digest: str) -> bytes:
    packed = pack(record)
    header = {
        "index": index,
        "input_sha256": input_digest,
        "packed_bytes": len(packed),
        "packed_sha256": hashlib.sha256(packed).hexdigest(),
    }
    return magic + json.dumps(header).encode() + b"\n" + packed


def decode_checkpoint(data: bytes, input_digest: str, most_bytes: int, path: str) -> Checkpoint:
    """Return the checkpoint in the bytes of its file; whether it fits its calibration is checked there.

    Raises
    ------
    DamagedResult, ForeignResult
        As check_result_file.
    UserError
        Its record is not a checkpoint.
    """
    packed = check_result_file(data, input_digest, path, (_CHECKPOINT_MAGIC,))
    record, arrays = unpack(packed, most_bytes)
    return load_record(record, Checkpoint, arrays=arrays)


def check_result_file(
    data: bytes, input_digest: str, path: str, magics: tuple[bytes, ...] = _RESULT_MAGICS
) -> memoryview:
    """Return the packed record of a result file that is whole and belongs to the input.

    Raises
    ------
    DamagedResult
        The file was cut short, changed, or made from another input. The message has no advice:
        stage B computes the result again, stage C removes the file.
    ForeignResult
        Its header is not that of this version, so that it cannot be checked here.
    """
    begin = len(magics[0])  # all of one kind are as long
    if not any(magic.startswith(data[:begin]) for magic in magics):
        raise ForeignResult(path, "its first line differs")
    if len(data) <= begin:
        raise DamagedResult(f"{path}: cut short, before its header")
    end = data.find(b"\n", begin, begin + MOST_HEADER_BYTES)
    line, packed = data[begin : max(end, 0)], memoryview(data)[end + 1 :]
    try:
        header = parse_json(line, MOST_HEADER_BYTES)
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
    return packed


def decode_result(data: bytes, index: int, input_digest: str, entry: InputEntry, path: str) -> AnyResult:
    """Return the result of input `index` in the bytes of its file, checked against its input.

    Raises
    ------
    DamagedResult, ForeignResult
        As check_result_file. Stage B checks what it writes, so a whole file whose result is not
        valid here was written by another version.
    """
    packed = check_result_file(data, input_digest, path)
    try:
        if data.startswith(_MAGIC_OF_A_PICKLE):
            result = load_record(unpacked(packed, entry.most_result_bytes), *_RESULTS)
        else:
            record, arrays = unpack(packed, entry.most_result_bytes)
            result = load_record(record, *_RESULTS, arrays=arrays)
        if result.index != index:
            raise UserError(f"it holds the result of input {result.index}")
        entry.check(result)
        check_result(result)
    except UserError as error:
        raise ForeignResult(path, error) from None
    return result
