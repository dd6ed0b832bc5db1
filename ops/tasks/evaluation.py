"""The task that evaluates past forecasts."""

from invoke import Exit

from ops.environment import read_settings
from ops.laptop import evaluation
from ops.shell import Shell
from ops.tasks.verb import DRY_RUN, EXP_ID, verb


@verb(
    help={
        "from": "first reference date, a Saturday, e.g. 2024-11-23",
        "to": "last reference date, e.g. 2025-05-31",
        "exp_id": EXP_ID,
        "locations": "only these, e.g. US-MA,US-VT; default those of the experiment",
        "method": "growth_regression, random_walk or both with a comma; default that of the experiment",
        "history": "file of another surveillance series, instead of the experiment's history_path",
        "observations": "file of counts to score against; default the newest vintage",
        "compare": "hub files or scores of other models, a file or folder; may be repeated; default "
        "data/flusight/model-output of the forecasting repository",
        "jobs": "dates at once; default one per core",
        "dry_run": DRY_RUN,
    },
    iterable=["compare"],
)
def evaluate(
    c,
    from_,
    to,
    exp_id="flusight",
    locations="",
    method="",
    history="",
    observations="",
    compare=None,
    jobs=None,
    dry_run=False,
):
    """Forecast past reference dates as known then, and score the forecasts beside other models."""
    options = {
        "--from": from_,
        "--to": to,
        "--locations": locations,
        "--method": method,
        "--history": history,
        "--observations": observations,
        "--jobs": jobs,
    }
    if code := evaluation.evaluate(Shell(dry_run), read_settings(), exp_id, options, compare or []):
        raise Exit(code=code)
