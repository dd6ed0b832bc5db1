"""An operator who builds images: settings of the cloud, and a gcloud that knows the emulated one alone."""

import copy
import subprocess
import time
from pathlib import Path

from localcloud.environment import client_environment
from tests.emulated import create_bucket, request
from tests.experiments import REPOSITORY, sampled
from tests.needs import need_program
from tests.operators import Operator
from tests.stage_scripts import Ended

PROJECT, BUCKET = "my-lab-forecasts", "my-lab-bucket"
BUILDS = f"/v1/projects/{PROJECT}/locations/global/builds"
BUILD_SECONDS = 800  # that a build may take on a loaded machine; its tests have 900


class BuildOperator:
    """An operator with settings of the cloud, whose gcloud knows the emulated one alone."""

    def __init__(self, cloud, folder: Path, **settings: str):
        need_program("gcloud")
        self.cloud = cloud
        self.operator = Operator(folder, sampled())
        self.operator.environ |= {
            **client_environment(cloud.storage, cloud.apis, cloud.state, PROJECT),
            "PROJECT_ID": PROJECT,
            "BUCKET_NAME": BUCKET,
            **settings,
        }
        create_bucket(cloud, BUCKET, PROJECT)

    def invoke(self, *words: str, **variables: str) -> Ended:
        return self.operator.invoke(*words, within_seconds=BUILD_SECONDS, **variables)

    def builds(self) -> list[dict]:
        """Return every build, the newest first."""
        return request("GET", self.cloud.apis + BUILDS).json().get("builds", [])

    def build(self) -> dict:
        """Return the newest build."""
        return self.builds()[0]


def wait_until(is_true, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.1)


def commit() -> str:
    described = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return subprocess.run(
        described, cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.strip()


def copy_of_the_code(target: Path) -> None:
    """Copy what a build needs of this repository."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in files.stdout.splitlines():
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((REPOSITORY / name).read_bytes())


def operator_at(building: BuildOperator, code: Path) -> Operator:
    """Return the same operator with another checkout."""
    operator = copy.copy(building.operator)
    operator.folder = operator.code = code
    return operator
