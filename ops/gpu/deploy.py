"""Deploy the GPU lane by gcloud: accounts, buckets, rights, services, workflow, trigger.

What exists is left as it is, or brought up to date, so a deployment that was stopped is repeated.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ops.cloud.cloud import Cloud
from ops.gcloud import AT_ONCE, in_parallel
from ops.gpu.found import Found, look
from ops.gpu.names import ACCOUNTS, BUCKETS, SERVICES, Names
from ops.gpu.rights import (
    PUBLISHER,
    bucket_bindings,
    has_bindings,
    project_roles,
    storage_agent,
    with_bindings,
)
from ops.gpu.steps import Command, Step, Tell, one_by_one, run_all
from ops.settings import ROOT, Settings
from ops.terminal import nearest

WORKFLOW = ROOT / "terraform" / "gpu" / "workflow.yaml"
APIS = (
    "artifactregistry",
    "cloudresourcemanager",
    "eventarc",
    "eventarcpublishing",
    "iam",
    "logging",
    "pubsub",
    "run",
    "storage",
    "workflowexecutions",
    "workflows",
)
DEPLOY_SECONDS = 900  # an instance has four minutes to start, and an image has to be copied
UPLOAD_SECONDS = 1800
FINALIZED = "google.cloud.storage.object.v1.finalized"
# A new account is not known everywhere at once.
ACCOUNT_NOT_READY, ACCOUNT_SECONDS = "does not exist", 90
# Right after its first use in a project, Eventarc's own account has no rights yet.
AGENT_NOT_READY, AGENT_SECONDS = "Eventarc Service Agent", 300
# CPU, memory, requests of an instance at the same time, most instances; of inference from the settings.
SIZES = {"preprocess": ("1", "2Gi", 4, 10), "postprocess": ("1", "1Gi", 4, 10)}
GPU_SIZES = {"nvidia-l4": ("4", "16Gi"), "nvidia-rtx-pro-6000": ("20", "80Gi"), "none": ("4", "16Gi")}
# 120 times 2 seconds: the four minutes that Cloud Run allows for a start
PROBE = "httpGet.path=/health,periodSeconds=2,timeoutSeconds=2,failureThreshold=120"


def deploy(
    cloud: Cloud,
    models: Mapping[str, Path],
    device: str = "cuda",
    variables: Mapping[str, str] | None = None,
    tell: Tell | None = None,
) -> Names:
    """Deploy the lane, and return its names.

    Parameters
    ----------
    models : mapping of str to Path
        Files for the models bucket, by their names there.
    device : str
        DEVICE of the inference service where it has a GPU.
    variables : mapping
        Further environment variables of every service.
    tell : callable
        Gets the title of each step and its seconds, instead of the commands on the terminal.
    """
    names = Names.of(cloud.settings)
    enable = ["services", "enable", *(f"{api}.googleapis.com" for api in APIS), *cloud.in_project]
    run_all(cloud, [Step("enable APIs", [[enable]])], tell)
    found = look(cloud, names)
    run_all(cloud, _accounts_and_buckets(cloud, names, found, models), tell)
    with tempfile.TemporaryDirectory(prefix="policies-") as folder:
        grants = [
            _project_grants(cloud, names, found),
            *one_by_one(_bucket_grants(cloud, names, Path(folder))),
        ]
        step = Step("grant rights", grants, awaited=ACCOUNT_NOT_READY, patience_seconds=ACCOUNT_SECONDS)
        run_all(cloud, [step], tell)
    run_all(cloud, _services_to_trigger(cloud, names, found, device, variables or {}), tell)
    return names


def _accounts_and_buckets(cloud: Cloud, names: Names, found: Found, models: Mapping[str, Path]) -> list[Step]:
    """Return the steps that create accounts and buckets."""
    uploads = [
        ["storage", "cp", nearest(path), f"gs://{names.bucket('models')}/{name}", *cloud.in_project]
        for name, path in models.items()
    ]
    return [
        Step("create accounts", one_by_one(_accounts(cloud, names, found))),
        Step("create buckets", one_by_one(_buckets(cloud, names, found))),
        Step("upload models", one_by_one(uploads), UPLOAD_SECONDS),
    ]


def _services_to_trigger(
    cloud: Cloud, names: Names, found: Found, device: str, variables: Mapping[str, str]
) -> list[Step]:
    """Return the steps from the services to the trigger; the trigger is last, since uploads wait for it."""
    services = [_service(cloud, names, name, device, variables) for name in SERVICES]
    return [
        Step("deploy services", one_by_one(services), DEPLOY_SECONDS),
        Step("let the workflow call them", one_by_one(_invokers(cloud, names))),
        Step("deploy the workflow", [[_workflow(cloud, names, service_urls(names, found))]]),
        Step(
            "create the trigger",
            [[_trigger(cloud, names)]] if names.trigger not in found.triggers else [],
            awaited=AGENT_NOT_READY,
            patience_seconds=AGENT_SECONDS,
        ),
    ]


def service_urls(names: Names, found: Found) -> dict[str, str]:
    """Return the address of each service: name, project number and region make it up."""
    return {
        name: f"https://{names.service(name)}-{found.project_number}.{names.region}.run.app"
        for name in SERVICES
    }


def _accounts(cloud: Cloud, names: Names, found: Found) -> list[Command]:
    create = ["iam", "service-accounts", "create"]
    return [
        [*create, names.account_id(name), "--display-name", f"GPU lane: {name}", *cloud.in_project]
        for name in ACCOUNTS
        if names.account(name) not in found.accounts
    ]


def _buckets(cloud: Cloud, names: Names, found: Found) -> list[Command]:
    options = ["--location", cloud.region, "--uniform-bucket-level-access", "--public-access-prevention"]
    return [
        ["storage", "buckets", "create", f"gs://{names.bucket(name)}", *options, *cloud.in_project]
        for name in BUCKETS
        if names.bucket(name) not in found.buckets
    ]


def _project_grants(cloud: Cloud, names: Names, found: Found) -> list[Command]:
    missing = project_roles(names, found)
    agent = [["storage", "service-agent", *cloud.in_project]]  # which makes it, where it is not there yet
    options = ["--condition", "None"]
    return [
        *(agent if (PUBLISHER, storage_agent(found)) in missing else []),
        *(
            [
                *("projects", "add-iam-policy-binding", cloud.project),
                *("--role", role, "--member", member, *options),
            ]
            for role, member in missing
        ),
    ]


def _bucket_grants(cloud: Cloud, names: Names, folder: Path) -> list[Command]:
    """Return the commands for the buckets whose policies do not have all bindings, with files for them."""
    places = {bucket: f"gs://{names.bucket(bucket)}" for bucket in BUCKETS}
    asked = [["storage", "buckets", "get-iam-policy", place] for place in places.values()]
    calls = [lambda words=words: cloud.read_json(words, echo=False) or {} for words in asked]
    policies = in_parallel(calls, cloud.shell.most_at_once(AT_ONCE))
    commands = []
    for (bucket, place), policy in zip(places.items(), policies, strict=True):
        wanted = bucket_bindings(names, bucket)
        if not has_bindings(policy, wanted):
            path = folder / f"{bucket}.json"
            text = json.dumps(with_bindings(policy, wanted), indent=1) + "\n"
            pasted = f"mkdir -p {path.parent} && cat > {path} <<'END'\n{text}END\n"
            cloud.shell.write_file(path, text, preview=pasted)
            commands.append(["storage", "buckets", "set-iam-policy", place, str(path)])
    return commands


def _service(cloud: Cloud, names: Names, name: str, device: str, more: Mapping[str, str]) -> Command:
    settings = cloud.settings
    size = _size(settings, name)
    variables = {
        "SERVICE": name,
        "MODELS_BUCKET": names.bucket("models"),
        "VERSION": settings.image_tag,
        "TIMEOUT_SECONDS": str(settings.timeout_seconds),
        **({"DEVICE": "cpu" if settings.gpu_type == "none" else device} if name == "inference" else {}),
        **more,
    }
    return [
        *("run", "deploy", names.service(name), "--image", names.image(name, settings.image_tag)),
        *("--region", cloud.region, *cloud.in_project, "--service-account", names.account(name)),
        *("--ingress", "internal", "--no-allow-unauthenticated", "--execution-environment", "gen2"),
        *size,
        *("--min-instances", "0", "--timeout", str(settings.timeout_seconds), "--cpu-boost"),
        *("--startup-probe", PROBE, "--labels", _labels(settings)),
        *("--set-env-vars", "^|^" + "|".join(f"{key}={value}" for key, value in variables.items())),
    ]


def _size(settings: Settings, name: str) -> list[str]:
    if name != "inference":
        cpu, memory, concurrency, instances = SIZES[name]
        return [*_limits(cpu, memory, concurrency, instances)]
    limits = _limits(*GPU_SIZES[settings.gpu_type], 1, settings.gpu_max_instances)
    if settings.gpu_type == "none":
        return limits
    gpu = ["--gpu", "1", "--gpu-type", settings.gpu_type, "--no-gpu-zonal-redundancy"]
    return [*limits, *gpu, "--no-cpu-throttling"]


def _limits(cpu: str, memory: str, concurrency: int, instances: int) -> list[str]:
    at_once = ["--concurrency", str(concurrency), "--max-instances", str(instances)]
    return ["--cpu", cpu, "--memory", memory, *at_once]


def _invokers(cloud: Cloud, names: Names) -> list[Command]:
    options = ["--member", names.member("workflow"), "--role", "roles/run.invoker"]
    where = ["--region", cloud.region, *cloud.in_project]
    return [
        ["run", "services", "add-iam-policy-binding", names.service(name), *options, *where]
        for name in SERVICES
    ]


def _workflow(cloud: Cloud, names: Names, urls: Mapping[str, str]) -> Command:
    variables = {
        "SERVICE_URLS": json.dumps(urls, separators=(",", ":")),
        "OUTPUT_BUCKET": names.bucket("output"),
        "MAX_SHARDS_AT_ONCE": str(cloud.settings.gpu_max_instances),
        "TIMEOUT_SECONDS": str(cloud.settings.timeout_seconds),
    }
    return [
        *("workflows", "deploy", names.workflow, "--source", nearest(WORKFLOW), *cloud.in_region),
        *("--service-account", names.account("workflow"), "--call-log-level", "log-errors-only"),
        *("--labels", _labels(cloud.settings)),
        *("--set-env-vars", "^|^" + "|".join(f"{key}={value}" for key, value in variables.items())),
    ]


def _trigger(cloud: Cloud, names: Names) -> Command:
    return [
        *("eventarc", "triggers", "create", names.trigger, *cloud.in_region),
        *("--destination-workflow", names.workflow, "--destination-workflow-location", cloud.region),
        *("--event-filters", f"type={FINALIZED}", "--event-filters", f"bucket={names.bucket('input')}"),
        *("--service-account", names.account("trigger"), "--labels", _labels(cloud.settings)),
    ]


def _labels(settings: Settings) -> str:
    return f"component=epymodelingsuite,managed-by=manual,environment={settings.environment}"
