"""What operators see and are told of in the cloud: dashboards, metrics, alerts and the budget.

Dashboards are checked as messages of the service, filters on the lines that a run of the real workflow wrote.
"""

import json
import re

import pytest
from google.cloud.monitoring_dashboard_v1.types import Dashboard
from google.protobuf.json_format import MessageToDict, ParseDict

import tasks
from localcloud.process import running
from ops.stages import LETTERS
from tests.cloud_runs import RUN_ID, Pipeline
from tests.emulated import create_bucket
from tests.terraform_plans import configured, plans, resources

HOUR = 3600
BUDGET = {"monthly_budget_usd": 200, "billing_account": "012345-6789AB-CDEF01"}
WITH_ALL = {**BUDGET, "alert_email": "forecasts@example.org", "install_ops_agent": True}
ANOTHER = {"workflow_name": "flu-pipeline", "environment": "test"}
GOOGLES = {  # metrics that are there without us; that of memory where the Ops Agent is
    "agent.googleapis.com/memory/percent_used",
    "compute.googleapis.com/instance/cpu/utilization",
    "workflows.googleapis.com/finished_execution_count",
}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    with configured(tmp_path_factory) as configuration:
        yield plans(configuration)


@pytest.fixture(scope="module")
def run_log(tmp_path_factory):
    """The log of a run whose builder waited for 5 hours, and of whose 10 runners 3 ran at once, 2 failed."""
    state = tmp_path_factory.mktemp("state")
    with running(state, "--clock-speed", "2000", "--tasks", "null") as cloud:
        pipeline = Pipeline.deployed(cloud, create_bucket(cloud), "epydemix-pipeline")
        pipeline.put_manifest(10)
        pipeline.order(
            {"job": "builder", "queue": "CODE_GCE_QUOTA_EXCEEDED", "seconds": 5 * HOUR},
            {"job": "runner", "null_seconds": 1200},
            {"job": "runner", "at_once": 3},
            {"job": "runner", "tasks": [4, 7], "exit_code": 2},
        )
        pipeline.run(runId=RUN_ID, allowPartial=True)
        pipeline.clear_faults()
        other = Pipeline.deployed(cloud, pipeline.bucket, "another-pipeline")
        other.run(runId=RUN_ID)

        def lines(text: str) -> list[dict]:
            return [entry["jsonPayload"] for entry in pipeline.log(text)]

        yield lines


@pytest.fixture(scope="module")
def failed_run_log(tmp_path_factory):
    """The entries of a run whose builder was started and failed, machine and all."""
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "100") as cloud:
        pipeline = Pipeline.deployed(cloud, create_bucket(cloud), "epydemix-pipeline")
        pipeline.order({"job": "builder", "tasks": [0], "exit_code": 2})
        pipeline.fail(runId=RUN_ID)
        yield pipeline.log


def boards(plan):
    """Return the dashboards by what they are of."""
    return {
        address.partition('"')[2].rstrip('"]'): json.loads(after["dashboard_json"])
        for address, after in resources(plan, "google_monitoring_dashboard").items()
    }


def tiles(board):
    return {tile["widget"]["title"]: tile["widget"] for tile in board["mosaicLayout"]["tiles"]}


def queries(board):
    for widget in tiles(board).values():
        for each in widget.get("xyChart", {}).get("dataSets", []):
            yield each["timeSeriesQuery"]["timeSeriesFilter"]


def metrics(plan):
    """Return the log-based metrics by the ends of their names."""
    made = resources(plan, "google_logging_metric").values()
    return {after["name"].rpartition("/")[2]: after for after in made}


def alerts(plan):
    return resources(plan, "google_monitoring_alert_policy")


def job_alert(plan, name):
    [condition] = alerts(plan)[f'google_monitoring_alert_policy.jobs["{name}"]']["conditions"]
    return condition["condition_matched_log"][0]


def extracted(line, extractor):
    """Return what EXTRACT(jsonPayload.a.b) takes out of a line."""
    value = {"jsonPayload": line}
    for name in re.fullmatch(r"EXTRACT\((.+)\)", extractor)[1].split("."):
        value = value[name]
    return value


def test_each_dashboard_is_a_message_of_the_service_and_would_come_back_as_it_was_sent(planned):
    found = boards(planned())

    assert set(found) == {"builder", "runner", "output", "overall"}
    assert len({board["displayName"] for board in found.values()}) == 4
    for board in found.values():
        message = ParseDict(board, Dashboard.pb(Dashboard()))
        assert MessageToDict(message) == board  # no field that the service leaves out: a plan would never end


def test_dashboards_of_stages_are_one_dashboard(planned):
    found = boards(planned())

    def of_no_stage(stage):
        text = json.dumps(found[stage]).replace(f"stage {LETTERS[stage]} ", "")
        return text.replace(stage, "STAGE")

    assert of_no_stage("builder") == of_no_stage("runner") == of_no_stage("output")
    assert "runner" in json.dumps(found["runner"])


