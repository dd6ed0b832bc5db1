"""The words of Terraform's language: names, numbers, strings with templates, heredocs, signs, line ends.

Comments are left out. https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md; hcl.py makes blocks of
the words.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

NAME, NUMBER, STRING, SIGN, NEWLINE, END = "name", "number", "string", "sign", "newline", "end"

_SPACE = re.compile(r"[ \t\r]+|#[^\n]*|//[^\n]*|/\*.*?\*/", re.DOTALL)
_NAME = re.compile(r"[^\W\d][\w-]*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_SIGN = re.compile(r"\.\.\.|=>|==|!=|<=|>=|&&|\|\||[-+*/%<>!?:=.,(){}\[\]]")
_HEREDOC = re.compile(r"<<(-?)([^\W\d][\w-]*)\r?\n")
_TEXT = re.compile(r"[^\\\"$%\n]+")
_STRIPS = re.compile(r"\s*~")  # the spaces around a template
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})")
MAX_DEPTH = 100  # of templates within templates


class NotReadable(Exception):
    """The text is not Terraform's language; `line` is where."""

    def __init__(self, line: int, reason: str):
        super().__init__(reason)
        self.line, self.reason = line, reason


class Token(NamedTuple):
    """A word; a string has `parts` instead of `text`: pieces of text, and the words of each template."""

    kind: str
    text: str
    line: int
    parts: tuple = ()

    def is_sign(self, *signs: str) -> bool:
        return self.kind == SIGN and self.text in signs

    def literal(self) -> str | None:
        """Return the text of a string without templates; None for all else."""
        if self.kind != STRING or not all(isinstance(part, str) for part in self.parts):
            return None
        return "".join(self.parts)


def tokens_of(text: str) -> list[Token]:
    """Return the words of a file; the last is its end.

    Raises
    ------
    NotReadable
    """
    return _Reader(text).file()


@dataclass
class _Reader:
    text: str
    at: int = 0
    depth: int = 0
    _counted: tuple[int, int] = (0, 1)  # a place in the text, and its line

    def __post_init__(self):
        self.text = self.text.removeprefix("\ufeff")

    @property
    def line(self) -> int:
        place, line = self._counted
        self._counted = self.at, line + self.text.count("\n", place, self.at)
        return self._counted[1]

    def file(self) -> list[Token]:
        found = []
        while (token := self._next()).kind != END:
            found.append(token)
        return [*found, token]

    def _next(self) -> Token:
        while space := _SPACE.match(self.text, self.at):
            self.at = space.end()
        line = self.line
        if self.at == len(self.text):
            return Token(END, "", line)
        if self.text[self.at] == "\n":
            self.at += 1
            return Token(NEWLINE, "\n", line)
        if self.text[self.at] == '"':
            self.at += 1
            return Token(STRING, "", line, tuple(self._quoted(line)))
        if begins := _HEREDOC.match(self.text, self.at):
            self.at = begins.end()
            return Token(STRING, "", line, tuple(self._heredoc(begins[2], line)))
        if self.text.startswith("/*", self.at):
            raise NotReadable(line, "Unterminated comment: no */")
        for kind, pattern in ((NAME, _NAME), (NUMBER, _NUMBER), (SIGN, _SIGN)):
            if found := pattern.match(self.text, self.at):
                self.at = found.end()
                return Token(kind, found[0], line)
        raise NotReadable(line, f"Invalid character {self.text[self.at]!r}")

    def _quoted(self, begun: int) -> list:
        """Read on to the closing quote, and return the parts of the string."""
        parts: list = []
        while True:
            if found := _TEXT.match(self.text, self.at):
                self.at = found.end()
                parts.append(found[0])
            char = self.text[self.at : self.at + 1]
            if char in ("", "\n"):
                raise NotReadable(begun, "Unterminated string: no closing quote on its line")
            if char == '"':
                self.at += 1
                return parts
            parts.append(self._escape() if char == "\\" else self._dollar())

    def _escape(self) -> str:
        if found := _UNICODE.match(self.text, self.at):
            self.at = found.end()
            code = int(found[1] or found[2], 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise NotReadable(self.line, f"{found[0]} is not a character")
            return chr(code)
        char = self.text[self.at + 1 : self.at + 2]
        if char not in _ESCAPES or not char:
            raise NotReadable(self.line, f"Invalid escape sequence \\{char}")
        self.at += 2
        return _ESCAPES[char]

    def _dollar(self):
        """Return the text or the template that begins with $ or %."""
        sign = self.text[self.at]
        if self.text.startswith(f"{sign}{sign}{{", self.at):
            self.at += 3
            return f"{sign}{{"
        if self.text.startswith(f"{sign}{{", self.at):
            self.at += 2
            return self._template()
        self.at += 1
        return sign

    def _template(self) -> list[Token]:
        begun, self.depth = self.line, self.depth + 1
        if self.depth > MAX_DEPTH:
            raise NotReadable(begun, f"More than {MAX_DEPTH} templates within each other")
        words, braces = [], 0
        while True:
            if strips := _STRIPS.match(self.text, self.at):
                self.at = strips.end()
            token = self._next()
            if token.kind == END:
                raise NotReadable(begun, "Unterminated template: no closing brace")
            if token.is_sign("}") and not braces:
                self.depth -= 1
                return words
            braces += token.is_sign("{") - token.is_sign("}")
            words.append(token)

    def _heredoc(self, word: str, begun: int) -> list:
        """Read on to the line that is `word`, and return the parts of the text before it."""
        parts: list = []
        ends = re.compile(rf"[ \t]*{re.escape(word)}(?=\r?\n|\Z)")
        while True:
            if found := ends.match(self.text, self.at):
                self.at = found.end()
                return parts
            if self.at == len(self.text):
                raise NotReadable(begun, f"Unterminated heredoc: no line {word}")
            self._heredoc_line(parts)

    def _heredoc_line(self, parts: list) -> None:
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in "$%":
                parts.append(self._dollar())
                continue
            parts.append(char)
            self.at += 1
            if char == "\n":
                return
