"""The GPU lane beside what other lanes and people have in the same project."""

import pytest

from localcloud.environment import client_environment
from localcloud.process import running
from ops.cloud.cloud import Cloud
from ops.environment import read_settings
from ops.gcloud import GcloudError
from ops.gpu.deploy import Wish, plan
from ops.gpu.found import Found, Grant, look
from ops.gpu.lane import Lane
from ops.gpu.names import SERVICES, Names
from ops.gpu.removals import removal_steps, stop_step
from ops.gpu.rights import grant_changes
from ops.gpu.steps import run_all
from ops.names import COMPONENT
from ops.shell import Shell
from tests.cloud_runs import PROJECT, REGION
from tests.emulated import add_image, post, request
from tests.needs import need_program

MONITORING = f"/v3/projects/{PROJECT}"
MANY = 230  # three pages of a list


class Neighbourhood:
    """A project in which things are made by hand, and lanes that look around in it."""

    def __init__(self, emulator):
        need_program("gcloud")
        self.emulator = emulator
        environment = client_environment(emulator.storage, emulator.apis, emulator.state, PROJECT)
        self._shell = Shell(environment=environment)

    def cloud(self, prefix: str = "ml-pipeline", **settings: str) -> Cloud:
        environ = {"PROJECT_ID": PROJECT, "REGION": REGION, "SERVICE_PREFIX": prefix, **settings}
        return Cloud.of(self._shell, read_settings(environ), needs_bucket=False)

    def look(self, cloud: Cloud):
        return look(cloud, Names.of(cloud.settings))

    def add_parts(self, stem: str) -> None:
        """Make a part of each kind of a lane."""
        apis, storage = self.emulator.apis, self.emulator.storage
        post(f"{storage}/storage/v1/b?project={PROJECT}", {"name": f"{stem}-input"})
        post(f"{apis}/v1/projects/{PROJECT}/serviceAccounts", {"accountId": f"{stem}-pre"})
        self.add_alert(f"{stem}: a run failed")
        post(f"{apis}/v1/projects/{PROJECT}/dashboards", dashboard(f"{stem}: the GPU lane"))
        channel = {
            "type": "email",
            "displayName": f"GPU lane ({stem})",
            "labels": {"email_address": "a@b.org"},
        }
        post(f"{apis}{MONITORING}/notificationChannels", channel)

    def add_alert(self, title: str, **labels: str) -> None:
        filters = 'metric.type="run.googleapis.com/request_count" AND resource.type="cloud_run_revision"'
        threshold = {"filter": filters, "comparison": "COMPARISON_GT", "duration": "0s"}
        threshold["aggregations"] = [{"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_DELTA"}]
        condition = {"displayName": "some", "conditionThreshold": threshold}
        alert = {"displayName": title, "combiner": "OR", "conditions": [condition], "userLabels": labels}
        post(f"{self.emulator.apis}{MONITORING}/alertPolicies", alert)


def dashboard(title: str) -> dict:
    text = {"text": {"content": "x"}}
    return {"displayName": title, "gridLayout": {"columns": "1", "widgets": [text]}}


@pytest.fixture(scope="module")
def neighbourhood(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "60") as emulator:
        yield Neighbourhood(emulator)


@pytest.fixture(autouse=True)
def emptied(neighbourhood):
    yield
    request("POST", f"{neighbourhood.emulator.apis}/_emulator/reset")


@pytest.mark.parametrize("prefix", ["ml-x", "ml-pipelines", "ml-pipeline-x", "THE STEM"])
def test_lanes_whose_prefixes_begin_alike_see_nothing_of_each_other(neighbourhood, prefix):
    ours = neighbourhood.cloud()
    stem = Names.of(ours.settings).stem
    other = neighbourhood.cloud(prefix.replace("THE STEM", stem))
    neighbourhood.add_parts(Names.of(other.settings).stem)

    found = neighbourhood.look(ours)
    theirs = neighbourhood.look(other)

    kinds = ("buckets", "accounts", "alerts", "dashboards", "channels")
    assert {kind: len(getattr(found, kind)) for kind in kinds} == dict.fromkeys(kinds, 0)
    assert {kind: len(getattr(theirs, kind)) for kind in kinds} == dict.fromkeys(kinds, 1)


