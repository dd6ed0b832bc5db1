"""Blueprints, and a client of the emulated Infrastructure Manager that applies them."""

import io
import time
import zipfile
from itertools import count
from typing import Any
from urllib.parse import quote

import requests

from localcloud.process import Cloud
from tests.emulated import create_bucket, post, request

PROJECT, LOCATION = "p", "us-central1"
PLACE = f"/v1/projects/{PROJECT}/locations/{LOCATION}"
EMAIL = f"infra-manager@{PROJECT}.iam.gserviceaccount.com"
ACCOUNT = f"projects/{PROJECT}/serviceAccounts/{EMAIL}"
MAIN = """
terraform {
  required_version = ">= 1.3"
}

variable "project_id" {
  type = string
}

variable "instances" {
  type    = number
  default = 3
}
"""
INPUTS = {"project_id": "my-lab"}
_numbers = count(1)


class Infra:
    """Deployments in one emulated cloud, with an account that may apply blueprints."""

    def __init__(self, cloud: Cloud):
        self.cloud = cloud
        self.bucket = create_bucket(cloud, f"blueprints-{next(_numbers)}")
        post(f"{cloud.apis}/v1/projects/{PROJECT}/serviceAccounts", {"accountId": "infra-manager"})
        self.allow("roles/config.agent")

    def allow(self, *roles: str) -> None:
        """Give the account these roles on the project, and no other."""
        bindings = [{"role": role, "members": [f"serviceAccount:{EMAIL}"]} for role in roles]
        policy = {"policy": {"bindings": bindings}}
        post(f"{self.cloud.apis}/v1/projects/{PROJECT}:setIamPolicy", policy)

    def upload(self, files: dict[str, str | bytes]) -> str:
        """Store a blueprint in a folder of its own, and return its address."""
        folder = f"blueprint-{next(_numbers)}"
        for name, content in files.items():
            self.put(f"{folder}/{name}", content)
        return f"gs://{self.bucket}/{folder}"

    def put(self, name: str, content: str | bytes) -> str:
        data = content.encode() if isinstance(content, str) else content
        path = f"{self.cloud.storage}/upload/storage/v1/b/{self.bucket}/o?uploadType=media"
        answer = request("POST", f"{path}&name={quote(name, safe='')}", data=data)
        assert answer.status_code == 200, answer.text
        return f"gs://{self.bucket}/{name}"

    def ask(self, method: str, path: str, **more) -> requests.Response:
        return request(method, f"{self.cloud.apis}{PLACE}{path}", **more)

    def begin(self, name: str, source: str, inputs: dict[str, Any], **settings: Any) -> requests.Response:
        """Create a deployment, or change it if it is there; return the answer."""
        body = described(source, inputs, **settings)
        is_there = self.ask("GET", f"/deployments/{name}").ok
        if is_there:
            return self.ask("PATCH", f"/deployments/{name}", json=body)
        return self.ask("POST", f"/deployments?deploymentId={name}", json=body)

    def apply(
        self, files: dict[str, str | bytes], inputs: dict[str, Any] = INPUTS, name: str = "", **settings: Any
    ) -> dict[str, Any]:
        """Apply a blueprint to its end, and return the deployment."""
        name = name or f"lane-{next(_numbers)}"
        return self.ended(self.begin(name, self.upload(files), inputs, **settings))

    def ended(self, answer: requests.Response) -> dict[str, Any]:
        """Wait for an operation, and return its response, or its error."""
        assert answer.status_code == 200, answer.text
        operation = self.wait(answer.json()["name"])
        return operation.get("response") or operation["error"]

    def wait(self, operation: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while True:
            found = request("GET", f"{self.cloud.apis}/v1/{operation}").json()
            if found["done"] or time.monotonic() > deadline:
                return found
            time.sleep(0.01)


def described(source: str, inputs: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Return a deployment as gcloud sends it."""
    values = {name: {"inputValue": value} for name, value in inputs.items()}
    blueprint = {"gcsSource": source, "inputValues": values}
    return {"serviceAccount": ACCOUNT, "terraformBlueprint": blueprint, **settings}


def archive_of(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()
