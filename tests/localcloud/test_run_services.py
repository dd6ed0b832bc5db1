"""Services of Cloud Run from their creation to their deletion, over the Admin API and with real instances."""

import pytest

from localcloud.messages import ApiError
from tests.emulated import post
from tests.localcloud.run_api import DIGEST, HOST, IMAGE, PLACE, HeldRun, RunApi, gpu_service, ready, service
from tests.localcloud.workflow_api import wait_until

POLICY = "/v1/projects/p/locations/us-central1/services/app"
OPEN = {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("program")


@pytest.fixture
def run(cloud, api, folder):
    yield RunApi(cloud, api, folder)
    post(f"{cloud.apis}/_emulator/reset", {})


@pytest.fixture
def held():
    """Cloud Run whose instances start when the test lets them."""
    held = HeldRun()
    yield held
    held.instances.go.set()


def test_a_service_is_told_with_its_defaults_and_answers_under_both_urls(run):
    made = run.deploy(run.program(nonce="n1"))
    run.http("POST", f"{POLICY}:setIamPolicy", json={"policy": OPEN}).raise_for_status()
    hashed, revision = made["status"]["url"], made["status"]["latestReadyRevisionName"]
    spec = made["spec"]["template"]["spec"]

    answers = [run.call(url) for url in ("https://app-123456789012.us-central1.run.app", hashed)]

    assert [each.text for each in answers] == [f"1 {revision}"] * 2
    assert made["metadata"]["labels"] == {"cloud.googleapis.com/location": "us-central1"}
    assert (
        '"https://app-123456789012.us-central1.run.app"'
        in made["metadata"]["annotations"]["run.googleapis.com/urls"]
    )
    assert {each["type"]: each["status"] for each in made["status"]["conditions"]} == {
        "Ready": "True",
        "ConfigurationsReady": "True",
        "RoutesReady": "True",
    }
    assert made["status"]["observedGeneration"] == made["metadata"]["generation"] == 1
    assert made["status"]["traffic"] == [{"revisionName": revision, "percent": 100, "latestRevision": True}]
    assert (spec["containerConcurrency"], spec["timeoutSeconds"]) == (80, 300)
    assert spec["containers"][0]["resources"]["limits"] == {"cpu": "1000m", "memory": "512Mi"}
    assert spec["serviceAccountName"] == "123456789012-compute@developer.gserviceaccount.com"


def test_a_new_template_makes_a_revision_that_serves_and_the_old_one_stays_listed(run):
    first = run.deploy(run.program(nonce="n1"))
    run.http("POST", f"{POLICY}:setIamPolicy", json={"policy": OPEN}).raise_for_status()

    second = run.deploy(run.program(nonce="n2", version="2"))

    newest, oldest = run.revisions("serving.knative.dev/service = app")
    assert second["metadata"]["generation"] == 2
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert run.call(second["status"]["url"]).text == f"2 {newest['metadata']['name']}"
    assert [each["metadata"]["name"] for each in run.revisions("client.knative.dev/nonce = n1")] == [
        oldest["metadata"]["name"]
    ]
    active = [each["status"]["conditions"][1]["status"] for each in (newest, oldest)]
    assert active == ["True", "False"]
    assert newest["status"]["imageDigest"] == f"{IMAGE.partition(':')[0]}@{DIGEST}"


def test_a_service_is_put_back_as_it_was_read_without_a_new_generation(run):
    made = run.deploy(run.program())

    same = run.http("PUT", f"{PLACE}/services/app", json=made).json()

    assert same["metadata"]["generation"] == 1
    assert len(run.revisions()) == 1


def test_a_probe_of_ones_own_replaces_the_one_that_the_service_made(run):
    made = run.deploy(run.program())
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container["startupProbe"]["tcpSocket"] == {"port": 8080}

    container["ports"] = [{"name": "http1", "containerPort": 9000}]
    moved = run.deploy(made)["spec"]["template"]["spec"]["containers"][0]
    made["metadata"].pop("resourceVersion")
    container["startupProbe"] = {"httpGet": {"path": "/"}, "periodSeconds": 2}
    own = run.deploy(made)["spec"]["template"]["spec"]["containers"][0]

    assert moved["startupProbe"]["tcpSocket"] == {"port": 9000}
    assert own["startupProbe"] == {
        "httpGet": {"path": "/", "port": 9000},
        "periodSeconds": 2,
        "timeoutSeconds": 1,
        "failureThreshold": 3,
    }


def test_a_revision_that_does_not_start_is_reported_and_the_old_one_serves_on(run):
    good = run.deploy(run.program())
    run.http("POST", f"{POLICY}:setIamPolicy", json={"policy": OPEN}).raise_for_status()

    failed = run.deploy(run.program(variables=[{"name": "EXIT", "value": "no model"}]))

    newest, oldest = run.revisions()
    assert ready(failed)["status"] == "False"
    assert ready(failed)["message"].startswith(
        f"Revision '{newest['metadata']['name']}' is not ready and cannot"
    )
    assert (ready(newest)["status"], ready(oldest)["status"]) == ("False", "True")
    assert failed["status"]["latestReadyRevisionName"] == oldest["metadata"]["name"]
    assert run.call(good["status"]["url"]).text == f"1 {oldest['metadata']['name']}"


def test_traffic_returns_to_an_older_revision_and_to_the_latest(run):
    first = run.deploy(run.program())["status"]["latestReadyRevisionName"]
    made = run.deploy(run.program(version="2"))
    run.http("POST", f"{POLICY}:setIamPolicy", json={"policy": OPEN}).raise_for_status()
    latest = made["status"]["latestReadyRevisionName"]

    made["spec"]["traffic"] = [{"revisionName": first, "percent": 100}]
    back = run.deploy(made)
    after_return = run.call(made["status"]["url"]).text
    back["spec"]["traffic"] = [{"latestRevision": True, "percent": 100}]
    run.deploy(back)

    assert back["status"]["traffic"] == [{"revisionName": first, "percent": 100}]
    assert after_return == f"1 {first}"
    assert run.call(made["status"]["url"]).text == f"2 {latest}"


def test_a_service_that_was_changed_since_it_was_read_is_not_overwritten(run):
    old = run.deploy(run.program())
    run.deploy(run.program(version="2"))

    refused = run.http("PUT", f"{PLACE}/services/app", json=old)

    assert refused.status_code == 409
    assert refused.json()["error"]["status"] == "ABORTED"
    assert "Conflict for resource 'app': version" in refused.text


def test_a_deleted_service_is_gone_with_its_revisions_and_its_host(run):
    made = run.deploy(run.program())

    deleted = run.http("DELETE", f"{PLACE}/services/app").json()

    assert deleted["status"] == "Success"
    assert run.http("GET", f"{PLACE}/services/app").status_code == 404
    assert run.http("DELETE", f"{PLACE}/services/app").status_code == 404
    assert run.revisions() == []
    assert run.call(made["status"]["url"]).status_code == 404


def test_only_a_revision_without_traffic_that_is_not_the_latest_can_be_deleted(run):
    first = run.deploy(run.program())["status"]["latestReadyRevisionName"]
    second = run.deploy(run.program(version="2"))["status"]["latestReadyRevisionName"]

    kept = run.http("DELETE", f"{PLACE}/revisions/{second}")
    run.http("DELETE", f"{PLACE}/revisions/{first}").raise_for_status()

    assert kept.status_code == 400
    assert [each["metadata"]["name"] for each in run.revisions()] == [second]


def test_services_of_all_regions_and_of_one_region_are_listed(run):
    run.deploy(service("here"))
    run.http("POST", f"{PLACE}/services", host="europe-west4-run.emulated", json=service("there"))

    everywhere = run.http("GET", "/v1/projects/p/locations/-/services", host="run.emulated").json()
    page = run.http("GET", f"{PLACE}/services", params={"limit": 1}).json()
    regions = run.http("GET", "/v1/projects/p/locations?pageSize=100", host="run.emulated").json()[
        "locations"
    ]

    places = {each["metadata"]["name"]: each["metadata"]["labels"] for each in everywhere["items"]}
    assert places == {
        "here": {"cloud.googleapis.com/location": "us-central1"},
        "there": {"cloud.googleapis.com/location": "europe-west4"},
    }
    assert [each["metadata"]["name"] for each in page["items"]] == ["here"]
    assert "continue" not in page["metadata"]
    assert "europe-west4" in {each["locationId"] for each in regions}
    assert run.http("GET", f"{PLACE}/services", host="nowhere-run.emulated").status_code == 404


def test_a_policy_needs_its_current_etag_and_members_that_exist(run, api):
    run.deploy(service())
    empty = run.http("GET", f"{POLICY}:getIamPolicy", host="run.emulated").json()
    account = {"role": "roles/run.invoker", "members": ["serviceAccount:caller@p.iam.gserviceaccount.com"]}

    stranger = run.http("POST", f"{POLICY}:setIamPolicy", json={"policy": {"bindings": [account]}})
    api("POST", "/v1/projects/p/serviceAccounts", json={"accountId": "caller"}).raise_for_status()
    known = {"bindings": [account], "etag": empty["etag"]}
    bound = run.http("POST", f"{POLICY}:setIamPolicy", json={"policy": known})
    stale = run.http("POST", f"{POLICY}:setIamPolicy", json={"policy": known | OPEN})

    assert "Service account caller@p.iam.gserviceaccount.com does not exist." in stranger.text
    assert bound.json()["bindings"] == [account]
    assert bound.json()["etag"] != empty["etag"]
    assert (stale.status_code, stale.json()["error"]["status"]) == (409, "ABORTED")


@pytest.mark.parametrize(
    ("binding", "words"),
    [
        ({"role": "roles/storage.admin", "members": ["allUsers"]}, "is not supported for this resource"),
        ({"role": "roles/run.invoker", "members": ["everybody"]}, "everybody is of an unknown type"),
        ({"role": "roles/run.invoker", "members": "allUsers"}, "'policy.bindings[0].members' is not a list"),
    ],
)
def test_a_policy_that_binds_nothing_is_refused(run, binding, words):
    run.deploy(service())

    refused = run.http("POST", f"{POLICY}:setIamPolicy", json={"policy": {"bindings": [binding]}})

    assert refused.status_code == 400
    assert words in refused.text


def test_a_disabled_api_refuses(run, api):
    api("POST", "/v1/projects/p/services/run.googleapis.com:disable", json={}).raise_for_status()

    refused = run.http("GET", f"{PLACE}/services")

    assert refused.status_code == 403
    assert "Cloud Run Admin API has not been used in project" in refused.text


def test_a_dry_run_changes_nothing(run):
    run.http("POST", f"{PLACE}/services?dryRun=all", json=gpu_service()).raise_for_status()
    assert run.http("GET", f"{PLACE}/services").json()["items"] == []


def test_conditions_are_unknown_until_the_first_instance_is_ready(held):
    created = held.create(service())
    before = ready(created)["status"]

    held.instances.go.set()
    wait_until(lambda: held.status() == "True")

    assert before == "Unknown"
    assert created["metadata"]["generation"] == created["status"]["observedGeneration"]


def test_a_policy_that_is_set_while_a_revision_starts_is_not_lost(held):
    held.create(service())
    wait_until(lambda: held.instances.named("deploy"))

    held.deployments.set_policy(("p", "us-central1", "app"), OPEN)
    held.instances.go.set()
    wait_until(lambda: held.status() == "True")

    assert held.instances.calls[0][2].invokers == frozenset()
    verb, _, access = held.instances.calls[-1]
    assert (verb, access.invokers) == ("allow", {"allUsers"})


def test_changes_of_one_service_are_started_one_after_the_other(held):
    held.create(service(nonce="1"))
    wait_until(lambda: held.instances.named("deploy"))
    held.replace(service(nonce="2"))
    started_at_once = len(held.instances.named("deploy"))

    held.instances.go.set()
    wait_until(lambda: held.status() == "True")

    newest, oldest = held.deployments.revisions("p", "us-central1")
    assert started_at_once == 1
    assert held.instances.named("deploy") == [oldest["metadata"]["name"], newest["metadata"]["name"]]
    assert (ready(newest)["status"], ready(oldest)["status"]) == ("True", "True")
    assert newest["status"]["conditions"][1]["status"] == "True"


def test_a_change_of_ingress_starts_nothing_and_does_not_hide_the_start_under_way(held):
    held.create(service())
    wait_until(lambda: held.instances.named("deploy"))
    held.replace(service(ingress="internal"))

    held.instances.go.set()
    wait_until(lambda: held.status() == "True")

    assert len(held.instances.named("deploy")) == 1
    assert held.instances.calls[-1][2].ingress == "internal"


def test_a_service_deleted_while_it_starts_leaves_no_instance(held):
    held.create(service())
    wait_until(lambda: held.instances.named("deploy"))
    held.deployments.delete(("p", "us-central1", "app"))
    gone = not held.exists()

    held.instances.go.set()
    wait_until(lambda: len(held.instances.named("remove")) == 2)

    assert gone
    assert not held.exists()


def test_what_failed_to_start_is_started_again_when_it_is_put_again(held):
    held.instances.failure = "no"
    held.instances.go.set()
    held.create(service())
    wait_until(lambda: held.status() == "False")

    held.instances.failure = ""
    held.replace(service())
    wait_until(lambda: held.status() == "True")

    assert len(held.instances.named("deploy")) == 2


def test_an_image_that_was_pushed_since_is_found_when_the_service_is_put_again(held):
    held.instances.go.set()
    pushed = IMAGE.replace("v1", "v2")
    held.create(service(image=pushed))
    wait_until(lambda: held.status() == "False")

    held.registry.put(pushed, DIGEST)
    held.replace(service(image=pushed))
    wait_until(lambda: held.status() == "True")

    [revision] = held.deployments.revisions("p", "us-central1")
    assert revision["status"]["imageDigest"].endswith(DIGEST)


def test_the_end_of_a_start_does_not_make_what_was_read_before_stale(held):
    read = held.create(service())["metadata"]["resourceVersion"]
    held.instances.go.set()
    wait_until(lambda: held.status() == "True")

    changed = service(spec={"timeoutSeconds": 60})
    changed["metadata"]["resourceVersion"] = read

    assert held.replace(changed)["metadata"]["generation"] == 2


def test_a_service_is_found_by_the_number_of_its_project(held):
    held.create(service())
    by_number = held.deployments.resource(("123456789012", "us-central1", "app"))

    assert by_number["metadata"]["name"] == "app"
    with pytest.raises(
        ApiError, match=r"'app' of kind 'SERVICE' in region 'us-east1' in project 'p' does not exist"
    ):
        held.deployments.resource(("p", "us-east1", "app"))


def test_the_host_of_a_region_is_needed(run):
    assert run.http("GET", f"{PLACE}/services", host="run.emulated").status_code == 404
    assert run.http("GET", f"{PLACE}/services", host=f"{HOST}:80").status_code == 200
