"""Whom Cloud Storage refuses what, beyond the permission of a method, and in which words."""

import pytest
import requests

from localcloud.members import OWNER, token_of
from localcloud.process import running
from localcloud.storage.database import Database
from tests.emulated import create_bucket, request
from tests.localcloud.jobs import PROJECT
from tests.localcloud.storage_lab import ANN, BOB, READER, WRITER, Lab


def test_whoever_knows_the_id_of_a_resumable_upload_may_go_on_with_it(lab):
    lab.grant(WRITER)
    upload = lab.begin(ANN)

    path = f"/upload/storage/v1/b/BUCKET/o?uploadType=resumable&upload_id={upload}"
    assert lab.ask(BOB, "PUT", path, headers={"Content-Range": "bytes */3"}).status_code == 308
    assert lab.ask(BOB, "POST", path, data=b"new").ok

    assert lab.must("GET", "/storage/v1/b/BUCKET/o/a?alt=media").content == b"new"
    assert lab.asked(BOB) == set()


def test_a_resumable_upload_fails_at_its_end_if_who_began_it_has_lost_the_right(lab):
    lab.grant(WRITER)
    upload = lab.begin(ANN, name="c")
    lab.grant(READER)
    before = lab.everything()

    answer = lab.ask(OWNER, "PUT", f"/upload/storage/v1/b/BUCKET/o?upload_id={upload}", data=b"new")

    assert answer.status_code == 403
    assert "ann@example.com does not have storage.objects.create" in answer.json()["error"]["message"]
    assert lab.everything() == before


@pytest.mark.parametrize(
    "path", ["/storage/v1/b/BUCKET/o/none", "/storage/v1/b/BUCKET/o/none?alt=media", "/BUCKET/none"]
)
def test_an_object_that_is_not_there_is_a_404_only_for_those_who_may_list_the_bucket(lab, path):
    lab.grant("roles/storage.legacyObjectReader")
    refused = lab.ask(ANN, "GET", path)
    lab.grant(READER)
    missing = lab.ask(ANN, "GET", path)

    words = "ann@example.com does not have storage.objects.list access to the Google Cloud Storage bucket. "
    assert refused.status_code == 403
    assert words in refused.text
    assert missing.status_code == 404
    assert ("storage.objects.list", f"projects/_/buckets/{lab.bucket}") in lab.asked()


def test_a_bucket_that_is_not_there_is_a_404_for_everybody(lab):
    assert lab.ask(ANN, "GET", "/storage/v1/b/no-such-bucket").status_code == 404
    assert lab.ask(ANN, "GET", "/storage/v1/b/no-such-bucket/o").status_code == 404
    assert lab.ask(ANN, "GET", "/no-such-bucket/a").status_code == 404


def test_a_refusal_of_the_json_api_has_the_words_of_cloud_storage(lab):
    answer = lab.ask(ANN, "GET", "/storage/v1/b/BUCKET/o/a")

    message = (
        "ann@example.com does not have storage.objects.get access to the Google Cloud Storage object. "
        "Permission 'storage.objects.get' denied on resource (or it may not exist)."
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["message"]) == (403, 403, message)
    assert error["errors"] == [{"message": message, "domain": "global", "reason": "forbidden"}]
    assert "details" not in error


def test_a_refusal_of_the_xml_api_has_its_details(lab):
    answer = lab.ask(ANN, "GET", "/BUCKET/a")

    assert answer.status_code == 403
    assert "<Code>AccessDenied</Code><Message>Access denied.</Message><Details>ann@example.com" in answer.text
    assert "does not have storage.objects.get access to the Google Cloud Storage object." in answer.text


def test_a_refusal_of_another_api_names_the_permission_and_the_resource_and_not_the_member(lab):
    headers = {"Authorization": f"Bearer {token_of(ANN)}"}

    answer = requests.get(f"{lab.cloud.apis}/v1/projects/{PROJECT}", headers=headers, timeout=10)

    error = answer.json()["error"]
    name = f"//cloudresourcemanager.googleapis.com/projects/{PROJECT}"
    permission = "resourcemanager.projects.get"
    assert (answer.status_code, error["status"]) == (403, "PERMISSION_DENIED")
    assert error["message"] == f"Permission '{permission}' denied on resource '{name}' (or it may not exist)."
    assert error["details"][0]["reason"] == "IAM_PERMISSION_DENIED"
    assert error["details"][0]["metadata"] == {"permission": permission, "resource": f"projects/{PROJECT}"}
    assert "ann" not in answer.text


