"""The manifest of a run and its list of pending inputs, as the operator's commands read them.

modeling/manifest.py checks the fields, for the stages, too.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from modeling.manifest import check_manifest
from modeling.run_names import BUILT_IN, EPYDEMIX, PENDING_FILE
from ops.failures import UserError

DIGEST_BYTES = 65  # of an input, in inputs.sha256
MOST_TASKS = 100_000  # of one job of Batch


@dataclass(frozen=True)
class Share:
    """The inputs of stage B, divided among the tasks of a job."""

    num_tasks: int
    workloads_per_task: int
    pending_file: str = ""  # the list of inputs; "": all of them

    @classmethod
    def of(cls, inputs: int, workloads_per_task: int, pending_file: str = "") -> "Share":
        """Divide inputs; a task takes more of them if the job would have more than MOST_TASKS tasks."""
        each = max(workloads_per_task, -(-inputs // MOST_TASKS))
        return cls(-(-inputs // each), each, pending_file)


@dataclass(frozen=True)
class Manifest:
    """The fields of a run's manifest that operators' commands use."""

    num_workloads: int
    num_pending: int = 0
    workloads_per_task: int = 1
    pending: str = ""  # name of the list of pending inputs
    output_config_file: str = ""  # the output YAML that the run was built with
    created_at: str = ""
    seed: Any = None
    reference_date: str = ""  # of a forecast from surveillance data
    suite: str = BUILT_IN
    engine: str = EPYDEMIX  # that of runs before there was another

    @property
    def share(self) -> Share:
        return Share.of(self.num_pending, self.workloads_per_task, self.pending)


def parsed_manifest(found: Any, path: str, exp_id: str, run_id: str, *needed: str) -> Manifest:
    """Return the manifest of a run.

    Parameters
    ----------
    found : object
        The content of the JSON file at `path`.
    needed : str
        Fields that are required, in addition to num_workloads.

    Raises
    ------
    UserError
        It is not a manifest, or it is the manifest of another run.
    """
    try:
        check_manifest(found, "num_workloads", *needed)
    except ValueError as error:
        reason = f" ({error})" if str(error) else ""
        raise UserError(f"{path}: not a manifest{reason}; the run is damaged, start a new one") from None
    its = found.get("exp_id", exp_id), found.get("run_id", run_id)
    if its != (exp_id, run_id):
        raise UserError(
            f"{path} is of run {its[1]} of {its[0]}, not of {run_id} of {exp_id}; "
            "restore the right file, or start a new run"
        )
    names = ("num_pending", "workloads_per_task", "pending", "output_config_file", "created_at", "seed")
    names += ("reference_date", "suite", "engine")
    return Manifest(found["num_workloads"], **{name: found[name] for name in names if name in found})


def pending_inputs(data: bytes, name: str, path: str, most: int | None = None) -> list[int]:
    """Return the inputs in a pending file, checked against the digest in its name.

    Parameters
    ----------
    most : int, optional
        Number of inputs of the run, if known.
    """
    named = PENDING_FILE.fullmatch(name)
    if not named or hashlib.sha256(data).hexdigest()[:8] != named[1]:
        raise UserError(
            f"{path} does not match the digest in its name (changed or cut short); "
            "run stage A (builder) again"
        )
    lines = data.split()
    if not all(re.fullmatch(rb"[0-9]{1,18}", line) for line in lines):
        raise UserError(f"{path}: not a list of inputs; run stage A (builder) again")
    inputs = [int(line) for line in lines]
    if len(set(inputs)) != len(inputs) or (inputs and most is not None and max(inputs) >= most):
        raise UserError(f"{path} does not match the manifest; run stage A (builder) again")
    return inputs
