"""The faults that a test sets occur, and no others; the real client recovers where it can."""

import threading
import time

import pytest
import requests
from google.api_core.exceptions import Forbidden


@pytest.fixture
def order(http):
    """Return a function that sets fault rules for this test."""

    def post(*rules):
        answer = http("POST", "/_emulator/faults", json=list(rules))
        assert answer.status_code == 200, answer.text

    yield post
    http("DELETE", "/_emulator/faults")


def rules_in_force(http):
    return http("GET", "/_emulator/faults").json()


def media(bucket, name):
    return f"/storage/v1/b/{bucket.name}/o/{name}?alt=media"


def test_a_status_is_answered_as_often_as_the_rule_says(http, bucket, order):
    order({"method": "GET", "path": f"/b/{bucket.name}$", "status": 503, "times": 2})

    codes = [http("GET", f"/storage/v1/b/{bucket.name}").status_code for _ in range(4)]

    assert codes == [503, 503, 200, 200]


def test_matching_requests_may_pass_before_the_fault(http, bucket, order):
    order({"path": bucket.name, "status": 429, "skip": 2, "times": 1})

    codes = [http("GET", f"/storage/v1/b/{bucket.name}").status_code for _ in range(4)]

    assert codes == [200, 200, 429, 200]


def test_other_methods_and_paths_have_no_fault(http, bucket, order):
    order({"method": "DELETE", "path": "/o/x", "status": 500})

    assert http("GET", f"/storage/v1/b/{bucket.name}/o/x").status_code == 404
    assert http("DELETE", f"/storage/v1/b/{bucket.name}/o/y").status_code == 404
    assert http("DELETE", f"/storage/v1/b/{bucket.name}/o/x").status_code == 500


def test_a_denied_permission_reaches_the_client(client, bucket, order):
    order({"path": f"/b/{bucket.name}/", "status": 403, "message": "no storage.objects.create"})

    with pytest.raises(Forbidden, match=r"no storage\.objects\.create"):
        bucket.blob("x").upload_from_string("1")


def test_a_denied_permission_applies_inside_a_batch(client, bucket, order):
    bucket.blob("x").upload_from_string("1")
    order({"path": f"/b/{bucket.name}/", "status": 403})

    with pytest.raises(Forbidden), client.batch():
        bucket.blob("x").delete()


def test_paths_are_compared_decoded(http, bucket, order):
    order({"path": "/o/a b/c$", "status": 418})

    assert http("GET", f"/storage/v1/b/{bucket.name}/o/a%20b%2Fc").status_code == 418


def test_a_reset_cuts_the_connection_before_any_work(http, bucket, order):
    order({"method": "POST", "action": "reset", "times": 1})

    with pytest.raises(requests.ConnectionError):
        upload(http, bucket, "x")

    assert http("GET", media(bucket, "x")).status_code == 404


def test_a_reset_after_loses_only_the_answer(http, bucket, order):
    order({"method": "POST", "action": "reset_after", "times": 1})

    with pytest.raises(requests.ConnectionError):
        upload(http, bucket, "x")

    assert http("GET", media(bucket, "x")).content == b"12345678"


def test_a_body_is_answered_instead_of_the_work(http, bucket, order):
    order({"path": "/o/x", "body": {"size": "odd"}, "times": 1})

    assert http("GET", f"/storage/v1/b/{bucket.name}/o/x").json() == {"size": "odd"}
    assert http("GET", f"/storage/v1/b/{bucket.name}/o/x").status_code == 404


def test_a_truncated_answer_ends_in_the_middle(http, bucket, order):
    upload(http, bucket, "x")
    order({"path": "/o/x", "action": "truncate", "times": 1})

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="4 bytes read, 4 more"):
        http("GET", media(bucket, "x"))

    assert http("GET", media(bucket, "x")).content == b"12345678"


def test_the_client_recovers_from_every_passing_fault(bucket, order):
    order(
        {"method": "POST", "status": 503, "times": 1},
        {"method": "POST", "action": "reset", "times": 1},
        {"method": "GET", "action": "reset", "times": 1},
        {"method": "GET", "action": "truncate", "times": 1},
    )

    bucket.blob("x").upload_from_string("data", if_generation_match=0)

    assert bucket.blob("x").download_as_bytes() == b"data"


def test_an_answer_may_be_late(http, bucket, order):
    order({"path": bucket.name, "latency_seconds": 0.3, "times": 1})

    begun = time.monotonic()
    answer = http("GET", f"/storage/v1/b/{bucket.name}")

    assert answer.status_code == 200
    assert time.monotonic() - begun >= 0.3


