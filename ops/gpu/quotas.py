"""Quotas of Cloud Run in the region, and what the lane's largest number of instances takes of them.

Cloud Run compares the instances of one service, times their size, with a quota when the service is deployed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ops.cloud.cloud import Cloud
from ops.gpu.rules import CPU_OF_OTHERS, QUOTAS, limit_of
from ops.settings import Settings

SERVICE = "run.googleapis.com"
CPU, MEMORY = "CpuAllocPerProjectRegion", "MemAllocPerProjectRegion"  # thousandths of a CPU; bytes
GIB = 2**30
MORE = "https://console.cloud.google.com/iam-admin/quotas?project={project}"
MORE_GPUS = "https://g.co/cloudrun/gpu-quota"


def limits(cloud: Cloud) -> dict[str, int]:
    """Return the limit of each quota in the region by its id; -1 is unlimited. Empty in a dry run."""
    words = ["beta", "quotas", "info", "list", "--service", SERVICE, *cloud.in_project]
    listed = cloud.read_json(words, echo=False) or []
    found = {each.get("quotaId", ""): _in_region(each, cloud.region) for each in listed}
    return {quota: value for quota, value in found.items() if value is not None}


def _in_region(info: Mapping[str, Any], region: str) -> int | None:
    for each in info.get("dimensionsInfos", []):
        named = each.get("dimensions", {}).get("region")
        if region == named or (named is None and region in each.get("applicableLocations", [])):
            return limit_of(each)
    return None


def gpu_quota(settings: Settings) -> str:
    """Return the id of the quota that the GPUs of the settings count against."""
    redundancy = "" if settings.gpu_zonal_redundancy else "NoZonalRedundancy"
    return f"{QUOTAS[settings.gpu_type]}{redundancy}PerProjectRegion"


def gpus_allowed(found: Mapping[str, int], quota: str) -> int | None:
    """Return the number of GPUs that a quota allows; None if it is not known or unlimited.

    Some projects are shown thousandths of a GPU, others GPUs.
    """
    value = found.get(quota, -1)
    if value < 0:
        return None
    return value // 1000 if value >= 1000 else value


def gpu_instances(settings: Settings) -> int:
    """Return the most instances of inference at the same time."""
    return min(settings.gpu_max_instances, settings.max_instances)


def shortages(settings: Settings, found: Mapping[str, int]) -> Iterator[str]:
    """Yield what a service may not have, for each quota of CPUs and memory that is too small for it."""
    for service, setting, instances, cpus, memory in _sizes(settings):
        for quota, size, unit, scale in ((CPU, cpus, "CPUs", 1000), (MEMORY, memory, "GiB", GIB)):
            allowed = found.get(quota, -1)
            if 0 <= allowed < instances * size * scale:
                yield (
                    f"{service}: {instances} x {size} = {instances * size} {unit}, "
                    f"but {allowed / scale:,.0f} are allowed: {setting}={int(allowed // (size * scale))}"
                )


def _sizes(settings: Settings) -> Iterator[tuple[str, str, int, int, int]]:
    """Yield service, setting of its instances, their number, and CPUs and GiB of each."""
    most = settings.max_instances
    yield "preprocess", "MAX_INSTANCES", most, CPU_OF_OTHERS, gib(settings.preprocess_memory)
    gpus, memory = gpu_instances(settings), gib(settings.gpu_memory)
    yield "inference", "GPU_MAX_INSTANCES", gpus, settings.gpu_cpu, memory
    yield "postprocess", "MAX_INSTANCES", most, CPU_OF_OTHERS, gib(settings.postprocess_memory)


def gib(memory: str) -> int:
    """Return the number of a size such as 16Gi."""
    return int(memory.removesuffix("Gi"))
