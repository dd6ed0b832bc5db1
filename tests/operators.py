"""An operator: a working folder with a forecasting repository, and invoke as it is typed there."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.experiments import POPULATIONS, REPOSITORY, write_repository
from tests.stage_scripts import RUN_ID, Ended

TABLE = "quantiles_compartments.csv.gz"

RUN = ("run", "--exp-id", "trial", "--run-id", RUN_ID)

THIS_RUN = ("--exp-id", "trial", "--run-id", RUN_ID)


def invoke_in(code: Path) -> list[str]:
    """The command of invoke over the tasks of a checkout."""
    return [sys.executable, "-m", "invoke", "--search-root", str(code)]


class Operator:
    """A working folder of its own with a forecasting repository, and invoke."""

    def __init__(self, folder: Path, experiment: dict):
        self.folder, self.code = folder, REPOSITORY
        write_repository(folder / "local" / "forecast", experiment)
        (folder / ".env").touch()
        kept = {n: os.environ[n] for n in ("PATH", "HOME", "LANG") if n in os.environ}
        self.environ = {
            **kept,
            "ENV_FILE": str(folder / ".env"),
            "LOCAL_DATA_PATH": str(folder / "local"),
            "EPYDEMIX_DATA_DIR": str(POPULATIONS),
            "TERM": "dumb",
        }

    def with_own_code(self) -> "Operator":
        """Give the operator a checkout of their own, which is also where settings are looked for."""
        self.code = self.folder
        for name in ("ops", "scripts", "modeling", "localcloud"):
            # with what Python has compiled of it, but for what it is writing just now
            shutil.copytree(REPOSITORY / name, self.folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
        (self.folder / "terraform").mkdir(exist_ok=True)
        for name in ("tasks.py", ".env.example", "terraform/machine_types.json"):
            shutil.copy(REPOSITORY / name, self.folder / name)
        del self.environ["ENV_FILE"], self.environ["LOCAL_DATA_PATH"]
        return self

    def start(self, *words: str, cwd: Path | None = None, **variables: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*invoke_in(self.code), *words],
            cwd=cwd or self.folder,
            env={**self.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def invoke(
        self, *words: str, cwd: Path | None = None, within_seconds: float = 240, **variables: str
    ) -> Ended:
        process = self.start(*words, cwd=cwd, **variables)
        output, _ = process.communicate(timeout=within_seconds)
        return Ended(process.returncode, output, output.strip().splitlines())

    def results(self) -> set[str]:
        return {p.name for p in (self.folder / "local" / "bucket").glob("**/result_*.pkl")}

    def outputs(self) -> list[Path]:
        return sorted((self.folder / "local" / "bucket").glob("**/outputs/*/files.json"))


def build_and_run(operator: Operator, **variables: str) -> None:
    for stage in ("builder", "runner"):
        ended = operator.invoke("stage", stage, *THIS_RUN, **variables)
        assert ended.exit_code == 0, ended.output


def run_folder(operator: Operator) -> Path:
    return operator.folder / "local" / "bucket" / "trial" / RUN_ID


def wait_for_file(path: Path, seconds: float = 20) -> str:
    """Return the text of a file once it is there and whole."""
    until = time.monotonic() + seconds
    while not (path.is_file() and path.read_text().endswith("\n")):
        assert time.monotonic() < until
        time.sleep(0.05)
    return path.read_text()
