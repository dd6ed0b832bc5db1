"""The services of the GPU lane: each is compared with the settings, and deployed if something differs.

Both are turned into facts first, by names for the operator, who reads what differs and how.
"""

import json
from collections.abc import Mapping

from ops.gpu.found import Resource
from ops.gpu.lane import Lane
from ops.gpu.names import SERVICES
from ops.gpu.sizes import NO_GPU, size_of
from ops.gpu.steps import Change, Command, differences
from ops.settings import Settings

Facts = dict[str, str]

INVOKER = "roles/run.invoker"
CONCURRENCY = 4  # requests of an instance without a GPU at the same time
VARIABLE = "variable "
RUN, SCALING = "run.googleapis.com", "autoscaling.knative.dev"
INTERFACES = f"{RUN}/network-interfaces"
# 120 times 2 seconds: the four minutes that Cloud Run allows for a start
PROBE = {"httpGet.path": "/health", "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 120}


def service_changes(
    lane: Lane, images: Mapping[str, str], device: str, variables: Mapping[str, str]
) -> list[Change]:
    """Return a change for each service that is not as the settings want it.

    Parameters
    ----------
    images : mapping of str to str
        The image of each of SERVICES, with its digest; one that is missing is named by its tag.
    device : str
        DEVICE of inference where it has a GPU.
    variables : mapping
        Further environment variables of every service.
    """
    changes = []
    for name in SERVICES:
        image = images.get(name) or lane.names.image(name, lane.cloud.settings.image_tag)
        wanted = _wanted(lane, name, image, device) | {
            f"{VARIABLE}{key}": value for key, value in variables.items()
        }
        resource = lane.found.services.get(lane.names.service(name))
        there = facts_of(lane, resource) if resource else {}
        if differing := differences(there, wanted):
            what = f"change service {name}: {'; '.join(differing)}" if there else f"create service {name}"
            changes.append(Change(what, [_command(lane, name, wanted, there)]))
        elif not is_ready(resource):
            changes.append(Change(f"start service {name} again", [_command(lane, name, wanted, there)]))
    return changes


def invoker_changes(lane: Lane) -> list[Change]:
    """Return a change for each service that the workflow may not call yet."""
    member, changes = lane.names.member("workflow"), []
    where = ["--region", lane.cloud.region, *lane.cloud.in_project]
    for name in SERVICES:
        service = lane.names.service(name)
        if not _may_call(lane.found.policies.get(service, {}), member):
            words = ["run", "services", "add-iam-policy-binding", service, "--member", member]
            what = f"let the workflow call service {name}"
            changes.append(Change(what, [[*words, "--role", INVOKER, *where]]))
    return changes


def is_ready(service: Resource) -> bool:
    """Return whether the newest deployment of a service has succeeded."""
    conditions = service.get("status", {}).get("conditions", [])
    return all(each["status"] == "True" for each in conditions if each["type"] == "Ready")


def _may_call(policy: Resource, member: str) -> bool:
    bindings = policy.get("bindings", [])
    return any(
        each["role"] == INVOKER and member in each.get("members", []) and "condition" not in each
        for each in bindings
    )


def _wanted(lane: Lane, name: str, image: str, device: str) -> Facts:
    settings, names = lane.cloud.settings, lane.names
    variables = {
        "SERVICE": name,
        "MODELS_BUCKET": names.bucket("models"),
        "TIMEOUT_SECONDS": str(settings.timeout_seconds),
        **({"MODELS": settings.models} if settings.models else {}),
        **({"SHARD_UNITS": str(settings.shard_units)} if name == "preprocess" else {}),
        **(_of_inference(settings, device) if name == "inference" else {}),
    }
    return {
        "image": image,
        "account": names.account(name),
        "ingress": settings.gpu_ingress,
        "timeout": str(settings.timeout_seconds),
        "network": settings.gpu_network,
        "subnetwork": settings.gpu_subnetwork,
        "probe": _shown_probe(PROBE),
        **_size(settings, name),
        **lane.shown_labels(lane.labels),
        **{f"{VARIABLE}{key}": value for key, value in variables.items()},
    }


def _of_inference(settings: Settings, device: str) -> dict[str, str]:
    """Return the variables of inference alone; it takes as many requests as Cloud Run sends it."""
    return {
        "DEVICE": "cpu" if settings.gpu_type == NO_GPU else device,
        "AT_ONCE": str(settings.gpu_concurrency),
    }


def _size(settings: Settings, name: str) -> Facts:
    size, is_inference = size_of(settings, name), name == "inference"
    return {
        "cpu": str(size.cpu),
        "memory": f"{size.memory_gib}Gi",
        "concurrency": str(settings.gpu_concurrency if is_inference else CONCURRENCY),
        "max instances": str(size.instances),
        "min instances": str(settings.min_instances if is_inference else 0),
        "gpu": settings.gpu_type if size.has_gpu else "",
        "zonal redundancy": _yes(size.has_gpu and settings.gpu_zonal_redundancy),
        "cpu always on": _yes(size.has_gpu),
    }


def facts_of(lane: Lane, service: Resource) -> Facts:
    """Return what a service is, by the same names; in a network, its names without the project."""
    metadata, template = service["metadata"], service["spec"]["template"]
    notes, spec = template["metadata"].get("annotations", {}), template["spec"]
    container = spec["containers"][0]
    limits, gpu = container["resources"]["limits"], spec.get("nodeSelector", {}).get(f"{RUN}/accelerator", "")
    (network, *_) = [*json.loads(notes.get(INTERFACES, "[]")), {}]
    return {
        "image": container["image"],
        "account": spec.get("serviceAccountName", ""),
        "ingress": metadata.get("annotations", {}).get(f"{RUN}/ingress", "all"),
        "timeout": str(spec.get("timeoutSeconds", "")),
        "network": network.get("network", "").rpartition("/")[2],
        "subnetwork": network.get("subnetwork", "").rpartition("/")[2],
        "probe": _shown_probe(_flat(container.get("startupProbe", {}))),
        "cpu": limits.get("cpu", ""),
        "memory": limits.get("memory", ""),
        "concurrency": str(spec.get("containerConcurrency", "")),
        "max instances": notes.get(f"{SCALING}/maxScale", ""),
        "min instances": notes.get(f"{SCALING}/minScale", "0"),
        "gpu": gpu,
        "zonal redundancy": _yes(gpu and notes.get(f"{RUN}/gpu-zonal-redundancy-disabled") != "True"),
        "cpu always on": _yes(notes.get(f"{RUN}/cpu-throttling") == "False"),
        **lane.shown_labels(metadata.get("labels", {})),
        **{f"{VARIABLE}{each['name']}": each.get("value", "") for each in container.get("env", [])},
    }


def _command(lane: Lane, name: str, wanted: Facts, there: Facts) -> Command:
    variables = [
        f"{key.removeprefix(VARIABLE)}={value}" for key, value in wanted.items() if key.startswith(VARIABLE)
    ]
    return [
        *("run", "deploy", lane.names.service(name), "--image", wanted["image"]),
        *("--region", lane.cloud.region, *lane.cloud.in_project, "--service-account", wanted["account"]),
        *("--ingress", wanted["ingress"], "--no-allow-unauthenticated", "--execution-environment", "gen2"),
        *("--cpu", wanted["cpu"], "--memory", wanted["memory"], "--concurrency", wanted["concurrency"]),
        *("--max-instances", wanted["max instances"], "--min-instances", wanted["min instances"]),
        *_gpu_options(wanted, there),
        *("--timeout", wanted["timeout"], "--cpu-boost", "--startup-probe", wanted["probe"]),
        *_network_options(wanted, there),
        *("--labels", lane.label_option, "--set-env-vars", "^|^" + "|".join(variables)),
    ]


def _gpu_options(wanted: Facts, there: Facts) -> list[str]:
    if not wanted["gpu"]:
        return ["--gpu", "0", "--cpu-throttling"] if there.get("gpu") else []
    redundancy = (
        "--gpu-zonal-redundancy" if wanted["zonal redundancy"] == "yes" else "--no-gpu-zonal-redundancy"
    )
    return ["--gpu", "1", "--gpu-type", wanted["gpu"], redundancy, "--no-cpu-throttling"]


def _network_options(wanted: Facts, there: Facts) -> list[str]:
    """Return the options of a network, whose subnetwork needs Private Google Access."""
    if not wanted["network"]:
        return ["--clear-network"] if there.get("network") else []
    where = ["--network", wanted["network"], "--subnet", wanted["subnetwork"]]
    return [*where, "--vpc-egress", "all-traffic"]


def _flat(probe: Mapping[str, object]) -> dict[str, object]:
    path = probe.get("httpGet", {}).get("path", "")
    return {**probe, "httpGet.path": path}


def _shown_probe(probe: Mapping[str, object]) -> str:
    return ",".join(f"{name}={probe.get(name, '')}" for name in PROBE)


def _yes(holds: object) -> str:
    return "yes" if holds else "no"
