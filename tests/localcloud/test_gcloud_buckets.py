"""The real gcloud sets what a bucket is, and removes versions, in the emulated service."""

import json

import pytest

from tests.emulated import create_bucket

pytestmark = pytest.mark.usefixtures("emptied")
LIFECYCLE = {
    "rule": [
        {"action": {"type": "Delete"}, "condition": {"age": 7, "matchesPrefix": ["work/"]}},
        {"action": {"type": "SetStorageClass", "storageClass": "NEARLINE"}, "condition": {"age": 90}},
        {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 1}},
    ]
}
ACCOUNT = "reader@p.iam.gserviceaccount.com"


@pytest.fixture
def buckets(run_gcloud):
    """Return a function that runs gcloud storage buckets."""
    return lambda *words, **more: run_gcloud("storage", "buckets", *words, **more)


def test_what_is_set_of_a_bucket_is_shown_and_can_be_cleared(buckets, tmp_path):
    def described():
        return json.loads(buckets("describe", "gs://kept", "--raw", "--format=json"))

    lifecycle = tmp_path / "lifecycle.json"
    lifecycle.write_text(json.dumps({"lifecycle": LIFECYCLE}))
    access = ("--uniform-bucket-level-access", "--public-access-prevention")
    buckets(
        *("create", "gs://kept", "--location=europe-west4", *access, "--default-storage-class=nearline"),
        "--soft-delete-duration=604800s",
    )
    settings = ("--update-labels=a=b,c=d", f"--lifecycle-file={lifecycle}", "--versioning")
    buckets("update", "gs://kept", *settings, "--retention-period=10s")

    before = described()
    cleared = ("--clear-labels", "--clear-lifecycle", "--no-versioning", "--clear-retention-period")
    buckets("update", "gs://kept", *cleared, "--clear-soft-delete")
    after = described()

    assert before["location"] == "EUROPE-WEST4"
    assert before["storageClass"] == "NEARLINE"
    assert before["labels"] == {"a": "b", "c": "d"}
    assert before["lifecycle"] == LIFECYCLE
    assert before["versioning"] == {"enabled": True}
    assert before["retentionPolicy"]["retentionPeriod"] == "10"
    assert before["softDeletePolicy"]["retentionDurationSeconds"] == "604800"
    assert before["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert before["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"]
    assert not {"labels", "lifecycle", "retentionPolicy"} & after.keys()
    assert after["softDeletePolicy"]["retentionDurationSeconds"] == "0"


def test_a_new_bucket_has_the_services_defaults(cloud, buckets):
    create_bucket(cloud, "plain", is_uniform=False)

    plain = json.loads(buckets("describe", "gs://plain", "--raw", "--format=json"))

    assert plain["iamConfiguration"] == {
        "publicAccessPrevention": "inherited",
        "uniformBucketLevelAccess": {"enabled": False},
    }
    assert plain["softDeletePolicy"]["retentionDurationSeconds"] == "604800"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"storageClass": "COLD"}, "storage class COLD"),
        ({"labels": {"Team": "a"}}, "Invalid label: Team=a"),
        ({"labels": {"team": "A"}}, "Invalid label: team=A"),
        ({"softDeletePolicy": {"retentionDurationSeconds": "86400"}}, "must be 0 or 604800 to 7776000"),
        ({"softDeletePolicy": {"days": 7}}, "Unknown field of a bucket: softDeletePolicy.days"),
        ({"retentionPolicy": {"retentionPeriod": "0"}}, "must be 1 to"),
        ({"iamConfiguration": {"publicAccessPrevention": "on"}}, "inherited or enforced"),
        ({"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": "yes"}}}, "true or false"),
        ({"versioning": True}, "versioning must be an object"),
        ({"lifecycles": {}}, "Unknown field of a bucket: lifecycles"),
        ({"lifecycle": {"rules": []}}, "an object with a list of rules"),
        ({"lifecycle": {"rule": [{"action": {"type": []}, "condition": {"age": 1}}]}}, "is not an action of"),
        (
            {"lifecycle": {"rule": [{"action": {"type": "Delete", "days": 1}, "condition": {"age": 1}}]}},
            "has no days",
        ),
        (
            {
                "lifecycle": {
                    "rule": [
                        {
                            "action": {"type": "SetStorageClass", "storageClass": "COLD"},
                            "condition": {"age": 1},
                        }
                    ]
                }
            },
            "requires a storageClass: ARCHIVE",
        ),
        (
            {
                "lifecycle": {
                    "rule": [
                        {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"isLive": True}}
                    ]
                }
            },
            "takes the conditions age",
        ),
    ],
)
def test_a_setting_that_no_bucket_has_is_refused(http, bucket, settings, reason):
    changed = http("PATCH", f"/storage/v1/b/{bucket.name}", json=settings)
    created = http("POST", "/storage/v1/b?project=p", json={"name": "never-made", **settings})

    for answer in (changed, created):
        assert answer.status_code == 400
        assert reason in answer.json()["error"]["message"]


