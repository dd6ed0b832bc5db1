"""Labels as most services take them: short keys and values of lowercase letters, digits, _ and -.

https://cloud.google.com/resource-manager/docs/labels-overview#requirements. The services also take letters of
other alphabets; they are refused here.
"""

import re
from typing import Any

from localcloud.messages import ApiError

MAX_LABELS = 64
_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_VALUE = re.compile(r"[a-z0-9_-]{0,63}")


def check_labels(labels: Any) -> None:
    """Refuse labels that break the rules; a value may be None, which removes a label.

    Raises
    ------
    ApiError
        400: the label that is wrong.
    """
    if not isinstance(labels, dict) or len(labels) > MAX_LABELS:
        raise ApiError(400, f"Labels are an object of at most {MAX_LABELS} keys with a text each.")
    for key, value in labels.items():
        if not _KEY.fullmatch(key) or not (
            value is None or (isinstance(value, str) and _VALUE.fullmatch(value))
        ):
            raise ApiError(
                400, f"Invalid label: {key}={value}. Use lowercase letters, digits, _ and -, a letter first."
            )
