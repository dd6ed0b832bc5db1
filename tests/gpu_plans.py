"""Plans of terraform/gpu/ by the real terraform, each made once; the provider is a stand-in."""

from collections.abc import Callable
from functools import cache
from typing import Any

from ops.gpu import terraform as verbs
from ops.settings import Settings
from tests.experiments import REPOSITORY
from tests.needs import need_terraform
from tests.terraform_plans import Configuration, resources

FOLDER = REPOSITORY / "terraform" / "gpu"
NEEDED = {"project_id": "my-lab-forecasts"}
ALL_ELSE = {
    "region": "europe-west4",
    "service_prefix": "flu",
    "gpu_type": "nvidia-rtx-pro-6000",
    "gpu_cpu": 20,
    "gpu_memory": "80Gi",
    "gpu_zonal_redundancy": True,
    "gpu_max_instances": 5,
    "gpu_quota": 5,
    "max_instances": 2,
    "gpu_concurrency": 2,
    "preprocess_memory": "4Gi",
    "postprocess_memory": "2Gi",
    "min_instances": 1,
    "accept_idle_cost": True,
    "timeout_seconds": 900,
    "shard_units": 7,
    "models": "lab.models:Flu",
    "image_tag": "v1.2",
    "gpu_repo_name": "flu-images",
    "gpu_ingress": "internal-and-cloud-load-balancing",
    "gpu_network": "lab",
    "gpu_subnetwork": "lab-europe",
    "environment": "test",
    "input_retention_days": 0,
    "work_retention_days": 3,
    "results_retention_days": 365,
    "results_nearline_days": 30,
    "delete_data": True,
    "audit_data_access": True,
    "enable_vertex_ai": True,
    "monthly_budget_usd": 200,
    "billing_account": "012345-6789AB-CDEF01",
    "alert_email": "forecasts@example.org",
}


def configured(tmp_path_factory) -> Configuration:
    """Return a copy of terraform/gpu/ for a project whose APIs are on, so that plans know its number."""
    environ = need_terraform(applies=True)
    configuration = Configuration(tmp_path_factory.mktemp("terraform") / "gpu", environ, "terraform/gpu")
    done = configuration.run(
        "apply",
        *("-auto-approve", "-input=false", "-target=data.google_project.this"),
        **verbs.variables(Settings(**NEEDED)),
    )
    assert done.returncode == 0, done.stderr
    return configuration


def plans(configuration: Configuration) -> Callable[..., dict[str, Any]]:
    """Return what plans terraform/gpu/ with settings; no plan is made twice."""

    @cache
    def plan(settings: Settings) -> dict[str, Any]:
        return configuration.plan(**verbs.variables(settings))

    return lambda **settings: plan(Settings(**NEEDED | settings))


def made(plan: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return what is planned of a kind, by the key of for_each."""
    found = {a: after for a, after in resources(plan, kind).items() if a.partition(".")[0] == kind}
    return {address.partition('"')[2].rstrip('"]'): after for address, after in found.items()}


def project_number(plan: dict[str, Any]) -> str:
    """Return the number that the plan has read of the project."""
    return read(plan, "google_project")[0]["number"]


def read(plan: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return what the plan has read of a kind."""
    found = plan["prior_state"]["values"]["root_module"]["resources"]
    return [each["values"] | {"key": each.get("index", "")} for each in found if each["type"] == kind]