def test_the_seed_decides_which_requests_have_a_fault(http, bucket, order):
    def codes(seed):
        http("DELETE", "/_emulator/faults")
        order({"path": bucket.name, "status": 503, "probability": 0.5, "seed": seed})
        return [http("GET", f"/storage/v1/b/{bucket.name}").status_code for _ in range(40)]

    first = codes(1)

    assert first == codes(1)
    assert first != codes(2)
    assert set(first) == {200, 503}


def test_rules_show_how_often_they_hit(http, bucket, order):
    order({"path": bucket.name, "status": 503, "times": 1})

    http("GET", f"/storage/v1/b/{bucket.name}")
    http("GET", f"/storage/v1/b/{bucket.name}")

    assert [rule["hits"] for rule in rules_in_force(http)] == [1]


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({"status": 503}, "list"),
        ([{"status": 503, "pth": "x"}], "has no field pth; it has method, path,"),
        ([{"action": "explode"}], "it takes one of reset, reset_after, truncate, duplicate."),
        ([{"path": "x"}], "needs a status (a whole number from 400 to 599), an action (one of reset,"),
        ([{"path": "(", "status": 503}], "path '('; it takes a regular expression."),
        ([{"path": "a{99999999999}", "status": 503}], "it takes a regular expression."),
        ([{"tag": "OddError"}], "tag 'OddError'; it takes one of AuthError,"),
        ([{"body": None}], "body None; it takes JSON other than null."),
        ([{"status": "503"}], "status '503'; it takes a whole number from 400 to 599."),
        ([{"status": 503, "method": "get"}], "method 'get'; it takes one of GET, POST,"),
        ([{"status": 503, "times": -1}], "times -1; it takes a whole number of at least 0."),
        ([{"status": 503, "probability": 2}], "probability 2; it takes a number from 0 to 1."),
    ],
)
def test_a_wrong_rule_is_refused_by_name(http, rules, named):
    answer = http("POST", "/_emulator/faults", json=rules)

    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]
    assert rules_in_force(http) == []


def test_requests_are_counted_by_route(http, bucket):
    http("POST", "/_emulator/reset")
    for name in ("a", "b"):
        http("GET", f"/storage/v1/b/{bucket.name}/o/{name}")
    http("GET", "/storage/v1/nonsense")

    seen = http("GET", "/_emulator/requests").json()

    assert seen["total"] == 3
    assert seen["by_route"] == {"GET /b/{bucket}/o/{name}": 2, "(no route)": 1}
    assert seen["by_status"] == {"404": 3}


def test_the_largest_number_of_requests_at_once_is_reported(http, server, order):
    http("POST", "/_emulator/reset")
    order({"path": "/b", "latency_seconds": 0.5})
    threads = [
        threading.Thread(target=requests.get, args=(f"{server}/storage/v1/b?project=p",)) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert http("GET", "/_emulator/requests").json()["max_concurrent"] == 5


def test_a_reset_of_the_emulator_leaves_nothing(http, bucket, order):
    upload(http, bucket, "x")
    order({"path": "anything", "status": 500})

    http("POST", "/_emulator/reset")

    assert http("GET", "/storage/v1/b?project=p").json()["items"] == []
    assert rules_in_force(http) == []


def upload(http, bucket, name):
    path = f"/upload/storage/v1/b/{bucket.name}/o"
    return http("POST", path, params={"uploadType": "media", "name": name}, data=b"12345678")


def test_a_duplicate_does_the_work_twice_and_sends_the_second_answer(http, bucket, order):
    order({"method": "POST", "path": "/upload/", "action": "duplicate", "times": 2})
    upload = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=x"

    plain = http("POST", upload, data=b"1")
    guarded = http("POST", f"{upload}-guarded&ifGenerationMatch=0", data=b"2")

    assert plain.status_code == 200
    assert bucket.get_blob("x").generation == int(plain.json()["generation"])
    assert guarded.status_code == 412  # it exists the second time
    assert bucket.blob("x-guarded").download_as_bytes() == b"2"


def test_a_duplicated_create_request_with_an_id_creates_one_job(api, order):
    definition = {"taskGroups": [{"taskSpec": {"runnables": [{"container": {"imageUri": "null"}}]}}]}
    jobs = "/v1/projects/p/locations/us-central1/jobs"
    order({"method": "POST", "path": "/jobs", "action": "duplicate", "times": 2})

    request_id = "aaaaaaaa-0000-4000-8000-bbbbbbbbbbbb"
    with_id = api("POST", f"{jobs}?jobId=with-id&requestId={request_id}", json=definition)
    without = api("POST", f"{jobs}?jobId=without-id", json=definition)

    assert with_id.status_code == 200
    assert without.status_code == 409
