"""The 403 of Cloud Storage, which names the account, unlike those of the other services.

https://cloud.google.com/storage/docs/json_api/v1/status-codes and .../xml-api/reference-status.
"""

from localcloud.messages import ApiError, Response, error_response
from localcloud.rights.denied import Denied


def json_error(error: ApiError) -> Response:
    """Return an error of the JSON API; a refusal has no details there."""
    return error_response(ApiError(403, refusal(error)) if isinstance(error, Denied) else error)


def xml_elements(denied: Denied) -> dict[str, str]:
    """Return the elements of a refusal of the XML API."""
    return {"Code": "AccessDenied", "Message": "Access denied.", "Details": refusal(denied)}


def refusal(denied: Denied) -> str:
    """Return a refusal in the words of Cloud Storage."""
    return (
        f"{denied.email} does not have {denied.permission} access to the {_kind(denied.resource)}. "
        f"Permission '{denied.permission}' denied on resource (or it may not exist)."
    )


def _kind(resource: str) -> str:
    if "/objects/" in resource:
        return "Google Cloud Storage object"
    return "Google Cloud Storage bucket" if "/buckets/" in resource else "Google Cloud project"
