"""What of the GPU lane exists in the project: what a deployment skips, and what a removal deletes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ops.cloud.cloud import Cloud
from ops.gcloud import AT_ONCE, in_parallel
from ops.gpu.names import DIGITS, MANAGED_BY, SERVICES, Names

A_NUMBER = "PROJECT_NUMBER"  # placeholder in a dry run, which asks nothing
Resource = Mapping[str, Any]  # as gcloud prints it
_DIGITS = re.compile(rf"-[0-9a-f]{{{DIGITS}}}(?![a-z0-9])")


class Grant(NamedTuple):
    """A role that a member has in the project, and the title of its condition; "" without one."""

    role: str
    member: str
    condition: str = ""


@dataclass(frozen=True)
class Found:
    """What exists of a lane's own names, each by its name as gcloud takes it."""

    project_number: str = A_NUMBER
    apis: frozenset[str] = frozenset()  # that are enabled, without .googleapis.com
    accounts: Mapping[str, Resource] = field(default_factory=dict)  # by e-mail address
    buckets: Mapping[str, Resource] = field(default_factory=dict)  # without gs://, as the API shows them
    services: Mapping[str, Resource] = field(default_factory=dict)
    workflows: Mapping[str, Resource] = field(default_factory=dict)
    triggers: Mapping[str, Resource] = field(default_factory=dict)
    alerts: Mapping[str, Resource] = field(default_factory=dict)
    dashboards: Mapping[str, Resource] = field(default_factory=dict)
    channels: Mapping[str, Resource] = field(default_factory=dict)
    log_metrics: Mapping[str, Resource] = field(default_factory=dict)
    budgets: Mapping[str, Resource] = field(default_factory=dict)  # none without BILLING_ACCOUNT
    repositories: Mapping[str, Resource] = field(default_factory=dict)  # the lane's own
    images: Sequence[str] = ()  # in a repository that is not its own
    policies: Mapping[str, Resource] = field(default_factory=dict)  # of buckets and services, by their names
    project_policy: Resource = field(default_factory=dict)
    grants: Sequence[Grant] = ()  # in the project's policy: to a member of the lane, or titled as its own

    def managers(self) -> dict[str, str]:
        """Return the label managed-by of what has one, by "kind NAME"."""
        labelled = {
            **{f"service {name}": each["metadata"] for name, each in self.services.items()},
            **{f"workflow {name}": each for name, each in self.workflows.items()},
            **{f"trigger {name}": each for name, each in self.triggers.items()},
            **{f"bucket {name}": each for name, each in self.buckets.items()},
        }
        found = {name: each.get("labels", {}).get(MANAGED_BY, "") for name, each in labelled.items()}
        return {name: manager for name, manager in found.items() if manager}


def title_of(resource: Resource) -> str:
    """Return the display name of an alert, a dashboard, a channel or a budget."""
    return resource.get("displayName", "")


def look(cloud: Cloud, names: Names) -> Found:
    """Return what exists; in a dry run nothing does. An API that is not enabled has nothing."""
    described, enabled = _ask_all(
        cloud,
        [["projects", "describe", cloud.project], ["services", "list", "--enabled", *cloud.in_project]],
    )
    if described is None:
        return Found()
    apis = frozenset(each["config"]["name"].removesuffix(".googleapis.com") for each in enabled)
    asked = {kind: words for kind, (api, words) in _lists(cloud).items() if api in apis}
    listed = dict(zip(asked, _ask_all(cloud, [*asked.values()]), strict=True))
    policy = listed.pop("project_policy", None) or {}
    granted = [
        Grant(binding["role"], member, binding.get("condition", {}).get("title", ""))
        for binding in policy.get("bindings", [])
        for member in binding["members"]
    ]
    return Found(
        images=_images(cloud, names, listed.get("repositories"), listed.get("services")),
        project_number=str(described["projectNumber"]),
        apis=apis,
        project_policy=policy,
        grants=[each for each in granted if _is_ours(names, each.member) or each.condition == names.stem],
        **{kind: _ours(names, kind, resources or []) for kind, resources in listed.items()},
    )


