"""The pipeline's own workflow on an emulated cloud, deployed as Terraform does and started as invoke does.

It sends plain requests and repeats them if the connection breaks or the service refuses, because the faults
affect these requests, too. A repeated request may create something twice, as with the real services.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from measuring import ROOT

from localcloud.process import Cloud
from ops.cloud.deployment import workflow_environment
from ops.cloud.executions import ENDED
from ops.run_request import RunRequest
from ops.runs.cloud_run import run_arguments
from ops.runs.uploads import ARCHIVE
from ops.settings import Settings
from ops.stages import STAGES

WORKFLOW = ROOT / "terraform" / "workflow.yaml"
VARIABLES = {"NUMBA_DISABLE_JIT": "1"}  # the simulator loads in half the time, and has little to compute
PATIENCE_SECONDS = 120
REQUEST_SECONDS = 60
PASSING = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class PipelineCloud:
    """An emulated cloud with a bucket and the workflow, for the runs of one experiment."""

    cloud: Cloud
    settings: Settings

    def set_up(self) -> None:
        """Create the bucket, and deploy the workflow with the variables that Terraform sets."""
        self.ask(
            "POST",
            f"{self.cloud.storage}/storage/v1/b?project={self.settings.project_id}",
            json={"name": self.settings.bucket_name},
        )
        body = {
            "sourceContents": WORKFLOW.read_text(),
            "userEnvVars": workflow_environment(self.settings),
        }
        self.ask("POST", f"{self._place}/workflows?workflowId={self.settings.workflow_name}", json=body)

    def upload_forecast(self, repository: Path, request: RunRequest) -> None:
        """Upload the packed forecasting repository to where stage A looks for it."""
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "forecast.tar.gz"
            pack = [sys.executable, ROOT / "scripts" / "pack_forecast.py", repository, archive]
            subprocess.run(pack, check=True)
            name = quote(f"{request.exp_id}/{request.run_id}/{ARCHIVE}", safe="")
            place = f"{self.cloud.storage}/upload/storage/v1/b/{self.settings.bucket_name}/o"
            self.ask("POST", f"{place}?uploadType=media&name={name}", data=archive.read_bytes())

    def start(self, request: RunRequest, is_resumed: bool = False) -> None:
        """Start an execution. If an answer is lost there may be two; executions() returns them all."""
        arguments = run_arguments(self.settings, request, is_resumed)
        arguments["variables"] |= VARIABLES
        self.ask("POST", self._executions, json={"argument": json.dumps(arguments)})

    def executions(self) -> dict[str, dict[str, Any]]:
        """Return every execution, by id."""
        listed = self.ask("GET", f"{self._executions}?pageSize=1000").json().get("executions", [])
        return {each["name"].rpartition("/")[2]: each for each in listed}

    def execution(self, name: str) -> dict[str, Any]:
        return self.ask("GET", f"{self._executions}/{name}").json()

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Return every job, by id."""
        listed = self.ask("GET", f"{self._place}/jobs?pageSize=1000").json().get("jobs", [])
        return {each["name"].rpartition("/")[2]: each for each in listed}

    def tasks(self, job: str, state: str = "") -> Iterator[dict[str, Any]]:
        """Yield the tasks of a job, all or those in one state."""
        query = f"?pageSize=1000{f'&filter=State={state}' if state else ''}"
        token = ""
        while True:
            page = self.ask("GET", f"{self._place}/jobs/{job}/taskGroups/group0/tasks{query}{token}").json()
            yield from page.get("tasks", [])
            if not page.get("nextPageToken"):
                return
            token = f"&pageToken={page['nextPageToken']}"

    def objects(self, prefix: str) -> Iterator[str]:
        """Yield the names in the bucket."""
        place = f"{self.cloud.storage}/storage/v1/b/{self.settings.bucket_name}/o"
        query, token = f"?prefix={quote(prefix, safe='')}&fields=items(name),nextPageToken", ""
        while True:
            page = self.ask("GET", f"{place}{query}{token}").json()
            yield from (item["name"] for item in page.get("items", []))
            if not page.get("nextPageToken"):
                return
            token = f"&pageToken={quote(page['nextPageToken'], safe='')}"

    def content(self, name: str) -> bytes:
        place = f"{self.cloud.storage}/storage/v1/b/{self.settings.bucket_name}/o"
        return self.ask("GET", f"{place}/{quote(name, safe='')}?alt=media").content

    def emulator(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request to the emulator's own API, which has no faults: faults, requests, steps."""
        answer = requests.request(method, f"{self.cloud.apis}/_emulator/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def ask(self, method: str, url: str, **more: Any) -> requests.Response:
        """Return an answer; repeat the request if an answer is lost.

        Raises
        ------
        requests.RequestException
            No usable answer came for two minutes, or the request is wrong.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = requests.request(
                    method, url, headers={"Authorization": "Bearer any"}, timeout=REQUEST_SECONDS, **more
                )
                if answer.status_code not in PASSING or time.monotonic() > until:
                    answer.raise_for_status()
                    return answer
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                if time.monotonic() > until:
                    raise
            time.sleep(random.uniform(0.05, 0.2))

    @property
    def _place(self) -> str:
        return f"{self.cloud.apis}/v1/projects/{self.settings.project_id}/locations/{self.settings.region}"

    @property
    def _executions(self) -> str:
        return f"{self._place}/workflows/{self.settings.workflow_name}/executions"


def is_active(execution: dict[str, Any]) -> bool:
    return execution["state"] not in ENDED


def stage_of(job: str) -> str:
    """Return the stage of a job, which its id starts with."""
    return next(stage for stage in STAGES if job.startswith(f"{stage}-"))
