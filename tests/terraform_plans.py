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

BATCH, BUILDER, WORKFLOW, BUILD = (
    f"serviceAccount:epymodelingsuite-{name}@my-lab-forecasts.iam.gserviceaccount.com"
    for name in ("batch", "builder", "workflow", "build")
)
ALL_ELSE = {
    "region": "europe-west4",
    "dir_prefix": "flu/a&b <c>/",
    "tf_state_bucket": "my-lab-state",
    "image_tag": "v1.2",
    "registry_host": "registry.example.org",
    "network_name": "forecasts",
    "batch_service_account": "stages@another-lab.iam.gserviceaccount.com",
    "github_url": "https://github.example.org/a&b<c>",
    "github_pat_secret": "github-pat",
    "github_forecast_repo": "my-lab/flu-forecasts",
    "github_modeling_suite_repo": "my-lab/suite",
    "stage_b_machine_type": "n2-highmem-4",
    "stage_b_memory_mib": 30000,
    "task_count_per_node": 2,
    "workloads_per_task": 25,
    "max_parallelism": 5000,
    "max_retry_count": 0,
    "provisioning_model": "SPOT",
    "billing_project": "Département of Health & Flu 2026/27",
    "environment": "test",
    "log_level": "DEBUG",
    "storage_verbose": True,
    "run_output_stage": False,
    "allow_partial_results": True,
    "allow_user_functions": True,
    "monthly_budget_usd": 200,
    "billing_account": "012345-6789AB-CDEF01",
    "alert_email": "forecasts@example.org",
    "install_ops_agent": True,
}

NEEDED = {"project_id": "my-lab-forecasts", "bucket_name": "my-lab-bucket"}


class Configuration:
    """A copy of terraform/, or of another root, with its state in a file."""

    def __init__(self, folder: Path, environ: dict[str, str], root: str = "terraform"):
        self.folder, self.environ = folder, environ
        shutil.copytree(REPOSITORY / root, folder, ignore=shutil.ignore_patterns(".terraform*"))
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

    def plan(self, *words: str, **variables: str) -> dict[str, Any]:
        done = self.run("plan", "-input=false", "-out=plan", *words, **variables)
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
    """Return what plans terraform/ with settings; no plan is made twice."""

    @cache
    def plan(settings: Settings) -> dict[str, Any]:
        return configuration.plan(**verbs.variables(settings))

    return lambda **settings: plan(Settings(**NEEDED | settings))


def resources(plan: dict[str, Any], kind: str = "", mode: str = "managed") -> dict[str, dict[str, Any]]:
    """Return what is planned of a kind, by address."""
    changes = (each for each in plan["resource_changes"] if each["mode"] == mode)
    return {each["address"]: each["change"]["after"] for each in changes if each["type"].startswith(kind)}


def grants(plan: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Return who is given which role on what."""
    return {
        (after["member"], after["role"].removeprefix("roles/"), scope_of(address, after))
        for address, after in resources(plan).items()
        if "_iam_" in address
    }


def scope_of(address: str, after: dict[str, Any]) -> str:
    kind = address.partition("_iam_")[0]
    name = {
        "google_storage_bucket": "bucket",
        "google_artifact_registry_repository": "repository",
        "google_service_account": "service_account_id",
        "google_secret_manager_secret": "secret_id",
        "google_project": "project",
    }[kind]
    condition = " if" if after.get("condition") else ""
    return f"{name.removesuffix('_id')} {after[name].rpartition('/')[2]}{condition}"


def allows(condition: str, name: str) -> bool:
    """Tell whether a condition on resource.name holds for an object, by reading it as Python."""
    words = condition.replace("startsWith", "startswith").replace("endsWith", "endswith")
    words = words.replace("&&", "and").replace("||", "or").replace("!", "not ")
    words = words.replace("resource.name", repr(f"projects/_/buckets/my-lab-bucket/objects/{name}"))
    return eval(words, {"__builtins__": {}})


def condition_of(plan: dict[str, Any], grant: str) -> str:
    return resources(plan)[f"google_storage_bucket_iam_member.{grant}"]["condition"][0]["expression"]
