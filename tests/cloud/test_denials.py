"""Policies that are set as an apply sets them, and the command that gives what was denied."""

import json
import os
import shlex
import subprocess

import pytest
import requests

from localcloud.environment import client_environment
from localcloud.members import token_of
from localcloud.process import running
from localcloud.rights.grants import Grant
from ops.cloud.resources import Resource
from ops.failures import UserError
from ops.rehearsal.denials import denials_explained
from ops.rehearsal.policies import clear, give
from ops.rehearsal.populate import populate
from ops.rehearsal.rights import Bindings
from ops.settings import Settings
from tests.emulated import add_secret
from tests.needs import need_program

PROJECT, BUCKET, SECRET = "my-lab-forecasts", "my-lab-bucket", "github-pat"
SETTINGS = Settings(project_id=PROJECT, bucket_name=BUCKET)
ACCOUNT = f"epymodelingsuite-batch@{PROJECT}.iam.gserviceaccount.com"
NOBODY = f"serviceAccount:nobody-at-all@{PROJECT}.iam.gserviceaccount.com"
MEMBER = "user:a@example.com"
ON_RUNS = f'resource.name.startsWith("projects/_/buckets/{BUCKET}/objects/runs/")'
REGISTRIES = f"projects/{PROJECT}/locations/us-central1/repositories"
HOLDERS = {
    f"projects/_/buckets/{BUCKET}": "roles/storage.objectViewer",
    f"projects/{PROJECT}": "roles/browser",
    f"projects/{PROJECT}/serviceAccounts/{ACCOUNT}": "roles/iam.serviceAccountUser",
    f"projects/{PROJECT}/secrets/{SECRET}": "roles/secretmanager.viewer",
    f"{REGISTRIES}/epymodelingsuite-repo": "roles/artifactregistry.reader",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), "--rights-of", PROJECT) as cloud:
        populate(cloud.storage, cloud.apis, SETTINGS)
        url = f"{cloud.storage}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=runs/a"
        requests.post(url, data=b"text", timeout=10).raise_for_status()
        add_secret(cloud, "a token", SECRET, PROJECT)
        yield cloud


def may(cloud, permission):
    """Return whether MEMBER may do something in the bucket, as the service answers it."""
    headers = {"Authorization": f"Bearer {token_of(MEMBER)}"}
    url = f"{cloud.storage}/storage/v1/b/{BUCKET}/iam/testPermissions?permissions={permission}"
    return permission in requests.get(url, headers=headers, timeout=10).json().get("permissions", [])


def ask_for(cloud, name="x", member=MEMBER):
    """Have a member ask for an object, with an empty record; return whether it was allowed."""
    requests.delete(f"{cloud.apis}/_emulator/rights", timeout=10)
    headers = {"Authorization": f"Bearer {token_of(member)}"}
    url = f"{cloud.storage}/storage/v1/b/{BUCKET}/o/{name}"
    return requests.get(url, headers=headers, timeout=10).status_code != 403


def denied(cloud, rights, name="x", member=MEMBER):
    """Return the error of a block that fails after a member has asked for an object."""
    ask_for(cloud, name, member)
    with pytest.raises(UserError) as error, denials_explained(cloud.apis, PROJECT, rights):
        raise UserError("the run failed", exit_code=75)
    return error.value


