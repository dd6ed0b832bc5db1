"""Changes to what lies in the folder of a finished run, and how a stage refuses them."""

import hashlib
import json
import pickle
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from modeling.workload import Result
from tests.in_process import ended
from tests.stage_scripts import Stages

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


def forge(stages: Stages, change: Callable[[Result], object]) -> None:
    """Replace the first result by a changed one, as whole as any."""
    magic, _, packed = result_path(stages).read_bytes().split(b"\n", 2)
    put_record(stages, pickle.dumps(change(pickle.loads(zlib.decompress(packed))), protocol=5), magic)


def put_record(stages: Stages, record: bytes, magic: bytes = b"epymodelingsuite-cloud result 1") -> None:
    packed = zlib.compress(record, 1)
    header = {
        "index": 0,
        "input_sha256": builder_file(stages, "inputs.sha256").read_text().split()[0],
        "packed_sha256": hashlib.sha256(packed).hexdigest(),
    }
    result_path(stages).write_bytes(magic + b"\n" + json.dumps(header).encode() + b"\n" + packed)


def having(**changes) -> Callable[[Result], Result]:
    return lambda result: replace(result, **changes)


def having_expected(**changes) -> Callable[[Result], Result]:
    return lambda result: replace(result, expected=replace(result.expected, **changes))


def text(content: str) -> bytes:
    return b"\x8c" + bytes([len(content)]) + content.encode()