def test_each_dashboard_shows_tasks_machines_cpu_and_memory(planned):
    for board in boards(planned()).values():
        titles = " / ".join(tiles(board))

        for word in ("Tasks of running jobs, by state", "Active VMs", "CPU", "Memory", "errors"):
            assert word in titles


def test_tiles_lie_side_by_side(planned):
    for board in boards(planned()).values():
        taken = [
            (tile.get("xPos", 0) + x, tile.get("yPos", 0) + y)
            for tile in board["mosaicLayout"]["tiles"]
            for x in range(tile["width"])
            for y in range(tile["height"])
        ]

        assert len(taken) == len(set(taken))
        assert max(x for x, y in taken) < board["mosaicLayout"]["columns"]


def test_each_metric_that_is_drawn_is_made_or_googles_own(planned):
    plan = planned(**ANOTHER)

    made = {f"logging.googleapis.com/user/{metric['name']}" for metric in metrics(plan).values()}
    drawn = {
        re.search(r'metric\.type="([^"]+)"', query["filter"])[1]
        for board in boards(plan).values()
        for query in queries(board)
    }
    assert drawn == made | GOOGLES
    assert "logging.googleapis.com/user/flu-pipeline/tasks_running" in made


def test_numbers_in_lines_are_drawn_as_the_mean_of_a_jobs_looks_and_then_over_jobs(planned):
    for board in boards(planned()).values():
        of_lines = [query for query in queries(board) if "logging.googleapis.com" in query["filter"]]

        assert of_lines
        for query in of_lines:
            first, then = query["aggregation"], query["secondaryAggregation"]
            assert (first["perSeriesAligner"], first["crossSeriesReducer"]) == ("ALIGN_DELTA", "REDUCE_MEAN")
            assert "metric.labels.job" in first["groupByFields"]
            assert then["crossSeriesReducer"] in ("REDUCE_SUM", "REDUCE_MAX")
            assert int(first["alignmentPeriod"].rstrip("s")) > 300  # the longest pause between two looks
            assert then["alignmentPeriod"] == first["alignmentPeriod"]


def test_machines_are_those_with_the_labels_of_our_jobs(planned):
    found = boards(planned(**ANOTHER))

    for name, board in found.items():
        of_vms = [query["filter"] for query in queries(board) if "gce_instance" in query["filter"]]
        assert len(of_vms) == 5
        for text in of_vms:
            assert 'metadata.user_labels."component"="epymodelingsuite"' in text
            assert 'metadata.user_labels."environment"="test"' in text
            assert (f'metadata.user_labels."stage"="{name}"' in text) == (name != "overall")


def test_metrics_take_their_numbers_from_every_line_about_a_job(planned, run_log):
    made = metrics(planned())

    assert set(made) == {
        *(f"tasks_{s}" for s in ("pending", "assigned", "running", "succeeded", "failed", "unexecuted")),
        "waiting_seconds",
    }
    for metric in made.values():
        lines = run_log(metric["filter"])
        assert {line["stage"] for line in lines} == {"builder", "runner", "output"}
        assert len({line["job"] for line in lines}) == 3  # those of another workflow are not counted
        for line in lines:
            assert isinstance(extracted(line, metric["value_extractor"]), int | float)
            labels = {key: extracted(line, each) for key, each in metric["label_extractors"].items()}
            assert all(labels.values())
        assert set(metric["label_extractors"]) == {
            each["key"] for each in metric["metric_descriptor"][0]["labels"]
        }
        descriptor = metric["metric_descriptor"][0]
        assert (descriptor["metric_kind"], descriptor["value_type"]) == ("DELTA", "DISTRIBUTION")


def test_what_went_wrong_is_shown_as_the_workflow_and_the_machines_tell_it(planned, failed_run_log):
    def shown(board: str, **settings: str) -> set[tuple[str, str]]:
        panel = tiles(boards(planned(**settings))[board])["Warnings and errors"]["logsPanel"]["filter"]
        return {_told_by(entry) for entry in failed_run_log(panel)}

    both = {("workflow epydemix-pipeline", "builder"), ("batch_agent_logs", "builder")}
    assert shown("builder", environment="test") == both
    assert shown("runner", environment="test") == set()
    assert shown("overall", environment="test") == both | {("workflow epydemix-pipeline", "")}  # how it ended
    assert shown("overall", workflow_name="flu-pipeline") == set()  # another workflow in another environment


def _told_by(entry: dict) -> tuple[str, str]:
    if workflow := entry["resource"]["labels"].get("workflow_id"):
        return f"workflow {workflow}", entry.get("jsonPayload", {}).get("stage", "")
    return entry["logName"].rpartition("/")[2], entry["labels"]["stage"]


def test_tasks_of_an_ended_job_are_told_by_one_line(planned, run_log):
    made = metrics(planned())

    ended = run_log(made["tasks_failed"]["filter"] + ' AND jsonPayload.event="stage_end"')

    assert [(line["stage"], extracted(line, made["tasks_failed"]["value_extractor"])) for line in ended] == [
        ("builder", 0),
        ("runner", 2),
        ("output", 0),
    ]


