"""Quotas of Cloud Run in the region, and what the lane's largest number of instances takes of them.

Cloud Run compares the instances of one service, times their size, with a quota when the service is deployed.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal
from ops.gpu.names import SERVICES
from ops.gpu.rules import above_quota
from ops.gpu.sizes import NO_GPU, size_of
from ops.settings import Settings

SERVICE = "run.googleapis.com"
CPU, MEMORY = "CpuAllocPerProjectRegion", "MemAllocPerProjectRegion"  # thousandths of a CPU; bytes
GPUS = {"nvidia-l4": "NvidiaL4GpuAlloc", "nvidia-rtx-pro-6000": "NvidiaRtxPro6000GpuAlloc"}
GIB = 2**30
MILLI = 1000  # some projects are shown thousandths of a GPU, others GPUs
MORE = "https://console.cloud.google.com/iam-admin/quotas?project={project}"


def check_quota(cloud: Cloud) -> None:
    """Refuse more instances than the project's quota of GPUs allows.

    Where gcloud may not read the quotas, the setting GPU_QUOTA alone counts, which rules.py checks; a note
    says so.

    Raises
    ------
    UserError
        Says what to set, and where to ask for more.
    """
    if cloud.settings.gpu_type == NO_GPU:
        return
    try:
        allowed = gpus_allowed(limits(cloud), gpu_quota(cloud.settings))
    except GcloudError as error:
        if error.refusal not in (Refusal.DENIED, Refusal.DISABLED):
            raise
        print(
            f"note: GPU_QUOTA={cloud.settings.gpu_quota} counts, the project's quota cannot be read: {error}"
        )
        return
    if allowed is not None and (problem := above_quota(cloud.settings, allowed)):
        raise UserError(problem)


def limits(cloud: Cloud) -> dict[str, int]:
    """Return the limit of each quota in the region by its id; -1 is unlimited. Empty in a dry run.

    A quota whose limit is not said is left out.
    """
    found = {quota: limit_of(limit) for quota, _, limit in in_region(cloud)}
    return {quota: value for quota, value in found.items() if value is not None}


def in_region(cloud: Cloud) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield id, unit and limit of each quota of Cloud Run that applies to the region, as Cloud Quotas says.

    The most specific limits come first, and count:
    https://cloud.google.com/docs/quotas/reference/rest/v1/projects.locations.services.quotaInfos
    """
    words = ["beta", "quotas", "info", "list", "--service", SERVICE, *cloud.in_project]
    for info in cloud.read_json(words, echo=False) or []:
        for each in info.get("dimensionsInfos", []):
            named = each.get("dimensions", {}).get("region")
            if cloud.region == named or (
                named is None and cloud.region in each.get("applicableLocations", [])
            ):
                yield info.get("quotaId", ""), info.get("metricUnit", ""), each
                break


def limit_of(info: Mapping[str, Any]) -> int | None:
    """Return the limit of a quota, -1 for an unlimited one; None where the answer has no number."""
    value = str(info.get("details", {}).get("value", ""))
    return int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else None


def gpu_quota(settings: Settings) -> str:
    """Return the id of the quota that the GPUs of the settings count against."""
    redundancy = "" if settings.gpu_zonal_redundancy else "NoZonalRedundancy"
    return f"{GPUS[settings.gpu_type]}{redundancy}PerProjectRegion"


def gpus_allowed(found: Mapping[str, int], quota: str) -> int | None:
    """Return the number of GPUs that a quota allows; None if it is not listed or unlimited."""
    value = found.get(quota, -1)
    if value < 0:
        return None
    return value // MILLI if value >= MILLI else value


def shortages(settings: Settings, found: Mapping[str, int]) -> Iterator[str]:
    """Yield what a service may not have, for each quota of CPUs and memory that is too small for it."""
    for service in SERVICES:
        own = size_of(settings, service)
        setting = "GPU_MAX_INSTANCES" if service == "inference" else "MAX_INSTANCES"
        for quota, size, unit, scale in ((CPU, own.cpu, "CPUs", 1000), (MEMORY, own.memory_gib, "GiB", GIB)):
            allowed = found.get(quota, -1)
            if 0 <= allowed < own.instances * size * scale:
                yield (
                    f"{service}: {own.instances} x {size} = {own.instances * size} {unit}, "
                    f"but {allowed / scale:,.0f} are allowed: {setting}={int(allowed // (size * scale))}"
                )
