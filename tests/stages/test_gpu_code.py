"""The GPU's code, compiled ahead on a machine without one: what driver 535 reads, and nothing contracted."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modeling.engine.code_folder import read_code
from modeling.engine.cuda import code, precompile
from modeling.engine.cuda.device import TYPES
from modeling.engine.machine_code import number_of_words
from modeling.failures import UserError
from tests.experiments import REPOSITORY

pytest.importorskip("numba_cuda")
EXACT = {"fma.rn", "mul.rn", "add.rn", "sub.rn", "div.rn", "rcp.rn", "sqrt.rn"}  # one rounding, to nearest
MOVED = {"abs", "neg", "min", "max", "mov", "selp", "ld", "st", "setp", "cvt"}  # none


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> tuple[str, Path]:
    """What the command prints, and its folder."""
    kept = tmp_path_factory.mktemp("code")
    done = subprocess.run(
        [sys.executable, "-m", "modeling.engine.cuda.precompile"],
        env={**os.environ, "NUMBA_CACHE_DIR": str(kept)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, kept / code.gpu_code_folder().name


@pytest.fixture(scope="module")
def ptx(compiled) -> str:
    return read_code(compiled[1] / code.PTX).decode()


def test_the_command_says_what_it_made_and_where(compiled):
    printed, folder = compiled

    assert printed.startswith(f"{folder}: lanes.ptx lanes.sm_89.cubin, PTX 8.2, ")
    assert {path.name for path in folder.iterdir()} == {code.PTX, "lanes.sm_89.cubin"}
    assert read_code(folder / "lanes.sm_89.cubin").startswith(b"\x7fELF")


def test_the_driver_of_an_l4_on_cloud_run_reads_the_ptx_and_so_does_an_a100(ptx):
    assert code.ptx_version(ptx.encode()) <= (8, 2)
    assert re.search(r"^\.target (\S+)$", ptx, re.MULTILINE)[1] == "sm_80"


def test_every_operation_rounds_once_to_nearest_so_that_nothing_is_contracted(ptx):
    operations = set(re.findall(r"^\s+(?:@\S+ )?(\w+(?:\.\w+)*)\.f64\b", ptx, re.MULTILINE))

    unknown = {each for each in operations - EXACT if each.partition(".")[0] not in MOVED}
    conversions = set(re.findall(r"\bcvt\.\S*f64\S*", ptx))

    assert unknown == set()
    assert {"fma.rn", "mul.rn", "add.rn"} <= operations
    # floor of a float64, and whole numbers to and from it
    assert conversions <= {"cvt.rmi.f64.f64", "cvt.rn.f64.s64", "cvt.rn.f64.u64", "cvt.rzi.s64.f64"}
    assert ".f32" not in ptx
    assert "call" not in ptx


def test_the_kernel_takes_the_words_that_the_engine_passes(ptx):
    [entry] = re.findall(r"\.entry (\w+)\(", ptx)
    parameters = {int(each) for each in re.findall(r"_param_(\d+)", ptx)}

    assert entry == code.ENTRY
    assert parameters == set(range(sum(map(number_of_words, TYPES))))


def test_a_newer_compiler_than_the_driver_is_refused_with_one_line(monkeypatch):
    monkeypatch.setattr(precompile, "MOST_PTX_VERSION", (8, 1))

    with pytest.raises(UserError, match=r"NVVM writes PTX 8\.2, and the L4's driver reads 8\.1 at most"):
        precompile.compiled_for_gpus()


def test_a_folder_that_cannot_be_written_is_refused_with_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(precompile, "gpu_code_folder", lambda: tmp_path / "file" / "cuda-0123456789abcdef")

    assert precompile.main() == 2
    assert "cannot be written, or is another user's; set NUMBA_CACHE_DIR" in capsys.readouterr().err
