"""manifest.json, the hand-over from stage A to all that follows."""

import json
from dataclasses import asdict, dataclass

from modeling.failures import UserError

_FORMAT = 1
_ANEW = "build the run again under a new RUN_ID (invoke: without --run-id)"


@dataclass(frozen=True)
class Manifest:
    """The hand-over from stage A, under 1 KB whatever the number of workloads."""

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
    count: int | None = None  # as asked
    output_config_file: str = ""  # as asked
    forecast_commit: str = ""
    forecast_sha256: str = ""  # of the packed forecasting repository, in the cloud
    pending: str = ""  # the file of the inputs to run; without it all are
    format: int = _FORMAT

    @property
    def task_count(self) -> int:
        """taskCount of a Batch job for what is pending."""
        return -(-self.num_pending // self.workloads_per_task)

    @property
    def width(self) -> int:
        return index_width(self.num_workloads)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self) | {"task_count": self.task_count}, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, path: str) -> "Manifest":
        try:
            fields = json.loads(data)
            fields.pop("task_count")
            manifest = cls(**fields)
            counts = (manifest.num_workloads, manifest.num_pending, manifest.workloads_per_task)
            if not all(type(n) is int and n >= least for n, least in zip(counts, (1, 0, 1), strict=True)):
                raise TypeError
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UserError(f"{path}: not a manifest; {_ANEW}") from None
        if manifest.format != _FORMAT:
            raise UserError(f"{path}: format {manifest.format} is not {_FORMAT}; {_ANEW}")
        return manifest


def index_width(count: int) -> int:
    """Return the digits of an index in file names: four, or as many as the last one needs."""
    return max(4, len(str(count - 1)))
