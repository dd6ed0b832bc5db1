"""The grants that are read from plans of the real terraform, of terraform/ and of terraform/gpu/."""

import copy
import re

import pytest

from localcloud.projects import PROJECT_NUMBER
from localcloud.rights.grants import Grant
from localcloud.rights.plan import PlanError, grants_of_plan
from tests import gpu_plans
from tests.rights_records import Question, Record
from tests.terraform_plans import (
    BATCH,
    BUILD,
    BUILDER,
    NEEDED,
    WORKFLOW,
    condition_of,
    configured,
    grants,
    plans,
)

PROJECT = f"projects/{NEEDED['project_id']}"
BUCKET = f"projects/_/buckets/{NEEDED['bucket_name']}"
MORE = """
resource "google_storage_bucket_iam_binding" "many" {
  bucket  = var.bucket_name
  role    = "roles/storage.objectViewer"
  members = ["user:a@example.com", "user:b@example.com"]
}
"""
TOPIC = """
resource "google_pubsub_topic_iam_member" "one" {
  topic  = "news"
  role   = "roles/pubsub.publisher"
  member = "user:a@example.com"
}
"""
TWICE = """
resource "google_project_iam_member" "again" {
  for_each = toset(["one", "two"])
  project  = var.project_id
  role     = "roles/viewer"
  member   = "user:a@example.com"
}
"""
UNKNOWN = """
resource "google_service_account" "new" {
  account_id = "made-by-the-apply"
}

resource "google_project_iam_member" "new" {
  project = var.project_id
  role    = "roles/viewer"
  member  = "serviceAccount:${google_service_account.new.unique_id}"
}
"""


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    with configured(tmp_path_factory) as configuration:
        yield configuration


@pytest.fixture(scope="module")
def planned(configuration):
    return plans(configuration)


@pytest.fixture
def with_file(configuration):
    """What plans terraform/ with a further file."""
    path = configuration.folder / "more.tf"

    def plan(text):
        path.write_text(text)
        return configuration.plan(**{f"TF_VAR_{name}": value for name, value in NEEDED.items()})

    yield plan
    path.unlink()


@pytest.fixture(scope="module")
def of_gpu(tmp_path_factory):
    return gpu_plans.plans(gpu_plans.configured(tmp_path_factory))


def addresses_by_grant(plan) -> dict[Grant, str]:
    """Return the grants of a plan that gives nothing twice."""
    pairs = grants_of_plan(plan)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def short(grant: Grant) -> tuple[str, str, str]:
    """Return a grant as grants() of tests/terraform_plans.py, which reads a plan in its own way."""
    kinds = {"buckets": "bucket", "serviceAccounts": "service_account", "secrets": "secret"}
    parts = grant.holder.split("/")
    kind = kinds.get(parts[-2], "repository" if "repositories" in parts else "project")
    condition = " if" if grant.condition else ""
    return grant.member, grant.role.removeprefix("roles/"), f"{kind} {parts[-1]}{condition}"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"github_pat_secret": "github-pat", "github_forecast_repo": "my-lab/flu"},
        {"dir_prefix": "flu/", "install_ops_agent": True},
    ],
    ids=["plain", "with a token", "in a folder"],
)
def test_every_binding_of_a_plan_is_a_grant(planned, settings):
    plan = planned(**settings)

    found = addresses_by_grant(plan)

    assert {short(grant) for grant in found} == grants(plan)
    assert len(found) == len(set(found.values())) == len(grants(plan))


def test_a_grant_has_the_whole_name_of_its_resource_and_its_condition(planned):
    plan = planned(github_pat_secret="github-pat", github_forecast_repo="my-lab/flu")

    found = addresses_by_grant(plan)

    registry = f"{PROJECT}/locations/us-central1/repositories/epymodelingsuite-repo"
    account = f"{PROJECT}/serviceAccounts/{BATCH.partition(':')[2]}"
    claims = condition_of(plan, "workflow_claims_runs")
    assert found[Grant(PROJECT, "roles/batch.jobsEditor", WORKFLOW)] == (
        'google_project_iam_member.workflow["roles/batch.jobsEditor"]'
    )
    assert Grant(registry, "roles/artifactregistry.writer", BUILD) in found
    assert Grant(account, "roles/iam.serviceAccountUser", WORKFLOW) in found
    assert Grant(f"{PROJECT}/secrets/github-pat", "roles/secretmanager.secretAccessor", BUILDER) in found
    assert Grant(BUCKET, "roles/storage.objectUser", WORKFLOW, claims) in found
    assert "execution.json" in claims


