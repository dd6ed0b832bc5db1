"""Every binding is needed, and none allows more than what was asked for or has a reason.

Each lane is used once, with the rights of its plan or of its deployment; the rest is evaluated on the record.
"""

import shutil
import subprocess
import sys

import pytest

from localcloud.rights.grants import grants_of
from localcloud.rights.roles import BASIC_ROLES
from ops.cloud.permissions import WORKS
from ops.people import WORK
from ops.rehearsal.policies import policy_of
from ops.rehearsal.rights import person
from tests.cloud_runs import PROJECT
from tests.experiments import POPULATIONS, REPOSITORY, calibrated, write_repository
from tests.governed_lanes import PLANNED, BatchLane
from tests.gpu_lanes import SENTENCE, gpu_lane
from tests.rights_records import Record, narrower, reasons
from tests.terraform_plans import configured, plans
from tests.web_services import FORECAST, SENTIMENT

# Of a role that is narrower, and why it is not given.
NOT_GIVEN = {
    "roles/storage.legacyObjectReader": "it stands for an entry of an ACL; Google advises against those, and "
    "what objectViewer has beside it has no effect under a condition, or lists a bucket of inputs",
}
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def of_batch(tmp_path_factory):
    """The record of two runs, one over a claim that was left, a build, a job by hand, and checks."""
    with configured(tmp_path_factory) as configuration:
        plan = plans(configuration)(**PLANNED)
    with BatchLane.of_plan(plan, tmp_path_factory.mktemp("batch")) as lane:
        lane.build()
        lane.leave_claim(lane.run())
        lane.run(lane.run_id())
        lane.run_single_job()
        lane.look()
        lane.check()
        yield lane.record()


@pytest.fixture(scope="module")
def of_gpu(tmp_path_factory):
    """The record of two uploads, one of which is told twice, with the bindings that the deployment gave."""
    folder = tmp_path_factory.mktemp("gpu")
    write_repository(folder / "forecast", calibrated())
    shutil.copytree(POPULATIONS, folder / "forecast" / "data" / "epydemix-data")
    archive = folder / "forecast.tar.gz"
    pack = [sys.executable, str(REPOSITORY / "scripts" / "pack_forecast.py"), folder / "forecast", archive]
    subprocess.run(pack, check=True)
    words = ("--clock-speed", "60", "--idle-seconds", "100000", "--rights-of", PROJECT)
    models = f"{FORECAST},{SENTIMENT}"
    with gpu_lane(tmp_path_factory.mktemp("state"), *words, archive=archive, MODELS=models) as lane:
        lane.deliver("trial.tar.gz", 2)
        generation = lane.upload("trial.tar.gz", archive.read_bytes())
        ended = lane.ended("trial.tar.gz", generation, number=2)
        lane.done("a.txt", lane.upload("a.txt", SENTENCE))
        assert [each["state"] for each in ended] == ["SUCCEEDED", "SUCCEEDED"]
        storage, apis = lane.emulator.storage, lane.emulator.apis
        grants = [
            grant
            for holder in lane_holders(lane)
            for grant in grants_of(holder, policy_of(storage, apis, holder))
        ]
        yield Record.of(lane.emulator, PROJECT, grants)


def lane_holders(lane):
    buckets = [f"projects/_/buckets/{lane.names.bucket(each)}" for each in ("input", "models", "output")]
    place = f"projects/{PROJECT}/locations/{lane.cloud.region}/services"
    services = ("preprocess", "inference", "postprocess")
    return [f"projects/{PROJECT}", *buckets, *(f"{place}/{lane.names.service(each)}" for each in services)]


@pytest.fixture(scope="module", params=["of_batch", "of_gpu"])
def record(request):
    """The record of one lane after the other."""
    return request.getfixturevalue(request.param)


def of_accounts(record):
    """Return the grants of accounts, which are those of the plan or the deployment."""
    return [grant for grant in record.grants if not grant.member.startswith("user:")]


def test_the_bindings_are_enough(record):
    assert len(of_accounts(record)) > 20
    assert len(record.questions) > 60
    assert record.denied == []


def test_what_the_evaluation_allows_is_what_the_cloud_allowed(record):
    assert [each for each in record.questions if record.allowing(each, record.grants) != each.by] == []


def test_without_any_one_binding_something_would_be_denied(record):
    assert [grant for grant in of_accounts(record) if not record.denied_without(grant)] == []


def test_no_binding_allows_more_than_was_asked_for_without_a_reason(record):
    known = list(reasons())

    without = {
        (grant.role, each)
        for grant in of_accounts(record)
        for each in record.unused(grant)
        if not any(reason.covers(grant.role, each) for reason in known)
    }

    assert sorted(without) == []


def test_each_reason_is_needed(of_batch, of_gpu):
    unused = {
        (grant.role, each)
        for record in (of_batch, of_gpu)
        for grant in of_accounts(record)
        for each in record.unused(grant)
    }
    known = list(reasons())

    idle = [
        (reason.role, part)
        for reason in known
        for part in reason.permissions
        if not any(reason.of(part).covers(*each) for each in unused)
    ]
    twice = [each for each in unused if sum(reason.covers(*each) for reason in known) > 1]

    assert idle == []
    assert sorted(twice) == []
    assert all(len(reason.reason) > 20 for reason in known)


def test_no_narrower_role_would_do(record):
    found = {
        (grant.role, other)
        for grant in of_accounts(record)
        for other in narrower(grant.role, record.used(grant))
    }

    assert {other for _, other in found} - set(NOT_GIVEN) == set()
    assert not {grant.role for grant in of_accounts(record)} & set(BASIC_ROLES)


def test_each_person_asks_only_for_what_the_list_of_its_work_has(of_batch):
    people = {person(work): work for work in WORK}
    asked = [each for each in of_batch.questions if each.member in people]

    beyond = {
        (people[each.member], each.permission)
        for each in asked
        if each.permission not in permissions_for(people[each.member])
    }

    assert {people[each.member] for each in asked} == set(WORK)
    assert sorted(beyond) == []


def permissions_for(name):
    """Return the permissions that a work needs, with those of the work before it."""
    work = WORKS[name]
    own = {each for right in work.rights for each in right.permissions}
    return own | (permissions_for(work.after) if work.after else set())
