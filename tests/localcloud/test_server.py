"""Requests that no client should send are refused, and the emulator continues."""

import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.localcloud.jobs import LOCATION, id_of, job, null

DEEP = b'{"a":' * 50_000
POST = b"POST /v1/projects/p/locations/us-central1/jobs HTTP/1.1\r\nAuthorization: Bearer x\r\n"


def exchange(cloud, sent: bytes) -> bytes:
    """Send bytes and return the answer up to the end of the connection."""
    with socket.create_connection(urlsplit(cloud.apis).netloc.split(":"), timeout=5) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.mark.parametrize(
    "sent",
    [
        b"GET //[ HTTP/1.1\r\n\r\n",
        b"GET http://[/v1/projects/p HTTP/1.1\r\n\r\n",
        POST + b"Content-Length: " + b"1" * 5000 + b"\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
    ],
)
def test_a_request_that_cannot_be_parsed_is_refused(cloud, sent, capfd):
    answer = exchange(cloud, sent)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("length", [b"-1", b"-5", b"0x1", b"1_0", b""])
def test_a_chunk_whose_length_is_not_a_number_ends_the_connection(cloud, length, capfd):
    answer = exchange(cloud, POST + b"Transfer-Encoding: chunked\r\n\r\n" + length + b"\r\n{}\r\n0\r\n\r\n")

    assert answer == b""
    assert "Traceback" not in capfd.readouterr().err


def test_a_body_that_is_not_read_may_end_in_nonsense(cloud, capfd):
    answer = exchange(cloud, b"GET /none HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 70_000)

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("body", [b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": "\\ud800"}', DEEP])
def test_a_body_that_is_not_json_is_refused(api, body, capfd):
    for path in (f"{LOCATION}/jobs", "/_emulator/faults"):
        answer = api("POST", path, data=body)

        assert answer.status_code == 400
        assert "not JSON" in answer.json()["error"]["message"]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("number", ["--5", "-1", "1.5", "x", "9" * 5000, "\u0663"])
def test_a_page_size_that_is_not_a_number_is_refused(api, jobs, number):
    made = jobs.run(job(null()))
    lists = (f"{LOCATION}/jobs", f"{LOCATION}/jobs/{id_of(made)}/taskGroups/group0/tasks")

    for path in (*lists, "/v1/projects/p/locations/global/builds"):
        answer = api("GET", path, params={"pageSize": number})

        assert (answer.status_code, answer.json()["error"]["message"][:8]) == (400, "pageSize")


def test_a_number_of_5000_digits_is_not_found(api, jobs):
    made = jobs.run(job(null()))
    secrets = "/v1/projects/p/secrets"
    api("POST", f"{secrets}?secretId=numbered", json={"replication": {"automatic": {}}})
    api("POST", f"{secrets}/numbered:addVersion", data=json.dumps({"payload": {"data": "eA=="}}))

    task = api("GET", f"{LOCATION}/jobs/{id_of(made)}/taskGroups/group0/tasks/{'1' * 5000}")
    version = api("GET", f"{secrets}/numbered/versions/{'1' * 5000}")

    assert (task.status_code, version.status_code) == (404, 404)
