"""manifest.json: what stage A built, for the later stages, the workflow and the operator's tasks."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from modeling.bounds import MOST_WORKLOADS
from modeling.by_products import parse_json
from modeling.failures import UserError
from pipeline.environment import EXP_ID, PENDING_FILE, RUN_ID, SUITES

_FORMAT = 1
_MOST_BYTES = 100_000
_BUILD_AGAIN = "build the run again under a new RUN_ID (invoke: without --run-id)"


@dataclass(frozen=True)
class Manifest:
    """What stage A built; under 1 KB whatever the number of workloads."""

    exp_id: str
    run_id: str
    suite: str
    workflow: str
    created_at: str
    seed: int | None
    num_workloads: int
    num_pending: int
    workloads_per_task: int
    inputs_sha256: str
    count: int | None = None  # as set
    output_config_file: str = ""  # as set
    forecast_commit: str = ""
    forecast_sha256: str = ""  # of the packed forecasting repository, in the cloud
    input_list_sha256: str = ""  # of inputs.csv; "" in runs built before that existed
    pending: str = ""  # the file that lists the inputs to run; "" for all inputs
    format: int = _FORMAT

    @property
    def task_count(self) -> int:
        """taskCount of a Batch job for the pending inputs."""
        return -(-self.num_pending // self.workloads_per_task)

    @property
    def width(self) -> int:
        return index_width(self.num_workloads)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self) | {"task_count": self.task_count}, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, path: str) -> "Manifest":
        """Return the manifest in JSON; UserError where a field is missing or has a wrong type or value."""
        try:
            fields = parse_json(data, _MOST_BYTES)
            if type(fields) is not dict:
                raise ValueError
            wrong = [
                name for name, is_right in _FIELDS.items() if name in fields and not is_right(fields[name])
            ]
            if wrong:
                raise ValueError(f"{wrong[0]} is {ascii(fields[wrong[0]])[:40]}")
            if fields.get("format", _FORMAT) != _FORMAT:
                raise UserError(f"{path}: format {fields['format']} is not {_FORMAT}; {_BUILD_AGAIN}")
            fields.pop("task_count")
            manifest = cls(**fields)
            if manifest.num_pending > manifest.num_workloads:
                raise ValueError(f"num_pending is {manifest.num_pending} of {manifest.num_workloads}")
        except (ValueError, TypeError, KeyError) as error:
            reason = f": {error}" if type(error) is ValueError and str(error) else ""
            raise UserError(f"{path}: not a manifest{reason}; {_BUILD_AGAIN}") from None
        return manifest


def _matching(pattern: str | re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and re.fullmatch(pattern, value) is not None


def _whole(least: int, most: int = 2**64) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _or_none(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_right(value)


_TEXT = "[^\\n]{0,1000}"
_FIELDS: dict[str, Callable[[Any], bool]] = {
    "exp_id": _matching(EXP_ID),
    "run_id": _matching(RUN_ID),
    "suite": lambda value: value in SUITES,
    **dict.fromkeys(("workflow", "created_at", "output_config_file", "forecast_commit"), _matching(_TEXT)),
    "seed": _or_none(_whole(0)),
    "num_workloads": _whole(1, MOST_WORKLOADS),
    "num_pending": _whole(0, MOST_WORKLOADS),
    "workloads_per_task": _whole(1),
    "inputs_sha256": _matching("[0-9a-f]{64}"),
    "input_list_sha256": _matching("([0-9a-f]{64})?"),
    "count": _or_none(_whole(1)),
    "forecast_sha256": _matching("([0-9a-f]{64})?"),
    "pending": lambda value: value == "" or _matching(PENDING_FILE)(value),
    "format": _whole(0),
}


def index_width(count: int) -> int:
    """Return the number of digits of an index in file names: four, or what the last index needs."""
    return max(4, len(str(count - 1)))
