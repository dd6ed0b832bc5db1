"""The table terraform/machine_types.json: vCPUs and memory of machine types, and disks of their families.

Terraform and the emulated Batch read the same table; all refuse a type that is not in it.
"""

import functools
import json

from ops.failures import UserError, did_you_mean
from ops.settings import ROOT
from ops.stages import LETTERS

TABLE = ROOT / "terraform" / "machine_types.json"


def check_stage_fits(stage: str, cpu_milli: int, memory_mib: int, machine_type: str) -> None:
    """Refuse a machine type that is not in the table, and a stage that needs more than its type has.

    Without a machine type Batch chooses one that fits.

    Raises
    ------
    UserError
        In the words of terraform/workflow.tf.
    """
    if not machine_type:
        return
    machine = machine_types().get(machine_type)
    letter = LETTERS[stage]
    intro = f"stage {letter} ({stage}): {machine_type}"
    other = f"choose another STAGE_{letter}_MACHINE_TYPE (empty: Batch chooses)"
    if not machine:
        raise UserError(
            f"{intro} is not in terraform/machine_types.json{did_you_mean(machine_type, machine_types())}; "
            f"{other}, or add its guestCpus and memoryMb there, which this prints: "
            f"gcloud compute machine-types describe {machine_type} --zone ZONE"
        )
    asked = {
        "MEMORY_MIB": ("MiB of memory", machine["memory_mib"], memory_mib),
        "CPU_MILLI": ("millicores", machine["vcpus"] * 1000, cpu_milli),
    }
    misfits = [
        f"{intro} has {has} {unit}, {wanted} are asked for; "
        f"set STAGE_{letter}_{setting} to {has} or less, or {other}"
        for setting, (unit, has, wanted) in asked.items()
        if wanted > has
    ]
    if misfits:
        raise UserError("; ".join(misfits))


def hyperdisk_only_families() -> list[str]:
    """Return the families that boot from Hyperdisk only."""
    return sorted(_table()["hyperdisk_only_families"])


def machine_types() -> dict[str, dict[str, int]]:
    """Return vcpus and memory_mib of every machine type in the table."""
    return _table()["types"]


@functools.cache
def _table() -> dict:
    return json.loads(TABLE.read_text(encoding="utf-8"))
