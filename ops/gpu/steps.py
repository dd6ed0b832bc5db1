"""Steps of gcloud: planned in full first, then run in order, with the seconds that each took."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ops.cloud.cloud import Cloud
from ops.gcloud import AT_ONCE, CALL_SECONDS, GcloudError, in_parallel

Command = Sequence[str]  # without gcloud itself
Tell = Callable[[str, float], object]
PAUSE_SECONDS = 5


@dataclass(frozen=True)
class Step:
    """What is done, and the chains of commands that do it.

    Chains run at the same time, the commands of a chain one after the other: two that change the same policy
    would overwrite each other's change.
    """

    title: str
    chains: Sequence[Sequence[Command]]
    timeout_seconds: float = CALL_SECONDS
    awaited: str = ""  # an error with this text passes on its own ...
    patience_seconds: float = 0  # ... within this time

    def run(self, cloud: Cloud, echo: bool = True) -> None:
        """Run the commands; a dry run prints them."""
        chains = [lambda chain=chain: self._run_chain(cloud, chain, echo) for chain in self.chains]
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
            raise
        return True


def one_by_one(commands: Sequence[Command]) -> list[list[Command]]:
    """Return commands as chains of their own, which run at the same time."""
    return [[words] for words in commands]


def run_all(cloud: Cloud, steps: Sequence[Step], tell: Tell | None) -> None:
    """Run steps in order, without those that have no command.

    `tell` gets the title of each step and its seconds, and commands are not echoed; without it they are.
    """
    for step in steps:
        if any(step.chains):
            begun = time.monotonic()
            step.run(cloud, echo=tell is None)
            if tell:
                tell(step.title, time.monotonic() - begun)
