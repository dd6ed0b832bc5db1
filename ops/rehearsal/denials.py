"""What an emulated cloud denied, in one message: to whom, on what, and how to fix it.

If the plan has the binding, the fix is to apply it. Otherwise it is a command, with the role and the
condition by which a similar account may do the same, if there is such an account.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from localcloud.rights.grants import Grant
from localcloud.rights.resources import holders
from localcloud.rights.roles import permissions_of, roles_with
from ops.cloud.resources import Resource
from ops.failures import UserError
from ops.rehearsal.policies import ANSWER_SECONDS, AS_OWNER
from ops.rehearsal.rights import Bindings


@contextmanager
def denials_explained(apis: str, project: str, bindings: Bindings | None) -> Iterator[None]:
    """Raise an error that lists what was denied in a block; its exit code is 1.

    Not every refusal stops a run: a workflow without the right to log finishes. If the block succeeds, what
    was refused only because its role is too new (`--iam-delay`) is no error.
    """
    try:
        yield
    except UserError as error:
        if not (rows := _denied(apis)):
            raise
        raise _error(error.problem, rows, project, bindings) from None
    if rows := [row for row in _denied(apis) if not row.get("later")]:
        raise _error("all was done, but not everything was allowed", rows, project, bindings)


def asked(apis: str) -> list[dict[str, Any]]:
    """Return the record of an emulated cloud: who was asked for what, and what allowed it."""
    import requests  # here, because its import takes a fifth of invoke's start

    answer = requests.get(f"{apis}/_emulator/rights", headers=AS_OWNER, timeout=ANSWER_SECONDS)
    answer.raise_for_status()
    return answer.json()["asked"]


def _denied(apis: str) -> list[dict[str, Any]]:
    return [row for row in asked(apis) if not row["by"]]


def _error(
    problem: str, rows: Sequence[Mapping[str, Any]], project: str, bindings: Bindings | None
) -> UserError:
    lines = (_line(row, rows, project, bindings or Bindings((), "")) for row in rows)
    return UserError("\n".join([problem, *lines]), exit_code=1)


def _line(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], project: str, bindings: Bindings) -> str:
    member, permission, resource = row["member"], row["permission"], row["resource"]
    denied = f"denied: {member.partition(':')[2]} may not {permission} on {resource}"
    if later := row.get("later"):
        return f"{denied} yet: {later[0]['role']} was given, and does not count so soon"
    own = _allowing(row, project, (each for each in bindings.grants if each.member == member))
    if own and not _is_of_people(member):
        grant = own[0]
        condition = f" if {grant.condition}" if grant.condition else ""
        given = f"{grant.role} on {grant.holder}{condition}"
        return f"{denied}: {bindings.source} gives it ({given}): {bindings.applied_by}"
    grant = own[0] if own else _as_others(row, project, bindings.grants) or _new(row, rows, project, bindings)
    if not grant.role:
        return f"{denied}; no role that is known has it"
    return f"{denied}: {Resource(grant.holder).command(grant.role, member, grant.condition)}"


def _allowing(row: Mapping[str, Any], project: str, grants: Iterable[Grant]) -> list[Grant]:
    """Return those of the grants that would allow what a row asks for, if its member had them."""
    counting, asked_for = holders(row["resource"], project), (row["permission"], row["resource"])
    now = datetime.now(UTC)
    return [each for each in grants if each.holder in counting and each.allows(each.member, *asked_for, now)]


def _as_others(row: Mapping[str, Any], project: str, known: Collection[Grant]) -> Grant | None:
    """Return the grant of the most similar member that would be enough; None if there is none.

    With a role that allows only what was denied first, a run would get no further than to the next denial.
    """
    member = row["member"]
    alike = [each for each in known if _is_of_people(each.member) == _is_of_people(member)]
    own = {(each.holder, each.role) for each in alike if each.member == member}

    def rank(grant: Grant) -> tuple[int, int, str]:
        others = {(each.holder, each.role) for each in alike if each.member == grant.member}
        return -len(own & others), len(permissions_of(grant.role)), grant.role

    return min(_allowing(row, project, alike), key=rank, default=None)


def _new(
    row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], project: str, bindings: Bindings
) -> Grant:
    """Return a grant that nobody has, of all that the member was denied there; its role may be ""."""

    def place(row: Mapping[str, Any]) -> tuple[str, str]:
        return holders(row["resource"], project)[0], row["member"]

    holder, member = place(row)
    together = {each["permission"] for each in rows if place(each) == (holder, member)}
    return Grant(holder, _role(row["permission"], together, holder, bindings.grants), member)


def _role(permission: str, together: Collection[str], holder: str, known: Collection[Grant]) -> str:
    """Return the role that has a permission and most of those that were denied together; "" if there is none.

    Roles that others have on such resources come first, then those that allow least.
    """
    api = Resource(holder).api
    used = {grant.role for grant in known if Resource(grant.holder).api == api}
    fitting = [
        each for each in (*sorted(used), *roles_with(permission)) if permission in permissions_of(each)
    ]

    def rank(role: str) -> tuple[int, bool, bool, int]:
        # Google advises against the legacy roles, which stand for entries of an ACL.
        missing = len(set(together) - permissions_of(role))
        return missing, role not in used, ".legacy" in role, len(permissions_of(role))

    return min(fitting, key=rank, default="")


def _is_of_people(member: str) -> bool:
    """Return whether a member is a person, to whom no plan gives anything: docs/access.md does."""
    return member.startswith("user:")
