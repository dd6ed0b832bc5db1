"""Text with expressions: `${a + 1}` has the value of the expression, `run-${a}` is text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localcloud.workflows.blocks import Walker
from localcloud.workflows.expressions import Constant, Expression, ExpressionParser
from localcloud.workflows.lexer import ExpressionError, tokens_until_brace
from localcloud.workflows.limits import EXPRESSION_CHARACTERS
from localcloud.workflows.values import checked, to_text

_OPENING = "${"


@dataclass(frozen=True, slots=True)
class Joined:
    """Text with the values of expressions inserted."""

    parts: Sequence[Expression]

    def evaluate(self, strand: Walker) -> str:
        return checked("".join(to_text(part.evaluate(strand)) for part in self.parts))


def parse_template(text: str) -> tuple[Expression, list[tuple[str, int]]]:
    """Return the expression of a text, and each function it calls with the number of arguments.

    Raises
    ------
    ExpressionError
    """
    if _OPENING not in text:
        return Constant(text), []
    calls: list[tuple[str, int]] = []
    stripped = text.strip()
    if stripped.startswith(_OPENING):
        expression, end = _parse_at(stripped, 0, calls)
        if end == len(stripped):
            return expression, calls
        calls.clear()
    return Joined(_parts(text, calls)), calls


def _parts(text: str, calls: list[tuple[str, int]]) -> list[Expression]:
    parts, at = [], 0
    while (opening := text.find(_OPENING, at)) >= 0:
        parts.append(Constant(text[at:opening]))
        expression, at = _parse_at(text, opening, calls)
        parts.append(expression)
    return [*parts, Constant(text[at:])]


def parse_expression(text: str) -> tuple[Expression, list[tuple[str, int]]]:
    """Return the expression of a text without ${}, such as the target of an assignment.

    Raises
    ------
    ExpressionError
    """
    calls: list[tuple[str, int]] = []
    expression, end = _parse_at(f"${{{text}}}", 0, calls)
    if end != len(text) + 3:
        raise ExpressionError(f"unexpected }} in {text}")
    return expression, calls


def _parse_at(text: str, opening: int, calls: list[tuple[str, int]]) -> tuple[Expression, int]:
    tokens, closing = tokens_until_brace(text, opening + len(_OPENING))
    length = closing - opening - len(_OPENING)
    if length > EXPRESSION_CHARACTERS:
        raise ExpressionError(f"an expression has {EXPRESSION_CHARACTERS} characters at most, not {length}")
    parser = ExpressionParser(tokens)
    expression = parser.parse()
    calls += parser.calls
    return expression, closing + 1
