"""Policies that count late: `--iam-delay` of `python -m localcloud`, by the services' clock.

No test measures time: a delay either outlasts all of them, or they ask until it is over. A policy that counts
although the delay is long is that of a bucket, which an emulator kept that was stopped.
"""

import subprocess
import sys

import pytest

from localcloud.members import OWNER
from localcloud.process import running
from tests.emulated import add_image
from tests.localcloud.rights_api import PROJECT, REGION, RESOURCE, RUN_HOST, Enforced, denied
from tests.localcloud.run_api import DIGEST, IMAGE, PLACE, service
from tests.localcloud.workflow_api import wait_until

ANN = "user:ann@example.com"
ACCOUNT = f"late-account@{PROJECT}.iam.gserviceaccount.com"
BROWSER, SEES, VIEWER = "roles/browser", "resourcemanager.projects.get", "roles/storage.objectViewer"
LONG = ("--rights-of", PROJECT, "--iam-delay", "36000")
SHORT = ("--rights-of", PROJECT, "--iam-delay", "60", "--clock-speed", "120")
BUCKET = "/storage/v1/b/late"
PLACES = f"{RESOURCE}/locations/{REGION}"


@pytest.fixture(scope="module")
def running_late(tmp_path_factory):
    with running(tmp_path_factory.mktemp("late"), *LONG) as cloud:
        yield Enforced(cloud)


@pytest.fixture(scope="module")
def running_soon(tmp_path_factory):
    with running(tmp_path_factory.mktemp("soon"), *SHORT) as cloud:
        yield Enforced(cloud)


@pytest.fixture
def late(running_late):
    """A cloud in which no change counts before the end of the tests; it is emptied after a test."""
    yield running_late
    running_late.make("POST", "/_emulator/reset")


@pytest.fixture
def soon(running_soon):
    """A cloud in which a change counts after half a second; it is emptied after a test."""
    yield running_soon
    running_soon.make("POST", "/_emulator/reset")


@pytest.fixture
def kept(tmp_path):
    """A cloud in which Ann and an account may list a bucket; no change counts before the end of a test."""
    with running(tmp_path, *LONG) as cloud:
        enforced = Enforced(cloud)
        enforced.account("late-account")
        make_bucket(enforced)
        set_bucket_roles(enforced, ANN, f"serviceAccount:{ACCOUNT}")
        assert not may_list(enforced)
    with running(tmp_path, *LONG) as cloud:
        enforced = Enforced(cloud)
        enforced.account("late-account")
        assert may_list(enforced)
        yield enforced


def may_see(enforced, member: str = ANN) -> bool:
    answer = enforced.ask(member, "GET", RESOURCE)
    assert answer.status_code in (200, 403), answer.text
    return answer.status_code == 200


def shown(enforced, permission: str = SEES, on: str = RESOURCE, host: str = "") -> list[str]:
    answer = enforced.ask(ANN, "POST", f"{on}:testIamPermissions", {"permissions": [permission]}, host)
    assert answer.status_code == 200, answer.text
    return answer.json().get("permissions", [])


def set_roles(enforced, *roles: str) -> None:
    """Replace the project's policy by one with these roles of Ann."""
    bindings = [{"role": role, "members": [ANN]} for role in roles]
    enforced.make("POST", f"{RESOURCE}:setIamPolicy", {"policy": {"bindings": bindings}})


def rows_of_ann(enforced) -> list[dict]:
    return [row for row in enforced.make("GET", "/_emulator/rights")["asked"] if row["member"] == ANN]


def at_storage(enforced, method: str, path: str, body=None, member: str = OWNER) -> int:
    answer = enforced.ask(member, method, path, body, at="storage")
    assert answer.status_code in (200, 204, 403, 409), answer.text
    return answer.status_code


def make_bucket(enforced) -> None:
    assert at_storage(enforced, "POST", f"/storage/v1/b?project={PROJECT}", {"name": "late"}) == 200


def set_bucket_roles(enforced, *viewers: str) -> None:
    """Replace the bucket's policy by one that lets these members list it, and the owner do all."""
    bindings = [{"role": VIEWER, "members": list(viewers)}] if viewers else []
    assert at_storage(enforced, "PUT", f"{BUCKET}/iam", {"bindings": bindings}) == 200


def may_list(enforced, member: str = ANN) -> bool:
    return at_storage(enforced, "GET", f"{BUCKET}/o", member=member) == 200


def test_a_role_that_was_just_given_does_not_count_yet_and_the_record_says_so(late):
    set_roles(late, BROWSER)

    assert denied(late.ask(ANN, "GET", RESOURCE)) == SEES

    assert shown(late) == []
    (row,) = rows_of_ann(late)
    assert row["by"] == []
    assert [each["role"] for each in row["later"]] == [BROWSER]
    bindings = late.make("POST", f"{RESOURCE}:getIamPolicy", {})["bindings"]
    assert bindings == [{"role": BROWSER, "members": [ANN]}]


def test_a_question_that_waited_for_its_role_is_told_from_one_that_was_allowed_at_once(soon):
    set_roles(soon, BROWSER)
    assert not may_see(soon)
    wait_until(lambda: may_see(soon))

    (row,) = rows_of_ann(soon)

    assert [each["role"] for each in row["by"]] == [BROWSER]
    assert row["waited"] is True
    assert "later" not in row
    soon.make("DELETE", "/_emulator/rights")
    assert may_see(soon)
    assert "waited" not in rows_of_ann(soon)[0]


