"""What a project can say by itself about the GPU lane, for `invoke doctor --report`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ops.cloud.cloud import Cloud
from ops.cloud.log_reader import quoted
from ops.gpu import quotas
from ops.gpu.names import Names
from ops.project.evidence import RECENT, Doubt, Found

MOST_ENTRIES = 1000
NO_LANE = "the GPU lane is not deployed"


def gpu_quotas(cloud: Cloud) -> Found:
    found = quotas.limits(cloud)
    rows = [{"quota": name, "value": value} for name, value in sorted(found.items()) if "Alloc" in name]
    return Found(rows or f"Cloud Quotas names no quota of Cloud Run in {cloud.region}")


def services(cloud: Cloud) -> Found:
    stem = Names.of(cloud.settings).stem
    words = ["run", "services", "list", "--region", cloud.region, *cloud.in_project]
    listed = cloud.read_json(words, echo=False) or []
    ours = [each for each in listed if each["metadata"]["name"].startswith(f"{stem}-")]
    rows = [
        {
            "service": each["metadata"]["name"].removeprefix(f"{stem}-"),
            "scaling": _scaling(each),
            "conditions": [
                {key: one[key] for key in ("type", "status", "reason", "message") if key in one}
                for one in each.get("status", {}).get("conditions", [])
            ],
        }
        for each in ours
    ]
    return Found(rows or NO_LANE, (("lane", stem),))


def _scaling(service: Mapping[str, Any]) -> dict[str, str]:
    notes = service.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {})
    return {name: value for name, value in notes.items() if "autoscaling" in name or "gpu" in name}


def idle_times(cloud: Cloud) -> Found:
    """Return, for each instance of inference, the seconds from its last request to its last line in the log.

    The last line is what Cloud Run or the service writes when the instance ends.
    """
    names = Names.of(cloud.settings)
    chosen = (
        'resource.type="cloud_run_revision" AND '
        f"resource.labels.service_name={quoted(names.service('inference'))}"
    )
    words = ["logging", "read", chosen, "--freshness", RECENT, "--limit", str(MOST_ENTRIES)]
    entries = cloud.read_json([*words, *cloud.in_project], echo=False) or []
    instances: dict[str, list[Mapping[str, Any]]] = {}
    for each in sorted(entries, key=lambda entry: entry["timestamp"]):
        if instance := each.get("labels", {}).get("instanceId"):
            instances.setdefault(instance, []).append(each)
    rows = [_instance(each) for each in instances.values()]
    return Found(rows or f"no instance of inference has logged anything in {RECENT}", (("lane", names.stem),))


def _instance(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    requests = [each for each in entries if "httpRequest" in each]
    last = entries[-1]
    idle = _seconds(requests[-1], last) if requests else None
    return {
        "requests": len(requests),
        "seconds": _seconds(entries[0], last),
        "idle_seconds": idle,
        "last_line": last.get("textPayload") or last.get("jsonPayload", {}).get("message", ""),
    }


def _seconds(first: Mapping[str, Any], last: Mapping[str, Any]) -> float:
    begin, end = (datetime.fromisoformat(each["timestamp"]) for each in (first, last))
    return round((end - begin).total_seconds(), 1)


DOUBTS = (
    Doubt("GPU quotas", "Is the unit of the GPU quotas a GPU, or a thousandth?", gpu_quotas),
    Doubt("GPU lane", "Are the services as they were deployed, and what do their conditions say?", services),
    Doubt("idle times", "How long does an instance with a GPU stay after its last request?", idle_times),
)
