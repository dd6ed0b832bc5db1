"""IAM policies of projects, accounts, buckets, repositories and services: kept and checked.

https://cloud.google.com/iam/docs/reference/rest/v1/Policy. Of a policy that is set, the members that it adds
must exist. A member that is deleted stays in the policies under another name, as on the service. rights/
enforces policies; where it does, it refuses a binding whose effect it does not know.
"""

import base64
import hashlib
import json
import re
import sys
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from localcloud.messages import ApiError
from localcloud.rights.callers import is_enforced
from localcloud.rights.conditions import UnreadableCondition
from localcloud.rights.grants import NoSuchCondition, check_binding, note_on
from localcloud.rights.resources import project_of_account
from localcloud.rights.roles import UnknownRole
from localcloud.shapes import check_shape, without_nulls

Policy = dict[str, Any]
HasAccount = Callable[[str], bool]

CONDITIONS_VERSION = 3
EMPTY: Policy = {"bindings": []}
_ROLE = re.compile(r"roles/[\w.]+|(?:projects|organizations)/[\w.:-]+/roles/[\w.]+")
MEMBER = re.compile(
    r"allUsers|allAuthenticatedUsers"
    r"|deleted:(?:user|serviceAccount|group):\S+\?uid=\d+"
    r"|(?:user|serviceAccount|group|domain|projectOwner|projectEditor|projectViewer|principal|principalSet):\S+"
)
_LOG_TYPES = {"ADMIN_READ", "DATA_WRITE", "DATA_READ"}
_CONDITION = {"title": str, "description": str, "expression": str, "location": str}
_BINDINGS = [{"role": str, "members": [str], "condition": _CONDITION}]
_AUDITS = [{"service": str, "auditLogConfigs": [{"logType": str, "exemptedMembers": [str]}]}]
_POLICY = {
    **dict.fromkeys(("etag", "kind", "resourceId"), str),
    "version": int,
    "bindings": _BINDINGS,
    "auditConfigs": _AUDITS,
}


class Policies:
    """The policies of all resources of one kind, by any key."""

    def __init__(self, has_account: HasAccount):
        self._policies: dict[Hashable, Policy] = {}
        self._has_account = has_account
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Policy:
        with self._lock:
            return shown(self._policies.get(key, EMPTY))

    def set(self, key: Hashable, asked: Any, audits: bool = False) -> Policy:
        """Replace a policy; its auditConfigs only with `audits`."""
        with self._lock:
            old = self._policies.get(key, EMPTY)
            self._policies[key] = replaced(old, asked, self._has_account, audits)
            return shown(self._policies[key])

    def drop(self, key: Hashable) -> None:
        with self._lock:
            self._policies.pop(key, None)

    def forget_all(self) -> None:
        with self._lock:
            self._policies.clear()

    def rename_deleted(self, email: str, uid: str) -> None:
        """Name an account that was deleted as the service names it."""
        with self._lock:
            self._policies = {key: with_deleted(each, email, uid) for key, each in self._policies.items()}


def shown(policy: Mapping[str, Any]) -> Policy:
    """Return a policy as the API answers it: with its etag, and without bindings if there are none."""
    digest = hashlib.sha256(json.dumps(policy, sort_keys=True).encode()).digest()
    parts = {name: policy[name] for name in ("bindings", "auditConfigs") if policy.get(name)}
    return {"version": policy.get("version") or 1, "etag": base64.b64encode(digest[:8]).decode(), **parts}


def replaced(
    old: Policy, asked: Any, has_account: HasAccount, audits: bool = False, conflict: int = 409
) -> Policy:
    """Return the policy that replaces the old one, or refuse it.

    `has_account` tells whether a service account exists, by its e-mail. Without `audits` the old auditConfigs
    stay. `conflict` is the status for an etag that is not current.
    """
    if not isinstance(asked, Mapping):
        raise ApiError(400, "A policy is required.")
    asked = without_nulls(asked)
    check_shape(asked, _POLICY, "policy")
    _check_etag(old, asked.get("etag", ""), conflict)
    known = {member for each in old["bindings"] for member in each["members"]}
    bindings = asked.get("bindings") or []
    for binding in bindings:
        _check_binding(binding, asked.get("version", 0), has_account, known)
    kept = [each for each in bindings if each.get("members")]
    policy: Policy = {"bindings": kept}
    if version := asked.get("version"):
        policy["version"] = version
    configs = _checked_audits(asked.get("auditConfigs") or []) if audits else old.get("auditConfigs")
    if is_enforced():
        _note({member for each in kept for member in each["members"]} - known)
    return {**policy, **({"auditConfigs": configs} if configs else {})}


