"""The workflow of uploads in an emulated cloud, with small services that a test steers.

The services check each body by the contract, services/messages.py, and remember what they were asked.
"""

import base64
import hashlib
import json
import socket
import threading
import time
from collections import Counter, defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import requests
from pydantic import ValidationError

from localcloud.process import Cloud
from services.messages import (
    HealthAnswer,
    PostprocessAnswer,
    PostprocessRequest,
    PredictAnswer,
    PredictRequest,
    PreprocessAnswer,
    PreprocessRequest,
    ShardRange,
)
from tests.emulated import object_of, post, request
from tests.experiments import REPOSITORY

WORKFLOW = REPOSITORY / "terraform" / "gpu" / "workflow.yaml"
PLACE = "/v1/projects/p/locations/us-central1"
ACCOUNT = "{}@p.iam.gserviceaccount.com"
SHA256 = "0" * 64
PATHS = ("/preprocess", "/predict", "/postprocess")
numbers = count(1)  # of lanes, for names
_REQUESTS = {
    "/preprocess": PreprocessRequest,
    "/predict": PredictRequest,
    "/postprocess": PostprocessRequest,
}


def refusal(status: int, message: str, retry: bool | None = False):
    """Return an answer as a service refuses; without `retry`, as the platform does."""
    error = {"message": message, "where": ""} | ({} if retry is None else {"retry": retry})
    return status, {"error": error}


