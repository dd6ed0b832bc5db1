"""The variable RUN_SETUP: types, limits and prices of the machines of a run, for its run_metadata.json.

A container knows neither its machine type nor its price. scripts/pipeline/machine_costs.py reads it.
"""

import json
from dataclasses import asdict

from ops.cloud.deployment import stage_limits
from ops.cloud.prices import priced_machine, prices
from ops.settings import Settings

VARIABLE = "RUN_SETUP"


def run_setup(settings: Settings) -> str:
    """Return the variable RUN_SETUP of a run in the cloud, as JSON."""
    stages = {}
    for stage, limits in stage_limits(settings).items():
        is_runner = stage == "runner"
        on_machine = settings.task_count_per_node if is_runner else 1
        model = settings.provisioning_model if is_runner else "STANDARD"
        machine = priced_machine(limits, on_machine, settings.region)
        stages[stage] = asdict(limits) | {
            "provisioning_model": model,
            "tasks_per_machine": on_machine,
            "priced_as": machine.machine_type,
            "usd_machine_hour": round(machine.usd(model), 6),
        }
    setup = {
        "region": settings.region,
        "max_parallelism": settings.max_parallelism,
        "prices_as_of": prices()["as_of"],
        **{name: prices()["assumed"][name] for name in ("machine_start_seconds", "task_start_seconds")},
        "stages": stages,
    }
    return json.dumps(setup, separators=(",", ":"))
