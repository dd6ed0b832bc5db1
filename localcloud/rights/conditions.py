"""Conditions of bindings: the part of CEL that IAM documents for names of resources and for times.

https://cloud.google.com/iam/docs/conditions-overview
"""

import re
from datetime import datetime

_STARTS = re.compile(r'resource\.name\.startsWith\("([^"]*)"\)')


def holds(expression: str, resource: str, now: datetime) -> bool:
    """Return whether a condition holds for a resource at a time."""
    return all(
        (found := _STARTS.fullmatch(each.strip())) is not None and resource.startswith(found[1])
        for each in expression.split("&&")
    )
