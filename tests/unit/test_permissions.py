"""What the doctor says of people's permissions, and where it asks for them."""

from dataclasses import replace

import pytest

from ops import people
from ops.cloud.held import Held, address, member_of
from ops.cloud.resources import Resource, places
from ops.environment import read_settings
from ops.failures import UserError
from ops.people import BATCH, BUCKET, BUILDER, PROJECT, REGISTRY, SECRET, Right
from ops.project.checkup import Answer
from ops.project.rights import asked, verdict

SETTINGS = {"PROJECT_ID": "my-lab", "BUCKET_NAME": "my-bucket", "GITHUB_PAT_SECRET": "github-pat"}


# ---- verdicts


def held(granted: dict[str, set[str]], **more) -> Held:
    resources = {on: Resource(name) for on, name in places(read_settings(SETTINGS)).items()}
    return Held(
        "ann@my-lab.example", resources, {name: frozenset(each) for name, each in granted.items()}, **more
    )


ACT, READ = "iam.serviceAccounts.actAs", "storage.objects.get"
USE = Right("iam.serviceAccountUser", BATCH, (ACT,))
OF_A = Right("iam.serviceAccountUser", BUILDER, (ACT,), only_for="stage A")


def test_what_is_missing_is_named_with_the_role_and_the_command_that_gives_it_there():
    with pytest.raises(UserError) as refused:
        verdict(
            held({BATCH: set(), BUCKET: {READ}}), [USE, Right("storage.objectViewer", BUCKET, (READ,))], "job"
        )

    assert refused.value.problem == f"may not: {ACT} on the Batch account (iam.serviceAccountUser)"
    email = "epymodelingsuite-batch@my-lab.iam.gserviceaccount.com"
    assert refused.value.fix == (
        f"gcloud iam service-accounts add-iam-policy-binding {email} --project my-lab "
        "--member user:ann@my-lab.example --role roles/iam.serviceAccountUser --condition None"
    )


def test_a_placeholder_for_the_person_is_explained_where_a_command_has_one():
    known, nobody = held({BATCH: set()}), replace(held({BATCH: set()}), account="credentials from a file")
    all_held = replace(nobody, granted={BATCH: frozenset({ACT})})

    assert "MEMBER in a command is you, user:EMAIL" in asked(nobody, rights=[USE]).detail
    assert not asked(nobody, rights=[USE]).is_warning
    assert "MEMBER" not in asked(known, rights=[USE]).detail
    assert "MEMBER" not in asked(all_held, rights=[USE]).detail


def test_a_part_of_the_work_that_is_missing_is_a_warning():
    answer = verdict(held({BATCH: {ACT}, BUILDER: set()}), [USE, OF_A], "job")

    assert answer.is_warning
    assert (
        answer.detail == f"may: job; not for stage A: {ACT} on the builder's account (iam.serviceAccountUser)"
    )
    assert "epymodelingsuite-builder@" in answer.fix


def test_what_could_not_be_asked_is_no_denial():
    dark = held({}, not_asked={BATCH: "account x does not exist"}, absent=frozenset({BATCH}))
    refused = held({BATCH: set()}, unknown={BATCH: frozenset({ACT})})

    assert verdict(dark, [USE], "job") == Answer("not asked: account x does not exist", is_warning=True)
    assert verdict(replace(dark, granted={BUILDER: frozenset({ACT})}), [USE, OF_A], "job") == Answer(
        "may: job, as far as is known; not asked: account x does not exist", is_warning=True
    )
    assert verdict(refused, [USE], "job").detail == "may: job"
    assert "the service does not tell of iam.serviceAccounts.actAs" in asked(refused).detail


def test_what_a_deployment_makes_may_be_missing_but_nobody_is_said_to_have_rights_on_it():
    missing = {BATCH: "account x does not exist"}
    none_asked = held({}, not_asked=missing, absent=frozenset(missing))
    one_asked = replace(none_asked, granted={BUILDER: frozenset({ACT})})
    unreadable = held({}, not_asked={BATCH: "account x: answer 403"})

    assert verdict(none_asked, [USE], "job", {BATCH}) == Answer("not asked yet: account x does not exist")
    assert verdict(one_asked, [USE, OF_A], "job", {BATCH}) == Answer(
        "may: job, as far as is known; not asked yet: account x does not exist"
    )
    assert verdict(unreadable, [USE], "job", {BATCH}) == Answer("not asked: account x: answer 403", True)
    assert not asked(none_asked, {BATCH}).is_warning
    assert asked(unreadable, {BATCH}).is_warning


