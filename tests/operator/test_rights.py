"""What a person may do, as `invoke doctor --cloud` says it, in an emulated cloud that enforces rights."""

import contextlib
import shlex
from pathlib import Path

import pytest
import requests

from localcloud.environment import client_environment
from localcloud.members import OWNER, member, token_of
from localcloud.process import running
from ops.cloud.checks import check_bucket
from ops.cloud.cloud import Cloud
from ops.cloud.held import ask
from ops.cloud.resources import places
from ops.environment import read_settings
from ops.gcloud import GcloudError, Refusal, in_parallel
from ops.gpu import evidence as gpu_evidence
from ops.gpu.names import Names
from ops.gpu.rights import OWN_BUCKETS, places_of_people
from ops.people import GPU_WORK, Right, roles_of
from ops.people import PROJECT as THE_PROJECT
from ops.project import evidence, rights
from ops.project.checkup import Answer, Finding, Level, Question, ask_all
from ops.shell import Shell
from tests.emulated import add_image, add_secret, create_bucket, order_faults, post, request
from tests.needs import need_program

PROJECT, BUCKET, SECRET = "my-lab-forecasts", "my-lab-bucket", "github-pat"
IMAGE = f"us-central1-docker.pkg.dev/{PROJECT}/epymodelingsuite-repo/epymodelingsuite:latest"
ANN = member("ann@my-lab.example")
LOOK = ("workflows.viewer", "batch.jobsViewer", "logging.viewer", "monitoring.viewer")


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    need_program("gcloud")
    with running(tmp_path_factory.mktemp("state"), "--rights-of", PROJECT) as cloud:
        yield cloud


@pytest.fixture
def cloud(emulator):
    """A project with everything that permissions are asked on, in which only its owner may do anything."""
    create_bucket(emulator, BUCKET, PROJECT)
    add_secret(emulator, "value", SECRET, PROJECT)
    add_image(emulator, IMAGE, f"sha256:{'a' * 64}")
    for account in ("batch", "builder", "build"):
        accounts = f"{emulator.apis}/v1/projects/{PROJECT}/serviceAccounts"
        post(accounts, {"accountId": f"epymodelingsuite-{account}"})
    yield emulator
    post(f"{emulator.apis}/_emulator/reset", {})


class Person:
    """A member of a project, whose gcloud knows the emulated cloud alone."""

    def __init__(self, emulator, name: str = ANN, **variables: str):
        self.environ = {
            **client_environment(emulator.storage, emulator.apis, emulator.state, PROJECT, name),
            **variables,
        }
        self.settings = read_settings(
            {"PROJECT_ID": PROJECT, "BUCKET_NAME": BUCKET, "GITHUB_PAT_SECRET": SECRET}
        )

    def cloud(self) -> Cloud:
        return Cloud.of(Shell(environment=self.environ), self.settings)

    def findings(self) -> dict[str, Finding]:
        return {each.what: each for each in ask_all(rights.of_works(self.cloud, places(self.settings), ()))}

    def gcloud(self, command: str) -> None:
        program, *words = shlex.split(command)
        assert program == "gcloud"
        self.cloud().read(words, echo=False)


def give(emulator, *roles: str, name: str = ANN) -> None:
    """Let the owner replace the policy of the project."""
    bindings = [{"role": f"roles/{role}", "members": [name]} for role in roles]
    post(f"{emulator.apis}/v1/projects/{PROJECT}:setIamPolicy", {"policy": {"bindings": bindings}})


def give_on_bucket(emulator, **binding) -> None:
    policy = f"{emulator.storage}/storage/v1/b/{BUCKET}/iam"
    answer = request("GET", policy).json()
    answer["bindings"].append({"members": [ANN], **binding})
    request("PUT", policy, json={**answer, "version": 3}).raise_for_status()


def levels(findings: dict[str, Finding]) -> dict[str, Level]:
    return {what.removeprefix("right to "): each.level for what, each in findings.items()}


def test_the_owner_may_do_everything(cloud):
    found = Person(cloud, OWNER).findings()

    assert set(levels(found).values()) == {Level.OK}, found
    assert found["right to run"].detail == "may: run, workflow-cancel, cost"
    assert "conditions on the names of objects are not seen" in found["permissions"].detail
    assert "MEMBER" not in found["permissions"].detail


