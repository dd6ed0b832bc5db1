"""The roles of people: the commands of docs/access.md give those of the table, and no others."""

import re

import pytest

from localcloud.rights.roles import permissions_of
from ops.people import BATCH, BUCKET, GPU_WORK, PROJECT, REGISTRY, SECRET, WORK, Right, listed, rights_of
from tests.experiments import REPOSITORY

# The resource that a command of gcloud gives a role on.
PLACES = {
    "projects": PROJECT,
    "storage buckets": BUCKET,
    "artifacts repositories": REGISTRY,
    "secrets": SECRET,
    "iam service-accounts": BATCH,
}


def given(text: str) -> set[tuple[str, str]]:
    """Return the place and role of each command that adds a binding, with those of its loop."""
    found = set()
    for line in re.findall(r"^\$ (.*add-iam-policy-binding.*)$", text, re.M):
        (place,) = [on for words, on in PLACES.items() if f"gcloud {words} add-iam-policy-binding" in line]
        loop = re.match(r"for ROLE in (.*?); do", line)
        roles = loop[1].split() if loop else re.findall(r"--role roles/([\w.]+)", line)
        found |= {(place, role) for role in roles}
    return found


def test_the_commands_of_the_page_give_the_roles_of_the_table():
    page = (REPOSITORY / "docs" / "access.md").read_text("utf-8")
    to_look, to_run = re.findall(r"```console\n(.*?)```", page, re.S)
    works = ("run single jobs", "check")
    wanted = {(right.on, right.role) for work in works for right in rights_of(work)}
    looking = {(right.on, right.role) for right in rights_of("look")}

    assert given(to_look) == looking
    # stage A, by hand, is left to whoever needs it
    assert given(to_run) == wanted - looking - {("the builder's account", "iam.serviceAccountUser")}


def test_nobody_may_act_as_every_account():
    works = [*WORK, *GPU_WORK]

    wide = [name for name in works if Right("iam.serviceAccountUser", PROJECT) in rights_of(name)]

    assert works
    assert not wide


@pytest.mark.parametrize("work", [*WORK, *GPU_WORK])
def test_what_each_role_of_a_person_allows_is_known(work):
    assert all(permissions_of(f"roles/{right.role}") for right in rights_of(work))


def test_a_work_has_the_rights_of_the_work_before_it():
    assert set(rights_of("look")) < set(rights_of("run")) < set(rights_of("check"))
    assert not set(rights_of("build")) >= set(rights_of("look"))


def test_the_list_names_each_place_once_and_says_why():
    (line,) = [each for each in listed(WORK).splitlines() if each.startswith("* **run** ")]

    assert line == (
        "* **run** (`run`, `workflow-cancel`, `cost`): the rights to look, and on the project "
        "`workflows.invoker`, `batch.jobsEditor` (to end jobs); on the registry `artifactregistry.reader`; "
        "on the bucket `storage.legacyBucketReader`, `storage.objectUser`; "
        "on the secret `secretmanager.viewer` (with a token)"
    )
