"""Records of what was asked in an emulated cloud, held to the grants that were in force.

A grant is needed if without it something on the record would be denied; what it allows beyond the record
needs a reason, in tests/cloud/rights_reasons.csv. Of people, not the roles but the permissions that
ops/people.py lists are held to the record: those without a question have a reason in people_reasons.csv.
"""

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from localcloud.members import OWNER
from localcloud.process import Cloud
from localcloud.rights.automatic import automatic_grants
from localcloud.rights.grants import Grant, allowing
from localcloud.rights.resources import holders
from localcloud.rights.roles import permissions_of, roles_with
from ops.people import Right, Work, rights_of
from ops.rehearsal.policies import clear, give
from ops.rehearsal.rights import person
from tests.emulated import request

REASONS = Path(__file__).parent / "cloud" / "rights_reasons.csv"
REASONS_OF_PEOPLE = REASONS.with_name("people_reasons.csv")


@dataclass(frozen=True)
class Question:
    """A member that asked for a permission on a resource, and the grants that allowed it."""

    member: str
    permission: str
    resource: str
    by: frozenset[Grant]


@dataclass(frozen=True)
class Record:
    """What was asked in a project, and the grants that were in force, without automatic ones."""

    project: str
    questions: tuple[Question, ...]
    grants: tuple[Grant, ...]

    @classmethod
    def of(cls, cloud: Cloud, project: str, grants: Iterable[Grant]) -> "Record":
        """Return what an emulated cloud has on record, without what its owner asked."""
        rows = request("GET", f"{cloud.apis}/_emulator/rights").json()["asked"]
        found = [
            Question(
                *(row[each] for each in ("member", "permission", "resource")),
                frozenset(Grant(**each) for each in row["by"]),
            )
            for row in rows
        ]
        return cls(project, tuple(each for each in found if each.member != OWNER), tuple(grants))

    @cached_property
    def denied(self) -> list[Question]:
        return [each for each in self.questions if not each.by]

    def allowing(self, question: Question, grants: Iterable[Grant]) -> frozenset[Grant]:
        """Return those of the grants, and of the automatic ones, that allow what was asked."""
        counting = holders(question.resource, self.project)
        there = [each for each in grants if each.holder in counting]
        there += automatic_grants(question.resource, self.project)
        asked = question.member, question.permission, question.resource
        return frozenset(allowing(there, *asked, datetime.now(UTC)))

    def denied_without(self, grant: Grant) -> list[Question]:
        """Return what would have been denied without a grant."""
        others = list(self.grants)
        others.remove(grant)  # once: of two that are the same, neither is needed
        return [each for each in self.questions if grant in each.by and not self.allowing(each, others)]

    def used(self, grant: Grant) -> frozenset[str]:
        """Return the permissions that a grant allowed on the record."""
        return frozenset(each.permission for each in self.questions if grant in each.by)

    def unused(self, grant: Grant) -> frozenset[str]:
        return permissions_of(grant.role) - self.used(grant)


def narrower(role: str, permissions: Collection[str]) -> set[str]:
    """Return the known roles that allow some permissions, and else only a part of what a role allows."""
    first, *others = permissions
    fitting = set(roles_with(first)).intersection(*map(roles_with, others))
    return {each for each in fitting if permissions_of(each) < permissions_of(role)}


@dataclass(frozen=True)
class Reason:
    """Why a role, or a permission of a work, stays although nothing has asked for it."""

    role: str
    permissions: tuple[str, ...]  # with * for any part
    reason: str
    work: str = ""  # of people

    def of(self, part: str) -> "Reason":
        """Return the reason for a part of the permissions alone."""
        return replace(self, permissions=(part,))

    def covers(self, role: str, permission: str) -> bool:
        return role == self.role and any(fnmatchcase(permission, each) for each in self.permissions)


def reasons(path: Path = REASONS) -> Iterator[Reason]:
    """Yield the rows of a table, whose permissions are separated by spaces."""
    with open(path, newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            yield Reason(row["role"], tuple(row["permissions"].split()), row["reason"], row.get("work", ""))


@dataclass(frozen=True)
class Listed:
    """A permission that ops/people.py lists for a work."""

    work: str
    role: str
    on: str
    permission: str

    @property
    def has_reason(self) -> bool:
        return any(
            reason.work == self.work and reason.covers(self.role, self.permission)
            for reason in reasons(REASONS_OF_PEOPLE)
        )


def unasked(record: Record, works: Mapping[str, Work], known: Mapping[str, str]) -> list[Listed]:
    """Return what is listed and was not asked on the record of the person who does the work, there.

    `known` has the names of resources, as ops/people.py calls them.
    """

    def was_asked(work: str, right: Right, permission: str) -> bool:
        return any(
            (each.member, each.permission) == (person(work), permission)
            and any((by.role, by.holder) == (f"roles/{right.role}", known.get(right.on)) for by in each.by)
            for each in record.questions
        )

    return [
        Listed(work, right.role, right.on, permission)
        for work in works
        for right in works[work].rights
        for permission in (*right.permissions, *right.made)
        if not was_asked(work, right, permission)
    ]


def unlisted(record: Record, works: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return the works whose person was asked for what their list does not have, with what it was."""
    found = set()
    for work in works:
        rights = list(rights_of(work))
        listed = {each for right in rights for each in right.permissions}
        made = {each for right in rights for each in right.made}
        for each in record.questions:
            is_listed = each.permission in listed or (
                each.permission in made and each.resource.startswith("projects/_/buckets/")
            )
            if each.member == person(work) and not is_listed:
                found.add((work, each.permission, each.resource))
    return sorted(found)


@contextmanager
def without(cloud: Cloud, grants: Collection[Grant], taken: Grant) -> Iterator[None]:
    """Take one of the grants of a cloud away for a block; the record begins with the block.

    After it, whatever happened there, the resource has its grants and no others.
    """
    assert taken in grants
    there = [each for each in grants if each.holder == taken.holder]
    try:
        clear(cloud.storage, cloud.apis, taken.holder)
        give(cloud.storage, cloud.apis, [each for each in there if each != taken])
        request("DELETE", f"{cloud.apis}/_emulator/rights")
        yield
    finally:
        give(cloud.storage, cloud.apis, there, replaces=True)
