"""A bucket gets over passing faults of its service, and reports lasting ones in one line."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from modeling.failures import TemporaryFault, UserError
from modeling.refusals import MAY_NOT_COUNT_YET
from pipeline.bucket import UPLOAD_SESSIONS, BucketStorage
from pipeline.storage import MissingFile
from tests.emulated import write_service_account_key
from tests.experiments import REPOSITORY
from tests.storages import IMPATIENCE, LARGE, PATIENCE

# -- a bucket whose service has faults

ACTS = {
    "save": lambda s, path: s.save_bytes("new", b"data"),
    "save large": lambda s, path: s.save_bytes("new", LARGE),
    "save_file": lambda s, path: s.save_file("new", path),
    "load": lambda s, path: s.load_bytes("there"),
    "load range": lambda s, path: s.load_bytes("there", 2, 3),
    "list": lambda s, path: list(s.list_files("")),
    "exists": lambda s, path: s.exists("there"),
    "load generation": lambda s, path: s.load_generation("there", s.list_generations("")["there"], 7)[0],
}
EXPECTED = {
    "save": True,
    "save large": True,
    "save_file": True,
    "load": b"content",
    "load range": b"nte",
    "list": ["there"],
    "exists": True,
    "load generation": b"content",
}
FAULTS = [
    {"status": 429},
    {"status": 500},
    {"status": 502},
    {"status": 503},
    {"status": 504},
    {"action": "reset"},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(*fault.values()))
@pytest.mark.parametrize("act", ACTS)
def test_a_passing_fault_is_got_over(bucket, emulator, path, act, fault):
    bucket.save_bytes("there", b"content")
    emulator.order({"path": f"/b/{bucket.name}/", "times": 2, **fault})

    done = ACTS[act](bucket, path)

    assert done == EXPECTED[act]
    assert emulator.hits() == [2]
    if act.startswith("save"):
        saved = {"save": b"data", "save large": LARGE, "save_file": b"from disk"}[act]
        assert bucket.load_bytes("new") == saved


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize(("data", "method"), [(b"data", "POST"), (LARGE, "PUT")], ids=["small", "large"])
def test_a_write_whose_answer_is_lost_has_succeeded(bucket, emulator, data, method, overwrite):
    emulator.order({"method": method, "action": "reset_after", "times": 1})

    saved = bucket.save_bytes("a", data, overwrite=overwrite)

    assert saved is True
    assert emulator.hits() == [1]
    assert bucket.load_bytes("a") == data


def test_a_replacement_whose_answer_is_lost_has_succeeded(bucket, emulator):
    bucket.save_bytes("a", b"before")
    emulator.order({"method": "POST", "action": "reset_after", "times": 2})

    bucket.save_bytes("a", b"after")

    assert bucket.load_bytes("a") == b"after"


@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_whose_session_is_lost_begins_again(bucket, emulator, status):
    emulator.order({"method": "PUT", "status": status, "times": 1})

    bucket.save_bytes("a", LARGE)

    assert emulator.hits() == [1]
    assert bucket.load_bytes("a") == LARGE


def test_an_upload_that_loses_every_session_is_given_up(bucket, emulator):
    emulator.order({"method": "PUT", "status": 410, "message": "gone"})

    with pytest.raises(UserError, match=r"refused the request \(410 gone\)"):
        bucket.save_bytes("a", LARGE)

    assert emulator.hits() == [1 + UPLOAD_SESSIONS]


@pytest.mark.parametrize(("start", "length"), [(0, None), (1000, 2_000_000)], ids=["whole", "range"])
def test_a_download_that_is_cut_short_is_finished(bucket, emulator, start, length):
    bucket.save_bytes("a", LARGE)
    emulator.order({"method": "GET", "path": "alt=media", "action": "truncate", "times": 2})

    loaded = bucket.load_bytes("a", start, length)

    assert loaded == LARGE[start:][:length]
    assert emulator.hits() == [2]


def test_a_listing_that_is_cut_short_is_asked_for_again(bucket, emulator):
    names = [f"{i:04d}" for i in range(1200)]  # two pages
    bucket.save_many((name, b"") for name in names)
    emulator.order(
        {"method": "GET", "action": "truncate", "times": 1},
        {"method": "GET", "status": 503, "times": 1, "skip": 1},
    )

    listed = list(bucket.list_files(""))

    assert listed == names
    assert emulator.hits() == [1, 1]


def test_a_download_that_does_not_match_its_checksum_is_not_believed(tmp_path):
    corrupt = answering(200, b"changed on the way", {"X-Goog-Hash": "crc32c=AAAAAA=="})

    with corrupt as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", url)
        with pytest.raises(TemporaryFault, match="checksum"):
            BucketStorage("any", retry_seconds=IMPATIENCE).load_bytes("a")


@pytest.mark.parametrize("act", ACTS)
def test_a_fault_that_stays_ends_in_a_temporary_fault_after_the_time_given(impatient, emulator, path, act):
    emulator.order({"path": f"/b/{impatient.name}/", "status": 503, "message": "busy today"})
    begun = time.monotonic()

    with pytest.raises(TemporaryFault) as raised:
        ACTS[act](impatient, path)

    assert time.monotonic() - begun < 20 * IMPATIENCE
    assert raised.value.exit_code == 75
    message = str(raised.value)
    assert message.startswith(f"gs://{impatient.name}/")
    assert message.endswith("storage does not answer (503 busy today); try again")


def test_a_connection_refused_is_a_temporary_fault(emulator):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
        nowhere = BucketStorage("any", retry_seconds=IMPATIENCE)

    with pytest.raises(TemporaryFault, match="storage does not answer") as raised:
        nowhere.load_bytes("a")

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("act", ACTS)
def test_a_bucket_that_is_not_there_is_the_users_mistake(emulator, path, act):
    nowhere = BucketStorage("no-such-bucket", retry_seconds=PATIENCE)

    with pytest.raises(UserError) as raised:
        ACTS[act](nowhere, path)

    assert not isinstance(raised.value, MissingFile)
    assert str(raised.value) == "gs://no-such-bucket: no such bucket; check the setting, or create it"


def test_a_bucket_that_is_not_there_is_told_however_long_the_name_is(emulator):
    nowhere = BucketStorage("no-such-bucket", retry_seconds=PATIENCE)

    with pytest.raises(UserError, match="no such bucket; check the setting"):
        nowhere.load_bytes("long/" * 100 + "name")


@pytest.mark.parametrize("act", ACTS)
def test_a_denied_access_names_the_role_that_is_missing(bucket, emulator, path, act):
    emulator.order({"path": f"/b/{bucket.name}/", "status": 403, "message": "a@b.c does not have access"})

    with pytest.raises(UserError) as raised:
        ACTS[act](bucket, path)

    message = str(raised.value)
    assert message.startswith(f"gs://{bucket.name}/")
    assert "access denied (403 a@b.c does not have access)" in message
    assert message.endswith(
        f"the account needs roles/storage.objectUser on gs://{bucket.name}; {MAY_NOT_COUNT_YET}"
    )
    assert "\n" not in message


@pytest.mark.parametrize("act", ACTS)
def test_the_role_on_objects_suffices(bucket, emulator, path, act):
    bucket.save_bytes("there", b"content")
    emulator.order({"path": f"/b/{bucket.name}(\\?|$)", "status": 403})  # of the bucket itself

    assert ACTS[act](bucket, path) == EXPECTED[act]


def test_a_request_that_is_refused_is_not_repeated(bucket, emulator):
    emulator.order({"method": "POST", "status": 400, "message": "this cannot be"})

    with pytest.raises(UserError, match=r"refused the request \(400 this cannot be\)"):
        bucket.save_bytes("a", b"x")

    assert emulator.hits() == [1]


def test_many_files_are_asked_for_at_once(emulator):
    emulator.forget()
    bucket = BucketStorage(emulator.create_bucket(), retry_seconds=PATIENCE)
    names = [f"{i:03d}" for i in range(300)]

    emulator.order({"path": "/o", "latency_seconds": 0.02})
    bucket.save_many((name, b"x") for name in names)
    at_once_saving = emulator.most_at_once()
    emulator.forget()
    bucket = BucketStorage(emulator.create_bucket(), retry_seconds=PATIENCE)
    emulator.order({"path": "/o", "latency_seconds": 0.02})
    loaded = list(bucket.load_many(names))

    assert at_once_saving > 8
    assert emulator.most_at_once() > 8
    assert all(isinstance(missing, MissingFile) for _, missing in loaded)


def test_random_faults_do_not_show(bucket, emulator):
    emulator.order(
        {"path": "/o", "status": 503, "probability": 0.1, "seed": 1},
        {"path": "/o", "action": "reset", "probability": 0.05, "seed": 2},
        {"path": "/o", "action": "reset_after", "probability": 0.05, "seed": 3},
        {"path": "/o", "action": "truncate", "probability": 0.05, "seed": 4},
    )
    files = [(f"f/{i:03d}", b"content %d" % i) for i in range(150)]

    bucket.save_many(files)
    loaded = list(bucket.load_many(bucket.list_files("f/")))

    assert loaded == files
    assert min(emulator.hits()) > 3


# -- a bucket without credentials

OPEN_BUCKET = """
import sys, time
from pipeline.failures import TemporaryFault, UserError
from pipeline.bucket import BucketStorage

