"""Changes to what lies in the folder of a finished run, and how a stage refuses them."""

import hashlib
import json
import pickle
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from modeling.workload import Result
from pipeline.packing import pack, unpack
from tests.in_process import ended
from tests.stage_scripts import Stages

MAGIC, OLD_MAGIC = (b"epymodelingsuite-cloud result %d\n" % number for number in (2, 1))
NESTED = "[" * 100_000 + "]" * 100_000


def refused(stages: Stages, stage: str, **variables: object) -> str:
    """Return the one line that a stage ended with, for what the user can fix."""
    code, said = ended(stages, stage, **variables)
    assert code == 2, said
    assert "\n" not in said[-1]
    return said[-1]


def builder_file(stages: Stages, name: str) -> Path:
    return stages.run_folder / "builder-artifacts" / name


def result_path(stages: Stages, index: int = 0) -> Path:
    return stages.run_folder / "runner-artifacts" / f"result_{index:04d}.pkl"


def change_manifest(stages: Stages, **changes: object) -> None:
    path = builder_file(stages, "manifest.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def put_input(stages: Stages, data: bytes) -> None:
    """Replace the first input by the bytes of another one, with right digests."""
    listed = builder_file(stages, "inputs.sha256")
    _, *others = listed.read_text().splitlines()
    digests = "".join(f"{digest}\n" for digest in (hashlib.sha256(data).hexdigest(), *others)).encode()
    builder_file(stages, "input_0000.pkl").write_bytes(data)
    listed.write_bytes(digests)
    change_manifest(stages, inputs_sha256=hashlib.sha256(digests).hexdigest())


def forge(stages: Stages, change: Callable[[Result], object]) -> None:
    """Replace the first result by a changed one, as whole as any."""
    put_packed(stages, pack(change(result_in(result_path(stages).read_bytes()))))


def result_in(data: bytes) -> Result:
    """Return the result in the bytes of its file, unchecked."""
    _, _, packed = data.split(b"\n", 2)
    record, arrays = unpack(memoryview(packed), 1 << 30)
    return pickle.loads(record, buffers=arrays)


def put_record(stages: Stages, record: bytes) -> None:
    """Replace the first result by a pickle in the format of older versions, as whole as any."""
    put_packed(stages, zlib.compress(record, 1), OLD_MAGIC)


def put_without_arrays(stages: Stages, record: bytes) -> None:
    """Replace the first result by a pickle in today's format."""
    packed = zlib.compress(record, 1)
    table = json.dumps({"record": len(packed), "arrays": []}).encode()
    put_packed(stages, table + b"\n" + packed)


def put_packed(stages: Stages, packed: bytes, magic: bytes = MAGIC) -> None:
    """Replace the first result by packed bytes with a right header."""
    header = {
        "index": 0,
        "input_sha256": builder_file(stages, "inputs.sha256").read_text().split()[0],
        "packed_sha256": hashlib.sha256(packed).hexdigest(),
    }
    result_path(stages).write_bytes(magic + json.dumps(header).encode() + b"\n" + packed)


def having(**changes) -> Callable[[Result], Result]:
    return lambda result: replace(result, **changes)


def having_expected(**changes) -> Callable[[Result], Result]:
    return lambda result: replace(result, expected=replace(result.expected, **changes))


def text(content: str) -> bytes:
    return b"\x8c" + bytes([len(content)]) + content.encode()
