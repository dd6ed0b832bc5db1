"""Plans of terraform/ by the real terraform, each made once; the bucket they read is an emulated one.

The provider is a stand-in with the real one's schemas where there is no network.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from localcloud.process import running
from ops.project import terraform as verbs
from ops.settings import Settings
from tests.emulated import create_bucket
from tests.experiments import REPOSITORY
from tests.needs import need_terraform

NEEDED = {"project_id": "my-lab-forecasts", "bucket_name": "my-lab-bucket"}


class Configuration:
    """A copy of terraform/ with its state in a file, and a bucket for it to read."""

    def __init__(self, folder: Path, environ: dict[str, str]):
        self.folder, self.environ = folder, environ
        shutil.copytree(REPOSITORY / "terraform", folder, ignore=shutil.ignore_patterns(".terraform*"))
        (folder / "backend.tf").write_text('terraform {\n  backend "local" {}\n}\n')
        done = self.run("init")
        assert done.returncode == 0, done.stderr

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["terraform", *words, "-no-color"],
            cwd=self.folder,
            env={**os.environ, **self.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def plan(self, **variables: str) -> dict[str, Any]:
        done = self.run("plan", "-input=false", "-out=plan", **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(self.run("show", "-json", "plan").stdout)


@contextmanager
def configured(tmp_path_factory) -> Iterator[Configuration]:
    """A copy of terraform/ that is ready to plan."""
    environ = need_terraform()
    with running(tmp_path_factory.mktemp("cloud")) as cloud:
        create_bucket(cloud, NEEDED["bucket_name"], NEEDED["project_id"])
        environ |= {
            "GOOGLE_STORAGE_CUSTOM_ENDPOINT": f"{cloud.storage}/storage/v1/",
            "GOOGLE_OAUTH_ACCESS_TOKEN": "any",
        }
        yield Configuration(tmp_path_factory.mktemp("terraform") / "terraform", environ)


def plans(configuration: Configuration) -> Callable[..., dict[str, Any]]:
    """Return what plans with settings; no plan is made twice."""

    @cache
    def plan(settings: Settings) -> dict[str, Any]:
        return configuration.plan(**verbs.variables(settings))

    return lambda **settings: plan(Settings(**NEEDED | settings))


def resources(plan: dict[str, Any], kind: str = "", mode: str = "managed") -> dict[str, dict[str, Any]]:
    """Return what is planned of a kind, by address."""
    changes = (each for each in plan["resource_changes"] if each["mode"] == mode)
    return {each["address"]: each["change"]["after"] for each in changes if each["type"].startswith(kind)}
