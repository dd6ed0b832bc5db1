"""Terraform's language as blocks and arguments, as far as its rules can be checked without Terraform.

An expression is kept as its words. Of these only plain values, calls of functions and paths are understood.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from localcloud.infra.tokens import END, NAME, NEWLINE, NUMBER, STRING, NotReadable, Token, tokens_of

MAX_DEPTH = 100  # of blocks within blocks
MAX_DIGITS = 300  # of a whole number; a longer one is read with the precision of a float
_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")
_WORDS = {"true": True, "false": False, "null": None}
UNKNOWN = object()  # the value of an expression that only Terraform can evaluate


@dataclass(frozen=True)
class Expression:
    words: tuple[Token, ...]

    @property
    def line(self) -> int:
        return self.words[0].line

    @property
    def value(self):
        """Return the text, number, boolean or None that is written here; UNKNOWN for all else."""
        words = [word for word in self.words if word.kind != NEWLINE]
        negative = len(words) == 2 and words[0].is_sign("-") and words[1].kind == NUMBER
        if len(words) != 1 and not negative:
            return UNKNOWN
        word = words[-1]
        if word.kind == NUMBER:
            is_whole = word.text.isdecimal() and len(word.text) <= MAX_DIGITS
            number = int(word.text) if is_whole else float(word.text)
            return -number if negative else number
        if word.kind == STRING:
            text = word.literal()
            return UNKNOWN if text is None else text
        return _WORDS.get(word.text, UNKNOWN)

    @property
    def text(self) -> str:
        """Return the words without spaces, such as list(string)."""
        return _joined(self.words)

    def calls(self, known: Mapping[str, str]) -> Iterator["Call"]:
        """Yield the calls of functions; `known` has the values of names such as path.module."""
        return _calls(self.words, known)


class Call(NamedTuple):
    """A call of a function; its first argument is None if only Terraform can evaluate it."""

    function: str
    argument: str | None
    line: int


@dataclass(frozen=True)
class Body:
    """The arguments and blocks of a file or a block."""

    arguments: dict[str, Expression] = field(default_factory=dict)
    blocks: list["Block"] = field(default_factory=list)

    def named(self, kind: str) -> Iterator["Block"]:
        return (block for block in self.blocks if block.kind == kind)

    def expressions(self) -> Iterator[Expression]:
        """Yield all expressions, those of blocks within blocks, too."""
        yield from self.arguments.values()
        for block in self.blocks:
            yield from block.body.expressions()


@dataclass(frozen=True)
class Block:
    kind: str
    labels: tuple[str, ...]
    line: int
    body: Body

    @property
    def name(self) -> str:
        """Return the last label, which is the block's own name; empty without labels."""
        return self.labels[-1] if self.labels else ""


def read_hcl(text: str) -> Body:
    """Return the arguments and blocks of a file.

    Raises
    ------
    NotReadable
    """
    return _Parser(tokens_of(text)).body(END)


class _Parser:
    def __init__(self, words: Sequence[Token]):
        self._words, self._at, self._depth = words, 0, 0

    def body(self, end: str) -> Body:
        """Read arguments and blocks up to the end of the file, or to the closing brace."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise NotReadable(self._word.line, f"More than {MAX_DEPTH} blocks within each other")
        found = Body()
        while True:
            self._skip_lines()
            word = self._take()
            if word.kind == end or word.is_sign(end):
                self._depth -= 1
                return found
            if word.kind != NAME:
                raise NotReadable(word.line, f"Expected an argument or a block, found {_shown(word)}")
            self._add(found, word)

    @property
    def _word(self) -> Token:
        return self._words[self._at]

    def _take(self) -> Token:
        word = self._word
        self._at += word.kind != END  # which is never passed
        return word

    def _skip_lines(self) -> None:
        while self._word.kind == NEWLINE:
            self._at += 1

    def _add(self, body: Body, name: Token) -> None:
        if not self._word.is_sign("="):
            body.blocks.append(self._block(name))
            return
        if name.text in body.arguments:
            first = body.arguments[name.text].line
            raise NotReadable(name.line, f'The argument "{name.text}" was already set on line {first}')
        self._take()
        body.arguments[name.text] = self._expression(name)

    def _block(self, kind: Token) -> Block:
        labels = []
        while not (word := self._take()).is_sign("{"):
            label = word.text if word.kind == NAME else word.literal()
            if label is None:
                raise NotReadable(word.line, f"Expected = or {{ after {kind.text}, found {_shown(word)}")
            labels.append(label)
        return Block(kind.text, tuple(labels), kind.line, self.body("}"))

    def _expression(self, name: Token) -> Expression:
        """Read the words up to the end of the line, or of the block; lines go on within brackets."""
        words, open_brackets = [], []
        while True:
            word = self._word
            ends = word.kind in (NEWLINE, END) or word.is_sign("}")
            if ends and not open_brackets:
                break
            if word.kind == END:
                raise NotReadable(open_brackets[-1].line, f"Unclosed {open_brackets[-1].text}")
            self._follow(word, open_brackets)
            words.append(self._take())
        if not words:
            raise NotReadable(name.line, f'The argument "{name.text}" has no value')
        return Expression(tuple(words))

    def _follow(self, word: Token, open_brackets: list[Token]) -> None:
        if word.is_sign(*_OPENING):
            open_brackets.append(word)
        elif word.is_sign(*_CLOSING):
            opening = open_brackets.pop() if open_brackets else None
            if opening is None or _OPENING.index(opening.text) != _CLOSING.index(word.text):
                raise NotReadable(word.line, f"Unexpected {word.text}")


def _calls(words: Sequence[Token], known: Mapping[str, str]) -> Iterator[Call]:
    for at, word in enumerate(words):
        for part in word.parts:
            if not isinstance(part, str):
                yield from _calls(part, known)
        if word.kind == NAME and at + 1 < len(words) and words[at + 1].is_sign("("):
            yield Call(word.text, _text(_only_word(words, at + 2), known), word.line)


def _only_word(words: Sequence[Token], start: int) -> Token | None:
    """Return the word that begins at a place and is all of an argument; None for a longer one."""
    here = (words[at] for at in range(start, len(words)) if words[at].kind != NEWLINE)
    word, after = next(here, None), next(here, None)
    return word if after is None or after.is_sign(",", *_CLOSING) else None


def _text(word: Token | None, known: Mapping[str, str]) -> str | None:
    """Return the text of a string whose templates are known names."""
    if word is None or word.kind != STRING:
        return None
    parts = [part if isinstance(part, str) else known.get(_joined(part)) for part in word.parts]
    return None if None in parts else "".join(parts)


def _joined(words: Iterable[Token]) -> str:
    return "".join(word.text for word in words if word.kind != NEWLINE)


def _shown(word: Token) -> str:
    names = {NEWLINE: "the end of the line", END: "the end of the file", STRING: "a string"}
    return names.get(word.kind, word.text)
