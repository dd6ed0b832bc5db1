"""The emulated Cloud Logging and its filters."""

import json

import pytest

from localcloud import logs
from localcloud.filters import parse_filter
from localcloud.messages import ApiError

ENTRY = {
    "logName": "projects/p/logs/batch_task_logs",
    "resource": {"type": "batch.googleapis.com/Job", "labels": {"job_id": "run-b"}},
    "labels": {
        "job_uid": "run-b-1a2b",
        "task_id": "task/run-b-1a2b-group0-3/0/0",
        "a.b/c": "x",
        "run": "20260131",
        "nan": "nan",
    },
    "severity": "WARNING",
    "timestamp": "2026-01-31T12:00:00.5Z",
    "jsonPayload": {
        "message": "Retrying the upload",
        "task_index": 3,
        "seconds": 2.5,
        "final": False,
        "took": "10.0s",
    },
    "tags": ["epymodelingsuite", "imagebuild"],
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        'logName="projects/p/logs/batch_task_logs"',
        'resource.type="BATCH.googleapis.com/job"',
        "severity>=WARNING",
        "severity<ERROR severity!=INFO",
        'labels.job_uid="run-b-1a2b" AND severity=WARNING',
        'labels."a.b/c"=x',
        'timestamp>="2026-01-31T12:00:00Z" timestamp<"2026-01-31T14:00:00+01:00" OR severity=ERROR',
        "jsonPayload.task_index=3",
        "jsonPayload.task_index>2 AND jsonPayload.seconds<=2.50",
        "jsonPayload.final=false",
        "json_payload.message:upload",
        'jsonPayload.message=~"^Retrying .* upload$"',
        'jsonPayload.message!~"download"',
        "jsonPayload.task_index:*",
        "NOT jsonPayload.task_index=4",
        "-jsonPayload.task_index=4",
        'labels.task_id:"group0-3/"',
        'labels.job_uid=("other" OR "run-b-1a2b")',
        'tags=imagebuild tags="epymodelingsuite"',
        "retrying",
        '"retrying the"',
        "-- a comment\nseverity=WARNING -- and another\n",
        # OR binds more tightly than AND
        "severity=ERROR OR severity=WARNING AND jsonPayload.task_index=3",
        "jsonPayload.task_index=3 AND severity=WARNING OR severity=ERROR",
        "(severity=ERROR AND jsonPayload.task_index=9) OR severity=WARNING",
        "jsonPayload.seconds>-1.5",
        "jsonPayload.took>9.5s jsonPayload.took<=10s",
    ],
)
def test_a_filter_matches_what_it_describes(text):
    assert parse_filter(text)(ENTRY)
    if text:
        assert not parse_filter(f"NOT ({text})")(ENTRY)


@pytest.mark.parametrize(
    "text",
    [
        "severity>WARNING",
        "severity=ERROR AND jsonPayload.task_index=3 OR severity=WARNING AND jsonPayload.task_index=9",
        'labels.job_uid="run-b"',
        "labels.missing=x",
        "labels.missing:*",
        'jsonPayload.message=~"^the"',
        'tags=("imagebuild" AND "other")',
        "download",
        # neither numbers nor days
        'labels.run="2026_0131"',
        'labels.run="2026-01-31"',
        "labels.nan=5",
    ],
)
def test_a_filter_does_not_match_other_entries(text):
    assert not parse_filter(text)(ENTRY)


@pytest.mark.parametrize(
    "text",
    [
        "severity=",
        "a=b)",
        "(a=b",
        '"open',
        'a=~"("',
        "AND",
        "a=(b",
        "a==b",
        "a=b OR",
        "(" * 5000,
        "NOT " * 5000 + "x",
    ],
)
def test_a_filter_that_cannot_be_parsed_is_refused(text):
    with pytest.raises(ApiError, match=r"filter|expression"):
        parse_filter(text)


def written(api, entries):
    body = {"logName": "projects/p/logs/test", "resource": {"type": "global"}, "entries": entries}
    assert api("POST", "/v2/entries:write", json=body).json() == {}


