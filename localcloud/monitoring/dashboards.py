"""Dashboards: https://cloud.google.com/monitoring/api/ref_v3/rest/v1/projects.dashboards."""

import itertools
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from localcloud.labels import check_labels
from localcloud.messages import ApiError, Request, Response, json_response, read_as
from localcloud.monitoring.rules import HasMetric, check_aggregation, check_filter, invalid
from localcloud.monitoring.store import Resource, Store
from localcloud.projects import PROJECT_NUMBER
from localcloud.routing import Route

_DASHBOARDS = "/v1/projects/{project}/dashboards"
_DASHBOARD = _DASHBOARDS + "/{dashboard}"
_ID = re.compile(r"[a-zA-Z0-9-]{1,64}")
_LAYOUTS = ("columnLayout", "gridLayout", "mosaicLayout", "rowLayout")
MAX_COLUMNS, MAX_WIDGETS = 48, 100
_CHARTS = {"xyChart", "pieChart", "timeSeriesTable"}


class Dashboards:
    """The dashboards of all projects; `has_metric` tells whether a log-based metric exists."""

    def __init__(self, has_metric: HasMetric):
        self._store = Store("Dashboard")
        self._has_metric = has_metric
        self.forget_all = self._store.forget_all

    def routes(self) -> list[Route]:
        return [
            Route("POST", _DASHBOARDS, self.create),
            Route("GET", _DASHBOARDS, self.list),
            Route("GET", _DASHBOARD, self.get),
            Route("PATCH", _DASHBOARD, self.change),
            Route("DELETE", _DASHBOARD, self.delete),
        ]

    def create(self, request: Request, project: str) -> Response:
        made = self._checked(request.json())
        name = made.get("name", "").rpartition("/")[2] or str(uuid.uuid4())
        if not _ID.fullmatch(name):
            raise invalid("dashboard.name", name, "letters, digits and - only, 64 at most.")
        made = _named(made, name)
        if request.query.get("validateOnly", "").lower() != "true":
            self._store.add(project, name, made)
        return json_response(made)

    def list(self, request: Request, project: str) -> Response:
        return self._store.page("dashboards", request, project)

    def get(self, request: Request, project: str, dashboard: str) -> Response:
        return json_response(self._store.get(project, dashboard))

    def change(self, request: Request, project: str, dashboard: str) -> Response:
        """Replace a dashboard; an etag that is sent must be the current one."""
        asked = self._checked(request.json())
        is_trial = request.query.get("validateOnly", "").lower() == "true"

        def replaced(old: Resource) -> Resource:
            if asked.get("etag", old["etag"]) != old["etag"]:
                raise ApiError(409, "The etag does not match that of the dashboard.", status="ABORTED")
            return old if is_trial else _named(asked, dashboard)

        return json_response(self._store.change(project, dashboard, replaced))

    def delete(self, request: Request, project: str, dashboard: str) -> Response:
        self._store.delete(project, dashboard)
        return json_response({})

    def _checked(self, body: Mapping[str, Any]) -> Resource:
        """Return a dashboard as the service writes it, or refuse it."""
        from google.cloud.monitoring_dashboard_v1 import Dashboard

        asked = read_as(Dashboard, body)
        if not asked.get("displayName"):
            raise invalid("dashboard.display_name", "", "it is required.")
        if not any(layout in body for layout in _LAYOUTS):
            raise ApiError(400, f"Field dashboard.layout is required: one of {', '.join(_LAYOUTS)}.")
        check_labels(asked.get("labels", {}))
        _check_tiles(asked.get("mosaicLayout"))
        if len(list(_all(asked, "widget"))) > MAX_WIDGETS:
            raise ApiError(400, f"A dashboard may have at most {MAX_WIDGETS} widgets.")
        self._check_charts(asked)
        return asked

    def _check_charts(self, dashboard: Resource) -> None:
        for kind in _CHARTS:
            for chart in _all(dashboard, kind):
                if not chart.get("dataSets"):
                    raise invalid(f"{kind}.data_sets", "[]", "at least one is required.")
        for query in _all(dashboard, "timeSeriesQuery"):
            if not query.keys() - {"unitOverride", "outputFullDuration"}:
                raise invalid("time_series_query", query, "a filter or a query is required.")
        parts = ("timeSeriesFilter", "numerator", "denominator")
        for each in itertools.chain.from_iterable(_all(dashboard, part) for part in parts):
            check_filter("time_series_filter.filter", each.get("filter", ""), self._has_metric)
            for name in ("aggregation", "secondaryAggregation"):
                check_aggregation(f"time_series_filter.{name}", each.get(name, {}))


def _named(dashboard: Resource, name: str) -> Resource:
    path = f"projects/{PROJECT_NUMBER}/dashboards/{name}"
    return {
        "name": path,
        **{key: dashboard[key] for key in dashboard if key != "name"},
        "etag": uuid.uuid4().hex,
    }


def _all(value: Any, name: str) -> Iterator[Resource]:
    """Yield every field of a name, however deep it is."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key == name and isinstance(each, Mapping):
                yield dict(each)
            yield from _all(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _all(each, name)


def _check_tiles(layout: Mapping[str, Any] | None) -> None:
    """Refuse tiles of a mosaic that overlap or leave it."""
    if layout is None:
        return
    columns = layout.get("columns", 0)
    if not 1 <= columns <= MAX_COLUMNS:
        raise invalid("mosaic_layout.columns", columns, f"it must be 1 to {MAX_COLUMNS}.")
    taken: dict[tuple[int, int], int] = {}
    for number, tile in enumerate(layout.get("tiles", [])):
        field = f"mosaic_layout.tiles[{number}]"
        x, y, width, height = (int(tile.get(name, 0)) for name in ("xPos", "yPos", "width", "height"))
        if min(x, y) < 0 or min(width, height) < 1 or x + width > columns:
            raise invalid(field, f"x {x}, width {width}", f"it does not fit into {columns} columns.")
        if "collapsibleGroup" in tile.get("widget", {}):
            continue  # it lies under the tiles of its group
        for cell in itertools.product(range(x, x + width), range(y, y + height)):
            if cell in taken:
                raise invalid(field, f"x {x}, y {y}", f"it overlaps tile {taken[cell]}.")
            taken[cell] = number
