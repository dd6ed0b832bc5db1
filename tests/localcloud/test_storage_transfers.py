"""Uploads and downloads of objects: ranges, checksums, links, sizes, resumed uploads."""

import gzip
import os
import socket
from urllib.parse import urlsplit

import pytest

MIB = 2**20


@pytest.fixture
def stored(http, bucket):
    """Return the resource of an object with the content 0123456789."""
    return put(http, bucket, "ten", b"0123456789").json()


def put(http, bucket, name, data, **more):
    path = f"/upload/storage/v1/b/{bucket.name}/o"
    return http("POST", path, params={"uploadType": "media", "name": name}, data=data, **more)


def media(bucket, name):
    return f"/storage/v1/b/{bucket.name}/o/{name}?alt=media"


def start_resumable(http, bucket, server, name="r", **query):
    path = f"/upload/storage/v1/b/{bucket.name}/o"
    begun = http("POST", path, params={"uploadType": "resumable"} | query, json={"name": name})
    assert begun.headers["Location"].startswith(server)
    return begun.headers["Location"].removeprefix(server)


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=3-5", b"345"),
        ("bytes=7-", b"789"),
        ("bytes=7-99", b"789"),
        ("bytes=-3", b"789"),
        ("bytes=-99", b"0123456789"),
    ],
)
def test_a_range_is_answered_in_part(http, bucket, stored, asked, got):
    answer = http("GET", media(bucket, "ten"), headers={"Range": asked})

    start = 10 - len(got) if asked.startswith("bytes=-") else int(asked[6])
    assert (answer.status_code, answer.content) == (206, got)
    assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(got) - 1}/10"


def test_a_range_after_the_end_is_refused(http, bucket, stored):
    answer = http("GET", media(bucket, "ten"), headers={"Range": "bytes=10-"})

    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */10"


def test_an_invalid_range_is_ignored(http, bucket, stored):
    answer = http("GET", media(bucket, "ten"), headers={"Range": "bytes=5-3"})

    assert (answer.status_code, answer.content) == (200, b"0123456789")


def test_a_download_carries_checksums_and_generation(http, bucket, stored):
    headers = http("GET", media(bucket, "ten")).headers

    assert headers["X-Goog-Hash"] == f"crc32c={stored['crc32c']},md5={stored['md5Hash']}"
    assert headers["X-Goog-Generation"] == stored["generation"]
    assert headers["X-Goog-Stored-Content-Length"] == "10"


def test_links_lead_to_the_address_the_client_used(http, bucket, stored, server):
    port = urlsplit(server).port
    path = f"/storage/v1/b/{bucket.name}/o/ten"

    resource = http("GET", path, headers={"Host": f"localhost:{port}"}).json()

    assert stored["mediaLink"].startswith(server)
    assert http("GET", stored["mediaLink"].removeprefix(server)).content == b"0123456789"
    assert resource["selfLink"] == f"http://localhost:{port}{path}"


def test_the_xml_api_reads_an_object_and_its_size(http, bucket, stored):
    read = http("GET", f"/{bucket.name}/ten")
    asked = http("HEAD", f"/{bucket.name}/ten")
    missing = http("GET", f"/{bucket.name}/nope")

    assert read.content == b"0123456789"
    assert (asked.content, asked.headers["Content-Length"]) == (b"", "10")
    assert missing.status_code == 404
    assert "<Code>NoSuchKey</Code>" in missing.text


def test_gzip_is_unpacked_only_for_clients_that_do_not_accept_it(http, bucket):
    packed = gzip.compress(b"plain" * 1000)
    path = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=z&contentEncoding=gzip"
    http("POST", path, data=packed)

    plain = http("GET", media(bucket, "z"), headers={"Accept-Encoding": "identity"})
    raw = http("GET", media(bucket, "z"), headers={"Accept-Encoding": "gzip"}, stream=True)

    assert plain.content == b"plain" * 1000
    assert plain.headers["X-Goog-Stored-Content-Encoding"] == "gzip"
    assert raw.raw.read() == packed


def test_a_body_in_http_chunks_is_accepted(http, bucket):
    put(http, bucket, "c", iter([b"one", b"two" * 100_000]))

    assert http("GET", media(bucket, "c")).content == b"one" + b"two" * 100_000


@pytest.mark.parametrize("boundary", ["b", '"b"', "'b'"])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_multipart_bodies_may_have_any_quotes_and_line_ends(http, bucket, boundary, line_end):
    data = b"\r\n--b\n--c--\r"
    lines = [b"--b", b"Content-Type: application/json", b"", b'{"name": "m"}']
    lines += [b"--b", b"Content-Type: text/x", b"", data, b"--b--"]

    answer = http(
        "POST",
        f"/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart",
        data=line_end.join(lines),
        headers={"Content-Type": f"multipart/related; boundary={boundary}"},
    )

    assert answer.json()["contentType"] == "text/x"
    assert http("GET", media(bucket, "m")).content == data


def test_an_upload_cut_in_the_middle_leaves_nothing(http, bucket, server):
    address = urlsplit(server)
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = f"POST /upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=cut HTTP/1.1\r\n"
        head += "Host: localhost\r\nContent-Length: 1000000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 500_000)

    assert http("GET", f"/storage/v1/b/{bucket.name}/o").json() == {"kind": "storage#objects"}


def test_a_resumable_upload_continues_where_it_was_cut(http, bucket, server):
    data = os.urandom(MIB)
    location = start_resumable(http, bucket, server)
    half = {"Content-Range": f"bytes 0-{MIB // 2 - 1}/{MIB}"}
    first = http("PUT", location, data=data[: MIB // 2], headers=half)

    asked = http("PUT", location, headers={"Content-Range": f"bytes */{MIB}"})
    rest = {"Content-Range": f"bytes {MIB // 2}-{MIB - 1}/{MIB}"}
    last = http("PUT", location, data=data[MIB // 2 :], headers=rest)

    assert (first.status_code, asked.status_code, last.status_code) == (308, 308, 200)
    assert asked.headers["Range"] == f"bytes=0-{MIB // 2 - 1}"
    assert http("GET", media(bucket, "r")).content == data


def test_a_chunk_sent_twice_counts_once(http, bucket, server):
    data = os.urandom(MIB)
    location = start_resumable(http, bucket, server)
    half = {"Content-Range": f"bytes 0-{MIB // 2 - 1}/{MIB}"}
    for _ in range(2):
        http("PUT", location, data=data[: MIB // 2], headers=half)

    http("PUT", location, data=data, headers={"Content-Range": f"bytes 0-{MIB - 1}/{MIB}"})

    assert http("GET", media(bucket, "r")).content == data


def test_the_last_answer_of_an_upload_can_be_requested_again(http, bucket, server):
    location = start_resumable(http, bucket, server, ifGenerationMatch="0")
    made = http("PUT", location, data=b"all").json()

    again = http("PUT", location, headers={"Content-Range": "bytes */3"})

    assert again.json()["generation"] == made["generation"]


def test_a_cancelled_upload_is_gone(http, bucket, server):
    location = start_resumable(http, bucket, server)

    assert http("DELETE", location).status_code == 499
    assert http("PUT", location, data=b"all").status_code == 404


def test_a_download_of_a_replaced_object_continues_to_its_end(http, bucket):
    put(http, bucket, "big", b"1" * 8 * MIB)

    with http("GET", media(bucket, "big"), stream=True) as answer:
        begun = answer.raw.read(1000)
        put(http, bucket, "big", b"2" * 8 * MIB)
        rest = answer.raw.read()

    assert begun + rest == b"1" * 8 * MIB
