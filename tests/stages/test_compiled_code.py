"""Where the engine's machine code is kept, for which CPU it is made, and when it is made again."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.experiments import REPOSITORY

KERNEL = '''"""A kernel as small as can be."""

from modeling.engine.compiled import compiled, inlined, part

RISE = 1.0


@inlined
def risen(x):
    return x * x + RISE


@part
def rise(values):
    for i in range(values.size):
        values[i] = risen(values[i])


@compiled
def rise_all(rows, add, is_on):
    if is_on:
        rise(rows.values[rows.first])
        rows.values[rows.first, 3] += add
'''
CALLER = '''"""Calls it."""

from typing import NamedTuple

from modeling.engine.machine_code import Kernel, array


class Rows(NamedTuple):
    values: array("float64", 2)
    first: int


rise_all = Kernel("modeling.engine.kernel", "rise_all", Rows, float, bool)
'''
CALL = """
import logging, sys
logging.basicConfig(level="INFO", format="%(message)s")
import numpy as np
from modeling.engine.caller import Rows, rise_all
values = np.arange(32.0).reshape(2, 16)
rise_all(Rows(values, 0), 0.5, True)
print(values[0, 3], values[1, 3], "numba" in sys.modules)
"""
ZNVER2 = """
import llvmlite.binding as llvm
known = {name: is_there and "avx512" not in name for name, is_there in llvm.get_host_cpu_features().items()}
llvm.get_host_cpu_name, llvm.get_host_cpu_features = lambda: "znver2", lambda: known
"""
COMPILING = "compiling the engine for this machine"
RISEN = "10.5 19.0 False"  # 3 * 3 + 1 + 0.5 in the row that is changed, the old value in the other, no numba


class Code:
    """A copy of the engine with a small kernel, and a folder for its machine code."""

    def __init__(self, root: Path):
        self.root, self.kept, self.cwd = root, root / "kept", root
        for name in ("__init__.py", "failures.py", "cache_folder.py"):
            self.write(name, (REPOSITORY / "modeling" / name).read_text())
        for name in ("__init__", "target", "compiled", "code_folder", "machine_code", "precompile"):
            self.write(f"engine/{name}.py", (REPOSITORY / "modeling" / "engine" / f"{name}.py").read_text())
        self.write("engine/kernel.py", KERNEL)
        self.write("engine/caller.py", CALLER)

    def write(self, name: str, text: str) -> None:
        path = self.root / "modeling" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        known = {name: str(self.root) for name in ("PYTHONPATH", "HOME")} | {"PATH": os.environ["PATH"]}
        known["PYTHONDONTWRITEBYTECODE"] = "1"  # its files take two edits in one second for one
        return subprocess.run(
            [sys.executable, *arguments],
            env=known | {"NUMBA_CACHE_DIR": str(self.kept)} | variables,
            cwd=self.cwd,
            capture_output=True,
            text=True,
        )

    def call(self, before: str = "", **variables: str) -> tuple[str, str]:
        """Return what a process that calls the kernel prints, and its log."""
        done = self.run("-c", before + CALL, **variables)
        assert not done.returncode, done.stderr
        return done.stdout.strip(), done.stderr.strip()

    def precompile(self, *targets: str) -> str:
        done = self.run("-m", "modeling.engine.precompile", *targets)
        assert not done.returncode, done.stderr
        return done.stdout

    def folders(self, target: str = "") -> set[str]:
        return {path.name for path in self.kept.iterdir() if path.name.startswith(target)}


@pytest.fixture
def code(tmp_path):
    made = Code(tmp_path)
    yield made
    if made.kept.is_dir():
        made.kept.chmod(0o755)  # pytest removes it


needs_x86 = pytest.mark.skipif(
    not re.search("x86_64|amd64", os.uname().machine, re.I), reason="the three targets are those of x86-64"
)


def test_code_is_compiled_once_with_one_line(code):
    first, second = code.call(), code.call()

    assert first[0] == RISEN
    assert first[1].startswith(COMPILING)
    assert len(first[1].splitlines()) == 1
    assert second == (RISEN, "")


@pytest.mark.parametrize("name", ["engine/kernel.py", "engine/compiled.py", "engine/another.py"])
def test_a_change_of_any_source_compiles_again(code, name):
    code.call()
    path = code.root / "modeling" / name
    text = path.read_text() if path.exists() else ""
    code.write(name, text.replace("RISE = 1.0", "RISE = 2.0") + "# changed\n")

    printed, logged = code.call()

    assert printed == (RISEN.replace("10.5", "11.5") if name == "engine/kernel.py" else RISEN)
    assert logged.startswith(COMPILING)
    assert len(code.folders()) == 2


def test_another_time_of_the_files_compiles_nothing(code):
    code.call()
    for path in (code.root / "modeling").rglob("*.py"):
        os.utime(path, (1e9, 1e9))

    assert code.call() == (RISEN, "")


@needs_x86
def test_code_for_two_targets_serves_a_cpu_of_another_name_and_is_only_read(code):
    printed = code.precompile("x86-64-v3", "x86-64-v4")
    code.kept.chmod(0o555)
    before = sorted(code.kept.rglob("*"))

    called = code.call(ZNVER2)

    assert called == (RISEN, "")
    assert sorted(code.kept.rglob("*")) == before
    assert len(printed.splitlines()) == len(code.folders()) == 2


def test_code_for_this_cpu_can_be_compiled_before_it_is_needed(code):
    (printed,) = code.precompile("--here").splitlines()

    assert code.call() == (RISEN, "")
    assert code.folders() == {Path(printed.partition(":")[0]).name}


@needs_x86
def test_code_of_a_better_cpu_can_be_compiled_but_not_run(code):
    code.precompile("x86-64-v4")

    called = code.run("-c", ZNVER2 + CALL, ENGINE_TARGET="x86-64-v4")

    assert "this CPU cannot run code for ENGINE_TARGET=x86-64-v4" in called.stderr.splitlines()[-1]


@needs_x86
@pytest.mark.parametrize(
    ("target", "widest"), [("x86-64-v4", "zmm"), ("x86-64-v3", "ymm"), ("x86-64", "xmm")]
)
def test_loops_use_the_widest_registers_of_their_target(code, target, widest):
    show = """
