"""JSON, read as strictly as Google's services read it."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Return the value of JSON text, read as strictly as the services read it.

    Raises
    ------
    ValueError
        The text is not JSON, contains NaN or half a surrogate pair, or is nested too deeply. Python's own
        reader accepts some of this, which would then fail elsewhere.
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if (b"\\u" if isinstance(text, bytes) else "\\u") in text:
        json.dumps(value, ensure_ascii=False).encode()  # fails for half a surrogate pair
    return value


def object_in(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a text; None if there is none."""
    try:
        value = parse_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number")
