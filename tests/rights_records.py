"""Records of what was asked in an emulated cloud, compared with the grants that were in force.

A grant is needed if without it something on the record would be denied; what it allows beyond the record
needs a reason, in tests/cloud/rights_reasons.csv. Of people's roles, only the permissions that ops/people.py
lists are compared: those without a question have a reason in people_reasons.csv.
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

    def denied_without(self, *grants: Grant) -> list[Question]:
        """Return what would have been denied without some grants."""
        others = list(self.grants)
        for grant in grants:
            others.remove(grant)  # once: of two that are the same, neither is needed
        return [
            each
            for each in self.questions
            if each.by.intersection(grants) and not self.allowing(each, others)
        ]

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


@dataclass(frozen=True)
class People:
    """A record, and the resources that people have roles on."""

    record: Record
    places: Mapping[str, str]  # names of resources, by what ops/people.py calls them
    made: tuple[str, ...] = ()  # names of the buckets that a person creates

    def unasked(self, works: Mapping[str, Work]) -> list[Listed]:
        """Return what is listed and was not asked of the person who does the work, there."""
        return [
            each
            for work in works
            for right in works[work].rights
            for each in _listed(work, right)
            if each.permission not in self.record.used(self._grant(work, right))
        ]

    def unlisted(self, works: Iterable[str]) -> list[tuple[str, str, str]]:
        """Return the works whose person was asked for what their list does not have, with what it was.

        What is listed counts where its own role allows it, not where another one does.
        """
        return sorted(
            {
                (work, each.permission, each.resource)
                for work in works
                for each in self.record.questions
                if each.member == person(work)
                and not any(self._is_listed(each, work, right) for right in rights_of(work))
            }
        )

    def _is_listed(self, question: Question, work: str, right: Right) -> bool:
        is_made = not set(self.made).isdisjoint(holders(question.resource, self.record.project))
        listed = (*right.permissions, *right.made) if is_made else right.permissions
        return question.permission in listed and self._grant(work, right) in question.by

    def needless(self, works: Mapping[str, Work]) -> list[tuple[str, str, str]]:
        """Return the works with each role, and its place, without which nothing would be denied.

        Roles whose permissions all have a reason are left out.
        """
        return [
            (work, *right.place)
            for work in works
            for right in works[work].rights
            if not self._is_needed(work, right, works[work].rights)
            and not all(each.has_reason for each in _listed(work, right))
        ]

    def _is_needed(self, work: str, right: Right, rights: Iterable[Right]) -> bool:
        """Return whether something would be denied without a right of a work.

        It must do without those rights, too, that are needed only as long as something does not exist.
        """
        grant = self._grant(work, right)
        if grant not in self.record.grants:
            return False
        until_then = {self._grant(work, each) for each in rights if each.without} - {grant}
        anyway = self.record.denied_without(*until_then)
        return any(each not in anyway for each in self.record.denied_without(grant, *until_then))

    def _grant(self, work: str, right: Right) -> Grant:
        """Return the grant of a right to the person who does a work; on "" if the resource has no name."""
        return Grant(self.places.get(right.on, ""), f"roles/{right.role}", person(work))


def _listed(work: str, right: Right) -> list[Listed]:
    return [Listed(work, right.role, right.on, each) for each in (*right.permissions, *right.made)]


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
