"""Log-based metrics of Cloud Logging: kept and checked; no entry is ever counted.

REST API v2: https://cloud.google.com/logging/docs/reference/v2/rest/v2/projects.metrics
"""

import re
import threading
from collections.abc import Mapping
from typing import Any

from localcloud.filters import parse_filter
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_of
from localcloud.routing import Route
from localcloud.shapes import ANYTHING, check_shape, without_nulls
from localcloud.times import now

_METRICS = "/v2/projects/{project}/metrics"
_METRIC = _METRICS + "/{metric}"
_NAME = re.compile(r"[A-Za-z0-9_\-.,+!*',()%][A-Za-z0-9_\-.,+!*',()%/]{0,99}")
MAX_FILTER, MAX_DESCRIPTION = 20_000, 8000
_DESCRIPTOR = {
    **dict.fromkeys(("name", "type", "metricKind", "valueType", "unit", "description", "displayName"), str),
    "labels": [{"key": str, "valueType": str, "description": str}],
    **dict.fromkeys(("metadata", "launchStage", "monitoredResourceTypes"), ANYTHING),
}
_SHAPE = {
    **dict.fromkeys(("name", "description", "filter", "valueExtractor", "bucketName"), str),
    "disabled": bool,
    "metricDescriptor": _DESCRIPTOR,
    "labelExtractors": {"*": str},
    **dict.fromkeys(("bucketOptions", "createTime", "updateTime", "version"), ANYTHING),
}


class LogMetrics:
    """The log-based metrics of all projects, by name."""

    def __init__(self):
        self._metrics: dict[tuple[str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        return [
            Route("POST", _METRICS, self.create),
            Route("GET", _METRICS, self.list),
            Route("GET", _METRIC, self.get),
            Route("PUT", _METRIC, self.put),
            Route("DELETE", _METRIC, self.delete),
        ]

    def forget_all(self) -> None:
        with self._lock:
            self._metrics.clear()

    def has(self, name: str) -> bool:
        """Return whether a project has a metric of this name."""
        with self._lock:
            return any(name == known for _, known in self._metrics)

    def create(self, request: Request, project: str) -> Response:
        made = _checked(request.json())
        with self._lock:
            if (project, made["name"]) in self._metrics:
                raise ApiError(409, f"Metric {made['name']} already exists.")
            return json_response(self._keep(project, made))

    def list(self, request: Request, project: str) -> Response:
        with self._lock:
            found = [each for (owner, _), each in sorted(self._metrics.items()) if owner == project]
        return json_response(page_of("metrics", zip(found, found, strict=True), request, 50, 1000))

    def get(self, request: Request, project: str, metric: str) -> Response:
        with self._lock:
            return json_response(self._found(project, metric))

    def put(self, request: Request, project: str, metric: str) -> Response:
        """Replace a metric, or create it."""
        made = _checked({"name": metric, **request.json()})
        if made["name"] != metric:
            raise ApiError(400, f"The name {made['name']} is not that of the metric, {metric}.")
        with self._lock:
            return json_response(self._keep(project, made))

    def delete(self, request: Request, project: str, metric: str) -> Response:
        with self._lock:
            self._found(project, metric)
            del self._metrics[project, metric]
        return json_response({})

    def _found(self, project: str, metric: str) -> dict[str, Any]:
        if found := self._metrics.get((project, metric)):
            return found
        raise ApiError(404, f"Metric {metric} does not exist.")

    def _keep(self, project: str, made: dict[str, Any]) -> dict[str, Any]:
        name = made["name"]
        begun = self._metrics.get((project, name), {}).get("createTime", now())
        descriptor = {
            "metricKind": "DELTA",
            "valueType": "INT64",
            **made.get("metricDescriptor", {}),
            "name": f"projects/{project}/metricDescriptors/logging.googleapis.com/user/{name}",
            "type": f"logging.googleapis.com/user/{name}",
        }
        kept = {**made, "metricDescriptor": descriptor, "createTime": begun, "updateTime": now()}
        self._metrics[project, name] = kept
        return kept


def _checked(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a metric, or refuse it."""
    asked = without_nulls(body)
    check_shape(asked, _SHAPE, "metric")
    if not _NAME.fullmatch(asked.get("name", "")):
        raise ApiError(
            400, f"Invalid metric name {asked.get('name', '')!r}: 1 to 100 characters, no / first."
        )
    if not 0 < len(asked.get("filter", "")) <= MAX_FILTER:
        raise ApiError(400, f"A metric needs a filter, of at most {MAX_FILTER} characters.")
    if len(asked.get("description", "")) > MAX_DESCRIPTION:
        raise ApiError(400, f"A description has at most {MAX_DESCRIPTION} characters.")
    parse_filter(asked["filter"])
    descriptor = asked.get("metricDescriptor", {})
    if descriptor.get("metricKind", "DELTA") != "DELTA":
        raise ApiError(400, "The metric kind of a log-based metric is DELTA.")
    kind = descriptor.get("valueType", "INT64")
    if kind not in ("INT64", "DISTRIBUTION"):
        raise ApiError(400, "The value type of a log-based metric is INT64 or DISTRIBUTION.")
    if (kind == "DISTRIBUTION") != bool(asked.get("valueExtractor")):
        raise ApiError(400, "A value extractor is required for a DISTRIBUTION, and for that only.")
    if {each.get("key") for each in descriptor.get("labels", [])} != asked.get("labelExtractors", {}).keys():
        raise ApiError(400, "Each label of a metric needs an extractor, and each extractor a label.")
    return asked
