"""Who may write and read log entries, and log-based metrics."""

import pytest

from localcloud.process import running
from tests.emulated import post, request
from tests.localcloud.jobs import PROJECT
from tests.localcloud.members import Member, account, denied

WRITE, LIST = "/v2/entries:write", "/v2/entries:list"
METRICS = f"/v2/projects/{PROJECT}/metrics"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), "--rights-of", PROJECT, "--tasks", "null") as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def emptied(cloud):
    yield
    request("POST", f"{cloud.apis}/_emulator/reset").raise_for_status()


def entry(text: str, log: str = "stage", project: str = PROJECT) -> dict:
    return {"logName": f"projects/{project}/logs/{log}", "textPayload": text, "resource": {"type": "global"}}


def texts(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["textPayload"] for each in answer.json().get("entries", [])]


def asked(*projects: str) -> dict:
    return {"resourceNames": [f"projects/{project}" for project in projects]}


def test_an_account_that_writes_logs_reads_none(cloud):
    stage = account(cloud).given("logging.logWriter")

    assert stage.ask("POST", WRITE, json={"entries": [entry("hello")]}).status_code == 200
    assert denied(stage.ask("POST", LIST, json=asked(PROJECT))) == "logging.logEntries.list"
    assert denied(stage.ask("GET", f"/v2/projects/{PROJECT}/logs")) == "logging.logs.list"


def test_who_reads_logs_writes_none(cloud):
    post(cloud.apis + WRITE, {"entries": [entry("hello")]})
    looking = Member(cloud).given("logging.viewer")

    assert texts(looking.ask("POST", LIST, json=asked(PROJECT))) == ["hello"]
    assert looking.get(f"/v2/projects/{PROJECT}/logs")["logNames"] == [f"projects/{PROJECT}/logs/stage"]
    written = looking.ask("POST", WRITE, json={"entries": [entry("again")]})
    assert denied(written) == "logging.logEntries.create"
    assert texts(looking.ask("POST", LIST, json=asked(PROJECT))) == ["hello"]


def test_entries_for_several_projects_need_the_right_in_each_and_else_none_is_written(cloud):
    stage = account(cloud).given("logging.logWriter")

    both = [entry("here"), entry("there", project="another")]
    refused = stage.ask("POST", WRITE, json={"entries": both})

    assert denied(refused) == "logging.logEntries.create"
    assert "projects/another" in refused.text
    assert texts(request("POST", cloud.apis + LIST, json=asked(PROJECT))) == []


def test_entries_of_several_projects_are_read_by_whom_may_read_each(cloud):
    looking = Member(cloud).given("logging.viewer")

    refused = looking.ask("POST", LIST, json=asked(PROJECT, "another"))

    assert denied(refused) == "logging.logEntries.list"
    assert "projects/another" in refused.text


def test_a_request_to_write_no_entry_needs_no_right(cloud):
    assert Member(cloud).ask("POST", WRITE, json={"entries": []}).json() == {}


def test_data_access_logs_are_left_out_for_whom_may_not_read_them(cloud):
    private = entry("who read what", log="cloudaudit.googleapis.com%2Fdata_access")
    post(cloud.apis + WRITE, {"entries": [entry("hello"), private]})
    looking = Member(cloud).given("logging.viewer")

    assert texts(looking.ask("POST", LIST, json=asked(PROJECT))) == ["hello"]
    everything = texts(request("POST", cloud.apis + LIST, json=asked(PROJECT)))
    assert sorted(everything) == ["hello", "who read what"]


def test_who_looks_reads_metrics_and_changes_none(cloud):
    metric = {"name": "failures", "filter": "severity>=ERROR"}
    post(cloud.apis + METRICS, metric)
    looking, nobody = Member(cloud).given("logging.viewer"), Member(cloud)

    assert looking.get(f"{METRICS}/failures")["filter"] == metric["filter"]
    assert looking.get(METRICS)["metrics"]
    changed = looking.ask("PUT", f"{METRICS}/failures", json={**metric, "filter": "severity>=INFO"})
    assert denied(changed) == "logging.logMetrics.update"
    assert denied(looking.ask("DELETE", f"{METRICS}/failures")) == "logging.logMetrics.delete"
    assert denied(looking.ask("POST", METRICS, json={**metric, "name": "b"})) == "logging.logMetrics.create"
    assert denied(nobody.ask("GET", METRICS)) == "logging.logMetrics.list"
    assert looking.get(f"{METRICS}/failures")["filter"] == metric["filter"]
