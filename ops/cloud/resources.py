"""What people and accounts have roles on: resources, and gcloud's words that give a role.

They are named as conditions see them: projects/P, projects/P/secrets/S, projects/_/buckets/B.
https://cloud.google.com/iam/docs/conditions-resource-attributes. What somebody may do there is in held.py.
"""

import re
import shlex
from dataclasses import dataclass

from ops import people
from ops.names import account_email
from ops.settings import Settings

GOOGLE_HOST = "docker.pkg.dev"
ADD = "add-iam-policy-binding"
TITLE = "as others have it"  # a condition must have one


@dataclass(frozen=True)
class _Kind:
    """A kind of resource: its API, how a line calls one, and gcloud's words that add a binding."""

    api: str
    title: str
    add: str
    takes_condition: bool = True


_IN_PROJECT = r"projects/(?P<project>[^/]+)"
_AT = rf"{_IN_PROJECT}/locations/(?P<place>[^/]+)"
_KINDS = {
    r"projects/_/buckets/(?P<name>[^/]+)": _Kind(
        "storage", "gs://{name}", f"storage buckets {ADD} gs://{{name}}"
    ),
    rf"{_IN_PROJECT}/serviceAccounts/(?P<name>[^/]+)": _Kind(
        "iam", "account {id}", f"iam service-accounts {ADD} {{name}} --project {{project}}"
    ),
    rf"{_IN_PROJECT}/secrets/(?P<name>[^/]+)": _Kind(
        "secretmanager", "secret {name}", f"secrets {ADD} {{name}} --project {{project}}"
    ),
    rf"{_AT}/repositories/(?P<name>[^/]+)": _Kind(
        "artifactregistry",
        "repository {name}",
        f"artifacts repositories {ADD} {{name}} --location {{place}} --project {{project}}",
    ),
    rf"{_AT}/services/(?P<name>[^/]+)": _Kind(
        "run", "service {name}", f"run services {ADD} {{name}} --region {{place}} --project {{project}}"
    ),
    r"billingAccounts/(?P<name>[^/]+)": _Kind(
        "cloudbilling",
        "billing account {name}",
        f"billing accounts {ADD} {{name}}",
        takes_condition=False,
    ),
    r"projects/(?P<name>[^/]+)": _Kind("cloudresourcemanager", "project {name}", f"projects {ADD} {{name}}"),
}


@dataclass(frozen=True)
class Resource:
    """What has a policy, by the name that conditions see."""

    name: str

    @property
    def title(self) -> str:
        """Return what a line calls it, such as "account epymodelingsuite-batch"."""
        kind, parts = self._found()
        return kind.title.format(**parts, id=parts["name"].partition("@")[0])

    @property
    def api(self) -> str:
        return self._found()[0].api

    @property
    def path(self) -> str:
        """Return its path in its API."""
        kind, parts = self._found()
        return f"storage/v1/b/{parts['name']}" if kind.api == "storage" else f"v1/{self.name}"

    def command(self, role: str, member: str, condition: str = "") -> str:
        """Return the command that gives a role on it to a member, under a condition if there is one."""
        kind, parts = self._found()
        words = ["gcloud", *(each.format(**parts) for each in kind.add.split())]
        words += ["--member", member, "--role", role]
        # without it gcloud asks, wherever the policy has a condition already
        only = ["--condition", _option(condition) if condition else "None"]
        return shlex.join([*words, *(only if kind.takes_condition else [])])

    def _found(self) -> tuple[_Kind, dict[str, str]]:
        return next(
            (kind, found.groupdict())
            for pattern, kind in _KINDS.items()
            if (found := re.fullmatch(pattern, self.name))
        )


def places(settings: Settings) -> dict[str, str]:
    """Return the names of the resources that the settings name, as people.py calls them."""
    project = f"projects/{settings.project_id}"
    accounts = {
        people.BATCH: settings.batch_service_account,
        people.BUILDER: settings.builder_service_account,
        people.BUILD: settings.build_service_account,
    }
    buckets = {
        people.BUCKET: settings.bucket_name,
        people.STATE: settings.tf_state_bucket or settings.bucket_name,
    }
    found = {
        people.PROJECT: project,
        **{on: bucket_name(bucket) for on, bucket in buckets.items() if bucket},
        **{on: _account(settings.project_id, account) for on, account in accounts.items()},
    }
    host = settings.registry_host or f"{settings.region}-{GOOGLE_HOST}"
    if host.endswith(f"-{GOOGLE_HOST}"):
        place = host.removesuffix(f"-{GOOGLE_HOST}")
        found[people.REGISTRY] = f"{project}/locations/{place}/repositories/{settings.repo_name}"
    if settings.github_pat_secret:
        found[people.SECRET] = f"{project}/secrets/{settings.github_pat_secret}"
    if settings.billing_account and settings.monthly_budget_usd:
        found[people.BILLING] = f"billingAccounts/{settings.billing_account}"
    return found


def bucket_name(bucket: str) -> str:
    return f"projects/_/buckets/{bucket}"


def _account(project: str, account: str) -> str:
    email = account_email(project, account)
    home = email.partition("@")[2].removesuffix(".iam.gserviceaccount.com")
    place = project if "." in home else home  # Compute Engine's own account does not name its project
    return f"projects/{place}/serviceAccounts/{email}"


def _option(condition: str) -> str:
    """Return a condition as gcloud takes it, with a mark between its parts that it does not have itself.

    https://cloud.google.com/sdk/gcloud/reference/topic/escaping
    """
    mark = next(each for each in ",;|~#" if each not in condition)
    parts = mark.join([f"expression={condition}", f"title={TITLE}"])
    return parts if mark == "," else f"^{mark}^{parts}"
