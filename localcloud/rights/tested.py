"""testIamPermissions: which of some permissions the caller has on a resource.

https://cloud.google.com/resource-manager/reference/rest/v1/projects/testIamPermissions. No permission is
needed to ask, and nothing is recorded. Wildcards are refused, as documented, and so are, as users report,
permissions that do not exist or that no resource of this kind can have: googleapis/google-cloud-java#722,
googleapis/google-cloud-python#1776. A cloud that enforces nothing answers that everything is permitted.
"""

import re
from collections.abc import Sequence

from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.rights.callers import has, is_enforced
from localcloud.rights.needs import NONE, needs
from localcloud.rights.roles import known

# Programs that try all permissions of a project ask for 100 at a time; the page of the method names no limit.
MOST = 100


def permissions_answer(request: Request, resource: str, testable: re.Pattern) -> Response:
    """Answer which of the permissions in the body the caller has on a resource.

    Raises
    ------
    ApiError
        400: the body has no list of names; or as permitted().
    """
    asked = request.json().get("permissions", [])
    if not isinstance(asked, list) or not all(isinstance(each, str) for each in asked):
        raise ApiError(400, "permissions must be a list of names.")
    found = permitted(asked, resource, testable)
    return json_response({"permissions": found} if found else {})


def permitted(asked: Sequence[str], resource: str, testable: re.Pattern) -> list[str]:
    """Return those of the permissions that the caller has on a resource.

    `testable` fits the permissions that a resource of this kind can have.

    Raises
    ------
    ApiError
        400: more than MOST, a wildcard, or a name that is unknown or does not fit.
    """
    if not is_enforced():
        return list(asked)
    if len(asked) > MOST:
        raise ApiError(400, f"{len(asked)} permissions were asked for; at most {MOST} can be tested at once.")
    for each in asked:
        if "*" in each:
            raise ApiError(400, f"Permission {each} has a wildcard, which is not allowed.")
        if not testable.fullmatch(each) or each not in _known():
            raise ApiError(400, f"Permission {each} is not valid for this resource.")
    return [each for each in asked if has(each, resource)]


def _known() -> frozenset[str]:
    """Return the permissions of the roles in use and of the methods that are emulated."""
    return known() | {each.permission for needed in needs().values() for each in needed} - {NONE}
