"""Objects that are finalized in a bucket start executions of a workflow, by triggers of Eventarc."""

import json
import re
import time
import uuid

import pytest

from tests.emulated import post, request
from tests.localcloud.workflow_api import ECHO, LOCATION, wait_until

TRIGGERS = f"{LOCATION}/triggers"
ACCOUNT = "events@p.iam.gserviceaccount.com"
FINALIZED = "google.cloud.storage.object.v1.finalized"


@pytest.fixture(autouse=True)
def furnished(cloud, api):
    """Have the account of the triggers; everything is emptied after a test."""
    api("POST", "/v1/projects/p/serviceAccounts", json={"accountId": "events"}).raise_for_status()
    yield
    post(f"{cloud.apis}/_emulator/reset", {})


@pytest.fixture
def bucket(client):
    return client.create_bucket(f"input-{uuid.uuid4().hex[:8]}", location="us-central1")


@pytest.fixture
def echo(deploy):
    return deploy(ECHO)


@pytest.fixture
def create(api):
    """Return a function that asks for a trigger and returns the answer."""

    def post_trigger(bucket, workflow, trigger_id="uploads", location=LOCATION, **changes):
        body = {
            "name": f"{location[4:]}/triggers/{trigger_id}",
            "eventFilters": [
                {"attribute": "type", "value": FINALIZED},
                {"attribute": "bucket", "value": getattr(bucket, "name", bucket)},
            ],
            "destination": {"workflow": workflow.removeprefix("/v1/")},
            "serviceAccount": ACCOUNT,
            "transport": {"pubsub": {}},
            **changes,
        }
        body = {name: value for name, value in body.items() if value is not None}
        return api("POST", f"{location}/triggers?triggerId={trigger_id}", json=body)

    return post_trigger


@pytest.fixture
def arguments(api, echo):
    """Return a function that waits for executions of the workflow and returns their arguments."""

    def wait(number):
        path = f"{echo}/executions?view=FULL"
        deadline = time.monotonic() + 10
        while len(found := api("GET", path).json().get("executions", [])) < number:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return [json.loads(each["argument"]) for each in found]

    return wait


def names_of(events):
    return [event["data"]["name"] for event in events]


def test_an_upload_starts_an_execution_with_the_event(create, bucket, echo, arguments):
    create(bucket, echo).raise_for_status()

    blob = bucket.blob("week 05/admissions.csv")
    blob.upload_from_string("a,b\n", content_type="text/csv")

    [event] = arguments(1)
    assert event["specversion"] == "1.0"
    assert event["type"] == FINALIZED
    assert event["source"] == f"//storage.googleapis.com/projects/_/buckets/{bucket.name}"
    assert event["subject"] == "objects/week 05/admissions.csv"
    assert event["bucket"] == bucket.name
    assert re.fullmatch(r"[0-9]+", event["id"])
    data = event["data"]
    assert (data["bucket"], data["name"], data["contentType"]) == (bucket.name, blob.name, "text/csv")
    assert (data["generation"], data["size"]) == (str(blob.generation), "4")
    assert event["time"] == data["timeCreated"]


@pytest.mark.parametrize("kind", ["overwrite", "compose", "rewrite", "copy", "resumable", "xml"])
def test_every_way_to_make_an_object_is_an_event(create, bucket, echo, arguments, client, http, kind):
    source = bucket.blob("source")
    source.upload_from_string(b"x" * 10)
    create(bucket, echo).raise_for_status()

    name = "made"
    if kind == "overwrite":
        name = "source"
        source.upload_from_string(b"y")
    elif kind == "compose":
        bucket.blob(name).compose([source])
    elif kind == "rewrite":
        bucket.blob(name).rewrite(source)
    elif kind == "copy":
        http("POST", f"/storage/v1/b/{bucket.name}/o/source/copyTo/b/{bucket.name}/o/{name}", json={})
    elif kind == "resumable":
        bucket.blob(name, chunk_size=256 * 1024).upload_from_string(b"z" * 300_000)
    else:
        started = http("POST", f"/{bucket.name}/{name}?uploads")
        upload = re.search("<UploadId>(.*)</UploadId>", started.text)[1]
        http("PUT", f"/{bucket.name}/{name}?uploadId={upload}&partNumber=1", data=b"part")
        parts = "<X><Part><PartNumber>1</PartNumber></Part></X>"
        http("POST", f"/{bucket.name}/{name}?uploadId={upload}", data=parts).raise_for_status()

    [event] = arguments(1)
    assert event["data"]["name"] == name
    assert event["data"]["generation"] == str(bucket.get_blob(name).generation)


