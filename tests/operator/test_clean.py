"""`invoke clean` removes what it says, leaves what is in use, and stops at what it cannot remove."""

import os
import subprocess
from pathlib import Path

import pytest

from ops.failures import UserError
from ops.laptop import clean
from ops.settings import Settings
from tests.experiments import simulated
from tests.operators import Operator, build_and_run
from tests.stage_scripts import RUN_ID


def test_clean_removes_a_run_whose_builder_never_ended(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    (tmp_path / "local" / "bucket" / "trial" / RUN_ID / "config").mkdir(parents=True)

    ended = operator.invoke("clean", "--runs", "--yes")

    assert ended.exit_code == 0, ended.output
    assert not list((tmp_path / "local" / "bucket").iterdir())


def test_clean_says_in_one_line_what_cannot_be_removed(tmp_path, monkeypatch):
    leftover = tmp_path / "bucket" / "trial" / ".partial-1-aa"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    os.utime(leftover, (0, 0))
    monkeypatch.setattr(Path, "unlink", lambda *_: (_ for _ in ()).throw(PermissionError(13, "denied")))

    with pytest.raises(UserError, match=r"\.partial-1-aa: cannot be removed \(denied\)"):
        clean._remove_leftovers(Settings(local_data_path=tmp_path), dry_run=False)


def test_clean_deletes_runs_only_when_told_yes(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    operator.invoke("run", "--exp-id", "trial", "--skip-output")

    asked = operator.invoke("clean", "--runs")
    still_there = operator.results()
    operator.invoke("clean", "--runs", "--yes", "--exp-id", "trial")

    assert asked.exit_code == 2
    assert "add --yes" in asked.last_line
    assert still_there
    assert not operator.results()


def test_clean_removes_half_written_files_of_yesterday_and_leaves_those_of_now(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    folder = tmp_path / "local" / "bucket" / "trial"
    folder.mkdir(parents=True)
    old, young = folder / ".partial-1-aa", folder / ".partial-2-bb"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))

    ended = operator.invoke("clean")

    assert ended.exit_code == 0
    assert not old.exists()
    assert young.exists()


def test_clean_removes_the_caches_of_the_repository_alone(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    caches = [tmp_path / "modeling" / "__pycache__", tmp_path / ".ruff_cache" / "deep"]
    kept = tmp_path / ".venv" / "lib" / "__pycache__"
    for folder in (*caches, kept):
        folder.mkdir(parents=True, exist_ok=True)

    would = operator.invoke("clean", "--dry-run")
    still_there = [folder.is_dir() for folder in caches]
    ended = operator.invoke("clean")

    assert "would remove modeling/__pycache__" in would.output
    assert still_there == [True, True]
    assert ended.exit_code == 0, ended.output
    assert not any(folder.exists() for folder in caches)
    assert kept.is_dir()


def test_clean_does_not_mind_caches_that_come_and_go(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    script = "while :; do mkdir -p {a,b}/{c,d}/__pycache__/e; : > a/c/__pycache__/f; rm -rf a b; done"
    busy = subprocess.Popen(["bash", "-c", script], cwd=tmp_path, stderr=subprocess.DEVNULL)

    ended = [operator.invoke("clean") for _ in range(4)]
    busy.kill()
    busy.wait()

    assert [one.exit_code for one in ended] == [0] * 4, ended[-1].output


def test_clean_refuses_before_it_removes_anything(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    build_and_run(operator)
    cache = tmp_path / "modeling" / "__pycache__"

    wrong = operator.invoke("clean", "--runs", "--yes", "--exp-id", "*")
    alone = operator.invoke("clean", "--exp-id", "trial")
    asked = operator.invoke("clean", "--runs")

    assert [ended.exit_code for ended in (wrong, alone, asked)] == [2, 2, 2]
    assert "removed" not in wrong.output + alone.output + asked.output
    assert cache.is_dir()
    assert operator.results()


def test_clean_leaves_no_empty_folders_of_a_run_behind(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    local = tmp_path / "local"
    build_and_run(operator, DIR_PREFIX="flu/2026/")
    logs_before = list((local / "logs" / "flu" / "2026" / "trial").iterdir())

    ended = operator.invoke("clean", "--runs", "--yes", DIR_PREFIX="flu/2026/")

    assert ended.exit_code == 0, ended.output
    assert logs_before
    assert not list((local / "bucket").iterdir())
    assert not list((local / "logs").iterdir())
    assert (local / "forecast").is_dir()
