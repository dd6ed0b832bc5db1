"""manifest.json: what stage A built, for the later stages, the workflow and the operator's tasks.

modeling/manifest.py checks its fields, for the operator's tasks, too.
"""

import json
from dataclasses import asdict, dataclass

from modeling.by_products import parse_json
from modeling.failures import UserError
from modeling.manifest import check_manifest
from modeling.run_names import EPYDEMIX

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
    reference_date: str = ""  # of a forecast from surveillance data, such as 2026-01-10; "" for others
    strict: bool = False  # as set
    output_config_file: str = ""  # as set
    forecast_commit: str = ""
    forecast_sha256: str = ""  # of the packed forecasting repository, in the cloud
    input_list_sha256: str = ""  # of inputs.csv; "" in runs built before that existed
    engine: str = EPYDEMIX  # of runs built before there was another
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
            check_manifest(fields)
            if fields.get("format", _FORMAT) != _FORMAT:
                raise UserError(f"{path}: format {fields['format']} is not {_FORMAT}; {_BUILD_AGAIN}")
            fields.pop("task_count")
            manifest = cls(**fields)
        except (ValueError, TypeError, KeyError) as error:
            reason = f": {error}" if type(error) is ValueError and str(error) else ""
            raise UserError(f"{path}: not a manifest{reason}; {_BUILD_AGAIN}") from None
        return manifest


def index_width(count: int) -> int:
    """Return the number of digits of an index in file names: four, or what the last index needs."""
    return max(4, len(str(count - 1)))
