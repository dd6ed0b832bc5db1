"""The tables of what each emulated method needs: whole, no row too many, possible with the roles in use."""

import csv
import re
from urllib.parse import urlsplit

import pytest

import localcloud.cloud
import localcloud.storage.service
from localcloud.cloud import CloudOptions, start_cloud
from localcloud.control import PREFIX
from localcloud.rights.enforcement import Rights
from localcloud.rights.needs import BY_HANDLER, NONE, TABLES
from localcloud.rights.roles import TABLE
from localcloud.routing import Router

# The emulator's own routes, those that give a token, those that git and a browser ask without one.
UNGUARDED = re.compile(rf"\w+ ({PREFIX}|/token|/git/|/cloud-build/).*")


def table_rows() -> list[dict[str, str]]:
    return [
        row
        for path in sorted(TABLES.glob("*.csv"))
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    ]


def permissions_by_role() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines()):
        found.setdefault(row["role"], set()).add(row["permission"])
    return found


@pytest.fixture(scope="module")
def routes(tmp_path_factory) -> dict[str, set[str]]:
    """The names of all routes of both ports of a cloud, and of those among them that ask for rights."""
    found: dict[str, set[str]] = {"all": set(), "guarded": set()}
    guard = Rights.guarded

    def noting_router(routes, *more, **options):
        found["all"] |= {route.name for route in routes}
        return Router(routes, *more, **options)

    def noting_guard(self, routes, *more):
        found["guarded"] |= {route.name for route in routes}
        return guard(self, routes, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(localcloud.cloud, "Router", noting_router)
        patch.setattr(localcloud.storage.service, "Router", noting_router)
        patch.setattr(Rights, "guarded", noting_guard)
        with start_cloud(tmp_path_factory.mktemp("state"), CloudOptions(rights_of="p")):
            pass
    return found


def test_every_method_that_asks_for_rights_has_a_row(routes):
    known = {row["method"] for row in table_rows()}

    assert len(routes["guarded"]) > 150
    assert sorted(routes["guarded"] - known) == []


def test_every_row_is_of_a_method_that_asks_for_rights(routes):
    assert sorted({row["method"] for row in table_rows()} - routes["guarded"]) == []


def test_only_the_emulators_own_routes_and_those_without_an_access_token_ask_for_no_rights(routes):
    others = routes["all"] - routes["guarded"]

    assert sorted(name for name in others if not UNGUARDED.fullmatch(name)) == []
    assert routes["guarded"] <= routes["all"]


def test_every_permission_of_a_method_is_in_a_role_in_use():
    possible = set().union(*permissions_by_role().values())

    assert sorted({row["permission"] for row in table_rows()} - possible - {NONE}) == []


def test_every_row_names_a_page_of_google():
    sites = {urlsplit(row["source"]).hostname for row in table_rows()}

    assert sites <= {"cloud.google.com", "docs.cloud.google.com", "developers.google.com"}


def test_a_resource_is_made_of_what_the_path_and_the_query_name():
    wrong = [
        row
        for row in table_rows()
        for blank in re.findall(r"{([^}]+)}", row["resource"])
        if not blank.startswith("?") and not re.search(rf"{{{blank}(:path)?}}", row["method"])
    ]

    assert wrong == []


def test_a_method_that_needs_nothing_needs_nothing_else():
    needed: dict[str, set[str]] = {}
    for row in table_rows():
        needed.setdefault(row["method"], set()).add(row["permission"])

    assert [
        method for method, permissions in needed.items() if NONE in permissions and len(permissions) > 1
    ] == []
    assert [row for row in table_rows() if row["permission"] == NONE and row["resource"] == BY_HANDLER] == []


def test_a_role_that_may_delete_jobs_may_create_them():
    """Batch has no permission to cancel a job; the role that edits jobs is documented, so either would do."""
    roles = permissions_by_role()
    creating = {role for role, permissions in roles.items() if "batch.jobs.create" in permissions}
    deleting = {role for role, permissions in roles.items() if "batch.jobs.delete" in permissions}

    assert creating == deleting
    assert "roles/batch.jobsEditor" in creating
    assert not any("batch.jobs.cancel" in permissions for permissions in roles.values())
