"""Price of a machine per hour, from the dated table prices.json, and the machine type Batch would choose.

The cost of a run is in costs/estimates.py.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.cloud.deployment import StageLimits
from ops.cloud.machine_types import hyperdisk_only_families, machine_types

TABLE = Path(__file__).with_name("prices.json")
HOURS_A_MONTH = 730


@dataclass(frozen=True)
class Machine:
    """A machine with its boot disk and its share of Cloud NAT, in US dollars an hour."""

    machine_type: str
    vcpus: int
    memory_mib: int
    usd_hour: float
    spot_usd_hour: float
    warnings: tuple[str, ...] = ()  # why the price is only close to that of the table

    def usd(self, provisioning_model: str) -> float:
        return self.spot_usd_hour if provisioning_model == "SPOT" else self.usd_hour


def priced_machine(limits: StageLimits, tasks_on_it: int, region: str) -> Machine:
    """Return the machine of a stage: its machine type if one is set, else the cheapest that fits its tasks.

    Batch does not say in advance which type it will choose; the cheapest of the usual families is assumed.
    The same is assumed for a type that is not in the table: only jobs submitted elsewhere have one.
    """
    warnings = []
    is_listed = limits.machine_type in machine_types()
    name = limits.machine_type if is_listed else _cheapest(limits, tasks_on_it)
    shape, family = machine_types()[name], name.partition("-")[0]
    priced_as = _priced_family(family)
    if priced_as != family:
        warnings.append(f"{family} has no price in the table: priced as the nearest family, {priced_as}")
    if region != prices()["region"]:
        warnings.append(f"{region} has no prices in the table: those of {prices()['region']} are used")
    on_demand = _machine_usd(priced_as, shape)
    extras = _disk_usd(family) + prices()["nat_machine_hour"]["usd"]
    return Machine(
        name,
        shape["vcpus"],
        shape["memory_mib"],
        on_demand + extras,
        on_demand * prices()["spot_factor"] + extras,  # Spot does not make disks and NAT cheaper
        tuple(warnings),
    )


def _cheapest(limits: StageLimits, tasks_on_it: int) -> str:
    """Return the cheapest type that Batch would choose; the largest one if none holds the tasks."""
    candidates = {
        name: shape
        for name, shape in machine_types().items()
        if name.partition("-")[0] in prices()["chosen_by_batch"]
    }
    fitting = {
        name: shape
        for name, shape in candidates.items()
        if shape["vcpus"] * 1000 >= limits.cpu_milli * tasks_on_it
        and shape["memory_mib"] >= limits.memory_mib * tasks_on_it
    }
    if not fitting:
        return max(candidates, key=lambda name: candidates[name]["memory_mib"])
    return min(fitting, key=lambda name: _machine_usd(name.partition("-")[0], fitting[name]))


def _machine_usd(family: str, shape: dict[str, int]) -> float:
    price = prices()["families"][family]
    return shape["vcpus"] * price["vcpu_hour"] + shape["memory_mib"] / 1024 * price["gib_hour"]


def _priced_family(family: str) -> str:
    """Return a family with a price: itself, the nearest one, or the dearest for an unknown family."""
    table = prices()
    if family in table["families"]:
        return family
    dearest = max(table["families"], key=lambda name: table["families"][name]["vcpu_hour"])
    return table["nearest_families"].get(family, dearest)


def _disk_usd(family: str) -> float:
    kind = "hyperdisk-balanced" if family in hyperdisk_only_families() else "pd-balanced"
    return prices()["boot_disk_gib"] * prices()["boot_disk_gib_month"][kind]["usd"] / HOURS_A_MONTH


@functools.cache
def prices() -> dict[str, Any]:
    """Return the content of prices.json."""
    return json.loads(TABLE.read_text(encoding="utf-8"))
