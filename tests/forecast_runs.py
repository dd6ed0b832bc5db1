"""Runs in an emulated cloud whose stages fetch a forecasting repository, as containers start them."""

import json
import os
import subprocess
import sys
from pathlib import Path

from modeling.cache_folder import cache_folder
from tests.emulated import create_bucket, names_in, object_of
from tests.experiments import EXAMPLES, REPOSITORY
from tests.stage_scripts import RUN_ID, Ended

TOKEN = "ghp_marked0token0of0this0test"
PRIVATE = "my-lab/flu-forecasts"
PREFIX = f"trial/{RUN_ID}/"


class Run:
    """One run in the cloud: a bucket of its own, and stages as containers start them."""

    def __init__(self, cloud, folder: Path):
        self.cloud, self.folder, self.bucket = cloud, folder, create_bucket(cloud)

    def environment(self, **variables: str) -> dict[str, str]:
        kept = {n: os.environ[n] for n in ("PATH", "LANG", "TMPDIR") if n in os.environ}
        return {
            **kept,
            "PYTHON": sys.executable,
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(cache_folder().parent),  # where the engine is compiled
            "EXECUTION_MODE": "cloud",
            "GCS_BUCKET": self.bucket,
            "EXP_ID": "trial",
            "RUN_ID": RUN_ID,
            "LOCAL_DATA_PATH": str(self.folder / "data"),
            "EPYDEMIX_DATA_DIR": str(EXAMPLES / "data" / "epydemix-data"),
            "GITHUB_URL": f"{self.cloud.apis}/git",
            "GITHUB_FORECAST_REPO": PRIVATE,
            "GCLOUD_PROJECT_ID": "p",
            "STORAGE_EMULATOR_HOST": self.cloud.storage,
            "SECRET_MANAGER_EMULATOR_HOST": self.cloud.apis,
            "OMP_NUM_THREADS": "1",
            **variables,
        }

    def stage(self, stage: str, **variables: str) -> Ended:
        done = subprocess.run(
            ["bash", str(REPOSITORY / "scripts" / f"run_{stage}.sh")],
            cwd=self.folder,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        return Ended(done.returncode, done.stdout, done.stdout.strip().splitlines())

    def object(self, name: str) -> bytes:
        return object_of(self.cloud, self.bucket, name)

    def names(self) -> list[str]:
        return names_in(self.cloud, self.bucket)

    def manifest(self) -> dict:
        return json.loads(self.object(f"{PREFIX}builder-artifacts/manifest.json"))


def message_of(ended: Ended) -> str:
    """The only line, which is an error."""
    assert "Traceback" not in ended.output
    (line,) = [json.loads(line) for line in ended.lines]
    assert line["severity"] == "ERROR"
    assert line["stage"] == "builder"
    return line["message"]
