"""The permissions of the roles in use: roles.csv, a row for each permission of a role, with its source.

The lists are those of August 2026; Google adds permissions to its roles, and removes some:
https://cloud.google.com/iam/docs/understanding-roles. They are complete, except those of the basic roles
(BASIC_ROLES) and of iam.securityReviewer, which have thousands of permissions: the table has only those of
the emulated services. The source of a row is the role's entry on the page of its service; for a basic role it
is the page of the permission's service, which lists the roles that have it.
"""

import csv
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("roles.csv")
OWNER_ROLE, EDITOR_ROLE, VIEWER_ROLE = BASIC_ROLES = ("roles/owner", "roles/editor", "roles/viewer")


class UnknownRole(Exception):
    """A role that is not in the table, so that what it allows is unknown."""


@cache
def _roles() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    with open(TABLE, newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            found.setdefault(row["role"], set()).add(row["permission"])
    return {role: frozenset(permissions) for role, permissions in found.items()}


def permissions_of(role: str) -> frozenset[str]:
    """Return the permissions of a role.

    Raises
    ------
    UnknownRole
    """
    if role not in _roles():
        raise UnknownRole(
            f"localcloud does not know what {role} allows: add its permissions, from Google's list of roles, "
            f"to localcloud/rights/{TABLE.name}"
        )
    return _roles()[role]


def roles_with(permission: str) -> list[str]:
    """Return the roles that have a permission, those that allow least first, without the basic ones."""
    having = (role for role, permissions in _roles().items() if permission in permissions)
    return sorted(set(having) - set(BASIC_ROLES), key=lambda role: (len(_roles()[role]), role))


@cache
def known() -> frozenset[str]:
    """Return the permissions of all roles in use."""
    return frozenset().union(*_roles().values())