def test_the_right_to_make_something_counts_until_it_exists():
    making = Right("secretmanager.admin", PROJECT, ("secretmanager.secrets.create",), without=SECRET)

    assert not verdict(held({PROJECT: set(), SECRET: set()}), [making], "secret-set").is_warning
    with pytest.raises(UserError, match=r"secretmanager\.secrets\.create on the project"):
        verdict(held({PROJECT: set()}, absent=frozenset({SECRET})), [making], "secret-set")


# ---- resources and addresses


@pytest.mark.parametrize(
    ("settings", "on", "path"),
    [
        ({}, PROJECT, "v1/projects/my-lab"),
        ({}, BUCKET, "storage/v1/b/my-bucket"),
        ({}, SECRET, "v1/projects/my-lab/secrets/github-pat"),
        (
            {"REGISTRY_HOST": "europe-docker.pkg.dev"},
            REGISTRY,
            "v1/projects/my-lab/locations/europe/repositories/",
        ),
        (
            {"BATCH_SERVICE_ACCOUNT": "runs@elsewhere.iam.gserviceaccount.com"},
            BATCH,
            "v1/projects/elsewhere/serviceAccounts/runs@elsewhere.iam.gserviceaccount.com",
        ),
        (
            {"BATCH_SERVICE_ACCOUNT": "1-compute@developer.gserviceaccount.com"},
            BATCH,
            "v1/projects/my-lab/serviceAccounts/1-compute@developer.gserviceaccount.com",
        ),
        ({"TF_STATE_BUCKET": "my-state"}, people.STATE, "storage/v1/b/my-state"),
    ],
)
def test_permissions_are_asked_on_what_the_settings_name(settings, on, path):
    assert Resource(places(read_settings(SETTINGS | settings))[on]).path.startswith(path)


@pytest.mark.parametrize(
    ("settings", "on"),
    [
        ({"GITHUB_PAT_SECRET": ""}, SECRET),
        ({"REGISTRY_HOST": "ghcr.io"}, REGISTRY),
        ({"BILLING_ACCOUNT": "012345-6789AB-CDEF01"}, people.BILLING),
    ],
)
def test_what_the_settings_do_not_name_is_not_asked(settings, on):
    assert on not in places(read_settings(SETTINGS | settings))


def test_a_role_on_a_billing_account_takes_no_condition():
    budget = {"BILLING_ACCOUNT": "012345-6789AB-CDEF01", "MONTHLY_BUDGET_USD": "100"}
    resource = Resource(places(read_settings(SETTINGS | budget))[people.BILLING])

    assert resource.command("roles/billing.costsManager", "MEMBER") == (
        "gcloud billing accounts add-iam-policy-binding 012345-6789AB-CDEF01 "
        "--member MEMBER --role roles/billing.costsManager"
    )


@pytest.mark.parametrize(
    ("override", "address_of_bucket"),
    [
        ("", "https://storage.googleapis.com/storage/v1/b/x"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/storage/v1/b/x"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/storage/v1/b/x"),
        ("https://private.example/storage/v1/", "https://private.example/storage/v1/b/x"),
    ],
)
def test_the_endpoints_of_gcloud_are_used(override, address_of_bucket):
    assert (
        address({"storage": override} if override else {}, "storage", "storage/v1/b/x") == address_of_bucket
    )


@pytest.mark.parametrize(
    ("account", "member"),
    [
        ("ann@my-lab.example", "user:ann@my-lab.example"),
        ("a@p.iam.gserviceaccount.com", "serviceAccount:a@p.iam.gserviceaccount.com"),
        ("credentials from a file", "MEMBER"),
    ],
)
def test_commands_name_the_person_where_gcloud_does(account, member):
    assert member_of(account) == member