def test_an_account_of_another_project_is_held_there(planned):
    found = addresses_by_grant(planned(batch_service_account="stages@another-lab.iam.gserviceaccount.com"))

    holders = {grant.holder for grant in found}
    assert "projects/another-lab/serviceAccounts/stages@another-lab.iam.gserviceaccount.com" in holders


def test_googles_own_accounts_have_the_number_of_the_emulated_project(of_gpu):
    found = addresses_by_grant(of_gpu())

    agents = {grant.member: grant for grant in found if re.search("@(gs-project|gcp-sa)-", grant.member)}
    assert set(agents) == {
        f"serviceAccount:service-{PROJECT_NUMBER}@gs-project-accounts.iam.gserviceaccount.com",
        f"serviceAccount:service-{PROJECT_NUMBER}@gcp-sa-eventarc.iam.gserviceaccount.com",
    }
    assert all(grant.condition.startswith("request.time > ") for grant in agents.values())


def test_each_binding_of_the_gpu_lane_is_a_grant(of_gpu):
    plan = of_gpu()

    found = addresses_by_grant(plan)

    bindings = {each["address"] for each in plan["resource_changes"] if "_iam_" in each["type"]}
    assert set(found.values()) == bindings
    assert len(found) == len(bindings)
    services = {grant.holder for grant in found if grant.role == "roles/run.invoker"}
    assert {each.rpartition("-")[2] for each in services} == {"preprocess", "inference", "postprocess"}
    assert all(each.startswith(f"{PROJECT}/locations/us-central1/services/") for each in services)


def test_a_binding_of_several_members_is_a_grant_for_each(with_file):
    found = addresses_by_grant(with_file(MORE))

    members = {g.member for g, address in found.items() if address.endswith("binding.many")}
    assert members == {"user:a@example.com", "user:b@example.com"}


def test_two_bindings_that_give_the_same_are_both_seen_and_neither_is_needed(with_file):
    given = Grant(PROJECT, "roles/viewer", "user:a@example.com")
    asked = Question("user:a@example.com", "resourcemanager.projects.get", PROJECT, frozenset([given]))

    pairs = grants_of_plan(with_file(TWICE))

    again = [f'google_project_iam_member.again["{name}"]' for name in ("one", "two")]
    assert [address for grant, address in pairs if grant == given] == again
    grants = tuple(grant for grant, _ in pairs)
    assert Record(NEEDED["project_id"], (asked,), grants).denied_without(given) == []
    assert Record(NEEDED["project_id"], (asked,), (given,)).denied_without(given) == [asked]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            TOPIC,
            "google_pubsub_topic_iam_member.one: nobody knows here what google_pubsub_topic_iam_member gives",
        ),
        (UNKNOWN, "google_project_iam_member.new: member is known only after the apply"),
    ],
    ids=["another kind of resource", "an unknown member"],
)
def test_a_binding_that_cannot_be_read_is_refused_and_never_skipped(with_file, text, said):
    plan = with_file(text)

    with pytest.raises(PlanError) as refused:
        grants_of_plan(plan)

    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_a_binding_that_would_be_deleted_is_no_grant(planned):
    plan = copy.deepcopy(planned())
    change = next(each for each in plan["resource_changes"] if each["type"] == "google_project_iam_member")
    change["change"]["after"] = None

    left = addresses_by_grant(plan)

    assert change["address"] not in left.values()
    assert len(left) == len(addresses_by_grant(planned())) - 1


def test_a_project_that_the_real_provider_leaves_open_is_that_of_the_plan(planned):
    plan = copy.deepcopy(planned())
    for each in plan["resource_changes"]:
        if each["type"] == "google_artifact_registry_repository_iam_member":
            del each["change"]["after"]["project"]
            each["change"]["after_unknown"]["project"] = True

    assert grants_of_plan(plan) == grants_of_plan(planned())


@pytest.mark.parametrize(
    "content", [{}, {"resource_changes": None}, {"resource_changes": [{"mode": "managed"}]}]
)
def test_what_is_no_plan_is_refused_in_a_line(content):
    with pytest.raises(PlanError, match=r"^no plan"):
        grants_of_plan(content)
