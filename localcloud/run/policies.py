"""The IAM policy of a service: who may call it. Like the service, it needs a current etag to be changed."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.messages import ApiError
from localcloud.policies import replaced

INVOKER = "roles/run.invoker"
_ROLE = re.compile(r"roles/run\.\w+|(?:projects|organizations)/[\w-]+/roles/[\w.]+")


def changed(old: Mapping[str, Any], asked: Any, has_account: Callable[[str], bool]) -> dict[str, Any]:
    """Return the policy that replaces the old one, or refuse it.

    `has_account` tells whether a service account exists, by its e-mail.
    """
    policy = replaced(old, asked, has_account)
    for binding in policy["bindings"]:
        if not _ROLE.fullmatch(binding["role"]):
            raise ApiError(400, f"Role {binding['role']} is not supported for this resource.")
        if "condition" in binding:
            raise ApiError(400, "localcloud does not emulate conditions in the policy of a service.")
    return policy


def invokers(policy: Mapping[str, Any]) -> frozenset[str]:
    """Return the members who may call the service; rights/ counts bindings of the project, too."""
    members = (each["members"] for each in policy["bindings"] if each["role"] == INVOKER)
    return frozenset(member for each in members for member in each)
