"""Ways around a denial: names in another spelling, uploads of others, and tokens of whoever cannot ask."""

import subprocess
import sys

import pytest
import requests

from localcloud.members import OWNER, token_of
from localcloud.process import running
from localcloud.rights.resources import PROJECT_NUMBER
from tests.emulated import create_bucket
from tests.experiments import REPOSITORY
from tests.localcloud.governed import assertion
from tests.localcloud.jobs import PROJECT
from tests.localcloud.storage_lab import ANN, READER, WRITER

OBJECT = "/storage/v1/b/BUCKET/o/a?alt=media"
PARTS = "<Parts><Part><PartNumber>1</PartNumber></Part></Parts>"


def api(lab, method, path, member=OWNER, **more) -> requests.Response:
    headers = {"Authorization": f"Bearer {token_of(member)}"}
    return requests.request(method, lab.cloud.apis + path, headers=headers, timeout=10, **more)


@pytest.fixture
def account(lab):
    """Return an account that may read the objects of the bucket."""
    accounts = f"/v1/projects/{PROJECT}/serviceAccounts"
    email = f"reader@{PROJECT}.iam.gserviceaccount.com"
    api(lab, "POST", accounts, json={"accountId": "reader"})
    lab.grant(READER, member=f"serviceAccount:{email}")
    yield email
    api(lab, "DELETE", f"{accounts}/{email}")


def spellings(email: str) -> list[str]:
    """Return how a token may name an account, whose address has no case."""
    upper = email.replace("@p.", "@P.").replace("reader", "Reader")
    return [f"serviceAccount:{email}", f"serviceAccount:{upper}", f"SERVICEACCOUNT:{email}"]


def test_an_account_in_any_spelling_is_the_account_also_when_it_is_disabled(lab, account):
    for name in spellings(account):
        assert lab.ask(name, "GET", OBJECT).status_code == 200, name
    assert lab.asked(f"serviceAccount:{account}")

    api(lab, "POST", f"/v1/projects/{PROJECT}/serviceAccounts/{account}:disable").raise_for_status()

    for name in spellings(account):
        assert lab.ask(name, "GET", OBJECT).status_code == 401, name


def test_a_member_has_one_door_in_any_spelling(lab):
    doors = [
        requests.post(f"{lab.cloud.apis}/_emulator/doors", json={"member": name}, timeout=10).json()
        for name in (ANN, "user:Ann@Example.com", "USER:ANN@EXAMPLE.COM")
    ]

    assert doors[0] == doors[1] == doors[2]


@pytest.mark.parametrize(
    "name", [f"projectOwner:{PROJECT}", f"projectEditor:{PROJECT}", "allUsers", "group:g@example.com", "ann"]
)
def test_what_only_policies_name_cannot_ask(lab, name):
    answer = lab.ask(name, "GET", OBJECT)

    assert answer.status_code == 401
    assert f"{name} is neither a person nor an account" in answer.json()["error"]["message"]


@pytest.mark.parametrize("header", ["bearer\t{}", "BEARER   {}", "Bearer \t{}"])
def test_a_token_is_read_after_any_space(lab, header):
    headers = {"Authorization": header.format(token_of(ANN))}

    assert lab.ask(ANN, "GET", OBJECT, headers=headers).status_code == 403


@pytest.mark.parametrize("issuer", ["owner@example.com", "", None, ["x"], "allUsers"])
def test_only_accounts_exchange_a_key_for_a_token(lab, issuer):
    answer = requests.post(f"{lab.cloud.apis}/token", data={"assertion": assertion(issuer)}, timeout=10)

    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"


def test_a_key_of_an_account_in_upper_case_is_its_own(lab, account):
    data = {"assertion": assertion(account.upper())}

    token = requests.post(f"{lab.cloud.apis}/token", data=data, timeout=10).json()["access_token"]

    assert token == token_of(f"serviceAccount:{account}")


