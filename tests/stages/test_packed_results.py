"""Results are packed array by array: equal results give equal bytes, and what is not packed so is refused."""

import json
import pickle
import shutil
import zlib
from dataclasses import replace

import numpy as np
import pytest

from modeling.workload import Checkpoint, Generation, Result
from pipeline.packing import pack, pickled, unpack
from pipeline.plain_pickle import load_record
from tests.forgeries import OLD_MAGIC, put_packed, put_record, refused, result_in, result_path
from tests.in_process import ended

COUNTS = np.arange(6_000).reshape(20, 30, 10) % 700


def of_generation(particles: np.ndarray) -> Generation:
    return Generation(0, particles, np.ones(len(particles)), np.ones(len(particles)))


def read(packed: bytes) -> Generation:
    record, arrays = unpack(memoryview(packed), 1 << 20)
    return load_record(record, Generation, arrays=arrays)


@pytest.mark.parametrize(
    "numbers",
    [
        COUNTS.astype("i4"),
        COUNTS.astype("i8"),
        COUNTS.astype("u1"),
        COUNTS.astype("f8") / 7 - 3,
        COUNTS.astype(">i4"),
        np.zeros_like(COUNTS),
        COUNTS[:1, :1],  # small enough to stay in the pickle
    ],
    ids=["int32", "int64", "bytes", "floats", "of another machine", "nothing but 0", "few"],
)
def test_a_packed_array_comes_back_with_its_type_and_can_be_written_to(numbers):
    found = read(pack(of_generation(numbers))).particles

    assert found.dtype == numbers.dtype
    assert np.array_equal(found, numbers)
    assert found.flags.writeable


@pytest.mark.parametrize(
    "same",
    [
        np.asfortranarray(COUNTS),
        np.ascontiguousarray(COUNTS.transpose(1, 2, 0)).transpose(2, 0, 1),
        np.repeat(COUNTS, 2, axis=2)[:, :, ::2],
    ],
    ids=["Fortran's order", "axes in another order", "every second number"],
)
def test_the_bytes_of_a_result_do_not_depend_on_the_order_of_its_arrays_in_memory(same):
    assert pack(of_generation(same)) == pack(of_generation(COUNTS))
    assert np.array_equal(read(pack(of_generation(same))).particles, COUNTS)
    assert np.array_equal(load_record(pickled(of_generation(same)), Generation).particles, COUNTS)


def test_a_checkpoint_of_a_calibration_can_be_packed_too():
    checkpoint = Checkpoint([of_generation(COUNTS)], values=COUNTS[0] / 3, simulations=700, seconds=2.5)
    record, arrays = unpack(memoryview(pack(checkpoint)), 1 << 20)

    found = load_record(record, Checkpoint, arrays=arrays)

    assert np.array_equal(found.generations[0].particles, COUNTS)
    assert np.array_equal(found.values, checkpoint.values)
    assert (found.simulations, found.seconds) == (700, 2.5)


def test_packed_counts_take_fewer_bytes_than_a_compressed_pickle():
    generation = of_generation(np.random.default_rng(1).poisson(3_000, (100, 60, 37)).astype("i4"))

    packed = len(pack(generation))

    assert packed < 0.8 * len(zlib.compress(pickle.dumps(generation, protocol=5), 1))


def test_a_run_may_have_results_of_older_versions_beside_its_own(run):
    assert ended(run, "output")[0] == 0
    (own,) = run.run_folder.glob("outputs/*")
    tables = {path.name: path.read_bytes() for path in own.glob("*.csv.gz")}
    shutil.rmtree(own)
    put_record(run, pickled(result_in(result_path(run).read_bytes())))
    assert result_path(run).read_bytes().startswith(OLD_MAGIC)

    code, said = ended(run, "output")

    assert code == 0, said
    (with_old,) = run.run_folder.glob("outputs/*")
    assert {path.name: path.read_bytes() for path in with_old.glob("*.csv.gz")} == tables


def test_the_runner_leaves_a_result_of_an_older_version_alone(run):
    put_record(run, pickled(result_in(result_path(run).read_bytes())))
    before = result_path(run).read_bytes()

    code, said = ended(run, "runner", TASK_INDEX=0)

    assert code == 0, said
    assert result_path(run).read_bytes() == before


def with_an_array(result: Result) -> Result:
    """Return a result with one array that is large enough to lie outside the pickle."""
    return replace(result, parameters=result.parameters | {"R0": np.arange(1_000.0)})


