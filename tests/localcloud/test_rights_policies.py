"""Policies in a cloud that enforces them: what they allow, and the refusal of what cannot be enforced."""

import pytest
import requests

from localcloud.members import OWNER, token_of
from localcloud.process import running
from localcloud.projects import PROJECT_NUMBER
from tests.emulated import create_bucket

PROJECT = "my-lab"
ANN = "user:ann@my-lab.example"
VIEWER = "roles/browser"
PAST, FUTURE = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def enforced(tmp_path_factory):
    """Return an emulator that enforces the rights of a project."""
    with running(tmp_path_factory.mktemp("enforced"), "--rights-of", PROJECT) as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def without_policies(enforced):
    """Empty the emulator after each test."""
    yield
    requests.post(f"{enforced.apis}/_emulator/reset", timeout=10).raise_for_status()


def ask(cloud, method: str, path: str, member: str = OWNER, **more) -> requests.Response:
    headers = {"Authorization": f"Bearer {token_of(member)}"}
    url = f"{cloud.apis}/v1/projects/{PROJECT}{path}"
    return requests.request(method, url, headers=headers, timeout=10, **more)


def grant(cloud, role: str, member: str = ANN, condition: str = "") -> requests.Response:
    """Replace the project's policy by one with a single binding."""
    binding = {"role": role, "members": [member]}
    if condition:
        binding["condition"] = {"title": "sometimes", "expression": condition}
    return ask(cloud, "POST", ":setIamPolicy", json={"policy": {"version": 3, "bindings": [binding]}})


def roles_in(cloud) -> list[str]:
    policy = ask(cloud, "POST", ":getIamPolicy", json={}).json()
    return [each["role"] for each in policy.get("bindings", [])]


def sees_the_project(cloud, member: str = ANN) -> bool:
    answer = ask(cloud, "GET", "", member)
    assert answer.status_code in (200, 403), answer.text
    return answer.status_code == 200


def test_a_role_allows_what_the_table_says(enforced):
    assert not sees_the_project(enforced)

    assert grant(enforced, VIEWER).status_code == 200
    assert sees_the_project(enforced)
    assert ask(enforced, "POST", ":setIamPolicy", ANN, json={"policy": {}}).status_code == 403
    assert roles_in(enforced) == [VIEWER]


@pytest.mark.parametrize(
    ("condition", "is_allowed"),
    [
        (f'request.time < timestamp("{FUTURE}")', True),
        (f'request.time < timestamp("{PAST}")', False),
        (f'request.time > timestamp("{PAST}") && request.time < timestamp("{FUTURE}")', True),
        ('resource.type == "cloudresourcemanager.googleapis.com/Project"', True),
        ('resource.type == "storage.googleapis.com/Object"', False),
        ('resource.name.startsWith("projects/")', False),  # a project does not provide its name
    ],
)
def test_a_role_with_a_condition_allows_it_while_the_condition_holds(enforced, condition, is_allowed):
    assert grant(enforced, VIEWER, condition=condition).status_code == 200

    assert sees_the_project(enforced) is is_allowed


@pytest.mark.parametrize(
    ("role", "member", "condition", "why"),
    [
        ("roles/made.up", ANN, "", "localcloud does not know what roles/made.up allows"),
        (VIEWER, ANN, "resource.name.extract('{a}') == 'b'", "does not emulate resource.name.extract"),
        (VIEWER, ANN, "true &&", "the condition 'true &&' cannot be read: it ends too early"),
        ("roles/viewer", ANN, "true", "a basic role such as roles/viewer may have no condition"),
        (VIEWER, "allUsers", "true", "a role of allUsers may have no condition"),
    ],
)
def test_a_policy_that_cannot_be_enforced_is_refused_and_changes_nothing(
    enforced, role, member, condition, why
):
    assert grant(enforced, VIEWER).status_code == 200

    answer = grant(enforced, role, member, condition)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(f"The binding of {role} is refused: ")
    assert why in answer.json()["error"]["message"]
    assert roles_in(enforced) == [VIEWER]


def test_an_emulator_that_enforces_nothing_keeps_any_policy(cloud):
    assert grant(cloud, "roles/made.up", condition="true &&").status_code == 200
    assert roles_in(cloud) == ["roles/made.up"]


def test_an_automatic_grant_is_on_the_record(enforced):
    processes = f"serviceAccount:{PROJECT_NUMBER}@cloudservices.gserviceaccount.com"
    requests.delete(f"{enforced.apis}/_emulator/rights", timeout=10).raise_for_status()

    assert sees_the_project(enforced, processes)

    record = requests.get(f"{enforced.apis}/_emulator/rights", timeout=10).json()["asked"]
    granted = {"holder": f"projects/{PROJECT}", "role": "roles/editor", "member": processes, "condition": ""}
    assert record == [
        {
            "member": processes,
            "permission": "resourcemanager.projects.get",
            "resource": f"projects/{PROJECT}",
            "by": [granted],
        }
    ]


# -- members who stand for others

WHO_KNOWS = ["group:g@my-lab.example", "domain:my-lab.example", "principalSet://iam.googleapis.com/pools/p/*"]
NOBODY = "no effect here, since its members are not known"


@pytest.mark.parametrize("everybody", ["allUsers", "allAuthenticatedUsers"])
def test_what_everybody_may_each_may(enforced, everybody):
    before = sees_the_project(enforced)

    grant(enforced, VIEWER, everybody).raise_for_status()

    assert not before
    assert sees_the_project(enforced)


@pytest.mark.parametrize("member", WHO_KNOWS)
def test_a_member_who_stands_for_unknown_others_is_kept_and_counts_for_nobody(enforced, member):
    grant(enforced, VIEWER, member).raise_for_status()

    assert roles_in(enforced) == [VIEWER]
    assert not sees_the_project(enforced)


def test_the_emulator_says_once_which_members_of_a_policy_count_for_nobody(tmp_path, capfd):
    def put(cloud, *members):
        binding = {"role": "roles/storage.objectViewer", "members": [ANN, "allUsers", *members]}
        url = f"{cloud.storage}/storage/v1/b/kept-bucket/iam"
        requests.put(url, json={"bindings": [binding]}, timeout=10).raise_for_status()

    with running(tmp_path) as cloud:
        create_bucket(cloud, "kept-bucket")
        put(cloud, WHO_KNOWS[0])
    with_nothing_enforced = capfd.readouterr().err
    with running(tmp_path, "--rights-of", PROJECT) as cloud:
        put(cloud, *WHO_KNOWS)
        put(cloud, *WHO_KNOWS)
        grant(cloud, VIEWER, WHO_KNOWS[1]).raise_for_status()

    assert with_nothing_enforced == ""
    assert capfd.readouterr().err.splitlines() == [
        f"localcloud: {WHO_KNOWS[0]}: {NOBODY}",  # which was kept
        f"localcloud: {WHO_KNOWS[1]}, {WHO_KNOWS[2]}: {NOBODY}",
        f"localcloud: {WHO_KNOWS[1]}: {NOBODY}",
    ]
