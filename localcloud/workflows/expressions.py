"""Expressions: a parser that turns them into a tree, and the evaluation of the tree.

Python's own eval is not used. Tokens are in lexer.py, the effect of + and < on values in operators.py. Maps
such as `{"a": 1}` are accepted, although the documentation does not mention them: a workflow for the real
service should write its maps in YAML.
https://cloud.google.com/workflows/docs/reference/syntax/expressions
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from localcloud.workflows import operators
from localcloud.workflows.blocks import Walker
from localcloud.workflows.errors import error
from localcloud.workflows.lexer import END, OPERATOR_WORDS, WORDS, ExpressionError, Token
from localcloud.workflows.values import is_integer, type_name

Operation = Callable[[Any, Any], Any]


class Expression(Protocol):
    """A node of the tree, which a strand can evaluate."""

    def evaluate(self, strand: Walker) -> Any: ...


@dataclass(frozen=True, slots=True)
class FunctionReference:
    """A subworkflow or library function as a value, such as the predicate of a retry."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    value: Any

    def evaluate(self, strand: Walker) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class Name:
    """A variable; if there is none of this name, a function or a constant of the library."""

    name: str

    def evaluate(self, strand: Walker) -> Any:
        return strand.look_up(self.name)


@dataclass(frozen=True, slots=True)
class Member:
    """`base.key` or `base[key]`; `dotted` is the full name if it could be one of the library."""

    base: Expression
    key: Expression
    dotted: str = ""

    def evaluate(self, strand: Walker) -> Any:
        if self.dotted and not strand.scope.has(self.dotted.partition(".")[0]):
            return strand.look_up(self.dotted)
        return member(self.base.evaluate(strand), self.key.evaluate(strand))


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple[Expression, ...]

    def evaluate(self, strand: Walker) -> Any:
        if self.name == "if":
            return self._choose(strand)
        return strand.call(self.name, [argument.evaluate(strand) for argument in self.arguments])

    def _choose(self, strand: Walker) -> Any:
        """Evaluate only the chosen value, so that `if` can guard against a missing key."""
        condition, then, otherwise = self.arguments
        return (then if operators.truth(condition.evaluate(strand)) else otherwise).evaluate(strand)


@dataclass(frozen=True, slots=True)
class Binary:
    operation: Operation
    left: Expression
    right: Expression

    def evaluate(self, strand: Walker) -> Any:
        return self.operation(self.left.evaluate(strand), self.right.evaluate(strand))


@dataclass(frozen=True, slots=True)
class And:
    left: Expression
    right: Expression

    def evaluate(self, strand: Walker) -> bool:
        return operators.truth(self.left.evaluate(strand)) and operators.truth(self.right.evaluate(strand))


@dataclass(frozen=True, slots=True)
class Or:
    left: Expression
    right: Expression

    def evaluate(self, strand: Walker) -> bool:
        return operators.truth(self.left.evaluate(strand)) or operators.truth(self.right.evaluate(strand))


@dataclass(frozen=True, slots=True)
class Not:
    operand: Expression

    def evaluate(self, strand: Walker) -> bool:
        return not operators.truth(self.operand.evaluate(strand))


