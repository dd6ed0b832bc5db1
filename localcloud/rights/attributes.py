"""What a condition sees of a resource: its name, its type and its service, where the service provides them.

https://cloud.google.com/iam/docs/conditions-resource-attributes lists the types. Resources that it does not
list have no attributes, such as those of Batch, Workflows, Cloud Run and Artifact Registry.
"""

import re
from dataclasses import dataclass

from localcloud.rights.resources import PROJECT_NUMBER


@dataclass(frozen=True)
class Attributes:
    """The attributes of a resource; `name` is None where none is provided, type and service are then ""."""

    name: str | None = None
    type: str = ""
    service: str = ""


_NONE = Attributes()
# Type of the resources that fit, and whether they have a name. A project has a type but no name.
_TYPES = [
    (re.compile(r"projects/_/buckets/[^/]+/objects/.+", re.DOTALL), "storage.googleapis.com/Object", True),
    (re.compile(r"projects/_/buckets/[^/]+"), "storage.googleapis.com/Bucket", True),
    (
        re.compile(r"projects/[^/]+/secrets/[^/]+/versions/[^/]+"),
        "secretmanager.googleapis.com/SecretVersion",
        True,
    ),
    (re.compile(r"projects/[^/]+/secrets/[^/]+"), "secretmanager.googleapis.com/Secret", True),
    (re.compile(r"projects/[^/]+"), "cloudresourcemanager.googleapis.com/Project", False),
]
_PROJECT = re.compile(r"projects/(?!_/)[^/]+")


def attributes_of(resource: str) -> Attributes:
    """Return what a condition sees of a resource. Names have the project's number, not its ID."""
    for pattern, kind, has_name in _TYPES:
        if pattern.fullmatch(resource):
            project = _PROJECT.match(resource)  # only at the start: a name of an object may look like one
            name = f"projects/{PROJECT_NUMBER}{resource[project.end() :]}" if project else resource
            return Attributes(name if has_name else None, kind, kind.partition("/")[0])
    return _NONE