def typed(cloud, line):
    """Run a command of gcloud as the owner, without a terminal; return the policy that it prints."""
    need_program("gcloud")
    done = subprocess.run(
        [*shlex.split(line), "--format", "json"],
        env=os.environ | client_environment(cloud.storage, cloud.apis, cloud.state, PROJECT),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_grants_are_given_on_every_kind_of_resource_and_taken_back(cloud):
    grants = [Grant(holder, role, MEMBER) for holder, role in HOLDERS.items()]

    missing = give(cloud.storage, cloud.apis, grants)
    there = may(cloud, "storage.objects.list")
    for holder in HOLDERS:
        clear(cloud.storage, cloud.apis, holder)

    assert missing == []
    assert there
    assert not may(cloud, "storage.objects.list")


def test_a_condition_is_kept_and_others_are_not_lost(cloud):
    bucket = f"projects/_/buckets/{BUCKET}"
    first = Grant(bucket, "roles/storage.objectViewer", MEMBER, ON_RUNS)
    other = Grant(bucket, "roles/storage.legacyBucketReader", f"serviceAccount:{ACCOUNT}")

    give(cloud.storage, cloud.apis, [first])
    give(cloud.storage, cloud.apis, [other])

    owner = {"Authorization": "Bearer anything"}
    url = f"{cloud.storage}/storage/v1/b/{BUCKET}/iam?optionsRequestedPolicyVersion=3"
    bindings = requests.get(url, headers=owner, timeout=10).json()["bindings"]
    assert {each["role"]: each.get("condition", {}).get("expression", "") for each in bindings} == {
        first.role: ON_RUNS,
        other.role: "",
    }
    assert "may not storage.objects.get" in str(denied(cloud, None, "other"))
    assert str(denied(cloud, None, "runs%2Fa")) == "the run failed"
    clear(cloud.storage, cloud.apis, bucket)


def test_what_is_not_there_is_returned_and_an_unknown_account_is_refused(cloud):
    absent = "projects/_/buckets/not-there"

    missing = give(cloud.storage, cloud.apis, [Grant(absent, "roles/storage.objectViewer", MEMBER)])
    with pytest.raises(
        UserError, match=r"the policy of projects/my-lab-forecasts cannot be set: .*nobody-at-all"
    ):
        give(cloud.storage, cloud.apis, [Grant(f"projects/{PROJECT}", "roles/browser", NOBODY)])

    assert missing == [absent]


def test_an_error_says_who_was_denied_what_with_a_role_that_others_have_there(cloud):
    bucket = f"projects/_/buckets/{BUCKET}"
    rights = Bindings((Grant(bucket, "roles/storage.objectUser", f"serviceAccount:{ACCOUNT}"),), "a plan")

    said = denied(cloud, rights)
    by_itself = denied(cloud, None)

    first = f"the run failed\ndenied: a@example.com may not storage.objects.get on {bucket}/objects/x: "
    add = f"gcloud storage buckets add-iam-policy-binding gs://{BUCKET} --member {MEMBER} --role"
    assert str(said) == f"{first}{add} roles/storage.objectUser --condition None"
    assert said.exit_code == by_itself.exit_code == 1
    assert str(by_itself) == f"{first}{add} roles/storage.objectViewer --condition None"


def test_what_a_plan_gives_and_the_cloud_does_not_have_is_to_be_applied(cloud):
    bucket, member = f"projects/_/buckets/{BUCKET}", f"serviceAccount:{ACCOUNT}"
    grant = Grant(bucket, "roles/storage.objectUser", member, ON_RUNS)

    said = denied(cloud, Bindings((grant,), "the plan of terraform/"), "runs%2Fa", member)
    elsewhere = denied(cloud, Bindings((grant,), "the plan of terraform/"), "other", member)

    given = f"the plan of terraform/ gives it (roles/storage.objectUser on {bucket} if {ON_RUNS})"
    assert str(said).endswith(
        f"may not storage.objects.get on {bucket}/objects/runs/a: {given}: invoke tf-apply"
    )
    assert "tf-apply" not in str(elsewhere)
    assert " --role roles/storage.objectUser --condition None" in str(elsewhere)


def test_what_a_person_should_have_is_a_command_with_the_role_of_its_work(cloud):
    grant = Grant(f"projects/_/buckets/{BUCKET}", "roles/storage.objectUser", MEMBER)

    said = denied(cloud, Bindings((grant,), "the plan of terraform/"))

    assert "tf-apply" not in str(said)
    assert str(said).endswith(f"--member {MEMBER} --role roles/storage.objectUser --condition None")


def test_a_role_that_another_account_has_comes_with_its_condition_and_is_enough(cloud):
    bucket, member = f"projects/_/buckets/{BUCKET}", f"serviceAccount:{ACCOUNT}"
    other, third = member.replace("batch", "builder"), member.replace("batch", "workflow")
    logs = [Grant(f"projects/{PROJECT}", "roles/logging.logWriter", each) for each in (member, other)]
    conditions = ON_RUNS, f'{ON_RUNS} && resource.name.endsWith("a")'
    alike = Grant(bucket, "roles/storage.objectUser", other, conditions[0])
    narrower = Grant(bucket, "roles/storage.objectViewer", third, conditions[1])
    rights = Bindings((*logs, narrower, alike), "a plan")
    give(cloud.storage, cloud.apis, [alike, narrower])

    said = str(denied(cloud, rights, "runs%2Fa", member))
    typed(cloud, said.partition("runs/a: ")[2])

    assert f"--member {member} --role roles/storage.objectUser --condition " in said
    assert ask_for(cloud, "runs%2Fa", member)
    assert not ask_for(cloud, "other", member)
    clear(cloud.storage, cloud.apis, bucket)


def test_a_block_that_succeeds_although_something_was_denied_fails(cloud):
    ask_for(cloud)

    with pytest.raises(UserError) as error, denials_explained(cloud.apis, PROJECT, None):
        pass

    assert error.value.exit_code == 1
    assert "\ndenied: a@example.com may not storage.objects.get on " in str(error.value)


def test_what_is_only_too_early_fails_no_block_that_succeeds(tmp_path):
    with running(tmp_path, "--rights-of", PROJECT, "--iam-delay", "100000") as cloud:
        populate(cloud.storage, cloud.apis, SETTINGS)
        grant = Grant(f"projects/_/buckets/{BUCKET}", "roles/storage.objectUser", MEMBER)
        give(cloud.storage, cloud.apis, [grant])

        with denials_explained(cloud.apis, PROJECT, None):
            was_allowed = ask_for(cloud)
        said = denied(cloud, None)

    assert not was_allowed
    assert str(said).endswith("yet: roles/storage.objectUser was given, and does not count so soon")


def test_rights_bring_the_secrets_that_they_are_on(cloud):
    secret = f"projects/{PROJECT}/secrets/not-made-yet"
    rights = Bindings((Grant(secret, "roles/secretmanager.viewer", MEMBER),), "a plan")

    rights.apply(cloud)
    rights.apply(cloud)

    assert give(cloud.storage, cloud.apis, rights.grants) == []


def test_rights_of_other_resources_are_refused(cloud):
    rights = Bindings((Grant("projects/_/buckets/theirs", "roles/storage.objectUser", MEMBER),), "plan.json")

    with pytest.raises(UserError) as refused:
        rights.apply(cloud)

    assert str(refused.value) == (
        "plan.json does not fit the settings: there is no projects/_/buckets/theirs"
    )


def test_an_error_without_a_denial_stays_as_it_is(cloud):
    requests.delete(f"{cloud.apis}/_emulator/rights", timeout=10)

    with pytest.raises(UserError) as error, denials_explained(cloud.apis, PROJECT, None):
        raise UserError("the run failed", exit_code=75)

    assert str(error.value) == "the run failed"
    assert error.value.exit_code == 75


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: holder.split("/")[-2])
def test_the_command_that_a_denial_names_gives_the_role_where_the_policy_has_a_condition(cloud, holder):
    role, always = HOLDERS[holder], 'request.time > timestamp("2020-01-01T00:00:00Z")'
    give(cloud.storage, cloud.apis, [Grant(holder, role, f"serviceAccount:{ACCOUNT}", always)])

    policy = typed(cloud, Resource(holder).command(role, MEMBER))
    clear(cloud.storage, cloud.apis, holder)

    assert {"role": role, "members": [MEMBER]} in policy["bindings"]
    assert [each["condition"]["expression"] for each in policy["bindings"] if "condition" in each] == [always]


def test_the_command_for_a_service_names_its_region():
    holder = f"projects/{PROJECT}/locations/us-central1/services/lane-inference"

    assert Resource(holder).command("roles/run.invoker", MEMBER) == (
        "gcloud run services add-iam-policy-binding lane-inference --region us-central1 "
        f"--project {PROJECT} --member {MEMBER} --role roles/run.invoker --condition None"
    )


def test_a_condition_with_commas_is_one_condition_for_gcloud(cloud):
    bucket = f"projects/_/buckets/{BUCKET}"
    condition = f'{ON_RUNS} || resource.name.startsWith("projects/_/buckets/{BUCKET}/objects/a,b;c")'

    policy = typed(cloud, Resource(bucket).command(HOLDERS[bucket], MEMBER, condition))
    clear(cloud.storage, cloud.apis, bucket)

    assert [each["condition"]["expression"] for each in policy["bindings"] if "condition" in each] == [
        condition
    ]
