"""Runs of the pipeline's own workflow on an emulated cloud: deployed as by Terraform, started, looked at."""

import json
import time
from pathlib import Path
from typing import Any

from localcloud.process import Cloud
from tests.emulated import clear_batch_faults, names_in, order_batch_faults, request

REPOSITORY = Path(__file__).resolve().parents[1]
WORKFLOW = REPOSITORY / "terraform" / "workflow.yaml"
PROJECT, REGION = "my-lab-forecasts", "us-central1"
LOCATION = f"/v1/projects/{PROJECT}/locations/{REGION}"
RUN_ID = "20260131-120000-0a1b2c3d"
WAIT_SECONDS = 120
STAGES = {
    "builder": {"cpuMilli": 2000, "memoryMib": 7168, "machineType": "c4d-standard-2", "maxRunSeconds": 3600},
    "runner": {"cpuMilli": 2000, "memoryMib": 4096, "machineType": "", "maxRunSeconds": 36000},
    "output": {"cpuMilli": 4000, "memoryMib": 15360, "machineType": "c4d-standard-4", "maxRunSeconds": 7200},
}


class Pipeline:
    """The workflow on a cloud with one bucket."""

    def __init__(self, cloud: Cloud, bucket: str, name: str = ""):
        self.cloud, self.bucket, self.name = cloud, bucket, name or f"pipeline-{time.monotonic_ns()}"

    @classmethod
    def deployed(cls, cloud: Cloud, bucket: str, name: str = "") -> "Pipeline":
        """Deploy the workflow under a name, or one that no other test uses."""
        pipeline = cls(cloud, bucket, name)
        variables = {
            "BUCKET_NAME": bucket,
            "IMAGE_URI": f"{REGION}-docker.pkg.dev/{PROJECT}/repo/epymodelingsuite@sha256:{'0' * 64}",
            "BATCH_SERVICE_ACCOUNT": f"batch@{PROJECT}.iam.gserviceaccount.com",
            "BUILDER_SERVICE_ACCOUNT": f"builder@{PROJECT}.iam.gserviceaccount.com",
            "NETWORK": f"projects/{PROJECT}/global/networks/epymodelingsuite",
            "SUBNETWORK": f"projects/{PROJECT}/regions/{REGION}/subnetworks/epymodelingsuite",
            "STAGES": json.dumps(STAGES),
            "HYPERDISK_FAMILIES": json.dumps(["c4", "c4a", "c4d", "n4"]),
            "LABELS": json.dumps({"environment": "test"}),
        }
        body = {"sourceContents": WORKFLOW.read_text(), "userEnvVars": variables}
        done = pipeline.api("POST", f"/workflows?workflowId={pipeline.name}", json=body)
        assert done.get("done"), done
        return pipeline

    def api(self, method: str, path: str, **more: Any) -> Any:
        answer = request(method, f"{self.cloud.apis}{LOCATION}{path}", **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def start(self, exp_id: str = "trial", **arguments: Any) -> str:
        """Begin an execution and return its id."""
        body = {"argument": json.dumps({"exp_id": exp_id, **arguments})}
        return self.api("POST", f"/workflows/{self.name}/executions", json=body)["name"].rpartition("/")[2]

    def execution(self, name: str) -> dict[str, Any]:
        return self.api("GET", f"/workflows/{self.name}/executions/{name}")

    def wait(self, name: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Return an execution once it has ended."""
        deadline = time.monotonic() + seconds
        while (found := self.execution(name))["state"] in ("ACTIVE", "QUEUED"):
            assert time.monotonic() < deadline, self.steps(name)["steps"][-5:]
            time.sleep(0.02)
        return found

    def run(self, **arguments: Any) -> dict[str, Any]:
        """Run to the end and return what the workflow returns."""
        ended = self.wait(self.start(**arguments))
        assert ended["state"] == "SUCCEEDED", ended.get("error")
        return json.loads(ended["result"])

    def fail(self, **arguments: Any) -> dict[str, Any]:
        """Run to an end that must be an error, and return it as the workflow raised it."""
        return self.error(self.start(**arguments))

    def error(self, name: str) -> dict[str, Any]:
        ended = self.wait(name)
        assert ended["state"] == "FAILED", ended
        return json.loads(ended["error"]["payload"])

    def cancel(self, name: str) -> None:
        self.api("POST", f"/workflows/{self.name}/executions/{name}:cancel", json={})

    def steps(self, name: str) -> dict[str, Any]:
        """Return the newest steps of an execution and the most memory it took."""
        return request("GET", f"{self.cloud.apis}/_emulator/executions/{name}/steps").json()

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Return all jobs by their ids."""
        listed = self.api("GET", "/jobs?pageSize=1000").get("jobs", [])
        return {job["name"].rpartition("/")[2]: job for job in listed}

    def job(self, job_id: str) -> dict[str, Any]:
        return self.api("GET", f"/jobs/{job_id}")

    def exit_codes(self, job: dict[str, Any], index: int) -> list[int]:
        """Return with what each attempt of a task ended, the first first."""
        path = job["name"].partition(LOCATION.removeprefix("/v1/"))[2]
        events = self.api("GET", f"{path}/taskGroups/group0/tasks/{index}")["status"]["statusEvents"]
        return [event["taskExecution"]["exitCode"] for event in events if "taskExecution" in event]

    def log(self, text: str) -> list[dict[str, Any]]:
        """Return the structured lines the workflow wrote that match a filter, oldest first."""
        asked = {"resourceNames": [f"projects/{PROJECT}"], "filter": text, "pageSize": 1000}
        answer = request("POST", f"{self.cloud.apis}/v2/entries:list", json=asked)
        assert answer.status_code == 200, answer.text
        return answer.json().get("entries", [])

    def order(self, *rules: dict[str, Any]) -> None:
        """Order faults of Batch."""
        order_batch_faults(self.cloud, *rules)

    def clear_faults(self) -> None:
        clear_batch_faults(self.cloud)
        request("DELETE", f"{self.cloud.apis}/_emulator/faults")

    def put(self, name: str, body: Any) -> None:
        upload = f"{self.cloud.storage}/upload/storage/v1/b/{self.bucket}/o?uploadType=media"
        answer = request("POST", upload, params={"name": name}, json=body)
        assert answer.status_code == 200, answer.text

    def put_manifest(
        self,
        pending: int,
        run_id: str = RUN_ID,
        per_task: int = 1,
        pending_file: str = "pending-1a2b3c4d.txt",
        **more: Any,
    ) -> None:
        """Write the manifest that stage A would; for tasks that are nothing."""
        manifest = {
            "num_workloads": pending,
            "num_pending": pending,
            "workloads_per_task": per_task,
            "task_count": -(-pending // per_task),
            "pending": pending_file,
        }
        self.put(f"trial/{run_id}/builder-artifacts/manifest.json", manifest | more)

    def put_claim(self, execution: str, run_id: str = RUN_ID) -> None:
        """Write what an execution does that begins a run."""
        self.put(f"trial/{run_id}/execution.json", {"execution": execution})

    def is_claimed(self, run_id: str = RUN_ID) -> bool:
        return f"trial/{run_id}/execution.json" in names_in(self.cloud, self.bucket, f"trial/{run_id}/")
