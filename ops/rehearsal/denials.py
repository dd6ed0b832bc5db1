"""What an emulated cloud denied, in one message: to whom, on what, and the command that gives it."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from localcloud.rights.grants import Grant
from localcloud.rights.resources import BUCKET, holders
from localcloud.rights.roles import permissions_of, roles_with
from ops.failures import UserError
from ops.rehearsal.policies import ANSWER_SECONDS, AS_OWNER
from ops.rehearsal.rights import Rights

_PARTS = re.compile(
    r"projects/(?P<project>[^/]+)(/locations/(?P<place>[^/]+))?(/(?P<kind>\w+)/(?P<name>[^/]+))?"
)


@contextmanager
def denials_explained(apis: str, project: str, rights: Rights | None) -> Iterator[None]:
    """Have an error in the block say what was denied, if anything was; its exit code is then 1.

    Of the roles that would help, one that others have by these rights is named. A cloud without rights denies
    nothing.
    """
    try:
        yield
    except UserError as error:
        denied = [row for row in asked(apis) if not row["by"]]
        if not denied:
            raise
        lines = "\n".join(_line(row, project, rights.grants if rights else ()) for row in denied)
        raise UserError(f"{error.problem}\n{lines}", exit_code=1) from None


def asked(apis: str) -> list[dict[str, Any]]:
    """Return the record of an emulated cloud: who was asked for what, and what allowed it."""
    import requests  # here, because its import takes a fifth of invoke's start

    answer = requests.get(f"{apis}/_emulator/rights", headers=AS_OWNER, timeout=ANSWER_SECONDS)
    answer.raise_for_status()
    return answer.json()["asked"]


def _line(row: Mapping[str, Any], project: str, known: Collection[Grant]) -> str:
    member, permission, resource = row["member"], row["permission"], row["resource"]
    denied = f"denied: {member.partition(':')[2]} may not {permission} on {resource}"
    holder = holders(resource, project)[0]
    if later := row.get("later"):
        return f"{denied} yet: {later[0]['role']} was given, and does not count so soon"
    role = _role(permission, holder, known)
    return f"{denied}: {command(holder, role, member)}" if role else f"{denied}; no role that is known has it"


def _role(permission: str, holder: str, known: Collection[Grant]) -> str:
    """Return the role that gives a permission: one that others have on such a resource, else the smallest."""
    used = {grant.role for grant in known if _kind(grant.holder) == _kind(holder)}
    fitting = [role for role in used if permission in permissions_of(role)]
    smallest = min(fitting, key=lambda role: (len(permissions_of(role)), role), default="")
    return smallest or next(iter(roles_with(permission)), "")


def _kind(holder: str) -> str:
    return "bucket" if holder.startswith(BUCKET) else str(_PARTS.match(holder)["kind"])


def command(holder: str, role: str, member: str) -> str:
    """Return the command that gives a member a role on a resource that has a policy."""
    given = f"--member {member} --role {role}"
    if holder.startswith(BUCKET):
        return f"gcloud storage buckets add-iam-policy-binding gs://{holder.removeprefix(BUCKET)} {given}"
    parts = _PARTS.match(holder)
    project, place, name = parts["project"], parts["place"], parts["name"]
    if not name:
        return f"gcloud projects add-iam-policy-binding {project} {given} --condition None"
    words = {
        "serviceAccounts": "iam service-accounts",
        "secrets": "secrets",
        "repositories": "artifacts repositories",
        "services": "run services",
    }[parts["kind"]]
    where = {"repositories": f" --location {place}", "services": f" --region {place}"}.get(parts["kind"], "")
    return f"gcloud {words} add-iam-policy-binding {name}{where} --project {project} {given}"
