"""An operator of the real terraform: a checkout of their own, an empty project on an emulated cloud.

The provider alone is a stand-in.
"""

import os
import pty
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests

from localcloud.environment import client_environment
from tests.emulated import create_bucket, names_in, request
from tests.experiments import REPOSITORY, sampled
from tests.needs import need_program, need_terraform
from tests.operators import Operator, invoke_in
from tests.stage_scripts import Ended

PROJECT, BUCKET = "my-lab-forecasts", "my-lab-bucket"
STATE = "terraform/epymodelingsuite-cloud/default.tfstate"
WITHOUT_LOGIN = {
    "GOOGLE_OAUTH_ACCESS_TOKEN": "",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/key.json",
    "STORAGE_EMULATOR_HOST": "",
}


class Deployer:
    """An operator with a checkout of their own and an empty project."""

    def __init__(self, cloud, folder: Path):
        need_program("gcloud")
        self.cloud, self.folder = cloud, folder
        self.operator = Operator(folder, sampled()).with_own_code()
        ignored = shutil.ignore_patterns(".terraform*")
        shutil.copytree(REPOSITORY / "terraform", folder / "terraform", ignore=ignored, dirs_exist_ok=True)
        self.operator.environ |= {
            **client_environment(cloud.storage, cloud.apis, cloud.state, PROJECT),
            **need_terraform(applies=True),
            "GOOGLE_BACKEND_STORAGE_CUSTOM_ENDPOINT": f"{cloud.storage}/storage/v1/",
            "GOOGLE_STORAGE_CUSTOM_ENDPOINT": f"{cloud.storage}/storage/v1/",
            "GOOGLE_OAUTH_ACCESS_TOKEN": "any",
            "PROJECT_ID": PROJECT,
            "BUCKET_NAME": BUCKET,
        }
        create_bucket(cloud, BUCKET, PROJECT)

    def invoke(self, *words: str, **variables: str) -> Ended:
        return self.operator.invoke(*words, **variables)

    def is_refused(self, words: Sequence[str], variables: Mapping[str, str], said: str) -> None:
        """Check that a task is refused in one line before anything is planned."""
        ended = self.invoke(*words, **variables)

        assert ended.exit_code == 2, ended.output
        assert said in ended.last_line
        assert "Plan:" not in ended.output
        assert "Traceback" not in ended.output

    def start_on_a_terminal(self, *words: str) -> tuple[subprocess.Popen, int]:
        """Start a task whose questions can be answered; what it says is in its stdout."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*invoke_in(self.folder), *words],
            cwd=self.folder,
            env=self.operator.environ,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        os.close(theirs)
        return process, ours

    def answer(self, answer: str, *words: str) -> Ended:
        process, terminal = self.start_on_a_terminal(*words)
        os.write(terminal, f"{answer}\n".encode())
        output, _ = process.communicate(timeout=240)
        os.close(terminal)
        return Ended(process.returncode, output, output.strip().splitlines())

    def pasted(self, ended: Ended) -> dict[str, int]:
        """Type what a dry run printed of Terraform; return the exit code of each command."""
        commands = [line.removeprefix("+ ") for line in ended.lines if line.startswith("+ ")]
        return {
            each: subprocess.run(["bash", "-c", each], cwd=self.folder, env=self.operator.environ).returncode
            for each in commands
            if "terraform" in each
        }

    def made(self, state: str = STATE) -> list[str]:
        """Return what the state in the bucket holds, by address."""
        if state not in names_in(self.cloud, BUCKET):
            return []
        path = f"/storage/v1/b/{BUCKET}/o/{requests.utils.quote(state, safe='')}?alt=media"
        kept = request("GET", self.cloud.storage + path).json()["resources"]
        return [f"{each['type']}.{each['name']}" for each in kept if each["mode"] == "managed"]