def test_each_refusal_is_one_line_on_standard_error(tmp_path, capfd):
    with running(tmp_path, "--rights-of", PROJECT) as cloud:
        lab = Lab(cloud, create_bucket(cloud, project=PROJECT), "")
        for member, name in ((ANN, "a"), (ANN, "a"), (ANN, "b"), (BOB, "a"), (OWNER, "a")):
            lab.ask(member, "GET", f"/storage/v1/b/BUCKET/o/{name}")

    of_bucket = f"storage.objects.get on projects/_/buckets/{lab.bucket}/objects"
    assert capfd.readouterr().err.splitlines() == [
        f"localcloud: denied to {ANN}: {of_bucket}/a",
        f"localcloud: denied to {ANN}: {of_bucket}/b",
        f"localcloud: denied to {BOB}: {of_bucket}/a",
    ]


def test_a_condition_on_names_counts_for_objects_and_not_for_the_list_of_the_bucket(lab):
    below = f'resource.name.startsWith("projects/_/buckets/{lab.bucket}/objects/runs/")'
    lab.grant(WRITER, condition=below)

    def write(name):
        path = f"/upload/storage/v1/b/BUCKET/o?uploadType=media&name={name}"
        return lab.ask(ANN, "POST", path, data=b"x").status_code

    assert [write("runs/1"), write("runs/1"), write("other"), write("runs")] == [200, 200, 403, 403]
    assert lab.ask(ANN, "GET", "/storage/v1/b/BUCKET/o?prefix=runs/").status_code == 403
    # Without the right to list, what is not there cannot be told from what is forbidden.
    assert lab.ask(ANN, "GET", "/storage/v1/b/BUCKET/o/runs%2Fnone").status_code == 403


def test_a_name_with_braces_is_asked_as_it_is(lab):
    lab.grant(WRITER, condition=f'resource.name.startsWith("projects/_/buckets/{lab.bucket}/objects/mine")')
    path = "/storage/v1/b/BUCKET/o/%7B%3Fy%7D"
    lab.must("POST", "/upload/storage/v1/b/BUCKET/o?uploadType=media&name=%7B%3Fy%7D", data=b"x")

    assert lab.ask(ANN, "GET", f"{path}?y=mine").status_code == 403
    assert ("storage.objects.get", f"projects/_/buckets/{lab.bucket}/objects/{{?y}}") in lab.asked()


def test_test_permissions_answers_those_that_the_caller_has_and_needs_none(lab):
    lab.grant(READER)
    wanted = ["storage.objects.get", "storage.objects.delete", "storage.buckets.get"]
    path = "/storage/v1/b/BUCKET/iam/testPermissions?" + "&".join(f"permissions={each}" for each in wanted)

    assert lab.ask(ANN, "GET", path).json()["permissions"] == ["storage.objects.get"]
    assert lab.ask(BOB, "GET", path).json()["permissions"] == []
    assert lab.asked(ANN) == lab.asked(BOB) == set()


@pytest.mark.parametrize("name", ["storage.objects.*", "storage.objects.fly", "batch.jobs.get"])
def test_a_permission_that_no_bucket_has_cannot_be_tested(lab, emulator, name):
    query = f"/iam/testPermissions?permissions={name}"

    refused = lab.ask(ANN, "GET", f"/storage/v1/b/BUCKET{query}")
    bucket = create_bucket(emulator)
    unenforced = request("GET", f"{emulator.storage}/storage/v1/b/{bucket}{query}")

    assert refused.status_code == 400
    assert name in refused.json()["error"]["message"]
    assert unenforced.json()["permissions"] == [name]  # as ever


def test_public_access_prevention_is_changed_only_by_who_may_set_the_policy(lab):
    lab.grant_in_project("roles/config.agent")  # may update buckets, and not set their policies

    def prevent(how):
        body = {"iamConfiguration": {"publicAccessPrevention": how}}
        return lab.ask(ANN, "PATCH", "/storage/v1/b/BUCKET", json=body)

    assert prevent("inherited").ok  # as it is
    before = lab.everything()
    refused = prevent("enforced")
    assert refused.status_code == 403
    assert "does not have storage.buckets.setIamPolicy" in refused.text
    assert lab.everything() == before
    lab.grant_in_project("roles/storage.admin")
    assert prevent("enforced").ok


