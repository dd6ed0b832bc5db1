"""The budget of the GPU lane: mail about the project's costs, from Google's billing.

gcloud asks the billing service at an address of its own, so an emulated cloud has no budgets.
"""

from ops.gpu.lane import Lane
from ops.gpu.monitoring import channel_names, lane_title
from ops.gpu.steps import Chains

BUDGETS = ("billing", "budgets")
PERCENTS = (50, 80, 100)


def budget_changes(lane: Lane) -> list[str]:
    """Return what has to change, for the operator: a budget that is not wanted is deleted."""
    wanted, amounts = lane.cloud.settings.monthly_budget_usd, _amounts(lane)
    if wanted in amounts.values() or not (wanted or amounts):
        return []
    if not wanted:
        return ["delete the budget"]
    verb = "change the budget to" if amounts else "create a budget of"
    return [f"{verb} {wanted} USD a month"]


def budget_chains(lane: Lane) -> Chains:
    """Return the commands for it, once the channel for mail exists."""
    settings, there = lane.cloud.settings, [*lane.found.budgets]
    amount = ["--budget-amount", f"{settings.monthly_budget_usd}USD"]
    if not settings.monthly_budget_usd:
        return [[[*BUDGETS, "delete", name, "--quiet"]] for name in there]
    if there:
        return [[[*BUDGETS, "update", there[0], *amount]]]
    rules = [word for each in PERCENTS for word in ("--threshold-rule", f"percent={each / 100}")]
    channels = ",".join(channel_names(lane))
    mail = [f"--notifications-rule-monitoring-notification-channels={channels}"] if channels else []
    create = [*BUDGETS, "create", "--billing-account", settings.billing_account]
    options = ["--display-name", lane_title(lane), "--filter-projects", f"projects/{lane.cloud.project}"]
    return [[[*create, *options, *amount, *rules, *mail]]]


def _amounts(lane: Lane) -> dict[str, int]:
    """Return the US dollars of each budget that was found, by its name."""
    amounts = {
        name: each.get("amount", {}).get("specifiedAmount", {}) for name, each in lane.found.budgets.items()
    }
    return {name: int(each.get("units", 0)) for name, each in amounts.items()}
