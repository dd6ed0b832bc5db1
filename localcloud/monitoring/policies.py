"""Alert policies: https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from localcloud.filters import parse_filter
from localcloud.labels import check_labels
from localcloud.messages import ApiError, Request, Response, json_response, read_as
from localcloud.monitoring.rules import (
    HasMetric,
    check_aggregation,
    check_filter,
    check_minutes,
    invalid,
    seconds,
)
from localcloud.monitoring.store import Resource, Store, masked
from localcloud.routing import Route
from localcloud.times import now

_POLICIES = "/v3/projects/{project}/alertPolicies"
_POLICY = _POLICIES + "/{policy}"
MAX_CONDITIONS, MAX_CHANNELS, MAX_AGGREGATIONS = 6, 16, 2
MAX_DOCUMENTATION_BYTES = 8192
MIN_ABSENCE_SECONDS = 120
AUTO_CLOSE_SECONDS = (1800, 604_800)
_LOG, _MQL = "conditionMatchedLog", "conditionMonitoringQueryLanguage"
_SETTABLE = (
    *(
        "displayName",
        "documentation",
        "userLabels",
        "conditions",
        "combiner",
        "enabled",
        "notificationChannels",
    ),
    *("alertStrategy", "severity"),
)


class AlertPolicies:
    """The alert policies of all projects."""

    def __init__(self, has_channel: Callable[[str, str], bool], has_metric: HasMetric):
        self._store = Store("Alert policy")
        self._has_channel, self._has_metric = has_channel, has_metric
        self.forget_all = self._store.forget_all

    def routes(self) -> list[Route]:
        return [
            Route("POST", _POLICIES, self.create),
            Route("GET", _POLICIES, self.list),
            Route("GET", _POLICY, self.get),
            Route("PATCH", _POLICY, self.change),
            Route("DELETE", _POLICY, self.delete),
        ]

    def create(self, request: Request, project: str) -> Response:
        number = _number()
        record = {"mutateTime": now()}
        made = {
            "name": f"projects/{project}/alertPolicies/{number}",
            "enabled": True,
            **self._checked(request.json(), project),
            "creationRecord": record,
            "mutationRecord": record,
        }
        self._store.add(project, number, _with_names(made))
        return json_response(self._store.get(project, number))

    def list(self, request: Request, project: str) -> Response:
        return self._store.page("alertPolicies", request, project)

    def get(self, request: Request, project: str, policy: str) -> Response:
        return json_response(self._store.get(project, policy))

    def change(self, request: Request, project: str, policy: str) -> Response:
        """Replace the fields that the mask names, or the whole policy."""
        asked, mask = request.json(), masked(request, _SETTABLE)

        def changed(old: Resource) -> Resource:
            kept = {name: old[name] for name in _SETTABLE if name in old and name not in mask}
            new = {name: value for name, value in asked.items() if name in mask or name not in _SETTABLE}
            fixed = {name: old[name] for name in ("name", "creationRecord")}
            checked = self._checked({**kept, **new}, project)
            return _with_names({**fixed, "enabled": True, **checked, "mutationRecord": {"mutateTime": now()}})

        return json_response(self._store.change(project, policy, changed))

    def delete(self, request: Request, project: str, policy: str) -> Response:
        self._store.delete(project, policy)
        return json_response({})

    def users_of(self, project: str, channel: str) -> Sequence[str]:
        """Return the names of the policies that notify a channel."""
        end = f"/notificationChannels/{channel}"
        return [
            each["name"]
            for each in self._store.all(project)
            if any(name.endswith(end) for name in each.get("notificationChannels", []))
        ]

    def forget_channel(self, project: str, channel: str) -> None:
        """Remove a channel from all policies."""
        end = f"/notificationChannels/{channel}"

        def without(policy: Resource) -> Resource:
            left = [each for each in policy.get("notificationChannels", []) if not each.endswith(end)]
            others = {name: value for name, value in policy.items() if name != "notificationChannels"}
            return {**others, **({"notificationChannels": left} if left else {})}

        self._store.change_all(project, without)

    def _checked(self, body: Mapping[str, Any], project: str) -> Resource:
        """Return what is settable of a policy, as the service writes it, or refuse it."""
        from google.cloud.monitoring_v3 import AlertPolicy

        asked = read_as(AlertPolicy, body)
        if not asked.get("displayName"):
            raise invalid("alert_policy.display_name", "", "it is required.")
        check_labels(asked.get("userLabels", {}))
        conditions = asked.get("conditions", [])
        _check_conditions(conditions, asked.get("combiner", ""))
        for number, condition in enumerate(conditions):
            self._check_condition(f"alert_policy.conditions[{number}]", condition)
        _check_documentation(asked.get("documentation", {}))
        _check_strategy(asked.get("alertStrategy", {}), _LOG in conditions[0])
        self._check_channels(asked.get("notificationChannels", []), project)
        return {name: asked[name] for name in _SETTABLE if name in asked}

    def _check_condition(self, field: str, condition: Resource) -> None:
        if not condition.get("displayName"):
            raise invalid(f"{field}.display_name", "", "it is required.")
        kinds = [name for name in condition if name.startswith("condition")]
        if not kinds:
            raise invalid(f"{field}.condition_case", "0", "Condition subtype is absent or unknown.")
        [kind] = kinds
        check = {
            "conditionThreshold": self._check_threshold,
            "conditionAbsent": self._check_absence,
            _LOG: _check_match,
        }.get(kind, _check_query)
        check(f"{field}.{_snake(kind)}", condition[kind])

    def _check_threshold(self, field: str, threshold: Resource) -> None:
        check_filter(f"{field}.filter", threshold.get("filter", ""), self._has_metric, needs_resource=True)
        self._check_series(field, threshold)
        if (comparison := threshold.get("comparison", "")) not in ("COMPARISON_GT", "COMPARISON_LT"):
            raise invalid(f"{field}.comparison", comparison, "it must be COMPARISON_GT or COMPARISON_LT.")
        check_minutes(f"{field}.duration", threshold.get("duration", "0s"))
        if "denominatorFilter" in threshold:
            check_filter(
                f"{field}.denominator_filter", threshold["denominatorFilter"], self._has_metric, True
            )

    def _check_absence(self, field: str, absence: Resource) -> None:
        check_filter(f"{field}.filter", absence.get("filter", ""), self._has_metric, needs_resource=True)
        self._check_series(field, absence)
        check_minutes(f"{field}.duration", absence.get("duration", "0s"), MIN_ABSENCE_SECONDS)

    def _check_series(self, field: str, condition: Resource) -> None:
        for name in ("aggregations", "denominatorAggregations"):
            aggregations = condition.get(name, [])
            if len(aggregations) > MAX_AGGREGATIONS:
                raise invalid(f"{field}.{_snake(name)}", len(aggregations), f"{MAX_AGGREGATIONS} at most.")
            for number, each in enumerate(aggregations):
                check_aggregation(f"{field}.{_snake(name)}[{number}]", each)

    def _check_channels(self, names: Sequence[str], project: str) -> None:
        if len(names) > MAX_CHANNELS:
            raise invalid("alert_policy.notification_channels", len(names), f"{MAX_CHANNELS} at most.")
        for name in names:
            start, _, number = name.rpartition("/notificationChannels/")
            if not start.startswith("projects/") or not self._has_channel(project, number):
                raise ApiError(404, f'Cannot find notification channel with name "{name}".')


def _check_conditions(conditions: list[Resource], combiner: str) -> None:
    if not 1 <= len(conditions) <= MAX_CONDITIONS:
        raise invalid("alert_policy.conditions", len(conditions), f"1 to {MAX_CONDITIONS} are required.")
    if len(conditions) > 1 and any(_LOG in each for each in conditions):
        raise ApiError(400, "Alert policies with a log matching condition can only have a single condition.")
    if not combiner and not any(_MQL in each for each in conditions):
        raise invalid("alert_policy.combiner", "COMBINE_UNSPECIFIED", "it is required.")


def _check_match(field: str, match: Resource) -> None:
    try:
        if not match.get("filter"):
            raise ApiError(400, "it is required.")
        parse_filter(match["filter"])
    except ApiError as error:
        raise invalid(f"{field}.filter", match.get("filter", ""), f"Unparseable filter: {error}") from error


def _check_query(field: str, condition: Resource) -> None:
    if not condition.get("query"):
        raise invalid(f"{field}.query", "", "it is required.")
    if "duration" in condition:
        check_minutes(f"{field}.duration", condition["duration"])


def _check_documentation(documentation: Resource) -> None:
    content, kind = documentation.get("content", ""), documentation.get("mimeType", "text/markdown")
    if len(content.encode()) > MAX_DOCUMENTATION_BYTES:
        reason = f"{MAX_DOCUMENTATION_BYTES} bytes at most."
        raise invalid("alert_policy.documentation.content", f"{content[:40]}...", reason)
    if kind != "text/markdown":
        raise invalid("alert_policy.documentation.mime_type", kind, "it must be text/markdown.")


def _check_strategy(strategy: Resource, is_log_based: bool) -> None:
    """Refuse a strategy that does not fit: the rate of notifications is limited for matches of logs only."""
    limit = strategy.get("notificationRateLimit", {})
    if is_log_based and not seconds(limit.get("period", "")):
        raise invalid(
            "alertStrategy.notificationRateLimit",
            limit.get("period", ""),
            "log-based alert policies must specify a notification rate limit",
        )
    if limit and not is_log_based:
        raise invalid(
            "alertStrategy.notificationRateLimit",
            limit.get("period", ""),
            "metric-based alert policies must not specify a notification rate limit",
        )
    least, most = AUTO_CLOSE_SECONDS
    if "autoClose" in strategy and not least <= seconds(strategy["autoClose"]) <= most:
        raise invalid(
            "alertStrategy.autoClose", strategy["autoClose"], f"it must be {least} to {most} seconds."
        )


def _with_names(policy: Resource) -> Resource:
    """Return a policy whose conditions have names; a condition keeps the one it has."""
    start = f"{policy['name']}/conditions/"
    named = [
        each if each.get("name", "").startswith(start) else {**each, "name": start + _number()}
        for each in policy["conditions"]
    ]
    return {**policy, "conditions": named}


def _number() -> str:
    return str(secrets.randbelow(9 * 10**18) + 10**18)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
