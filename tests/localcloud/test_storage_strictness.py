"""The emulated service refuses what the real one refuses, in the same form."""

import base64
import hashlib
import json

import pytest

ERROR_KEYS = {"code", "message", "errors", "status"}


def upload(http, bucket, name, data=b"x", **more):
    params = {"uploadType": "media", "name": name} | more.pop("params", {})
    return http("POST", f"/upload/storage/v1/b/{bucket.name}/o", params=params, data=data, **more)


def object_path(bucket, name):
    return f"/storage/v1/b/{bucket.name}/o/{name}"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/storage/v1/nonsense"),
        ("GET", "/"),
        ("DELETE", "/storage/v1/b"),
        ("GET", "/storage/v1/b/missing-bucket"),
        ("GET", "/storage/v1/b/missing-bucket/o"),
        ("GET", "/storage/v1/b/missing-bucket/o/x"),
        ("GET", "/download/storage/v1/b/missing-bucket/o/x?alt=media"),
        ("POST", "/upload/storage/v1/b/missing-bucket/o?uploadType=media&name=x"),
    ],
)
def test_what_does_not_exist_is_a_404_in_json(http, method, path):
    answer = http(method, path)

    assert answer.status_code == 404
    assert set(answer.json()["error"]) == ERROR_KEYS
    assert answer.json()["error"]["errors"][0]["reason"] == "notFound"


@pytest.mark.parametrize(
    "name",
    ["ab", "a" * 64, "UPPER", "-ab", "ab-", "a b", "1.2.3.4", "a..b", "goog-a", "my-google-1", ""],
)
def test_a_bucket_name_that_breaks_the_rules_is_refused(http, name):
    answer = http("POST", "/storage/v1/b?project=p", json={"name": name})

    assert answer.status_code == 400


@pytest.mark.parametrize("name", ["abc", "a_b-c.d1", "p_cloudbuild", "a" * 63])
def test_a_bucket_name_within_the_rules_is_accepted(http, name):
    assert http("POST", "/storage/v1/b?project=p", json={"name": name}).status_code == 200
    assert http("DELETE", f"/storage/v1/b/{name}").status_code == 204


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "é" * 513, ".", "..", ".well-known/acme-challenge/x"])
def test_an_object_name_that_breaks_the_rules_is_refused(http, bucket, name):
    assert upload(http, bucket, name).status_code == 400


def test_an_object_name_may_have_1024_bytes(http, bucket):
    assert upload(http, bucket, "é" * 512).status_code == 200


def test_a_bucket_is_created_once(http, bucket):
    answer = http("POST", "/storage/v1/b?project=p", json={"name": bucket.name})

    assert answer.status_code == 409


def test_a_bucket_that_is_not_empty_is_not_deleted(http, bucket):
    upload(http, bucket, "x")

    assert http("DELETE", f"/storage/v1/b/{bucket.name}").status_code == 409


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-MD5": base64.b64encode(hashlib.md5(b"other").digest()).decode()},
        {"X-Goog-Hash": "crc32c=AAAAAA=="},
    ],
)
def test_bytes_that_do_not_match_their_checksum_are_not_stored(http, bucket, headers):
    answer = upload(http, bucket, "x", data=b"these", headers=headers)

    assert answer.status_code == 400
    assert http("GET", object_path(bucket, "x")).status_code == 404


def test_a_resumable_upload_that_does_not_match_its_checksum_is_not_stored(http, bucket, server):
    begun = http(
        "POST",
        f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable",
        json={"name": "x", "crc32c": "AAAAAA=="},
    )

    answer = http("PUT", begun.headers["Location"].removeprefix(server), data=b"d")

    assert answer.status_code == 400
    assert http("GET", object_path(bucket, "x")).status_code == 404


def test_a_page_has_at_most_1000_objects(http, bucket):
    for number in range(1001):
        upload(http, bucket, f"{number:04d}")

    page = http("GET", f"/storage/v1/b/{bucket.name}/o?maxResults=5000").json()
    rest = http("GET", f"/storage/v1/b/{bucket.name}/o", params={"pageToken": page["nextPageToken"]}).json()

    assert len(page["items"]) == 1000
    assert [item["name"] for item in rest["items"]] == ["1000"]


