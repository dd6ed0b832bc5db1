"""What Monitoring refuses that its messages allow: filters, aggregations and durations.

The wording is that of messages which users quoted, such as hashicorp/terraform-provider-google#4165.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.messages import ApiError

_TYPE = r"\b{}\.type\s*=\s*(?:starts_with\(|monitoring\.regex\.full_match\()?\s*\"([^\"]+)\""
_USER_METRIC = "logging.googleapis.com/user/"
MIN_ALIGNMENT_SECONDS, MAX_ALIGNMENT_SECONDS = 60, 90_000  # a minute; 25 hours

HasMetric = Callable[[str], bool]


def invalid(field: str, value: Any, reason: str) -> ApiError:
    return ApiError(400, f'Field {field} had an invalid value of "{value}": {reason}')


def seconds(text: str) -> float:
    """Return a duration of the API, such as "60s" or "0.5s"; 0 for none."""
    return float(text.removesuffix("s") or 0)


def check_filter(field: str, text: str, has_metric: HasMetric, needs_resource: bool = False) -> None:
    """Refuse a filter of time series without a metric, or of a log-based metric that is not there.

    Raises
    ------
    ApiError
        400 or 404.
    """
    if text.count('"') % 2 or text.count("(") != text.count(")"):
        raise invalid(field, text, "Unparseable filter: a quote or a bracket is not closed.")
    metric = re.search(_TYPE.format("metric"), text)
    if not metric:
        raise invalid(field, text, 'must specify a restriction on "metric.type" in the filter.')
    if needs_resource and not re.search(_TYPE.format("resource"), text):
        raise invalid(field, text, 'must specify a restriction on "resource.type" in the filter.')
    if metric[1].startswith(_USER_METRIC) and not has_metric(metric[1].removeprefix(_USER_METRIC)):
        raise ApiError(
            404,
            f'Cannot find metric that matches type = "{metric[1]}". If a metric was created recently, it '
            "could take up to 10 minutes to become available. Please try again soon.",
        )


def check_aggregation(field: str, aggregation: Mapping[str, Any]) -> None:
    """Refuse a reducer without an aligner, and an aligner without a period within its limits."""
    aligner = aggregation.get("perSeriesAligner", "ALIGN_NONE")
    reducer = aggregation.get("crossSeriesReducer", "REDUCE_NONE")
    period = aggregation.get("alignmentPeriod", "")
    if reducer != "REDUCE_NONE" and aligner == "ALIGN_NONE":
        raise invalid(f"{field}.per_series_aligner", aligner, "a reducer needs an aligner.")
    if aligner != "ALIGN_NONE" and not MIN_ALIGNMENT_SECONDS <= seconds(period) <= MAX_ALIGNMENT_SECONDS:
        raise invalid(
            f"{field}.alignment_period",
            period,
            f"it must be {MIN_ALIGNMENT_SECONDS} to {MAX_ALIGNMENT_SECONDS} seconds.",
        )
    if aggregation.get("groupByFields") and reducer == "REDUCE_NONE":
        raise invalid(f"{field}.group_by_fields", aggregation["groupByFields"], "they need a reducer.")


def check_minutes(field: str, text: str, least: int = 0) -> None:
    """Refuse a duration that is not in whole minutes, or shorter than `least` seconds."""
    length = seconds(text)
    if length % 60 or not least <= length <= 86_400 + 3_600:
        raise invalid(field, text, f"it must be a multiple of 60 seconds, {least} at least.")
