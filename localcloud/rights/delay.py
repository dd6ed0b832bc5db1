"""Policies that count late: for some seconds after a change, a policy counts as it was before.

A role that was just given does not help yet, and one that was just taken away still does. Google documents 2
minutes as typical, and 7 or more as possible: https://cloud.google.com/iam/docs/access-change-propagation.
For buckets it is about a minute, sometimes longer: https://cloud.google.com/storage/docs/consistency. On the
service, a change spreads at a different pace in each place; here all changes take the same time.

A restart of the emulator forgets the changes: the policies that are kept count at once.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from localcloud.rights.grants import Grant
from localcloud.times import Clock


@dataclass(frozen=True)
class _Change:
    """When a policy was changed, by the services' clock, and the grants before."""

    at: float
    before: tuple[Grant, ...]


class Delays:
    """The changes of each resource's policy that do not count yet; `seconds` are the services'."""

    def __init__(self, seconds: float = 0.0, clock: Clock | None = None):
        self.seconds, self._clock = seconds, clock or Clock()
        self._changes: dict[str, list[_Change]] = {}  # by holder, oldest first
        self._lock = threading.Lock()

    def counting(self, holder: str, current: Iterable[Grant]) -> list[Grant]:
        """Return the grants of a resource that count now; `current` are those in its policy."""
        with self._lock:
            late = self._late(holder)
            return list(late[0].before if late else current)

    def change(self, holder: str, current: Iterable[Grant]) -> None:
        """Note that a policy is about to change; a change that is then refused does no harm."""
        if not self.seconds:
            return
        with self._lock:
            self._changes[holder] = [*self._late(holder), _Change(self._clock.now(), tuple(current))]

    def forget(self, holder: str) -> None:
        """Forget a deleted resource: a new one of the same name has a policy of its own."""
        with self._lock:
            self._changes.pop(holder, None)

    def forget_account(self, email: str, uid: str) -> None:
        """Forget the roles of a deleted account: a new one with the same e-mail has none of them."""
        gone = f"serviceaccount:{email.lower()}"
        with self._lock:
            for holder, changes in self._changes.items():
                self._changes[holder] = [
                    _Change(each.at, tuple(grant for grant in each.before if grant.member.lower() != gone))
                    for each in changes
                ]

    def forget_all(self) -> None:
        with self._lock:
            self._changes.clear()

    def _late(self, holder: str) -> list[_Change]:
        known_until = self._clock.now() - self.seconds
        return [each for each in self._changes.get(holder, ()) if each.at > known_until]
