"""Steps of gcloud: planned first, then run in order, with the seconds that each took."""

import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from modeling.refusals import MAY_NOT_COUNT_YET
from ops.cloud.cloud import Cloud
from ops.gcloud import AT_ONCE, CALL_SECONDS, DOCTOR, GcloudError, Refusal, in_parallel

Command = Sequence[str]  # without gcloud itself
Chains = Sequence[Sequence[Command]]
Tell = Callable[[str, float], object]
PAUSE_SECONDS = 5
# Options of a step that names a new account, which is not known everywhere at once.
ACCOUNT_NOT_READY = {"awaited": "does not exist", "patience_seconds": 90}
CHECK = "invoke gpu-check"  # of all that the lane needs in the project


class Change(NamedTuple):
    """What is done, for the operator, and the commands that do it, one after the other."""

    what: str
    commands: Sequence[Command]


@dataclass(frozen=True)
class Step:
    """What is done, and the chains of commands that do it; or what returns them once earlier steps are done.

    Chains run at the same time, the commands of a chain one after the other: two that change the same policy
    would overwrite each other's change.
    """

    title: str
    chains: Chains | Callable[[], Chains]
    timeout_seconds: float = CALL_SECONDS
    awaited: str = ""  # an error with this text passes on its own ...
    patience_seconds: float = 0  # ... within this time
    changes: Sequence[str] = ()  # for the operator
    is_removal: bool = False  # what is gone already is no error

    @classmethod
    def of(cls, title: str, changes: Sequence[Change], *, in_turn: bool = False, **more: Any) -> "Step":
        """Return the step that makes some changes, at the same time or one after the other."""
        chains = [each.commands for each in changes]
        if in_turn and chains:
            chains = [[words for chain in chains for words in chain]]
        return cls(title, chains, changes=[each.what for each in changes], **more)

    @property
    def is_needed(self) -> bool:
        return bool(self.changes) if callable(self.chains) else any(self.chains)

    def run(self, cloud: Cloud, echo: bool = True) -> None:
        """Run the commands; a dry run prints them."""
        planned = self.chains() if callable(self.chains) else self.chains
        chains = [lambda chain=chain: self._run_chain(cloud, chain, echo) for chain in planned]
        in_parallel(chains, cloud.shell.most_at_once(AT_ONCE))

    def _run_chain(self, cloud: Cloud, chain: Sequence[Command], echo: bool) -> None:
        for words in chain:
            begun = time.monotonic()
            while not self._is_done(cloud, words, echo, time.monotonic() - begun):
                time.sleep(PAUSE_SECONDS)

    def _is_done(self, cloud: Cloud, words: Command, echo: bool, waited_seconds: float) -> bool:
        """Run a command; False if it has to wait for something that is not ready yet."""
        try:
            cloud.read(words, timeout_seconds=self.timeout_seconds, echo=echo)
        except GcloudError as error:
            if self.awaited and self.awaited in error.said and waited_seconds < self.patience_seconds:
                return False
            if not (self.is_removal and error.refusal is Refusal.MISSING):
                raise _in_step(cloud, self.title, error) from None
        return True


def _in_step(cloud: Cloud, title: str, error: GcloudError) -> GcloudError:
    """Return an error with the step that failed, and what to do here: `invoke doctor` does not know the lane.

    Why an instance did not start is only in its log.
    """
    fix, problem = CHECK if error.fix == DOCTOR else error.fix, error.problem
    if revision := re.search(r"Revision '([\w-]+)' is not ready", error.said):
        entries = f'resource.type="cloud_run_revision" AND resource.labels.revision_name="{revision[1]}"'
        fields = "value(timestamp,severity,jsonPayload.message,textPayload)"
        words = ["gcloud", "logging", "read", entries, *cloud.in_project, "--limit", "30", "--format", fields]
        fix, problem = shlex.join(words), f"{problem}; {MAY_NOT_COUNT_YET}"
    return GcloudError(f"{title}: {problem}", error.refusal, error.said, fix)


@contextmanager
def continued_by(command: str) -> Iterator[None]:
    """Say on Ctrl-C which command continues."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nstopped halfway; `{command}` continues", file=sys.stderr, flush=True)
        raise


def one_by_one(commands: Sequence[Command]) -> list[list[Command]]:
    """Return commands as chains of their own, which run at the same time."""
    return [[words] for words in commands]


def run_all(cloud: Cloud, steps: Sequence[Step], tell: Tell | None) -> None:
    """Run steps in order, without those that have no command.

    `tell` gets the title of each step and its seconds, and commands are not echoed; without it they are.
    """
    for step in steps:
        if step.is_needed:
            begun = time.monotonic()
            step.run(cloud, echo=tell is None)
            if tell:
                tell(step.title, time.monotonic() - begun)


def differences(there: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Return what has to change, such as "memory 16Gi -> 24Gi"; nothing where all is as wanted."""
    names = [*wanted, *(name for name in there if name not in wanted)]
    pairs = [(name, there.get(name, ""), wanted.get(name, "")) for name in names]
    return [f"{name} {_shown(before)} -> {_shown(after)}" for name, before, after in pairs if before != after]


def _shown(value: str) -> str:
    if not value:
        return "none"
    return value if len(value) <= 80 and "\n" not in value else f"{value[:40]!r}..."