from modeling.engine.kernel import rise
rise.compile("void(float64[::1])")
print(*rise.inspect_asm().values())
"""

    assembly = code.run("-c", show, ENGINE_TARGET=target).stdout

    assert max(set(re.findall("[xyz]mm", assembly))) == widest
    assert "vfmadd" not in assembly  # a contracted product has other bits than on a CPU without it


@needs_x86
def test_code_is_that_of_the_target_although_another_library_has_compiled_before(code):
    code.precompile("x86-64-v3", "x86-64-v4")

    called = code.call("import numba\nnumba.njit(lambda x: x)(1)\n")

    assert called == (RISEN.replace("False", "True"), "")


@pytest.mark.parametrize("left", [0, 200, 0.5])
def test_a_damaged_file_is_compiled_again(code, left):
    code.call()
    (path,) = code.kept.rglob("*.o")
    data = path.read_bytes()
    whole = int(left * len(data)) if left < 1 else left
    path.write_bytes(data[:whole])

    printed, logged = code.call()

    assert (printed, path.read_bytes()) == (RISEN, data)
    assert logged.startswith(COMPILING)


def test_code_is_compiled_where_a_folder_has_the_name_of_ours(code):
    code.write("../elsewhere/modeling/__init__.py", "")
    code.cwd = code.root / "elsewhere"

    done = code.run("-P", "-c", CALL)  # as a stage, whose script is in another folder

    assert done.stdout.strip() == RISEN, done.stderr


@needs_x86
def test_another_processor_gets_code_for_itself(code):
    code.write("../sitecustomize.py", "import platform\nplatform.machine = lambda: 'riscv64'\n")

    called = code.call()

    assert called[0] == RISEN
    (folder,) = code.folders()
    assert not folder.startswith("x86-64")


def test_a_folder_that_cannot_be_written_costs_one_line_and_the_time(code):
    code.kept.write_text("not a folder")

    printed, logged = code.call()

    assert printed == RISEN
    assert len(logged.splitlines()) == 1
    assert (
        f"each time, because {code.kept} cannot be written, or is another user's; set NUMBA_CACHE_DIR"
        in logged
    )


def test_code_in_the_cache_of_another_user_is_neither_run_nor_changed(code):
    cache = code.root / ".cache" / "epymodelingsuite-cloud"
    code.call(NUMBA_CACHE_DIR="")
    (path,) = cache.rglob("*.o")
    written = path.stat().st_mtime_ns
    code.write("../sitecustomize.py", "import os\nos.geteuid = lambda: 4321\n")
    if os.geteuid() == 0:  # root is trusted
        os.chown(cache, 4322, -1)

    printed, logged = code.call(NUMBA_CACHE_DIR="")

    assert (printed, path.stat().st_mtime_ns) == (RISEN, written)
    assert f"because {cache / 'compiled'} cannot be written, or is another user's; set" in logged


def test_tasks_that_start_together_compile_once(code):
    with ThreadPoolExecutor(3) as pool:
        called = list(pool.map(lambda _: code.call(), range(3)))

    assert [printed for printed, _ in called] == [RISEN] * 3
    assert sorted(logged[:9] for _, logged in called) == ["", "", "compiling"]


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (
            "np.arange(32.0)",
            "np.arange(32)",
            "rise_all: Rows: int64, 2 dimensions is not a contiguous",
        ),
        ("Rows(values, 0)", "Rows(values[:, ::2], 0)", "is not a contiguous array of float64, 2 dimensions"),
        ("Rows(values, 0)", "(values, 0)", "rise_all: tuple is not a Rows"),
        ("Rows(values, 0), 0.5, True", "Rows(values, 0)", "rise_all takes 3 arguments, not 1"),
    ],
)
def test_other_types_are_refused(code, right, wrong, said):
    done = code.run("-c", CALL.replace(right, wrong))

    assert "TypeError: " in done.stderr
    assert said in done.stderr


def test_a_kernel_that_allocates_is_refused_as_it_is_compiled(code):
    code.write("engine/kernel.py", KERNEL.replace("[rows.first, 3] += add", "[rows.first] += add"))

    done = code.run("-m", "modeling.engine.precompile")

    assert "rise_all calls NRT_Allocate" in done.stderr
    assert done.returncode == 1


def test_a_kernel_that_returns_something_is_refused_as_it_is_compiled(code):
    code.write("engine/kernel.py", KERNEL + "    return rows.first\n")

    done = code.run("-m", "modeling.engine.precompile")

    assert "rise_all returns int64 and takes 14 words, but a Kernel returns nothing" in done.stderr
    assert done.returncode == 1


def test_a_kernel_that_would_be_compiled_twice_is_refused(code):
    code.write("engine/caller.py", CALLER + CALLER.splitlines()[-1].replace("rise_all =", "again ="))

    done = code.run("-m", "modeling.engine.precompile")

    assert "two kernels would be compiled into kernel.rise_all.o; use one" in done.stderr
    assert done.returncode == 1


def test_an_unknown_target_to_compile_for_is_refused_with_one_line(code):
    done = code.run("-m", "modeling.engine.precompile", "x86-64-v5")

    assert done.stderr.startswith('"x86-64-v5": this machine can compile for ')
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert not code.kept.exists()


def test_a_target_that_does_not_exist_is_named(code):
    done = code.run("-c", CALL, ENGINE_TARGET="x86-64-v5")

    assert 'ENGINE_TARGET="x86-64-v5": this machine can compile for ' in done.stderr.splitlines()[-1]


def test_old_versions_are_removed_and_other_folders_are_not(code):
    code.call()
    (newest,) = code.folders()
    target = newest.rpartition("-")[0]
    shutil.rmtree(code.kept)
    old = [f"{target}-{i:016x}" for i in range(9)]
    for i, name in enumerate([*old, "other-0000000000000000", "mine"]):
        (code.kept / name).mkdir(parents=True)
        os.utime(code.kept / name, (1e9 + i, 1e9 + i))

    code.call()

    assert code.folders() == {newest, *old[4:], "other-0000000000000000", "mine"}