def _lists(cloud: Cloud) -> dict[str, tuple[str, list[str]]]:
    """Return, for each kind, its API and the words of gcloud that list it."""
    account = cloud.settings.billing_account
    budgets = ["billing", "budgets", "list", "--billing-account", account]
    project, region = cloud.in_project, ["--region", cloud.region]
    return {
        "project_policy": ("cloudresourcemanager", ["projects", "get-iam-policy", cloud.project]),
        "accounts": ("iam", ["iam", "service-accounts", "list", *project]),
        "buckets": ("storage", ["storage", "buckets", "list", "--raw", *project]),
        "services": ("run", ["run", "services", "list", *region, *project]),
        "workflows": ("workflows", ["workflows", "list", *cloud.in_region]),
        "triggers": ("eventarc", ["eventarc", "triggers", "list", *cloud.in_region]),
        "alerts": ("monitoring", ["alpha", "monitoring", "policies", "list", *project]),
        "dashboards": ("monitoring", ["monitoring", "dashboards", "list", *project]),
        "channels": ("monitoring", ["beta", "monitoring", "channels", "list", *project]),
        "log_metrics": ("logging", ["logging", "metrics", "list", *project]),
        **({"budgets": ("billingbudgets", budgets)} if account else {}),
        "repositories": ("artifactregistry", ["artifacts", "repositories", "list", *cloud.in_region]),
    }


def _images(
    cloud: Cloud,
    names: Names,
    repositories: Sequence[Resource] | None,
    services: Sequence[Resource] | None,
) -> list[str]:
    """Return the lane's images in the repository of GPU_REPO_NAME, which may have others.

    Those that a service of another lane runs are that lane's, too, and are left out.
    """
    repository = names.images.rpartition("/")[2]
    there = [each["name"].rpartition("/")[2] for each in repositories or []]
    if repository == names.stem or repository not in there:
        return []
    listed = cloud.read_json(
        ["artifacts", "packages", "list", "--repository", repository, *cloud.in_region], echo=False
    )
    packages = {each["name"].rpartition("/")[2] for each in listed}
    others = {
        re.split("[@:]", image)[0]
        for each in services or []
        if not _is_ours(names, _name("services", each))
        for image in images_of(each)
    }
    return [name for name in SERVICES if name in packages and f"{names.images}/{name}" not in others]


def images_of(service: Resource) -> list[str]:
    """Return the images that a service runs."""
    containers = service.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    return [each.get("image", "") for each in containers]


def with_details(cloud: Cloud, found: Found) -> Found:
    """Return what was found with the policies of buckets and services, and the sources of workflows."""
    region = ["--region", cloud.region, *cloud.in_project]
    policies = {
        **{name: ["storage", "buckets", "get-iam-policy", f"gs://{name}"] for name in found.buckets},
        **{name: ["run", "services", "get-iam-policy", name, *region] for name in found.services},
    }
    workflows = {name: ["workflows", "describe", name, *cloud.in_region] for name in found.workflows}
    answers = _ask_all(cloud, [*policies.values(), *workflows.values()])
    return replace(
        found,
        policies=dict(zip(policies, answers, strict=False)),
        workflows=dict(zip(workflows, answers[len(policies) :], strict=True)),
    )


def _ask_all(cloud: Cloud, asked: Sequence[Sequence[str]]) -> list[Any]:
    calls = [lambda words=words: cloud.read_json(words, echo=False) for words in asked]
    return in_parallel(calls, cloud.shell.most_at_once(AT_ONCE))


def _ours(names: Names, kind: str, listed: Sequence[Resource]) -> dict[str, Resource]:
    """Return those of a kind that are the lane's, by name."""
    named = {_name(kind, each): each for each in listed}
    titled = kind in ("alerts", "budgets", "channels", "dashboards")
    return {
        name: each
        for name, each in sorted(named.items())
        if _is_ours(names, title_of(each) if titled else name)
    }


def _name(kind: str, resource: Resource) -> str:
    if kind == "services":
        return resource["metadata"]["name"]
    if kind == "accounts":
        return resource["email"]
    is_whole = kind in ("alerts", "budgets", "channels", "dashboards", "log_metrics")
    return resource["name"] if is_whole else resource["name"].rpartition("/")[2]


def _is_ours(names: Names, name: str) -> bool:
    """Return whether a name, a member of a policy, or a title is one of the lane's."""
    if f"({names.stem})" in name:
        return True
    own = name.removeprefix("deleted:").removeprefix("serviceAccount:")
    if own == names.stem or own.startswith((f"{names.stem}:", f"{names.stem} ")):
        return True
    # SERVICE_PREFIX of another lane may be what begins our names: that lane's have digits of their own
    return own.startswith(f"{names.stem}-") and not _DIGITS.search(own.removeprefix(names.stem))
