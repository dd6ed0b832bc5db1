"""What machines hold, by the table that Terraform reads, too: a stage that does not fit is refused early."""

import functools
import json

from ops.failures import UserError
from ops.settings import ROOT
from ops.stages import LETTERS

TABLE = ROOT / "terraform" / "machine_types.json"


def check_stage_fits(stage: str, cpu_milli: int, memory_mib: int, machine_type: str) -> None:
    """Refuse a stage that asks for more than its machine type has.

    A type that the table does not know is taken, for new families come sooner than tables; and so is none,
    for Batch then chooses one that fits.

    Raises
    ------
    UserError
        In the words of terraform/workflow.tf.
    """
    machine = _table()["types"].get(machine_type)
    if not machine:
        return
    letter = LETTERS[stage]
    asked = {
        "MEMORY_MIB": ("MiB of memory", machine["memory_mib"], memory_mib),
        "CPU_MILLI": ("millicores", machine["vcpus"] * 1000, cpu_milli),
    }
    misfits = [
        f"stage {letter} ({stage}): {machine_type} has {has} {unit}, {wanted} are asked for; "
        f"set STAGE_{letter}_{setting} to {has} or less, "
        f"or choose another STAGE_{letter}_MACHINE_TYPE (empty: Batch chooses)"
        for setting, (unit, has, wanted) in asked.items()
        if wanted > has
    ]
    if misfits:
        raise UserError("; ".join(misfits))


def hyperdisk_only_families() -> list[str]:
    """Return the families whose machines start from no other disk."""
    return sorted(_table()["hyperdisk_only_families"])


def machine_types() -> dict[str, dict[str, int]]:
    """Return vcpus and memory_mib of every machine type that is known."""
    return _table()["types"]


@functools.cache
def _table() -> dict:
    return json.loads(TABLE.read_text(encoding="utf-8"))