def test_gcloud_reads_what_was_written_by_filter_newest_first(api, run_gcloud):
    written(api, [{"textPayload": f"line {i}", "labels": {"run": "r1"}} for i in range(5)])
    written(api, [{"textPayload": "other", "labels": {"run": "r2"}, "severity": "ERROR"}])

    read = run_gcloud("logging", "read", 'labels.run="r1"', "--limit=3", "--format=value(textPayload)")
    errors = json.loads(run_gcloud("logging", "read", "severity>=ERROR", "--format=json"))

    assert read.split("\n")[:3] == ["line 4", "line 3", "line 2"]
    assert [entry["textPayload"] for entry in errors] == ["other"]


def test_a_long_list_comes_in_pages(api):
    written(api, [{"textPayload": str(i), "labels": {"run": "pages"}} for i in range(7)])
    asked = {"resourceNames": ["projects/p"], "filter": "labels.run=pages", "pageSize": 3}
    texts, token = [], ""

    for _ in range(3):
        page = api("POST", "/v2/entries:list", json=asked | {"pageToken": token}).json()
        texts += [entry["textPayload"] for entry in page["entries"]]
        token = page.get("nextPageToken", "")

    assert texts == [str(i) for i in range(7)]
    assert token == ""


def test_entries_are_not_visible_in_another_project(api):
    written(api, [{"textPayload": "x"}])

    page = api("POST", "/v2/entries:list", json={"resourceNames": ["projects/other"]}).json()

    assert page == {}


def test_a_mistake_is_refused_and_nothing_is_written(api):
    body = {"entries": [{"logName": "projects/p/logs/half", "textPayload": "x"}, {"textPayload": "y"}]}

    refused = api("POST", "/v2/entries:write", json=body)
    page = api("POST", "/v2/entries:list", json={"resourceNames": ["projects/p"], "filter": "logName:half"})

    assert refused.status_code == 400
    assert page.json() == {}


def test_the_oldest_entries_are_dropped_for_long_ones(monkeypatch):
    monkeypatch.setattr(logs, "MAX_BYTES", 2**20)
    service = logs.LogService()

    for number in range(1500):
        payload = {"textPayload": "x" * 1000} if number % 2 else {"jsonPayload": {"x": ["y" * 990]}}
        service.write({"logName": "projects/p/logs/long", "number": number, **payload})

    kept = [entry["number"] for entry in service.select(lambda entry: True)]
    assert kept == list(range(kept[0], 1500))
    assert 0.9 * 2**20 < 1000 * len(kept) <= 2**20


@pytest.mark.parametrize(
    "entry",
    [
        5,
        {"textPayload": "no name"},
        {"logName": 5, "textPayload": "x"},
        {"logName": "projects/p/logs/l", "textPayload": {"a": 1}},
        {"logName": "projects/p/logs/l", "textPayload": "x", "severity": "LOUD"},
        {"logName": "projects/p/logs/l", "textPayload": "x", "timestamp": 5},
        {"logName": "projects/p/logs/l", "textPayload": "x", "timestamp": "noon"},
        {"logName": "projects/p/logs/l", "textPayload": "x", "labels": ["a"]},
    ],
)
def test_an_invalid_entry_is_refused_and_breaks_no_list(api, entry):
    refused = api("POST", "/v2/entries:write", json={"entries": [entry]})

    assert refused.status_code == 400
    assert "emulator" not in refused.json()["error"]["message"]
    assert api("POST", "/v2/entries:list", json={"resourceNames": ["projects/p"]}).status_code == 200


def test_entries_are_sorted_by_time_in_any_notation(api):
    written = ["2026-01-31T12:00:00.5Z", "2026-01-31T12:00:00Z", "2026-01-31T12:00:59+01:00"]
    entries = [
        {"logName": "projects/times/logs/l", "textPayload": each, "timestamp": each} for each in written
    ]

    api("POST", "/v2/entries:write", json={"entries": entries})

    listed = api("POST", "/v2/entries:list", json={"resourceNames": ["projects/times"]}).json()["entries"]
    assert [each["textPayload"] for each in listed] == [written[2], written[1], written[0]]


@pytest.mark.parametrize(
    "asked",
    [{"pageSize": "many"}, {"pageSize": -1}, {"pageToken": "x"}, {"filter": 5}, {"resourceNames": "p"}],
)
def test_an_invalid_list_request_is_refused(api, asked):
    refused = api("POST", "/v2/entries:list", json={"resourceNames": ["projects/p"]} | asked)

    assert refused.status_code == 400
    assert "emulator" not in refused.json()["error"]["message"]
