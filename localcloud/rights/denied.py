"""Refusals: what a member may not do, in the words of Google's APIs.

https://cloud.google.com/iam/docs/permission-error-messages. The message names the permission and the
resource, but not the member; that of storage does (storage/refusals.py).
"""

from localcloud.members import can_ask
from localcloud.messages import ApiError

# By the first part of a permission, where the service is called something else.
_SERVICES = {"resourcemanager": "cloudresourcemanager", "billing": "cloudbilling"}


class Denied(ApiError):
    """A member has no grant that allows a permission on a resource: a 403."""

    def __init__(self, member: str, permission: str, resource: str):
        self.member, self.permission, self.resource = member, permission, resource
        name = f"//{_service(permission)}.googleapis.com/{resource}"
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "IAM_PERMISSION_DENIED",
            "domain": "iam.googleapis.com",
            "metadata": {"permission": permission, "resource": resource},
        }
        words = f"Permission '{permission}' denied on resource '{name}' (or it may not exist)."
        super().__init__(403, words, details=[info])

    @property
    def email(self) -> str:
        """Return the member's address, without its kind."""
        return self.member.partition(":")[2]


def _service(permission: str) -> str:
    first = permission.partition(".")[0]
    return _SERVICES.get(first, first)


def rejected(member: str) -> ApiError:
    """Return the refusal of any request of an account that was deleted or disabled.

    Google documents that its tokens are rejected, but not with which status: 401 is that of an invalid token.
    https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/disable
    """
    said = "Request had invalid authentication credentials. Expected OAuth 2 access token"
    if not can_ask(member):
        return ApiError(401, f"{said}: {member} is neither a person nor an account.")
    return ApiError(401, f"{said}: {member.partition(':')[2]} is deleted or disabled.")
