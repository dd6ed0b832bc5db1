"""A small forecast hub on 127.0.0.1: target data of all places, made from the extract in tests/flusight/."""

import csv
import datetime
import gzip
import hashlib
import io
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from modeling.hubs import hub_populations
from tests.experiments import REPOSITORY

WEEKS = 12  # in each file
NEWEST = "target-data/target-hospital-admissions.csv"
EXTRACT = REPOSITORY / "tests" / "flusight" / "vintages.csv.gz"
HEADER = ["date", "location", "location_name", "value", "weekly_rate"]


def archived(week: str) -> str:
    """Return the path of the data whose newest week ends on a Saturday."""
    return f"auxiliary-data/target-data-archive/target-hospital-admissions_{week}.csv"


@cache
def _extract() -> dict[str, list[dict]]:
    with gzip.open(EXTRACT, "rt", encoding="utf-8") as file:
        rows: dict[str, list[dict]] = {}
        for row in csv.DictReader(file):
            rows.setdefault(row["as_of"], []).append(row)
    return rows


def target_data(as_of: str) -> bytes:
    """Return the newest weeks as known on a day; places that the extract lacks have Vermont's counts."""
    counts = {(row["date"], row["location"]): row["value"] for row in _extract()[as_of]}
    weeks = sorted({week for week, _ in counts})[-WEEKS:]
    rows = [
        [week, place, "", counts.get((week, place), counts[week, "50"]), "NA"]
        for week in weeks
        for place in hub_populations()
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
    return text.getvalue().encode()


def as_of(week: str) -> str:
    """Return the Wednesday after a week's Saturday."""
    return str(datetime.date.fromisoformat(week) + datetime.timedelta(days=4))


class TestHub(ThreadingHTTPServer):
    """Serves files with ETags, and answers wrongly where told.

    Attributes
    ----------
    files : dict of str to bytes
        By path.
    faults : dict
        By path: a status; "cut" (ends half-way), "drip" (a byte now and then), "elsewhere" and "moved"
        (redirects to another host and to another path), or "wait" (for `go_on`).
    asked : list of (str, int)
        Path and status of each request.
    """

    __test__ = False
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.faults, self.asked = {}, {}, []
        self.go_on, self.is_over = threading.Event(), threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.go_on.set()
        self.is_over.set()
        self.shutdown()
        self.server_close()

    def fetched(self) -> list[str]:
        """Return the paths that were sent, and forget all requests."""
        sent = [path for path, status in self.asked if status == 200]
        self.asked.clear()
        return sorted(sent)


class _Handler(BaseHTTPRequestHandler):
    server: TestHub

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.lstrip("/")
        fault = self.server.faults.get(path)
        if fault == "wait":
            self.server.go_on.wait(60)
        if isinstance(fault, int):
            self._end(fault)
        elif fault in ("elsewhere", "moved"):
            host = "localhost" if fault == "elsewhere" else "127.0.0.1"
            self._end(302, Location=f"http://{host}:{self.server.server_port}/other/{path}")
        elif (content := self.server.files.get(path.removeprefix("other/"))) is None:
            self._end(404)
        else:
            self._send(content, fault)

    def _end(self, status: int, **headers: str):
        self.server.asked.append((self.path.lstrip("/"), status))
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, content: bytes, fault: str | None):
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        if self.headers.get("If-None-Match") == etag:
            self._end(304)
            return
        self._end(200, ETag=etag, **{"Content-Length": str(len(content))})
        if fault == "drip":
            for byte in content:
                if self.server.is_over.wait(0.05):
                    return
                self.wfile.write(bytes([byte]))
        self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)
