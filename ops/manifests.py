"""The manifest of a run and its list of pending inputs, checked for the operator's commands.

The stages check them in scripts/pipeline/manifest.py and artifacts.py, which ops/ does not import.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modeling.bounds import MOST_WORKLOADS
from ops.failures import UserError
from ops.names import RUN_ID, is_exp_id

PENDING_FILE = re.compile(r"pending-([0-9a-f]{8})\.txt")
DIGEST_BYTES = 65  # of an input, in inputs.sha256
MOST_TASKS = 100_000  # of one job of Batch
_SUITES = ("built-in", "epymodelingsuite")


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

    @property
    def share(self) -> Share:
        return Share.of(self.num_pending, self.workloads_per_task, self.pending)


def _is_text(value: Any) -> bool:
    return type(value) is str and len(value) <= 1000


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= MOST_WORKLOADS


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "exp_id": lambda value: type(value) is str and is_exp_id(value),
    "run_id": lambda value: type(value) is str and RUN_ID.fullmatch(value) is not None,
    "num_workloads": _whole(1),
    "num_pending": _whole(0),
    "workloads_per_task": lambda value: type(value) is int and 1 <= value <= 2**64,
    "pending": lambda value: value == "" or (type(value) is str and bool(PENDING_FILE.fullmatch(value))),
    "created_at": _is_text,
    "suite": lambda value: value in _SUITES,
    "output_config_file": _is_text,
}


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
    _check_fields(found, path, needed)
    if found.get("num_pending", 0) > found["num_workloads"]:
        raise UserError(f"{path}: not a manifest (num_pending is above num_workloads); start a new run")
    key = found.get("exp_id", exp_id), found.get("run_id", run_id)
    if key != (exp_id, run_id):
        raise UserError(
            f"{path} is of run {key[1]} of {key[0]}, not of {run_id} of {exp_id}; "
            "restore the right file, or start a new run"
        )
    names = ("num_pending", "workloads_per_task", "pending", "output_config_file", "created_at", "seed")
    return Manifest(found["num_workloads"], **{name: found[name] for name in names if name in found})


def _check_fields(found: Any, path: str, needed: tuple[str, ...]) -> None:
    if type(found) is not dict:
        raise UserError(f"{path}: not a manifest; the run is damaged, start a new one")
    for name, is_right in _FIELDS.items():
        is_needed = name == "num_workloads" or name in needed
        if (name in found or is_needed) and not is_right(found.get(name)):
            shown = ascii(found[name])[:40] if name in found else "missing"
            raise UserError(
                f"{path}: not a manifest ({name} is {shown}); the run is damaged, start a new one"
            )


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
