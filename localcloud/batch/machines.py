"""Machine types: what they hold, and which boot disks their families take.

Memory as the price lists of 2025 have it: a standard-2 of the newest families has 7 GiB, not 8.
A type that is not in the table is taken to hold everything.
"""

from dataclasses import dataclass

MEMORY_MIB = {
    "c4-standard-2": 7168,
    "c4-standard-4": 15360,
    "c4d-standard-2": 7168,
    "c4d-standard-4": 15360,
    "c4d-highmem-2": 15360,
    "c4d-highmem-4": 31744,
    "e2-standard-2": 8192,
    "e2-standard-4": 16384,
    "e2-standard-8": 32768,
    "n2-standard-2": 8192,
    "n2-standard-4": 16384,
    "n2-standard-8": 32768,
}
HYPERDISK = "hyperdisk-balanced"
_ONLY_HYPERDISK = ("c4", "c4a", "c4d", "n4", "n4a", "n4d")
_NO_HYPERDISK = ("e2", "n1", "n2", "n2d")


@dataclass(frozen=True)
class Needs:
    """What a job asks of its machines; an empty text asks for nothing."""

    cpu_milli: int
    memory_mib: int
    machine_type: str = ""
    boot_disk_type: str = ""


def why_not_placed(needs: Needs) -> str:
    """Return why no machine can take a task of the job; empty where one can."""
    if not needs.machine_type:
        return ""
    cpu_milli, memory_mib = _capacity(needs.machine_type)
    if memory_mib is not None and needs.memory_mib > memory_mib:
        return f"{needs.machine_type} has {memory_mib} MiB of memory, a task needs {needs.memory_mib} MiB"
    if cpu_milli is not None and needs.cpu_milli > cpu_milli:
        return f"{needs.machine_type} has {cpu_milli} milli-CPU, a task needs {needs.cpu_milli}"
    return ""


def why_no_such_disk(needs: Needs) -> str:
    """Return why the machines cannot start from the boot disk asked for; empty where they can."""
    family = needs.machine_type.partition("-")[0]
    is_hyperdisk = needs.boot_disk_type == HYPERDISK
    if not needs.machine_type or not needs.boot_disk_type:
        return ""
    if (family in _ONLY_HYPERDISK and not is_hyperdisk) or (family in _NO_HYPERDISK and is_hyperdisk):
        return f"[{needs.machine_type}, {needs.boot_disk_type}] features are not compatible for an instance"
    return ""


def _capacity(machine_type: str) -> tuple[int | None, int | None]:
    """Return milli-CPU and MiB of a known type; the number at the end of a name is that of its vCPUs."""
    if machine_type not in MEMORY_MIB:
        return None, None
    return int(machine_type.rsplit("-", 1)[1]) * 1000, MEMORY_MIB[machine_type]
