"""What an instance of each service costs, from the dated table terraform/gpu/prices.json."""

import json
from functools import cache
from typing import Any

from ops.gpu.names import SERVICES
from ops.gpu.sizes import size_of
from ops.settings import ROOT, Settings

TABLE = ROOT / "terraform" / "gpu" / "prices.json"
HOUR_SECONDS = 3600


@cache
def rate_table() -> dict[str, Any]:
    """Return the table."""
    return json.loads(TABLE.read_text(encoding="utf-8"))


def usd_per_second(settings: Settings) -> dict[str, float]:
    """Return the price of an instance that is billed, by service, in US dollars a second."""
    return {name: _of(settings, name) for name in SERVICES}


def _of(settings: Settings, name: str) -> float:
    size = size_of(settings, name)
    rate = rate_table()["instance_based" if size.has_gpu else "request_based"]
    gpu = rate_table()["gpu_second"][settings.gpu_type] if size.has_gpu else {}
    zones = "redundant" if settings.gpu_zonal_redundancy else "one_zone"
    return size.cpu * rate["cpu_second"] + size.memory_gib * rate["gib_second"] + gpu.get(zones, 0)
