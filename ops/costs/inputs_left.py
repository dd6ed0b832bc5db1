"""Which inputs of a run have no result yet: what going on with it would run, and so what it would cost."""

from dataclasses import dataclass

from ops.failures import UserError
from ops.jobs.cloud_inputs import find_manifest, inputs_with_results
from ops.laptop.run_files import latest_run
from ops.run_paths import run_path
from ops.run_request import RunRequest
from ops.settings import Settings
from ops.shell import Shell


@dataclass(frozen=True)
class InputsLeft:
    """How many inputs a run has, and how many of them are to run."""

    of: int
    number: int


def inputs_left(shell: Shell, settings: Settings, request: RunRequest) -> InputsLeft:
    """Return what is left of a run in the bucket, else of one on this machine.

    Raises
    ------
    UserError
        There is no such run, or stage A has not built it yet.
    """
    found = None
    if settings.project_id and settings.bucket_name:
        found = _in_cloud(shell, settings, request)
    if found is None and settings.execution_mode == "cloud":
        path = run_path(settings, request.exp_id, request.run_id)
        raise UserError(
            f"{path}: no such run, or stage A has not built it yet",
            mend=f"invoke runs --cloud --exp-id {request.exp_id}",
        )
    if found is None:
        run = latest_run(settings, request.exp_id, request.run_id)
        found = run.manifest["num_workloads"], len(run.results())
    inputs, results = found
    return InputsLeft(inputs, inputs if request.force else max(0, inputs - results))


def _in_cloud(shell: Shell, settings: Settings, request: RunRequest) -> tuple[int, int] | None:
    """Return how many inputs and how many results a run in the bucket has, None where it is not there."""
    path = run_path(settings, request.exp_id, request.run_id)
    manifest = find_manifest(shell, settings, path)
    if manifest is None:
        return None
    return manifest.num_workloads, len(inputs_with_results(shell, settings, path))