def test_compose_takes_at_most_32_objects(http, bucket):
    upload(http, bucket, "x")
    path = object_path(bucket, "made") + "/compose"

    taken = http("POST", path, json={"sourceObjects": [{"name": "x"}] * 32})
    refused = http("POST", path, json={"sourceObjects": [{"name": "x"}] * 33})

    assert taken.json()["componentCount"] == 32
    assert refused.status_code == 400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"sourceObjects": ["x"]}, "'body.sourceObjects[0]' is not an object"),
        ({"sourceObjects": {"name": "x"}}, "'body.sourceObjects' is not a list"),
        ({"sourceObjects": [{"name": ["x"]}]}, "Invalid value at 'body.sourceObjects[0].name'"),
        ({"sourceObjects": [{"name": "x", "generation": ["1"]}]}, "generation must be a whole number"),
        ({"sourceObjects": [{"name": "x"}], "destination": "made"}, "'body.destination' is not an object"),
    ],
)
def test_compose_takes_objects_that_name_the_sources(http, bucket, body, said):
    upload(http, bucket, "x")

    answer = http("POST", object_path(bucket, "made") + "/compose", json=body)

    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert http("GET", object_path(bucket, "made")).status_code == 404


def test_a_batch_has_at_most_100_calls(http, bucket):
    call = f"--b\r\nContent-Type: application/http\r\n\r\nGET {object_path(bucket, 'x')}\r\n\r\n\r\n"

    def batch(calls):
        return http(
            "POST",
            "/batch/storage/v1",
            data=call * calls + "--b--",
            headers={"Content-Type": "multipart/mixed; boundary=b"},
        )

    assert batch(100).text.count("HTTP/1.1 404") == 100
    assert batch(101).status_code == 400


def test_a_chunk_in_the_middle_is_a_multiple_of_256_kib(http, bucket, server):
    begun = http("POST", f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable", json={"name": "x"})
    location = begun.headers["Location"].removeprefix(server)

    answer = http("PUT", location, data=b"x" * 1000, headers={"Content-Range": "bytes 0-999/*"})

    assert answer.status_code == 400


@pytest.mark.parametrize("condition", ["ifGenerationMatch", "ifMetagenerationMatch"])
def test_reads_and_changes_respect_preconditions(http, bucket, condition):
    upload(http, bucket, "x")
    path = object_path(bucket, "x") + f"?{condition}=7"

    for method, more in (("GET", "&alt=media"), ("GET", ""), ("PATCH", ""), ("DELETE", "")):
        assert http(method, path + more).status_code == 412
    copied = http("POST", object_path(bucket, "x") + f"/rewriteTo/b/{bucket.name}/o/y?{condition}=7")
    assert copied.status_code == 412
    assert http("GET", object_path(bucket, "y")).status_code == 404


def test_a_copy_respects_the_preconditions_of_its_source(http, bucket):
    upload(http, bucket, "x")
    path = object_path(bucket, "x") + f"/rewriteTo/b/{bucket.name}/o/y"

    assert http("POST", path + "?ifSourceGenerationMatch=7").status_code == 412
    assert http("POST", path).json()["done"] is True


def test_a_reader_with_the_current_generation_learns_that_nothing_changed(http, bucket):
    generation = upload(http, bucket, "x").json()["generation"]

    answer = http("GET", object_path(bucket, "x") + f"?ifGenerationNotMatch={generation}")

    assert (answer.status_code, answer.content) == (304, b"")


def test_a_condition_that_is_not_a_number_is_refused(http, bucket):
    answer = upload(http, bucket, "x", params={"ifGenerationMatch": "first"})

    assert answer.status_code == 400
    assert "ifGenerationMatch" in answer.json()["error"]["message"]


def test_metadata_is_text(http, bucket):
    answer = http(
        "POST",
        f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable",
        data=json.dumps({"name": "x", "metadata": {"count": 3}}),
    )

    assert answer.status_code == 400
