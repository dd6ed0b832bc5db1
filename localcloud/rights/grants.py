"""Grants: a role of a member on a resource, perhaps under a condition, and what it allows.

Nothing here needs a running cloud, so the grants of a plan can be evaluated like those in force. Automatic
grants are in automatic.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from localcloud.rights.conditions import holds, parsed
from localcloud.rights.roles import BASIC_ROLES, EDITOR_ROLE, OWNER_ROLE, VIEWER_ROLE, permissions_of

_EVERYBODY = {"allUsers", "allAuthenticatedUsers"}
# Whom else a policy may name: https://cloud.google.com/iam/docs/principal-identifiers.
_OF_UNKNOWN = {"group", "domain", "principal", "principalSet"}
# How the policy of a bucket names all who have a basic role in a project, such as projectOwner:my-project.
# https://cloud.google.com/storage/docs/access-control/iam#convenience-values
_TEAMS = {OWNER_ROLE: "projectOwner", EDITOR_ROLE: "projectEditor", VIEWER_ROLE: "projectViewer"}


class NoSuchCondition(Exception):
    """A condition where IAM allows none."""


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
    """Return those of the grants that allow something.

    A bucket's policy may name all owners of a project: these are known from the grants of the project.
    """
    all_grants = list(grants)
    names = [member, *_teams(all_grants, member)]
    return [
        each for each in all_grants if any(each.allows(name, permission, resource, now) for name in names)
    ]


def note_on(members: Iterable[str]) -> str:
    """Return a line about those members that stand for others who are not known here; "" without any."""
    found = sorted({each for each in members if each.partition(":")[0] in _OF_UNKNOWN})
    return f"{', '.join(found)}: no effect here, since its members are not known" if found else ""


def check_binding(role: str, members: Iterable[str], condition: str = "") -> None:
    """Refuse what cannot be enforced as it is written; `condition` is an expression, "" if there is none.

    Raises
    ------
    UnknownRole
    UnreadableCondition
    NoSuchCondition
        https://cloud.google.com/iam/docs/conditions-overview
    """
    permissions_of(role)
    if not condition:
        return
    parsed(condition)
    if role in BASIC_ROLES:
        raise NoSuchCondition(f"a basic role such as {role} may have no condition")
    if everybody := _EVERYBODY.intersection(members):
        raise NoSuchCondition(f"a role of {min(everybody)} may have no condition")


def _teams(grants: list[Grant], member: str) -> list[str]:
    """Return the teams of projects that a member is in, by the grants of the projects."""
    return [
        f"{team}:{each.holder.removeprefix('projects/')}"
        for each in grants
        if (team := _TEAMS.get(each.role)) and each.member.lower() == member.lower()
    ]
