"""`invoke bucket-lifecycle`: real gcloud on an emulated bucket, whose other rules it has to leave alone."""

import pytest
import requests

from localcloud.process import running
from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.project.lifecycle import set_rules
from ops.settings import Settings
from ops.shell import Shell
from tests.build_operators import BUCKET, PROJECT, BuildOperator
from tests.emulated import request
from tests.odd_gcloud import path_with_odd_gcloud

THEIRS = {
    "action": {"type": "SetStorageClass", "storageClass": "NEARLINE"},
    "condition": {"age": 365, "matchesPrefix": ["archive/"]},
}
THEIR_PICKLES = {
    "action": {"type": "Delete"},
    "condition": {"age": 7, "matchesPrefix": ["covid/"], "matchesSuffix": [".pkl"]},
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def operator(cloud, tmp_path):
    yield BuildOperator(cloud, tmp_path, DIR_PREFIX="flu/")
    requests.post(f"{cloud.storage}/_emulator/reset", timeout=10)


def ours(days: int) -> list[dict]:
    kept = {"age": days, "matchesPrefix": ["flu/"], "matchesSuffix": [".pkl"]}
    return [
        {"action": {"type": "Delete"}, "condition": kept},
        {"action": {"type": "Delete"}, "condition": {"age": 30, "matchesPrefix": ["flu/cloudbuild/"]}},
    ]


def bucket(operator) -> str:
    return f"{operator.cloud.storage}/storage/v1/b/{BUCKET}"


def rules(operator) -> list[dict]:
    return request("GET", bucket(operator)).json().get("lifecycle", {}).get("rule", [])


def test_our_rules_come_change_and_go_and_those_of_others_stay(operator):
    request("PATCH", bucket(operator), json={"lifecycle": {"rule": [THEIRS, THEIR_PICKLES]}})

    set_up = operator.invoke("bucket-lifecycle", "--yes")
    first = rules(operator)
    changed = operator.invoke("bucket-lifecycle", "--days", "30", "--yes")
    second = rules(operator)
    again = operator.invoke("bucket-lifecycle", "--days", "30", "--yes")
    gone = operator.invoke("bucket-lifecycle", "--days", "0", "--yes")

    assert set_up.exit_code == 0, set_up.output
    assert first == [THEIRS, THEIR_PICKLES, *ours(90)]
    assert changed.exit_code == 0, changed.output
    assert second == [THEIRS, THEIR_PICKLES, *ours(30)]
    assert "removed" in changed.output
    assert "90 days" in changed.output
    assert "nothing to change" in again.last_line
    assert gone.exit_code == 0, gone.output
    assert rules(operator) == [THEIRS, THEIR_PICKLES]


def test_the_last_rules_of_a_bucket_can_be_taken_away(operator):
    operator.invoke("bucket-lifecycle", "--yes", DIR_PREFIX="")
    held = rules(operator)

    ended = operator.invoke("bucket-lifecycle", "--days", "0", "--yes", DIR_PREFIX="")

    assert ended.exit_code == 0, ended.output
    assert len(held) == 2
    assert rules(operator) == []


def test_without_a_prefix_it_says_that_the_whole_bucket_is_meant(operator):
    ended = operator.invoke("bucket-lifecycle", "--dry-run", DIR_PREFIX="")

    assert ended.exit_code == 0, ended.output
    assert "every .pkl in the bucket, also those of others" in ended.output
    assert "buckets update gs://my-lab-bucket" in ended.last_line
    assert rules(operator) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no terminal to ask on; add --yes"),
        (["--days", "3", "--yes"], "at least 17"),
        (["--days", "x", "--yes"], "a whole number is needed"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_set(operator, words, said):
    ended = operator.invoke("bucket-lifecycle", *words)

    assert ended.exit_code == 2, ended.output
    assert said in ended.last_line
    assert rules(operator) == []


@pytest.mark.parametrize(
    "rule",
    [
        {"action": {"type": "Delete"}, "condition": {}},
        {"action": {"type": "Vanish"}, "condition": {"age": 1}},
        {"action": {"type": "Delete"}, "condition": {"age": "soon"}},
        {"action": {"type": "Delete"}, "condition": {"matchesSufix": [".pkl"]}},
        {"action": {"type": "Delete"}, "condition": {"matchesSuffix": ".pkl"}},
        {"action": {"type": "Delete"}, "condition": {"age": True}},
        {"action": {"type": "Delete"}, "condition": {"createdBefore": 20260131}},
        {"action": {"type": "Delete"}, "condition": {"isLive": "yes"}},
        {"action": {"type": "Delete"}, "condition": [1]},
        {"action": "Delete", "condition": {"age": 1}},
        {"action": {"type": "SetStorageClass"}, "condition": {"age": 1}},
        {"action": None, "condition": {"age": 1}},
        "Delete",
        None,
    ],
)
def test_the_emulated_bucket_refuses_rules_that_no_bucket_can_have(operator, rule):
    refused = request("PATCH", bucket(operator), json={"lifecycle": {"rule": [rule]}})

    assert refused.status_code == 400
    assert rules(operator) == []


@pytest.mark.parametrize(
    ("lifecycle", "shown"),
    [
        ({"rule": ["Delete"]}, "unknown"),
        ({"rule": [None]}, "unknown"),
        ({"rule": [{"action": "Delete", "condition": {"age": 3}}]}, '{"action": "Delete"'),
        ({"rule": [{"condition": {"age": 3}}]}, "unknown"),
        ({"rule": [{"action": {"type": "Delete"}, "condition": None}]}, "Delete"),
        ({"rule": [{"action": {"type": "Delete"}, "condition": {"matchesPrefix": None}}]}, "unknown"),
        ({"rule": [{"action": {"type": "Delete"}, "condition": 7}]}, "unknown"),
        ({"rule": None}, "90 days"),
        (None, "90 days"),
    ],
)
def test_a_rule_that_cannot_be_read_is_shown_as_it_is_and_stays(
    tmp_path, monkeypatch, capsys, lifecycle, shown
):
    described = {"name": BUCKET, "lifecycle": lifecycle}
    monkeypatch.setenv("PATH", path_with_odd_gcloud(tmp_path, {"storage buckets describe": described}))

    set_rules(dry_cloud(), yes=True)

    output = capsys.readouterr().out
    assert shown in output
    assert "removed" not in output


def test_a_lifecycle_that_is_no_list_of_rules_is_one_line(tmp_path, monkeypatch):
    described = {"name": BUCKET, "lifecycle": {"rule": "all"}}
    monkeypatch.setenv("PATH", path_with_odd_gcloud(tmp_path, {"storage buckets describe": described}))

    with pytest.raises(UserError, match="my-lab-bucket: its lifecycle is not a list of rules"):
        set_rules(dry_cloud(), yes=True)


def dry_cloud() -> Cloud:
    return Cloud.of(Shell(dry_run=True), Settings(project_id=PROJECT, bucket_name=BUCKET))
