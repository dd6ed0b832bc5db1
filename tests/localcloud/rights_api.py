"""A cloud that enforces the rights of one project, asked over HTTP and by gcloud as one member or another."""

import os
import subprocess

import requests

from localcloud.environment import client_environment
from localcloud.members import OWNER, token_of
from localcloud.process import Cloud
from tests.needs import need_program

PROJECT, REGION = "p", "us-central1"
RESOURCE = f"/v1/projects/{PROJECT}"
RUN_HOST = f"{REGION}-run.emulated"
SECONDS = 30


class Enforced:
    """The project, its owner, and what other members may do in it."""

    def __init__(self, cloud: Cloud):
        self.cloud = cloud

    def ask(
        self, member: str, method: str, path: str, body=None, host: str = "", at: str = "apis"
    ) -> requests.Response:
        """Ask an API as a member, at the port of storage or at that of all other services."""
        headers = {"Authorization": f"Bearer {token_of(member)}"} | ({"Host": host} if host else {})
        url = getattr(self.cloud, at) + path
        return requests.request(method, url, json=body, headers=headers, timeout=SECONDS)

    def make(self, method: str, path: str, body=None, host: str = "") -> dict:
        """Have the owner ask for what must succeed, and return the answer."""
        answer = self.ask(OWNER, method, path, body, host)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def grant(self, member: str, *roles: str, on: str = RESOURCE, host: str = "") -> None:
        """Have the owner give a member roles on a resource; on a service, by the host of its region."""
        reading = "GET" if host else "POST"  # as each API has it
        policy = self.make(reading, f"{on}:getIamPolicy", host=host)
        bindings = [*policy.get("bindings", []), *({"role": role, "members": [member]} for role in roles)]
        self.make("POST", f"{on}:setIamPolicy", {"policy": policy | {"bindings": bindings}}, host)

    def account(self, name: str) -> str:
        """Make a service account, and return its e-mail."""
        return self.make("POST", f"{RESOURCE}/serviceAccounts", {"accountId": name})["email"]

    def gcloud(self, member: str, *words: str, fails: bool = False) -> str:
        """Run gcloud as a member, and return its output or its error."""
        cloud = self.cloud
        environment = {
            **{name: os.environ[name] for name in ("PATH", "TEST_GCLOUD_SPEED") if name in os.environ},
            "HOME": str(cloud.state),
            "LANG": "C.UTF-8",
            **client_environment(cloud.storage, cloud.apis, cloud.state, PROJECT, member),
        }
        done = subprocess.run(
            [need_program("gcloud"), *words], env=environment, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout


def denied(answer: requests.Response) -> str:
    """Return the permission that was denied; "" if none was."""
    if answer.status_code != 403:
        return ""
    error = answer.json()["error"]
    assert error["status"] == "PERMISSION_DENIED"
    return next(
        each["metadata"]["permission"] for each in error["details"] if "permission" in each["metadata"]
    )
