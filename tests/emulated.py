"""What tests put into an emulated cloud before they begin: a bucket, a secret, a repository, faults."""

import base64
import json
import subprocess
from itertools import count
from pathlib import Path

import requests

from localcloud.process import Cloud

_numbers = count(1)


def request(method: str, url: str, **more) -> requests.Response:
    """Ask with a token, as every program does."""
    return requests.request(method, url, headers={"Authorization": "Bearer any"}, timeout=10, **more)


def post(url: str, body) -> dict:
    answer = request("POST", url, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def create_bucket(cloud: Cloud, name: str = "", project: str = "p", is_uniform: bool = True) -> str:
    """Create a bucket, with uniform access as the stages need it, and return its name."""
    name = name or f"forecasts-{next(_numbers)}"
    access = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}} if is_uniform else {}
    post(f"{cloud.storage}/storage/v1/b?project={project}", {"name": name, **access})
    return name


def add_secret(cloud: Cloud, value: str, name: str = "", project: str = "p") -> str:
    name = name or f"pat-{next(_numbers)}"
    secrets = f"{cloud.apis}/v1/projects/{project}/secrets"
    post(f"{secrets}?secretId={name}", {"replication": {"automatic": {}}})
    data = base64.b64encode(value.encode()).decode()
    post(f"{secrets}/{name}:addVersion", {"payload": {"data": data}})
    return name


def add_image(cloud: Cloud, name: str, digest: str) -> None:
    """Put an image where it is named: REGION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG."""
    post(f"{cloud.apis}/_emulator/images", {"image": name, "digest": digest})


def deploy_workflow(cloud: Cloud, name: str, source: str, project: str = "p", **fields) -> None:
    place = f"{cloud.apis}/v1/projects/{project}/locations/us-central1"
    post(f"{place}/workflows?workflowId={name}", {"sourceContents": source, **fields})


def write_service_account_key(path: Path, token_uri: str, email: str = "a@p.iam.gserviceaccount.com") -> Path:
    """Write a key that only an emulator accepts, and return its path."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": private_key.decode(),
        "client_email": email,
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(key))
    return path


def offer_repository(cloud: Cloud, name: str, path: Path, token: str = "") -> None:
    post(f"{cloud.apis}/_emulator/git", {"repository": name, "path": str(path), "token": token})


def order_faults(cloud: Cloud, *rules: dict) -> None:
    post(f"{cloud.apis}/_emulator/faults", list(rules))


def order_batch_faults(cloud: Cloud, *rules: dict) -> None:
    post(f"{cloud.apis}/_emulator/batch/faults", list(rules))


def clear_batch_faults(cloud: Cloud) -> None:
    request("DELETE", f"{cloud.apis}/_emulator/batch/faults")


def object_of(cloud: Cloud, bucket: str, name: str) -> bytes:
    quoted = requests.utils.quote(name, safe="")
    answer = request("GET", f"{cloud.storage}/storage/v1/b/{bucket}/o/{quoted}?alt=media")
    assert answer.status_code == 200, answer.text
    return answer.content


def names_in(cloud: Cloud, bucket: str, prefix: str = "") -> list[str]:
    listed = request("GET", f"{cloud.storage}/storage/v1/b/{bucket}/o?prefix={prefix}").json()
    return [item["name"] for item in listed.get("items", [])]


def git(folder: Path, *words: str) -> str:
    """Run git on a repository with an identity of its own, and return what it prints."""
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit_all(folder: Path, message: str) -> str:
    """Commit all that is in a folder, and return the commit."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")
