"""Dashboard, alerts and budget of the GPU lane: messages of the service, filled in alike in both ways."""

import json
import re
from string import Template

import pytest
import yaml
from google.cloud.monitoring_dashboard_v1.types import Dashboard
from google.cloud.monitoring_v3.types import AlertPolicy
from google.protobuf.json_format import MessageToDict, ParseDict

from ops.gpu.names import SERVICES, Names
from ops.settings import Settings
from tests.gpu_plans import FOLDER, NEEDED, configured, plans
from tests.terraform_plans import resources

# Metrics of Google with their kinds and the labels by which they are told apart, as public code uses them in
# 2026-11; Google's list: https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-run and #gcp-workflows.
# Not there, though public code has them: gpu/utilization, gpu/memory_used, accelerator/duty_cycle.
SOURCE = {
    "run.googleapis.com/container/billable_instance_time": ("DELTA", "DOUBLE", set()),
    "run.googleapis.com/container/gpu/memory_utilizations": ("DELTA", "DISTRIBUTION", set()),
    "run.googleapis.com/container/gpu/utilizations": ("DELTA", "DISTRIBUTION", set()),
    "run.googleapis.com/container/instance_count": ("GAUGE", "INT64", {"state"}),
    "run.googleapis.com/container/startup_latencies": ("DELTA", "DISTRIBUTION", set()),
    "run.googleapis.com/request_count": ("DELTA", "INT64", {"response_code_class"}),
    "run.googleapis.com/request_latencies": ("DELTA", "DISTRIBUTION", {"response_code_class"}),
    "workflows.googleapis.com/finished_execution_count": ("DELTA", "INT64", {"status"}),
}
ALIGNERS = {  # that the service takes for a metric of a kind
    ("DELTA", "DISTRIBUTION"): r"ALIGN_(DELTA|PERCENTILE_\d\d)",
    ("DELTA", "INT64"): r"ALIGN_(DELTA|RATE)",
    ("GAUGE", "INT64"): r"ALIGN_(MEAN|MIN|MAX)",
}
RUNBOOKS = {"gpu-quota", "gpu-cold-start", "gpu-stuck-execution", "gpu-cost", "gpu-tear-down"}
WITH_ALL = {
    "min_instances": 1,
    "accept_idle_cost": True,
    "timeout_seconds": 900,
    "alert_email": "forecasts@example.org",
    "monthly_budget_usd": 200,
    "billing_account": "012345-6789AB-CDEF01",
}
FILLED = {  # with the defaults
    "stem": Names.of(Settings(**NEEDED)).stem,
    "project": "my-lab-forecasts",
    "region": "us-central1",
    "timeout_seconds": "300",
    "latency_ms": "240000",
    "min_instances": "0",
    "prices_of": "2026-08",
    # an L4 0.0001867, 4 CPUs of 0.000018 and 16 GiB of 0.000002; and 1 CPU of 0.000024 with GiB of 0.0000025
    "inference_usd_per_second": "0.00029070",
    "preprocess_usd_per_second": "0.00002900",
    "postprocess_usd_per_second": "0.00002650",
}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    return plans(configured(tmp_path_factory))


def board(plan):
    [after] = resources(plan, "google_monitoring_dashboard").values()
    return json.loads(after["dashboard_json"])


def queries(found):
    for tile in found["mosaicLayout"]["tiles"]:
        for each in tile["widget"].get("xyChart", {}).get("dataSets", []):
            yield each["timeSeriesQuery"]


def filters_of(plan):
    """Return each filter on a metric with its aggregation, of the dashboard and of the alerts."""
    for query in queries(board(plan)):
        if found := query.get("timeSeriesFilter"):
            yield found["filter"], found["aggregation"]
    for policy in policies():
        for condition in policy["conditions"]:
            threshold = condition["conditionThreshold"]
            for aggregation in threshold["aggregations"]:
                yield threshold["filter"], aggregation


def policies(**values):
    text = (FOLDER / "alerts.yaml").read_text()
    return yaml.safe_load(Template(text).substitute(FILLED | values))


def test_the_dashboard_is_a_message_of_the_service_and_would_come_back_as_it_was_sent(planned):
    found = board(planned())

    message = ParseDict(found, Dashboard.pb(Dashboard()))
    assert MessageToDict(message) == found  # no field that the service leaves out: a plan would never end


def test_the_dashboard_shows_executions_gpu_latency_errors_and_cost_side_by_side(planned):
    tiles = board(planned())["mosaicLayout"]["tiles"]
    titles = " / ".join(tile["widget"]["title"] for tile in tiles)
    taken = [
        (tile.get("xPos", 0) + x, tile.get("yPos", 0) + y)
        for tile in tiles
        for x in range(tile["width"])
        for y in range(tile["height"])
    ]

    for word in ("Executions", "Use of the GPU", "Latency", "class of answer", "USD", "errors"):
        assert word in titles
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 12


def test_terraform_fills_the_files_as_the_scripts_do(planned):
    plan = planned()
    dashboard = Template((FOLDER / "dashboard.json").read_text()).substitute(FILLED)

    labels = {"component": "epymodelingsuite", "environment": "production", "managed-by": "terraform"}
    assert board(plan) == json.loads(dashboard) | {"labels": labels}
    assert alerts_in(plan) == policies()


def alerts_in(plan):
    """Return the planned alerts in the spelling of the API, in the order of the file."""
    found = {
        after["display_name"]: after for after in resources(plan, "google_monitoring_alert_policy").values()
    }
    return [_as_api(found[policy["displayName"]]) for policy in policies()]


