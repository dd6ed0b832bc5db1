"""A small forecast hub on 127.0.0.1, and what an operator fetched from it; data of tests/flusight/."""

import csv
import datetime
import gzip
import hashlib
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from modeling.hubs import hub_populations
from tests.experiments import simulated
from tests.flu_vintages import rows_by_vintage
from tests.operators import Operator

MOST_WEEKS = 12  # in each file
WEEKS = ["2024-11-16", "2024-11-23", "2024-11-30"]  # of the archive
FIRST = ("data-update", "--since", WEEKS[0])
NEWEST = "target-data/target-hospital-admissions.csv"
HEADER = ["date", "location", "location_name", "value", "weekly_rate"]


def archived(week: str) -> str:
    """Return the path of the data whose newest week ends on a Saturday."""
    return f"auxiliary-data/target-data-archive/target-hospital-admissions_{week}.csv"


def target_data(as_of: str) -> bytes:
    """Return the newest weeks as known on a day; places outside the extract get Vermont's counts."""
    counts = {(row["date"], row["location"]): row["value"] for row in rows_by_vintage()[as_of]}
    weeks = sorted({week for week, _ in counts})[-MOST_WEEKS:]
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
        self.files = {archived(week): target_data(as_of(week)) for week in WEEKS}
        self.files[NEWEST] = target_data(as_of(WEEKS[-1])).replace(b"date,", b'"date",')  # the same counts
        self.faults, self.asked = {}, []
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


class DataOperator(Operator):
    """An operator who fetches target data from a hub."""

    def __init__(self, folder: Path, hub: TestHub):
        super().__init__(folder, simulated())
        self.environ["TARGET_DATA_SOURCE"] = hub.address
        repository = folder / "local" / "forecast"
        self.environ["FORECAST_REPO_DIR"] = str(repository)  # the example has the experiment flusight, too
        self.data = repository / "data" / "flusight"

    def vintages(self) -> dict[str, bytes]:
        """Return the content of each vintage by its day; nothing else may be in its folder."""
        paths = sorted((self.data / "vintages").iterdir())
        assert all(path.name.startswith("target-hospital-admissions_") for path in paths), paths
        return {path.name[27:37]: gzip.decompress(path.read_bytes()) for path in paths}

    def files_in_lock(self) -> dict[str, dict]:
        return json.loads((self.data / "lock.json").read_text())["files"]

    def vintage(self, week: str) -> Path:
        return self.data / "vintages" / f"target-hospital-admissions_{as_of(week)}.csv.gz"


def shown(output: str) -> dict[str, str]:
    """Return the table at the end of the output."""
    cells = [line.strip("│ ").split("│") for line in output.splitlines() if line.startswith("│")]
    return {name.strip(): value.strip() for name, value in cells}
