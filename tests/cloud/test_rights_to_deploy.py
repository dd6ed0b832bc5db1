"""The person who deploys the GPU lane: asked only for what the list has, and for all of it.

The lane is checked, built, deployed, changed and removed, with exactly the roles of ops/people.py.
"""

from dataclasses import replace

import pytest

from localcloud.process import running
from localcloud.rights.resources import bucket_name
from localcloud.rights.roles import permissions_of
from ops.gpu import checkup
from ops.gpu.build import build
from ops.gpu.destroy import destroy
from ops.gpu.names import BUCKETS, SERVICES
from ops.gpu.rights import places_of_people
from ops.images import images
from ops.laptop.local_cloud import STRUCTURE_TEST
from ops.people import GPU_WORK, PROJECT, Right, Work
from ops.rehearsal.rights import rights_of_people
from tests.cloud_runs import PROJECT as NAME
from tests.emulated import add_image, request
from tests.governed_lanes import docker_that_builds_nothing
from tests.gpu_lanes import GpuLane
from tests.rights_records import REASONS_OF_PEOPLE, People, Question, Record, reasons
from tests.web_services import SENTIMENT

DEPLOYER = "deploy the lane"
WORKS = {DEPLOYER: GPU_WORK[DEPLOYER]}
FIRST = {"alert_email": "lab@example.org"}
# Each changes something: the channel, buckets, a service, all labels, the workflow, the project's policy.
CHANGED = {
    "alert_email": "others@example.org",
    "work_retention_days": 9,
    "preprocess_memory": "4Gi",
    "environment": "staging",
    "timeout_seconds": 200,
    "audit_data_access": True,
}
SHARED = {"gpu_repo_name": "images-of-the-lab"}
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def lane(tmp_path_factory):
    """A lane that is gone again, in a project whose record has all that its deployer did."""
    folder = tmp_path_factory.mktemp("gpu")
    words = ("--clock-speed", "60", "--rights-of", NAME, "--builder", STRUCTURE_TEST, "true")
    with docker_that_builds_nothing(folder / "bin"), running(folder / "state", *words) as emulator:
        variables = {"MODELS": SENTIMENT, "CUDA_VISIBLE_DEVICES": ""}
        lane = GpuLane(emulator, variables, deployer=DEPLOYER)
        remove_the_images(lane)
        lane.admit(DEPLOYER)
        request("DELETE", f"{emulator.apis}/_emulator/rights").raise_for_status()
        live(lane)
        yield lane


def remove_the_images(lane):
    """Leave the making of the repository to whoever builds."""
    lane.cloud.read(
        ["artifacts", "repositories", "delete", lane.names.repository, *lane.cloud.in_region, "--quiet"],
        echo=False,
    )


def live(lane):
    """Do everything that the work is: from the check of a new project to the removal of the last image."""
    with pytest.MonkeyPatch.context() as patch:  # files that differ from a commit are built each time
        patch.setattr(images, "source_commit", lambda: "a" * 40)
        build(lane.cloud_of(DEPLOYER))
        older = lane.names.image(SERVICES[0], "stable")
        add_image(lane.emulator, older, f"sha256:{'1' * 64}")
        build(lane.cloud_of(DEPLOYER, image_tag="stable"))
        build(lane.cloud_of(DEPLOYER, image_tag="stable"), force=True)
    checkup.examine(lane.cloud_of(DEPLOYER).shell, lane.settings.model_copy(update={"gpu_type": "none"}))
    lane.deploy(**FIRST)
    lane.deploy(**CHANGED)
    start_endless_execution(lane)
    destroy(lane.cloud_of(DEPLOYER, **CHANGED), nothing_asked, delete_data=True)
    build(lane.cloud_of(DEPLOYER, **SHARED), force=True)  # in a repository that is then left to others
    destroy(lane.cloud_of(DEPLOYER, **SHARED), nothing_asked)


def start_endless_execution(lane):
    """Start an execution that the removal has to cancel."""
    source = lane.emulator.state / "long.yaml"
    source.write_text(
        "main:\n  steps:\n    - wait:\n        call: sys.sleep\n        args: {seconds: 80000}\n"
    )
    name, where = lane.names.workflow, lane.cloud.in_region
    lane.cloud.read(["workflows", "deploy", name, "--source", str(source), *where], echo=False)
    lane.cloud.read(["workflows", "execute", name, *where], echo=False)


def nothing_asked(summary):
    """Say yes to a summary."""


@pytest.fixture(scope="module")
def people(lane):
    record = Record.of(lane.emulator, NAME, rights_of_people(WORKS, lane.settings))
    names = lane.names
    buckets = (names.build_bucket, *map(names.bucket, BUCKETS))
    return People(record, places_of_people(lane.settings), tuple(map(bucket_name, buckets)))


def test_who_deploys_is_denied_nothing_and_asks_only_for_what_the_list_has(people):
    assert len(people.record.questions) > 50
    assert people.record.denied == []
    assert people.unlisted(WORKS) == []


def test_what_is_asked_on_a_bucket_of_others_is_found(people):
    permission, other = "storage.buckets.setIamPolicy", bucket_name("of-others")
    (by,) = [each for each in people.record.grants if each.role == "roles/storage.admin"]
    asked = Question(by.member, permission, other, frozenset({by}))
    more = replace(people.record, questions=(*people.record.questions, asked))

    assert replace(people, record=more).unlisted(WORKS) == [(DEPLOYER, permission, other)]


def test_without_any_one_role_something_would_be_denied_or_the_role_has_a_reason(people):
    assert people.needless(WORKS) == []


def test_each_permission_of_the_list_is_asked_or_has_a_reason(people):
    idle = people.unasked(WORKS)

    known = [
        (each.role, part)
        for each in reasons(REASONS_OF_PEOPLE)
        if each.work == DEPLOYER
        for part in each.permissions
    ]
    assert sorted(known) == sorted((each.role, each.permission) for each in idle)


def test_a_permission_that_nobody_is_asked_for_is_found(people):
    more = Right.of("run.admin", PROJECT, "run.services.list run.jobs.list", made="run.jobs.get")
    assert {*more.permissions, *more.made} <= permissions_of("roles/run.admin")

    found = people.unasked({DEPLOYER: Work((), (more,))})

    assert [each.permission for each in found] == ["run.jobs.list", "run.jobs.get"]
    assert not any(each.has_reason for each in found)