def test_a_denial_that_no_role_will_end_is_not_called_late(late):
    set_roles(late, "roles/logging.logWriter")

    assert not may_see(late)

    assert [row["by"] for row in rows_of_ann(late) if "later" not in row] == [[]]


def test_a_role_counts_once_the_delay_is_over(soon):
    set_roles(soon, BROWSER)

    wait_until(lambda: may_see(soon))

    assert shown(soon) == [SEES]
    (row,) = rows_of_ann(soon)
    assert [each["role"] for each in row["by"]] == [BROWSER]


def test_a_role_that_was_taken_is_gone_once_the_delay_is_over(soon):
    set_roles(soon, BROWSER)
    wait_until(lambda: may_see(soon))

    set_roles(soon)

    wait_until(lambda: not may_see(soon))
    assert shown(soon) == []


def test_a_role_that_was_taken_counts_until_then(kept):
    set_bucket_roles(kept)
    set_bucket_roles(kept, OWNER)

    assert may_list(kept)
    asked = f"{BUCKET}/iam/testPermissions?permissions=storage.objects.list"
    assert kept.ask(ANN, "GET", asked, at="storage").json()["permissions"] == ["storage.objects.list"]


def test_a_policy_that_is_refused_delays_nothing(late):
    wrong = {"policy": {"bindings": [{"role": "no such role", "members": [ANN]}]}}

    assert late.ask(OWNER, "POST", f"{RESOURCE}:setIamPolicy", wrong).status_code == 400

    assert may_see(late, OWNER)
    assert not may_see(late)


def test_roles_that_nobody_writes_down_count_at_once(late):
    make_bucket(late)

    assert may_see(late, OWNER)
    assert may_list(late, OWNER)


@pytest.mark.parametrize(
    ("path", "role", "permission", "host"),
    [
        (f"{RESOURCE}/serviceAccounts/{ACCOUNT}", "iam.serviceAccountUser", "iam.serviceAccounts.actAs", ""),
        (f"{RESOURCE}/secrets/s", "secretmanager.secretAccessor", "secretmanager.versions.access", ""),
        (
            f"{PLACES}/repositories/r",
            "artifactregistry.reader",
            "artifactregistry.repositories.downloadArtifacts",
            "",
        ),
        (f"{PLACES}/services/app", "run.admin", "run.services.get", RUN_HOST),
    ],
    ids=["account", "secret", "repository", "service"],
)
def test_the_policy_of_a_new_resource_counts_late_too(late, soon, path, role, permission, host):
    for enforced in (late, soon):
        make_resources(enforced)
        policy = {"bindings": [{"role": f"roles/{role}", "members": [ANN]}]}
        if host:
            policy["etag"] = enforced.make("GET", f"{path}:getIamPolicy", host=host)["etag"]
        enforced.make("POST", f"{path}:setIamPolicy", {"policy": policy}, host)

    assert shown(late, permission, path, host) == []
    wait_until(lambda: shown(soon, permission, path, host) == [permission])


def make_resources(enforced) -> None:
    """Make an account, a secret, a repository and a service."""
    email = enforced.account("late-account")
    enforced.make("POST", f"{RESOURCE}/secrets?secretId=s", {"replication": {"automatic": {}}})
    enforced.make("POST", f"{PLACES}/repositories?repositoryId=r", {"format": "DOCKER"})
    add_image(enforced.cloud, IMAGE, DIGEST)
    body = service("app")
    body["spec"]["template"]["spec"]["serviceAccountName"] = email
    enforced.make("POST", f"{PLACE}/services", body, RUN_HOST)


def test_a_bucket_that_is_made_again_has_no_roles_of_the_one_before(kept):
    set_bucket_roles(kept)
    assert may_list(kept)

    assert at_storage(kept, "DELETE", BUCKET) == 204
    make_bucket(kept)

    assert not may_list(kept)


def test_a_bucket_whose_deletion_is_refused_keeps_its_delays(kept):
    put = "/upload/storage/v1/b/late/o?uploadType=media&name=o"
    assert at_storage(kept, "POST", put, {}) == 200
    set_bucket_roles(kept)

    assert at_storage(kept, "DELETE", BUCKET) == 409

    assert may_list(kept)


def test_an_account_that_is_made_again_has_no_roles_of_the_one_before(kept):
    set_bucket_roles(kept, ANN)
    assert may_list(kept, f"serviceAccount:{ACCOUNT}")

    kept.make("DELETE", f"{RESOURCE}/serviceAccounts/{ACCOUNT}")
    kept.account("late-account")

    assert not may_list(kept, f"serviceAccount:{ACCOUNT}")
    assert may_list(kept)


def test_emptying_the_record_ends_no_delay(late):
    set_roles(late, BROWSER)

    late.make("DELETE", "/_emulator/rights")

    assert not may_see(late)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--iam-delay", "60"], "--iam-delay: only with --rights-of PROJECT"),
        (["--iam-delay", "-1", "--rights-of", PROJECT], "-1 is negative"),
    ],
    ids=["without rights", "negative"],
)
def test_a_delay_that_means_nothing_is_refused(tmp_path, words, said):
    argv = [sys.executable, "-m", "localcloud", "--state", str(tmp_path), *words]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=30)

    assert ended.returncode == 2
    assert said in ended.stderr
