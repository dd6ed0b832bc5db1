"""The IAM policy of a service: who may call it. Like the service, it needs a current etag to be changed."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.messages import ApiError
from localcloud.run.shapes import ANYTHING, check_shape

INVOKER = "roles/run.invoker"
_ROLE = re.compile(r"roles/run\.\w+|(?:projects|organizations)/[\w-]+/roles/[\w.]+")
_MEMBER = re.compile(
    r"allUsers|allAuthenticatedUsers"
    r"|(?:user|serviceAccount|group|domain|projectOwner|projectEditor|projectViewer|principal|principalSet):\S+"
)
_OWN_ACCOUNT = re.compile(r"serviceAccount:([^@\s]+@[a-z0-9-]+\.iam\.gserviceaccount\.com)")
_AGENTS = re.compile(r"(?:service-\d+)@")  # of Google; they are in projects of its own
_BINDINGS = [{"role": str, "members": [str], "condition": ANYTHING}]
_POLICY = {"version": int, "etag": str, "bindings": _BINDINGS, "auditConfigs": ANYTHING}
EMPTY: dict[str, Any] = {"bindings": []}


def shown(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return a policy as the API answers it: with its etag, and without bindings if there are none."""
    digest = hashlib.sha256(json.dumps(policy, sort_keys=True).encode()).digest()
    version = policy.get("version") or 1
    bindings = {"bindings": policy["bindings"]} if policy["bindings"] else {}
    return {"version": version, "etag": base64.b64encode(digest[:8]).decode(), **bindings}


def changed(old: Mapping[str, Any], asked: Any, has_account: Callable[[str], bool]) -> dict[str, Any]:
    """Return the policy that replaces the old one, or refuse it.

    `has_account` tells whether a service account exists, by its e-mail.
    """
    if not isinstance(asked, Mapping):
        raise ApiError(400, "A policy is required.")
    check_shape(asked, _POLICY, "policy")
    # Without an etag the service overwrites whatever is there.
    etag = (
        asked.get("etag", "").replace("-", "+").replace("_", "/")
    )  # gcloud sends the other alphabet of base64
    if etag and etag != shown(old)["etag"]:
        message = (
            "There were concurrent policy changes. Please retry the whole read-modify-write with exponential "
            "backoff. The request's ETag did not match the current policy's."
        )
        raise ApiError(409, message, status="ABORTED")
    bindings = asked.get("bindings") or []
    for binding in bindings:
        _check(binding, has_account)
    kept = [each for each in bindings if each.get("members")]
    return {"bindings": kept, **({"version": asked["version"]} if asked.get("version") else {})}


def _check(binding: Mapping[str, Any], has_account: Callable[[str], bool]) -> None:
    role = binding.get("role", "")
    if not _ROLE.fullmatch(role):
        raise ApiError(400, f"Role {role} is not supported for this resource.")
    if "condition" in binding:
        raise ApiError(400, "localcloud does not emulate conditions in the policy of a service.")
    for member in binding.get("members", []):
        if not _MEMBER.fullmatch(member):
            raise ApiError(400, f"The member {member} is of an unknown type.")
        own = _OWN_ACCOUNT.fullmatch(member)
        if own and not _AGENTS.match(own[1]) and not has_account(own[1]):
            raise ApiError(400, f"Service account {own[1]} does not exist.")


def invokers(policy: Mapping[str, Any]) -> frozenset[str]:
    """Return the members who may call the service; bindings of the project do not count here."""
    members = (each["members"] for each in policy["bindings"] if each["role"] == INVOKER)
    return frozenset(member for each in members for member in each)