def test_who_may_look_is_told_what_is_missing_for_the_rest(cloud):
    give(cloud, *LOOK)
    give_on_bucket(cloud, role="roles/storage.objectViewer")

    found = Person(cloud).findings()

    assert levels(found) == {
        "permissions": Level.OK,
        "look": Level.OK,
        "run": Level.MISSING,
        **dict.fromkeys(
            ("run single jobs", "check", "report", "build", "set the token", "deploy"), Level.WARNING
        ),
    }
    run = found["right to run"]
    assert "batch.jobs.delete on the project (batch.jobsEditor)" in run.detail
    assert "storage.objects.create, storage.objects.delete on the bucket (storage.objectUser)" in run.detail
    assert "workflows.workflows.get" not in run.detail
    binding = f"gcloud storage buckets add-iam-policy-binding gs://{BUCKET} --member MEMBER"
    assert f"{binding} --role roles/storage.objectUser --condition None" in run.fix
    assert "MEMBER in a command is you, user:EMAIL" in found["permissions"].detail


def test_a_bucket_whose_objects_one_may_read_is_not_called_missing(cloud):
    give(cloud, *LOOK)
    give_on_bucket(cloud, role="roles/storage.objectViewer")
    person = Person(cloud)
    bucket = Question("bucket", lambda: Answer(str(check_bucket(person.cloud()))))

    [found] = ask_all([bucket])
    give_on_bucket(cloud, role="roles/storage.legacyBucketReader")
    [then] = ask_all([bucket])

    person.gcloud(f"gcloud storage ls gs://{BUCKET}")
    assert (found.level, found.fix) == (Level.WARNING, "")
    assert "it belongs to another project, or you have no access to it" in found.detail
    assert "reading its description needs storage.buckets.get, reading its objects does not" in found.detail
    assert then.level is Level.OK


def test_the_commands_give_what_is_missing(cloud):
    give(cloud, *LOOK)
    # a policy with a condition, to which gcloud would add no binding without being asked about it
    condition = {
        "title": "results",
        "expression": f'resource.name.startsWith("projects/_/buckets/{BUCKET}/")',
    }
    give_on_bucket(cloud, role="roles/storage.objectViewer")
    give_on_bucket(
        cloud, role="roles/storage.objectUser", members=["user:ben@my-lab.example"], condition=condition
    )
    person, owner = Person(cloud), Person(cloud, OWNER)

    before = person.findings()
    for what in ("run", "run single jobs", "set the token"):
        for command in before[f"right to {what}"].fix.split(" && "):
            owner.gcloud(command.replace("MEMBER", ANN))
    after = person.findings()

    assert before["right to set the token"].level is Level.WARNING
    assert {what: levels(after)[what] for what in ("look", "run", "run single jobs", "set the token")} == {
        "look": Level.OK,
        "run": Level.OK,
        "run single jobs": Level.OK,
        "set the token": Level.OK,
    }


def test_roles_that_the_persons_own_bindings_do_not_show_count(cloud):
    give(cloud, *LOOK, "storage.objectViewer", name="allAuthenticatedUsers")

    assert levels(Person(cloud).findings())["look"] is Level.OK


def refused(cloud: Cloud) -> set[str]:
    """Return the doubts of a report that a person may not read the answer to."""

    def ask_about(doubt: evidence.Doubt) -> str:
        try:
            doubt.ask(cloud)
        except GcloudError as error:
            if error.refusal is Refusal.DENIED:
                return doubt.name
            if error.refusal is not Refusal.MISSING:  # no workflow is deployed
                raise
        return ""

    doubts = (*evidence.DOUBTS, *gpu_evidence.DOUBTS)
    return set(in_parallel([lambda each=each: ask_about(each) for each in doubts])) - {""}


def test_who_has_the_roles_to_report_may_read_all_of_a_report(cloud):
    roles = {work: [role for role, on in roles_of(work) if on == THE_PROJECT] for work in ("check", "report")}

    give(cloud, *roles["check"])
    without = refused(Person(cloud).cloud())
    give(cloud, *roles["report"])
    with_them = refused(Person(cloud).cloud())

    assert without == {"builds", "image pullers", "project roles", "GPU lane"}
    assert with_them == set()


def test_a_right_of_an_earlier_kind_of_work_is_missing_for_the_later_one(cloud):
    give(
        cloud,
        *("workflows.viewer", "compute.viewer", "cloudquotas.viewer"),
        "iam.serviceAccountViewer",
    )

    found = Person(cloud).findings()["right to check"]

    assert (found.level, found.detail) == (Level.WARNING, "may all that it adds, but not run: see there")


def of_the_gpu_lane(person: Person) -> dict[str, Finding]:
    """Return the findings of `invoke gpu-check` about a person."""
    asked_on = places_of_people(person.settings)
    questions = rights.of_works(person.cloud, asked_on, (), GPU_WORK, to_come=OWN_BUCKETS)
    return {each.what: each for each in ask_all(questions)}


