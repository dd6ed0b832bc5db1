"""Where rights are enforced, whatever acts in the emulated cloud is its account, and may do what that may."""

import os
import subprocess
import sys

import pytest
import requests

from localcloud.members import token_of
from localcloud.process import running
from tests.emulated import add_image, add_secret, post, write_service_account_key
from tests.localcloud.governed import Governed, assertion, make_agents, numbers, put
from tests.localcloud.jobs import LOCATION, PROJECT, exit_codes, job, null, says, shell
from tests.localcloud.run_api import HOST, PLACE, ready, service
from tests.localcloud.workflow_api import ECHO, logged, wait_until
from tests.needs import need_program

CLOCK_SPEED = "50"  # so that an event which is refused is repeated soon
IMAGE = f"us-central1-docker.pkg.dev/{PROJECT}/images/stage:v1"
REPOSITORY = f"projects/{PROJECT}/locations/us-central1/repositories/images"
ON_PROJECT = f"projects/{PROJECT}"
AGENT = ("roles/batch.agentReporter", "roles/logging.logWriter")  # of an account whose tasks run and log
STORAGE_AGENT = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
EVENTARC_AGENT = "service-123456789012@gcp-sa-eventarc.iam.gserviceaccount.com"
PUBSUB_AGENT = "service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
# Prints what storage answers for the object of a bucket, read as whatever owns the door.
READ = (
    "import os, sys, urllib.error, urllib.request as web\n"
    "address = os.environ['STORAGE_EMULATOR_HOST'] + f'/storage/v1/b/{sys.argv[1]}/o/in.txt?alt=media'\n"
    "try:\n    said = web.urlopen(address).read().decode()\n"
    "except urllib.error.HTTPError as error:\n    said = f'refused {error.code}'\n"
)
# The same, as a service that answers with it.
SERVE = f"""{READ}
import http.server

class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said.encode())

http.server.HTTPServer(("", int(os.environ["PORT"])), Answers).serve_forever()
"""


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    """A script in docker's place, which is asked only for the digest of an image that was built."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "docker").write_text(f"#!/bin/sh\necho sha256:{'c' * 64}\n")
    (folder / "docker").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture(scope="module")
def governed(tmp_path_factory, docker):
    arguments = ["--rights-of", PROJECT, "--clock-speed", CLOCK_SPEED]
    with running(tmp_path_factory.mktemp("state"), *arguments) as cloud:
        add_image(cloud, IMAGE, "sha256:" + "a" * 64)
        yield Governed(cloud)


# -- Batch


def test_a_task_reads_an_object_as_the_account_of_its_job(governed):
    bucket, email = governed.bucket(), governed.account(*AGENT)
    read = shell(f'"$PYTHON" -c "{READ}\nprint(said)" {bucket}')
    name = f"projects/_/buckets/{bucket}/objects/in.txt"

    refused = governed.run_job(email, read)
    before = governed.asked(email, "storage.objects.get")
    governed.grant_on_bucket(email, "roles/storage.objectViewer", bucket)
    allowed = governed.run_job(email, read)

    assert governed.jobs.lines(refused) == ["refused 403"]
    assert governed.jobs.lines(allowed) == ["what is in it"]
    assert before == [(name, [])]
    assert governed.asked(email, "storage.objects.get") == [(name, ["roles/storage.objectViewer"])]
    assert governed.asked(email, "batch.states.report") == [(ON_PROJECT, ["roles/batch.agentReporter"])]


def test_a_secret_variable_is_read_as_the_account_of_the_job(governed):
    secret, email = add_secret(governed.cloud, "hidden-word"), governed.account(*AGENT)
    version = f"projects/{PROJECT}/secrets/{secret}/versions/latest"
    spec = {"environment": {"secretVariables": {"WORD": version}}}

    refused = governed.run_job(email, shell("echo ${#WORD}"), spec=spec)
    governed.grant(email, "roles/secretmanager.secretAccessor")
    allowed = governed.run_job(email, shell("echo ${#WORD}"), spec=spec)

    [said] = [
        line for line in governed.jobs.lines(refused, "batch_agent_logs") if "A secret variable" in line
    ]
    assert "secretmanager.versions.access" in said
    assert [exit_codes(each) for each in governed.jobs.tasks(refused)] == [[50000]]
    assert governed.jobs.lines(allowed) == ["11"]


@pytest.mark.parametrize("kind", ["process", "null"])
def test_an_image_is_pulled_as_the_account_of_the_job(governed, kind):
    email = governed.account(*AGENT)
    one = shell("echo pulled")
    one["container"]["imageUri"] = IMAGE
    runnables = [one] if kind == "process" else [one, null()]

    refused = governed.run_job(email, *runnables)
    governed.grant(email, "roles/artifactregistry.reader")
    allowed = governed.run_job(email, *runnables)

    assert [exit_codes(each) for each in governed.jobs.tasks(refused)] == [[125]]
    assert allowed["status"]["state"] == "SUCCEEDED"
    [asked] = governed.asked(email, "artifactregistry.repositories.downloadArtifacts")
    assert asked == (REPOSITORY, ["roles/artifactregistry.reader"])
    if kind == "process":
        denied = "denied: Permission 'artifactregistry.repositories.downloadArtifacts' denied"
        assert [line for line in governed.jobs.lines(refused, "batch_agent_logs") if denied in line]
        assert governed.jobs.lines(allowed) == ["pulled"]


def test_a_job_whose_agent_may_not_report_fails_and_says_so(governed):
    email = governed.account("roles/logging.logWriter")

    ended = governed.run_job(email, shell("echo never"), count=2)

    assert ended["status"]["state"] == "FAILED"
    assert says(ended, f"no VM has an agent that reports, as {email} may not")
    assert says(ended, "batch.states.report")
    assert ended["status"]["taskGroups"]["group0"]["counts"] == {"UNEXECUTED": "2"}
    assert governed.asked(email, "batch.states.report") == [(ON_PROJECT, [])]


def test_a_job_whose_account_may_not_log_runs_and_leaves_no_log(governed):
    email = governed.account("roles/batch.agentReporter")

    ended = governed.run_job(email, shell("echo lost"))

    assert ended["status"]["state"] == "SUCCEEDED"
    assert governed.jobs.lines(ended) == governed.jobs.lines(ended, "batch_agent_logs") == []
    assert governed.asked(email, "logging.logEntries.create") == [(ON_PROJECT, [])]


def test_a_job_without_an_account_has_the_default_one(governed):
    ended = governed.jobs.run(job(shell("true")))

    assert says(ended, "123456789012-compute@developer.gserviceaccount.com may not")


# -- Workflows

READER = """
main:
  steps:
    - said: {call: sys.log, args: {text: read it}}
    - read:
        try:
          call: googleapis.storage.v1.objects.get
          args: {bucket: BUCKET, object: in.txt}
          result: found
        except:
          as: e
          steps: [{refused: {return: '${[e.tags, e.code]}'}}]
    - done: {return: '${found.name}'}
