"""The real gcloud handles triggers and policies of accounts, and an upload with it starts an execution."""

import json
import time

import pytest

from tests.upload_lane import WORKFLOW, SmallServices, result_of

pytestmark = pytest.mark.usefixtures("emptied")
ACCOUNT = "events@p.iam.gserviceaccount.com"
WHERE = "--location=us-central1"
FINALIZED = "google.cloud.storage.object.v1.finalized"
FILTERS = [f"--event-filters=type={FINALIZED}", "--event-filters=bucket=uploads-p"]
TO_WORKFLOW = ["--destination-workflow=uploads", "--destination-workflow-location=us-central1"]


@pytest.fixture
def furnished(run_gcloud):
    """Have the workflow of uploads, deployed with the real gcloud, with services that a test steers."""
    services = SmallServices()
    variables = {
        "SERVICE_URLS": json.dumps(services.urls),
        "OUTPUT_BUCKET": "results-p",
        "MAX_SHARDS_AT_ONCE": "2",
        "TIMEOUT_SECONDS": "30",
    }
    listed = "|".join(f"{name}={value}" for name, value in variables.items())
    run_gcloud("iam", "service-accounts", "create", "events")
    run_gcloud(
        *("workflows", "deploy", "uploads", WHERE, f"--source={WORKFLOW}", f"--set-env-vars=^|^{listed}"),
        *(f"--service-account={ACCOUNT}", "--call-log-level=log-errors-only"),
    )
    run_gcloud("storage", "buckets", "create", "gs://uploads-p", "gs://results-p", WHERE)
    yield
    services.close()


def test_a_trigger_from_its_creation_to_its_deletion(run_gcloud, furnished, tmp_path):
    def triggers(*arguments, **more):
        return run_gcloud("eventarc", "triggers", *arguments, WHERE, **more)

    upload = tmp_path / "sentence.txt"
    upload.write_text("fine")

    triggers("create", "uploads", *TO_WORKFLOW, *FILTERS, f"--service-account={ACCOUNT}")
    listed = triggers("list")
    described = json.loads(triggers("describe", "uploads", "--format=json"))
    run_gcloud("storage", "cp", upload, "gs://uploads-p/in/sentence.txt")
    [execution] = _executions(run_gcloud, 1)
    triggers("delete", "uploads", "--quiet")
    gone = triggers("describe", "uploads", fails=True)

    assert listed.split()[:5] == ["NAME", "TYPE", "DESTINATION", "ACTIVE", "LOCATION"]
    assert "Workflows: uploads" in listed
    assert described["destination"] == {"workflow": "projects/p/locations/us-central1/workflows/uploads"}
    assert described["serviceAccount"] == ACCOUNT
    result = result_of(execution)
    assert (result["status"], result["units"]) == ("done", 6)
    assert result["result"].startswith("gs://results-p/results/in/sentence.txt/")
    assert "NOT_FOUND" in gone


def test_a_trigger_elsewhere_than_its_bucket_is_refused_with_the_place(run_gcloud, furnished):
    refused = run_gcloud(
        *("eventarc", "triggers", "create", "uploads", "--location=europe-west4", *TO_WORKFLOW, *FILTERS),
        *(f"--service-account={ACCOUNT}",),
        fails=True,
    )

    assert 'location "us-central1" does not match trigger location "europe-west4"' in refused


def test_who_may_act_as_an_account_is_kept_until_the_account_is_deleted(run_gcloud):
    def accounts(*arguments, **more):
        return run_gcloud("iam", "service-accounts", *arguments, **more)

    accounts("create", "events")
    before = json.loads(accounts("get-iam-policy", ACCOUNT, "--format=json"))
    role, member = "roles/iam.serviceAccountUser", "user:a@example.org"
    accounts("add-iam-policy-binding", ACCOUNT, f"--member={member}", f"--role={role}")
    after = json.loads(accounts("get-iam-policy", ACCOUNT, "--format=json"))
    accounts("delete", ACCOUNT)
    gone = accounts("get-iam-policy", ACCOUNT, fails=True)

    assert before.get("bindings", []) == []
    assert after["bindings"] == [{"members": [member], "role": role}]
    assert "Unknown service account" in gone


def test_the_account_that_publishes_a_projects_events_has_a_name(run_gcloud):
    agent = run_gcloud("storage", "service-agent").strip()

    assert agent == "service-123456789012@gs-project-accounts.iam.gserviceaccount.com"


def _executions(run_gcloud, number):
    """Wait until a number of executions have ended, and return them."""
    deadline = time.monotonic() + 20
    while True:
        names = run_gcloud(
            "workflows", "executions", "list", "uploads", WHERE, "--format=value(name)"
        ).split()
        if len(names) >= number or time.monotonic() > deadline:
            break
    waited = [run_gcloud("workflows", "executions", "wait", name, "--format=json") for name in names]
    return [json.loads(each) for each in waited]
