"""text.*: https://cloud.google.com/workflows/docs/reference/stdlib/text/find_all

Regular expressions are RE2 in the service; what Python knows besides is refused here.
"""

import functools
import re
from urllib.parse import quote, quote_plus, unquote_to_bytes

from localcloud.workflows.errors import error
from localcloud.workflows.library.function import Library
from localcloud.workflows.values import checked

TEXT = Library()
_NOT_IN_RE2 = re.compile(r"(?<!\\)(?:\\\\)*(?:\(\?(?:[=!>(#]|<[=!]|P=)|\\[1-9]|[*+?}]\+)")


@TEXT.function("text.find_all")
def find_all(source: str, substr: str) -> list:
    return _found(source, re.compile(re.escape(substr)))


@TEXT.function("text.find_all_regex")
def find_all_regex(source: str, regexp: str) -> list:
    return _found(source, _pattern(regexp))


@TEXT.function("text.match_regex")
def match_regex(source: str, regexp: str) -> bool:
    return _pattern(regexp).search(source) is not None


@TEXT.function("text.replace_all")
def replace_all(source: str, substr: str, repl: str) -> str:
    return checked(source.replace(substr, repl))


@TEXT.function("text.replace_all_regex")
def replace_all_regex(source: str, regexp: str, repl: str) -> str:
    try:
        return checked(_pattern(regexp).sub(repl, source))
    except (re.error, IndexError) as wrong:
        raise error("ValueError", f"the replacement {repl!r}: {wrong}") from None


@TEXT.function("text.split")
def split(source: str, separator: str) -> list:
    return source.split(separator) if separator else list(source)


@TEXT.function("text.substring")
def substring(source: str, start: int, end: int) -> str:
    if not 0 <= start <= end <= len(source):
        raise error("IndexError", f"substring from {start} to {end} of {len(source)} characters")
    return source[start:end]


@TEXT.function("text.to_lower")
def to_lower(source: str) -> str:
    return source.lower()


@TEXT.function("text.to_upper")
def to_upper(source: str) -> str:
    return source.upper()


@TEXT.function("text.url_encode")
def url_encode(source: str) -> str:
    return checked(quote(source, safe=""))


@TEXT.function("text.url_encode_plus")
def url_encode_plus(source: str) -> str:
    return checked(quote_plus(source, safe=""))


@TEXT.function("text.url_decode")
def url_decode(source: str) -> str:
    return decode(unquote_to_bytes(source.replace("+", " ")))


@TEXT.function("text.decode")
def decode(data: bytes, charset: str = "UTF-8") -> str:
    try:
        return checked(data.decode(charset))
    except (LookupError, ValueError) as wrong:
        raise error("ValueError", f"not text in {charset}: {wrong}") from None


@TEXT.function("text.encode")
def encode(text: str, charset: str = "UTF-8") -> bytes:
    try:
        return text.encode(charset)
    except (LookupError, ValueError) as wrong:
        raise error("ValueError", f"cannot be encoded in {charset}: {wrong}") from None


@functools.lru_cache(maxsize=256)
def _pattern(regexp: str) -> re.Pattern:
    if found := _NOT_IN_RE2.search(regexp):
        raise error("ValueError", f"RE2 knows no {found[0]} as in {regexp}")
    try:
        return re.compile(regexp)
    except re.error as wrong:
        raise error("ValueError", f"the regular expression {regexp}: {wrong}") from None


def _found(source: str, pattern: re.Pattern) -> list:
    return [{"index": match.start(), "match": match[0]} for match in pattern.finditer(source)]
