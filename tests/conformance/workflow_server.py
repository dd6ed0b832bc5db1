"""The small server that the cases of workflows.json call: a little of Batch, Storage and secrets."""

import itertools
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

JOB = "projects/p/locations/us-central1/jobs/"
# What a job that was created tells at each poll; None is a 503.
_STATES = ("RUNNING", None, "RUNNING", "SUCCEEDED")
_ITEMS = [{"name": f"x/{number}"} for number in range(7)]


@contextmanager
def workflow_server() -> Iterator[str]:
    """Serve until the block ends; yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.polls, server.tries = Counter(), Counter()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(None)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(json.loads(body or b"null"))

    def log_message(self, *_):
        pass

    def _answer(self, body: Any):
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        code, answer = self._found(url.path, query, body)
        text = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _found(self, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if path == "/nf":
            return 404, {"error": {"code": 404, "status": "NOT_FOUND"}}
        if path.startswith("/flaky/"):
            self.server.tries[path] += 1
            return (200, {"n": 3}) if self.server.tries[path] > 2 else (503, {"error": {"code": 503}})
        if path == "/echo":
            has_token = self.headers.get("Authorization", "").startswith("Bearer ")
            return 200, {"body": body, "query": query, "xa": self.headers.get("X-A"), "auth": has_token}
        if path.endswith("/jobs"):
            return 200, {"name": f"{JOB}{query['jobId']}", "status": {"state": "QUEUED"}}
        if "/jobs/" in path:
            return self._job(path.rpartition("/")[2])
        if path.endswith("/secrets/s/versions/latest:access"):
            return 200, {"payload": {"data": "aHVudGVyMg=="}}
        if re.fullmatch(r"/storage/v1/b/[^/]+/o", path):
            return 200, {"items": _ITEMS}
        if re.fullmatch(r"/storage/v1/b/bkt/o/[^/]+", path):
            return 200, {"count": 4} if query.get("alt") == "media" else {"name": "a/b.json"}
        return 404, {"error": {"code": 404, "message": path}}

    def _job(self, job_id: str) -> tuple[int, Any]:
        state = "SUCCEEDED"
        if job_id != "pre-1":
            number = self.server.polls[job_id]
            self.server.polls[job_id] += 1
            state = next(itertools.islice(_STATES, min(number, len(_STATES) - 1), None))
        if state is None:
            return 503, {"error": {"code": 503}}
        return 200, {"name": f"{JOB}{job_id}", "status": {"state": state}}
