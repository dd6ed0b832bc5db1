"""What was asked of the rights of an emulated cloud, for the last lines of a rehearsal that succeeds.

Without them, a rehearsal that tested no rights would end like one that did, and so would one whose delay
(`--iam-delay`) was too short to be felt.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from localcloud.members import OWNER
from ops.rehearsal.denials import asked
from ops.terminal import counted

NONE = "rights: not rehearsed"

Question = tuple[str, str, str]  # member, permission, resource


@dataclass
class Questions:
    """The questions of all but the owner, who may do everything.

    `delay_seconds` are those of the services' clock.
    """

    delay_seconds: int = 0
    all: set[Question] = field(default_factory=set)
    refused: set[Question] = field(default_factory=set)  # before their roles counted
    left: set[Question] = field(default_factory=set)  # of those, by the last record: not asked again

    def note(self, apis: str) -> None:
        """Add the record of an emulated cloud; called before it is emptied, and at the end."""
        self.add(asked(apis))

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add the rows of a record."""
        by_question = {
            (row["member"], row["permission"], row["resource"]): row for row in rows if row["member"] != OWNER
        }
        self.left = {each for each, row in by_question.items() if row.get("later")}
        self.refused |= self.left | {each for each, row in by_question.items() if row.get("waited")}
        self.all |= by_question.keys()

    def lines(self) -> list[str]:
        """Return what was tested, and what the delay did, if there was one."""
        members = len({member for member, _, _ in self.all})
        but = " but for the delay" if self.refused else ""
        tested = f"{counted(len(self.all), 'question')} of {counted(members, 'member')}"
        lines = [f"rights: {tested}, nothing was denied{but}"]
        return (
            [*lines, f"delay of {self.delay_seconds} s: {self._delayed()}"] if self.delay_seconds else lines
        )

    def _delayed(self) -> str:
        if not self.refused:
            return "nothing was refused because of it"
        one = len(self.refused) == 1
        were, roles, they = ("was", "its role", "it") if one else ("were", "their roles", "they")
        left = f", but for {len(self.left)} not asked again" if self.left else ""
        number = counted(len(self.refused), "question")
        return f"{number} {were} refused before {roles} counted; repeated until {they} did{left}"
