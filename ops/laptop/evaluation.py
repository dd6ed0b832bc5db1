"""Evaluate past forecasts on this machine: the script that does it, and what it is told."""

import sys
from collections.abc import Mapping, Sequence

from ops.folders import check_writable
from ops.laptop.local_run import check_experiment_exists, exit_code_for, forecast_repository
from ops.laptop.run_lock import NAME, held_file
from ops.names import check_exp_id
from ops.settings import ROOT, Settings
from ops.shell import Shell
from ops.terminal import nearest

SCRIPT = ROOT / "scripts" / "evaluate_forecasts.py"


def evaluate(
    shell: Shell, settings: Settings, exp_id: str, options: Mapping[str, object], compare: Sequence[str]
) -> int:
    """Evaluate the forecasts of an experiment, and return the exit code; the script says what is wrong.

    Parameters
    ----------
    options : mapping
        Options of the script; those without a value are left out.
    compare : sequence of str
        Files and folders of other models.

    Raises
    ------
    UserError
        No experiment can have this name, there is none, nothing can be written, or another evaluation of it
        is under way.
    """
    check_exp_id(exp_id)
    check_experiment_exists(settings, exp_id)
    check_writable(settings)
    given = {"--exp-id": exp_id, **{name: str(value) for name, value in options.items() if value}}
    words = [word for pair in given.items() for word in pair]
    words += [word for path in compare for word in ("--compare", path)]
    variables = {
        "FORECAST_REPO_DIR": nearest(forecast_repository(settings, exp_id)),
        "LOCAL_DATA_PATH": nearest(settings.local_data_path),
        "LOG_LEVEL": settings.log_level,
    }

    def start() -> int:
        return shell.stream([sys.executable, nearest(SCRIPT), *words], variables)

    shell.end_if_dry_run(start)
    lock = settings.local_data_path / "evaluations" / exp_id / NAME
    taken = f"an evaluation of {exp_id} is under way; wait until it has ended"
    with held_file(lock, taken):
        code = start()
    return exit_code_for(code) if code else 0
