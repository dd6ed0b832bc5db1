"""JSON read as strictly as the services read it: Python's own reader takes more, which breaks later."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Return the value of a text.

    Raises
    ------
    ValueError
        It is no JSON, holds NaN or half a character, or is nested too deep.
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if (b"\\u" if isinstance(text, bytes) else "\\u") in text:
        json.dumps(value, ensure_ascii=False).encode()  # fails for half a character
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")
