"""text.*: https://cloud.google.com/workflows/docs/reference/stdlib/text/find_all

Regular expressions are those of RE2, and its own engine runs them. The replacement of a match is plain text:
the service has no references to groups. Of several matches that begin at the same place, the longest is
replaced.
"""

import functools
import re
from urllib.parse import quote, quote_plus, unquote_to_bytes

import re2

from localcloud.workflows.errors import error
from localcloud.workflows.library.function import Library
from localcloud.workflows.values import checked

TEXT = Library()


@TEXT.function("text.find_all")
def find_all(source: str, substr: str) -> list:
    return _found(source, re.compile(re.escape(substr)))


@TEXT.function("text.find_all_regex")
def find_all_regex(source: str, regexp: str) -> list:
    return _found(_utf8(source), _pattern(regexp))


@TEXT.function("text.match_regex")
def match_regex(source: str, regexp: str) -> bool:
    return _pattern(regexp).search(_utf8(source)) is not None


@TEXT.function("text.replace_all")
def replace_all(source: str, substr: str, repl: str) -> str:
    return checked(source.replace(substr, repl))


@TEXT.function("text.replace_all_regex")
def replace_all_regex(source: str, regexp: str, repl: str) -> str:
    return checked(_pattern(regexp, takes_longest=True).sub(lambda match: repl, _utf8(source)))


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
def _pattern(regexp: str, takes_longest: bool = False):
    options = re2.Options()
    options.log_errors = False  # RE2 would also write to standard error what is raised here
    options.longest_match = takes_longest
    try:
        return re2.compile(_utf8(regexp), options)
    except re2.error as wrong:
        reason = wrong.args[0].decode(errors="replace") if isinstance(wrong.args[0], bytes) else wrong
        raise error("ValueError", f"the regular expression {regexp}: {reason}") from None


def _utf8(text: str) -> str:
    """Return the text, or raise if UTF-8 cannot encode it because of a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise error("ValueError", f"{text[:40]!r} is not text in UTF-8") from None
    return text


def _found(source: str, pattern) -> list:
    return [{"index": match.start(), "match": match[0]} for match in pattern.finditer(source)]
