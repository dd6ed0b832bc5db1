"""The commands that a page of documentation shows: what follows `$ ` in its fenced `console` blocks."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ASSIGNED = re.compile(r"([A-Z][A-Z_]*)=\S*")
_OPERATORS = {"|", "||", "&&", ";", "&"}
_REDIRECTIONS = {">", ">>", "<"}


@dataclass(frozen=True)
class Command:
    """A command as a reader pastes it, with the lines that it goes on for."""

    page: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}: {self.text}"

    def sets(self) -> set[str]:
        """Return the variables that a command does nothing but set: the placeholders of its page."""
        words = shlex.split(self.text, comments=True)
        names = [_ASSIGNED.fullmatch(word) for word in words]
        return {name[1] for name in names} if words and all(names) else set()

    def calls(self, program: str) -> list[list[str]]:
        """Return the arguments of each call of a program, with $VARIABLES as they stand."""
        lexer = shlex.shlex(self.text.partition("<<")[0], posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        calls, words = [], []
        for word in lexer:
            if word in _REDIRECTIONS:
                next(lexer)  # a file
            elif word in _OPERATORS:
                calls.append(words)
                words = []
            else:
                words.append(word)
        calls.append(words)
        without_variables = ([*_past_assignments(call)] for call in calls)
        return [call[1:] for call in without_variables if call and call[0] == program]


def _past_assignments(words: list[str]) -> Iterator[str]:
    first = next((n for n, word in enumerate(words) if not _ASSIGNED.fullmatch(word)), len(words))
    return iter(words[first:])


def commands_of(page: Path) -> list[Command]:
    """Return the commands of a page, in order; what a program answers is left out."""
    text, found = page.read_text(encoding="utf-8"), []
    for block in _BLOCK.finditer(text):
        number = text.count("\n", 0, block.start(1)) + 1
        lines = iter(enumerate(block[1].splitlines(), number))
        for at, line in lines:
            if not line.startswith("$ "):
                continue
            command = line[2:]
            while command.endswith("\\"):
                command = f"{command}\n{next(lines)[1]}"
            if ends := re.search(r"<<-?\s*'?(\w+)'?", command):
                for _, more in lines:
                    command = f"{command}\n{more}"
                    if more == ends[1]:
                        break
            found.append(Command(page, at, command))
    return found
