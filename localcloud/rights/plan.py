"""The grants of a plan of Terraform, from what `terraform show -json` prints of it.

https://developer.hashicorp.com/terraform/internals/json-format. A resource that gives a role
and cannot be read is an error: if it were skipped, its role would never be tested. The names of Google's own
accounts contain the project's number; here it is that of the emulated projects.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.rights.grants import Grant
from localcloud.rights.resources import PROJECT_NUMBER, account_name, bucket_name, project_of_account

_GIVES = re.compile(
    r"google_\w+_(iam_(member|binding|policy|custom_role)|acl|access_control)|google_iam_\w+_policy"
)
_KIND = re.compile(r"(?P<of>google_\w+)_iam_(?P<many>member|binding)")
_AGENT = re.compile(r"serviceAccount:service-\d+@(?P<domain>[a-z0-9-]+\.iam\.gserviceaccount\.com)")


class PlanError(ValueError):
    """What is wrong with a plan, in one line, with the address of the resource."""


class NotYetKnown(PlanError):
    """A value that a grant needs depends on what the plan only creates."""

    def __init__(self, address: str, name: str):
        super().__init__(f"{address}: {name} is known only after the apply of what it depends on")


def is_plan(content: object) -> bool:
    """Return whether a content, read as JSON, is a plan."""
    return isinstance(content, Mapping) and isinstance(content.get("resource_changes"), list)


def grants_of_plan(plan: Mapping[str, Any]) -> list[tuple[Grant, str]]:
    """Return the grants that are in force after an apply, each with the address of its resource.

    If two resources give the same grant, it is listed twice: one of them is superfluous.

    Raises
    ------
    PlanError
        This is no plan; it gives a role in a way that is not known here; or a value that a grant needs is
        known only after the apply.
    """
    if not is_plan(plan):
        raise PlanError("no plan: resource_changes is missing; write it with `terraform show -json PLAN`")
    if plan.get("errored"):
        raise PlanError("the plan is not complete, because `terraform plan` ended with an error: correct it")
    try:
        return [
            (grant, _address(change))
            for change in plan["resource_changes"]
            if change["mode"] == "managed" and _GIVES.match(change["type"])
            if change["change"]["after"] is not None  # it would be deleted
            for grant in _grants(_Planned.of(change, plan))
        ]
    except (AttributeError, LookupError, TypeError) as error:
        raise PlanError(f"no plan as `terraform show -json` prints it ({error!r})") from None


def _address(change: Mapping[str, Any]) -> str:
    address = change["address"]
    if not address or not isinstance(address, str):
        raise TypeError(f"the address {address!r}")
    return address


def plan_variable(plan: Mapping[str, Any], name: str) -> str:
    """Return a variable that the plan was made with; "" if it has none of this name."""
    return str(plan.get("variables", {}).get(name, {}).get("value") or "")


@dataclass(frozen=True)
class _Planned:
    """A resource of a plan that gives a role."""

    address: str
    kind: str
    values: Mapping[str, Any]
    unknown: Mapping[str, Any]
    default_project: str

    @classmethod
    def of(cls, change: Mapping[str, Any], plan: Mapping[str, Any]) -> "_Planned":
        unknown = change["change"].get("after_unknown") or {}
        project = plan_variable(plan, "project_id")
        return cls(_address(change), change["type"], change["change"]["after"], unknown, project)

    def text(self, name: str) -> str:
        """Return a value that a grant needs."""
        value = self.values.get(name)
        if value and isinstance(value, str):
            return value
        if _has_unknown(self.unknown.get(name)):
            raise NotYetKnown(self.address, name)
        raise PlanError(f"{self.address}: {name} is missing")

    def texts(self, name: str) -> list[str]:
        """Return a list of values, such as members."""
        values = self.values.get(name)
        if _has_unknown(self.unknown.get(name)) or not isinstance(values, list) or not all(values):
            raise NotYetKnown(self.address, name)
        return [str(each) for each in values]

    def project(self) -> str:
        """Return its own project, or that of the provider, which the plan has as a variable."""
        if project := self.values.get("project") or self.default_project:
            return str(project).removeprefix("projects/")
        raise PlanError(f"{self.address}: its project is not known, and the plan has no variable project_id")

    def last(self, name: str) -> str:
        """Return a name that may be given with the path of the resource before it."""
        return self.text(name).rpartition("/")[2]

    def condition(self) -> str:
        """Return the expression of its condition; "" without one."""
        listed = self.values.get("condition") or []
        if _has_unknown(self.unknown.get("condition")) or (listed and not listed[0].get("expression")):
            raise NotYetKnown(self.address, "condition")
        return str(listed[0]["expression"]) if listed else ""


def _has_unknown(unknown: object) -> bool:
    """Return whether a value, or one within it, is unknown."""
    if isinstance(unknown, Mapping):
        return any(map(_has_unknown, unknown.values()))
    return any(map(_has_unknown, unknown)) if isinstance(unknown, list) else bool(unknown)


def _grants(planned: _Planned) -> Iterator[Grant]:
    kind = _KIND.fullmatch(planned.kind)
    holder = _HOLDERS.get(kind["of"]) if kind else None
    if kind is None or holder is None:
        raise PlanError(f"{planned.address}: nobody knows here what {planned.kind} gives; add it to plan.py")
    members = [planned.text("member")] if kind["many"] == "member" else planned.texts("members")
    for member in members:
        yield Grant(holder(planned), planned.text("role"), _as_emulated(member), planned.condition())


def _as_emulated(member: str) -> str:
    """Return a member as the emulated cloud names it."""
    agent = _AGENT.fullmatch(member)
    return f"serviceAccount:service-{PROJECT_NUMBER}@{agent['domain']}" if agent else member


def _account(planned: _Planned) -> str:
    email = planned.last("service_account_id")
    return account_name(email, project_of_account(email) or planned.project())


def _in_location(planned: _Planned, kind: str, name: str) -> str:
    place = f"projects/{planned.project()}/locations/{planned.text('location')}"
    return f"{place}/{kind}/{planned.last(name)}"


# The resource whose policy has the role, by the kind of resource that gives it.
_HOLDERS: dict[str, Callable[[_Planned], str]] = {
    "google_project": lambda each: f"projects/{each.project()}",
    "google_storage_bucket": lambda each: bucket_name(each.last("bucket")),
    "google_service_account": _account,
    "google_secret_manager_secret": lambda each: (
        f"projects/{each.project()}/secrets/{each.last('secret_id')}"
    ),
    "google_artifact_registry_repository": lambda each: _in_location(each, "repositories", "repository"),
    "google_cloud_run_v2_service": lambda each: _in_location(each, "services", "name"),
}