class SmallServices:
    """The three services on one port. `order` makes the next answers of a path others than the usual ones.

    An ordered answer is a status with a body, "cut" (the connection ends without an answer), "half" (in the
    middle of one), or an event to wait for before the usual answer.
    """

    def __init__(self, units: int = 6, shards: int = 3):
        self.units, self.shards = units, shards
        self.calls: list[tuple[str, dict]] = []
        self.headers: list[dict[str, str]] = []
        self.results: set[str] = set()
        self.most_at_once: Counter[str] = Counter()
        self._at_once: Counter[str] = Counter()
        self._orders = defaultdict(deque)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def urls(self) -> dict[str, str]:
        return dict.fromkeys(("preprocess", "inference", "postprocess"), self.url)

    def order(self, path: str, *answers) -> None:
        self._orders[path] += answers

    def bodies(self, path: str) -> list[dict]:
        return [body for called, body in self.calls if called == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, headers: dict[str, str], content: bytes):
        with self._lock:
            self._at_once[path] += 1
            self.most_at_once[path] = max(self.most_at_once[path], self._at_once[path])
            self.calls.append((path, json.loads(content or b"{}")))
            self.headers.append(headers)
            ordered = self._orders[path].popleft() if self._orders[path] else None
        try:
            if isinstance(ordered, threading.Event):
                ordered.wait(30)
            elif ordered:
                return ordered
            return self._usual(path, content)
        finally:
            with self._lock:
                self._at_once[path] -= 1

    def _usual(self, path: str, content: bytes):
        if path == "/health":
            health = HealthAnswer(service="s", version="1", models=["m@1"], device="cpu", gpu=False)
            return 200, health.model_dump()
        try:
            asked = _REQUESTS[path].model_validate_json(content)
        except ValidationError as wrong:
            return refusal(400, f"{path}: {wrong}")
        return 200, getattr(self, "_" + path[1:])(asked).model_dump()

    def _preprocess(self, asked: PreprocessRequest) -> PreprocessAnswer:
        if asked.result in self.results:
            return PreprocessAnswer(status="done", result=asked.result + "result.json")
        starts = [index * self.units // self.shards for index in range(self.shards + 1)]
        ranges = [
            ShardRange(index=index, first=starts[index], count=starts[index + 1] - starts[index])
            for index in range(self.shards)
        ]
        return PreprocessAnswer(
            status="ready",
            model="m@1",
            units=self.units,
            shards=ranges,
            inputs=asked.work + "inputs",
            sha256=SHA256,
            seed=7,
        )

    def _predict(self, asked: PredictRequest) -> PredictAnswer:
        time.sleep(0.01)
        return PredictAnswer(out=asked.out, units=asked.count, seconds=0.1, device="cpu")

    def _postprocess(self, asked: PostprocessRequest) -> PostprocessAnswer:
        self.results.add(asked.result)
        done = {"files": {"table.csv": SHA256}, "summary": {"label": "positive"}}
        return PostprocessAnswer(result=asked.result + "result.json", units=self.units, **done)


def _handler_of(services: SmallServices) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = services.answer(self.path, headers, content)
            self.close_connection = isinstance(answer, str)
            if answer == "cut":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, body = (200, {"status": "done"}) if answer == "half" else answer
            is_text = isinstance(body, str)
            sent = body.encode() if is_text else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if is_text else "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent[: len(sent) // 2] if answer == "half" else sent)

        def do_GET(self):
            self.do_POST()

        def log_message(self, *_):
            pass

    return Handler


class UploadLane:
    """Two buckets, the workflow with its variables, and a trigger, as a deployment leaves them."""

    def __init__(self, cloud: Cloud, services: SmallServices, number: int, **variables: str):
        self.cloud, self.services = cloud, services
        self.input, self.output = f"input-{number}", f"output-{number}"
        self.workflow = f"{PLACE}/workflows/uploads-{number}"
        for name in (self.input, self.output):
            post(f"{cloud.storage}/storage/v1/b?project=p", {"name": name, "location": "us-central1"})
        for name in ("workflow", "trigger"):
            request("POST", f"{cloud.apis}/v1/projects/p/serviceAccounts", json={"accountId": name})
        variables = {
            "SERVICE_URLS": json.dumps(services.urls),
            "OUTPUT_BUCKET": self.output,
            "MAX_SHARDS_AT_ONCE": "2",
            "TIMEOUT_SECONDS": "30",
            **variables,
        }
        self._deployed = {
            "sourceContents": WORKFLOW.read_text(encoding="utf-8"),
            "userEnvVars": variables,
            "serviceAccount": ACCOUNT.format("workflow"),
        }
        self.deploy()
        finalized = "google.cloud.storage.object.v1.finalized"
        filters = [
            {"attribute": "type", "value": finalized},
            {"attribute": "bucket", "value": self.input},
        ]
        trigger = {
            "eventFilters": filters,
            "destination": {"workflow": self.workflow.removeprefix("/v1/")},
            "serviceAccount": ACCOUNT.format("trigger"),
        }
        post(f"{cloud.apis}{PLACE}/triggers?triggerId=uploads-{number}", trigger)

    def deploy(self) -> None:
        """Deploy the workflow, which is not there yet or was deleted."""
        workflows, _, identifier = self.workflow.rpartition("/")
        post(f"{self.cloud.apis}{workflows}?workflowId={identifier}", self._deployed)

    def delete(self) -> None:
        request("DELETE", f"{self.cloud.apis}{self.workflow}").raise_for_status()

    def upload(self, name: str, content: bytes = b"x") -> str:
        """Store an object in the input bucket, and return its generation."""
        return self._store(self.input, name, content)

    def start(self, **argument) -> str:
        """Start an execution by hand, and return its id."""
        started = post(
            f"{self.cloud.apis}{self.workflow}/executions", {"argument": json.dumps(argument or None)}
        )
        return started["name"].rpartition("/")[2]

    def run(self, **argument) -> dict:
        return self.ended(self.start(**argument))

    def ended(self, execution: str) -> dict:
        """Wait for the end of an execution, and return it."""
        path = f"{self.cloud.apis}{self.workflow}/executions/{execution}"
        deadline = time.monotonic() + 30
        while (found := request("GET", path).json())["state"] == "ACTIVE":
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
        return found

    def cancel(self, execution: str) -> None:
        post(f"{self.cloud.apis}{self.workflow}/executions/{execution}:cancel", {})

    def executions(self) -> list[dict]:
        listed = request("GET", f"{self.cloud.apis}{self.workflow}/executions?view=FULL").json()
        return listed.get("executions", [])

    def all_ended(self, number: int) -> list[dict]:
        """Wait until a number of executions have ended, and return them, oldest first."""
        deadline = time.monotonic() + 30
        while True:
            found = self.executions()
            if len(found) >= number and all(each["state"] != "ACTIVE" for each in found):
                return found[::-1]
            assert time.monotonic() < deadline, found
            time.sleep(0.02)

    def peak_bytes(self, execution: dict) -> int:
        identifier = execution["name"].rpartition("/")[2]
        steps = request("GET", f"{self.cloud.apis}/_emulator/executions/{identifier}/steps").json()
        return steps["peakMemoryBytes"]

    def key(self, name: str, generation: str) -> str:
        digest = hashlib.sha256(f"{self.input}/{name}#{generation}".encode()).digest()
        text = base64.b64encode(digest).decode().lower()[:16]
        return "".join(each if each.isalnum() else "x" for each in text)

    def claim(self, name: str, generation: str) -> dict | None:
        path = f"work%2F{self.key(name, generation)}%2Fclaim.json"
        if request("GET", f"{self.cloud.storage}/storage/v1/b/{self.output}/o/{path}").status_code == 404:
            return None
        return json.loads(object_of(self.cloud, self.output, f"work/{self.key(name, generation)}/claim.json"))

    def put_claim(self, name: str, generation: str, claim) -> None:
        self._store(self.output, f"work/{self.key(name, generation)}/claim.json", json.dumps(claim).encode())

    def _store(self, bucket: str, name: str, content: bytes) -> str:
        answer = requests.post(
            f"{self.cloud.storage}/upload/storage/v1/b/{bucket}/o",
            params={"uploadType": "media", "name": name},
            headers={"Content-Type": "application/json"},
            data=content,
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["generation"]


def result_of(execution: dict) -> dict:
    assert execution["state"] == "SUCCEEDED", execution
    return json.loads(execution["result"])


def error_of(execution: dict) -> dict:
    assert execution["state"] == "FAILED", execution
    return json.loads(execution["error"]["payload"])