def test_nothing_else_is_an_event(create, bucket, echo, arguments, client, api):
    source = bucket.blob("source")
    source.upload_from_string(b"x")
    other = client.create_bucket(f"other-{uuid.uuid4().hex[:8]}", location="us-central1")
    create(bucket, echo).raise_for_status()

    source.metadata = {"a": "b"}
    source.patch()
    with pytest.raises(Exception, match="412"):
        source.upload_from_string(b"x", if_generation_match=0)
    source.delete()
    other.blob("elsewhere").upload_from_string(b"x")
    bucket.blob("last").upload_from_string(b"x")

    assert [event["data"]["name"] for event in arguments(1)] == ["last"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"eventFilters": [{"attribute": "type", "value": FINALIZED}]}, "filtered by type and bucket"),
        ({"eventFilters": None}, "eventFilters must be a list"),
        ({"destination": {"cloudRun": {"service": "s"}}}, "the destination must be a workflow"),
        ({"serviceAccount": None}, "a service account is required"),
        ({"serviceAccount": "other@p.iam.gserviceaccount.com"}, "Unknown service account: other@p"),
        ({"transport": {"pubsub": {"topic": "t"}}}, "a topic may be given"),
        ({"channel": "c"}, "channel is not a setting"),
        ({"trigger_id": "Uploads"}, "the trigger id 'Uploads'"),
        ({"bucket": "no-such-bucket"}, "The specified bucket does not exist: no-such-bucket"),
        ({"workflow": f"{LOCATION}/workflows/none"}, "workflows/none' does not exist"),
    ],
    ids=str,
)
def test_a_trigger_that_would_never_start_anything_is_refused(create, bucket, echo, api, changes, said):
    asked = {"bucket": bucket, "workflow": echo, **changes}

    refused = create(asked.pop("bucket"), asked.pop("workflow"), **asked)

    assert refused.status_code == 400
    assert said in refused.json()["error"]["message"]
    assert api("GET", TRIGGERS).json() == {}


@pytest.mark.parametrize("value", ["google.cloud.storage.object.v1.deleted", "finalized"])
def test_another_type_of_event_is_refused(create, bucket, echo, value):
    filters = [{"attribute": "type", "value": value}, {"attribute": "bucket", "value": bucket.name}]

    refused = create(bucket, echo, eventFilters=filters)

    assert refused.status_code == 400
    assert f"the event type '{value}' is not emulated" in refused.json()["error"]["message"]


@pytest.mark.parametrize(("place", "location"), [(None, "us"), ("europe-west4", "europe-west4")])
def test_a_trigger_elsewhere_than_its_bucket_is_refused(create, client, echo, place, location):
    bucket = client.create_bucket(f"elsewhere-{uuid.uuid4().hex[:8]}", location=place)

    refused = create(bucket, echo)

    assert refused.status_code == 400
    assert (
        f'Bucket "{bucket.name}" location "{location}" does not match trigger location "us-central1". '
        f'Try again by creating the trigger in "{location}".' in refused.json()["error"]["message"]
    )


def test_the_workflow_may_be_elsewhere_than_the_bucket(create, client, echo, arguments):
    bucket = client.create_bucket(f"elsewhere-{uuid.uuid4().hex[:8]}", location="europe-west4")

    create(bucket, echo, location="/v1/projects/p/locations/europe-west4").raise_for_status()
    bucket.blob("x").upload_from_string(b"x")

    assert arguments(1)[0]["data"]["name"] == "x"


