"""The emulated cloud under load: start, small uploads, many clients, a job of 100,000 tasks, memory.

Peers, measured in the same run: an empty Python process; the same storage client with a server that accepts
everything; a thread pool that calls an empty function as many times.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path

import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from measuring import (
    Used,
    in_turn,
    measured,
    print_machine,
    print_table,
    ratio,
    read_arguments,
    spread,
    wall,
)

from localcloud.process import Cloud, running

BUCKET = "benchmark"
THREADS = 8
CLIENTS = 100
LOCATION = "/v1/projects/p/locations/us-central1"
TOKEN = {"Authorization": "Bearer any"}


def main() -> None:
    arguments = read_arguments(__doc__, repeats=3)
    uploads, tasks, number = (50, 1_000, 2_000) if arguments.quick else (5_000, 100_000, 100_000)
    rows = [ready(arguments.repeats)]
    with _cloud("--tasks", "null") as cloud:
        rows.append(small_uploads(cloud, uploads, arguments.repeats))
        rows.append(null_job(cloud, tasks, arguments.repeats))
    print_table(
        "The emulated cloud beside a peer", ["what", "peer", "cloud / peer", "seconds", "peer: seconds"], rows
    )
    with _cloud() as cloud:
        print_table(
            "Many clients at once", ["", "requests", "seconds", "errors"], [many_clients(cloud, number)]
        )
    with _cloud() as cloud:
        columns = ["requests so far", "resident memory [MiB]"]
        print_table("Memory", columns, memory(cloud, number))
    print_machine(arguments.repeats)


@contextmanager
def _cloud(*words: str) -> Iterator[Cloud]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), *words) as cloud:
        yield cloud


def ready(rounds: int) -> list[str]:
    def start() -> Used:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            with running(Path(folder)) as cloud:
                requests.get(f"{cloud.apis}/_emulator/requests", timeout=10).raise_for_status()
                return Used(time.perf_counter() - begun, 0.0)

    def empty() -> Used:
        return measured(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))

    return _row(
        "started, and has answered", "python -c pass", in_turn({"cloud": start, "peer": empty}, rounds)
    )


def small_uploads(cloud: Cloud, number: int, rounds: int) -> list[str]:
    """Upload objects of 2 KiB from 8 threads with the client library."""
    requests.post(
        f"{cloud.storage}/storage/v1/b?project=p", json={"name": BUCKET}, timeout=10
    ).raise_for_status()
    with _yes_server() as peer:
        taken = in_turn(
            {
                "cloud": lambda: measured(lambda: _upload(cloud.storage, number)),
                "peer": lambda: measured(lambda: _upload(peer, number)),
            },
            rounds,
        )
    return _row(f"{number:,} uploads, {THREADS} threads", "a server that says yes", taken)


def _upload(address: str, number: int) -> None:
    client = storage.Client(
        project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": address}
    )
    bucket, data = client.bucket(BUCKET), b"x" * 2048
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda i: bucket.blob(f"object-{i}").upload_from_string(data), range(number)))


class _Yes(BaseHTTPRequestHandler):
    """Accepts every upload and keeps nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"name": "any", "bucket": BUCKET}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


def _serve(address: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Yes)
    address.send(f"http://127.0.0.1:{server.server_address[1]}")
    server.serve_forever()


@contextmanager
def _yes_server() -> Iterator[str]:
    """Run the server in its own process, as the emulator runs."""
    here, there = Pipe()
    process = Process(target=_serve, args=(there,), daemon=True)
    process.start()
    yield here.recv()
    process.kill()


def null_job(cloud: Cloud, tasks: int, rounds: int) -> list[str]:
    def job() -> None:
        definition = {
            "taskGroups": [
                {
                    "taskCount": tasks,
                    "parallelism": 100,
                    "taskSpec": {"runnables": [{"container": {"imageUri": "null"}}]},
                }
            ]
        }
        name = f"job-{time.time_ns()}"
        with requests.Session() as session:
            session.headers.update(TOKEN)
            session.post(f"{cloud.apis}{LOCATION}/jobs?jobId={name}", json=definition).raise_for_status()
            while True:
                status = session.get(f"{cloud.apis}{LOCATION}/jobs/{name}").json()["status"]
                if status["state"] == "SUCCEEDED":
                    return
                assert status["state"] != "FAILED", status
                time.sleep(0.05)

    def pool() -> None:
        with ThreadPoolExecutor(100) as threads:
            list(threads.map(lambda i: i, range(tasks)))

    taken = in_turn({"cloud": lambda: measured(job), "peer": lambda: measured(pool)}, rounds)
    return _row(f"a job of {tasks:,} null tasks", "100 threads, as many functions", taken)


def many_clients(cloud: Cloud, number: int) -> list[str]:
    """Run 100 clients, each with a connection, that read and write objects and list jobs and secrets."""
    requests.post(
        f"{cloud.storage}/storage/v1/b?project=p", json={"name": BUCKET}, timeout=10
    ).raise_for_status()
    each = number // CLIENTS // 10
    errors: list[str] = []

    def client(index: int) -> None:
        with requests.Session() as session:
            session.headers.update(TOKEN)
            for turn in range(each):
                upload = (
                    f"{cloud.storage}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={index}-{turn}"
                )
                answers = [
                    session.post(upload, data=b"x", timeout=60),
                    session.get(f"{cloud.storage}/storage/v1/b/{BUCKET}/o/{index}-{turn}", timeout=60),
                    session.get(f"{cloud.apis}{LOCATION}/jobs", timeout=60),
                    session.get(f"{cloud.apis}/v1/projects/p/secrets", timeout=60),
                ]
                errors.extend(answer.text for answer in answers if not answer.ok)

    used = measured(lambda: _all_at_once(client, CLIENTS))
    return [f"{CLIENTS} clients", f"{CLIENTS * each * 4:,}", f"{used.wall_seconds:.1f}", str(len(errors))]


def _all_at_once(work, number: int) -> None:
    with ThreadPoolExecutor(number) as pool:
        list(pool.map(work, range(number)))


def memory(cloud: Cloud, number: int) -> list[list[str]]:
    """Return memory after several numbers of requests: uploads of the same object, and lists."""
    requests.post(
        f"{cloud.storage}/storage/v1/b?project=p", json={"name": BUCKET}, timeout=10
    ).raise_for_status()
    rows = []
    done = 0
    for until in (number // 10, number // 2, number):
        _ask((until - done) // THREADS, cloud)
        done = until
        rows.append([f"{until:,}", f"{_resident_mib(cloud):.0f}"])
    return rows


def _ask(each: int, cloud: Cloud) -> None:
    def ask(index: int) -> None:
        with requests.Session() as session:
            session.headers.update(TOKEN)
            for turn in range(each // 2):
                upload = f"{cloud.storage}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=same-{index}"
                session.post(upload, data=str(turn).encode(), timeout=60).raise_for_status()
                session.get(f"{cloud.apis}{LOCATION}/jobs", timeout=60).raise_for_status()

    _all_at_once(ask, THREADS)


def _resident_mib(cloud: Cloud) -> float:
    """Return the memory of the emulator's process, which is found by its state folder."""
    listed = subprocess.run(["ps", "-eo", "rss=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 1) for line in listed.splitlines() if f"--state {cloud.state}" in line]
    return max(int(kib) for kib, _ in lines) / 1024


def _row(what: str, peer: str, taken: dict[str, list[Used]]) -> list[str]:
    ours, theirs = wall(taken["cloud"]), wall(taken["peer"])
    return [what, peer, f"{ratio(ours, theirs):.1f}", spread(ours), spread(theirs)]


if __name__ == "__main__":
    main()