@dataclass(frozen=True, slots=True)
class Negative:
    operand: Expression

    def evaluate(self, strand: Walker) -> Any:
        return operators.negate(self.operand.evaluate(strand))


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple[Expression, ...]

    def evaluate(self, strand: Walker) -> list[Any]:
        return [item.evaluate(strand) for item in self.items]


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map; its keys are expressions inside `${}`, and text in YAML."""

    items: tuple[tuple[Expression, Expression], ...]

    def evaluate(self, strand: Walker) -> dict[str, Any]:
        return {text_key(key.evaluate(strand)): value.evaluate(strand) for key, value in self.items}


def member(base: Any, key: Any) -> Any:
    """Return the element of a map at a key, or of a list at an index."""
    if isinstance(base, dict):
        if text_key(key) not in base:
            raise error("KeyError", f"key not found: {key}")
        return base[key]
    if isinstance(base, list):
        return base[list_index(base, key)]
    raise error("TypeError", f"a {type_name(base)} has no member {key!r}")


def list_index(values: list[Any], key: Any) -> int:
    if not is_integer(key):
        raise error("TypeError", f"a list takes an integer as its index, not a {type_name(key)}")
    if not 0 <= key < len(values):
        raise error("IndexError", f"index {key} in a list of {len(values)}")
    return key


def text_key(key: Any) -> str:
    if not isinstance(key, str):
        raise error("TypeError", f"a map takes a string as its key, not a {type_name(key)}")
    return key


# The precedence of each operator, and the node it becomes.
_OR, _AND, _COMPARISON, _SUM, _PRODUCT, _UNARY = range(1, 7)
_BINARY: dict[str, tuple[int, Callable[[Expression, Expression], Expression]]] = {
    **dict.fromkeys(("or", "OR"), (_OR, Or)),
    **dict.fromkeys(("and", "AND"), (_AND, And)),
    **{
        sign: (level, lambda left, right, operation=operation: Binary(operation, left, right))
        for level, operations in (
            (_COMPARISON, operators.COMPARISONS),
            (_SUM, operators.SUMS),
            (_PRODUCT, operators.PRODUCTS),
        )
        for sign, operation in operations.items()
    },
}


class ExpressionParser:
    """Precedence climbing over the tokens of one expression; `calls` lists the functions it calls."""

    def __init__(self, tokens: Sequence[Token]):
        self._tokens = tokens
        self._at = 0
        self.calls: list[tuple[str, int]] = []  # the name and the number of arguments

    def parse(self) -> Expression:
        """Return the tree of the expression.

        Raises
        ------
        ExpressionError
        """
        try:
            found = self._expression(_OR)
        except RecursionError:
            raise ExpressionError("the expression is nested too deeply") from None
        if self._peek() is not END:
            raise self._wrong("an operator")
        return found

    def _expression(self, least: int) -> Expression:
        left = self._operand()
        while True:
            token = self._peek()
            level, node = _BINARY.get(token.text, (0, None)) if token.kind in ("mark", "name") else (0, None)
            if level == 0 or level < least:
                return left
            self._at += 1
            left = node(left, self._expression(level + 1))

    def _operand(self) -> Expression:
        if self._take("not") or self._take("NOT"):
            # It binds more tightly than a comparison: not (a in b) needs its brackets.
            return Not(self._expression(_UNARY))
        if self._take("-"):
            return Negative(self._expression(_UNARY))
        if self._take("+"):
            return Binary(operators.add, Constant(0), self._expression(_UNARY))
        return self._members(self._primary())

    def _primary(self) -> Expression:
        token = self._peek()
        if token.kind in ("string", "number"):
            self._at += 1
            return Constant(token.value)
        if token.kind == "name" and token.text not in OPERATOR_WORDS:
            self._at += 1
            return Constant(WORDS[token.text]) if token.text in WORDS else Name(token.text)
        if self._take("("):
            inner = self._expression(_OR)
            self._expect(")")
            return inner
        if self._take("["):
            return ListOf(self._list_until("]"))
        if self._take("{"):
            return self._map()
        raise self._wrong("a value")

    def _members(self, base: Expression) -> Expression:
        while True:
            if self._take("."):
                name = self._peek()
                if name.kind != "name":
                    raise self._wrong("a name after the dot")
                self._at += 1
                base = Member(base, Constant(name.text), _dotted(base, name.text))
            elif self._take("["):
                base = Member(base, self._expression(_OR))
                self._expect("]")
            elif self._take("("):
                base = self._call(base)
            else:
                return base

    def _call(self, callee: Expression) -> Expression:
        name = callee.name if isinstance(callee, Name) else getattr(callee, "dotted", "")
        if not name:
            raise ExpressionError("only a function can be called, by its name")
        arguments = self._list_until(")")
        if name == "if" and len(arguments) != 3:
            raise ExpressionError(f"if takes 3 arguments, not {len(arguments)}")
        self.calls.append((name, len(arguments)))
        return Call(name, arguments)

    def _list_until(self, end: str) -> tuple[Expression, ...]:
        found: list[Expression] = []
        while not self._take(end):
            if found:
                self._expect(",")
            found.append(self._expression(_OR))
        return tuple(found)

    def _map(self) -> MapOf:
        found: list[tuple[Expression, Expression]] = []
        while not self._take("}"):
            if found:
                self._expect(",")
            key = self._expression(_OR)
            self._expect(":")
            found.append((key, self._expression(_OR)))
        return MapOf(tuple(found))

    def _peek(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else END

    def _take(self, text: str) -> bool:
        token = self._peek()
        found = token.text == text and token.kind in ("mark", "name")
        self._at += found
        return found

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._wrong(text)

    def _wrong(self, wanted: str) -> ExpressionError:
        return ExpressionError(f"expected {wanted} but found {self._peek().text}")


def _dotted(base: Expression, name: str) -> str:
    """Return a.b.c if all its parts are names, or an empty text."""
    before = base.name if isinstance(base, Name) else getattr(base, "dotted", "")
    return f"{before}.{name}" if before else ""
