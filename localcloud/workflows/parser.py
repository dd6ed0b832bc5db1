"""The parser of a source: it returns a program, or the first mistake with its line, at deployment.

https://cloud.google.com/workflows/docs/reference/syntax. An undefined variable is found when its step runs;
whether the service finds it at deployment could not be checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from localcloud.workflows import actions, library
from localcloud.workflows.attempts import Except, Try
from localcloud.workflows.blocks import (
    MAIN,
    RESERVED,
    Action,
    Block,
    Parameter,
    Program,
    Routine,
    Signal,
    Step,
)
from localcloud.workflows.expressions import Constant, Expression, ListOf, MapOf, Member, Name
from localcloud.workflows.lexer import OPERATOR_WORDS, WORDS, ExpressionError
from localcloud.workflows.limits import ASSIGNMENTS, BRANCHES, CONDITIONS
from localcloud.workflows.loops import For, Loop
from localcloud.workflows.parallel import Parallel
from localcloud.workflows.parse_context import Calls, Given, ParseContext
from localcloud.workflows.source import (
    SourceError,
    is_text,
    items,
    line_of,
    pairs,
    read_source,
    scalar,
    single_pair,
)
from localcloud.workflows.templates import parse_expression, parse_template

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN_WORDS = {*WORDS, *OPERATOR_WORDS}

# The key that decides what a step does, and the keys allowed beside it.
_KINDS: dict[str, set[str]] = {
    "assign": {"next"},
    "call": {"args", "result", "next"},
    "switch": {"next"},
    "for": {"next"},
    "parallel": {"next"},
    "try": {"retry", "except", "next"},
    "raise": set(),
    "return": set(),
    "steps": {"next"},
    "next": set(),
}
Nodes = Mapping[str, yaml.Node]


def parse_workflow(source: str) -> Program:
    """Return the routines of a source.

    Raises
    ------
    SourceError
    """
    return _Parser().program(read_source(source))


class _Parser:
    """Has one method for each kind of step."""

    def __init__(self):
        self._calls = Calls()
        self._context = ParseContext()

    def program(self, root: yaml.Node) -> Program:
        if isinstance(root, yaml.SequenceNode):
            with self._context.scope([]):
                routines = {MAIN: Routine(MAIN, [], self._block(root, "main"))}
        else:
            routines = {name: self._routine(name, key, node) for name, key, node in pairs(root, "a workflow")}
        if MAIN not in routines:
            raise SourceError("there is no main workflow", root)
        if len(routines[MAIN].parameters) > 1:
            raise SourceError("main takes one parameter at most", root)
        self._calls.check(routines)
        return routines

    def _routine(self, name: str, key: yaml.Node, node: yaml.Node) -> Routine:
        if not _is_identifier(name):
            raise SourceError(f'"{name}" is not a valid name of a workflow', key)
        found = _keys(node, f'workflow "{name}"', {"params", "steps"}, required={"steps"})
        parameters = (
            [self._parameter(each) for each in items(found["params"], "params")] if "params" in found else []
        )
        names = [parameter.name for parameter in parameters]
        if len(set(names)) != len(names):
            raise SourceError("duplicate parameter", found["params"])
        with self._context.scope(names):
            return Routine(name, parameters, self._block(found["steps"], f'workflow "{name}"'))

    def _parameter(self, node: yaml.Node) -> Parameter:
        if isinstance(node, yaml.MappingNode):
            name, key, default = single_pair(node, "a parameter with a default")
            value = self._template(default)
            if not isinstance(value, Constant):
                raise SourceError("a parameter's default must be a constant", default)
            return Parameter(_identifier(name, key), False, value.value)
        return Parameter(_identifier(_text(node, "a parameter"), node))

    def _block(self, node: yaml.Node, what: str) -> Block:
        nodes = [single_pair(each, "a step") for each in items(node, f"the steps of {what}")]
        if not nodes:
            raise SourceError(f"{what} has no steps", node)
        names: set[str] = set()
        for name, key, _ in nodes:
            if name in names:
                raise SourceError(f'duplicate step name "{name}"', key)
            if name in RESERVED or not name:
                raise SourceError(f'"{name}" is not a valid name of a step', key)
            names.add(name)
        with self._context.block(names):
            return Block([self._step(name, key, body) for name, key, body in nodes])

    def _step(self, name: str, key: yaml.Node, node: yaml.Node) -> Step:
        what = f'step "{name}"'
        if isinstance(node, yaml.SequenceNode):
            raise SourceError(f"{what} must be a map; put its steps below the key steps", node)
        found = {each: value for each, _, value in pairs(node, what)}
        action, signal = self._action(found, what, node)
        return Step(name, line_of(key), action, signal)

    def _action(self, found: Nodes, what: str, node: yaml.Node) -> tuple[Action, Signal | None]:
        """Return the action and the `next` beside it, of a step, a condition, a try or an except."""
        kind = next((each for each in _KINDS if each in found), None)
        if kind is None:
            unknown = ", ".join(found) or "nothing"
            raise SourceError(f"{what} has {unknown}, but none of {', '.join(_KINDS)}", node)
        if unknown := found.keys() - _KINDS[kind] - {kind}:
            raise SourceError(f'{what} has "{sorted(unknown)[0]}", which is not allowed with {kind}', node)
        action = actions.Nothing() if kind == "next" else getattr(self, f"_{kind}")(found, what)
        return action, self._next(found["next"]) if "next" in found else None

    def _assign(self, found: Nodes, what: str) -> actions.Assign:
        nodes = items(found["assign"], "assign")
        if len(nodes) > ASSIGNMENTS:
            raise SourceError(f"{what} has more than {ASSIGNMENTS} assignments", found["assign"])
        assignments = []
        for each in nodes:
            target, key, value = single_pair(each, "an assignment")
            assignments.append((self._target(target, key), self._template(value)))
        return actions.Assign(assignments)

    def _call(self, found: Nodes, what: str) -> actions.Call:
        callee = _text(found["call"], "call")
        if "args" in found and isinstance(found["args"], yaml.MappingNode):
            given: Given = [name for name, _, _ in pairs(found["args"], "args")]
        else:
            given = None if "args" in found else []
        self._calls.add(callee, given, found["call"])
        arguments = self._template(found["args"]) if "args" in found else Constant({})
        result = found.get("result")
        target = self._target(_text(result, "result"), result) if result else None
        return actions.Call(callee, arguments, target)

    def _switch(self, found: Nodes, what: str) -> actions.Switch:
        nodes = items(found["switch"], "switch")
        if len(nodes) > CONDITIONS:
            raise SourceError(f"{what} has more than {CONDITIONS} conditions", found["switch"])
        return actions.Switch([self._case(each, what) for each in nodes])

    def _case(self, node: yaml.Node, what: str) -> actions.Case:
        found = {each: value for each, _, value in pairs(node, f"a condition of {what}")}
        if "condition" not in found:
            raise SourceError(f"{what} has a case without a condition", node)
        node_of_condition = found.pop("condition")
        condition = self._template(node_of_condition)
        if isinstance(condition, Constant) and not isinstance(condition.value, bool):
            raise SourceError(f"a condition of {what} is not a boolean; is it in ${{}}?", node_of_condition)
        if not found:
            return actions.Case(condition, actions.Nothing(), None)
        return actions.Case(condition, *self._action(found, f"a condition of {what}", node))

    def _for(self, found: Nodes, what: str) -> For:
        with self._context.loop():
            return For(self._loop(found["for"], what))

    def _loop(self, node: yaml.Node, what: str, shared: list[str] | None = None) -> Loop:
        known = {"value", "index", "in", "range", "steps"}
        found = _keys(node, f"for of {what}", known, required={"value", "steps"})
        if ("in" in found) == ("range" in found):
            raise SourceError(f"for of {what} needs either in or range", node)
        value = _identifier(_text(found["value"], "value"), found["value"])
        index = _identifier(_text(found["index"], "index"), found["index"]) if "index" in found else None
        values = self._template(found["in"] if "in" in found else found["range"])
        with self._context.scope([value, *([index] if index else [])], shared):
            block = self._block(found["steps"], f"for of {what}")
        return Loop(value, index, values, "range" in found, block)

    def _parallel(self, found: Nodes, what: str) -> Parallel:
        node = found["parallel"]
        known = {"shared", "concurrency_limit", "exception_policy", "branches", "for"}
        parts = _keys(node, f"parallel of {what}", known)
        if ("branches" in parts) == ("for" in parts):
            raise SourceError(f"parallel of {what} needs either branches or for", node)
        shared = [
            _identifier(_text(each, "shared"), each)
            for each in (items(parts["shared"], "shared") if "shared" in parts else [])
        ]
        policy = parts.get("exception_policy")
        if policy and _text(policy, "exception_policy") != "continueAll":
            raise SourceError("the only exception_policy is continueAll", policy)
        limit = self._template(parts["concurrency_limit"]) if "concurrency_limit" in parts else None
        with self._context.branch(node):
            branches = self._branches(parts["branches"], what, shared) if "branches" in parts else ()
            loop = self._loop(parts["for"], what, shared) if "for" in parts else None
        return Parallel(shared, limit, branches, loop)

    def _branches(self, node: yaml.Node, what: str, shared: list[str]) -> list[tuple[str, Block]]:
        nodes = items(node, "branches")
        if not 0 < len(nodes) <= BRANCHES:
            raise SourceError(
                f"parallel of {what} must have 1 to {BRANCHES} branches, not {len(nodes)}", node
            )
        branches = []
        for each in nodes:
            name, key, body = single_pair(each, "a branch")
            if name in (known for known, _ in branches):
                raise SourceError(f'duplicate branch "{name}"', key)
            found = _keys(body, f'branch "{name}"', {"steps"}, required={"steps"})
            with self._context.scope([], shared):
                branches.append((name, self._block(found["steps"], f'branch "{name}"')))
        return branches

    def _try(self, found: Nodes, what: str) -> Try:
        if "retry" not in found and "except" not in found:
            raise SourceError(f"try of {what} needs retry or except", found["try"])
        body = {each: value for each, _, value in pairs(found["try"], f"try of {what}")}
        action, signal = self._action(body, f"try of {what}", found["try"])
        retry = self._retry(found["retry"], what) if "retry" in found else None
        handler = self._except(found["except"], what) if "except" in found else None
        return Try(action, signal, retry, handler)

    def _retry(self, node: yaml.Node, what: str) -> Expression:
        if isinstance(node, yaml.MappingNode):
            found = _keys(
                node, f"retry of {what}", {"predicate", "max_retries", "backoff"}, required={"predicate"}
            )
            if isinstance(found.get("backoff"), yaml.MappingNode):
                _keys(found["backoff"], "backoff", {"initial_delay", "max_delay", "multiplier"})
            self._calls.add_predicate(self._template(found["predicate"]), found["predicate"])
            return self._template(node)
        policy = self._template(node)
        self._calls.check_policy(policy, library.CONSTANTS, node)
        return policy

    def _except(self, node: yaml.Node, what: str) -> Except:
        body = {each: value for each, _, value in pairs(node, f"except of {what}")}
        if "as" not in body:
            raise SourceError(f"except of {what} needs the key as", node)
        name = body.pop("as")
        variable = _identifier(_text(name, "as"), name)
        with self._context.scope([variable]):
            return Except(variable, *self._action(body, f"except of {what}", node))

    def _raise(self, found: Nodes, what: str) -> actions.Raise:
        return actions.Raise(self._template(found["raise"]))

    def _return(self, found: Nodes, what: str) -> actions.ReturnValue:
        self._context.check_return(found["return"])
        return actions.ReturnValue(self._template(found["return"]))

    def _steps(self, found: Nodes, what: str) -> actions.Steps:
        return actions.Steps(self._block(found["steps"], what))

    def _next(self, node: yaml.Node) -> Signal:
        return self._context.signal(_text(node, "next"), node)

    def _target(self, text: str, node: yaml.Node) -> actions.Target:
        expression = self._parsed(parse_expression, text, node)
        keys = []
        while isinstance(expression, Member):
            keys.append(expression.key)
            expression = expression.base
        if not isinstance(expression, Name):
            raise SourceError(f"cannot assign to {text}", node)
        self._context.check_assignment(expression.name, node)
        return actions.Target(expression.name, keys[::-1])

    def _template(self, node: yaml.Node) -> Expression:
        """Return a value that may contain expressions; without any, it is one constant."""
        if isinstance(node, yaml.ScalarNode):
            value = scalar(node)
            return self._parsed(parse_template, value, node) if isinstance(value, str) else Constant(value)
        if isinstance(node, yaml.SequenceNode):
            listed = [self._template(each) for each in node.value]
            if all(isinstance(each, Constant) for each in listed):
                return Constant([each.value for each in listed])
            return ListOf(tuple(listed))
        mapped = [(name, self._template(value)) for name, _, value in pairs(node, "a map")]
        if all(isinstance(each, Constant) for _, each in mapped):
            return Constant({name: each.value for name, each in mapped})
        return MapOf(tuple((Constant(name), each) for name, each in mapped))

    def _parsed(self, parse, text: str, node: yaml.Node) -> Expression:
        try:
            expression, calls = parse(text)
        except ExpressionError as wrong:
            raise SourceError(str(wrong), node) from None
        for name, count in calls:
            self._calls.add(name, count, node)
        return expression


def _keys(node: yaml.Node, what: str, known: set[str], required: set[str] = frozenset()) -> Nodes:
    found = {}
    for name, key, value in pairs(node, what):
        if name not in known:
            raise SourceError(f'{what} has "{name}"; it may have {", ".join(sorted(known))}', key)
        found[name] = value
    if missing := required - found.keys():
        raise SourceError(f"{what} has no {sorted(missing)[0]}", node)
    return found


def _text(node: yaml.Node, what: str) -> str:
    if not is_text(node):
        raise SourceError(f"{what} must be text", node)
    return node.value


def _is_identifier(name: str) -> bool:
    return bool(_IDENTIFIER.fullmatch(name)) and name not in _OWN_WORDS


def _identifier(name: str, node: yaml.Node) -> str:
    if not _is_identifier(name):
        raise SourceError(f'"{name}" is not a valid name of a variable', node)
    return name
