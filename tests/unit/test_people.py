"""What people may do: roles have the permissions that are listed with them, and none is needless."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from localcloud.rights.roles import permissions_of
from ops.people import (
    BATCH,
    BILLING,
    BUCKET,
    GPU_WORK,
    PROJECT,
    REGISTRY,
    SECRET,
    WORK,
    Right,
    Work,
    listed,
    rights_of,
    roles_of,
)
from tests.experiments import REPOSITORY
from tests.rights_records import REASONS_OF_PEOPLE, reasons

WORKS = WORK | GPU_WORK
DEPLOYS = {"deploy", "deploy the lane"}
# The resource that a command of gcloud gives a role on.
PLACES = {
    "projects": PROJECT,
    "storage buckets": BUCKET,
    "artifacts repositories": REGISTRY,
    "secrets": SECRET,
    "iam service-accounts": BATCH,
}


def given(text: str) -> set[tuple[str, str]]:
    """Return the role and place of each command that adds a binding, with those of its loop."""
    found = set()
    for line in re.findall(r"^\$ (.*add-iam-policy-binding.*)$", text, re.M):
        (place,) = [on for words, on in PLACES.items() if f"gcloud {words} add-iam-policy-binding" in line]
        loop = re.match(r"for ROLE in (.*?); do", line)
        roles = loop[1].split() if loop else re.findall(r"--role roles/([\w.]+)", line)
        found |= {(role, place) for role in roles}
    return found


def allowed(roles: Iterable[tuple[str, str]], on: str) -> set[str]:
    """Return the permissions on a resource by the roles on it and on the project, if it is in that."""
    places = {on} if on == BILLING else {on, PROJECT}
    return set().union(*(permissions_of(f"roles/{role}") for role, place in roles if place in places))


def needless(name: str) -> list[tuple[str, str]]:
    """Return the roles that a work adds, and without which it could do everything as well."""
    rights = list(rights_of(name))
    always = {right.place for right in rights if not right.only_for and not right.without}
    before = roles_of(WORKS[name].after) if WORKS[name].after else []
    return [
        place
        for place in {right.place: right for right in WORKS[name].rights}
        if place not in before
        if all(
            set(right.permissions) <= allowed(always - {place}, right.on)
            for right in rights
            if right.place == place
        )
    ]


@pytest.mark.parametrize("name", WORKS)
def test_each_permission_of_a_work_is_in_the_role_that_is_given_for_it(name):
    rights = WORKS[name].rights

    assert all(right.permissions for right in rights)
    lacking = {
        right.place: {*right.permissions, *right.made} - permissions_of(f"roles/{right.role}")
        for right in rights
    }
    assert not {place: each for place, each in lacking.items() if each}


@pytest.mark.parametrize("name", WORKS)
def test_no_role_of_a_work_is_needless(name):
    assert not needless(name)


def test_a_needless_role_is_found(monkeypatch):
    more = Right.of("storage.objectViewer", BUCKET, "storage.objects.get")  # objectUser has it
    monkeypatch.setitem(WORKS, "build", Work((), (*WORK["build"].rights, more)))
    monkeypatch.setitem(WORK, "build", WORKS["build"])

    assert needless("build") == [more.place]


def test_the_commands_of_the_page_give_the_roles_of_the_table():
    page = (REPOSITORY / "docs" / "access.md").read_text("utf-8")
    to_look, to_run = re.findall(r"```console\n(.*?)```", page, re.S)
    wanted = {*roles_of("run single jobs"), *roles_of("check")}
    looking = set(roles_of("look"))

    assert given(to_look) == looking
    # stage A, by hand, is left to whoever needs it
    assert given(to_run) == wanted - looking - {("iam.serviceAccountUser", "the builder's account")}


def test_only_who_deploys_may_act_as_every_account():
    wide = {name for name in WORKS if "iam.serviceAccounts.actAs" in allowed(roles_of(name), PROJECT)}

    assert wide == DEPLOYS


def test_the_reasons_of_who_deploys_name_each_resource_of_terraform_and_no_other():
    files = (REPOSITORY / "terraform").glob("*.tf")
    there = re.findall(r'^(?:resource|data) "(\w+)"', "\n".join(map(Path.read_text, files)), re.M)

    reasons_to_deploy = [each.reason for each in reasons(REASONS_OF_PEOPLE) if each.work == "deploy"]

    assert set(re.findall(r"\bgoogle_\w+", " ".join(reasons_to_deploy))) == set(there)
    assert all(re.match(r"google_\w+|the gcs backend", each) for each in reasons_to_deploy)


def test_an_owner_may_do_everything_that_is_asked_on_the_project():
    """But not what is in buckets: that comes from the policy that Google gives each bucket."""
    rights = [right for work in WORKS.values() for right in work.rights]
    of_project = {each for right in rights if right.on == PROJECT for each in right.permissions}

    assert of_project <= permissions_of("roles/owner")


def test_a_work_has_the_rights_of_the_work_before_it():
    assert set(roles_of("look")) < set(roles_of("run")) < set(roles_of("check")) < set(roles_of("report"))
    assert not set(roles_of("build")) >= set(roles_of("look"))


def test_the_two_lanes_name_no_work_alike():
    assert not WORK.keys() & GPU_WORK.keys()


def test_the_list_names_each_place_once_says_why_and_is_as_wide_as_a_page():
    text = listed(WORK)
    (item,) = [" ".join(each.split()) for each in text.split("\n* ") if each.startswith("**run** ")]

    assert item == (
        "**run** (`run`, `workflow-cancel`, `cost`): the rights to look, and on the project "
        "`workflows.invoker`, `batch.jobsEditor` (to end jobs); on the registry `artifactregistry.reader`; "
        "on the bucket `storage.legacyBucketReader`, `storage.objectUser`; "
        "on the secret `secretmanager.viewer` (with a token)"
    )
    assert max(map(len, text.splitlines())) <= 120


def test_a_role_that_all_of_a_work_needs_is_not_said_to_be_for_a_part_of_it():
    part = Right("a.viewer", PROJECT, ("a.b.get",), only_for="a part")
    whole = Right("a.viewer", PROJECT, ("a.b.list",))

    assert listed({"x": Work((), (part,))}) == "* **x**: on the project `a.viewer` (for a part)\n"
    for rights in ((part, whole), (whole, part)):
        assert listed({"x": Work((), rights)}) == "* **x**: on the project `a.viewer`\n"
