"""The tables of what each emulated method needs: whole, no row too many, possible with the roles in use."""

import ast
import csv
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import localcloud.cloud
import localcloud.storage.service
from localcloud.cloud import CloudOptions, start_cloud
from localcloud.control import PREFIX
from localcloud.messages import Headers, Request, Response
from localcloud.rights import enforcement
from localcloud.rights.actors import unenforced
from localcloud.rights.callers import has, may, need, need_nothing
from localcloud.rights.enforcement import Rights
from localcloud.rights.needs import ACTS, BY_HANDLER, NONE, SOMETIMES, TABLES, Need, UnknownNeed
from localcloud.rights.roles import TABLE
from localcloud.routing import Route, Router

# The emulator's own routes, those that give a token, those that git and a browser ask without one.
UNGUARDED = re.compile(rf"\w+ ({PREFIX}|/token|/git/|/cloud-build/).*")


def table_rows() -> list[dict[str, str]]:
    return [
        row
        for path in sorted(TABLES.glob("*.csv"))
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    ]


def acts() -> list[dict[str, str]]:
    return list(csv.DictReader(ACTS.read_text(encoding="utf-8").splitlines()))


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

    asked = {row["permission"] for row in [*table_rows(), *acts()]}
    assert sorted(asked - possible - {NONE}) == []


def test_every_row_names_a_page_of_google():
    sites = {urlsplit(row["source"]).hostname for row in [*table_rows(), *acts()]}

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
    assert [
        row for row in table_rows() if row["permission"] == NONE and row["resource"].startswith(BY_HANDLER)
    ] == []


def test_a_role_that_may_delete_jobs_may_create_them():
    """Batch has no permission to cancel a job; the role that edits jobs is documented, so either would do."""
    roles = permissions_by_role()
    creating = {role for role, permissions in roles.items() if "batch.jobs.create" in permissions}
    deleting = {role for role, permissions in roles.items() if "batch.jobs.delete" in permissions}

    assert creating == deleting
    assert "roles/batch.jobsEditor" in creating
    assert not any("batch.jobs.cancel" in permissions for permissions in roles.values())


# -- what is asked without a method

_PERMISSION = re.compile(r"[a-z]+\.[a-zA-Z]+\.[a-zA-Z]+")
_ASKS = {"ask", "why_not"}


def asked_in(path: Path) -> set[str]:
    """Return the permissions that a module names, if it asks for some in the name of anybody."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    called = {each.func.attr for each in nodes if isinstance(each, ast.Call) and hasattr(each.func, "attr")}
    if not called & _ASKS:
        return set()
    texts = {each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return set(filter(_PERMISSION.fullmatch, texts))


def test_the_table_of_acts_has_what_the_modules_ask_and_no_more():
    package = Path(localcloud.__file__).parent

    asked = [
        (path.relative_to(package).as_posix(), permission)
        for path in package.rglob("*.py")
        if path.name not in ("callers.py", "enforcement.py")  # ask what the tables name
        for permission in asked_in(path)
    ]

    assert sorted((row["asker"], row["permission"]) for row in acts()) == sorted(asked)
    assert len(asked) > 20


def test_an_actor_may_not_be_asked_for_what_the_table_does_not_have():
    with pytest.raises(UnknownNeed, match=r"asks for batch\.jobs\.get: add it to rights/acts\.csv"):
        unenforced({}).as_("a@p.iam.gserviceaccount.com").ask("batch.jobs.get", "projects/p")


# -- what handlers ask

CREATE, ACT_AS, DELETE = (
    "workflows.workflows.create",
    "iam.serviceAccounts.actAs",
    "workflows.workflows.delete",
)
OF_HANDLERS = {
    "POST /plain": (Need(CREATE, "projects/{project}"), Need(DELETE, f"{SOMETIMES}it is there")),
    "POST /made": (Need(CREATE, BY_HANDLER), Need(ACT_AS, BY_HANDLER)),
    "POST /sometimes": (Need(DELETE, f"{SOMETIMES}it is there"),),
    "POST /free": (Need(NONE, ""),),
}


@pytest.fixture
def answered(monkeypatch):
    """What has the owner of a project call a method of OF_HANDLERS, whose handler asks for permissions."""
    monkeypatch.setattr(enforcement, "needs", lambda: OF_HANDLERS)

    def answered(name: str, *asked: str, by: Callable[[str, str], object] = need) -> int:
        def handler(request, project):
            for each in asked:
                by(each, f"projects/{project}")
            return Response(204)

        [route] = Rights("p").guarded([Route(*name.split(), handler)])
        return route.handler(Request("POST", "/", Headers(), BytesIO()), project="p").status

    return answered


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("POST /plain", []),
        ("POST /plain", [CREATE]),  # which was asked before
        ("POST /plain", [DELETE]),
        ("POST /made", [ACT_AS, CREATE]),
        ("POST /sometimes", [DELETE]),
        ("POST /free", []),
    ],
)
def test_a_handler_asks_what_its_rows_name(answered, name, asked):
    assert answered(name, *asked) == 204


@pytest.mark.parametrize("by", [need, may])
@pytest.mark.parametrize("name", OF_HANDLERS)
def test_a_handler_that_asks_for_what_no_row_of_its_method_names_is_a_fault(answered, name, by):
    with pytest.raises(UnknownNeed, match=rf"^{name} asks for run\.services\.get: add it to rights/methods/"):
        answered(name, "run.services.get", by=by)


@pytest.mark.parametrize(
    ("name", "asked", "missing"),
    [
        ("POST /made", [CREATE], ACT_AS),
        ("POST /made", [], f"{ACT_AS}, {CREATE}"),
        ("POST /sometimes", [], "any permission"),
    ],
)
def test_a_handler_that_does_not_ask_what_its_rows_name_is_a_fault(answered, name, asked, missing):
    with pytest.raises(UnknownNeed, match=rf"^{name} has not asked for {missing}$"):
        answered(name, *asked)


def test_a_handler_may_say_that_a_request_needs_nothing(answered):
    assert answered("POST /sometimes", "", by=lambda *question: need_nothing()) == 204


def test_whoever_asks_only_what_the_caller_has_needs_no_row(answered):
    assert answered("POST /free", CREATE, by=has) == 204
