"""What `invoke gpu-deploy` and `invoke gpu-destroy` show and ask; deploy.py and destroy.py do the work."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gpu import experiment, record, summary
from ops.gpu.deploy import Wish, deploy
from ops.gpu.destroy import destroy
from ops.settings import Settings
from ops.shell import Shell
from ops.terminal import confirmed, need_terminal_or


def start_deployment(cloud: Cloud, exp_id: str, yes: bool) -> None:
    """Deploy the lane, with the packed experiment if one is named, and print where everything is.

    Raises
    ------
    UserError
        As deploy(); the experiment does not exist, or the operator does not want it.
    """
    need_terminal_or(yes)
    if cloud.settings.zone:
        print(f"note: ZONE={cloud.settings.zone} has no effect: Cloud Run works in regions")
    if exp_id:
        experiment.check_experiment(cloud.settings, exp_id)
    with tempfile.TemporaryDirectory(prefix="gpu-experiment-") as folder:
        archive = experiment.packed(cloud.shell, cloud.settings, exp_id, Path(folder)) if exp_id else None
        lane = deploy(cloud, Wish(archive), _asking(yes, "deploy this"))
        cloud.shell.end_if_dry_run()
        print(summary.after(lane, bool(archive) or experiment.has_experiment(lane)))


def start_removal(shell: Shell, settings: Settings, yes: bool, delete_data: bool) -> None:
    """Remove the lane that the settings name, or that was deployed from here; errors as destroy()."""
    cloud = Cloud.of(shell, record.with_record(settings), needs_bucket=False)
    need_terminal_or(yes)
    destroy(cloud, _asking(yes, "delete all this for good"), delete_data or cloud.settings.delete_data)


def _asking(yes: bool, question: str) -> Callable[[str], None]:
    """Return what shows a summary and asks, unless the answer is yes already."""

    def ask(text: str) -> None:
        print(text, flush=True)
        if not yes and not confirmed(f'{question}? Type "yes" to confirm: ', "yes"):
            raise UserError("nothing was changed", exit_code=1)

    return ask
