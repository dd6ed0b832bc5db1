"""A run that an operator asks for: its experiment, run id and options."""

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ops.names import check_exp_id, check_reference_date, check_run_id


@dataclass(frozen=True)
class RunRequest:
    """The options of a run; None and "" mean the value in the settings."""

    exp_id: str
    run_id: str = ""
    count: int | None = None
    seed: int | None = None
    reference_date: str = ""  # of a forecast, such as 2026-01-10
    strict: bool = False
    jobs: int | None = None
    output_config_file: str = ""
    allow_partial: bool = False
    force: bool = False
    run_output_stage: bool = True
    docker: bool = False

    def __post_init__(self) -> None:
        check_exp_id(self.exp_id)
        if self.run_id:
            check_run_id(self.run_id)
        if self.reference_date:
            check_reference_date(self.reference_date)

    @property
    def key(self) -> tuple[str, str]:
        return self.exp_id, self.run_id

    def identified(self) -> "RunRequest":
        """Return the request with a run id: a new one if none was given."""
        return replace(self, run_id=self.run_id or new_run_id())


def new_run_id() -> str:
    """Return an id for a new run: UTC time and eight random hexadecimal digits."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def resume_command(request: RunRequest) -> str:
    return f"invoke run --exp-id {request.exp_id} --run-id {request.run_id}"
