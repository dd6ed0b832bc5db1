"""Remove the GPU lane: first what starts work, last what others refer to; then look for what is left.

Whatever exists of it is removed, so it does not matter at which step a deployment or a removal failed.
"""

import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal
from ops.gpu import record, terraform
from ops.gpu.found import Found, look
from ops.gpu.infra_manager import refuse_its_lane
from ops.gpu.lane import Lane
from ops.gpu.names import TERRAFORM, Names
from ops.gpu.removals import removal_steps, stop_step
from ops.gpu.results import Losses, cancelling_step, look_for_losses, refuse_losses
from ops.gpu.rights import audit_end
from ops.gpu.steps import Step, Tell, continued_by, run_all

STOPPING = (Refusal.LOGIN, Refusal.PROJECT, Refusal.PASSING)  # with these, all else fails, too
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
        Results would be lost, or a deployment of Infrastructure Manager has to be deleted first (exit code
        2, and nothing was deleted); or something is left (1).
    """
    names = Names.of(cloud.settings)
    found = look(cloud.without_dry_run, names)
    with tempfile.TemporaryDirectory(prefix="gpu-lane-") as folder:
        lane = Lane(cloud, names, found, Path(folder))
        if not any(step.is_needed for step in _planned(lane)):
            print(f"nothing to delete: there is no {names.stem} in {cloud.region} of {cloud.project}")
            return
        is_terraforms = TERRAFORM in found.managers().values()
        if is_terraforms:
            refuse_its_lane(cloud.without_dry_run, names, found)
            terraform.check_has_state(cloud.settings)
        losses = look_for_losses(cloud.without_dry_run, names, found)
        if not delete_data:
            refuse_losses(cloud, names, losses)
        ask(_shown(lane, losses))
        with continued_by("invoke gpu-destroy"):
            _stop(lane, delete_data, tell)
            if is_terraforms:
                lane = _by_terraform(lane, delete_data)
            refused = _remove(lane, tell)
        cloud.shell.end_if_dry_run()
        _check_nothing_left(lane, refused)
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
    terraform.destroy(replace(lane.cloud, settings=settings))
    if lane.cloud.shell.dry_run:
        return replace(lane, found=_not_of_terraform(lane))
    left = replace(lane, found=look(lane.cloud, lane.names))
    for name in [name for name, manager in left.found.managers().items() if manager == TERRAFORM]:
        print(f"note: Terraform's state does not have {name}: gcloud deletes it")
    return left


def _not_of_terraform(lane: Lane) -> Found:
    """Return what was found that builds have made."""
    names, found = lane.names, lane.found
    return Found(
        accounts={name: each for name, each in found.accounts.items() if name == names.build_account},
        buckets={name: each for name, each in found.buckets.items() if name == names.build_bucket},
        repositories=found.repositories,
        images=found.images,
    )


def _remove(lane: Lane, tell: Tell | None) -> list[GcloudError]:
    """Delete all but the trigger; one that is refused keeps nothing else from being deleted.

    Returns
    -------
    list of GcloudError
        What was refused.
    """
    refused = []
    for step in _planned(lane)[1:]:
        try:
            run_all(lane.cloud, [step], tell)
        except GcloudError as error:
            if error.refusal in STOPPING:
                raise
            refused.append(error)
    return refused


def _check_nothing_left(lane: Lane, refused: Sequence[GcloudError]) -> None:
    """Look again.

    Raises
    ------
    UserError
        Says what was refused, and names everything that is left, each with the command that removes it (exit
        code 1).
    """
    left = replace(lane, found=look(lane.cloud, lane.names))
    lines = [
        f"{what}: {command}"
        for step in _planned(left)
        for what, command in zip(step.changes, _pasted(step), strict=True)
    ]
    if lines:
        reasons = [f"{error.problem}\n" for error in refused]
        listed = "\n  ".join([f"left in {lane.cloud.project}:", *lines])
        raise UserError("error: ".join([*reasons, listed]), exit_code=1)


def _pasted(step: Step) -> list[str]:
    """Return the command for each change of a step; for one that has to read something first, this task."""
    if callable(step.chains):
        return ["invoke gpu-destroy" for _ in step.changes]
    return [f"gcloud {shlex.join(words)}" for chain in step.chains for words in chain]