def test_old_versions_are_listed_and_removed(cloud, buckets, run_gcloud, tmp_path):
    def listed(*words):
        return [line.partition("#")[0] for line in run_gcloud("storage", "ls", *words, "gs://old/**").split()]

    create_bucket(cloud, "old")
    buckets("update", "gs://old", "--versioning")
    for text in ("one", "two"):
        (tmp_path / "f").write_text(text)
        run_gcloud("storage", "cp", tmp_path / "f", "gs://old/a")
    run_gcloud("storage", "cp", tmp_path / "f", "gs://old/b")

    versions = run_gcloud("storage", "ls", "--all-versions", "gs://old/a").split()
    first = run_gcloud("storage", "cat", versions[0])
    run_gcloud("storage", "rm", "gs://old/a", "gs://old/b")
    live = run_gcloud("storage", "ls", "gs://old")
    left = listed("--all-versions")
    refused = buckets("delete", "gs://old", fails=True)
    run_gcloud("storage", "rm", versions[0])
    fewer = listed("--all-versions")
    run_gcloud("storage", "rm", "--recursive", "--all-versions", "gs://old")

    assert (len(versions), first) == (2, "one")
    assert live == ""
    assert left == ["gs://old/a", "gs://old/a", "gs://old/b"]
    assert "not empty" in refused
    assert fewer == ["gs://old/a", "gs://old/b"]
    assert run_gcloud("storage", "ls", fails=True)


def test_pages_of_versions_contain_each_version_once(http, bucket):
    bucket.versioning_enabled = True
    bucket.patch()
    for name in ("a", "b/1", "b/2", "c"):
        for _ in range(3):
            bucket.blob(name).upload_from_string("x")

    pages, token = [], ""
    while token is not None:
        query = {"versions": "true", "maxResults": 2, "pageToken": token}
        page = http("GET", f"/storage/v1/b/{bucket.name}/o", params=query).json()
        pages += [f"{each['name']}#{each['generation']}" for each in page["items"]]
        token = page.get("nextPageToken")

    assert len(pages) == len(set(pages)) == 12
    assert pages == sorted(pages)


def test_an_object_within_its_retention_period_stays(http, bucket):
    bucket.retention_period = 3600
    bucket.patch()
    bucket.blob("a").upload_from_string("one")
    path = f"/storage/v1/b/{bucket.name}/o/a"

    deleted = http("DELETE", path)
    replaced = http("POST", f"/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=a", data=b"two")

    for answer in (deleted, replaced):
        assert answer.status_code == 403
        assert answer.json()["error"]["errors"][0]["reason"] == "retentionPolicyNotMet"
    assert http("GET", f"{path}?alt=media").content == b"one"


def test_the_policy_of_a_bucket_is_checked_and_names_a_deleted_account(buckets, run_gcloud, cloud):
    def bind(*words, **more):
        member = f"--member=serviceAccount:{ACCOUNT}"
        return buckets(
            "add-iam-policy-binding", "gs://mine", member, "--role=roles/storage.objectViewer", *words, **more
        )

    create_bucket(cloud, "mine", is_uniform=False)
    nobody = bind(fails=True)
    run_gcloud("iam", "service-accounts", "create", "reader-2")
    run_gcloud("iam", "service-accounts", "create", "reader")
    condition = '--condition=title=work,expression=resource.name.startsWith("x")'
    not_uniform = bind(condition, fails=True)
    buckets("update", "gs://mine", "--uniform-bucket-level-access")
    bind(condition)
    before = json.loads(buckets("get-iam-policy", "gs://mine", "--format=json"))
    uid = run_gcloud("iam", "service-accounts", "describe", ACCOUNT, "--format=value(uniqueId)").strip()
    run_gcloud("iam", "service-accounts", "delete", ACCOUNT)
    after = json.loads(buckets("get-iam-policy", "gs://mine", "--format=json"))

    assert f"Service account {ACCOUNT} does not exist" in nobody
    assert "require uniform bucket-level access" in not_uniform
    assert before["bindings"][0]["members"] == [f"serviceAccount:{ACCOUNT}"]
    assert after["bindings"][0]["members"] == [f"deleted:serviceAccount:{ACCOUNT}?uid={uid}"]
    assert after["etag"] != before["etag"]


def test_a_policy_that_was_read_before_another_change_is_refused(http, bucket):
    path = f"/storage/v1/b/{bucket.name}/iam"
    first = http("GET", path).json()
    mine = {"role": "roles/storage.objectViewer", "members": ["user:a@example.org"]}

    changed = http("PUT", path, json={**first, "bindings": [mine]})
    stale = http("PUT", path, json={**first, "bindings": []})

    assert (changed.status_code, stale.status_code) == (200, 412)
    assert http("GET", path).json()["bindings"] == [mine]
