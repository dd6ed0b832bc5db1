"""An operator whose gcloud knows an emulated cloud alone; it has what Terraform and a build would put there.

What is typed goes through invoke; what is only asked goes to the functions behind it, with the same settings.
"""

import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

from localcloud.environment import client_environment
from ops.cloud.cloud import Cloud
from ops.environment import read_settings
from ops.settings import Settings
from ops.shell import Shell
from tests.cloud_runs import PROJECT, REGION, Pipeline
from tests.emulated import create_bucket, names_in, post
from tests.experiments import POPULATIONS
from tests.needs import need_program
from tests.operators import Operator

BUCKET = "my-lab-bucket"
REPOSITORY = f"{REGION}-docker.pkg.dev/{PROJECT}/epymodelingsuite-repo"
IMAGE = f"{REPOSITORY}/epymodelingsuite"
WORKFLOW = "epydemix-pipeline"


class CloudOperator(Operator):
    """An operator whose gcloud knows the emulated cloud alone."""

    def __init__(self, cloud, folder: Path, experiment: dict, **settings: str):
        need_program("gcloud")
        super().__init__(folder, experiment)
        self.cloud = cloud
        shutil.copytree(POPULATIONS, folder / "local" / "forecast" / "data" / "epydemix-data")
        del self.environ["EPYDEMIX_DATA_DIR"]  # a stage in the cloud would not see it
        self.environ |= {
            **client_environment(cloud.storage, cloud.apis, cloud.state, PROJECT),
            "EXECUTION_MODE": "cloud",
            "PROJECT_ID": PROJECT,
            "BUCKET_NAME": BUCKET,
            "CLOUDSDK_STORAGE_PROCESS_COUNT": "1",  # for a few small files, one is faster than many
            **settings,
        }

    @property
    def shell(self) -> Shell:
        return Shell(environment=self.environ)

    def settings(self, **chosen: str) -> Settings:
        """Return the settings as invoke reads them here."""
        return read_settings(self.environ, chosen)

    def google_cloud(self, shell: Shell | None = None, **chosen: str) -> Cloud:
        """Return the project as the tasks of invoke see it here."""
        return Cloud.of(shell or self.shell, self.settings(**chosen))

    def files(self, run_id: str, below: str = "") -> list[str]:
        return names_in(self.cloud, BUCKET, f"trial/{run_id}/{below}")


def ready_cloud(cloud) -> Pipeline:
    """Put there what Terraform and a build would: a bucket, an image, the workflow."""
    create_bucket(cloud, BUCKET, PROJECT)
    post(f"{cloud.apis}/_emulator/images", {"image": f"{IMAGE}:latest"})
    return Pipeline.deployed(cloud, BUCKET, WORKFLOW)


def run_id_in(output: str) -> str:
    return re.search(r"run (\d{8}-\d{6}-[0-9a-f]{8})", output)[1]


def execution_in(output: str) -> str:
    return re.search(r"execution ([0-9a-f-]{36})", output)[1]


def read_until(text: str, process: subprocess.Popen, seconds: float = 120) -> str:
    """Return what a program prints up to a text; it is ended where that does not come."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    output = ""
    while text not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    timer.cancel()
    return output


def wait_until(holds, seconds=20):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
