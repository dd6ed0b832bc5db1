"""Versions of Terraform: those of Infrastructure Manager, and whether a constraint admits one.

https://cloud.google.com/infrastructure-manager/docs/terraform,
https://developer.hashicorp.com/terraform/language/expressions/version-constraints
"""

import operator
import re
from itertools import zip_longest

SUPPORTED = ("1.2.3", "1.3.10", "1.4.7", "1.5.7")
NEWEST = SUPPORTED[-1]
_TERM = re.compile(r"\s*(=|!=|>=|<=|>|<|~>|)\s*v?(\d{1,18}(?:\.\d{1,18}){0,2})(-[0-9A-Za-z.-]+)?\s*")
_COMPARED = {
    "": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class NotAConstraint(Exception):
    """The text is not a version constraint."""


def admits(constraint: str, version: str) -> bool:
    """Return whether all terms of a constraint, such as ">= 1.3, < 1.6", admit a released version.

    Raises
    ------
    NotAConstraint
    """
    held = [_holds(term, _numbers(version)) for term in constraint.split(",")]  # each is checked
    return all(held)


def newest_admitted(constraint: str) -> str | None:
    """Return the newest version of the service that a constraint admits; an empty one admits all.

    Raises
    ------
    NotAConstraint
    """
    found = [each for each in SUPPORTED if not constraint or admits(constraint, each)]
    return found[-1] if found else None


def is_older(version: str, than: str) -> bool:
    return _numbers(version) < _numbers(than)


def _holds(term: str, version: tuple[int, ...]) -> bool:
    found = _TERM.fullmatch(term)
    if not found:
        raise NotAConstraint(f"{term.strip()!r} is not a version constraint")
    sign, wanted = found[1], _numbers(found[2])
    if found[3]:  # a release is newer than each of its previews, and none of them
        return sign in ("!=", ">", ">=") and (sign == "!=" or version >= wanted)
    if sign == "~>":  # only the last number given may grow
        fixed = wanted[: found[2].count(".")]
        return version >= wanted and version[: len(fixed)] == fixed
    return _COMPARED[sign](version, wanted)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each, _ in zip_longest(version.split("."), range(3), fillvalue="0"))
