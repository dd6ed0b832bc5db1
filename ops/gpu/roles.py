"""Roles that a person needs in the project to deploy the lane, and which of them are missing in its policy.

Only the project's own policy is read: roles from a folder or the organization are not in it, and who belongs
to a group cannot be seen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OWNER, EDITOR = "roles/owner", "roles/editor"
# Each role that deploys, and what it is for.
ROLES = {
    "roles/run.admin": "services and who may call them",
    "roles/workflows.admin": "the workflow",
    "roles/eventarc.admin": "the trigger",
    "roles/storage.admin": "buckets and who may read them",
    "roles/iam.serviceAccountAdmin": "the lane's accounts",
    "roles/iam.serviceAccountUser": "let services run as these accounts",
    "roles/artifactregistry.admin": "the repository of images",
    "roles/cloudbuild.builds.editor": "build the images",
    "roles/serviceusage.serviceUsageAdmin": "enable APIs",
    "roles/monitoring.editor": "dashboard and alerts",
    "roles/resourcemanager.projectIamAdmin": "rights of the accounts in the project",
}
# An editor may change nearly everything, but not who may do what.
_OF_AN_EDITOR = {
    "roles/workflows.admin",
    "roles/eventarc.admin",
    "roles/iam.serviceAccountUser",
    "roles/cloudbuild.builds.editor",
    "roles/serviceusage.serviceUsageAdmin",
    "roles/monitoring.editor",
}


@dataclass(frozen=True)
class Held:
    """The roles of a person in the project's policy: their own, and those of groups and whole domains."""

    own: frozenset[str]
    of_groups: Mapping[str, Sequence[str]]  # members by role

    @classmethod
    def by(cls, account: str, policy: Mapping[str, Any]) -> "Held":
        """Return the roles of an account; one with a condition counts: nobody can tell when it holds."""
        members = {f"{kind}:{account}" for kind in ("user", "serviceAccount")} | {"allAuthenticatedUsers"}
        own, groups = set(), {}
        for binding in policy.get("bindings", []):
            if members & set(binding["members"]):
                own.add(binding["role"])
            wider = [each for each in binding["members"] if each.startswith(("group:", "domain:"))]
            groups.setdefault(binding["role"], []).extend(wider)
        return cls(frozenset(own), {role: each for role, each in groups.items() if each})

    def missing(self) -> list[str]:
        """Return the roles of ROLES that neither the person nor a group has."""
        return [role for role in ROLES if not _gives(self.own, role) and not _gives(self.of_groups, role)]

    def from_groups(self) -> list[str]:
        """Return the groups and domains from which roles come, if the person is in them."""
        needed = [role for role in ROLES if not _gives(self.own, role)]
        givers = [
            members
            for role, members in self.of_groups.items()
            if any(_gives([role], each) for each in needed)
        ]
        return sorted({member for members in givers for member in members})


def _gives(roles: Iterable[str], role: str) -> bool:
    held = set(roles)
    return role in held or OWNER in held or (EDITOR in held and role in _OF_AN_EDITOR)


def member_of(account: str) -> str:
    """Return an account as policies name it."""
    kind = "serviceAccount" if account.endswith(".gserviceaccount.com") else "user"
    return f"{kind}:{account}"


def commands_for(roles: Iterable[str], project: str, account: str) -> list[str]:
    """Return the command that gives each role to an account."""
    return [
        f"gcloud projects add-iam-policy-binding {project} --member {member_of(account)} --role {role} "
        "--condition None"
        for role in roles
    ]
