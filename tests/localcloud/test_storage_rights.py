"""What each method of Cloud Storage needs: with it a request passes, without it the answer is 403."""

import csv
import json
import uuid
from collections.abc import Callable

import pytest
import requests

from localcloud.rights.callers import Caller, calling
from localcloud.rights.denied import Denied
from localcloud.rights.needs import NONE, SOMETIMES, TABLES
from localcloud.rights.roles import TABLE
from localcloud.storage.buckets import Buckets
from localcloud.storage.database import Database
from localcloud.storage.objects import Objects, Target
from localcloud.storage.resources import new_bucket
from tests.localcloud.jobs import PROJECT
from tests.localcloud.storage_lab import ANN, READER, WRITER, Lab

NAMED = {"name": "a", "contentType": "text/plain"}


def rows_of(path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


ROWS = [row for row in rows_of(TABLES / "storage.csv") if row["permission"] != NONE]
ROLES: dict[str, set[str]] = {}
for row in rows_of(TABLE):
    if row["role"] not in ("roles/owner", "roles/editor", "roles/viewer"):
        ROLES.setdefault(row["role"], set()).add(row["permission"])


Send = Callable[[Lab, str], requests.Response]


def plain(method: str, path: str, **more) -> Send:
    return lambda lab, member: lab.ask(member, method, path, **more)


def related() -> Send:
    body = (
        b"--x\r\nContent-Type: application/json\r\n\r\n"
        + json.dumps(NAMED).encode()
        + b"\r\n--x\r\nContent-Type: text/plain\r\n\r\nnew\r\n--x--"
    )
    headers = {"Content-Type": "multipart/related; boundary=x"}
    return plain("POST", "/upload/storage/v1/b/BUCKET/o?uploadType=multipart", data=body, headers=headers)


def resumable(lab: Lab, member: str) -> requests.Response:
    path = "/upload/storage/v1/b/BUCKET/o?uploadType=resumable"
    begun = lab.ask(member, "POST", path, json=NAMED)
    return requests.put(begun.headers["Location"], data=b"new", timeout=10) if begun.ok else begun


def complete(lab: Lab, member: str) -> requests.Response:
    parts = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"
    return lab.ask(member, "POST", f"/BUCKET/a?uploadId={lab.begin_parts()}", data=parts)


def part(lab: Lab, member: str) -> requests.Response:
    return lab.ask(member, "PUT", f"/BUCKET/a?partNumber=2&uploadId={lab.begin_parts()}", data=b"part")


def abort(lab: Lab, member: str) -> requests.Response:
    return lab.ask(member, "DELETE", f"/BUCKET/a?uploadId={lab.begin_parts()}")


def creating(query: str = "", **settings) -> Send:
    def create(lab: Lab, member: str) -> requests.Response:
        body = {"name": f"b-{uuid.uuid4().hex}", **settings}
        return lab.ask(member, "POST", f"/storage/v1/b?project={PROJECT}{query}", json=body)

    return create


MEDIA = plain("POST", "/upload/storage/v1/b/BUCKET/o?uploadType=media&name=a", data=b"new")
COMPOSE = plain("POST", "/storage/v1/b/BUCKET/o/a/compose", json={"sourceObjects": [{"name": "b"}]})
REWRITE = plain("POST", "/storage/v1/b/BUCKET/o/b/rewriteTo/b/BUCKET/o/a")
COPY = plain("POST", "/storage/v1/b/BUCKET/o/b/copyTo/b/BUCKET/o/a")
# How the rows' methods are called; what they write replaces the object a.
REQUESTS: dict[str, Send] = {
    "POST /b": creating(),
    "GET /b": plain("GET", f"/storage/v1/b?project={PROJECT}"),
    "GET /b/{bucket}": plain("GET", "/storage/v1/b/BUCKET"),
    "PATCH /b/{bucket}": plain("PATCH", "/storage/v1/b/BUCKET", json={"labels": {"new": "1"}}),
    "PUT /b/{bucket}": plain("PUT", "/storage/v1/b/BUCKET", json={"labels": {"new": "1"}}),
    "DELETE /b/{bucket}": plain("DELETE", "/storage/v1/b/EMPTY"),
    "GET /b/{bucket}/storageLayout": plain("GET", "/storage/v1/b/BUCKET/storageLayout"),
    "GET /b/{bucket}/managedFolders": plain("GET", "/storage/v1/b/BUCKET/managedFolders"),
    "GET /b/{bucket}/folders": plain("GET", "/storage/v1/b/BUCKET/folders"),
    "GET /b/{bucket}/iam": plain("GET", "/storage/v1/b/BUCKET/iam"),
    "PUT /b/{bucket}/iam": plain("PUT", "/storage/v1/b/BUCKET/iam", json={"bindings": []}),
    "GET /storage/v1/projects/{project}/serviceAccount": plain(
        "GET", f"/storage/v1/projects/{PROJECT}/serviceAccount"
    ),
    "GET /b/{bucket}/o": plain("GET", "/storage/v1/b/BUCKET/o?prefix=a"),
    "GET /b/{bucket}/o/{name}": plain("GET", "/storage/v1/b/BUCKET/o/a?alt=media"),
    "PATCH /b/{bucket}/o/{name}": plain("PATCH", "/storage/v1/b/BUCKET/o/a", json={"metadata": {"new": "1"}}),
    "PUT /b/{bucket}/o/{name}": plain("PUT", "/storage/v1/b/BUCKET/o/a", json={"metadata": {"new": "1"}}),
    "DELETE /b/{bucket}/o/{name}": plain("DELETE", "/storage/v1/b/BUCKET/o/a"),
    "POST /b/{bucket}/o/{name}/compose": COMPOSE,
    "POST /b/{bucket}/o/{name}/rewriteTo/b/{to_bucket}/o/{to_name}": REWRITE,
    "POST /b/{bucket}/o/{name}/copyTo/b/{to_bucket}/o/{to_name}": COPY,
    "POST /upload/b/{bucket}/o": MEDIA,
    "PUT /upload/b/{bucket}/o": resumable,
    "GET /xml/{bucket}/{name:path}": plain("GET", "/BUCKET/a"),
    "POST /xml/{bucket}/{name:path}": plain("POST", "/BUCKET/a?uploads"),
    "PUT /xml/{bucket}/{name:path}": part,
    "DELETE /xml/{bucket}/{name:path}": abort,
}
POLICY, FILTER = "storage.buckets.setIamPolicy", "storage.buckets.setIpFilter"
LIST, OBJECT = "storage.objects.list", "/b/{bucket}/o/{name}"
FILTERED = {"ipFilter": {"mode": "Disabled"}}
LOST = "/storage/v1/b/BUCKET/o/lost"
# How a method is called that asks for what it needs only sometimes, and in REQUESTS does not need.
IN_OTHER_CASES: dict[tuple[str, str], Send] = {
    ("POST /b", "storage.buckets.enableObjectRetention"): creating("&enableObjectRetention=true"),
    ("POST /b", FILTER): creating(**FILTERED),
    ("PATCH /b/{bucket}", POLICY): plain("PATCH", "/storage/v1/b/BUCKET", json={"acl": []}),
    ("PATCH /b/{bucket}", FILTER): plain("PATCH", "/storage/v1/b/BUCKET", json=FILTERED),
    ("PUT /b/{bucket}", POLICY): plain("PUT", "/storage/v1/b/BUCKET", json={"acl": []}),
    ("PUT /b/{bucket}", FILTER): plain("PUT", "/storage/v1/b/BUCKET", json=FILTERED),
    (f"GET {OBJECT}", LIST): plain("GET", LOST),
    (f"PATCH {OBJECT}", LIST): plain("PATCH", LOST, json={"metadata": {"new": "1"}}),
    (f"PUT {OBJECT}", LIST): plain("PUT", LOST, json={"metadata": {"new": "1"}}),
    (f"DELETE {OBJECT}", LIST): plain("DELETE", LOST),
    (f"POST {OBJECT}/compose", LIST): plain(
        "POST", "/storage/v1/b/BUCKET/o/a/compose", json={"sourceObjects": [{"name": "lost"}]}
    ),
    (f"POST {OBJECT}/rewriteTo/b/{{to_bucket}}/o/{{to_name}}", LIST): plain(
        "POST", f"{LOST}/rewriteTo/b/BUCKET/o/a"
    ),
    (f"POST {OBJECT}/copyTo/b/{{to_bucket}}/o/{{to_name}}", LIST): plain(
        "POST", f"{LOST}/copyTo/b/BUCKET/o/a"
    ),
    ("GET /xml/{bucket}/{name:path}", LIST): plain("GET", "/BUCKET/lost"),
    ("POST /xml/{bucket}/{name:path}", "storage.objects.delete"): complete,
}
ALWAYS_NEEDED = [row for row in ROWS if (row["method"], row["permission"]) not in IN_OTHER_CASES]
# Ways to write the object a.
WAYS = {
    "media": MEDIA,
    "multipart": related(),
    "resumable": resumable,
    "xml": complete,
    "compose": COMPOSE,
    "rewrite": REWRITE,
    "copy": COPY,
}


def roles_for(permissions: set[str], without: str = "") -> list[str]:
    """Return the smallest roles that allow permissions, as far as roles do that lack one."""
    by_size = sorted(ROLES, key=lambda role: len(ROLES[role]))
    usable = [role for role in by_size if without not in ROLES[role]]
    found = (next((role for role in usable if each in ROLES[role]), "") for each in permissions - {without})
    return sorted({role for role in found if role})


def needed_by(method: str) -> set[str]:
    """Return the permissions that a method needs as REQUESTS calls it."""
    permissions = {row["permission"] for row in ROWS if row["method"] == method}
    return {each for each in permissions if (method, each) not in IN_OTHER_CASES}


def test_each_method_of_storage_that_needs_something_is_tried():
    assert {row["method"] for row in ROWS} == set(REQUESTS)
    sometimes = {(r["method"], r["permission"]) for r in ROWS if r["resource"].startswith(SOMETIMES)}
    assert set(IN_OTHER_CASES) <= sometimes


@pytest.mark.parametrize("method", REQUESTS)
def test_a_method_passes_with_the_permissions_of_its_rows_and_asks_for_no_others(lab, method):
    lab.grant_in_project(*roles_for(needed_by(method)))

    answer = REQUESTS[method](lab, ANN)

    assert answer.ok, answer.text
    assert {permission for permission, _ in lab.asked()} == needed_by(method)


@pytest.mark.parametrize("method", [each for each in REQUESTS if "/o" in each or "/xml" in each])
def test_who_may_only_view_objects_reads_them_and_changes_nothing(lab, method):
    lab.grant(READER)
    before = lab.everything()

    answer = REQUESTS[method](lab, ANN)

    assert answer.status_code == (200 if method.startswith("GET") else 403), answer.text
    assert lab.everything() == before


@pytest.mark.parametrize(("method", "permission"), IN_OTHER_CASES)
def test_what_a_method_needs_only_sometimes_is_asked_then(lab, method, permission):
    send, rows = IN_OTHER_CASES[method, permission], {*needed_by(method), permission}
    lab.grant_in_project(*roles_for(rows))
    allowed = send(lab, ANN)
    asked = {each for each, _ in lab.asked()}
    lab.grant_in_project(*roles_for(rows, without=permission))
    before = lab.everything()
    refused = send(lab, ANN)

    assert permission in asked <= rows
    assert allowed.status_code == (404 if permission == LIST else 200), allowed.text
    assert (refused.status_code, lab.everything()) == (403, before)


@pytest.mark.parametrize("row", ALWAYS_NEEDED, ids=lambda row: f"{row['method']} {row['permission']}")
def test_without_the_permission_of_a_row_the_answer_is_403_and_nothing_has_changed(lab, row):
    roles = roles_for(needed_by(row["method"]), without=row["permission"])
    lab.grant_in_project(*roles)
    lacking = needed_by(row["method"]) - set().union(*(ROLES[role] for role in roles))
    before = lab.everything()

    answer = REQUESTS[row["method"]](lab, ANN)

    assert answer.status_code == 403, answer.text
    assert row["permission"] in lacking
    assert any(f"ann@example.com does not have {each} access" in answer.text for each in lacking)
    assert lab.everything() == before


@pytest.mark.parametrize("versioning", [False, True], ids=["unversioned", "versioned"])
@pytest.mark.parametrize("way", WAYS)
def test_who_replaces_an_object_must_be_allowed_to_delete_it_also_where_old_versions_are_kept(
    lab, way, versioning
):
    lab.must("PATCH", "/storage/v1/b/BUCKET", json={"versioning": {"enabled": versioning}})
    lab.grant(WRITER)

    assert WAYS[way](lab, ANN).ok

    name = f"projects/_/buckets/{lab.bucket}/objects/a"
    assert {("storage.objects.create", name), ("storage.objects.delete", name)} <= lab.asked()


@pytest.mark.parametrize("way", WAYS)
def test_who_writes_an_object_under_a_new_name_needs_only_to_create_it(lab, way):
    lab.must("DELETE", "/storage/v1/b/BUCKET/o/a")
    lab.grant(WRITER)

    assert WAYS[way](lab, ANN).ok

    asked = {permission for permission, resource in lab.asked() if resource.endswith("/objects/a")}
    assert "storage.objects.create" in asked
    assert "storage.objects.delete" not in asked


def test_who_may_not_delete_an_object_cannot_replace_it(tmp_path):
    # No role in use allows to create and not to delete, so the objects are asked without the emulator.
    database = Database(tmp_path / "storage.sqlite")
    buckets = Buckets(database)
    objects = Objects(tmp_path, database, buckets)
    buckets.create("bucket", new_bucket("bucket", {}))
    with objects.draft() as draft:
        draft.write(b"old")
        objects.put(Target("bucket", "a"), draft.seal(), {})

    writes = frozenset({"storage.objects.create", "storage.objects.delete"})

    def ask(member, permission, resource):
        if permission != "storage.objects.create":
            raise Denied(member, permission, resource)

    with calling(Caller(ANN, ask, lambda *question: True, "any", writes)), objects.draft() as draft:
        draft.write(b"new")
        content = draft.seal()
        objects.put(Target("bucket", "c"), content, {})
        with pytest.raises(Denied, match=r"storage\.objects\.delete"):
            objects.put(Target("bucket", "a"), content, {})
        with pytest.raises(Denied, match=r"storage\.objects\.delete"):
            objects.need_to_write(Target("bucket", "a"))

    assert objects.open(Target("bucket", "a"))[1].read() == b"old"
    assert objects.open(Target("bucket", "c"))[1].read() == b"new"