@pytest.mark.parametrize("name", ["b", "a/b"])
def test_the_parts_of_an_upload_belong_to_its_object_alone(lab, name):
    upload = lab.begin_parts()
    lab.grant(WRITER)
    elsewhere = f"/BUCKET/{name}?uploadId={upload}"

    answers = [
        lab.ask(ANN, "PUT", f"{elsewhere}&partNumber=1", data=b"other"),
        lab.ask(ANN, "POST", elsewhere, data=PARTS),
        lab.ask(ANN, "DELETE", elsewhere),
        lab.ask(ANN, "PUT", f"/upload/storage/v1/b/BUCKET/o?upload_id={upload}", data=b"other"),
        lab.ask(ANN, "DELETE", f"/upload/storage/v1/b/BUCKET/o?upload_id={upload}"),
        lab.ask(ANN, "DELETE", f"/BUCKET/a?uploadId={lab.begin()}"),
    ]

    assert [each.status_code for each in answers] == [404] * 6
    lab.must("POST", f"/BUCKET/a?uploadId={upload}", data=PARTS)
    assert lab.must("GET", OBJECT).content == b"part"


def test_a_condition_sees_the_name_of_an_object_as_it_is_also_if_it_looks_like_a_project(lab):
    lab.must("POST", "/upload/storage/v1/b/BUCKET/o?uploadType=media&name=runs/projects/flu/x", data=b"x")
    prefix = f"projects/_/buckets/{lab.bucket}/objects/runs/projects/flu/"
    lab.grant(READER, condition=f'resource.name.startsWith("{prefix}")')

    assert lab.ask(ANN, "GET", "/storage/v1/b/BUCKET/o/runs%2Fprojects%2Fflu%2Fx").status_code == 200


def test_a_policy_that_is_set_by_the_number_of_the_project_is_its_policy(lab):
    binding = {"role": "roles/workflows.viewer", "members": [ANN]}
    place = f"/v1/projects/{PROJECT_NUMBER}"

    api(lab, "POST", f"{place}:setIamPolicy", json={"policy": {"bindings": [binding]}}).raise_for_status()

    for project in (PROJECT, PROJECT_NUMBER):
        assert api(lab, "POST", f"/v1/projects/{project}:getIamPolicy").json()["bindings"] == [binding]
        workflows = f"/v1/projects/{project}/locations/us-central1/workflows"
        assert api(lab, "GET", workflows, ANN).status_code == 200


@pytest.mark.parametrize("path", ["/secrets", "/secrets/theirs", "", "/locations/us-central1%2Fx/workflows"])
def test_a_resource_of_ones_own_is_no_project(lab, path):
    secrets = f"/v1/projects/{PROJECT}/secrets"
    api(lab, "POST", f"{secrets}?secretId=mine", json={"replication": {"automatic": {}}})
    policy = {"bindings": [{"role": "roles/secretmanager.admin", "members": [ANN]}]}
    api(lab, "POST", f"{secrets}/mine:setIamPolicy", json={"policy": policy}).raise_for_status()

    answer = api(lab, "GET", f"/v1/projects/{PROJECT}%2Fsecrets%2Fmine{path}", ANN)

    assert answer.status_code == 400
    assert "Invalid " in answer.json()["error"]["message"]


def test_a_policy_that_nobody_can_enforce_is_named_before_anything_is_enforced(tmp_path):
    binding = {"role": "roles/storage.objectMystery", "members": ["allUsers"]}
    with running(tmp_path) as cloud:
        create_bucket(cloud, "kept-bucket")
        policy = f"{cloud.storage}/storage/v1/b/kept-bucket/iam"
        requests.put(policy, json={"bindings": [binding]}, timeout=10).raise_for_status()

    words = [sys.executable, "-m", "localcloud", "--state", str(tmp_path), "--rights-of", PROJECT]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=REPOSITORY)

    assert ended.returncode == 2
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1
    assert (
        "gs://kept-bucket was kept with a policy that cannot be enforced: The binding of roles/st" in lines[0]
    )
