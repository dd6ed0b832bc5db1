"""What a client may set of a bucket, and what the service adds to it.

https://cloud.google.com/storage/docs/json_api/v1/buckets. Settings are stored and returned. Of them, only
versioning and the retention period change what happens to objects.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.labels import check_labels
from localcloud.messages import ApiError
from localcloud.storage.lifecycle import OLD_CLASSES, STORAGE_CLASSES, check_lifecycle

SOFT_DELETE_SECONDS = 7 * 86_400  # the service's default and least, except for 0
MAX_SOFT_DELETE_SECONDS = 90 * 86_400
MAX_RETENTION_SECONDS = 3_155_760_000  # 100 years
# Output only: clients send them back as they got them.
FIXED = {
    "kind",
    "id",
    "name",
    "selfLink",
    "projectNumber",
    "timeCreated",
    "updated",
    "metageneration",
    "etag",
    "generation",
    "location",
    "locationType",
    "iamPolicy",
    "satisfiesPZS",
    "satisfiesPZI",
}
_NOT_LOOKED_INTO = {
    "acl",
    "defaultObjectAcl",
    "autoclass",
    "billing",
    "cors",
    "customPlacementConfig",
    "defaultEventBasedHold",
    "encryption",
    "hierarchicalNamespace",
    "ipFilter",
    "logging",
    "objectRetention",
    "owner",
    "rpo",
    "website",
}


def settable_bucket_properties(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a bucket's resource.

    Raises
    ------
    ApiError
        400: a field or a value that the service does not know.
    """
    asked = {name: value for name, value in resource.items() if name not in FIXED}
    if unknown := asked.keys() - _CHECKS.keys() - _NOT_LOOKED_INTO:
        raise ApiError(400, f"Unknown field of a bucket: {sorted(unknown)[0]}.")
    for name, check in _CHECKS.items():
        if asked.get(name) is not None:
            check(asked[name])
    if asked.get("storageClass"):
        asked["storageClass"] = asked["storageClass"].upper()  # gcloud sends it as it was typed
    return asked


def with_defaults(settings: Mapping[str, Any], now: str) -> dict[str, Any]:
    """Return a bucket's settings, completed as the service completes them."""
    access = settings.get("iamConfiguration") or {}
    uniform = dict(access.get("uniformBucketLevelAccess") or {"enabled": False})
    complete = {
        "storageClass": "STANDARD",
        **settings,
        "iamConfiguration": {
            "publicAccessPrevention": "inherited",
            **access,
            "uniformBucketLevelAccess": uniform,
        },
        "softDeletePolicy": {
            "retentionDurationSeconds": str(SOFT_DELETE_SECONDS),
            "effectiveTime": now,
            **(settings.get("softDeletePolicy") or {}),
        },
    }
    if retention := settings.get("retentionPolicy"):
        complete["retentionPolicy"] = {"effectiveTime": now, **retention}
    return complete


def has_uniform_access(bucket: Mapping[str, Any]) -> bool:
    access = bucket.get("iamConfiguration") or {}
    return bool((access.get("uniformBucketLevelAccess") or {}).get("enabled"))


def is_versioned(bucket: Mapping[str, Any]) -> bool:
    return bool((bucket.get("versioning") or {}).get("enabled"))


def retention_seconds(bucket: Mapping[str, Any]) -> int:
    """Return how long an object must be kept; 0 without a retention policy."""
    return int((bucket.get("retentionPolicy") or {}).get("retentionPeriod") or 0)


def _check_class(value: Any) -> None:
    if str(value).upper() not in STORAGE_CLASSES | OLD_CLASSES:
        raise ApiError(400, f"Invalid argument: storage class {value}.")


def _check_access(access: Any) -> None:
    fields = {"publicAccessPrevention", "uniformBucketLevelAccess", "bucketPolicyOnly"}
    _need_fields("iamConfiguration", access, fields)
    if access.get("publicAccessPrevention") not in (None, "inherited", "enforced", "unspecified"):
        raise ApiError(400, "publicAccessPrevention must be inherited or enforced.")
    for name in ("uniformBucketLevelAccess", "bucketPolicyOnly"):
        if access.get(name) is not None:
            _need_fields(name, access[name], {"enabled", "lockedTime"})
            _need_bool(f"{name}.enabled", access[name].get("enabled", False))


def _check_soft_delete(policy: Any) -> None:
    _need_fields("softDeletePolicy", policy, {"retentionDurationSeconds", "effectiveTime"})
    seconds = _whole(policy.get("retentionDurationSeconds", 0), "softDeletePolicy.retentionDurationSeconds")
    if seconds and not SOFT_DELETE_SECONDS <= seconds <= MAX_SOFT_DELETE_SECONDS:
        raise ApiError(
            400,
            f"Soft delete policy retention duration must be 0 or {SOFT_DELETE_SECONDS} to "
            f"{MAX_SOFT_DELETE_SECONDS} seconds, not {seconds}.",
        )


def _check_retention(policy: Any) -> None:
    _need_fields("retentionPolicy", policy, {"retentionPeriod", "effectiveTime", "isLocked"})
    seconds = _whole(policy.get("retentionPeriod"), "retentionPolicy.retentionPeriod")
    if not 0 < seconds <= MAX_RETENTION_SECONDS:
        raise ApiError(400, f"A retention period must be 1 to {MAX_RETENTION_SECONDS} seconds.")


def _check_versioning(versioning: Any) -> None:
    _need_fields("versioning", versioning, {"enabled"})
    _need_bool("versioning.enabled", versioning.get("enabled", False))


def _need_fields(name: str, value: Any, fields: set[str]) -> None:
    """Raise unless a value is an object that has no other fields."""
    if not isinstance(value, Mapping):
        raise ApiError(400, f"{name} must be an object.")
    if unknown := value.keys() - fields:
        raise ApiError(400, f"Unknown field of a bucket: {name}.{sorted(unknown)[0]}.")


def _need_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ApiError(400, f"{name} must be true or false.")


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,18}", str(value)):
        raise ApiError(400, f"{name} must be a whole number.")
    return int(value)


_CHECKS: dict[str, Callable[[Any], None]] = {
    "iamConfiguration": _check_access,
    "labels": check_labels,
    "lifecycle": check_lifecycle,
    "retentionPolicy": _check_retention,
    "softDeletePolicy": _check_soft_delete,
    "storageClass": _check_class,
    "versioning": _check_versioning,
}
