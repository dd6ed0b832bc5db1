"""The permissions of the roles in use: roles.csv, a row for each permission of a role, with its source."""

import csv
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("roles.csv")


class UnknownRole(Exception):
    """A role that the table does not have, so nobody knows what it allows."""


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
        raise UnknownRole(f"{role} is not in {TABLE.name}: add its permissions from Google's list of roles")
    return _roles()[role]


@cache
def known() -> frozenset[str]:
    """Return the permissions of all roles in use."""
    return frozenset().union(*_roles().values())
