"""Grants that are in no policy, who owns a project as its buckets see it, and bindings that are refused."""

from datetime import UTC, datetime

import pytest

from localcloud.members import OWNER
from localcloud.rights.automatic import automatic_grants
from localcloud.rights.conditions import UnreadableCondition
from localcloud.rights.grants import Grant, NoSuchCondition, allowing, check_binding, grants_of
from localcloud.rights.resources import PROJECT_NUMBER
from localcloud.rights.roles import UnknownRole, permissions_of

NOW = datetime(2026, 8, 1, tzinfo=UTC)
PROJECT = "projects/my-lab"
BUCKET = "projects/_/buckets/lab"
OBJECT = f"{BUCKET}/objects/a.json"
ANN, BOB = "user:ann@my-lab.example", "serviceAccount:bob@my-lab.iam.gserviceaccount.com"


def may(member: str, permission: str, resource: str, *written: Grant) -> bool:
    grants = [*automatic_grants(resource, "my-lab"), *written]
    return bool(allowing(grants, member, permission, resource, NOW))


def agent(name: str) -> str:
    return f"serviceAccount:service-{PROJECT_NUMBER}@{name}.iam.gserviceaccount.com"


def test_the_owner_of_a_project_owns_it_and_nothing_of_another():
    assert may(OWNER, "resourcemanager.projects.setIamPolicy", PROJECT)
    assert may(OWNER, "batch.jobs.create", f"{PROJECT}/locations/us-central1")
    assert not may(OWNER, "resourcemanager.projects.get", "projects/another-lab")
    assert not may(ANN, "resourcemanager.projects.get", PROJECT)


def test_an_owner_may_read_objects_only_by_the_convenience_values_of_the_bucket():
    assert "storage.objects.get" not in permissions_of("roles/owner")
    by = allowing(automatic_grants(OBJECT, "my-lab"), OWNER, "storage.objects.get", OBJECT, NOW)

    assert by == [Grant(BUCKET, "roles/storage.legacyObjectOwner", "projectOwner:my-lab")]


@pytest.mark.parametrize(
    ("role", "allowed", "denied"),
    [
        (
            "roles/owner",
            {"storage.objects.get", "storage.objects.create", "storage.buckets.setIamPolicy"},
            set(),
        ),
        (
            "roles/editor",
            {"storage.objects.get", "storage.objects.create", "storage.buckets.setIamPolicy"},
            set(),
        ),
        ("roles/viewer", {"storage.objects.get", "storage.objects.list"}, {"storage.objects.create"}),
        ("roles/browser", set(), {"storage.objects.get", "storage.objects.list"}),
        ("roles/storage.objectViewer", {"storage.objects.get"}, {"storage.objects.create"}),
    ],
)
def test_a_basic_role_in_the_project_is_a_role_in_its_buckets(role, allowed, denied):
    granted = Grant(PROJECT, role, ANN)

    assert {each for each in allowed | denied if may(ANN, each, OBJECT, granted)} == allowed
    assert not any(may(BOB, each, OBJECT, granted) for each in allowed | denied)


def test_a_basic_role_of_another_project_is_none_in_a_bucket():
    assert not may(ANN, "storage.objects.get", OBJECT, Grant("projects/another-lab", "roles/owner", ANN))


def test_a_policy_may_name_the_editors_of_a_project():
    policy = {"bindings": [{"role": "roles/storage.admin", "members": ["projectEditor:my-lab"]}]}
    written = [*grants_of(BUCKET, policy), Grant(PROJECT, "roles/editor", ANN)]

    assert may(ANN, "storage.objects.setIamPolicy", OBJECT, *written)
    assert may(ANN, "storage.buckets.delete", BUCKET, *written)
    assert not may(BOB, "storage.buckets.delete", BUCKET, *written)


@pytest.mark.parametrize(
    ("name", "permission"),
    [
        ("gcp-sa-artifactregistry", "artifactregistry.repositories.downloadArtifacts"),
        ("gcp-sa-cloudbatch", "compute.instances.create"),
        ("gcp-sa-cloudbuild", "iam.serviceAccounts.getAccessToken"),
        ("gcp-sa-config", "cloudbuild.builds.create"),
        ("gcp-sa-pubsub", "iam.serviceAccounts.getOpenIdToken"),
        ("gcp-sa-workflows", "iam.serviceAccounts.getAccessToken"),
        ("serverless-robot-prod", "artifactregistry.repositories.downloadArtifacts"),
    ],
)
def test_an_agent_of_google_has_its_role_without_a_binding(name, permission):
    assert may(agent(name), permission, PROJECT)
    assert not may(agent(name), "resourcemanager.projects.setIamPolicy", PROJECT)


@pytest.mark.parametrize(
    ("name", "permission"),
    [("gcp-sa-eventarc", "pubsub.topics.create"), ("gs-project-accounts", "pubsub.topics.publish")],
)
def test_the_agents_that_terraform_must_grant_a_role_have_none(name, permission):
    assert not may(agent(name), permission, PROJECT)


def test_googles_own_processes_edit_the_project():
    assert may(
        f"serviceAccount:{PROJECT_NUMBER}@cloudservices.gserviceaccount.com", "batch.jobs.create", PROJECT
    )


def test_automatic_grants_are_grants_that_could_be_written():
    for each in [*automatic_grants(OBJECT, "my-lab"), *automatic_grants(PROJECT, "my-lab")]:
        check_binding(each.role, [each.member], each.condition)


@pytest.mark.parametrize(
    ("role", "member", "condition", "error", "why"),
    [
        ("roles/made.up", ANN, "", UnknownRole, r"roles/made\.up"),
        ("projects/my-lab/roles/mine", ANN, "", UnknownRole, "projects/my-lab/roles/mine"),
        (
            "roles/storage.objectViewer",
            ANN,
            "resource.size < 1",
            UnreadableCondition,
            r"'resource\.size < 1'",
        ),
        ("roles/owner", ANN, "true", NoSuchCondition, "a basic role such as roles/owner"),
        ("roles/storage.objectViewer", "allUsers", "true", NoSuchCondition, "a role of allUsers"),
    ],
)
def test_a_binding_that_cannot_be_enforced_is_refused(role, member, condition, error, why):
    with pytest.raises(error, match=why):
        check_binding(role, [member], condition)


def test_a_binding_that_can_be_enforced_is_not():
    check_binding("roles/owner", [ANN])
    check_binding("roles/storage.objectViewer", ["allUsers"])
    check_binding("roles/storage.objectViewer", [ANN], 'resource.name.startsWith("x")')
