"""Every binding is needed, and none allows more than what was asked for or has a reason.

Each lane is used once, with the rights of its plan or of its deployment; the rest is evaluated on the record.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from localcloud.rights.grants import Grant, grants_of
from localcloud.rights.roles import BASIC_ROLES
from modeling.refusals import MAY_NOT_COUNT_YET
from ops.failures import UserError
from ops.gpu import logs, smoke, status
from ops.gpu.rights import places_of_people
from ops.gpu.uploads import Uploads
from ops.people import BUCKET, GPU_WORK, WORK, Right, Work
from ops.people import PROJECT as THE_PROJECT
from ops.rehearsal.denials import denials_explained
from ops.rehearsal.policies import policy_of
from ops.rehearsal.rights import Bindings, person
from tests.cloud_runs import PROJECT, REGION
from tests.emulated import names_in
from tests.experiments import POPULATIONS, REPOSITORY, calibrated, write_repository
from tests.governed_lanes import PLANNED, BatchLane
from tests.gpu_lanes import SENTENCE, gpu_lane
from tests.rights_records import (
    REASONS_OF_PEOPLE,
    Listed,
    People,
    Question,
    Record,
    narrower,
    reasons,
    without,
)
from tests.terraform_plans import configured, plans
from tests.web_services import FORECAST, SENTIMENT

# Of a role that is narrower, and why it is not given.
NOT_GIVEN = {
    "roles/storage.legacyObjectReader": "it stands for an entry of an ACL; Google advises against those, and "
    "what objectViewer has beside it has no effect under a condition, or lists a bucket of inputs",
}
USERS = [work for work in GPU_WORK if work != "deploy the lane"]  # see test_rights_to_deploy.py
OF_GOOGLE = {"roles/eventarc.serviceAgent"}  # whose permissions Google changes as it needs
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """The Batch lane, after its people have done all of their work."""
    with configured(tmp_path_factory) as configuration:
        plan = plans(configuration)(**PLANNED)
    with BatchLane.of_plan(plan, tmp_path_factory.mktemp("batch")) as lane:
        lane.set_token()
        lane.build()
        lane.cancel()
        lane.upload_from_here()
        lane.start_single_job()
        first = lane.run()
        lane.leave_claim(first)
        lane.run(first.run_id)
        lane.run_single_job(first.run_id)
        lane.look(first)
        lane.check()
        lane.report()
        yield People(lane.record(), places_of_people(lane.settings))


@pytest.fixture(scope="module")
def of_batch(batch):
    """The record of the Batch lane: a token, a build, a cancelled run, an upload of a repository, stage A
    by hand, two runs, one over a left claim, stage C by hand, a look at all that, checks, and a report.
    """
    return batch.record


@pytest.fixture(scope="module")
def gpu(tmp_path_factory):
    """The GPU lane, and the bindings that its deployment gave; the record begins with the deployment."""
    folder = tmp_path_factory.mktemp("gpu")
    write_repository(folder / "forecast", calibrated())
    shutil.copytree(POPULATIONS, folder / "forecast" / "data" / "epydemix-data")
    archive = folder / "forecast.tar.gz"
    pack = [sys.executable, str(REPOSITORY / "scripts" / "pack_forecast.py"), folder / "forecast", archive]
    subprocess.run(pack, check=True)
    words = ("--clock-speed", "60", "--idle-seconds", "100000", "--rights-of", PROJECT)
    models = f"{FORECAST},{SENTIMENT}"
    state, deployer = tmp_path_factory.mktemp("state"), "deploy the lane"
    with gpu_lane(state, *words, archive=archive, deployer=deployer, MODELS=models) as lane:
        lane.admit(*USERS)
        addresses = lane.emulator.storage, lane.emulator.apis
        policies = {holder: policy_of(*addresses, holder) for holder in lane_holders(lane)}
        yield lane, [grant for each in policies.items() for grant in grants_of(*each)], archive


@pytest.fixture(scope="module")
def of_gpu(gpu):
    """The record of an experiment whose upload is told twice, and of what people do with a lane."""
    lane, grants, archive = gpu
    use(lane, archive.with_name("b.txt"))
    lane.deliver("trial.tar.gz", 2)
    generation = lane.upload("trial.tar.gz", archive.read_bytes())
    ended = lane.ended("trial.tar.gz", generation, number=2)
    lane.done("a.txt", lane.upload("a.txt", SENTENCE))
    assert [each["state"] for each in ended] == ["SUCCEEDED", "SUCCEEDED"]
    return Record.of(lane.emulator, PROJECT, grants)


def use(lane, file):
    """Do what people do with a lane: upload and look at it and at results, watch, and have it tested."""
    file.write_bytes(SENTENCE)
    uploads = Uploads(lane.cloud_of("upload"), lane.names)
    generation = [uploads.upload(file, file.name) for _ in range(2)][-1]  # over the first one, too
    result = lane.done(file.name, generation)
    uploads.result(result)
    folder = result["result"].rpartition("/")[0]
    for place in (f"gs://{lane.names.bucket('input')}/", f"{folder}/"):
        uploads.cloud.read(["storage", "ls", place], echo=False)
    status.show_status(lane.cloud_of("watch"), 5)
    logs.show_logs(lane.cloud_of("watch"), result["key"], "", "", 10, follow=False)
    smoke.smoke(lane.cloud_of("smoke"))


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


@pytest.mark.timeout(900)  # here each lane is used, by everybody and for everything
def test_the_bindings_are_enough(record):
    assert len(of_accounts(record)) > 20
    assert len(record.questions) > 50
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

    open_to_more = {each.role for each in known if any("*" in part for part in each.permissions)}
    assert open_to_more <= OF_GOOGLE  # else a reason would hold for whatever a role gains
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


@pytest.fixture(scope="module")
def gpu_people(gpu, of_gpu):
    return People(of_gpu, places_of_people(gpu[0].settings))


LANES = {
    "batch": {work: WORK[work] for work in WORK if work != "deploy"},
    "gpu_people": {work: GPU_WORK[work] for work in USERS},
}


@pytest.fixture(params=LANES, ids=["Batch", "GPU"])
def people(request):
    """The people of one lane after the other, and their works."""
    return request.getfixturevalue(request.param), LANES[request.param]


def test_each_person_asks_only_for_what_the_list_of_its_work_has(people):
    found, works = people

    asked = {each.member for each in found.record.questions}

    assert {work for work in WORK | GPU_WORK if person(work) in asked} >= set(works)
    assert person("deploy") not in asked  # nothing is applied here
    assert found.unlisted(works) == []


def test_what_is_asked_elsewhere_than_where_it_is_listed_is_found(batch):
    permission = "secretmanager.versions.get"  # listed on the secret
    other = f"{batch.places[THE_PROJECT]}/secrets/other"
    by = Grant(batch.places[THE_PROJECT], "roles/secretmanager.viewer", person("run"))
    asked = Question(person("run"), permission, other, frozenset({by}))
    more = replace(batch.record, questions=(*batch.record.questions, asked))

    assert replace(batch, record=more).unlisted(["run"]) == [("run", permission, other)]


def test_without_any_one_role_a_person_would_be_denied_something_or_the_role_has_a_reason(people):
    found, works = people

    assert found.needless(works) == []


def test_a_role_that_another_one_covers_is_found(batch):
    wider = Grant(batch.places[THE_PROJECT], "roles/storage.admin", person("build"))
    more = replace(batch.record, grants=(*batch.record.grants, wider))

    assert replace(batch, record=more).needless({"build": WORK["build"]}) == [
        ("build", "storage.legacyBucketReader", BUCKET),
        ("build", "storage.objectUser", BUCKET),
    ]


def test_each_permission_of_a_list_is_asked_of_the_person_who_does_the_work_or_has_a_reason(
    batch, gpu_people
):
    idle = batch.unasked(WORK) + gpu_people.unasked(LANES["gpu_people"])

    of_others = [each for each in reasons(REASONS_OF_PEOPLE) if each.work != "deploy the lane"]
    explained = {(each.work, each.role, part) for each in of_others for part in each.permissions}

    assert [each for each in idle if not each.has_reason] == []
    assert explained - {(each.work, each.role, each.permission) for each in idle} == set()


def test_a_permission_that_nobody_is_asked_for_is_found(batch):
    more = Right.of("storage.legacyBucketReader", BUCKET, "storage.buckets.get storage.multipartUploads.list")
    works = {"build": Work((), (*WORK["build"].rights, more))}

    found = [each for each in batch.unasked(works) if not each.has_reason]

    assert found == [Listed("build", more.role, BUCKET, "storage.multipartUploads.list")]


def claims_in(lane):
    names = names_in(lane.emulator, lane.names.bucket("output"), "work/")
    return [name for name in names if name.endswith("/claim.json")]


def test_an_upload_whose_service_may_not_be_called_is_told_with_the_fix_and_made_once_it_may(gpu, of_gpu):
    lane, grants, _ = gpu
    service = f"projects/{PROJECT}/locations/{REGION}/services/{lane.names.service('preprocess')}"
    (taken,) = [grant for grant in grants if (grant.role, grant.holder) == ("roles/run.invoker", service)]
    uploads = Uploads(lane.cloud, lane.names)
    explained = lane.emulator.apis, PROJECT
    rights = Bindings(tuple(grants), "the deployment", applied_by="invoke gpu-deploy")
    before = claims_in(lane)

    with without(lane.emulator, grants, taken):
        generation = lane.upload("denied.txt", SENTENCE)
        with pytest.raises(UserError) as failed, denials_explained(*explained, rights):
            uploads.ended(uploads.execution_of("denied.txt", generation))
        with pytest.raises(UserError) as unplanned, denials_explained(*explained, None):
            raise UserError("the same")
    after = claims_in(lane)
    again = {"input": f"gs://{lane.names.bucket('input')}/denied.txt", "generation": generation}
    path = f"/workflows/{lane.names.workflow}/executions"
    started = lane.api("POST", path, json={"argument": json.dumps(again)})["name"].rpartition("/")[2]

    account = taken.member.partition(":")[2]
    said = str(failed.value)
    assert "403" in said
    denied = f"denied: {account} may not run.routes.invoke on {service}: "
    assert said.endswith(f"{denied}the deployment gives it ({taken.role} on {service}): invoke gpu-deploy")
    assert f"{denied}gcloud run services add-iam" in str(unplanned.value)
    assert str(unplanned.value).endswith(f"--member {taken.member} --role {taken.role} --condition None")
    assert uploads.ended(started)["result"].endswith(f"/results/denied.txt/{generation}/result.json")
    assert before  # those of the others
    assert after == before


def test_an_upload_whose_event_may_not_be_received_is_told_with_the_fix_and_starts_once_it_may(
    gpu, of_gpu, monkeypatch
):
    lane, grants, _ = gpu
    (taken,) = [grant for grant in grants if grant.role == "roles/eventarc.eventReceiver"]
    rights = Bindings(tuple(grants), "the deployment", applied_by="invoke gpu-deploy")
    monkeypatch.setattr("ops.gpu.uploads.START_SECONDS", 5)  # real seconds; the lane's clock runs faster

    with without(lane.emulator, grants, taken):
        generation = lane.upload("unheard.txt", SENTENCE)
        with pytest.raises(UserError) as failed, denials_explained(lane.emulator.apis, PROJECT, rights):
            Uploads(lane.cloud, lane.names).execution_of("unheard.txt", generation)
        started = lane.executions("unheard.txt", generation)
        results = lane.results("unheard.txt")

    project, account = f"projects/{PROJECT}", taken.member.partition(":")[2]
    assert str(failed.value) == (
        f"no execution was started by unheard.txt, generation {generation} within 5 s; "
        f"{MAY_NOT_COUNT_YET}\n"
        f"denied: {account} may not eventarc.events.receiveEvent on {project}: the deployment gives it "
        f"({taken.role} on {project}): invoke gpu-deploy"
    )
    assert (started, results) == ([], [])
    lane.done("unheard.txt", generation)
