"""Lifecycle rules of a bucket: kept and told again, never carried out; what no bucket can have is refused."""

from collections.abc import Mapping
from typing import Any

from localcloud.messages import ApiError

MOST_RULES = 100
_ACTIONS = {"Delete", "SetStorageClass", "AbortIncompleteMultipartUpload"}
_DAYS = {"age", "daysSinceCustomTime", "daysSinceNoncurrentTime", "numNewerVersions"}
_LISTS = {"matchesPrefix", "matchesSuffix", "matchesStorageClass"}
_OTHERS = {"createdBefore", "customTimeBefore", "noncurrentTimeBefore", "isLive"}


def check_lifecycle(bucket: Mapping[str, Any]) -> None:
    """Raise ApiError for rules that no bucket can have."""
    lifecycle = bucket.get("lifecycle") or {}
    rules = lifecycle.get("rule", []) if isinstance(lifecycle, dict) else None
    if not isinstance(rules, list) or len(rules) > MOST_RULES:
        raise ApiError(400, f"A bucket's lifecycle is a list of at most {MOST_RULES} rules.")
    for rule in rules:
        _check_rule(rule)


def _check_rule(rule: Any) -> None:
    if not isinstance(rule, dict) or set(rule) != {"action", "condition"} or not rule["condition"]:
        raise ApiError(400, "A lifecycle rule has an action and at least one condition.")
    if rule["action"].get("type") not in _ACTIONS:
        raise ApiError(400, f"{rule['action'].get('type')} is no action of a lifecycle rule.")
    for name, value in rule["condition"].items():
        if name not in _DAYS | _LISTS | _OTHERS:
            raise ApiError(400, f"{name} is no condition of a lifecycle rule.")
        if name in _DAYS and (not isinstance(value, int) or value < 0):
            raise ApiError(400, f"The condition {name} is a whole number from 0.")
        if name in _LISTS and not (
            isinstance(value, list) and value and all(isinstance(t, str) for t in value)
        ):
            raise ApiError(400, f"The condition {name} is a list of text.")
