"""What of the GPU lane exists in the project: what a deployment skips, and what a removal deletes."""

from collections.abc import Sequence
from dataclasses import dataclass

from ops.cloud.cloud import Cloud
from ops.gcloud import AT_ONCE, in_parallel
from ops.gpu.names import Names

A_NUMBER = "PROJECT_NUMBER"  # placeholder in a dry run, which asks nothing


@dataclass(frozen=True)
class Found:
    """What exists of a lane's own names, each as gcloud takes it."""

    project_number: str
    accounts: Sequence[str] = ()  # e-mail addresses
    buckets: Sequence[str] = ()  # without gs://
    services: Sequence[str] = ()
    workflows: Sequence[str] = ()
    triggers: Sequence[str] = ()
    grants: Sequence[tuple[str, str]] = ()  # role and member in the project's policy
    others_grants: Sequence[tuple[str, str]] = ()  # the same of all other members

    def __str__(self) -> str:
        kinds = {
            "trigger": self.triggers,
            "workflow": self.workflows,
            "service": self.services,
            "bucket": self.buckets,
            "account": self.accounts,
            "role of": [member for _, member in self.grants],
        }
        return ", ".join(f"{kind} {name}" for kind, names in kinds.items() for name in names)


def look(cloud: Cloud, names: Names) -> Found:
    """Return what exists; in a dry run nothing does."""
    project, region = cloud.in_project, ["--region", cloud.region]
    asked = [
        ["projects", "describe", cloud.project],
        ["iam", "service-accounts", "list", *project],
        ["storage", "buckets", "list", *project],
        ["run", "services", "list", *region, *project],
        ["workflows", "list", *cloud.in_region],
        ["eventarc", "triggers", "list", *cloud.in_region],
        ["projects", "get-iam-policy", cloud.project],
    ]
    calls = [lambda words=words: cloud.read_json(words, echo=False) for words in asked]
    answers = in_parallel(calls, cloud.shell.most_at_once(AT_ONCE))
    described, accounts, buckets, services, workflows, triggers, policy = (each or [] for each in answers)
    granted = [
        (binding["role"], member)
        for binding in (policy.get("bindings", []) if policy else [])
        for member in binding["members"]
    ]
    return Found(
        project_number=str(described["projectNumber"]) if described else A_NUMBER,
        accounts=_ours(names, [each["email"] for each in accounts]),
        buckets=_ours(names, [each["name"] for each in buckets]),
        services=_ours(names, [each["metadata"]["name"] for each in services]),
        workflows=_ours(names, [each["name"].rpartition("/")[2] for each in workflows]),
        triggers=_ours(names, [each["name"].rpartition("/")[2] for each in triggers]),
        grants=[each for each in granted if _is_ours(names, each[1])],
        others_grants=[each for each in granted if not _is_ours(names, each[1])],
    )


def _ours(names: Names, listed: Sequence[str]) -> list[str]:
    return sorted(name for name in listed if _is_ours(names, name))


def _is_ours(names: Names, name: str) -> bool:
    own = name.removeprefix("serviceAccount:")
    return own == names.stem or own.startswith(f"{names.stem}-")