def test_each_kind_of_work_in_the_gpu_lane_has_a_finding_before_its_buckets_are_there(cloud):
    give(cloud, "workflows.viewer", "workflows.invoker", "run.viewer")

    found = of_the_gpu_lane(Person(cloud))

    assert levels(found) == {
        "permissions": Level.OK,  # that a deployment makes the buckets is no doubt
        "upload": Level.OK,
        "watch": Level.WARNING,
        "smoke": Level.WARNING,
        "deploy the lane": Level.MISSING,
    }
    assert found["right to upload"].detail.startswith("not asked yet: gs://")
    watch = found["right to watch"]
    assert watch.detail == "may not: logging.logEntries.list on the project (logging.viewer)"
    assert watch.fix.endswith("--role roles/logging.viewer --condition None")
    assert found["right to smoke"].detail == "may all that it adds, but not watch: see there"
    assert "not asked yet: gs://" in found["permissions"].detail


def test_a_bucket_of_the_gpu_lane_that_is_there_is_asked_about(cloud):
    person = Person(cloud)
    create_bucket(cloud, Names.of(person.settings).bucket("input"), PROJECT)

    upload = of_the_gpu_lane(person)["right to upload"]

    assert upload.level is Level.WARNING
    assert "storage.objects.create, storage.objects.delete, " in upload.detail
    assert "on the input bucket (storage.objectUser)" in upload.detail


def test_what_does_not_exist_yet_is_no_denial(cloud):
    request("DELETE", f"{cloud.storage}/storage/v1/b/{BUCKET}").raise_for_status()
    request("DELETE", f"{cloud.apis}/v1/projects/{PROJECT}/secrets/{SECRET}").raise_for_status()

    found = Person(cloud, OWNER).findings()

    assert f"not asked: gs://{BUCKET} does not exist" in found["permissions"].detail
    assert found["right to look"].level is Level.WARNING
    assert "may: status" in found["right to look"].detail
    assert Level.MISSING not in levels(found).values()


def test_an_api_that_is_not_enabled_is_no_denial(cloud):
    post(f"{cloud.apis}/v1/projects/{PROJECT}/services/secretmanager.googleapis.com:disable", {})

    found = Person(cloud, OWNER).findings()

    said = f"secret {SECRET}: the API secretmanager.googleapis.com is not enabled"
    assert said in found["permissions"].detail
    assert found["right to run"].level is Level.WARNING
    assert levels(found)["build"] is Level.OK


def test_without_a_network_nothing_is_denied(cloud):
    nowhere = {"CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": "http://127.0.0.1:1/"}

    found = Person(cloud, OWNER, **nowhere).findings()

    assert found["permissions"].level is Level.UNKNOWN
    assert "secret github-pat: no connection to 127.0.0.1" in found["permissions"].detail
    assert found["permissions"].detail.endswith("; try again in a minute")
    assert found["right to run"].level is Level.SKIPPED


def test_a_login_that_has_expired_is_said_with_the_command_that_renews_it(cloud):
    order_faults(cloud, {"path": "testIamPermissions", "status": 401, "message": "invalid credentials"})
    with contextlib.ExitStack() as stack:
        stack.callback(request, "DELETE", f"{cloud.apis}/_emulator/faults")
        found = Person(cloud, OWNER).findings()["permissions"]

    assert (found.level, found.fix) == (Level.MISSING, "gcloud auth login")


def test_the_token_is_in_no_argument_and_in_no_file(cloud, tmp_path):
    folder, calls = tmp_path / "gcloud", tmp_path / "calls"
    real = need_program("gcloud")
    program = tmp_path / "bin" / "gcloud"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >> {calls}\nexec {real} "$@"\n')
    program.chmod(0o755)
    person = Person(cloud, CLOUDSDK_CONFIG=str(folder))
    person.environ["PATH"] = f"{program.parent}:{Path(real).parent}:/usr/bin:/bin"

    person.findings()

    assert calls.read_text().splitlines()[-1] == "auth print-access-token"
    written = [path for path in [*folder.rglob("*"), calls] if path.is_file()]
    assert calls in written
    assert not [path for path in written if token_of(ANN).encode() in path.read_bytes()]


def test_a_permission_that_a_kind_of_resource_cannot_have_costs_the_others_nothing(cloud):
    """The emulator refuses such a request as the service does."""
    asked = {"permissions": ["resourcemanager.projects.get", "resourcemanager.projects.list"]}
    url = f"{cloud.apis}/v1/projects/{PROJECT}:testIamPermissions"
    headers = {"Authorization": f"Bearer {token_of(OWNER)}"}
    assert requests.post(url, json=asked, headers=headers, timeout=10).status_code == 400

    right = Right.of("browser", THE_PROJECT, "resourcemanager.projects.get,list")
    owner = Person(cloud, OWNER)
    found = ask(owner.cloud(), [right], places(owner.settings))

    assert found.granted[right.on] == {"resourcemanager.projects.get"}
    assert found.unknown[right.on] == {"resourcemanager.projects.list"}
    assert found.missing(right) == []
