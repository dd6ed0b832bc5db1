"""What several settings of the GPU lane allow together; terraform/gpu/rules.tf has the same sentences.

Each is refused before anything is done, with what to set. What one setting allows is in gpu_settings.py.
"""

import json
from collections.abc import Iterator

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import GcloudError
from ops.settings import ROOT, Settings

REGIONS = ROOT / "terraform" / "gpu" / "gpu_regions.json"
NO_GPU = "none"
# Least and most GiB of an instance, by its CPUs: https://cloud.google.com/run/docs/configuring/services/memory-limits
MEMORY_GIB = {1: (1, 4), 2: (1, 8), 4: (2, 16), 6: (4, 24), 8: (4, 32), 20: (80, 80), 22: (80, 88)}
CPUS = {"nvidia-l4": (4, 6, 8), "nvidia-rtx-pro-6000": (20, 22), NO_GPU: (1, 2, 4, 6, 8)}
LEAST_GIB = {"nvidia-l4": 16, "nvidia-rtx-pro-6000": 80, NO_GPU: 1}
CPU_OF_OTHERS = 1  # CPUs of preprocess and of postprocess
QUOTAS = {"nvidia-l4": "NvidiaL4GpuAlloc", "nvidia-rtx-pro-6000": "NvidiaRtxPro6000GpuAlloc"}
MILLI = 1000  # some projects are shown thousandths of a GPU
REQUEST = "ask for more: https://g.co/cloudrun/gpu-quota"


def check_rules(cloud: Cloud) -> None:
    """Refuse settings that contradict each other, or that the project's quota does not allow.

    Raises
    ------
    UserError
        Lists all contradictions; or the quota, which gcloud is asked for.
    """
    refuse_contradictions(cloud.settings)
    if problem := _above_quota(cloud.settings, granted_gpus(cloud)):
        raise UserError(problem)


def refuse_contradictions(settings: Settings) -> None:
    """Refuse settings that contradict each other.

    Raises
    ------
    UserError
        Lists all contradictions.
    """
    if problems := list(contradictions(settings)):
        raise UserError("\nerror: ".join(problems))


def contradictions(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each rule that the settings break, with what to set."""
    yield from _sizes(settings)
    yield from _places(settings)
    yield from _money(settings)
    if problem := _above_quota(settings, settings.gpu_quota):
        yield problem


def _sizes(settings: Settings) -> Iterator[str]:
    kind, cpu = settings.gpu_type, settings.gpu_cpu
    if cpu not in CPUS[kind]:
        *others, last = map(str, CPUS[kind])
        what = "an instance without a GPU" if kind == NO_GPU else f"an instance with an {kind}"
        yield f"GPU_CPU={cpu}: {what} has {', '.join(others)} or {last} CPUs; set GPU_CPU to one of them"
    else:
        least, most = MEMORY_GIB[cpu]
        yield from _memory("GPU_MEMORY", settings.gpu_memory, cpu, max(least, LEAST_GIB[kind]), most)
    for name in ("preprocess_memory", "postprocess_memory"):
        limits = MEMORY_GIB[CPU_OF_OTHERS]
        yield from _memory(name.upper(), getattr(settings, name), CPU_OF_OTHERS, *limits)


def _memory(name: str, memory: str, cpu: int, least: int, most: int) -> Iterator[str]:
    if not least <= int(memory.removesuffix("Gi")) <= most:
        allowed = f"{least}Gi" if least == most else f"{least}Gi to {most}Gi"
        count = "1 CPU" if cpu == 1 else f"{cpu} CPUs"
        yield f"{name}={memory}: an instance with {count} has {allowed}; set {name} to that"


def _places(settings: Settings) -> Iterator[str]:
    if settings.gpu_type != NO_GPU:
        regions = json.loads(REGIONS.read_text())[settings.gpu_type]
        if settings.region not in regions:
            yield (
                f"REGION={settings.region}: Cloud Run has no {settings.gpu_type} there; set REGION to one of "
                f"{', '.join(regions)}"
            )
    if settings.zone and settings.zone.rpartition("-")[0] != settings.region:
        yield (
            f"ZONE={settings.zone}: it is not a zone of {settings.region}; leave ZONE out, or set REGION to "
            f"{settings.zone.rpartition('-')[0]}"
        )
    if bool(settings.gpu_network) != bool(settings.gpu_subnetwork):
        given, other = ("GPU_NETWORK", "GPU_SUBNETWORK")[:: 1 if settings.gpu_network else -1]
        yield f"{given} is set and {other} is not: set both, or neither"


def _money(settings: Settings) -> Iterator[str]:
    least = settings.min_instances
    if least and not settings.accept_idle_cost:
        yield (
            f"MIN_INSTANCES={least}: instances that do nothing cost money, day and night; set MIN_INSTANCES "
            "to 0, or ACCEPT_IDLE_COST to true"
        )
    if least > settings.gpu_max_instances:
        yield (
            f"MIN_INSTANCES={least} is more than GPU_MAX_INSTANCES={settings.gpu_max_instances}; set "
            "MIN_INSTANCES to that at most"
        )
    if settings.monthly_budget_usd and not settings.billing_account:
        yield (
            f"MONTHLY_BUDGET_USD={settings.monthly_budget_usd}: a budget belongs to a billing account; set "
            "BILLING_ACCOUNT"
        )
    nearline, deleted = settings.results_nearline_days, settings.results_retention_days
    if 0 < deleted <= nearline:
        yield (
            f"RESULTS_NEARLINE_DAYS={nearline}: results are deleted after {deleted} days already; set "
            "RESULTS_NEARLINE_DAYS to fewer, or to 0"
        )


def _above_quota(settings: Settings, quota: int | None) -> str:
    """Return the sentence about too many instances; "" where the quota allows them, or is not known."""
    most = settings.gpu_max_instances
    if settings.gpu_type == NO_GPU or quota is None or most <= quota:
        return ""
    return (
        f"GPU_MAX_INSTANCES={most}: the project may use {quota} {settings.gpu_type} in {settings.region}; "
        f"set GPU_MAX_INSTANCES to that at most, or {REQUEST}, and set GPU_QUOTA to what is granted"
    )


def granted_gpus(cloud: Cloud) -> int | None:
    """Return the GPUs that the project may use in the region; None where nobody says so."""
    settings = cloud.settings
    if settings.gpu_type == NO_GPU:
        return None
    redundancy = "" if settings.gpu_zonal_redundancy else "NoZonalRedundancy"
    quota = f"{QUOTAS[settings.gpu_type]}{redundancy}PerProjectRegion"
    words = ["beta", "quotas", "info", "list", "--service", "run.googleapis.com", *cloud.in_project]
    try:
        infos = cloud.read_json(words, echo=False) or []
    except GcloudError:  # the API of quotas may not be enabled yet: GPU_QUOTA counts
        return None
    values = [
        int(each["details"]["value"])
        for info in infos
        if info.get("quotaId") == quota
        for each in info.get("dimensionsInfos", [])
        if each.get("dimensions", {}).get("region", cloud.region) == cloud.region
        and "value" in each.get("details", {})
    ]
    granted = min((value for value in values if value >= 0), default=None)
    if granted is None or granted < MILLI:
        return granted
    return granted // MILLI
