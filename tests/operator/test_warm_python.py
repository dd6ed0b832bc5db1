"""The Python that tests start does what the Python does that is installed: see tests/warm."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcloud.process import running
from tests import warm
from tests.emulated import request
from tests.experiments import REPOSITORY, simulated
from tests.operators import invoke_in
from tests.stage_scripts import Stages

SCRIPTS = {
    "prints": "import sys; print('ä', flush=True); print(sys.argv[1:], sys.stdin.read(), file=sys.stderr)",
    "fails": "def f():\n    raise ValueError('no')\n\n\nf()",
    "is interrupted": "raise KeyboardInterrupt",
    "ends with a text": "import sys; sys.exit('so')",
    "ends with a number": "import sys; sys.exit(259)",
    "is killed": "import os; os.kill(os.getpid(), 9)",
    "ends at once": "import atexit, os; atexit.register(print, 'never'); print('lost'); os._exit(3)",
    "waits": "import atexit, threading; atexit.register(print, 1); threading.Timer(0.1, print, [2]).start()",
    "shows where it is": "import os, sys; print(os.getcwd(), sys.path[:2], __file__, __name__)",
    "shows its environment": "import os; print(sorted(os.environ.items()))",
    "imports ours": "import custom, pipeline; print(custom.VALUE, pipeline.__name__)",
    "has a stream closed": "import os; os.close(1); print('x')",
}


@pytest.fixture
def program(tmp_path):
    """Return what a script prints and how it ends, where it lies as the stage scripts do."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "pipeline.py").touch()
    (tmp_path / "custom").mkdir()
    (tmp_path / "custom" / "custom.py").write_text("VALUE = 3")

    def ended(python: str, text: str) -> tuple[int, str, str]:
        (folder / "script.py").write_text(text)
        done = subprocess.run(
            [python, "-u", "scripts/script.py", "a", "b c"],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "LANG": "C.UTF-8",
                "MARK": "ü",
                "PYTHONPATH": str(tmp_path / "custom"),
            },
            input="given",
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    return ended


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_prints_and_ends_as_by_the_installed_python(name, program, real_python):
    assert program(sys.executable, SCRIPTS[name]) == program(real_python, SCRIPTS[name])


@pytest.mark.parametrize(
    "words",
    [
        [*invoke_in(REPOSITORY)[1:], "--list"],
        [*invoke_in(REPOSITORY)[1:], "no-such-task"],
        [*invoke_in(REPOSITORY)[1:], "run", "--help"],
        ["-c", "import numpy; print(numpy.__version__)"],
        ["-m", "invoke", "--version"],
        ["no-such-script.py"],
    ],
    ids=lambda words: words[-1],
)
def test_invoke_and_all_else_print_and_end_as_by_the_installed_python(words, real_python, tmp_path):
    ended = [
        subprocess.run([python, *words], cwd=tmp_path, capture_output=True, text=True)
        for python in (sys.executable, real_python)
    ]

    answers = [(done.returncode, done.stdout, re.sub(r"^\S*python", "python", done.stderr)) for done in ended]
    assert answers[0] == answers[1]


def test_a_stage_is_started_in_a_fraction_of_the_time(tmp_path, real_python):
    stages, seconds = Stages(tmp_path, simulated()), []
    stages.run("builder")

    for variables in ({}, {"PYTHONHASHSEED": "random"}):  # which a loaded Python cannot do
        begun = time.monotonic()
        assert stages.run("builder", **variables).exit_code == 0
        seconds.append(time.monotonic() - begun)

    assert seconds[0] < seconds[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("leads", [False, True])
def test_a_signal_ends_it_with_what_it_started(number, leads, tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "script.py").write_text(
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '60']) if len(sys.argv) > 1 else None\n"
        "print(os.getpid(), child.pid if child else os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "scripts/script.py", *(["child"] if leads else [])],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=leads,
    )
    started = process.stdout.readline().split()

    (os.killpg if leads else os.kill)(process.pid, number)

    assert process.wait(20) == -number
    for pid in started:
        wait_until_gone(pid)


def wait_until_gone(pid: str) -> None:
    deadline, state = time.monotonic() + 20, Path(f"/proc/{pid}/stat")
    while state.exists() and state.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_call_that_may_write_only_small_files_leaves_no_half_of_a_compiled_client(
    tmp_path, monkeypatch, real_python
):
    """Python says nothing of it where a file becomes too large, and no later call could start."""
    shutil.copy(Path(warm.__file__).with_name("client.py"), tmp_path)
    monkeypatch.setattr(warm, "_HERE", tmp_path)
    monkeypatch.setattr(sys, "executable", real_python)
    warm._write_client(tmp_path / "program", tmp_path / "nobody", real_python)
    (compiled,) = tmp_path.rglob("*.pyc")
    compiled.unlink()

    limited = ["bash", "-c", 'ulimit -f 1; exec "$0"', tmp_path / "program"]
    ended = subprocess.run(limited, capture_output=True, text=True)

    assert "FileNotFoundError" in ended.stderr  # nobody listens, so the client was loaded
    assert list(tmp_path.rglob("*.pyc")) == []


def test_an_ignored_ctrl_c_and_an_open_file_are_inherited(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "script.py").write_text(
        "import os, signal\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "os.write(int(os.environ['FILE']), b'written')\n"
    )
    reading, writing = os.pipe()

    done = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$0" scripts/script.py', sys.executable],
        cwd=tmp_path,
        env={**os.environ, "FILE": str(writing)},
        pass_fds=[writing],
    )
    os.close(writing)

    assert done.returncode == 0
    assert os.read(reading, 100) == b"written"
    os.close(reading)


def test_an_emulator_is_loaded_already_and_ends_with_its_block(tmp_path):
    with running(tmp_path) as cloud:
        holder = holder_of(tmp_path / "lock")
        command = Path(f"/proc/{holder}/cmdline").read_text().split("\0")
        answer = request("GET", f"{cloud.storage}/storage/v1/b?project=p")

    assert str(REPOSITORY / "tests" / "warm" / "python.py") in command
    assert answer.status_code == 200
    assert holder_of(tmp_path / "lock") is None


def test_an_emulator_that_is_refused_says_so_as_by_the_installed_python(tmp_path, real_python):
    words = ["-m", "localcloud", "--state", str(tmp_path), "--clock-speed", "none"]
    ended = [
        subprocess.run(
            [python, *words, "--with-parent", str(os.getpid())],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
        for python in (sys.executable, real_python)
    ]

    answers = [(done.returncode, done.stdout, done.stderr) for done in ended]
    assert answers[0] == answers[1]
    assert answers[0][0] == 2


def test_no_emulator_outlives_tests_that_were_killed(tmp_path, real_python):
    state = tmp_path / "state"
    text = (
        "import sys\n"
        "from pathlib import Path\n"
        f"sys.path.append({str(REPOSITORY / 'tests')!r})\n"
        "import warm\n"
        "from localcloud.process import running\n"
        f"with warm.python(), running(Path({str(state)!r})):\n"
        "    print('there', flush=True)\n"
        "    input()\n"
    )
    tests = subprocess.Popen(
        [real_python, "-c", text],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert tests.stdout.readline() == "there\n"
    emulator = holder_of(state / "lock")
    command = Path(f"/proc/{emulator}/cmdline").read_text()

    tests.kill()
    tests.communicate()

    assert "tests/warm/python.py" in command
    wait_until_gone(emulator)


def holder_of(lock: Path) -> str | None:
    """Return the number of the process that holds a lock, if any does."""
    file = str(lock.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5].rpartition(":")[2] == file:
            return words[4]
    return None