def test_an_alert_is_on_jobs_of_which_more_than_a_share_failed(planned, run_log):
    strict = job_alert(planned(), "failing")
    lines = run_log(strict["filter"])

    assert {(line["stage"], line["failed_share"]) for line in lines} == {("runner", 0.2)}
    assert {label: extracted(lines[0], each) for label, each in strict["label_extractors"].items()} == {
        "exp_id": "trial",
        "run_id": RUN_ID,
        "stage": "runner",
        "job": lines[0]["job"],
    }
    assert run_log(strict["filter"].replace(">0.1", ">0.2")) == []


def test_an_alert_is_on_tasks_that_still_wait_after_half_an_hour(planned, run_log):
    lines = run_log(job_alert(planned(), "waiting")["filter"])

    states = {(line["stage"], line["state"]) for line in lines}
    assert {("builder", "QUEUED"), ("runner", "RUNNING")} <= states  # on a busy machine others may wait, too
    assert {line["tasks"]["running"] for line in lines if line["state"] == "RUNNING"} <= {0, 1, 2, 3}
    assert min(line["waiting_seconds"] for line in lines) > 1800
    ended = run_log('jsonPayload.event="stage_end" AND resource.labels.workflow_id="epydemix-pipeline"')
    assert [line["waiting_seconds"] for line in ended] == [0, 0, 0]


def test_an_alert_is_on_executions_of_this_workflow_that_failed(planned):
    policy = alerts(planned())["google_monitoring_alert_policy.failed_executions"]

    [condition] = policy["conditions"][0]["condition_threshold"]
    assert 'metric.type="workflows.googleapis.com/finished_execution_count"' in condition["filter"]
    assert 'metric.labels.status="FAILED"' in condition["filter"]
    assert 'resource.labels.workflow_id="epydemix-pipeline"' in condition["filter"]
    assert (condition["comparison"], condition["threshold_value"]) == ("COMPARISON_GT", 0)


def test_what_an_alert_advises_can_be_done(planned):
    known = {name.replace("_", "-") for name in tasks.namespace.task_names}

    for policy in alerts(planned()).values():
        text = policy["documentation"][0]["content"]
        advised = re.findall(r"invoke ([a-z-]+)", text)
        assert advised
        assert set(advised) <= known
        labels = set(re.findall(r"\$\{log\.extracted_label\.(\w+)\}", text))
        matched = policy["conditions"][0]["condition_matched_log"]
        assert labels <= set(matched[0]["label_extractors"] if matched else [])


def test_mail_goes_to_nobody_unless_an_address_is_set(planned):
    without, with_address = planned(), planned(**WITH_ALL)

    assert not resources(without, "google_monitoring_notification_channel")
    assert not [policy for policy in alerts(without).values() if policy.get("notification_channels")]
    [channel] = resources(with_address, "google_monitoring_notification_channel").values()
    assert (channel["type"], channel["labels"]) == ("email", {"email_address": "forecasts@example.org"})
    assert all(len(policy["notification_channels"]) == 1 for policy in alerts(with_address).values())


@pytest.mark.parametrize("half", [{"monthly_budget_usd": 200}, {"billing_account": "012345-6789AB-CDEF01"}])
def test_a_budget_needs_an_amount_and_a_billing_account(planned, half):
    assert not resources(planned(**half), "google_billing_budget")


def test_a_budget_warns_at_half_at_four_fifths_and_at_all_of_it(planned):
    plan = planned(**WITH_ALL)

    [budget] = resources(plan, "google_billing_budget").values()
    assert [rule["threshold_percent"] for rule in budget["threshold_rules"]] == [0.5, 0.8, 1]
    assert budget["amount"][0]["specified_amount"][0]["units"] == "200"
    assert budget["billing_account"] == BUDGET["billing_account"]
    assert len(budget["all_updates_rule"][0]["monitoring_notification_channels"]) == 1


def test_a_budget_is_asked_for_on_the_projects_own_account_of_requests(planned):
    configuration = planned(**WITH_ALL)["configuration"]

    [budget] = [
        each for each in configuration["root_module"]["resources"] if each["type"] == "google_billing_budget"
    ]
    provider = configuration["provider_config"][budget["provider_config_key"]]["expressions"]
    assert provider["user_project_override"] == {"constant_value": True}
    assert provider["billing_project"] == {"references": ["var.project_id"]}


@pytest.mark.parametrize(("settings", "wanted"), [({}, False), (WITH_ALL, True)], ids=["without", "with"])
def test_the_ops_agent_is_installed_and_may_write_only_where_it_is_wanted(planned, settings, wanted):
    plan = planned(**settings)

    workflow = resources(plan)["google_workflows_workflow.pipeline"]
    stages = json.loads(workflow["user_env_vars"]["STAGES"])
    assert {stage["installOpsAgent"] for stage in stages.values()} == {wanted}
    roles = {after["role"] for address, after in resources(plan).items() if "iam_member.batch" in address}
    assert ("roles/monitoring.metricWriter" in roles) == wanted
    for board in boards(plan).values():
        [title] = [title for title in tiles(board) if "Memory" in title]
        assert f"needs the Ops Agent (INSTALL_OPS_AGENT={str(wanted).lower()})" in title
