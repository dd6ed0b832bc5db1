"""Text of others as people may see it: no control characters, not without end.

Names, YAML, CSV and answers of services end up in messages. What a terminal would obey (escapes, line ends,
marks that turn the direction of writing) becomes a blank, here and nowhere else.
"""

MOST_CHARACTERS = 4000  # of a message, which may list what is wrong in a dozen places
_CUT = " ... "


def one_line(text: object, most: int = MOST_CHARACTERS) -> str:
    """Return a text in one line; of a long one the begin and the end, which says how to fix it."""
    shown = _bounded(str(text), 4 * most)
    lines = " | ".join(line.strip() for line in shown.splitlines() if line.strip())
    return _bounded(_plain(lines), most)


def plain_lines(text: object, most: int = 25 * MOST_CHARACTERS) -> str:
    """Return a text of several lines, such as a traceback or a list of mistakes."""
    return "\n".join(_plain(line.rstrip()) for line in _bounded(str(text), most).split("\n"))


def is_unicode(text: str) -> bool:
    """Tell whether a text can be written: bytes that are no UTF-8 come into it as halves of characters."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _plain(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _bounded(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = most // 3
    return text[: most - end - len(_CUT)] + _CUT + text[-end:]
