"""Names of resources, as conditions see them, and the resources whose policies count for one.

projects/P, projects/P/locations/L/repositories/R, projects/P/secrets/S/versions/1, and for storage
projects/_/buckets/B/objects/O: https://cloud.google.com/iam/docs/conditions-resource-attributes. A policy
counts for everything below its resource.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Policy = Mapping[str, Any]
PolicyOf = Callable[[str], Policy]  # of a resource that has one; without bindings if it is not there

PROJECT_NUMBER = "123456789012"  # of every project
BUCKET = "projects/_/buckets/"
# What has a policy of its own, by kind. The first that fits is the resource itself; a project is last.
_KINDS = {
    "bucket": re.compile(r"projects/_/buckets/(?P<bucket>[^/]+)"),
    "account": re.compile(r"projects/(?P<project>[^/]+)/serviceAccounts/(?P<account>[^/]+)"),
    "secret": re.compile(r"projects/(?P<project>[^/]+)/secrets/(?P<secret>[^/]+)"),
    "repository": re.compile(
        r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/repositories/(?P<repository>[^/]+)"
    ),
    "service": re.compile(
        r"projects/(?P<project>[^/]+)/locations/(?P<region>[^/]+)/services/(?P<service>[^/]+)"
    ),
    "project": re.compile(r"projects/(?P<project>[^/]+)"),
}
_OF_PROJECT = re.compile(r"[^@\s]+@(?P<project>[a-z0-9-]+)\.iam\.gserviceaccount\.com")
_PROJECT = re.compile(rf"projects/(-|{PROJECT_NUMBER})(?=/|$)")


def project_of_account(email: str) -> str:
    """Return the project that the e-mail of a service account names; "" if it names none."""
    own = _OF_PROJECT.fullmatch(email)
    return own["project"] if own else ""


def account_name(given: str, project: str) -> str:
    """Return the name of an account, by its e-mail or by a name, which may have - as its project.

    An account whose e-mail names no project is one of `project`.
    """
    email = given.rpartition("/")[2]
    return f"projects/{project_of_account(email) or project}/serviceAccounts/{email}"


def in_project(resource: str, project: str) -> str:
    """Return the name of a resource in a project, also if it is given with - or the project's number."""
    found = _PROJECT.match(resource)
    return f"projects/{project}{resource[found.end() :]}" if found else resource


def bucket_name(bucket: str) -> str:
    return BUCKET + bucket


def object_name(bucket: str, name: str) -> str:
    return f"{BUCKET}{bucket}/objects/{name}"


def holders(resource: str, project_of_buckets: str) -> list[str]:
    """Return the resources whose policies count for one: itself or what it is in, and its project, last."""
    if found := _KINDS["bucket"].match(resource):
        return [found[0], f"projects/{project_of_buckets}"]
    found = [match[0] for pattern in _KINDS.values() if (match := pattern.match(resource))]
    return [found[0], found[-1]] if len(found) > 1 else found


def has_policy(name: str) -> bool:
    """Return whether a resource of this name would have a policy of its own."""
    return any(pattern.fullmatch(name) for pattern in _KINDS.values())


def policies(**by_kind: Callable[..., Policy]) -> PolicyOf:
    """Return the function that finds a resource's policy, from those of each kind of resource."""

    def policy_of(holder: str) -> Policy:
        kind, found = next(
            (kind, match) for kind, pattern in _KINDS.items() if (match := pattern.fullmatch(holder))
        )
        return by_kind[kind](**found.groupdict())

    return policy_of
