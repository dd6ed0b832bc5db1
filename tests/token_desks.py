"""Where an operator sets and tries the GitHub token: a desk whose files and arguments can be searched."""

import base64
import os
import shutil
import subprocess
from pathlib import Path

from localcloud.environment import client_environment
from ops.cloud.cloud import Cloud
from ops.settings import Settings
from ops.shell import Shell
from tests.emulated import request
from tests.experiments import REPOSITORY
from tests.operators import invoke_in
from tests.stage_scripts import Ended

PROJECT, SECRET = "my-lab-forecasts", "github-pat"
FORECAST, SUITE = "my-lab/flu-forecasts", "my-lab/suite"
TOKEN = "ghp_handed0over0in0a0secret0alone"
OTHER_TOKEN = "github_pat_another0token0of0this0test"
VERSIONS = f"/v1/projects/{PROJECT}/secrets/{SECRET}/versions"


class Desk:
    """Where an operator types: invoke on the emulated cloud, in folders that can be searched afterwards."""

    def __init__(self, cloud, folder: Path):
        self.cloud, self.folder = cloud, folder
        self.home, self.temporary = folder / "home", folder / "tmp"
        for each in (self.home, self.temporary):
            each.mkdir()
        (folder / "settings.env").touch()
        self.settings = Settings(
            project_id=PROJECT,
            github_pat_secret=SECRET,
            github_url=f"{cloud.apis}/git",
            github_forecast_repo=FORECAST,
        )
        self.environ = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            **client_environment(cloud.storage, cloud.apis, cloud.state, PROJECT),
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "ENV_FILE": str(folder / "settings.env"),
            "PROJECT_ID": PROJECT,
            "GITHUB_PAT_SECRET": SECRET,
            "GITHUB_URL": f"{cloud.apis}/git",
            "GITHUB_FORECAST_REPO": FORECAST,
            "CLOUDSDK_CORE_LOG_HTTP": "true",  # who looks into gcloud must not give the token away
            "TERM": "dumb",
        }

    def invoke(self, *words: str, typed: str = "", **variables: str) -> Ended:
        done = subprocess.run(
            [*invoke_in(REPOSITORY), *words],
            cwd=self.folder,
            env={**self.environ, **variables},
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        return Ended(done.returncode, done.stdout, done.stdout.strip().splitlines())

    @property
    def shell(self) -> Shell:
        return Shell(environment=self.environ)

    def google_cloud(self, **chosen: str) -> Cloud:
        """Return the project as the tasks of invoke see it here, with some settings changed."""
        settings = self.settings.model_copy(update=chosen)
        return Cloud.of(self.shell, settings, needs_bucket=False)

    def version(self, number: str = "latest") -> dict:
        return request("GET", f"{self.cloud.apis}{VERSIONS}/{number}").json()

    def states(self, *numbers: str) -> list[str]:
        return [self.version(number)["state"] for number in numbers]

    def value(self) -> str:
        held = request("GET", f"{self.cloud.apis}{VERSIONS}/latest:access").json()["payload"]["data"]
        return base64.b64decode(held).decode()

    def files_with(self, text: str) -> list[Path]:
        """Return the files with a text in them, plain or as requests hold it: the operator's and gcloud's."""
        looks = text.encode(), base64.b64encode(text.encode()), base64.urlsafe_b64encode(text.encode())
        below = [
            path for place in (self.folder, self.cloud.state) for path in place.rglob("*") if path.is_file()
        ]
        return [path for path in below if any(look in path.read_bytes() for look in looks)]


class Arguments:
    """Keeps what gcloud, git and the programs that git starts are given as arguments at a desk."""

    def __init__(self, desk: Desk):
        self._kept = desk.folder.parent / f"{desk.folder.name}-arguments"  # not among the operator's files
        programs = desk.folder / "programs"
        programs.mkdir()
        traced = f"GIT_TRACE2_EVENT={self._kept}"
        for name in ("gcloud", "git"):
            real = shutil.which(name)
            shim = programs / name
            shim.write_text(f'#!/bin/sh\necho "{name} $*" >> {self._kept}\nexec env {traced} {real} "$@"\n')
            shim.chmod(0o755)
        desk.environ["PATH"] = f"{programs}{os.pathsep}{desk.environ['PATH']}"

    def __str__(self) -> str:
        return self._kept.read_text()
