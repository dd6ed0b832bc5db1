"""Globs for object names: * and ? stop at a slash, ** does not; [a-z], [!a-z] and {this,that}."""

import re

from localcloud.messages import ApiError

_TOKEN = re.compile(r"\*\*|\[[!^]?\]?[^\]]*\]|\\?.", re.DOTALL)


def compiled_glob(glob: str) -> re.Pattern:
    try:
        return re.compile(_expression(glob), re.DOTALL)
    except re.error as error:
        raise ApiError(400, f"Not a glob: {glob!r}: {error}") from error


def _expression(glob: str) -> str:
    depth, parts = 0, []
    for token in _TOKEN.findall(glob):
        if token == "{":
            depth += 1
            parts.append("(?:")
        elif token == "}" and depth:
            depth -= 1
            parts.append(")")
        elif token == "," and depth:
            parts.append("|")
        else:
            parts.append(_glob_token(token))
    if depth:
        raise re.error("a bracket is open")
    return "".join(parts)


def _glob_token(token: str) -> str:
    if token == "**":
        return ".*"
    if token == "*":
        return "[^/]*"
    if token == "?":
        return "[^/]"
    if len(token) > 2 and token[0] == "[":
        negated = token[1] in "!^"
        inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", token[2:-1] if negated else token[1:-1])
        return f"[{'^' if negated else ''}{inside}]"
    return re.escape(token[-1])
