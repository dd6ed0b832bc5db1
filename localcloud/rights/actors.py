"""Who acts in the emulated cloud: the accounts of tasks, executions, builds and services.

An actor's programs use its door, requests in its name carry its token, and acts that are not requests, such
as an agent's report, ask for their permissions here. In a cloud that enforces nothing, every actor uses the
main door and may do everything.
"""

from dataclasses import dataclass

from localcloud.members import member, token_of
from localcloud.messages import ApiError
from localcloud.rights.doors import Addresses, Doors
from localcloud.rights.enforcement import Rights
from localcloud.rights.needs import UnknownNeed, acts


@dataclass(frozen=True)
class Actor:
    """A member at work in a project; `doors` and `rights` are the cloud's."""

    member: str
    doors: Doors
    rights: Rights

    @property
    def email(self) -> str:
        return self.member.partition(":")[2]

    @property
    def door(self) -> Addresses:
        """Return the addresses of "storage" and "apis" for its programs."""
        return self.doors.of(self.member)

    @property
    def token(self) -> str:
        """Return its access token."""
        return token_of(self.member)

    def ask(self, permission: str, resource: str) -> None:
        """Refuse an act unless the actor has a permission on a resource.

        Raises
        ------
        ApiError
            403, or 401 if the account is gone or disabled.
        UnknownNeed
            acts.csv does not have the permission.
        """
        if permission not in acts():
            raise UnknownNeed(f"{self.member} asks for {permission}: add it to rights/acts.csv")
        self.rights.ask(self.member, permission, resource)

    def why_not(self, permission: str, resource: str) -> str:
        """Return why the actor may not do something; "" if it may."""
        try:
            self.ask(permission, resource)
        except ApiError as refused:
            return refused.message
        return ""

    def may_log(self, project: str) -> bool:
        """Return whether its log entries are kept: roles/logging.logWriter.

        https://cloud.google.com/logging/docs/access-control
        """
        return not self.why_not("logging.logEntries.create", f"projects/{project}")


class Actors:
    """The actors of a cloud, by their e-mails."""

    def __init__(self, doors: Doors, rights: Rights):
        self.doors, self.rights = doors, rights

    @property
    def main(self) -> Addresses:
        """Return the addresses of the main door, which is the owner's."""
        return self.doors.main

    def as_(self, account: str) -> Actor:
        """Return an account at work."""
        return Actor(member(account), self.doors, self.rights)


def unenforced(main: Addresses) -> Actors:
    """Return the actors of a cloud that enforces nothing, by the addresses of its main door."""
    return Actors(Doors(main), Rights())
