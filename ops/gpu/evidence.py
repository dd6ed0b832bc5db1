"""What a project can answer by itself about the GPU lane, for `invoke doctor --report`."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from ops.cloud.checks import NO_VALUE
from ops.cloud.cloud import Cloud
from ops.cloud.log_reader import quoted
from ops.gpu import quotas
from ops.gpu.names import Names
from ops.project.evidence import RECENT, Doubt, Found

MOST_ENTRIES = 1000
NO_LANE = "the GPU lane is not deployed"
_SCALING = re.compile(r"autoscaling|Scale$|gpu|accelerator")


def gpu_quotas(cloud: Cloud) -> Found:
    rows = [
        {"quota": name, "value": limit.get("details", {}).get("value", NO_VALUE), "unit": unit}
        for name, unit, limit in sorted(quotas.in_region(cloud), key=lambda row: row[0])
        if "Alloc" in name
    ]
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
    """Return the numbers of instances, of the service and of its revisions, and what is said of the GPU."""
    template = service.get("spec", {}).get("template", {})
    notes = {
        **service["metadata"].get("annotations", {}),
        **template.get("metadata", {}).get("annotations", {}),
        **template.get("spec", {}).get("nodeSelector", {}),
    }
    return {name: value for name, value in notes.items() if _SCALING.search(name)}


def idle_times(cloud: Cloud) -> Found:
    """Return, for each instance of inference, the seconds from the end of its last request to its last line.

    The last line is what Cloud Run or the service writes when the instance ends. If `last_log` and
    `last_line` show another line, the instance still runs, or ended without a log entry.
    """
    names = Names.of(cloud.settings)
    chosen = (
        'resource.type="cloud_run_revision" AND '
        f"resource.labels.service_name={quoted(names.service('inference'))}"
    )
    words = ["logging", "read", chosen, "--freshness", RECENT, "--limit", str(MOST_ENTRIES)]
    entries = cloud.read_json([*words, *cloud.in_project], echo=False) or []
    instances: dict[str, list[Mapping[str, Any]]] = {}
    for each in sorted(entries, key=_end):
        if instance := each.get("labels", {}).get("instanceId"):
            instances.setdefault(instance, []).append(each)
    rows = [_instance(each) for each in instances.values()]
    if len(entries) >= MOST_ENTRIES:
        rows.append({"note": f"of the newest {MOST_ENTRIES} entries; the first instances may have more"})
    return Found(rows or f"no instance of inference has logged anything in {RECENT}", (("lane", names.stem),))


def _instance(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    requests = [each for each in entries if "httpRequest" in each]
    last = entries[-1]
    return {
        "requests": len(requests),
        "seconds": _seconds(min(map(_begin, entries)), _end(last)),
        "idle_seconds": _seconds(_end(requests[-1]), _end(last)) if requests else None,
        "last_log": unquote(last.get("logName", "")).partition("/logs/")[2],
        "last_line": last.get("textPayload") or last.get("jsonPayload", {}).get("message", ""),
    }


def _begin(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["timestamp"])


def _end(entry: Mapping[str, Any]) -> datetime:
    """Return the end of what an entry describes.

    An entry of a request says how long it took. Users measured on App Engine that its time is the start:
    https://github.com/googleapis/google-cloud-go/issues/1598. Cloud Run's documentation does not say. If that
    time is the end after all, the entry was received then.
    """
    latency = entry.get("httpRequest", {}).get("latency", "0s")
    end = _begin(entry) + timedelta(seconds=float(latency.removesuffix("s")))
    received = datetime.fromisoformat(entry.get("receiveTimestamp", entry["timestamp"]))
    return max(_begin(entry), min(end, received))


def _seconds(begin: datetime, end: datetime) -> float:
    return round((end - begin).total_seconds(), 1)


DOUBTS = (
    Doubt("GPU quotas", "Is the unit of the GPU quotas a GPU, or a thousandth?", gpu_quotas),
    Doubt("GPU lane", "Are the services as they were deployed, and what do their conditions say?", services),
    Doubt("idle times", "How long does an instance with a GPU stay after its last request?", idle_times),
)