def _as_api(after):
    [condition] = after["conditions"]
    [threshold] = condition["condition_threshold"]
    [aggregation] = threshold["aggregations"]
    by = {"groupByFields": aggregation["group_by_fields"]} if aggregation["group_by_fields"] else {}
    return {
        "displayName": after["display_name"],
        "combiner": after["combiner"],
        "severity": after["severity"],
        "conditions": [
            {
                "displayName": condition["display_name"],
                "conditionThreshold": {
                    "filter": threshold["filter"],
                    "comparison": threshold["comparison"],
                    "thresholdValue": threshold["threshold_value"],
                    "duration": threshold["duration"],
                    "aggregations": [
                        {
                            "alignmentPeriod": aggregation["alignment_period"],
                            "perSeriesAligner": aggregation["per_series_aligner"],
                            "crossSeriesReducer": aggregation["cross_series_reducer"],
                            **by,
                        }
                    ],
                    "trigger": {"count": threshold["trigger"][0]["count"]},
                },
            }
        ],
        "alertStrategy": {"autoClose": after["alert_strategy"][0]["auto_close"]},
        "documentation": {
            "mimeType": after["documentation"][0]["mime_type"],
            "content": after["documentation"][0]["content"],
        },
    }


def test_each_alert_is_a_message_of_the_service():
    found = policies()

    assert len(found) == 4
    for policy in found:
        ParseDict(policy, AlertPolicy.pb(AlertPolicy()))
        assert policy["displayName"].startswith(FILLED["stem"])


def test_each_metric_is_googles_and_is_aggregated_as_its_kind_allows(planned):
    drawn = set()
    for text, aggregation in filters_of(planned()):
        metric = re.search(r'metric\.type="([^"]+)"', text)[1]
        kind, value, labels = SOURCE[metric]
        assert re.fullmatch(ALIGNERS[kind, value], aggregation["perSeriesAligner"]), (metric, aggregation)
        by = " ".join(aggregation.get("groupByFields", []))
        assert set(re.findall(r"metric\.labels\.(\w+)", f"{text} {by}")) <= labels
        drawn.add(metric)
    for query in queries(board(planned())):
        for name in re.findall(r"\b(\w+_googleapis_com:\w+)", query.get("prometheusQuery", "")):
            host, _, path = name.partition(":")
            [metric] = [m for m in SOURCE if re.sub(r"[./]", "_", m) == f"{host}_{path}"]
            drawn.add(metric)

    assert drawn == set(SOURCE)


def test_what_is_shown_is_of_this_deployment_alone(planned):
    stem = FILLED["stem"]
    for text, _ in filters_of(planned()):
        own = ("service_name=starts_with(", "service_name=", "workflow_id=")
        assert any(f'{each}"{stem}' in text for each in own), text
        assert 'resource.labels.location="us-central1"' in text


def test_cost_is_billed_time_by_the_price_of_each_service(planned):
    sums = [query["prometheusQuery"] for query in queries(board(planned())) if "prometheusQuery" in query]

    assert [re.search(r"-(\w+)\",location.*\[1h\]\)\) \* (\S+)$", each).groups() for each in sums] == [
        (name, FILLED[f"{name}_usd_per_second"]) for name in SERVICES
    ]
    dear = planned(gpu_cpu=8, gpu_memory="32Gi", gpu_zonal_redundancy=True)
    assert "* 0.00049890" in json.dumps(board(dear))  # 0.0002909 + 8 x 0.000018 + 32 x 0.000002
    without = planned(gpu_type="none", gpu_cpu=2, gpu_memory="4Gi")
    assert "* 0.00005800" in json.dumps(board(without))  # by request: 2 x 0.000024 + 4 x 0.0000025


def test_thresholds_follow_the_settings(planned):
    found = {each["displayName"].partition(": ")[2]: each for each in alerts_in(planned(**WITH_ALL))}
    thresholds = {
        title: policy["conditions"][0]["conditionThreshold"]["thresholdValue"]
        for title, policy in found.items()
    }

    assert thresholds == {
        "a run failed": 0,
        "services answer with errors": 5,
        "requests take long": 720_000,  # 80 % of 900 s, in ms
        "an instance with a GPU does nothing": 1,  # MIN_INSTANCES are meant to
    }
    idle = found["an instance with a GPU does nothing"]["conditions"][0]["conditionThreshold"]
    assert idle["duration"] == "1200s"
    assert '="' + FILLED["stem"] + '-inference"' in idle["filter"]


def test_each_alert_names_a_runbook_and_a_command_to_paste():
    for policy in policies():
        text = policy["documentation"]["content"]
        pages = re.findall(r"docs/runbooks/([\w-]+)\.md", text)
        commands = re.findall(r"(?m)^    (\S+ .*)$", text)

        assert set(pages) <= RUNBOOKS
        assert len(pages) == 1
        assert commands
        for command in commands:
            assert command.startswith(("gcloud ", "invoke "))
            assert "--project my-lab-forecasts" in command
        assert set(re.findall(r"\$\{(.*?)\}", text)) <= {"resource.label.service_name"}


def test_mail_goes_to_the_address_that_is_set_and_to_nobody_else(planned):
    without, with_address = planned(), planned(**WITH_ALL)

    assert not resources(without, "google_monitoring_notification_channel")
    assert not [each for each in resources(without).values() if each.get("notification_channels")]
    [channel] = resources(with_address, "google_monitoring_notification_channel").values()
    assert (channel["type"], channel["labels"]) == ("email", {"email_address": "forecasts@example.org"})
    alerts = resources(with_address, "google_monitoring_alert_policy").values()
    assert all(len(policy["notification_channels"]) == 1 for policy in alerts)
    [budget] = resources(with_address, "google_billing_budget").values()
    assert len(budget["all_updates_rule"][0]["monitoring_notification_channels"]) == 1
