"""What an instance of each service costs, from the dated table terraform/gpu/prices.json."""

import json
from functools import cache
from typing import Any

from ops.gpu.names import SERVICES
from ops.gpu.rules import CPU_OF_OTHERS, NO_GPU
from ops.settings import ROOT, Settings

TABLE = ROOT / "terraform" / "gpu" / "prices.json"
HOUR_SECONDS = 3600


@cache
def prices() -> dict[str, Any]:
    """Return the table."""
    return json.loads(TABLE.read_text(encoding="utf-8"))


def usd_per_second(settings: Settings) -> dict[str, float]:
    """Return the price of an instance that is billed, by service, in US dollars a second."""
    return {name: _of(settings, name) for name in SERVICES}


def _of(settings: Settings, name: str) -> float:
    is_inference = name == "inference"
    has_gpu = is_inference and settings.gpu_type != NO_GPU
    cpu = settings.gpu_cpu if is_inference else CPU_OF_OTHERS
    memory = settings.gpu_memory if is_inference else getattr(settings, f"{name}_memory")
    rate = prices()["instance_based" if has_gpu else "request_based"]
    gpu = prices()["gpu_second"][settings.gpu_type] if has_gpu else {}
    zones = "redundant" if settings.gpu_zonal_redundancy else "one_zone"
    return cpu * rate["cpu_second"] + int(memory.removesuffix("Gi")) * rate["gib_second"] + gpu.get(zones, 0)
