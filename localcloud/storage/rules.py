"""What the service refuses, as documented: names of buckets and objects, and lifecycle rules.

Lifecycle rules are stored and returned, but never carried out.
"""

import re
from collections.abc import Mapping
from typing import Any

from localcloud.messages import ApiError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]*[a-z0-9]")
_IP_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
MAX_OBJECT_NAME_BYTES = 1024
MAX_LIFECYCLE_RULES = 100
_ACTIONS = {"Delete", "SetStorageClass", "AbortIncompleteMultipartUpload"}
_DAYS = {"age", "daysSinceCustomTime", "daysSinceNoncurrentTime", "numNewerVersions"}
_LISTS = {"matchesPrefix", "matchesSuffix", "matchesStorageClass"}
_DATES = {"createdBefore", "customTimeBefore", "noncurrentTimeBefore"}


def check_bucket_name(name: str) -> None:
    reason = _bucket_name_fault(name)
    if reason:
        raise ApiError(400, f"Invalid bucket name '{name}': {reason}.")


def check_object_name(name: str) -> None:
    reason = _object_name_fault(name)
    if reason:
        raise ApiError(400, f"Invalid object name {name[:100]!r}: {reason}.")


def _bucket_name_fault(name: str) -> str:
    if not 3 <= len(name) <= (222 if "." in name else 63):
        return "3 to 63 characters, or 222 with dots"
    if not _BUCKET.fullmatch(name):
        return "lower case letters, digits, - _ . only, a letter or digit at both ends"
    if any(not 1 <= len(part) <= 63 for part in name.split(".")):
        return "1 to 63 characters between dots"
    if _IP_ADDRESS.fullmatch(name):
        return "it looks like an IP address"
    if name.startswith("goog") or "google" in name:
        return "it may not begin with goog or contain google"
    return ""


def _object_name_fault(name: str) -> str:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if not 1 <= size <= MAX_OBJECT_NAME_BYTES:
        return f"1 to {MAX_OBJECT_NAME_BYTES} bytes in UTF-8"
    if "\r" in name or "\n" in name:
        return "it may not contain a line end"
    if name in (".", "..") or name.startswith(".well-known/acme-challenge/"):
        return "it is reserved"
    return ""


def check_lifecycle(bucket: Mapping[str, Any]) -> None:
    """Refuse lifecycle rules that no bucket can have."""
    lifecycle = bucket.get("lifecycle") or {}
    rules = lifecycle.get("rule") if isinstance(lifecycle, dict) else lifecycle
    rules = [] if rules is None else rules
    if not isinstance(rules, list) or len(rules) > MAX_LIFECYCLE_RULES:
        raise ApiError(400, f"A bucket's lifecycle must be a list of at most {MAX_LIFECYCLE_RULES} rules.")
    for rule in rules:
        _check_rule(rule)


def _check_rule(rule: Any) -> None:
    if not isinstance(rule, dict) or set(rule) != {"action", "condition"} or not rule["condition"]:
        raise ApiError(400, "A lifecycle rule needs an action and at least one condition.")
    action, condition = rule["action"], rule["condition"]
    if not isinstance(action, dict) or not isinstance(condition, dict):
        raise ApiError(400, "The action and the condition of a lifecycle rule must be maps.")
    if action.get("type") not in _ACTIONS:
        raise ApiError(400, f"{action.get('type')} is not an action of a lifecycle rule.")
    if action["type"] == "SetStorageClass" and not isinstance(action.get("storageClass"), str):
        raise ApiError(400, "The action SetStorageClass requires a storageClass.")
    for name, value in condition.items():
        _check_condition(name, value)


def _check_condition(name: str, value: Any) -> None:
    if name not in _DAYS | _LISTS | _DATES | {"isLive"}:
        raise ApiError(400, f"{name} is not a condition of a lifecycle rule.")
    if name in _DAYS and (type(value) is not int or value < 0):
        raise ApiError(400, f"The condition {name} must be a whole number of at least 0.")
    if name in _LISTS and not (isinstance(value, list) and value and all(isinstance(t, str) for t in value)):
        raise ApiError(400, f"The condition {name} must be a list of text.")
    if name in _DATES and not (isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value)):
        raise ApiError(400, f"The condition {name} must be a date such as 2026-01-31.")
    if name == "isLive" and not isinstance(value, bool):
        raise ApiError(400, "The condition isLive must be true or false.")
