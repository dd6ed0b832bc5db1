"""The table of roles: whole, with a source for each row, and with every role that the project names."""

import csv
import re
from collections.abc import Iterable

import pytest

from localcloud.infra.builds import AGENT_ROLES
from localcloud.rights.needs import NONE, needs
from localcloud.rights.roles import BASIC_ROLES, TABLE, UnknownRole, permissions_of
from ops.gpu import build, rights, services
from ops.people import GPU_WORK
from tests.experiments import REPOSITORY

PAGES = "https://cloud.google.com/iam/docs/roles-permissions/"
MOST_BYTES = 600_000
_NAME = r"[a-z]+(?:\.[A-Za-z]+)+"
_PERMISSION = r"(?:[a-z]+\.|iam\.googleapis\.com/)[A-Za-z0-9]+\.[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)?"
_NO_ROLES = ("md", "tf", "tfvars", "json")  # endings of files that pages name


def rows() -> list[dict[str, str]]:
    with open(TABLE, newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


def text_of(path: str) -> str:
    return (REPOSITORY / path).read_text(encoding="utf-8")


def part_of(path: str, heading: str) -> str:
    """Return the part of a page below a heading of the second level."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text_of(path), re.MULTILINE | re.DOTALL)
    return found[1]


def names_in(text: str) -> set[str]:
    """Return the roles that a page names in backticks, in loops of its commands, and after roles/."""
    named = set(re.findall(rf"`({_NAME}|owner|editor|browser)`", text))
    for loop in re.findall(r"for (?:ROLE|role) in ([^;:]+);", text):
        named |= set(loop.replace("\\", " ").split())
    named |= set(re.findall(rf"roles/({_NAME}|owner|editor|browser)", text))
    return {f"roles/{each}" for each in named if each.rpartition(".")[2] not in _NO_ROLES}


def roles_of_terraform(folder: str) -> set[str]:
    """Return the roles that Terraform grants: whole, as "WHO ROLE", and of Cloud Storage without its name."""
    named = set()
    for path in (REPOSITORY / folder).glob("*.tf"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(rf'"(roles/{_NAME})"', text))
        named |= {f"roles/{each}" for each in re.findall(rf'"\w+ ({_NAME})"\s*=', text)}
        named |= {f"roles/storage.{each}" for each in re.findall(r'\brole = "([a-z]\w+)"', text)}
    return named


NAMED = {
    "terraform/": roles_of_terraform("terraform"),
    "terraform/gpu/": roles_of_terraform("terraform/gpu"),
    "docs/access.md, machines": names_in(part_of("docs/access.md", "Accounts of the machines")),
    "docs/access.md, people": names_in(part_of("docs/access.md", "People")),
    "docs/gpu.md": names_in(part_of("docs/gpu.md", "Rights")),
    "infrastructure-manager/": names_in(text_of("infrastructure-manager/README.md")),
    "ops/gpu/": {
        *(f"roles/{right.role}" for right in GPU_WORK["deploy the lane"].rights),
        rights.AGENT,
        rights.PUBLISHER,
        rights.READ,
        rights.WRITE,
        rights.SEE,
        services.INVOKER,
        build.WRITES_LOGS,
        build.PUSHES,
        build.READS,
        *names_in(text_of("ops/gpu/rights.py")),
    },
    "localcloud/": AGENT_ROLES,
}
FEWEST = {  # so that a page which is written in another way is noticed
    "terraform/": 11,
    "terraform/gpu/": 10,
    "docs/access.md, machines": 11,
    "docs/access.md, people": 25,
    "docs/gpu.md": 12,
    "infrastructure-manager/": 12,
    "ops/gpu/": 20,
    "localcloud/": 2,
}


def unknown(named: Iterable[str]) -> list[str]:
    table = {row["role"] for row in rows()}
    return sorted(set(named) - table)


@pytest.mark.parametrize("place", NAMED)
def test_every_role_that_the_project_names_is_in_the_table(place):
    assert len(NAMED[place]) >= FEWEST[place], sorted(NAMED[place])
    assert not unknown(NAMED[place])


def test_each_row_has_a_source_of_google_for_its_role():
    for row in rows():
        page, _, anchor = row["source"].removeprefix(PAGES).partition("#")
        assert row["source"].startswith(PAGES), row
        if row["role"] in BASIC_ROLES:
            assert (page, anchor) == (row["permission"].partition(".")[0], ""), row
        else:
            assert f"roles/{anchor}" == row["role"], row
            assert page == anchor.partition(".")[0] or anchor == "browser", row


def test_the_table_is_sorted_without_duplicates_and_small_enough_to_read():
    keys = [(row["role"], row["permission"]) for row in rows()]

    assert keys == sorted(set(keys))
    assert TABLE.stat().st_size < MOST_BYTES
    assert all(re.fullmatch(_PERMISSION, permission) for _, permission in keys)


@pytest.mark.parametrize(
    ("role", "allowed", "denied"),
    [
        ("roles/batch.agentReporter", "batch.states.report", "batch.jobs.get"),
        ("roles/batch.jobsEditor", "batch.jobs.create", "batch.states.report"),
        ("roles/storage.objectViewer", "storage.objects.list", "storage.objects.create"),
        ("roles/storage.objectUser", "storage.objects.delete", "storage.objects.setIamPolicy"),
        ("roles/storage.legacyBucketReader", "storage.objects.list", "storage.objects.get"),
        ("roles/iam.serviceAccountUser", "iam.serviceAccounts.actAs", "iam.serviceAccounts.getAccessToken"),
        ("roles/workflows.viewer", "workflows.executions.get", "workflows.executions.create"),
        ("roles/owner", "storage.buckets.create", "storage.objects.get"),
        ("roles/editor", "batch.jobs.create", "resourcemanager.projects.setIamPolicy"),
        ("roles/viewer", "compute.subnetworks.get", "compute.subnetworks.use"),
    ],
)
def test_a_role_allows_what_google_says_and_no_more(role, allowed, denied):
    assert allowed in permissions_of(role)
    assert denied not in permissions_of(role)


def test_an_owner_may_do_all_that_emulated_methods_need():
    """The basic roles are in the table only in part, so a permission may be missing there."""
    needed = {need.permission for each in needs().values() for need in each} - {NONE}
    of_an_owner = ("owner", "storage.legacyBucketOwner", "storage.legacyObjectOwner")

    assert needed
    assert not needed.difference(*(permissions_of(f"roles/{each}") for each in of_an_owner))


def test_a_role_that_is_not_in_the_table_is_named():
    with pytest.raises(
        UnknownRole, match=r"what roles/storage\.everything allows: .* to localcloud/rights/roles\.csv"
    ):
        permissions_of("roles/storage.everything")
