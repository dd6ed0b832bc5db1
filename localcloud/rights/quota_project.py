"""The quota project: a request may name a project to charge, and its caller must then be allowed to use it.

https://cloud.google.com/apis/docs/system-parameters: the header X-Goog-User-Project, which all APIs have.
Storage has the parameter userProject as well: https://cloud.google.com/storage/docs/requester-pays. A
quotaUser is any text and no project, so it needs no permission.
"""

from typing import Protocol

from localcloud.messages import ApiError, Request
from localcloud.rights.denied import Denied, ProjectDenied


class _Rights(Protocol):
    def ask(self, member: str, permission: str, resource: str) -> None:
        """Refuse what no grant allows."""


def check_quota_project(request: Request, rights: _Rights) -> None:
    """Refuse a request that names a quota project which its caller may not use.

    Raises
    ------
    ApiError
        400: the name has a slash; 403; or 401 if the account is gone or disabled.
    """
    project = request.query.get("userProject") or request.headers.get("X-Goog-User-Project")
    if not project:
        return
    if "/" in project:  # would be the name of something else
        raise ApiError(400, f"Invalid quota project: {project}")
    try:
        rights.ask(request.member, "serviceusage.services.use", f"projects/{project}")
    except Denied as denied:
        raise ProjectDenied(denied, project) from None
