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


class ProjectDenied(Denied):
    """A member may not use the project that it wants charged: a 403.

    gcloud knows it by its reason and domain, and repeats some commands without the project:
    https://cloud.google.com/sdk/gcloud/reference/topic/configurations, billing/quota_project.
    """

    def __init__(self, denied: Denied, project: str):
        super().__init__(denied.member, denied.permission, denied.resource)
        self.message = (
            f"Caller does not have required permission to use project {project}. Grant the caller the "
            f"roles/serviceusage.serviceUsageConsumer role, or a custom role with the {denied.permission} "
            "permission, and then retry. Propagation of the new permission may take a few minutes."
        )
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "USER_PROJECT_DENIED",
            "domain": "googleapis.com",
            "metadata": {"consumer": f"projects/{project}"},
        }
        self.details = [info]


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
