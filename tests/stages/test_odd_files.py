"""Odd text, settings and files where a stage expects others, and what a killed stage has left."""

import os
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from modeling.failures import UserError as StageError
from modeling.plain_text import one_line
from ops.environment import read_settings
from ops.failures import UserError
from ops.settings import Settings
from pipeline.environment import read_stage_context
from pipeline.temporary import open_locked, temporary_folder
from tests.experiments import calibrated
from tests.forgeries import builder_file, refused
from tests.in_process import ended
from tests.stage_scripts import Stages

# -- text that is none


def test_a_message_is_one_line_of_bounded_length_without_control_characters():
    name = "\x1b]0;evil\x07\u202eevil\n\r\u2028" + "x" * 10_000 + " set it again"

    shown = one_line(name)

    assert len(shown) <= 4000
    assert shown.isprintable()
    assert shown.endswith("set it again")


def test_what_a_stage_says_of_the_text_of_others_is_plain(run):
    done = run.run("output", IN_PREFIX=f"{'x' * 50_000}\x1b[31m\u202e/")
    line = done.lines[-1]

    assert done.exit_code == 2
    assert len(done.lines) == 1
    assert len(line) < 4200
    assert line.isprintable()


def test_a_stage_refuses_settings_that_are_not_utf_8(run):
    names = ("LOCAL_DATA_PATH", "EXP_ID", "GCLOUD_PROJECT_ID", "OUTPUT_CONFIG_FILE", "COUNT")
    broken = os.fsdecode(b"a\xffb")
    environment = run.environment() | dict.fromkeys(names, broken)

    with pytest.raises(StageError) as refused:
        read_stage_context(environment)

    assert [f"{name} is not text in UTF-8" in str(refused.value) for name in names] == [True] * len(names)


def test_every_setting_that_is_not_utf_8_is_named(tmp_path):
    broken = os.fsdecode(b"a\xffb")
    names = [name.upper() for name in Settings.model_fields]
    (tmp_path / ".env").touch()

    with pytest.raises(UserError) as refused:
        read_settings(dict.fromkeys(names, broken) | {"ENV_FILE": str(tmp_path / ".env")})

    assert [name for name in names if f"{name} (from environment): not text" not in str(refused.value)] == []


# -- what a killed stage leaves


def test_what_a_killed_stage_left_is_removed_by_the_next_and_what_is_in_use_stays(run, monkeypatch):
    temporary = run.folder / "tmp"
    temporary.mkdir()
    theirs = [temporary / "outputs-of-somebody", temporary / "outputs-file"]
    theirs[0].mkdir()
    theirs[1].touch()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    killed = get_context("fork").Process(target=_hold_and_wait, args=(run.run_folder,))
    killed.start()
    deadline = time.monotonic() + 30
    while not list(temporary.glob("outputs-*/ready")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    [held], [partial] = temporary.glob("outputs-*/ready"), run.run_folder.glob("summaries/.partial-*")

    meanwhile = run.run("runner", TASK_INDEX=0, TMPDIR=temporary)
    in_use = held.is_file(), partial.is_file()
    killed.kill()
    killed.join()
    after = run.run("runner", TASK_INDEX=0, TMPDIR=temporary)

    assert (meanwhile.exit_code, after.exit_code) == (0, 0), after.output
    assert in_use == (True, True)
    assert sorted(temporary.iterdir()) == sorted(theirs)
    assert not list(run.folder.rglob(".partial-*"))


def _hold_and_wait(folder: Path) -> None:
    """Be a stage that writes a summary and has a temporary folder, and never comes to the end of it."""
    file, _ = open_locked(lambda: folder / "summaries" / ".partial-1-abc")
    with temporary_folder("outputs") as work:
        (work / "ready").touch()
        file.write(b"half")
        time.sleep(60)


# -- what is no file

NO_FILES = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "a circle of links": lambda path: path.symlink_to(path.name),
    "more zeros than memory": lambda path: path.touch() or os.truncate(path, 1 << 40),
}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=list(NO_FILES))
def test_what_stands_where_a_file_should_and_is_none_is_refused_by_its_name(run, make):
    names = ("manifest.json", "inputs.csv", "inputs.sha256", "../config/output.yaml")
    for name in names:
        path, kept = builder_file(run, name), run.folder / "kept"
        path.rename(kept)
        make(path)

        assert path.name in refused(run, "output")

        path.rmdir() if path.is_dir() else path.unlink()
        kept.rename(path)


def test_by_products_that_are_no_files_do_not_stop_a_run(run):
    summaries = run.run_folder / "summaries"
    for number, make in enumerate(NO_FILES.values(), 1):
        make(summaries / f"runner_100{number}.json")
        make(run.run_folder / f".partial-{number}-0a1b2c3d")

    code, said = ended(run, "output")

    assert code == 0
    told = [line.rpartition("/")[2].partition(":")[0] for line in said]
    assert sorted(told) == [f"runner_100{number}.json" for number in (1, 2, 4, 5)]  # a folder is not listed


def test_a_machine_without_a_place_for_temporary_files_is_told_so(run, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nonexistent"])

    assert refused(run, "output").endswith("or set TMPDIR to a writable folder")


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        (
            "experiments/trial/config/model.yaml",
            "a pipe",
            "model.yaml: not a file; put the file itself there",
        ),
        ("data/observed.csv", "more zeros than memory", "are larger than 2 GiB; keep what is needed"),
    ],
)
def test_stage_a_waits_for_no_pipe_and_reads_no_terabyte(tmp_path, name, make, said):
    stages = Stages(tmp_path, calibrated())
    path = tmp_path / "forecast" / name
    path.unlink()
    NO_FILES[make](path)

    assert refused(stages, "builder").endswith(said)
