"""The real gcloud handles dashboards, alert policies, channels and metrics in the emulated cloud."""

import copy
import json

import pytest

pytestmark = pytest.mark.usefixtures("emptied")
SERIES = 'metric.type="run.googleapis.com/request_count" AND resource.type="cloud_run_revision"'
RATE = {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_RATE"}
CHART = {"dataSets": [{"timeSeriesQuery": {"timeSeriesFilter": {"filter": SERIES, "aggregation": RATE}}}]}
DASHBOARD = {
    "displayName": "GPU lane",
    "mosaicLayout": {
        "columns": 12,
        "tiles": [
            {"width": 6, "height": 4, "widget": {"title": "Requests", "xyChart": CHART}},
            {"xPos": 6, "width": 6, "height": 4, "widget": {"text": {"content": "x"}}},
        ],
    },
}
THRESHOLD = {
    "filter": SERIES,
    "aggregations": [RATE],
    "comparison": "COMPARISON_GT",
    "thresholdValue": 1.5,
    "duration": "300s",
}
POLICY = {
    "displayName": "Too many requests",
    "combiner": "OR",
    "conditions": [{"displayName": "requests", "conditionThreshold": THRESHOLD}],
    "documentation": {"content": "Look at the runbook."},
    "severity": "WARNING",
    "userLabels": {"component": "lane"},
}
LOG_POLICY = {
    **POLICY,
    "conditions": [{"displayName": "errors", "conditionMatchedLog": {"filter": "severity>=ERROR"}}],
    "alertStrategy": {"notificationRateLimit": {"period": "300s"}},
}
DASHBOARDS, POLICIES = "/v1/projects/p/dashboards", "/v3/projects/p/alertPolicies"
CHANNELS, METRICS = "/v3/projects/p/notificationChannels", "/v2/projects/p/metrics"
EMAIL = {"type": "email", "labels": {"email_address": "a@example.org"}}
METRIC = {"name": "errors", "filter": "severity>=ERROR"}


@pytest.fixture
def written(tmp_path):
    """Return a function that writes JSON to a file and returns its path."""

    def write(value):
        path = tmp_path / "written.json"
        path.write_text(json.dumps(value))
        return path

    return write


def test_a_dashboard_from_its_creation_to_its_deletion(run_gcloud, written):
    def dashboards(*words, **more):
        return run_gcloud("monitoring", "dashboards", *words, **more)

    dashboards("create", f"--config-from-file={written(DASHBOARD)}")
    [listed] = json.loads(dashboards("list", "--format=json"))
    name = listed["name"]
    described = json.loads(dashboards("describe", name.rpartition("/")[2], "--format=json"))
    file = written({**described, "displayName": "Renamed"})
    changed = json.loads(dashboards("update", name, f"--config-from-file={file}", "--format=json"))
    stale = dashboards("update", name, f"--config-from-file={file}", fails=True)
    dashboards("delete", name)

    assert described == listed
    assert listed["mosaicLayout"] == DASHBOARD["mosaicLayout"]
    assert (changed["displayName"], changed["name"]) == ("Renamed", name)
    assert "etag does not match" in stale
    assert json.loads(dashboards("list", "--format=json")) == []
    assert "NOT_FOUND" in dashboards("describe", name, fails=True)


def test_a_policy_and_its_channel_from_their_creation_to_their_deletion(run_gcloud, written):
    def policies(*words, **more):
        return run_gcloud("alpha", "monitoring", "policies", *words, **more)

    def channels(*words, **more):
        return run_gcloud("beta", "monitoring", "channels", *words, **more)

    channels("create", "--type=email", "--channel-labels=email_address=a@example.org", "--display-name=Us")
    channel = channels("list", "--format=value(name)").strip()
    policies("create", f"--policy-from-file={written(POLICY)}", f"--notification-channels={channel}")
    [made] = json.loads(policies("list", "--filter=userLabels.component=lane", "--format=json"))
    policies("update", made["name"], "--update-user-labels=a=b")
    labelled = json.loads(policies("describe", made["name"], "--format=json"))
    in_use = channels("delete", channel, fails=True)
    policies("update", made["name"], f"--policy-from-file={written(LOG_POLICY)}")
    replaced = json.loads(policies("describe", made["name"], "--format=json"))
    channels("delete", channel)
    policies("delete", made["name"])

    assert made["notificationChannels"] == [channel]
    assert made["conditions"][0]["name"].startswith(f"{made['name']}/conditions/")
    assert made["enabled"]
    assert labelled["userLabels"] == {"component": "lane", "a": "b"}
    assert labelled["conditions"] == made["conditions"]
    assert "used by 1 alert policies" in in_use
    assert replaced["conditions"][0]["conditionMatchedLog"] == {"filter": "severity>=ERROR"}
    assert "notificationChannels" not in replaced
    assert json.loads(policies("list", "--format=json")) == []
    assert json.loads(channels("list", "--format=json")) == []


def test_a_log_based_metric_from_its_creation_to_its_deletion(run_gcloud, api):
    def metrics(*words, **more):
        return run_gcloud("logging", "metrics", *words, **more)

    by_metric = copy.deepcopy(POLICY)
    by_metric["conditions"][0]["conditionThreshold"]["filter"] = (
        'metric.type="logging.googleapis.com/user/errors" AND resource.type="cloud_run_revision"'
    )
    early = api("POST", POLICIES, json=by_metric)
    metrics("create", "errors", "--description=Errors", "--log-filter=severity>=ERROR")
    again = metrics("create", "errors", "--description=Errors", "--log-filter=severity>=ERROR", fails=True)
    metrics("update", "errors", "--description=All errors")
    [listed] = json.loads(metrics("list", "--format=json"))
    late = api("POST", POLICIES, json=by_metric)
    metrics("delete", "errors")

    assert early.status_code == 404
    assert "Cannot find metric" in early.json()["error"]["message"]
    assert "already exists" in again
    assert (listed["description"], listed["filter"]) == ("All errors", "severity>=ERROR")
    assert late.status_code == 200
    assert json.loads(metrics("list", "--format=json")) == []


def bent(value, *path, to):
    """Return a copy of a resource that is different at one place; None removes it."""
    changed = copy.deepcopy(value)
    *way, last = path
    place = changed
    for step in way:
        place = place[step]
    if to is None:
        del place[last]
    else:
        place[last] = to
    return changed


IN_THRESHOLD = ("conditions", 0, "conditionThreshold")
TILES = ("mosaicLayout", "tiles")


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        (DASHBOARDS, bent(DASHBOARD, "displayName", to=None), "display_name"),
        (DASHBOARDS, bent(DASHBOARD, "mosaicLayout", to=None), "layout is required"),
        (DASHBOARDS, bent(DASHBOARD, "gridLayout", to={}), "oneof"),
        (DASHBOARDS, bent(DASHBOARD, "rows", to=[]), 'no field named "rows"'),
        (DASHBOARDS, bent(DASHBOARD, *TILES, 1, "xPos", to=5), "overlaps tile 0"),
        (DASHBOARDS, bent(DASHBOARD, *TILES, 1, "xPos", to=7), "does not fit into 12 columns"),
        (DASHBOARDS, bent(DASHBOARD, *TILES, 0, "height", to=None), "does not fit"),
        (DASHBOARDS, bent(DASHBOARD, *TILES, 0, "widget", "xyChart", "dataSets", to=[]), "at least one"),
        (DASHBOARDS, json.loads(json.dumps(DASHBOARD).replace("metric.type", "metric")), "metric.type"),
        (DASHBOARDS, json.loads(json.dumps(DASHBOARD).replace("60s", "10s")), "60 to 90000"),
        (DASHBOARDS, json.loads(json.dumps(DASHBOARD).replace("ALIGN_RATE", "ALIGN_FAST")), "ALIGN_FAST"),
        (POLICIES, bent(POLICY, "displayName", to=None), "display_name"),
        (POLICIES, bent(POLICY, "combiner", to=None), "combiner"),
        (POLICIES, bent(POLICY, "conditions", to=[]), "1 to 6 are required"),
        (POLICIES, bent(POLICY, "conditions", to=POLICY["conditions"] * 7), "1 to 6 are required"),
        (POLICIES, bent(POLICY, "severity", to="BAD"), "BAD"),
        (POLICIES, bent(POLICY, "labels", to={}), 'no field named "labels"'),
        (POLICIES, bent(POLICY, "userLabels", to={"A": "b"}), "Invalid label"),
        (
            POLICIES,
            bent(POLICY, "notificationChannels", to=["projects/p/notificationChannels/1"]),
            "Cannot find",
        ),
        (POLICIES, bent(POLICY, *IN_THRESHOLD, to=None), "absent or unknown"),
        (POLICIES, bent(POLICY, *IN_THRESHOLD, "filter", to='metric.type="a/b"'), '"resource.type"'),
        (POLICIES, bent(POLICY, *IN_THRESHOLD, "filter", to=SERIES[:-1]), "Unparseable filter"),
        (POLICIES, bent(POLICY, *IN_THRESHOLD, "comparison", to="COMPARISON_GREATER_THAN"), "GREATER_THAN"),
        (POLICIES, bent(POLICY, *IN_THRESHOLD, "comparison", to="COMPARISON_GE"), "COMPARISON_GT or"),
        (POLICIES, bent(POLICY, *IN_THRESHOLD, "duration", to="90s"), "multiple of 60 seconds"),
        (
            POLICIES,
            bent(POLICY, *IN_THRESHOLD, "aggregations", to=[{"crossSeriesReducer": "REDUCE_SUM"}]),
            "a reducer needs an aligner",
        ),
        (POLICIES, bent(POLICY, "alertStrategy", to=LOG_POLICY["alertStrategy"]), "must not specify"),
        (POLICIES, bent(POLICY, "alertStrategy", to={"autoClose": "60s"}), "1800 to 604800"),
        (POLICIES, bent(LOG_POLICY, "alertStrategy", to=None), "must specify a notification rate limit"),
        (POLICIES, bent(LOG_POLICY, "conditions", to=LOG_POLICY["conditions"] * 2), "only have a single"),
        (
            POLICIES,
            bent(LOG_POLICY, "conditions", 0, "conditionMatchedLog", "filter", to='a="'),
            "Unparseable filter",
        ),
        (CHANNELS, bent(EMAIL, "type", to="e-mail"), "localcloud has email"),
        (CHANNELS, bent(EMAIL, "labels", "email_address", to="nobody"), "it is not valid"),
        (CHANNELS, bent(EMAIL, "labels", "address", to="x"), "no such label"),
        (METRICS, bent(METRIC, "filter", to=None), "needs a filter"),
        (METRICS, bent(METRIC, "filter", to='a="'), "filter"),
        (METRICS, bent(METRIC, "name", to="/errors"), "Invalid metric name"),
        (METRICS, bent(METRIC, "labelExtractors", to={"a": "EXTRACT(b)"}), "Each label"),
        (METRICS, bent(METRIC, "metricDescriptor", to={"valueType": "DISTRIBUTION"}), "value extractor"),
        (METRICS, bent(METRIC, "labels", to={}), 'Unknown name "labels"'),
    ],
)
def test_what_the_services_refuse_is_refused_and_not_kept(api, path, body, reason):
    answer = api("POST", path, json=body)

    assert answer.status_code in (400, 404)
    assert reason in answer.json()["error"]["message"]
    assert api("GET", path).json() == {}


@pytest.mark.parametrize(("service", "path"), [("monitoring", DASHBOARDS), ("logging", METRICS)])
def test_a_disabled_api_refuses(api, service, path):
    api("POST", f"/v1/projects/p/services/{service}.googleapis.com:disable", json={}).raise_for_status()

    assert "SERVICE_DISABLED" in api("GET", path).text
