"""Conditions of bindings: the part of CEL, the Common Expression Language, that IAM documents for grants.

resource.name (==, !=, startsWith, endsWith), resource.type and resource.service (==, !=), request.time
(<, <=, >, >= with a timestamp), &&, ||, !, parentheses, true and false. Anything else is refused, never
ignored. https://cloud.google.com/iam/docs/conditions-overview, and for the syntax
https://github.com/google/cel-spec/blob/master/doc/langdef.md.

A part that uses an attribute which the resource does not have never grants access, not even when it is
negated; its value here is None. In an example of Google's, `resource.type != "..."` is true of resources
without a type: https://cloud.google.com/iam/docs/conditions-attribute-reference, "Support for inherited
conditions". The page does not say whether `resource.service != "..."` is true of them, too; here it is.

A condition on names of objects allows nothing on the bucket, which has its own name: no storage.objects.list.
"""

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from localcloud.rights.attributes import Attributes, attributes_of

MOST_DEPTH = 50  # of parentheses and negations
MOST_OPERATORS = 12  # && and ||: https://cloud.google.com/iam/quotas; ! is not mentioned
_SHOWN = 20_000  # characters of an expression in an error
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*')
    |(?P<name>[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*)
    |(?P<mark>&&|\|\||==|!=|<=|>=|[<>!()])
    |(?P<end>\Z)
    |(?P<other>.)
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"""\\(?:(?P<plain>[abfnrtv\\?"'`])|[xX](?P<x>[0-9A-Fa-f]{2})|u(?P<u>[0-9A-Fa-f]{4})
    |U(?P<long>[0-9A-Fa-f]{8})|(?P<octal>[0-3][0-7]{2})|(?P<wrong>.))""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)")
_EQUAL = {"==": operator.eq, "!=": operator.ne}
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ATTRIBUTES = {"resource.name": "name", "resource.type": "type", "resource.service": "service"}
_METHODS = {"resource.name.startsWith": str.startswith, "resource.name.endsWith": str.endswith}


class UnreadableCondition(Exception):
    """A condition that is not CEL, or uses a part of CEL that is not emulated; the message quotes it."""


def holds(expression: str, resource: str, now: datetime) -> bool:
    """Return whether a condition holds for a resource at a time.

    Raises
    ------
    UnreadableCondition
    """
    return parsed(expression)(attributes_of(resource), now) is True


Evaluate = Callable[[Attributes, datetime], Any]  # None where an attribute is missing


@dataclass(frozen=True)
class _Part:
    kind: str  # "boolean", "string" or "timestamp"
    value: Evaluate


@cache
def parsed(expression: str) -> Evaluate:
    """Return the function that evaluates a condition: true, false, or None where an attribute is missing.

    Raises
    ------
    UnreadableCondition
    """
    return _Parser(expression).parse()


class _Parser:
    """Parses one expression. Methods of operators that bind less tightly come first."""

    def __init__(self, expression: str):
        self._expression, self._depth = expression, 0
        self._tokens = list(self._read())  # the last one is the end
        self._at = 0

    def parse(self) -> Evaluate:
        whole = self._either()
        if self._next[0] != "end":
            raise self._unreadable(f"{self._next[1]} is not expected here")
        operators = sum(token in (("mark", "&&"), ("mark", "||")) for token in self._tokens)
        if operators > MOST_OPERATORS:
            raise self._unreadable(f"it has {operators} logical operators, and may have {MOST_OPERATORS}")
        return self._need(whole, "boolean", "the whole")

    def _either(self) -> _Part:
        parts = self._joined("||", self._all)
        return parts[0] if len(parts) == 1 else _Part("boolean", _some([each.value for each in parts]))

    def _all(self) -> _Part:
        parts = self._joined("&&", self._comparison)
        return parts[0] if len(parts) == 1 else _Part("boolean", _every([each.value for each in parts]))

    def _joined(self, mark: str, inner: Callable[[], _Part]) -> list[_Part]:
        parts = [inner()]
        while self._takes(mark):
            parts.append(inner())
        if len(parts) > 1:
            for each in parts:
                self._need(each, "boolean", f"each side of {mark}")
        return parts

    def _comparison(self) -> _Part:
        left = self._unary()
        mark = self._next[1]
        if self._next[0] != "mark" or mark not in {**_EQUAL, **_ORDER}:
            return left
        self._at += 1
        right = self._unary()
        kind = "string" if mark in _EQUAL else "timestamp"
        values = [self._need(each, kind, f"each side of {mark}") for each in (left, right)]
        return _Part("boolean", _lifted({**_EQUAL, **_ORDER}[mark], *values))

    def _unary(self) -> _Part:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise self._unreadable(f"it is nested more than {MOST_DEPTH} deep")
        try:
            if self._takes("!"):
                return _Part(
                    "boolean", _lifted(operator.not_, self._need(self._unary(), "boolean", "what ! negates"))
                )
            return self._primary()
        finally:
            self._depth -= 1

    def _primary(self) -> _Part:
        kind, text = self._next
        self._at += 1
        if kind == "string":
            value = self._text(text)
            return _Part("string", lambda attributes, now: value)
        if (kind, text) == ("mark", "("):
            inner = self._either()
            self._close()
            return inner
        if kind == "name":
            return self._named(text)
        raise self._unreadable("it ends too early" if kind == "end" else f"{text} is not expected here")

    def _named(self, name: str) -> _Part:
        if name in ("true", "false"):
            return _Part("boolean", lambda attributes, now: name == "true")
        if field := _ATTRIBUTES.get(name):
            return _Part("string", lambda attributes, now: getattr(attributes, field))
        if name == "request.time":
            return _Part("timestamp", lambda attributes, now: now)
        if method := _METHODS.get(name):
            part = self._argument(name)
            return _Part("boolean", _lifted(method, lambda attributes, now: attributes.name, lambda *_: part))
        if name == "timestamp":
            time = self._time(self._argument(name))
            return _Part("timestamp", lambda attributes, now: time)
        raise self._unreadable(f"localcloud does not emulate {name}")

    def _argument(self, name: str) -> str:
        """Take the one argument of a function, which must be a text in quotes."""
        if not self._takes("("):
            raise self._unreadable(f"{name} needs an argument in parentheses")
        kind, text = self._next
        if kind != "string":
            raise self._unreadable(f"{name} needs a text in quotes")
        self._at += 1
        self._close()
        return self._text(text)

    def _time(self, text: str) -> datetime:
        try:
            if _TIMESTAMP.fullmatch(text):
                return datetime.fromisoformat(text)
        except ValueError:
            pass  # such as a thirteenth month
        raise self._unreadable(f'{text!r} is no time such as "2026-01-31T12:00:00Z"')

    def _text(self, quoted: str) -> str:
        def character(found: re.Match[str]) -> str:
            if plain := found["plain"]:
                return _PLAIN.get(plain, plain)
            digits = found["x"] or found["u"] or found["long"]
            code = int(digits, 16) if digits else int(found["octal"], 8) if found["octal"] else -1
            if code < 0 or code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise self._unreadable(f"{found[0]} is no escape")
            return chr(code)

        return _ESCAPE.sub(character, quoted[1:-1])

    @property
    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at]

    def _takes(self, mark: str) -> bool:
        is_there = self._next == ("mark", mark)
        self._at += is_there
        return is_there

    def _close(self) -> None:
        if not self._takes(")"):
            raise self._unreadable("a ) is missing")

    def _need(self, part: _Part, kind: str, what: str) -> Evaluate:
        if part.kind != kind:
            raise self._unreadable(f"{what} must be a {kind}, not a {part.kind}")
        return part.value

    def _read(self) -> Iterator[tuple[str, str]]:
        for found in _TOKEN.finditer(self._expression):
            kind = str(found.lastgroup)
            yield kind, re.sub(r"\s", "", found[kind]) if kind == "name" else found[kind]

    def _unreadable(self, why: str) -> UnreadableCondition:
        shown = repr(self._expression)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
        return UnreadableCondition(f"the condition {shown} cannot be read: {why:.{_SHOWN}}")


def _lifted(function: Callable[..., Any], *values: Evaluate) -> Evaluate:
    """Apply a function to values; if one of them is missing, so is the result."""

    def value(attributes: Attributes, now: datetime) -> Any:
        given = [each(attributes, now) for each in values]
        return None if None in given else function(*given)

    return value


def _every(values: list[Evaluate]) -> Evaluate:
    def value(attributes: Attributes, now: datetime) -> bool | None:
        given = [each(attributes, now) for each in values]
        return False if False in given else None if None in given else True

    return value


def _some(values: list[Evaluate]) -> Evaluate:
    def value(attributes: Attributes, now: datetime) -> bool | None:
        given = [each(attributes, now) for each in values]
        return True if True in given else None if None in given else False

    return value
