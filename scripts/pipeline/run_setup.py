"""The machines of a run as who started it describes them in RUN_SETUP, and what their time has cost.

Only a run in the cloud has one: what is not told here is not known, and left out of run_metadata.json.
"""

import json
import math
from typing import Any

NUMBERS = ("max_parallelism", "machine_start_seconds")
STAGE_NUMBERS = ("tasks_per_machine", "usd_machine_hour")
PRICES = ("priced_as", "usd_machine_hour")


def parse_run_setup(text: str) -> dict[str, Any]:
    """Return RUN_SETUP; ValueError where it is not what ops/runs/run_setup.py writes."""
    try:
        setup = json.loads(text)
        stages = setup["stages"].values()
        numbers = [setup[name] for name in NUMBERS] + [s[name] for s in stages for name in STAGE_NUMBERS]
    except (ValueError, TypeError, KeyError, AttributeError):
        numbers = [None]
    if not all(type(number) in (int, float) and number >= 0 for number in numbers):
        raise ValueError("JSON of the machines of a run, as `invoke run --cloud` writes it")
    return setup


def machines(setup: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return types and limits by stage; an empty machine type, which Batch chose, is left out."""
    return {
        stage: {name: value for name, value in told.items() if name not in PRICES and value != ""}
        for stage, told in setup["stages"].items()
    }


def estimated_cost(setup: dict[str, Any], uses: dict[str, Any], workloads_per_task: int) -> dict[str, Any]:
    """Return what the machines have cost, by the time that the tasks took.

    Parameters
    ----------
    uses : dict of StageUse
        What the tasks used, by stage; a task that was tried again counts as often as it was.
    """
    stages = {}
    for name, use in uses.items():
        if told := setup["stages"].get(name):
            stages[name] = round(_usd(setup, told, use, workloads_per_task if name == "runner" else 1), 6)
    return {
        "currency": "USD",
        "prices_as_of": setup.get("prices_as_of", ""),
        "priced_as": {name: setup["stages"][name].get("priced_as", "") for name in stages},
        "stages_usd": stages,
        "total_usd": round(sum(stages.values()), 6),
        "rests_on": (
            f"seconds of tasks and {setup['machine_start_seconds']} s to start each machine, at the prices "
            "of ops/costs/prices.json; without storage, logs, taxes and discounts"
        ),
    }


def _usd(setup: dict[str, Any], told: dict[str, Any], use: Any, workloads_per_task: int) -> float:
    tasks = max(1, math.ceil(use.tasks / workloads_per_task))
    side_by_side = max(1, min(tasks, told["tasks_per_machine"]))
    at_once = max(1, min(tasks, setup["max_parallelism"]))
    started = math.ceil(at_once / side_by_side) * setup["machine_start_seconds"]
    busy = use.wall_seconds * (1 + use.retries / max(1, use.tasks)) / side_by_side
    return (busy + started) / 3600 * told["usd_machine_hour"]
