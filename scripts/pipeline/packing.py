"""Records as packed bytes: a pickle, and its large arrays beside it, byte plane by byte plane.

Packed bytes are a table in one line of JSON, the compressed pickle, then the planes of each array. A plane
has one byte of every number: the first all lowest bytes, the last all highest ones, which in counts are
mostly 0. Planes pack 3 times as fast as whole numbers, into two thirds of the bytes, and unpack twice as
fast. They are the byte shuffle of HDF5 and Blosc (https://www.blosc.org).
"""

import json
import pickle
import zlib
from io import BytesIO
from itertools import accumulate, pairwise

import numpy as np

from modeling.by_products import parse_json
from modeling.failures import UserError

LEAST_BYTES = 1 << 12  # of an array outside the pickle
MOST_ARRAYS = 10_000  # outside the pickle
MOST_TABLE_BYTES = 1 << 20
ITEM_BYTES = (1, 2, 4, 8)
_RAW = -zlib.MAX_WBITS  # without a checksum: the file of a record has a digest
_MEMORY = 9  # of zlib, the most


def pickled(record: object, outside: list[pickle.PickleBuffer] | None = None) -> bytes:
    """Return the pickle of a record; with `outside`, its large arrays are appended to that list instead.

    The bytes do not depend on the order of an array in memory.
    """

    def stays_inside(array: pickle.PickleBuffer) -> bool:
        if array.raw().nbytes < LEAST_BYTES or len(outside) == MOST_ARRAYS:
            return True
        outside.append(array)
        return False

    written = BytesIO()
    _Pickler(written, protocol=5, buffer_callback=None if outside is None else stays_inside).dump(record)
    return written.getvalue()


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: object) -> object:
        if type(value) is np.ndarray and not value.flags.c_contiguous:
            return np.ascontiguousarray(value).__reduce_ex__(5)
        return NotImplemented


def pack(record: object) -> bytes:
    """Return a record as packed bytes; the same for equal records."""
    arrays: list[pickle.PickleBuffer] = []
    parts = [zlib.compress(pickled(record, arrays), level=1)]
    table = {"record": len(parts[0]), "arrays": []}
    for array in arrays:
        item_bytes = memoryview(array).itemsize
        numbers = np.frombuffer(array.raw(), np.uint8).reshape(-1, item_bytes)
        planes = [_packed_plane(np.ascontiguousarray(numbers[:, place])) for place in range(item_bytes)]
        table["arrays"].append({"bytes": numbers.size, "planes": [len(plane) for plane in planes]})
        parts += planes
    return b"".join([json.dumps(table).encode(), b"\n", *parts])


def unpack(packed: memoryview, most_bytes: int) -> tuple[bytes, list[bytearray]]:
    """Return the pickle in packed bytes, and the arrays outside it.

    Raises
    ------
    UserError
        They are not packed bytes, or unpack to more than `most_bytes`.
    """
    at = bytes(packed[:MOST_TABLE_BYTES]).find(b"\n")
    record_bytes, sizes = _read_table(bytes(packed[: max(at, 0)]))
    lengths = [record_bytes, *(length for _, planes in sizes for length in planes)]
    ends = list(accumulate([at + 1, *lengths]))
    if ends[-1] != len(packed):
        raise UserError("not a record: its parts are longer or shorter than its table says")
    most_left = most_bytes - sum(size for size, _ in sizes)
    if most_left < 0:
        raise too_large(most_bytes)
    parts = (packed[begin:end] for begin, end in pairwise(ends))
    record = unpacked(next(parts), most_left, most_bytes)
    return record, [_unpacked_array(size, [next(parts) for _ in planes]) for size, planes in sizes]


def unpacked(packed: bytes | memoryview, most_bytes: int, limit: int | None = None) -> bytes:
    """Return compressed bytes unpacked; unpacking stops at `most_bytes`, of `limit` with other parts."""
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(packed, most_bytes + 1)
    except zlib.error as error:
        raise UserError(f"not a record: {error}") from None
    if len(data) > most_bytes:
        raise too_large(most_bytes if limit is None else limit)
    if not unpacking.eof or unpacking.unused_data:
        raise UserError("not a record: its compressed data are cut short, or followed by other bytes")
    return data


def too_large(most_bytes: int) -> UserError:
    return UserError(f"it unpacks to more than {most_bytes / 2**20:,.0f} MiB, the most that is possible")


def _packed_plane(plane: np.ndarray) -> bytes:
    """Return a compressed plane; nothing if all its bytes are 0."""
    if not plane.any():
        return b""
    # looking only for runs is twice as fast, and loses nothing where the bytes are nearly random
    is_sparse = np.count_nonzero(plane) < plane.size / 8
    strategy = zlib.Z_DEFAULT_STRATEGY if is_sparse else zlib.Z_RLE
    packing = zlib.compressobj(1, zlib.DEFLATED, _RAW, _MEMORY, strategy)
    return packing.compress(plane) + packing.flush()


def _read_table(line: bytes) -> tuple[int, list[tuple[int, list[int]]]]:
    """Return the length of the packed pickle; of each array its bytes, and the lengths of its planes."""
    try:
        table = parse_json(line, MOST_TABLE_BYTES)
        record, sizes = table["record"], [(each["bytes"], each["planes"]) for each in table["arrays"]]
        numbers = [record, *(n for size, planes in sizes for n in (size, *planes))]
    except (ValueError, KeyError, TypeError):
        raise UserError("not a record: the table of its parts cannot be read") from None
    are_whole = all(type(number) is int and number >= 0 for number in numbers)
    if not are_whole or not all(_is_possible(size, planes) for size, planes in sizes):
        raise UserError("not a record: the table of its parts is wrong")
    return record, sizes


def _is_possible(size: int, planes: list[int]) -> bool:
    return len(planes) in ITEM_BYTES and size >= LEAST_BYTES and size % len(planes) == 0


def _unpacked_array(size: int, planes: list[memoryview]) -> bytearray:
    array = bytearray(size)  # all 0
    numbers = np.frombuffer(array, np.uint8).reshape(-1, len(planes))
    for place, plane in enumerate(planes):
        if len(plane):
            numbers[:, place] = _unpacked_plane(plane, len(numbers))
    return array


def _unpacked_plane(packed: memoryview, size: int) -> np.ndarray:
    unpacking = zlib.decompressobj(_RAW)
    try:
        plane = unpacking.decompress(packed, size + 1)
    except zlib.error as error:
        raise UserError(f"not a record: {error}") from None
    if len(plane) != size or not unpacking.eof or unpacking.unused_data:
        raise UserError("not a record: a part of an array is longer or shorter than its table says")
    return np.frombuffer(plane, np.uint8)
