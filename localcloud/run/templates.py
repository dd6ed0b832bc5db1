"""The template of a revision: its defaults, and what instances use of it."""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.projects import DEFAULT_ACCOUNT
from localcloud.run.definition import Definition, Probe

GPU = "nvidia.com/gpu"
ACCELERATOR = "run.googleapis.com/accelerator"
MIN_SCALE = "autoscaling.knative.dev/minScale"
MAX_SCALE = "autoscaling.knative.dev/maxScale"
CPU_THROTTLING = "run.googleapis.com/cpu-throttling"
ENVIRONMENT = "run.googleapis.com/execution-environment"
NO_REDUNDANCY = "run.googleapis.com/gpu-zonal-redundancy-disabled"
PROBE_TYPE = "run.googleapis.com/startupProbeType"  # label: "Default" where the service made the probe
# The service's documentation says 100. Newer projects were seen with 20, and with a GPU perhaps the quota.
DEFAULT_MAX_INSTANCES = 100
_LIMITS = {"cpu": "1000m", "memory": "512Mi"}  # with a GPU perhaps more; the emulator then wants them named
_PORT = 8080
_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "failureThreshold": 3}

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|[KMGT]i|[MGT])?")
_FACTORS = {
    "m": 1e-3,
    "": 1,
    "k": 1e3,
    **{f"{letter}i": 2.0 ** (10 * power) for power, letter in enumerate("KMGT", start=1)},
    **{letter: 1e3**power for power, letter in enumerate("MGT", start=2)},
}


def filled(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a template, as the service stores it: with the defaults of what is not there."""
    result = copy.deepcopy(dict(template))
    metadata, spec = result.setdefault("metadata", {}), result.setdefault("spec", {})
    labels, annotations = metadata.setdefault("labels", {}), metadata.setdefault("annotations", {})
    annotations.setdefault(MAX_SCALE, str(DEFAULT_MAX_INSTANCES))
    spec["containerConcurrency"] = spec.get("containerConcurrency") or 80
    spec.setdefault("timeoutSeconds", 300)
    spec["serviceAccountName"] = spec.get("serviceAccountName") or DEFAULT_ACCOUNT
    for container in spec.get("containers", [])[:1]:
        _fill_container(container, labels)
    return result


def _fill_container(container: dict[str, Any], labels: dict[str, str]) -> None:
    if not container.get("ports"):
        container["ports"] = [{"name": "http1", "containerPort": _PORT}]
    port = container["ports"][0].setdefault("containerPort", _PORT)
    resources = container.setdefault("resources", {})
    resources["limits"] = _LIMITS | resources.get("limits", {})
    default = _default_probe(port)
    if labels.get(PROBE_TYPE) == "Default" and _is_like(container.get("startupProbe"), default):
        del container["startupProbe"]  # the service filled it in; the port may have changed since
    if probe := container.get("startupProbe"):
        labels[PROBE_TYPE] = "Custom"
        container["startupProbe"] = _PROBE_DEFAULTS | probe
        for action in ("httpGet", "tcpSocket"):
            if action in probe:
                container["startupProbe"][action] = {"port": port} | probe[action]
        return
    labels[PROBE_TYPE] = "Default"
    container["startupProbe"] = default


def _default_probe(port: int) -> dict[str, Any]:
    return {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "tcpSocket": {"port": port}}


def _is_like(probe: Mapping[str, Any] | None, other: Mapping[str, Any]) -> bool:
    """Return whether two probes are the same, whatever their port."""
    return {**(probe or {}), "tcpSocket": {}} == {**other, "tcpSocket": {}}


def quantity(text: str) -> float | None:
    """Return the number of a quantity such as 500m, 4 or 16Gi; None if it is not one."""
    found = _QUANTITY.fullmatch(text)
    return float(found[1]) * _FACTORS[found[2] or ""] if found else None


@dataclass(frozen=True)
class Size:
    """What one instance has; `accelerator` is empty without a GPU. None: the quantity cannot be read."""

    cpu: float | None
    memory_bytes: float | None
    accelerator: str

    @property
    def memory_mib(self) -> int:
        return int((self.memory_bytes or 0) // 2**20)


def size_of(template: Mapping[str, Any]) -> Size:
    spec = template["spec"]
    limits = spec["containers"][0]["resources"]["limits"]
    accelerator = spec.get("nodeSelector", {}).get(ACCELERATOR, "") if GPU in limits else ""
    return Size(quantity(limits["cpu"]), quantity(limits["memory"]), accelerator)


def annotation(template: Mapping[str, Any], name: str, default: str = "") -> str:
    return template["metadata"]["annotations"].get(name, default)


def is_true(template: Mapping[str, Any], name: str, default: str) -> bool:
    return annotation(template, name, default).lower() == "true"


def max_instances(template: Mapping[str, Any]) -> int:
    return int(annotation(template, MAX_SCALE, str(DEFAULT_MAX_INSTANCES)))


def min_instances(template: Mapping[str, Any]) -> int:
    return int(annotation(template, MIN_SCALE, "0"))


def definition_of(
    place: tuple[str, str, str], revision: str, template: Mapping[str, Any], least: int = 0
) -> Definition:
    """Return what instances need of a valid template.

    Parameters
    ----------
    place : tuple
        Project, region and name of the service.
    revision : str
        Name of the revision.
    template : dict
        The template with its defaults.
    least : int
        Instances that the service keeps, whichever its revision.
    """
    project, region, service = place
    spec = template["spec"]
    container, size = spec["containers"][0], size_of(template)
    return Definition(
        project=project,
        region=region,
        service=service,
        revision=revision,
        image=container["image"],
        command=(*container.get("command", []), *container.get("args", [])),
        env={each["name"]: each.get("value", "") for each in container.get("env", [])},
        account=spec["serviceAccountName"],
        concurrency=spec["containerConcurrency"],
        max_instances=max_instances(template),
        min_instances=max(min_instances(template), least),
        timeout_seconds=spec["timeoutSeconds"],
        probe=_probe(container["startupProbe"]),
        has_gpu=bool(size.accelerator),
        cpu=size.cpu or 0,
        memory_mib=size.memory_mib,
    )


def _probe(probe: Mapping[str, Any]) -> Probe:
    return Probe(
        path=probe["httpGet"].get("path", "/") if "httpGet" in probe else "",
        initial_delay_seconds=probe.get("initialDelaySeconds", 0),
        period_seconds=probe["periodSeconds"],
        timeout_seconds=probe["timeoutSeconds"],
        failure_threshold=probe["failureThreshold"],
    )