def with_deleted(policy: Policy, email: str, uid: str) -> Policy:
    """Return a policy in which an account that was deleted is named as the service names it."""
    old, new = f"serviceAccount:{email}", f"deleted:serviceAccount:{email}?uid={uid}"
    renamed = [
        {**each, "members": [new if member == old else member for member in each["members"]]}
        for each in policy["bindings"]
    ]
    return {**policy, "bindings": renamed}


def _check_etag(old: Policy, etag: str, conflict: int) -> None:
    """Refuse an etag that is not current; without one the service overwrites whatever is there."""
    if etag and etag.replace("-", "+").replace("_", "/") != shown(old)["etag"]:  # gcloud sends base64url
        message = (
            "There were concurrent policy changes. Please retry the whole read-modify-write with exponential "
            "backoff. The request's ETag did not match the current policy's."
        )
        raise ApiError(conflict, message, status="ABORTED" if conflict == 409 else "")


def _check_binding(
    binding: Mapping[str, Any], version: int, has_account: HasAccount, known: set[str]
) -> None:
    role = binding.get("role", "")
    if not _ROLE.fullmatch(role):
        raise ApiError(400, f"Role {role} is not supported for this resource.")
    if condition := binding.get("condition"):
        if version < CONDITIONS_VERSION:
            raise ApiError(400, f"A policy with conditions must have version {CONDITIONS_VERSION}.")
        if not condition.get("title") or not condition.get("expression"):
            raise ApiError(400, f"The condition of {role} needs a title and an expression.")
    for member in binding.get("members", []):
        _check_member(member, has_account, known)
    if is_enforced():
        _check_enforceable(role, binding.get("members", []), (condition or {}).get("expression", ""))


def check_kept(policy: Policy) -> None:
    """Refuse a policy that was set where nothing is enforced, and cannot be; note whom it gives nothing.

    Raises
    ------
    ApiError
    """
    for each in policy["bindings"]:
        _check_enforceable(each["role"], each["members"], each.get("condition", {}).get("expression", ""))
    _note({member for each in policy["bindings"] for member in each["members"]})


def _note(members: set[str]) -> None:
    """Say which members have no rights by a policy, although it names them."""
    if note := note_on(members):
        print(f"localcloud: {note}", file=sys.stderr, flush=True)


def _check_enforceable(role: str, members: list[str], expression: str) -> None:
    try:
        check_binding(role, members, expression)
    except (UnknownRole, UnreadableCondition, NoSuchCondition) as error:
        raise ApiError(400, f"The binding of {role} is refused: {error}") from error


def _check_member(member: str, has_account: HasAccount, known: set[str]) -> None:
    if not MEMBER.fullmatch(member):
        raise ApiError(400, f"The member {member} is of an unknown type.")
    kind, _, email = member.partition(":")
    is_account = kind == "serviceAccount" and bool(project_of_account(email))
    if is_account and member not in known and not has_account(email):
        raise ApiError(400, f"Service account {email} does not exist.")


def _checked_audits(configs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for config in configs:
        if not config.get("service") or not config.get("auditLogConfigs"):
            raise ApiError(400, "An audit config needs a service and its auditLogConfigs.")
        for each in config["auditLogConfigs"]:
            if each.get("logType") not in _LOG_TYPES:
                raise ApiError(400, f"Log type {each.get('logType')} is not one of {sorted(_LOG_TYPES)}.")
    if len({each["service"] for each in configs}) < len(configs):
        raise ApiError(400, "Each service may have one audit config.")
    return configs