def parts(packed: bytes) -> tuple[dict, bytes]:
    table, rest = packed.split(b"\n", 1)
    return json.loads(table), rest


def with_table(change):
    """Return a function that changes the table of the first result's parts."""

    def forged(packed: bytes) -> bytes:
        table, rest = parts(packed)
        change(table)
        return json.dumps(table).encode() + b"\n" + rest

    return forged


def with_first_plane(plane: bytes):
    """Return a function that replaces the first plane of the first array."""

    def forged(packed: bytes) -> bytes:
        table, rest = parts(packed)
        begin = table["record"]
        old = table["arrays"][0]["planes"][0]
        table["arrays"][0]["planes"][0] = len(plane)
        return json.dumps(table).encode() + b"\n" + rest[:begin] + plane + rest[begin + old :]

    return forged


def with_one_more(packed: bytes) -> bytes:
    table, rest = parts(packed)
    table["arrays"].append({"bytes": 4096, "planes": [0]})
    return json.dumps(table).encode() + b"\n" + rest


def without_the_last(packed: bytes) -> bytes:
    table, rest = parts(packed)
    last = table["arrays"].pop()
    return json.dumps(table).encode() + b"\n" + rest[: len(rest) - sum(last["planes"])]


def raw(data: bytes) -> bytes:
    packing = zlib.compressobj(1, zlib.DEFLATED, -15)
    return packing.compress(data) + packing.flush()


def setting(**changes):
    return with_table(lambda table: table["arrays"][0].update(changes))


WRONG_PARTS = {
    "no table": (lambda packed: b"no table at all", "the table of its parts cannot be read"),
    "a table without end": (lambda packed: b"[" * 2_000_000, "the table of its parts cannot be read"),
    "another table": (lambda packed: b'{"record": 1}\nx', "the table of its parts cannot be read"),
    "a text for a length": (with_table(lambda table: table.update(record="9")), "of its parts is wrong"),
    "a flag for a length": (with_table(lambda table: table.update(record=True)), "of its parts is wrong"),
    "a length below nothing": (setting(planes=[-1] + [0] * 7), "the table of its parts is wrong"),
    "numbers of three bytes": (setting(planes=[0] * 3), "the table of its parts is wrong"),
    "a part of a number": (setting(bytes=4097), "the table of its parts is wrong"),
    "no number": (setting(bytes=0), "the table of its parts is wrong"),
    "a length beyond arithmetic": (
        with_table(lambda table: table.update(record=2**62)),
        "its parts are longer",
    ),
    "an array of a terabyte": (setting(bytes=1 << 40), "it unpacks to more than"),
    "an array of more": (setting(bytes=1 << 20), "a part of an array is longer or shorter"),
    "a plane of a terabyte": (with_first_plane(raw(bytes(1 << 24)) * 2), "a part of an array is longer"),
    "a plane that is none": (with_first_plane(b"\xff" * 99), "not a record"),
    "bytes after the last part": (lambda packed: packed + b"x", "longer or shorter than its table says"),
    "the last part cut short": (lambda packed: packed[:-1], "longer or shorter than its table says"),
    "an array that nothing refers to": (with_one_more, "it does not use all of its arrays"),
    "an array that is missing": (without_the_last, "not a record"),
}


@pytest.mark.parametrize("name", WRONG_PARTS)
def test_wrong_parts_are_refused_before_memory_is_taken_for_them(run, name):
    change, fragment = WRONG_PARTS[name]
    put_packed(run, change(pack(with_an_array(result_in(result_path(run).read_bytes())))))

    line = refused(run, "output")

    assert fragment in line
    assert "result_0000.pkl was made by another version of the code (" in line
    assert not (run.run_folder / "outputs").exists()


def test_a_pickle_cannot_ask_for_arrays_that_its_format_does_not_have(run):
    result = with_an_array(result_in(result_path(run).read_bytes()))
    outside: list[pickle.PickleBuffer] = []
    put_record(run, pickled(result, outside))

    assert outside
    assert "not a record: opcode 0x97" in refused(run, "output")


def test_two_fields_may_not_share_one_array_again_and_again(run):
    result: Result = result_in(result_path(run).read_bytes())
    shared = np.zeros((1_000, 1)), np.full(1_000, 1e-3), np.zeros(1_000)
    generations = [Generation(number, *shared) for number in range(1_000)]
    put_packed(run, pack(replace(result, generations=generations)))

    assert "too many numbers for the size of the record" in refused(run, "output")