def test_a_lane_is_found_behind_many_resources_of_others(neighbourhood):
    for number in range(MANY):
        neighbourhood.add_alert(f"another {number}")
        post(f"{neighbourhood.emulator.apis}/v1/projects/{PROJECT}/dashboards", dashboard(f"z {number}"))
    cloud = neighbourhood.cloud()
    neighbourhood.add_parts(Names.of(cloud.settings).stem)

    found = neighbourhood.look(cloud)

    kinds = ("buckets", "accounts", "alerts", "dashboards", "channels")
    assert {kind: len(getattr(found, kind)) for kind in kinds} == dict.fromkeys(kinds, 1)


def test_images_that_a_service_of_another_lane_runs_are_not_deleted_with_this_one(neighbourhood):
    cloud = neighbourhood.cloud(GPU_REPO_NAME="images")
    names = Names.of(cloud.settings)
    for name in SERVICES:
        add_image(neighbourhood.emulator, names.image(name, "latest"), f"sha256:{'1' * 64}")
    deploy = ["run", "deploy", "another", "--image", names.image("inference", "latest")]
    with pytest.raises(GcloudError, match="failed to start"):  # for want of settings, but it names the image
        cloud.read([*deploy, "--region", REGION, "--no-allow-unauthenticated", *cloud.in_project], echo=False)

    found = neighbourhood.look(cloud)

    assert found.images == ["preprocess", "postprocess"]


def test_a_deployment_deletes_an_alert_that_is_there_twice_and_none_of_a_person(neighbourhood, tmp_path):
    cloud = neighbourhood.cloud()
    stem = Names.of(cloud.settings).stem
    for _ in range(2):
        neighbourhood.add_alert(f"{stem}: a run failed", component=COMPONENT)
    neighbourhood.add_alert(f"{stem}: mine")
    lane = Lane(cloud, Names.of(cloud.settings), neighbourhood.look(cloud), tmp_path)

    changes = [change for step in plan(lane, {}, Wish()) for change in step.changes if "alert" in change]

    assert changes.count(f"delete alert {stem}: a run failed, which is there twice") == 1
    assert not [change for change in changes if "mine" in change]


def test_a_right_under_a_condition_does_not_stand_for_the_right_itself(neighbourhood, tmp_path):
    cloud = neighbourhood.cloud()
    names = Names.of(cloud.settings)
    place = f"{neighbourhood.emulator.apis}/v1/projects/{PROJECT}"
    post(f"{place}/serviceAccounts", {"accountId": names.account_id("workflow")})
    role, member = "roles/logging.logWriter", names.member("workflow")
    condition = {"title": "until then", "expression": 'request.time < timestamp("2020-01-01T00:00:00Z")'}
    bindings = [
        {"role": role, "members": [member], "condition": condition},
        {"role": "roles/viewer", "members": [f"deleted:{member}?uid=123456789"]},
    ]
    post(f"{place}:setIamPolicy", {"policy": {"bindings": bindings, "version": 3}})

    found = neighbourhood.look(cloud)

    wanted = grant_changes(Lane(cloud, names, found, tmp_path))
    assert f"grant {role} to {member}" in [each.what for each in wanted]
    assert {each.role for each in found.grants} == {role, "roles/viewer"}


def test_what_another_removal_has_deleted_meanwhile_does_not_stop_this_one(neighbourhood):
    cloud = neighbourhood.cloud(GPU_REPO_NAME="images")
    names = Names.of(cloud.settings)
    add_image(neighbourhood.emulator, names.image("another", "latest"), f"sha256:{'1' * 64}")
    apis = ("run", "workflows", "eventarc", "monitoring", "logging", "artifactregistry")
    cloud.read(["services", "enable", *(f"{each}.googleapis.com" for each in apis), *cloud.in_project])
    titled, monitored = {"displayName": names.stem}, f"projects/{PROJECT}"
    gone = Found(
        triggers={names.trigger: {}},
        workflows={names.workflow: {}},
        services={names.service("inference"): {}},
        alerts={f"{monitored}/alertPolicies/1": titled},
        dashboards={f"{monitored}/dashboards/1": titled},
        channels={f"{monitored}/notificationChannels/1": titled},
        log_metrics={f"{names.stem}-errors": {}},
        buckets={names.bucket("input"): {}},
        repositories={names.stem: {}},
        images=["inference"],
        grants=[Grant("roles/logging.logWriter", names.member("workflow"))],
        accounts={names.account("workflow"): {}},
    )
    told = []

    steps = [stop_step(cloud, gone), *removal_steps(cloud, names, gone)]
    run_all(cloud, steps, lambda title, _: told.append(title))

    assert len(told) == len([step for step in steps if step.is_needed]) == 10
