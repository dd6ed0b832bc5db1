"""How many tasks of stage B a project's quotas hold at once, as far as Compute Engine tells what is left."""

import math
import re

from ops.project.checkup import Answer
from ops.project.cloud_checks import project_quotas, region_quotas
from ops.settings import Settings
from ops.shell import Shell

BOOT_DISK_GB = 30  # of a machine, where Batch is not told otherwise; counted as SSD, for it is pd-balanced


def check_quotas(shell: Shell, settings: Settings) -> Answer:
    """Compare MAX_PARALLELISM with what is left. Too little fails nothing: tasks wait for one another."""
    left = region_quotas(shell, settings) | project_quotas(shell, settings)
    needs = _of_a_machine(settings, left)
    tasks = {
        name: math.floor(left[name] / amount) * settings.task_count_per_node
        for name, amount in needs.items()
        if name in left
    }
    wanted = settings.max_parallelism
    scarcest = min(tasks, key=tasks.__getitem__, default="")
    if not scarcest or tasks[scarcest] >= wanted:
        return Answer(f"enough for {wanted} tasks at once (MAX_PARALLELISM)")
    holds = f"{tasks[scarcest]} of MAX_PARALLELISM={wanted} tasks at once"
    detail = f"{left[scarcest]:,.0f} of {scarcest} left: {holds}"
    more = f"https://console.cloud.google.com/iam-admin/quotas?project={settings.project_id}"
    return Answer(detail, is_doubt=True, mend=more)


def _of_a_machine(settings: Settings, left: dict[str, float]) -> dict[str, float]:
    """Return what one machine of stage B takes of each quota."""
    tasks, machine_type = settings.task_count_per_node, settings.stage_b_machine_type
    named = re.search(r"-(\d+)\b", machine_type)
    vcpus = int(named[1]) if named else math.ceil(tasks * settings.stage_b_cpu_milli / 1000)
    family = f"{machine_type.partition('-')[0].upper()}_CPUS"
    is_spot = settings.provisioning_model == "SPOT" and left.get("PREEMPTIBLE_CPUS", 0) > 0
    cpus = "PREEMPTIBLE_CPUS" if is_spot else family if family in left else "CPUS"
    return {cpus: vcpus, "CPUS_ALL_REGIONS": vcpus, "SSD_TOTAL_GB": BOOT_DISK_GB}
