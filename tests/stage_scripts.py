"""The stage scripts as a user starts them: processes with an environment of their own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.experiments import POPULATIONS, REPOSITORY, sampled, write_repository

RUN_ID = "20250201-120000-0a1b2c3d"
# Variables of a stage that Python itself starts instead of tests/warm: slow enough to be met by a signal, and
# with its sets in another order.
NEW_PYTHON = {"PYTHONHASHSEED": "random"}


@dataclass(frozen=True)
class Ended:
    """How a process ended and what it said."""

    exit_code: int
    output: str
    lines: list[str]

    @property
    def last_line(self) -> str:
        return self.lines[-1] if self.lines else ""


class Stages:
    """One forecasting repository, one store, and the stages over them."""

    def __init__(self, folder: Path, experiment: dict, exp_id: str = "trial", **variables: str):
        self.folder = folder
        self.exp_id = exp_id
        self.config = write_repository(folder / "forecast", experiment, exp_id)
        self.variables = {
            "EXECUTION_MODE": "local",
            "LOCAL_DATA_PATH": str(folder),
            "EPYDEMIX_DATA_DIR": str(POPULATIONS),
            "EXP_ID": exp_id,
            "RUN_ID": RUN_ID,
            **variables,
        }

    @property
    def run_folder(self) -> Path:
        return self.folder / "bucket" / self.exp_id / self.variables["RUN_ID"]

    def start(self, stage: str, **variables: object) -> subprocess.Popen:
        """Start builder, runner or output and return the process."""
        return subprocess.Popen(
            [sys.executable, str(REPOSITORY / "scripts" / f"main_{stage}.py")],
            env=self.environment(**variables),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, stage: str, **variables: object) -> Ended:
        """Run a stage to its end."""
        process = self.start(stage, **variables)
        output, _ = process.communicate(timeout=240)
        return Ended(process.returncode, output, output.strip().splitlines())

    def environment(self, **variables: object) -> dict[str, str]:
        """Return the stage's variables and nothing of the caller's but what a process needs."""
        kept = {n: os.environ[n] for n in ("PATH", "HOME", "LANG", "TMPDIR") if n in os.environ}
        asked = {name: str(value) for name, value in variables.items() if value is not None}
        return {**kept, "OMP_NUM_THREADS": "1", **self.variables, **asked}

    def manifest(self) -> dict:
        return json.loads((self.run_folder / "builder-artifacts" / "manifest.json").read_text())

    def outputs(self) -> Path:
        """Return the newest finished output folder."""
        found = sorted((self.run_folder / "outputs").glob("*/files.json"))
        return found[-1].parent


def refused(ended: Ended) -> str:
    """Return the one line of a stage that ended because of a user's mistake."""
    assert ended.exit_code == 2, ended.output
    assert "Traceback" not in ended.output
    errors = [line for line in ended.lines if "error" in line]
    assert len(errors) == 1, ended.output
    assert ended.last_line == errors[0]
    return errors[0]


def built(folder: Path, **variables: str) -> Stages:
    stages = Stages(folder, sampled(), **variables)
    assert stages.run("builder").exit_code == 0
    return stages
