"""Whether a job's machine type has room for a task and boots from the job's disk.

Batch has the machine types of compute.py. rules.py refuses a job with any other type when it is created; the
documentation does not say whether the service does that or fails the job later.
"""

from dataclasses import dataclass

from localcloud.compute import hyperdisk_only_families, machine_types, no_hyperdisk_families

HYPERDISK = "hyperdisk-balanced"


@dataclass(frozen=True)
class Needs:
    """What a job asks of its machines; an empty text asks for nothing."""

    cpu_milli: int
    memory_mib: int
    machine_type: str = ""
    boot_disk_type: str = ""


def why_not_placed(needs: Needs) -> str:
    """Return why a task does not fit the job's machine type; empty if it fits."""
    if not needs.machine_type:
        return ""
    machine = machine_types()[needs.machine_type]
    cpu_milli = machine.vcpus * 1000
    if needs.memory_mib > machine.memory_mib:
        return (
            f"{needs.machine_type} has {machine.memory_mib} MiB of memory, "
            f"a task needs {needs.memory_mib} MiB"
        )
    if needs.cpu_milli > cpu_milli:
        return f"{needs.machine_type} has {cpu_milli} milli-CPU, a task needs {needs.cpu_milli}"
    return ""


def why_no_such_disk(needs: Needs) -> str:
    """Return why the machines cannot boot from the disk that the job asks for; empty if they can."""
    if not needs.machine_type or not needs.boot_disk_type:
        return ""
    family = needs.machine_type.partition("-")[0]
    wrong_families = (
        no_hyperdisk_families() if needs.boot_disk_type == HYPERDISK else hyperdisk_only_families()
    )
    if family in wrong_families:
        return f"[{needs.machine_type}, {needs.boot_disk_type}] features are not compatible for an instance"
    return ""
