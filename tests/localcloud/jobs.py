"""Jobs of Cloud Batch for tests: their definitions, and a client over plain HTTP that waits for them."""

import base64
import itertools
import time
from pathlib import Path
from typing import Any

import requests

from localcloud.process import Cloud

PROJECT = "p"
REGION = "us-central1"
LOCATION = f"/v1/projects/{PROJECT}/locations/{REGION}"
OVER = ("SUCCEEDED", "FAILED", "CANCELLED")
WAIT_SECONDS = 60

numbers = itertools.count(1)  # for names that no other test of this worker uses


def shell(text: str, **more: Any) -> dict[str, Any]:
    """Return a runnable that bash runs."""
    return {"container": {"imageUri": "any", "entrypoint": "bash", "commands": ["-c", text]}, **more}


def null() -> dict[str, Any]:
    return {"container": {"imageUri": "null"}}


def job(*runnables: dict[str, Any], count: int = 1, spec: dict | None = None, **group: Any) -> dict[str, Any]:
    """Return the definition of a job that logs; `spec` is part of its taskSpec, `group` of its task group."""
    tasks = {"runnables": list(runnables), **(spec or {})}
    return {
        "taskGroups": [{"taskCount": count, "taskSpec": tasks, **group}],
        "logsPolicy": {"destination": "CLOUD_LOGGING"},
    }


class Jobs:
    """The jobs of one location."""

    def __init__(self, cloud: Cloud):
        self.cloud = cloud
        self._session = requests.Session()
        self._session.headers["Authorization"] = "Bearer any"

    def http(self, method: str, path: str, **more: Any) -> requests.Response:
        """Send a request for a path below the location."""
        return self._session.request(method, self.cloud.apis + LOCATION + path, timeout=30, **more)

    def create(self, definition: Any, job_id: str = "", **query: str) -> dict[str, Any]:
        job_id = job_id or f"job-{next(numbers)}"
        answer = self.http("POST", "/jobs", params={"jobId": job_id, **query}, json=definition)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refusal(self, definition: Any, job_id: str = "refused", **query: str) -> dict[str, Any]:
        """Create a job that must be refused, and return the error."""
        answer = self.http("POST", "/jobs", params={"jobId": job_id, **query}, json=definition)
        assert answer.status_code >= 400, answer.text
        return answer.json()["error"]

    def get(self, made: dict[str, Any]) -> dict[str, Any]:
        answer = self.http("GET", f"/jobs/{id_of(made)}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self, made: dict[str, Any]) -> str:
        return self.get(made)["status"]["state"]

    def wait(self, made: dict[str, Any], *states: str) -> dict[str, Any]:
        """Wait for one of the states, or for the end, and return the job."""
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            found = self.get(made)
            if found["status"]["state"] in (states or OVER):
                return found
            time.sleep(0.02)
        raise AssertionError(f"not {states or OVER} but {found['status']}")

    def run(self, definition: Any, job_id: str = "") -> dict[str, Any]:
        return self.wait(self.create(definition, job_id))

    def tasks(self, made: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
        """Return the tasks of all pages."""
        tasks, token = [], ""
        while True:
            path = f"/jobs/{id_of(made)}/taskGroups/group0/tasks"
            page = self.http("GET", path, params={**query, "pageToken": token}).json()
            tasks += page.get("tasks", [])
            token = page.get("nextPageToken", "")
            if not token:
                return tasks

    def cancel(self, made: dict[str, Any]) -> dict[str, Any]:
        answer = self.http("POST", f"/jobs/{id_of(made)}:cancel", json={})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def delete(self, made: dict[str, Any]) -> dict[str, Any]:
        answer = self.http("DELETE", f"/jobs/{id_of(made)}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def logs(self, made: dict[str, Any], name: str = "batch_task_logs") -> list[dict[str, Any]]:
        text = f'logName="projects/{PROJECT}/logs/{name}" AND labels.job_uid="{made["uid"]}"'
        asked = {"resourceNames": [f"projects/{PROJECT}"], "filter": text, "pageSize": 1000}
        answer = self._session.post(f"{self.cloud.apis}/v2/entries:list", json=asked, timeout=30)
        return answer.json().get("entries", [])

    def lines(self, made: dict[str, Any], name: str = "batch_task_logs") -> list[str]:
        return [entry["textPayload"] for entry in self.logs(made, name) if "textPayload" in entry]

    def order(self, *rules: dict[str, Any]) -> None:
        answer = self._session.post(f"{self.cloud.apis}/_emulator/batch/faults", json=list(rules), timeout=30)
        assert answer.status_code == 200, answer.text

    def clear_faults(self) -> None:
        self._session.delete(f"{self.cloud.apis}/_emulator/batch/faults", timeout=30)

    def work_folders(self) -> list[Path]:
        """Return the folders of tasks on disk."""
        return list((self.cloud.state / "batch" / "tasks").glob("*"))


def id_of(made: dict[str, Any]) -> str:
    return made["name"].rsplit("/", 1)[1]


def exit_codes(task: dict[str, Any]) -> list[int]:
    """Return the exit codes in a task's events, in order."""
    events = task["status"].get("statusEvents", [])
    return [event["taskExecution"]["exitCode"] for event in events if "taskExecution" in event]


def says(found: dict[str, Any], text: str) -> bool:
    """Return whether an event of a job or task contains a text."""
    return any(text in event["description"] for event in found["status"].get("statusEvents", []))


def make_secret(jobs, name, value):
    secrets = f"{jobs.cloud.apis}/v1/projects/{PROJECT}/secrets"
    jobs._session.post(f"{secrets}?secretId={name}", json={"replication": {"automatic": {}}}, timeout=10)
    payload = {"payload": {"data": base64.b64encode(value.encode()).decode()}}
    jobs._session.post(f"{secrets}/{name}:addVersion", json=payload, timeout=10).raise_for_status()
    return f"projects/{PROJECT}/secrets/{name}/versions/latest"
