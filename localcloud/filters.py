"""The filter language of Cloud Logging, which lists of builds and executions accept, too; a part of it.

    severity>=WARNING AND labels.job_uid="u-1" AND NOT (textPayload:"noise" OR textPayload=~"^debug")

OR binds more tightly than AND, and AND may be omitted. Comparisons of text ignore case, except those with a
regular expression. https://cloud.google.com/logging/docs/view/logging-query-language
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from localcloud import times
from localcloud.messages import ApiError

Matcher = Callable[[dict[str, Any]], bool]

SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
_TOKEN = re.compile(
    r"""\s*(?:--[^\n]*\n?\s*)*(?:
        (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<operator><=|>=|!=|=~|!~|[=<>:])
      | (?P<mark>[().,-])
      | (?P<word>[^\s"()=<>:!~.,]+)
    )""",
    re.VERBOSE,
)
_KEYWORDS = ("AND", "OR", "NOT")
MAX_DEPTH = 100  # of nested brackets and NOT
# Stricter than Python, which reads the ids 20260131 and 2026_0131 as the same number, and as a day.
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_DURATION = re.compile(r"-?[0-9]+(?:\.[0-9]+)?s")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?")
_ESCAPED = re.compile(r"\\(.)")


def parse_filter(text: str) -> Matcher:
    """Return a function that decides whether a resource, as JSON, matches.

    Raises
    ------
    ApiError
        400: the filter cannot be parsed.
    """
    if not text.strip():
        return lambda resource: True
    parser = _Parser(text)
    matcher = parser.conjunction()
    parser.expect_end()
    return matcher


class _Parser:
    """Recursive descent, with one method for each rule of the grammar."""

    def __init__(self, text: str):
        self.text = text
        self.tokens = list(_tokens(text))
        self.at = 0
        self.depth = 0

    def conjunction(self) -> Matcher:
        parts = [self.disjunction()]
        while self._peek() not in (None, ("mark", ")")):
            self._take_word("AND")
            parts.append(self.disjunction())
        return lambda resource: all(part(resource) for part in parts)

    def disjunction(self) -> Matcher:
        parts = [self.negation()]
        while self._take_word("OR"):
            parts.append(self.negation())
        return lambda resource: any(part(resource) for part in parts)

    def negation(self) -> Matcher:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ApiError(400, f"Unparseable filter: it is nested more than {MAX_DEPTH} deep.")
        found = self._negation()
        self.depth -= 1
        return found

    def _negation(self) -> Matcher:
        if self._take_word("NOT") or self._take(("mark", "-")):
            negated = self.negation()
            return lambda resource: not negated(resource)
        if self._take(("mark", "(")):
            inner = self.conjunction()
            self._expect(")")
            return inner
        return self.comparison()

    def comparison(self) -> Matcher:
        path = self._path()
        kind, operator = self._peek() or ("", "")
        if kind != "operator":
            return _anywhere(".".join(path))
        self.at += 1
        if not self._take(("mark", "(")):
            return _compare(path, operator, self._value())
        values = [self._value()]
        matches = any
        while not self._take(("mark", ")")):
            matches = all if self._take_word("AND") else any
            if matches is any and not self._take_word("OR"):
                raise self._wrong("OR, AND or )")
            values.append(self._value())
        each = [_compare(path, operator, value) for value in values]
        return lambda resource: matches(one(resource) for one in each)

    def _path(self) -> list[str]:
        segments = [self._text()]
        while self._take(("mark", ".")):
            segments.append(self._text())
        return segments

    def _value(self) -> str:
        """Return a value: quoted, or everything up to the next space, such as -1.5 or a.b-c."""
        kind, text = self._peek() or ("", "")
        if kind == "quoted":
            self.at += 1
            return _unquoted(text)
        parts = ["-"] if self._take(("mark", "-")) else []
        parts.append(self._text())
        while self._peek() in (("mark", "."), ("mark", "-")) and self.at + 1 < len(self.tokens):
            parts += [self.tokens[self.at][1], self.tokens[self.at + 1][1]]
            self.at += 2
        return "".join(parts)

    def _text(self) -> str:
        kind, text = self._peek() or ("", "")
        if kind not in ("word", "quoted") or (kind == "word" and text in _KEYWORDS):
            raise self._wrong("a name or a value")
        self.at += 1
        return _unquoted(text) if kind == "quoted" else text

    def _peek(self) -> tuple[str, str] | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _take(self, token: tuple[str, str]) -> bool:
        found = self._peek() == token
        self.at += found
        return found

    def _take_word(self, word: str) -> bool:
        return self._take(("word", word))

    def _expect(self, mark: str) -> None:
        if not self._take(("mark", mark)):
            raise self._wrong(mark)

    def expect_end(self) -> None:
        if self._peek() is not None:
            raise self._wrong("the end")

    def _wrong(self, wanted: str) -> ApiError:
        found = self._peek()
        where = f'"{found[1]}"' if found else "the end"
        return ApiError(400, f"Unparseable filter: expected {wanted} but found {where} in: {self.text}")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if not found:
            raise ApiError(400, f"Unparseable filter: syntax error at character {at} of: {text}")
        at = found.end()
        yield found.lastgroup, found[found.lastgroup]


def _unquoted(text: str) -> str:
    return _ESCAPED.sub(r"\1", text[1:-1])


def _compare(names: list[str], operator: str, value: str) -> Matcher:
    path = [(name, camel_case(name)) for name in names]
    if operator in ("=~", "!~"):
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise ApiError(400, f"Invalid regular expression {value!r}: {error}") from error
        if operator == "=~":
            return lambda resource: any(pattern.search(str(found)) for found in _found(resource, path))
        return lambda resource: not any(pattern.search(str(found)) for found in _found(resource, path))
    order = _ordering(value)
    if operator == "!=":
        return lambda resource: not any(_equal(found, order) for found in _found(resource, path))
    if operator == ":":
        wanted = value.lower()
        return lambda resource: any(value == "*" or wanted in _shown(f) for f in _found(resource, path))
    if operator == "=":
        return lambda resource: any(_equal(found, order) for found in _found(resource, path))
    holds = {
        "<": lambda order: order < 0,
        ">": lambda order: order > 0,
        "<=": lambda order: order <= 0,
        ">=": lambda order: order >= 0,
    }[operator]
    return lambda resource: any(holds(order(found)) for found in _found(resource, path))


def _anywhere(text: str) -> Matcher:
    wanted = text.lower()
    return lambda resource: any(wanted in _shown(leaf) for leaf in _leaves(resource))


def _found(resource: Any, path: list[tuple[str, str]]) -> list[Any]:
    """Return the values at a path of names in snake_case or camelCase; a list counts as its elements."""
    values = [resource]
    for name, camel in path:
        found = []
        for each in values:
            if isinstance(each, dict) and (name in each or camel in each):
                value = each[name] if name in each else each[camel]
                found += value if isinstance(value, list) else [value]
        values = found
    return values


def camel_case(name: str) -> str:
    """Return the JSON name of a field that is given in snake_case."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _equal(found: Any, order: Callable[[Any], int]) -> bool:
    return not isinstance(found, dict) and order(found) == 0


def _ordering(value: str) -> Callable[[Any], int]:
    """Return a function that compares a value with the filter's: as severities, numbers, times or text.

    The filter's value is parsed only once, because it may be compared with 100,000 entries.
    """
    readable = []
    for shape, read in _READERS:
        with suppress(ValueError):  # such as the 31st of February
            if shape.fullmatch(value):
                readable.append((shape, read, read(value)))
    as_text = value.lower()

    def order(found: Any) -> int:
        text = _text_of(found)
        for shape, read, right in readable:
            if shape.fullmatch(text):
                with suppress(ValueError):
                    left = read(text)
                    return (left > right) - (left < right)
        shown = text.lower()
        return (shown > as_text) - (shown < as_text)

    return order


def _severity(text: str) -> int:
    return SEVERITIES.index(text.upper())


_READERS: tuple[tuple[re.Pattern, Callable[[str], Any]], ...] = (
    (re.compile("|".join(SEVERITIES), re.IGNORECASE), _severity),
    (_NUMBER, float),
    (_DURATION, times.seconds_of),
    (_TIME, times.parse),
)


def _text_of(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: Any) -> str:
    return _text_of(value).lower()


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    else:
        yield value
