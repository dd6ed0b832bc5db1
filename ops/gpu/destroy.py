"""Remove the GPU lane: first what starts work, last what others refer to; then look for what is left.

Whatever exists of it is removed, so it does not matter at which step a deployment or a removal failed.
"""

import shlex
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gpu import record, terraform
from ops.gpu.found import look
from ops.gpu.lane import TERRAFORM, Lane
from ops.gpu.names import Names
from ops.gpu.removals import removal_steps, stop_step
from ops.gpu.results import Losses, cancelling_step, look_for_losses, refuse_losses
from ops.gpu.rights import audit_end
from ops.gpu.steps import Step, Tell, continued_by, run_all

RESTORED = "deleted buckets can be restored for 7 days: gcloud storage buckets list --soft-deleted --project"


def destroy(
    cloud: Cloud, ask: Callable[[str], None], delete_data: bool = False, tell: Tell | None = None
) -> None:
    """Delete what exists of the lane, and check that nothing is left.

    Parameters
    ----------
    ask : callable
        Gets what would be deleted, and raises UserError if that is not wanted.
    delete_data : bool
        Delete results, too, and cancel what is being worked on.

    Raises
    ------
    UserError
        Results would be lost (exit code 2, and nothing was deleted); or something is left (1).
    """
    names = Names.of(cloud.settings)
    found = look(cloud.without_dry_run, names)
    with tempfile.TemporaryDirectory(prefix="gpu-lane-") as folder:
        lane = Lane(cloud, names, found, Path(folder))
        if not any(step.is_needed for step in _planned(lane)):
            print(f"nothing to delete: there is no {names.stem} in {cloud.region} of {cloud.project}")
            return
        losses = look_for_losses(cloud.without_dry_run, names, found)
        if not delete_data:
            refuse_losses(cloud, names, losses)
        ask(_shown(lane, losses))
        with continued_by("invoke gpu-destroy"):
            _stop(lane, delete_data, tell)
            if TERRAFORM in found.managers().values():
                lane = _by_terraform(lane, delete_data)
            run_all(cloud, _planned(lane)[1:], tell)
        cloud.shell.end_if_dry_run()
        _check_nothing_left(lane)
    record.forget(cloud.settings, names)
    print(f"nothing left of {names.stem} in {cloud.project}; {RESTORED} {cloud.project}")


def _planned(lane: Lane) -> list[Step]:
    """Return the steps that delete what was found, the trigger first."""
    return [
        stop_step(lane.cloud, lane.found),
        *removal_steps(lane.cloud, lane.names, lane.found),
        audit_end(lane, record.is_audited(lane.cloud.settings, lane.names)),
    ]


def _shown(lane: Lane, losses: Losses) -> str:
    """Return what would be deleted, one thing a line."""
    changes = [change for step in _planned(lane) for change in step.changes]
    lost = [f"  with {losses}"] if str(losses) else []
    return "\n".join([f"delete in {lane.cloud.project}:", *(f"  {each}" for each in changes), *lost])


def _stop(lane: Lane, delete_data: bool, tell: Tell | None) -> None:
    """Delete the trigger; then refuse to lose what came in meanwhile, or cancel it."""
    run_all(lane.cloud, [stop_step(lane.cloud, lane.found)], tell)
    losses = look_for_losses(lane.cloud.without_dry_run, lane.names, lane.found)
    if not delete_data:
        refuse_losses(lane.cloud, lane.names, losses, "only the trigger was deleted")
    run_all(lane.cloud, [cancelling_step(lane.cloud, lane.names, losses)], tell)


def _by_terraform(lane: Lane, delete_data: bool) -> Lane:
    """Have Terraform destroy what it manages; return the lane as it is then."""
    settings = lane.cloud.settings.model_copy(update={"delete_data": delete_data})
    terraform.destroy(replace(lane.cloud, settings=settings), yes=True)
    return replace(lane, found=look(lane.cloud, lane.names))


def _check_nothing_left(lane: Lane) -> None:
    """Look again.

    Raises
    ------
    UserError
        Names everything that is left, each with the command that removes it (exit code 1).
    """
    left = replace(lane, found=look(lane.cloud, lane.names))
    lines = [
        f"{what}: gcloud {shlex.join(words)}"
        for step in _planned(left)
        if not callable(step.chains)
        for what, words in zip(step.changes, [words for chain in step.chains for words in chain], strict=True)
    ]
    if lines:
        raise UserError("\n  ".join([f"left in {lane.cloud.project}:", *lines]), exit_code=1)
