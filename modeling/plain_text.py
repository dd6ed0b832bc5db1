"""Text from outside, made safe for messages: no control characters, bounded length.

Names, YAML, CSV and answers of services end up in messages. Characters that control a terminal (escapes, line
breaks, marks of writing direction) are replaced here and nowhere else.
"""

MOST_CHARACTERS = 4000  # of a message, which may list what is wrong in a dozen places
BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_CUT = " ... "


def one_line(text: object, most: int = MOST_CHARACTERS) -> str:
    """Return a text as one line; a long one is cut in the middle, because the end says how to fix it."""
    shown = _bounded(str(text), 4 * most)
    lines = " | ".join(line.strip() for line in shown.splitlines() if line.strip())
    return _bounded(_plain(lines), most)


def plain_lines(text: object, most: int = 25 * MOST_CHARACTERS) -> str:
    """Return a text of several lines, such as a traceback, made safe line by line."""
    return "\n".join(_plain(line.rstrip()) for line in _bounded(str(text), most).split("\n"))


def excerpt(text: str, most: int) -> str:
    """Return the beginning of a text to quote in a message, with control characters as escapes."""
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:most])
    return plain if len(text) <= most else plain[:most] + "..."


def other_encoding(content: bytes) -> str | None:
    """Return "UTF-16" or "UTF-32" if the bytes begin like text in it; None if they may be UTF-8."""
    named = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), None)
    # without a mark, every other byte of plain letters is 0
    return named or ("UTF-16" if len(content) > 1 and 0 in content[:2] else None)


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded; surrogates, which stand for bytes that are not UTF-8, cannot."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _plain(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _bounded(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = most // 3
    return text[: most - end - len(_CUT)] + _CUT + text[-end:]
