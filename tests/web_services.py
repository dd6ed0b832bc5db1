"""The services as processes over an emulated Cloud Storage, and what a workflow asks of them."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import requests
import uvicorn

from localcloud.process import Cloud
from tests.emulated import create_bucket, names_in, object_of, request
from tests.experiments import REPOSITORY

FORECAST = "services.models.forecast:Forecast"
SENTIMENT = "services.models.sentiment:Sentiment"
MODELS = f"line_counts:LineCounts,{SENTIMENT}"
PATHS = {"preprocess": "/preprocess", "inference": "/predict", "postprocess": "/postprocess"}
START_SECONDS = 30


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


class Service:
    """A service in a process of its own; `variables` are settings."""

    def __init__(self, name: str, storage: str, folder: Path, **variables: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.port, self.folder = name, free_port(), folder
        self._log = folder / f"{name}.log"
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY / "tests" / "services"),
            "SERVICE": name,
            "PORT": str(self.port),
            "MODELS": MODELS,
            "STORAGE_EMULATOR_HOST": storage,
            "CUDA_VISIBLE_DEVICES": "",  # also where there is a GPU
            "TMPDIR": str(folder),
            **variables,
        }
        self.begun = time.monotonic()
        with open(self._log, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.main"],
                env=environment,
                cwd=REPOSITORY,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_until_ready(self) -> float:
        """Return the seconds from its start to its first healthy answer."""
        while time.monotonic() < self.begun + START_SECONDS:
            assert self.process.poll() is None, self.text()
            try:
                assert requests.get(self.url("/health"), timeout=10).status_code == 200
                return time.monotonic() - self.begun
            except requests.ConnectionError:
                time.sleep(0.02)
        raise AssertionError(f"{self.name} is not ready after {START_SECONDS} s: {self.text()}")

    def ask(self, body: Any, path: str = "", **headers: str) -> requests.Response:
        """Send a request for work; a body that is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return requests.post(self.url(path or PATHS[self.name]), data=data, headers=headers, timeout=60)

    def text(self) -> str:
        return self._log.read_text()

    def wait_for(self, text: str, seconds: float = START_SECONDS) -> None:
        """Wait until a text is in the log."""
        deadline = time.monotonic() + seconds
        while text not in self.text():
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.02)

    def lines(self) -> list[dict]:
        """Return the log lines; each must be JSON."""
        return [json.loads(line) for line in self.text().splitlines()]

    def stop(self) -> int:
        """Return the exit code after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def started(name: str, storage: str, folder: Path, **variables: str) -> Iterator[Service]:
    """Run a service until the end of the block."""
    service = Service(name, storage, folder, **variables)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.process.kill()
        service.process.wait()


@contextmanager
def served(app) -> Iterator[str]:
    """Serve an application in a thread; its URL."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


class Lane:
    """Buckets, and the three services over them: what the workflow does, by hand."""

    def __init__(self, cloud: Cloud, services: dict[str, Service]):
        self.cloud, self.services = cloud, services
        self.input = create_bucket(cloud)
        self.output = create_bucket(cloud)

    def upload(self, name: str, content: bytes, bucket: str = "", **query: str) -> str:
        """Upload a file; its generation."""
        url = f"{self.cloud.storage}/upload/storage/v1/b/{bucket or self.input}/o"
        words = "&".join(f"{key}={value}" for key, value in {"name": name, **query}.items())
        answer = request("POST", f"{url}?uploadType=media&{words}", data=content)
        assert answer.status_code == 200, answer.text
        return answer.json()["generation"]

    def names(self, prefix: str = "") -> list[str]:
        return names_in(self.cloud, self.output, prefix)

    def content(self, name: str) -> bytes:
        return object_of(self.cloud, self.output, name)

    def preprocess_body(self, name: str, generation: str, **changes: Any) -> dict:
        return {
            "request_id": "execution-1/preprocess",
            "input": f"gs://{self.input}/{name}",
            "generation": generation,
            "work": f"gs://{self.output}/work/{name}-{generation}/",
            "result": f"gs://{self.output}/results/{name}/{generation}/",
            "options": {},
            **changes,
        }

    def predict_body(self, prepared: dict, first: int = 0, count: int = 0, **changes: Any) -> dict:
        work = prepared["inputs"].removesuffix("inputs")
        return {
            "request_id": "execution-1/predict/0",
            "model": prepared["model"],
            "inputs": prepared["inputs"],
            "sha256": prepared["sha256"],
            "first": first,
            "count": count or prepared["units"],
            "out": f"{work}shard-{first}",
            "seed": prepared["seed"],
            **changes,
        }

    def postprocess_body(
        self, prepared: dict, name: str, generation: str, shards: Sequence[str], **changes: Any
    ) -> dict:
        return {
            "request_id": "execution-1/postprocess",
            "model": prepared["model"],
            "inputs": prepared["inputs"],
            "sha256": prepared["sha256"],
            "shards": list(shards),
            "result": f"gs://{self.output}/results/{name}/{generation}/",
            "input": f"gs://{self.input}/{name}",
            "generation": generation,
            **changes,
        }

    def ask(self, service: str, body: dict) -> dict:
        """Return the answer of a service, which must be 200."""
        answer = self.services[service].ask(body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def prepare(self, name: str, content: bytes, **changes: Any) -> tuple[dict, str]:
        """Upload and preprocess; the answer and the generation."""
        generation = self.upload(name, content)
        return self.ask("preprocess", self.preprocess_body(name, generation, **changes)), generation

    def run(self, name: str, content: bytes, shards: int = 1, **changes: Any) -> dict:
        """Upload and go through all three services; result.json."""
        prepared, generation = self.prepare(name, content, **changes)
        starts = [index * prepared["units"] // shards for index in range(shards + 1)]
        bodies = [self.predict_body(prepared, a, b - a) for a, b in pairwise(starts) if b > a]
        outs = [self.ask("inference", body)["out"] for body in bodies]
        body = self.postprocess_body(prepared, name, generation, outs)
        return json.loads(self.content_of(self.ask("postprocess", body)["result"]))

    def content_of(self, reference: str) -> bytes:
        return self.content(reference.removeprefix(f"gs://{self.output}/"))