begun = time.monotonic()
try:
    BucketStorage("any", retry_seconds=1).load_bytes("a")
except (UserError, TemporaryFault) as error:
    print(time.monotonic() - begun, error.exit_code, error)
"""


def open_bucket_in_process(home: Path, **variables: str) -> tuple[float, int, str]:
    """Open a bucket as somebody else and return the seconds, the exit code and the message."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(REPOSITORY / "scripts")}
    nobody = {"GCE_METADATA_HOST": "127.0.0.1:9", "GCE_METADATA_IP": "127.0.0.1:9"}  # nothing listens there
    done = subprocess.run(
        [sys.executable, "-c", OPEN_BUCKET],
        env={**environ, **nobody, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout + done.stderr
    seconds, exit_code, message = lines[0].split(" ", 2)
    return float(seconds), int(exit_code), message


@pytest.mark.parametrize("project", ["p", ""])
def test_without_credentials_the_login_is_asked_for_before_long(tmp_path, project):
    seconds, exit_code, message = open_bucket_in_process(tmp_path, GOOGLE_CLOUD_PROJECT=project)

    assert exit_code == 2
    assert message.startswith("gs://any: no Google Cloud credentials (")
    assert message.endswith("; run `gcloud auth application-default login`")
    assert seconds < 15


@pytest.mark.parametrize("content", [None, "not json", "{}"])
def test_credentials_that_cannot_be_read_ask_for_the_login(tmp_path, content):
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)

    _, exit_code, message = open_bucket_in_process(tmp_path, GOOGLE_APPLICATION_CREDENTIALS=str(path))

    assert exit_code == 2
    assert "no Google Cloud credentials" in message
    assert "key.json" in message


def test_credentials_that_have_expired_ask_for_the_login(tmp_path):
    answer = json.dumps({"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
    with answering(400, answer.encode(), {"Content-Type": "application/json"}) as url:
        key = write_service_account_key(tmp_path / "key.json", token_uri=f"{url}/token")

        _, exit_code, message = open_bucket_in_process(tmp_path, GOOGLE_APPLICATION_CREDENTIALS=str(key))

    assert exit_code == 2
    assert "no valid Google Cloud credentials (" in message
    assert "run `gcloud auth application-default login`" in message


@contextmanager
def answering(status: int, body: bytes, headers: dict[str, str]):
    """Run a server that has one answer to everything, and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 (http.server's names)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
