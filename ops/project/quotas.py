"""How many tasks fit at once into what is left of a project's quotas.

Families of machines have quotas of their own for CPUs. Older families have a metric each, such as N2_CPUS,
with limit and usage; newer ones, such as C4, C4D and N4, share CPUS_PER_VM_FAMILY, for which Cloud Quotas
gives only the limit. Machines whose only disks are Hyperdisks use HDB_TOTAL_GB, all others SSD_TOTAL_GB.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ops.failures import UserError
from ops.project.checkup import Answer
from ops.project.cloud_checks import family_cpus, project_quotas, region_quotas
from ops.project.deployment import stage_limits
from ops.project.machine_types import LETTERS, hyperdisk_only_families
from ops.settings import Settings
from ops.shell import Shell

BOOT_DISK_GB = 30  # of a machine, the default of Batch; pd-balanced counts as SSD
PER_FAMILY = "CPUS_PER_VM_FAMILY"
_GENERAL = ("", "e2", "f1", "g1", "n1")  # families that the quota CPUS is for


@dataclass(frozen=True)
class Need:
    """What one machine of a stage takes of each quota, and how many of its tasks should run at once."""

    stage: str
    wanted: int
    tasks_on_machine: int
    amounts: Mapping[str, float]

    def tasks(self, left: Mapping[str, float]) -> dict[str, int]:
        """Return how many tasks fit at once into each quota that is known."""
        return {
            name: math.floor(left[name] / amount) * self.tasks_on_machine
            for name, amount in self.amounts.items()
            if name in left
        }


def check_quotas(shell: Shell, settings: Settings) -> Answer:
    """Compare MAX_PARALLELISM, and a machine for stages A and C, with what is left.

    Too small a quota fails nothing at once: tasks wait for one another, or for two days if none fits.
    """
    left = region_quotas(shell, settings) | project_quotas(shell, settings)
    families = {family for _, family, _ in _cpus(settings) if _has_no_metric(family, left)}
    unknown = mend = ""
    try:
        allowed = family_cpus(shell, settings) if families else {}
        left |= {_per_family(family): cpus for family, cpus in allowed.items() if family in families}
    except UserError as error:  # the API may not be enabled; the rest is reported anyway
        names = ", ".join(sorted(family.upper() for family in families))
        unknown, mend = f"how many CPUs of {names} are allowed is not known: {error.problem}", error.mend
    more = f"https://console.cloud.google.com/iam-admin/quotas?project={settings.project_id}"
    if short := list(_shortages(settings, left)):
        return Answer("; ".join([*short, *filter(None, [unknown])]), is_doubt=True, mend=more)
    enough = f"enough for {settings.max_parallelism} tasks at once (MAX_PARALLELISM)"
    return Answer(f"{enough}; {unknown}", is_doubt=True, mend=mend) if unknown else Answer(enough)


def _shortages(settings: Settings, left: Mapping[str, float]) -> Iterable[str]:
    """Yield the scarcest quota of each stage, if it is too small."""
    for need in _needs(settings, left):
        tasks = need.tasks(left)
        scarcest = min(tasks, key=tasks.__getitem__, default="")
        if not scarcest or tasks[scarcest] >= need.wanted:
            continue
        what = "allowed" if scarcest.startswith(PER_FAMILY) else "left"  # their usage is not known
        rest = f"{max(0.0, left[scarcest]):,.0f} of {scarcest} {what}"
        if need.stage == "runner":
            yield f"{rest}: {max(0, tasks[scarcest])} of MAX_PARALLELISM={need.wanted} tasks at once"
        else:
            letter = LETTERS[need.stage]
            yield f"{rest}: stage {letter} ({need.stage}) takes {need.amounts[scarcest]:,.0f}"


def _needs(settings: Settings, left: Mapping[str, float]) -> Iterable[Need]:
    for stage, family, vcpus in _cpus(settings):
        is_wide = stage == "runner"
        is_spot = is_wide and settings.provisioning_model == "SPOT" and left.get("PREEMPTIBLE_CPUS", 0) > 0
        disk = "HDB_TOTAL_GB" if family in hyperdisk_only_families() else "SSD_TOTAL_GB"
        cpus = "PREEMPTIBLE_CPUS" if is_spot else _cpu_quota(family, left)
        yield Need(
            stage,
            settings.max_parallelism if is_wide else 1,
            settings.task_count_per_node if is_wide else 1,
            {cpus: vcpus, "CPUS_ALL_REGIONS": vcpus, disk: BOOT_DISK_GB},
        )


def _cpus(settings: Settings) -> Iterable[tuple[str, str, int]]:
    """Yield stage, family of its machines ("" if Batch chooses), and vCPUs of one machine."""
    for stage, limits in stage_limits(settings).items():
        if stage == "output" and not settings.run_output_stage:
            continue
        tasks = settings.task_count_per_node if stage == "runner" else 1
        named = re.search(r"-(\d+)\b", limits.machine_type)
        vcpus = int(named[1]) if named else math.ceil(tasks * limits.cpu_milli / 1000)
        yield stage, limits.machine_type.partition("-")[0], vcpus


def _cpu_quota(family: str, left: Mapping[str, float]) -> str:
    """Return the quota for CPUs of a family; CPUS if it has none of its own."""
    own = (f"{family.upper()}_CPUS", _per_family(family))
    return next((name for name in own if name in left), "CPUS")


def _has_no_metric(family: str, left: Mapping[str, float]) -> bool:
    return family not in _GENERAL and f"{family.upper()}_CPUS" not in left


def _per_family(family: str) -> str:
    return f"{PER_FAMILY} ({family.upper()})"
