"""Names of buckets and objects that the service refuses, as documented."""

import re

from localcloud.messages import ApiError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]*[a-z0-9]")
_IP_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
MAX_OBJECT_NAME_BYTES = 1024


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