"""


def test_a_workflow_calls_and_logs_as_its_own_account(governed):
    bucket, email = governed.bucket(), governed.account()
    workflow = governed.deploy(email, READER.replace("BUCKET", bucket))
    wanted = f'resource.labels.workflow_id="{workflow.rpartition("/")[2]}"'

    refused = governed.execute(workflow)
    unlogged = logged(governed.api, wanted)
    governed.grant(email, "roles/logging.logWriter")
    governed.grant_on_bucket(email, "roles/storage.objectViewer", bucket)
    allowed = governed.execute(workflow)

    assert (refused, allowed) == ([["HttpError"], 403], "in.txt")
    assert unlogged == []
    assert [each["textPayload"] for each in logged(governed.api, wanted)] == ["read it"]
    [(name, roles)] = governed.asked(email, "storage.objects.get")
    assert (name, roles) == (f"projects/_/buckets/{bucket}/objects/in.txt", ["roles/storage.objectViewer"])


# -- Cloud Build


def test_a_build_fetches_its_source_and_its_secrets_as_its_account(governed):
    bucket, email = governed.bucket(), governed.account("roles/logging.logWriter")
    secret = add_secret(governed.cloud, "hidden-word")
    source = {"source": {"storageSource": {"bucket": bucket, "object": "in.txt"}}}
    version = {"versionName": f"projects/{PROJECT}/secrets/{secret}/versions/1", "env": "WORD"}
    step = {"name": "gcr.io/cloud-builders/docker", "args": [], "secretEnv": ["WORD"]}
    secrets = {"steps": [step], "availableSecrets": {"secretManager": [version]}}

    unfetched, unread = governed.build(email, **source), governed.build(email, **secrets)
    governed.grant(email, "roles/secretmanager.secretAccessor")
    read = governed.build(email, **secrets)

    assert (unfetched["status"], unread["status"], read["status"]) == ("FAILURE", "FAILURE", "SUCCESS")
    assert "could not fetch the source" in unfetched["statusDetail"]
    assert "storage.objects.get" in unfetched["statusDetail"]
    assert "secretmanager.versions.access" in unread["statusDetail"]
    assert governed.asked(email, "storage.objects.get") == [
        (f"projects/_/buckets/{bucket}/objects/in.txt", [])
    ]


def test_a_build_pushes_and_logs_as_its_account(governed):
    email = governed.account()

    refused = governed.build(email, images=[IMAGE])
    governed.grant(email, "roles/artifactregistry.writer", "roles/logging.logWriter")
    allowed = governed.build(email, images=[IMAGE])

    assert (refused["status"], allowed["status"]) == ("FAILURE", "SUCCESS")
    assert "artifactregistry.repositories.uploadArtifacts" in refused["statusDetail"]
    assert "grant it roles/logging.logWriter" in refused["warnings"][0]["text"]
    assert "warnings" not in allowed
    assert (governed.lines(refused), governed.lines(allowed)[-1]) == ([], "DONE")
    [(name, _)] = governed.asked(email, "artifactregistry.repositories.uploadArtifacts")
    assert name == REPOSITORY


# -- Cloud Run


def run_service(governed, email: str, bucket: str) -> str:
    """Deploy a service that has read an object, and return its URL."""
    name = f"reader-{next(numbers)}"
    asked = service(
        name,
        spec={"serviceAccountName": email},
        image=IMAGE,
        command=[sys.executable],
        args=["-c", SERVE, bucket],
    )
    where = {"headers": {"Host": HOST}}
    governed.api("POST", f"{PLACE}/services", json=asked, **where).raise_for_status()

    def found():
        return governed.api("GET", f"{PLACE}/services/{name}", **where).json()

    wait_until(lambda: ready(found())["status"] != "Unknown")
    assert ready(found())["status"] == "True", found()
    return found()["status"]["url"]


def test_an_instance_has_its_revisions_account_and_callers_need_the_right_to_invoke(governed):
    bucket, email, caller = governed.bucket(), governed.account(), governed.account()
    governed.grant_on_bucket(email, "roles/storage.objectViewer", bucket)
    url = run_service(governed, email, bucket)
    token = governed.api("POST", "/token", data={"assertion": assertion(caller, target_audience=url)})
    headers = {"Host": url.removeprefix("https://"), "Authorization": f"Bearer {token.json()['id_token']}"}

    refused = governed.api("GET", "/", headers=headers)
    governed.grant(caller, "roles/run.invoker")
    allowed = governed.api("GET", "/", headers=headers)

    assert refused.status_code == 403
    assert (allowed.status_code, allowed.text) == (200, "what is in it")
    [(name, roles)] = governed.asked(caller, "run.routes.invoke")
    assert (name.partition("/services/")[0], roles) == (f"{LOCATION[4:]}", ["roles/run.invoker"])
    [(_, roles)] = governed.asked(email, "storage.objects.get")
    assert roles == ["roles/storage.objectViewer"]


# -- Eventarc


def test_an_event_is_delivered_once_all_that_pass_it_on_may(tmp_path, capfd):
    with running(tmp_path, "--rights-of", PROJECT, "--clock-speed", CLOCK_SPEED) as cloud:
        deliver_once_allowed(Governed(cloud))

    said = capfd.readouterr().err.splitlines()
    assert len([line for line in said if "triggers/uploads holds an event back" in line]) == 1, said


def deliver_once_allowed(governed: Governed) -> None:
    bucket, email = f"uploads-{next(numbers)}", governed.account()
    buckets = f"{governed.cloud.storage}/storage/v1/b?project={PROJECT}"
    post(buckets, {"name": bucket, "location": "us-central1"})
    workflow = governed.deploy(governed.account("roles/logging.logWriter"), ECHO)
    body = {
        "eventFilters": [
            {"attribute": "type", "value": "google.cloud.storage.object.v1.finalized"},
            {"attribute": "bucket", "value": bucket},
        ],
        "destination": {"workflow": workflow.removeprefix("/v1/")},
        "serviceAccount": email,
    }

    def create():
        return governed.api("POST", f"{LOCATION}/triggers?triggerId=uploads", json=body)

    def executions():
        return governed.api("GET", f"{workflow}/executions").json().get("executions", [])

    unpublished = create()
    make_agents(governed.cloud)
    governed.grant(STORAGE_AGENT, "roles/pubsub.publisher")
    unmade = create()
    governed.grant(EVENTARC_AGENT, "roles/eventarc.serviceAgent")
    made = create()
    put(governed.cloud, bucket, "weekly.csv", b"a,b")
    wait_until(lambda: governed.asked(email, "eventarc.events.receiveEvent"))
    governed.grant(email, "roles/eventarc.eventReceiver")
    wait_until(lambda: governed.asked(email, "workflows.executions.create"))
    assert executions() == []
    governed.grant(email, "roles/workflows.invoker")
    wait_until(executions)

    assert "unable to publish" in unpublished.json()["error"]["message"]
    assert "verify that it has Eventarc Service Agent role" in unmade.json()["error"]["message"]
    assert made.status_code == 200, made.text
    trigger = f"projects/{PROJECT}/serviceAccounts/{email}"
    assert governed.asked(PUBSUB_AGENT, "iam.serviceAccounts.getOpenIdToken") == [
        (trigger, ["roles/pubsub.serviceAgent"])
    ]
    assert governed.asked(EVENTARC_AGENT, "iam.serviceAccounts.getAccessToken") == []


# -- tokens, and accounts that are gone


def test_a_key_is_exchanged_for_a_token_of_its_account(governed):
    email = governed.account("roles/browser")

    token = governed.api("POST", "/token", data={"assertion": assertion(email)}).json()["access_token"]

    assert token == token_of(f"serviceAccount:{email}")


def test_gcloud_with_a_key_is_the_account_of_the_key(governed, tmp_path):
    bucket, email = governed.bucket(), governed.account()
    key = write_service_account_key(tmp_path / "key.json", f"{governed.cloud.apis}/token", email)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_CORE_PROJECT": PROJECT,
        "CLOUDSDK_CORE_ACCOUNT": email,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{governed.cloud.storage}/",
        "no_proxy": "127.0.0.1",
    }

    def gcloud(*words: str) -> subprocess.CompletedProcess:
        argv = [need_program("gcloud"), *words]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)

    gcloud("auth", "activate-service-account", f"--key-file={key}").check_returncode()
    refused = gcloud("storage", "cat", f"gs://{bucket}/in.txt")
    governed.grant_on_bucket(email, "roles/storage.objectViewer", bucket)
    allowed = gcloud("storage", "cat", f"gs://{bucket}/in.txt")

    assert (refused.returncode, allowed.returncode) == (1, 0), allowed.stderr
    assert email in refused.stderr
    assert allowed.stdout == "what is in it"


@pytest.mark.parametrize("end", ["disable", "delete"])
def test_an_account_that_is_gone_may_do_nothing(governed, end):
    bucket, email = governed.bucket(), governed.account("roles/storage.objectViewer", *AGENT)
    address = f"{governed.cloud.storage}/storage/v1/b/{bucket}/o/in.txt?alt=media"
    account = f"/v1/projects/{PROJECT}/serviceAccounts/{email}"

    def read():
        headers = {"Authorization": f"Bearer {token_of(f'serviceAccount:{email}')}"}
        return requests.get(address, headers=headers, timeout=10).status_code

    before = read()
    if end == "delete":
        governed.api("DELETE", account).raise_for_status()
    else:
        governed.api("POST", f"{account}:disable").raise_for_status()
    after = read()
    exchanged = governed.api("POST", "/token", data={"assertion": assertion(email)})
    ended = governed.run_job(email, shell("true")) if end == "disable" else None

    assert (before, after) == (200, 401)
    assert (exchanged.status_code, exchanged.json()["error"]) == (400, "invalid_grant")
    assert ended is None or says(ended, "is deleted or disabled")
