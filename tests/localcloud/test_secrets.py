"""The emulated Secret Manager with the real gcloud and the real client library."""

import pytest
import requests
from google.api_core import exceptions
from google.cloud import secretmanager
from google.oauth2.credentials import Credentials

from tests.emulated import add_secret
from tests.localcloud.jobs import PROJECT, numbers


@pytest.fixture(scope="module")
def client(cloud):
    return secretmanager.SecretManagerServiceClient(
        transport="rest",
        credentials=Credentials("any"),
        client_options={"api_endpoint": cloud.apis},
    )


@pytest.fixture
def secret(cloud):
    """Return the name of a secret with one version."""
    return add_secret(cloud, "first", f"secret-{next(numbers)}")


def path(secret, version="latest"):
    return f"projects/{PROJECT}/secrets/{secret}/versions/{version}"


def test_gcloud_and_the_client_read_the_same_secret(run_gcloud, client):
    secret = f"secret-{next(numbers)}"
    run_gcloud("secrets", "create", secret, "--replication-policy=automatic")
    run_gcloud("secrets", "versions", "add", secret, "--data-file=-", stdin="first")
    run_gcloud("secrets", "versions", "add", secret, "--data-file=-", stdin="second")

    newest = client.access_secret_version(name=path(secret)).payload.data
    first = client.access_secret_version(name=path(secret, "1")).payload.data

    assert (newest, first) == (b"second", b"first")
    assert run_gcloud("secrets", "versions", "access", "latest", f"--secret={secret}") == "second"
    assert secret in run_gcloud("secrets", "list")


def test_a_version_that_is_disabled_or_destroyed_is_not_read(secret, run_gcloud, client):
    run_gcloud("secrets", "versions", "disable", "1", f"--secret={secret}")
    with pytest.raises(exceptions.BadRequest, match="DISABLED"):
        client.access_secret_version(name=path(secret))

    run_gcloud("secrets", "versions", "enable", "1", f"--secret={secret}")
    assert client.access_secret_version(name=path(secret)).payload.data == b"first"

    run_gcloud("secrets", "versions", "destroy", "1", f"--secret={secret}")
    with pytest.raises(exceptions.BadRequest, match="DESTROYED"):
        client.access_secret_version(name=path(secret))


def test_what_does_not_exist_is_not_found(secret, client, run_gcloud):
    for name in (path("nothing"), path(secret, "7")):
        with pytest.raises(exceptions.NotFound):
            client.access_secret_version(name=name)

    assert "NOT_FOUND" in run_gcloud("secrets", "describe", "nothing", fails=True)


def test_a_secret_is_created_once_and_gone_when_deleted(secret, run_gcloud, client):
    again = run_gcloud("secrets", "create", secret, "--replication-policy=automatic", fails=True)
    run_gcloud("secrets", "delete", secret)

    assert "already exists" in again
    with pytest.raises(exceptions.NotFound):
        client.access_secret_version(name=path(secret))


def test_a_damaged_payload_is_refused(secret, client):
    payload = secretmanager.SecretPayload(data=b"third", data_crc32c=1)

    with pytest.raises(exceptions.BadRequest, match="corrupted"):
        client.add_secret_version(parent=path(secret).partition("/versions")[0], payload=payload)


def test_access_can_be_denied_by_a_fault(secret, cloud, api, client):
    rule = {"path": f"secrets/{secret}/versions/latest:access", "status": 403, "message": "denied"}
    api("POST", "/_emulator/faults", json=[rule])

    with pytest.raises(exceptions.Forbidden, match="denied"):
        client.access_secret_version(name=path(secret))

    api("DELETE", "/_emulator/faults")


def test_a_request_without_a_token_is_refused(secret, cloud):
    answer = requests.get(f"{cloud.apis}/v1/{path(secret)}:access", timeout=10)

    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("verb", "body"),
    [("addVersion", {"payload": "x"}), ("addVersion", {}), ("setIamPolicy", {"policy": ["x"]})],
)
def test_an_invalid_payload_or_policy_is_refused(api, verb, body):
    api("POST", "/v1/projects/p/secrets?secretId=odd", json={"replication": {"automatic": {}}})

    answer = api("POST", f"/v1/projects/p/secrets/odd:{verb}", json=body)

    assert answer.status_code == 400
    assert "is required" in answer.json()["error"]["message"]
