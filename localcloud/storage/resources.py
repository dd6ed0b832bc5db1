"""Buckets and objects as the API shows them, and the properties that a client may set."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from localcloud.messages import ApiError
from localcloud.projects import PROJECT_NUMBER
from localcloud.storage.bucket_settings import FIXED, settable_bucket_properties, with_defaults
from localcloud.storage.objects import ObjectRecord, now_us

_OBJECT_PROPERTIES = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "eventBasedHold",
    "metadata",
    "storageClass",
    "temporaryHold",
)


def settable_properties(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties in an object's metadata that a client may set."""
    custom = metadata.get("metadata") or {}
    if not isinstance(custom, dict) or not all(isinstance(value, str | None) for value in custom.values()):
        raise ApiError(400, "An object's metadata maps names to text.")
    return {name: metadata[name] for name in _OBJECT_PROPERTIES if name in metadata}


def new_properties(metadata: Mapping[str, Any], content_type: str | None = None) -> dict[str, Any]:
    """Return the properties of a new object; `content_type` is used if the metadata has none."""
    default = {"contentType": content_type or "application/octet-stream"}
    return default | merge({}, settable_properties(metadata))


def merge(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource after a PATCH: null removes, maps are merged, anything else replaces."""
    merged = dict(old)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            inner = old.get(name)
            merged[name] = merge(inner if isinstance(inner, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def object_resource(record: ObjectRecord, base_url: str) -> dict[str, Any]:
    bucket, generation = record.bucket, str(record.generation)
    created = _time_text(record.created_us)
    path = f"storage/v1/b/{bucket}/o/{quote(record.name, safe='')}"
    resource = {
        "kind": "storage#object",
        "id": f"{bucket}/{record.name}/{generation}",
        # Clients follow both links, so they must not lead to the real service.
        "selfLink": f"{base_url}/{path}",
        "mediaLink": f"{base_url}/download/{path}?generation={generation}&alt=media",
        "name": record.name,
        "bucket": bucket,
        "generation": generation,
        "metageneration": str(record.metageneration),
        "storageClass": "STANDARD",
        "size": str(record.size),
        "crc32c": record.crc32c,
        "etag": object_etag(record),
        "timeCreated": created,
        "updated": _time_text(record.updated_us),
        "timeStorageClassUpdated": created,
        "timeFinalized": created,
    }
    if record.md5:
        resource["md5Hash"] = record.md5
    if record.deleted_us is not None:
        resource["timeDeleted"] = _time_text(record.deleted_us)
    if record.component_count:
        resource["componentCount"] = record.component_count
    return resource | record.properties


def object_etag(record: ObjectRecord) -> str:
    return base64.b64encode(f"{record.generation}/{record.metageneration}".encode()).decode()


def new_bucket(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bucket as it is stored: the service's defaults, overridden by the client's settings."""
    now = _time_text(now_us())
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "projectNumber": PROJECT_NUMBER,
        "location": str(settings.get("location") or "US").upper(),
        "locationType": "region" if "-" in str(settings.get("location")) else "multi-region",
        "timeCreated": now,
        "updated": now,
        "metageneration": "1",
    } | with_defaults(merge({}, settable_bucket_properties(settings)), now)


def changed_bucket(old: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the next metageneration of a bucket, with all its settable properties replaced."""
    fixed = {name: value for name, value in old.items() if name in FIXED}
    metageneration = str(int(old["metageneration"]) + 1)
    now = _time_text(now_us())
    complete = with_defaults(settable_bucket_properties(settings), now)
    return fixed | complete | {"updated": now, "metageneration": metageneration}


def bucket_resource(bucket: Mapping[str, Any], base_url: str) -> dict[str, Any]:
    links = {
        "selfLink": f"{base_url}/storage/v1/b/{bucket['name']}",
        "etag": base64.b64encode(bucket["metageneration"].encode()).decode(),
    }
    return {name: value for name, value in bucket.items() if name != "iamPolicy"} | links


def http_time(microseconds: int) -> str:
    return _utc(microseconds).strftime("%a, %d %b %Y %H:%M:%S GMT")


def _time_text(microseconds: int) -> str:
    return _utc(microseconds).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _utc(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
