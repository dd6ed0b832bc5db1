"""The permissions that the emulated methods need: methods/*.csv, with the page of Google that names each.

A row names a route, a permission, and the resource on which it is asked, as a template of the path's segments
({project}) and of parameters of the query ({?project}). All rows of a route are needed. If the resource is
`handler`, it depends on the body, and the handler must ask; `handler if ...` says when it asks. A handler
asks for nothing else. If the permission is `none`, the method needs none.

acts.csv lists what is asked without a method, such as the acts of Batch's agent: the module that asks, the
permission, and the page.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLES = Path(__file__).with_name("methods")
ACTS = Path(__file__).with_name("acts.csv")
NONE, BY_HANDLER, SOMETIMES = "none", "handler", "handler if "


class UnknownNeed(Exception):
    """A permission that is asked but in no table, or in a table but not asked: a fault of the emulator."""


@dataclass(frozen=True)
class Need:
    """A permission that a method needs, and the template of the resource that it needs it on."""

    permission: str
    resource: str

    @property
    def is_of_handler(self) -> bool:
        return self.resource == BY_HANDLER or self.resource.startswith(SOMETIMES)


@cache
def needs() -> dict[str, tuple[Need, ...]]:
    """Return what each route needs, by its name."""
    found: dict[str, list[Need]] = {}
    for path in sorted(TABLES.glob("*.csv")):
        for row in rows_of(path):
            found.setdefault(row["method"], []).append(Need(row["permission"], row["resource"]))
    return {name: tuple(each) for name, each in found.items()}


@cache
def acts() -> frozenset[str]:
    """Return the permissions that are asked without a method."""
    return frozenset(row["permission"] for row in rows_of(ACTS))


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as table:
        yield from csv.DictReader(table)
