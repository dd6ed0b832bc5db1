"""Which fetched files are kept: new ones; never silently one that differs from what is there."""

import datetime
import sys
from collections import Counter
from dataclasses import dataclass, field, replace

from ops.data.checks import Facts, check_not_shorter
from ops.data.store import VINTAGE, Entry, Store, sha256
from ops.failures import UserError
from ops.terminal import nearest

ACCEPT = "`invoke data-update --accept-changes` takes it"


@dataclass(frozen=True)
class Fetched:
    """A file as it came from its source."""

    address: str
    content: bytes
    etag: str = ""


@dataclass
class Keeper:
    """Keeps files in a store, and counts what became of them.

    Attributes
    ----------
    accept_changes : bool
        Whether a file that changed at the source replaces the one that is there.
    damaged : frozenset of str
        Files that are not as they were written; they are left alone.
    counts : Counter
        Files by what became of them: "new", "replaced", "changed" (and not taken), "unchanged", "missing".
    problems : list of UserError
        Files that were refused.
    """

    store: Store
    today: datetime.date
    accept_changes: bool = False
    damaged: frozenset[str] = frozenset()
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[UserError] = field(default_factory=list)

    def take_vintage(self, as_of: datetime.date, fetched: Fetched, facts: Facts) -> None:
        """Keep target data as known on a day.

        Raises
        ------
        UserError
            They are shorter than the vintage before, have a later week or day, or cannot be written.
        """
        if as_of > self.today:
            raise UserError(f"{fetched.address}: as of {as_of}, which lies in the future")
        if facts.newest_week > as_of:
            raise UserError(
                f"{fetched.address}: as of {as_of}, but with the week that ends {facts.newest_week}; "
                "is the clock of this machine right?"
            )
        name = VINTAGE.format(as_of=as_of)
        if not self.accept_changes:
            check_not_shorter(facts.rows, self.store.rows_before(as_of), fetched.address)
        in_lock = {"newest_week": str(facts.newest_week), "rows": facts.rows, "counts": facts.digest}
        self.take(name, fetched, {"as_of": str(as_of), **in_lock})

    def take(self, name: str, fetched: Fetched, facts: dict | None = None) -> None:
        """Keep a file, unless it is there; one that differs needs `accept_changes`.

        A vintage that gains a week replaces the one of that day: the release came later on that day.
        """
        if name in self.damaged:
            return
        entry = Entry(
            address=fetched.address,
            sha256=sha256(fetched.content),
            bytes=len(fetched.content),
            fetched_at=now(),
            etag=fetched.etag,
            **(facts or {}),
        )
        old = self.store.entries.get(name)
        if old is None:
            self._take_unlisted(name, fetched.content, entry)
        elif old.is_same(entry):
            self._take_unchanged(name, fetched.content, old, entry)
        elif entry.newest_week > old.newest_week:
            self._replace(name, fetched.content, entry, f"now with the week that ends {entry.newest_week}")
        elif self.accept_changes:
            self._replace(name, fetched.content, entry, "changed at the source")
        else:
            self._leave(name, f"changed at the source since {old.fetched_at}")

    def _take_unlisted(self, name: str, content: bytes, entry: Entry) -> None:
        is_there = self.store.is_file(name)
        if is_there and self.store.digest(name) != entry.sha256:
            if not self.accept_changes:
                self._leave(name, "is not in lock.json, and differs from the source")
                return
            self._replace(name, content, entry, "was not in lock.json")
        elif is_there:  # an update was killed before it wrote the lock file
            self.store.note(name, entry)
            self.counts["new"] += 1
        else:
            self.store.keep(name, content, entry)
            self.counts["new"] += 1

    def _take_unchanged(self, name: str, content: bytes, old: Entry, entry: Entry) -> None:
        if self.store.is_file(name):
            self.store.note(name, replace(old, address=entry.address, etag=entry.etag))
            self.counts["unchanged"] += 1
        else:
            self.store.keep(name, content, entry)
            self.counts["new"] += 1

    def _replace(self, name: str, content: bytes, entry: Entry, why: str) -> None:
        self.store.keep(name, content, entry)
        self.counts["replaced"] += 1
        print(f"{name}: replaced ({why})", flush=True)

    def forget_missing(self) -> None:
        """Remove from the lock file what is gone and was not fetched again."""
        for name in [name for name in self.store.entries if not self.store.is_file(name)]:
            self.store.note(name, None)
            print(f"{name}: is gone, and was not fetched again; removed from lock.json", file=sys.stderr)

    def _leave(self, name: str, why: str) -> None:
        self.counts["changed"] += 1
        print(f"{name}: {why}; not replaced: {ACCEPT}", file=sys.stderr, flush=True)


def damage(store: Store, names: frozenset[str], command: str) -> UserError | None:
    """Return the error about files that are not as they were written; `command` fetches them again."""
    if not names:
        return None
    paths = " ".join(nearest(store.folder / name) for name in sorted(names))
    return UserError(
        f"{paths}: not as lock.json says (damaged, or changed by hand); to fetch again",
        fix=f"rm {paths} && {command}",
    )


def now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