@pytest.mark.parametrize(
    ("body", "permission"),
    [
        ({"acl": []}, "storage.buckets.setIamPolicy"),
        ({"defaultObjectAcl": []}, "storage.buckets.setIamPolicy"),
        ({"ipFilter": {"mode": "Disabled"}}, "storage.buckets.setIpFilter"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_some_settings_of_a_bucket_need_more_than_to_update_it(lab, method, body, permission):
    lab.grant_in_project("roles/config.agent")
    before = lab.everything()

    answer = lab.ask(ANN, method, "/storage/v1/b/BUCKET", json=body)

    assert answer.status_code == 403
    assert f"does not have {permission}" in answer.text
    assert lab.everything() == before


@pytest.mark.parametrize(
    ("query", "body", "permission"),
    [
        ("&enableObjectRetention=true", {}, "storage.buckets.enableObjectRetention"),
        ("", {"ipFilter": {"mode": "Disabled"}}, "storage.buckets.setIpFilter"),
    ],
)
def test_some_settings_of_a_new_bucket_need_more_than_to_create_it(lab, query, body, permission):
    lab.grant_in_project("roles/config.agent")

    answer = lab.ask(
        ANN, "POST", f"/storage/v1/b?project={PROJECT}{query}", json={"name": "made-by-ann", **body}
    )

    assert answer.status_code == 403
    assert f"does not have {permission} access to the Google Cloud project." in answer.text
    assert lab.must("GET", f"/storage/v1/b?project={PROJECT}&prefix=made-by-ann").json()["items"] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_project_buckets_are_neither_listed_nor_made(lab, method):
    answer = lab.ask(ANN, method, "/storage/v1/b", json={"name": "b-1"} if method == "POST" else None)

    assert answer.status_code == 400
    assert "Required parameter: project" in answer.text


@pytest.mark.parametrize(
    "named", [{"params": {"userProject": PROJECT}}, {"headers": {"X-Goog-User-Project": PROJECT}}]
)
def test_who_names_a_project_to_bill_must_be_allowed_to_use_its_services(lab, named):
    lab.grant(READER)

    refused = lab.ask(ANN, "GET", "/storage/v1/b/BUCKET/o/a", **named)
    lab.grant_in_project("roles/serviceusage.serviceUsageConsumer")

    assert refused.status_code == 403
    assert "does not have serviceusage.services.use access to the Google Cloud project." in refused.text
    assert lab.ask(ANN, "GET", "/storage/v1/b/BUCKET/o/a", **named).ok


def test_each_part_of_a_batch_asks_for_itself_as_the_caller_of_the_whole_or_as_its_own(lab):
    lab.grant(READER)

    def part(method, name, token=""):
        header = f"Authorization: Bearer {token}\r\n" if token else ""
        return (
            "--x\r\nContent-Type: application/http\r\n\r\n"
            f"{method} /storage/v1/b/{lab.bucket}/o/{name} HTTP/1.1\r\n{header}\r\n\r\n"
        )

    parts = [
        part("GET", "a"),
        part("DELETE", "a"),
        part("DELETE", "b", token_of(OWNER)),
        part("GET", "b", token_of(BOB)),
    ]
    headers = {"Content-Type": "multipart/mixed; boundary=x"}
    answer = lab.ask(ANN, "POST", "/batch/storage/v1", data="".join(parts) + "--x--", headers=headers)

    statuses = [line.split()[1] for line in answer.text.splitlines() if line.startswith("HTTP/1.1")]
    assert statuses == ["200", "403", "204", "403"]
    assert "ann@example.com does not have storage.objects.delete" in answer.text
    assert "bob@example.com does not have storage.objects.get" in answer.text
    assert [item["name"] for item in lab.must("GET", "/storage/v1/b/BUCKET/o").json()["items"]] == ["a"]


def test_a_state_folder_of_an_older_emulator_still_takes_uploads(tmp_path):
    path = tmp_path / "storage.sqlite"
    Database(path).execute("ALTER TABLE uploads DROP COLUMN member")

    columns = {row["name"]: row for row in Database(path).execute("PRAGMA table_info(uploads)")}

    assert columns["member"]["dflt_value"] == "''"
