"""Grants: a role of a member on a resource, perhaps under a condition, and whether it allows something.

Nothing here knows a running cloud, so the grants of a plan can be asked as well as those in force.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from localcloud.rights.conditions import holds
from localcloud.rights.roles import permissions_of

_EVERYBODY = {"allUsers", "allAuthenticatedUsers"}


@dataclass(frozen=True)
class Grant:
    """A member's role on a resource; `condition` is an expression, "" if it always holds."""

    holder: str  # the resource whose policy has it
    role: str
    member: str
    condition: str = ""

    def allows(self, member: str, permission: str, resource: str, now: datetime) -> bool:
        """Return whether a member may use a permission on a resource that the holder's policy counts for."""
        return (
            (self.member in _EVERYBODY or self.member.lower() == member.lower())
            and permission in permissions_of(self.role)
            and (not self.condition or holds(self.condition, resource, now))
        )


def grants_of(holder: str, policy: Mapping[str, Any]) -> Iterator[Grant]:
    """Yield the grants of a resource's policy."""
    for binding in policy.get("bindings", []):
        condition = binding.get("condition", {}).get("expression", "")
        for member in binding.get("members", []):
            yield Grant(holder, binding["role"], member, condition)


def allowing(
    grants: Iterable[Grant], member: str, permission: str, resource: str, now: datetime
) -> list[Grant]:
    """Return those of the grants that allow something."""
    return [each for each in grants if each.allows(member, permission, resource, now)]
