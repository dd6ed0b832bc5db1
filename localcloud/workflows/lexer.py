"""The tokens of an expression, the text between `${` and `}`."""

import re
from dataclasses import dataclass
from typing import Any

from localcloud.workflows.values import fits, whole_characters

WORDS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    "null": None,
}
OPERATOR_WORDS = ("and", "AND", "or", "OR", "not", "NOT", "in")

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>==|!=|<=|>=|//|[-+*/%<>()\[\]{},.:])
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}


class ExpressionError(Exception):
    """An expression that cannot be parsed."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token of kind string, number, name, mark or end; a string or number has a value."""

    kind: str
    text: str
    value: Any = None


END = Token("end", "the end")


def tokens_until_brace(text: str, start: int) -> tuple[list[Token], int]:
    """Return the tokens from `start` to the brace that closes the expression, and the brace's position."""
    found: list[Token] = []
    at, depth = start, 0
    while match := _TOKEN.match(text, at):
        token = _token(match)
        if token.text == "}" and token.kind == "mark":
            if depth == 0:
                return found, match.end() - 1
            depth -= 1
        elif token.text == "{" and token.kind == "mark":
            depth += 1
        found.append(token)
        at = match.end()
    rest = text[at:].strip()
    if not rest:
        raise ExpressionError(f"no }} closes ${{{text[start:].strip()}")
    if rest[0] == '"':
        raise ExpressionError(f"no quote closes {rest}")
    raise ExpressionError(f"unexpected {rest[0]!r} in ${{{text[start:].strip()}")


def _token(match: re.Match) -> Token:
    kind = match.lastgroup
    text = match[kind]
    if kind == "string":
        return Token(kind, text, _text(text[1:-1]))
    if kind == "number":
        return Token(kind, text, _number(text))
    return Token(kind, text)


def _number(text: str) -> int | float:
    found = int(text) if text.isdecimal() else float(text)
    if not fits(found):
        raise ExpressionError(f"a number has 64 bits, {text} has more")
    return found


def _text(quoted: str) -> str:
    return whole_characters(_ESCAPE.sub(_unescaped, quoted)) if "\\" in quoted else quoted


def _unescaped(match: re.Match) -> str:
    code = match[1]
    if len(code) > 1:
        return chr(int(code[1:], 16))
    if code not in _ESCAPES:
        raise ExpressionError(f"unknown escape \\{code} in a string")
    return _ESCAPES[code]
