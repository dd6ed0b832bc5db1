"""A cloud that enforces rights, asked by its owner: accounts, their roles, and what they were asked for."""

import base64
import json
from itertools import count

import requests

from localcloud.process import Cloud
from tests.emulated import create_bucket, post, request
from tests.localcloud.jobs import LOCATION, PROJECT, Jobs, job
from tests.localcloud.workflow_api import logged, wait_until

numbers = count(1)


class Governed:
    """A cloud that enforces rights, asked by its owner."""

    def __init__(self, cloud: Cloud):
        self.cloud, self.jobs = cloud, Jobs(cloud)

    def api(self, method: str, path: str, headers=(), **more):
        headers = {"Authorization": "Bearer any", **dict(headers)}
        return requests.request(method, self.cloud.apis + path, headers=headers, timeout=10, **more)

    def account(self, *roles: str) -> str:
        """Return the e-mail of a new account that has these roles on the project."""
        name = f"account-{next(numbers)}"
        email = post(f"{self.cloud.apis}/v1/projects/{PROJECT}/serviceAccounts", {"accountId": name})["email"]
        self.grant(email, *roles)
        return email

    def grant(self, email: str, *roles: str) -> None:
        """Give an account roles on the project, beside those that it has."""
        place = f"{self.cloud.apis}/v1/projects/{PROJECT}"
        policy = post(f"{place}:getIamPolicy", {})
        added = [{"role": role, "members": [f"serviceAccount:{email}"]} for role in roles]
        policy["bindings"] = [*policy.get("bindings", []), *added]
        post(f"{place}:setIamPolicy", {"policy": policy})

    def grant_on_bucket(self, email: str, role: str, bucket: str) -> None:
        bindings = [{"role": role, "members": [f"serviceAccount:{email}"]}]
        address = f"{self.cloud.storage}/storage/v1/b/{bucket}/iam"
        request("PUT", address, json={"bindings": bindings}).raise_for_status()

    def bucket(self) -> str:
        """Return a bucket with the object in.txt."""
        bucket = create_bucket(self.cloud)
        put(self.cloud, bucket, "in.txt", b"what is in it")
        return bucket

    def asked(self, email: str, permission: str) -> list[tuple[str, list[str]]]:
        """Return the resources on which an account was asked for a permission, each with what allowed it."""
        rows = request("GET", f"{self.cloud.apis}/_emulator/rights").json()["asked"]
        ours = [(f"serviceAccount:{email}", permission) == (r["member"], r["permission"]) for r in rows]
        return [
            (row["resource"], [grant["role"] for grant in row["by"]])
            for row, is_ours in zip(rows, ours, strict=True)
            if is_ours
        ]

    def run_job(self, email: str, *runnables, **more):
        definition = job(*runnables, **more)
        return self.jobs.run({**definition, "allocationPolicy": {"serviceAccount": {"email": email}}})

    def deploy(self, email: str, source: str) -> str:
        name = f"w-{next(numbers)}"
        body = {"sourceContents": source, "serviceAccount": email}
        self.api("POST", f"{LOCATION}/workflows?workflowId={name}", json=body).raise_for_status()
        return f"{LOCATION}/workflows/{name}"

    def execute(self, workflow: str):
        """Run an execution to its end, and return its result."""
        path = "/v1/" + self.api("POST", f"{workflow}/executions", json={}).json()["name"]
        wait_until(lambda: self.api("GET", path).json()["state"] != "ACTIVE")
        ended = self.api("GET", path).json()
        assert ended["state"] == "SUCCEEDED", ended
        return json.loads(ended["result"])

    def build(self, email: str, **fields):
        """Run a build to its end, and return it."""
        steps = [{"name": "gcr.io/cloud-builders/docker", "entrypoint": "bash", "args": ["-c", "echo built"]}]
        body = {
            "steps": steps,
            "serviceAccount": f"projects/{PROJECT}/serviceAccounts/{email}",
            "options": {"logging": "CLOUD_LOGGING_ONLY"},
            **fields,
        }
        builds = f"{LOCATION}/builds"
        path = f"{builds}/{self.api('POST', builds, json=body).json()['metadata']['build']['id']}"
        wait_until(lambda: self.api("GET", path).json()["status"] not in ("QUEUED", "WORKING"))
        return self.api("GET", path).json()

    def lines(self, build) -> list[str]:
        entries = logged(self.api, f'logName="projects/{PROJECT}/logs/cloudbuild"')
        return [
            each["textPayload"] for each in entries if each["resource"]["labels"]["build_id"] == build["id"]
        ]


def put(cloud: Cloud, bucket: str, name: str, data: bytes) -> None:
    address = f"{cloud.storage}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}"
    request("POST", address, data=data).raise_for_status()


def assertion(email: str, **claims) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()) for each in ({}, {"iss": email, **claims})]
    return b".".join([*parts, b"signature"]).decode()


def make_agents(cloud: Cloud) -> None:
    """Have Google's own accounts made, as gcloud does it before it gives them roles."""
    request("GET", f"{cloud.storage}/storage/v1/projects/{PROJECT}/serviceAccount").raise_for_status()
    services = f"{cloud.apis}/v1beta1/projects/{PROJECT}/services"
    post(f"{services}/eventarc.googleapis.com:generateServiceIdentity", {})
