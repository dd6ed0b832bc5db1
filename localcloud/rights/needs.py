"""The permissions that the emulated methods need: methods/*.csv, with the page of Google that names each.

A row names a route, a permission, and the resource on which it is asked, as a template of the path's
segments ({project}) and of parameters of the query ({?project}). Several rows of a route are all needed.
`handler` as the resource says that it depends on the body: the handler asks, and must. `none` as the
permission says that the method needs none.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLES = Path(__file__).with_name("methods")
NONE, BY_HANDLER = "none", "handler"


@dataclass(frozen=True)
class Need:
    """A permission that a method needs, and the template of the resource that it needs it on."""

    permission: str
    resource: str


@cache
def needs() -> dict[str, tuple[Need, ...]]:
    """Return what each route needs, by its name."""
    found: dict[str, list[Need]] = {}
    for path in sorted(TABLES.glob("*.csv")):
        with open(path, newline="", encoding="utf-8") as table:
            for row in csv.DictReader(table):
                found.setdefault(row["method"], []).append(Need(row["permission"], row["resource"]))
    return {name: tuple(each) for name, each in found.items()}
