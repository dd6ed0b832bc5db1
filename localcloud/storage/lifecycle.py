"""Lifecycle rules of a bucket: stored and returned, but never carried out.

https://cloud.google.com/storage/docs/lifecycle
"""

import re
from collections.abc import Mapping
from typing import Any

from localcloud.messages import ApiError

MAX_RULES = 100
STORAGE_CLASSES = {"STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"}
OLD_CLASSES = {"MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY"}
_ACTIONS = {"Delete", "SetStorageClass", "AbortIncompleteMultipartUpload"}
_DAYS = {"age", "daysSinceCustomTime", "daysSinceNoncurrentTime", "numNewerVersions"}
_LISTS = {"matchesPrefix", "matchesSuffix", "matchesStorageClass"}
_DATES = {"createdBefore", "customTimeBefore", "noncurrentTimeBefore"}
_OF_UPLOADS = {"age", "matchesPrefix", "matchesSuffix"}


def check_lifecycle(lifecycle: Any) -> None:
    """Refuse lifecycle rules that no bucket can have."""
    if lifecycle is None:
        return
    if not isinstance(lifecycle, Mapping) or lifecycle.keys() - {"rule"}:
        raise ApiError(400, "A bucket's lifecycle is an object with a list of rules.")
    rules = lifecycle.get("rule")
    rules = [] if rules is None else rules
    if not isinstance(rules, list) or len(rules) > MAX_RULES:
        raise ApiError(400, f"A bucket's lifecycle must be a list of at most {MAX_RULES} rules.")
    for rule in rules:
        _check_rule(rule)


def _check_rule(rule: Any) -> None:
    if not isinstance(rule, dict) or set(rule) != {"action", "condition"} or not rule["condition"]:
        raise ApiError(400, "A lifecycle rule needs an action and at least one condition.")
    action, condition = rule["action"], rule["condition"]
    if not isinstance(action, dict) or not isinstance(condition, dict):
        raise ApiError(400, "The action and the condition of a lifecycle rule must be maps.")
    _check_action(action)
    for name, value in condition.items():
        _check_condition(name, value)
    if action["type"] == "AbortIncompleteMultipartUpload" and condition.keys() - _OF_UPLOADS:
        raise ApiError(
            400,
            "The action AbortIncompleteMultipartUpload takes the conditions age, matchesPrefix and "
            "matchesSuffix only.",
        )


def _check_action(action: Mapping[str, Any]) -> None:
    kind = action.get("type")
    if not isinstance(kind, str) or kind not in _ACTIONS:
        raise ApiError(400, f"{kind} is not an action of a lifecycle rule.")
    if unknown := action.keys() - {"type", *({"storageClass"} if kind == "SetStorageClass" else ())}:
        raise ApiError(400, f"The action {kind} has no {sorted(unknown)[0]}.")
    if kind == "SetStorageClass" and str(action.get("storageClass")) not in STORAGE_CLASSES:
        raise ApiError(
            400, f"The action SetStorageClass requires a storageClass: {', '.join(sorted(STORAGE_CLASSES))}."
        )


def _check_condition(name: str, value: Any) -> None:
    if name not in _DAYS | _LISTS | _DATES | {"isLive"}:
        raise ApiError(400, f"{name} is not a condition of a lifecycle rule.")
    if name in _DAYS and (type(value) is not int or value < 0):
        raise ApiError(400, f"The condition {name} must be a whole number of at least 0.")
    if name in _LISTS and not (isinstance(value, list) and value and all(isinstance(t, str) for t in value)):
        raise ApiError(400, f"The condition {name} must be a list of text.")
    if name == "matchesStorageClass" and set(value) - STORAGE_CLASSES - OLD_CLASSES:
        raise ApiError(400, "The condition matchesStorageClass must be a list of storage classes.")
    if name in _DATES and not (isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value)):
        raise ApiError(400, f"The condition {name} must be a date such as 2026-01-31.")
    if name == "isLive" and not isinstance(value, bool):
        raise ApiError(400, "The condition isLive must be true or false.")
