"""Buckets of an emulated cloud that enforces rights, and what a member may do there."""

from dataclasses import dataclass

import requests

from localcloud.members import OWNER, token_of
from localcloud.process import Cloud
from tests.emulated import create_bucket
from tests.localcloud.jobs import PROJECT

ANN, BOB = "user:ann@example.com", "user:bob@example.com"
WRITER, READER = "roles/storage.objectUser", "roles/storage.objectViewer"


@dataclass
class Lab:
    """A bucket with objects a and b, an empty bucket, and requests of any member."""

    cloud: Cloud
    bucket: str
    empty: str

    def ask(self, member: str, method: str, path: str, **more) -> requests.Response:
        headers = {"Authorization": f"Bearer {token_of(member)}", **more.pop("headers", {})}
        path = path.replace("BUCKET", self.bucket).replace("EMPTY", self.empty)
        return requests.request(method, self.cloud.storage + path, headers=headers, timeout=10, **more)

    def must(self, method: str, path: str, **more) -> requests.Response:
        """Ask as the owner."""
        answer = self.ask(OWNER, method, path, **more)
        assert answer.ok, answer.text
        return answer

    def grant(self, *roles: str, member: str = ANN, condition: str = "") -> None:
        """Give a member these roles in the bucket, and nobody any other."""
        limits = {"condition": {"title": "t", "expression": condition}} if condition else {}
        bindings = [{"role": role, "members": [member], **limits} for role in roles]
        self.must("PUT", "/storage/v1/b/BUCKET/iam", json={"version": 3, "bindings": bindings})

    def grant_in_project(self, *roles: str) -> None:
        policy = {"policy": {"bindings": [{"role": role, "members": [ANN]} for role in roles]}}
        url = f"{self.cloud.apis}/v1/projects/{PROJECT}:setIamPolicy"
        headers = {"Authorization": f"Bearer {token_of(OWNER)}"}
        answer = requests.post(url, json=policy, headers=headers, timeout=10)
        assert answer.ok, answer.text

    def forget_questions(self) -> None:
        requests.delete(f"{self.cloud.storage}/_emulator/rights", timeout=10).raise_for_status()

    def asked(self, member: str = ANN) -> set[tuple[str, str]]:
        """Return the permissions and resources that were asked for a member."""
        rows = requests.get(f"{self.cloud.storage}/_emulator/rights", timeout=10).json()["asked"]
        return {(row["permission"], row["resource"]) for row in rows if row["member"] == member}

    def everything(self) -> list:
        """Return all that a request could have changed."""
        paths = [f"/storage/v1/b?project={PROJECT}"]
        for name in ("BUCKET", "EMPTY"):
            paths += [f"/storage/v1/b/{name}/iam", f"/storage/v1/b/{name}/o?versions=true"]
        return [self.must("GET", path).json() for path in paths]

    def begin(self, member: str = OWNER, name: str = "a") -> str:
        """Begin a resumable upload, and return its id."""
        path = f"/upload/storage/v1/b/BUCKET/o?uploadType=resumable&name={name}"
        return self.ask(member, "POST", path).headers["X-GUploader-UploadID"]

    def begin_parts(self) -> str:
        """Begin a multipart upload that has one part, and return its id."""
        text = self.must("POST", "/BUCKET/a?uploads").text
        upload = text.partition("<UploadId>")[2].partition("<")[0]
        self.must("PUT", f"/BUCKET/a?partNumber=1&uploadId={upload}", data=b"part")
        return upload


def storage_lab(cloud: Cloud) -> Lab:
    """Return new buckets, in which nobody but the owner has a role."""
    lab = Lab(cloud, create_bucket(cloud, project=PROJECT), create_bucket(cloud, project=PROJECT))
    for name in ("a", "b"):
        lab.must("POST", f"/upload/storage/v1/b/BUCKET/o?uploadType=media&name={name}", data=name.encode())
    lab.grant_in_project()
    lab.forget_questions()
    return lab