def test_a_trigger_is_created_once_and_gone_once_it_is_deleted(create, bucket, echo, api, arguments):
    operation = create(bucket, echo).json()
    again = create(bucket, echo)
    done = api("GET", f"/v1/{operation['name']}").json()
    described = api("GET", f"{TRIGGERS}/uploads").json()
    listed = api("GET", TRIGGERS).json()["triggers"]
    everywhere = api("GET", "/v1/projects/p/locations/-/triggers").json()["triggers"]
    bucket.blob("before").upload_from_string(b"x")
    arguments(1)
    api("DELETE", f"{TRIGGERS}/uploads").raise_for_status()
    bucket.blob("after").upload_from_string(b"x")
    create(bucket, echo).raise_for_status()
    bucket.blob("last").upload_from_string(b"x")

    assert (operation["done"], done["done"]) == (False, True)
    assert again.status_code == 409
    assert {"uid", "createTime", "updateTime", "etag"} <= described.keys()
    assert done["response"] == {"@type": "type.googleapis.com/google.cloud.eventarc.v1.Trigger", **described}
    assert listed == everywhere == [described]
    assert [event["data"]["name"] for event in arguments(2)] == ["last", "before"]


def test_events_are_delivered_as_often_as_a_test_orders(create, cloud, bucket, echo, arguments):
    create(bucket, echo).raise_for_status()
    post(f"{cloud.apis}/_emulator/eventarc", {"deliveries": {"five": 5, "none": 0}})

    for name in ("five", "none", "one"):
        bucket.blob(name).upload_from_string(b"x")

    events = arguments(6)
    names = [event["data"]["name"] for event in events]
    assert sorted(names) == ["five"] * 5 + ["one"]
    assert len({event["id"] for event in events if event["data"]["name"] == "five"}) == 1
    shown = request("GET", f"{cloud.apis}/_emulator/eventarc").json()
    assert (shown["delivered"], shown["waiting"]) == (6, 0)


def test_the_same_seed_duplicates_the_same_events(create, cloud, bucket, echo, arguments):
    create(bucket, echo).raise_for_status()
    numbers = []

    for turn in ("a", "b"):
        wish = {"duplicate": 0.4, "seed": 7, "deliveries": {f"{turn}/end": 1}}
        post(f"{cloud.apis}/_emulator/eventarc", wish)
        for index in range(20):
            bucket.blob(f"{turn}/{index:02d}").upload_from_string(b"x")
        bucket.blob(f"{turn}/end").upload_from_string(b"x")  # which is delivered after all others
        wait_until(lambda turn=turn: f"{turn}/end" in names_of(arguments(0)))
        names = [name.partition("/")[2] for name in names_of(arguments(0)) if name.startswith(f"{turn}/")]
        numbers.append(sorted(names))

    assert numbers[0] == numbers[1]
    assert 23 <= len(numbers[0]) <= 37
    assert len(set(numbers[0])) == 21


def test_a_late_event_comes_after_its_delay(create, cloud, bucket, echo, arguments):
    create(bucket, echo).raise_for_status()
    post(f"{cloud.apis}/_emulator/eventarc", {"delay_seconds": 0.5})

    begun = time.monotonic()
    bucket.blob("late").upload_from_string(b"x")
    early = arguments(0)
    arguments(1)

    assert early == []
    assert time.monotonic() - begun >= 0.5


@pytest.mark.parametrize(
    "wish",
    [
        {"duplicate": 2},
        {"delay_seconds": -1},
        {"delay_seconds": 1e300},
        {"deliveries": {"a": 1.5}},
        {"deliveries": 3},
        {"x": 1},
    ],
)
def test_an_order_that_makes_no_sense_is_refused(cloud, wish):
    refused = request("POST", f"{cloud.apis}/_emulator/eventarc", json=wish)

    assert refused.status_code == 400
    assert next(iter(wish)) in refused.json()["error"]["message"]


def test_an_event_that_is_too_large_for_an_argument_starts_nothing(create, bucket, echo, arguments, capfd):
    create(bucket, echo).raise_for_status()
    blob = bucket.blob("large")
    blob.metadata = {"note": "n" * 33_000}

    blob.upload_from_string(b"x")
    bucket.blob("small").upload_from_string(b"x")

    assert [event["data"]["name"] for event in arguments(1)] == ["small"]


def test_a_disabled_api_makes_no_triggers(create, bucket, echo, api):
    api("POST", "/v1/projects/p/services/eventarc.googleapis.com:disable", json={}).raise_for_status()

    refused = create(bucket, echo)

    assert refused.status_code == 403
    assert "Eventarc API has not been used in project" in refused.json()["error"]["message"]
