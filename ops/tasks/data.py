"""Tasks for surveillance data: fetch target data with vintages."""

from pathlib import Path

from ops.data import update as updating
from ops.environment import read_settings
from ops.shell import Shell
from ops.tasks.verb import verb


@verb(
    help={
        "exp_id": "experiment that will use them: its forecasting repository gets the data",
        "source": "a hub's address, a clone of it, or a file of vintages; overrides TARGET_DATA_SOURCE",
        "since": "first day of archived data, e.g. 2024-08-01; default two seasons back",
        "models": "fetch forecasts of these models, too, e.g. FluSight-baseline,FluSight-ensemble",
        "history": "fetch influenza-like illness of 2010 to 2020, too (ILINet)",
        "accept_changes": "replace vintages that changed at the source since they were fetched",
        "dry_run": "print what would be fetched, and fetch nothing",
    }
)
def data_update(
    c,
    exp_id=updating.EXP_ID,
    source="",
    since="",
    models="",
    history=False,
    accept_changes=False,
    dry_run=False,
):
    """Fetch target data with vintages from the FluSight forecast hub, for forecasts."""
    request = updating.UpdateRequest.of(exp_id, since, models, accept_changes, history)
    place = source if "://" in source or not source else str(Path(source).expanduser().absolute())
    settings = read_settings(chosen={"TARGET_DATA_SOURCE": place or None})
    updating.update(Shell(dry_run), settings, request)
