"""The real gcloud changes IAM policies, makes agents of Google, and finds things by their labels."""

import json

import pytest

from tests.emulated import add_secret

pytestmark = pytest.mark.usefixtures("emptied")
ACCOUNT = "reader@p.iam.gserviceaccount.com"
MEMBER = f"--member=serviceAccount:{ACCOUNT}"
ROLE = "--role=roles/logging.viewer"
WHERE = "--location=us-central1"
POLICY = "/v1/projects/p:setIamPolicy"
BINDING = {"role": "roles/viewer", "members": ["user:a@example.org"]}
AUDITS = [{"service": "storage.googleapis.com", "auditLogConfigs": [{"logType": "DATA_READ"}]}]


@pytest.fixture
def projects(run_gcloud):
    """Return a function that runs gcloud projects."""
    return lambda *words, **more: run_gcloud("projects", *words, **more)


def test_audit_configs_are_kept_and_a_policy_that_was_read_before_is_refused(projects, tmp_path):
    file = tmp_path / "policy.json"
    policy = json.loads(projects("get-iam-policy", "p", "--format=json"))
    file.write_text(json.dumps({**policy, "auditConfigs": AUDITS}))
    projects("set-iam-policy", "p", file)
    stale = projects("set-iam-policy", "p", file, fails=True)
    projects("add-iam-policy-binding", "p", "--member=user:a@example.org", ROLE, "--condition=None")
    kept = json.loads(projects("get-iam-policy", "p", "--format=json"))
    file.write_text(json.dumps({**kept, "auditConfigs": []}))
    projects("set-iam-policy", "p", file)

    assert "concurrent policy changes" in stale
    assert kept["auditConfigs"] == AUDITS
    assert kept["bindings"] == [{"role": "roles/logging.viewer", "members": ["user:a@example.org"]}]
    assert "auditConfigs" not in json.loads(projects("get-iam-policy", "p", "--format=json"))


def test_audit_configs_change_only_where_the_mask_names_them(api):
    api("POST", POLICY, json={"policy": {"auditConfigs": AUDITS}, "updateMask": "auditConfigs,etag"})
    by_default = api("POST", POLICY, json={"policy": {"bindings": [BINDING]}})

    assert by_default.json()["auditConfigs"] == AUDITS
    assert by_default.json()["bindings"] == [BINDING]


def test_an_account_that_is_deleted_stays_in_the_policies_as_deleted(projects, run_gcloud, cloud):
    def members(*words):
        policy = json.loads(run_gcloud(*words, "--format=json"))
        return [member for each in policy["bindings"] for member in each["members"]]

    add_secret(cloud, "x", "token")
    early = projects("add-iam-policy-binding", "p", MEMBER, ROLE, "--condition=None", fails=True)
    run_gcloud("iam", "service-accounts", "create", "reader")
    uid = run_gcloud("iam", "service-accounts", "describe", ACCOUNT, "--format=value(uniqueId)").strip()
    projects("add-iam-policy-binding", "p", MEMBER, ROLE, "--condition=None")
    secret_role = "--role=roles/secretmanager.viewer"
    run_gcloud("secrets", "add-iam-policy-binding", "token", MEMBER, secret_role)
    run_gcloud("iam", "service-accounts", "delete", ACCOUNT)
    left = members("projects", "get-iam-policy", "p")
    of_secret = members("secrets", "get-iam-policy", "token")
    run_gcloud("iam", "service-accounts", "create", "reader")
    again = members("projects", "get-iam-policy", "p")
    projects("remove-iam-policy-binding", "p", f"--member={left[0]}", ROLE, "--all")

    assert f"Service account {ACCOUNT} does not exist" in early
    assert left == of_secret == again == [f"deleted:serviceAccount:{ACCOUNT}?uid={uid}"]
    assert "bindings" not in json.loads(projects("get-iam-policy", "p", "--format=json"))


@pytest.mark.parametrize(
    ("policy", "mask", "reason"),
    [
        ({"bindings": [{**BINDING, "role": "viewer"}]}, "", "Role viewer is not supported"),
        ({"bindings": [{**BINDING, "members": ["a@example.org"]}]}, "", "of an unknown type"),
        ({"bindings": [{**BINDING, "member": "x"}]}, "", 'Unknown name "member"'),
        ({"bindings": [{**BINDING, "condition": {"title": "t", "expression": "true"}}]}, "", "version 3"),
        ({"version": 3, "bindings": [{**BINDING, "condition": {"title": "t"}}]}, "", "an expression"),
        ({"auditConfigs": [{"service": "allServices"}]}, "auditConfigs", "its auditLogConfigs"),
        (
            {"auditConfigs": [{**AUDITS[0], "auditLogConfigs": [{"logType": "READ"}]}]},
            "auditConfigs",
            "Log type READ",
        ),
        ({"auditConfigs": AUDITS * 2}, "auditConfigs", "one audit config"),
        ({}, "members", "names members"),
    ],
)
def test_a_policy_that_the_service_refuses_is_not_set(api, policy, mask, reason):
    answer = api("POST", POLICY, json={"policy": policy, **({"updateMask": mask} if mask else {})})

    assert answer.status_code == 400
    assert reason in answer.json()["error"]["message"]


def test_an_agent_of_google_gets_a_role_once_it_was_made(projects, run_gcloud):
    def bind(agent, **more):
        return projects(
            "add-iam-policy-binding", "p", f"--member=serviceAccount:{agent}", ROLE, *none, **more
        )

    none = ["--condition=None"]
    agents = [
        f"service-123456789012@{name}.iam.gserviceaccount.com"
        for name in ("gcp-sa-eventarc", "gs-project-accounts")
    ]
    early = [bind(agent, fails=True) for agent in agents]
    run_gcloud("beta", "services", "identity", "create", "--service=eventarc.googleapis.com")
    run_gcloud("storage", "service-agent")

    assert all("does not exist" in each for each in early)
    assert all(f"serviceAccount:{agent}" in bind(agent) for agent in agents)


def test_triggers_and_workflows_are_found_by_their_labels(run_gcloud, tmp_path):
    source = tmp_path / "workflow.yaml"
    source.write_text("main:\n  params: [event]\n  steps:\n  - one:\n      return: 1\n")
    run_gcloud("iam", "service-accounts", "create", "reader")
    labels, account = "--labels=component=lane", f"--service-account={ACCOUNT}"
    run_gcloud("workflows", "deploy", "flow", WHERE, f"--source={source}", labels, account)
    run_gcloud("storage", "buckets", "create", "gs://uploads-p", WHERE)
    filters = ("type=google.cloud.storage.object.v1.finalized", "bucket=uploads-p")
    run_gcloud(
        *("eventarc", "triggers", "create", "upload", WHERE, labels, account),
        *("--destination-workflow=flow", "--destination-workflow-location=us-central1"),
        *(f"--event-filters={each}" for each in filters),
    )
    run_gcloud("eventarc", "triggers", "update", "upload", WHERE, "--update-labels=managed-by=manual")
    stranger = run_gcloud(
        *("eventarc", "triggers", "update", "upload", WHERE),
        "--service-account=nobody@p.iam.gserviceaccount.com",
        fails=True,
    )

    def named(*words):
        return run_gcloud(
            *words, "list", WHERE, "--filter=labels.component=lane", "--format=value(labels)"
        ).strip()

    assert named("workflows") == "component=lane"
    assert named("eventarc", "triggers") == "component=lane;managed-by=manual"
    assert "Unknown service account" in stranger
