"""What an operator asks of a run, wherever it runs: which one, of what, and how."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from ops.failures import UserError
from ops.names import check_exp_id, check_run_id
from ops.project.machine_types import LETTERS

STAGES = {letter.lower(): stage for stage, letter in LETTERS.items()}


@dataclass(frozen=True)
class RunRequest:
    """What the operator asks for; None and "" leave a matter to the settings."""

    exp_id: str
    run_id: str = ""
    count: int | None = None
    seed: int | None = None
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


def stage_name(stage: str) -> str:
    """Return builder, runner or output for a name or for A, B, C."""
    name = STAGES.get(stage.lower(), stage.lower())
    if name not in STAGES.values():
        raise UserError(f'"{stage}" is not a stage; use builder, runner, output, or A, B, C')
    return name


def new_run_id() -> str:
    """Return an id for a new run: UTC time and eight random hexadecimal digits."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def resume_command(request: RunRequest) -> str:
    return f"invoke run --exp-id {request.exp_id} --run-id {request.run_id}"
