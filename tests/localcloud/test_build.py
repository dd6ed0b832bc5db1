"""The emulated Cloud Build is as strict as the service and runs its steps. No Docker engine is needed."""

import base64
import io
import os
import tarfile
import time

import pytest
import requests
import yaml
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.devtools import cloudbuild_v1
from google.oauth2.credentials import Credentials

from localcloud.process import running
from tests.emulated import request
from tests.experiments import REPOSITORY

BUILDS = "/v1/projects/p/locations/global/builds"
DOCKER = "gcr.io/cloud-builders/docker"


def script(text: str, **more) -> dict:
    return {"name": DOCKER, "entrypoint": "bash", "args": ["-euc", text], **more}


def finished(api, build: dict) -> dict:
    """Submit a build and return it once it has ended."""
    answer = api("POST", BUILDS, json=build)
    assert answer.status_code == 200, answer.text
    build_id = answer.json()["metadata"]["build"]["id"]
    until = time.monotonic() + 30
    while (found := api("GET", f"{BUILDS}/{build_id}").json())["status"] in ("QUEUED", "WORKING"):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def log_of(api, build: dict) -> list[str]:
    asked = {
        "resourceNames": ["projects/p"],
        "filter": f'logName="projects/p/logs/cloudbuild" resource.labels.build_id="{build["id"]}"',
        "pageSize": 1000,
    }
    return [entry["textPayload"] for entry in api("POST", "/v2/entries:list", json=asked).json()["entries"]]


def test_steps_share_a_workspace_and_write_a_log(api):
    build = finished(
        api,
        {
            "steps": [
                script("echo $$WORD ${_NAME} $PROJECT_ID > file", id="write", env=["WORD=hello"]),
                script("cat file; echo problem >&2", waitFor=["write"]),
            ],
            "substitutions": {"_NAME": "you"},
        },
    )

    assert build["status"] == "SUCCESS"
    assert [step["status"] for step in build["steps"]] == ["SUCCESS", "SUCCESS"]
    assert "Step #1: hello you p" in log_of(api, build)
    assert "Step #1: problem" in log_of(api, build)
    assert log_of(api, build)[-1] == "DONE"
    assert build["startTime"] <= build["finishTime"]


def test_the_folder_of_a_step_is_created_if_it_does_not_exist(api):
    steps = [script("echo hello > file", dir="a/b"), script("cat a/b/file"), script("true", dir="a/b/file")]

    build = finished(api, {"steps": steps})

    assert "Step #1: hello" in log_of(api, build)
    assert build["status"] == "FAILURE"
    assert "failed: dir a/b/file: File exists" in build["statusDetail"]


def test_a_step_that_fails_ends_the_build(api):
    build = finished(api, {"steps": [script("exit 3"), script("echo never")]})

    assert build["status"] == "FAILURE"
    assert 'build step 0 "gcr.io/cloud-builders/docker" failed: exit code 3' in build["failureInfo"]["detail"]
    assert not [line for line in log_of(api, build) if "never" in line]


def test_a_secret_reaches_the_step_that_asks_for_it_and_no_log(api):
    api("POST", "/v1/projects/p/secrets?secretId=pat", json={"replication": {"automatic": {}}})
    payload = {"payload": {"data": base64.b64encode(b"hidden-word").decode()}}
    api("POST", "/v1/projects/p/secrets/pat:addVersion", json=payload)
    secret = {"versionName": "projects/$PROJECT_ID/secrets/pat/versions/latest", "env": "PAT"}
    steps = [script("echo ${#PAT}", secretEnv=["PAT"]), script('echo "<$${PAT:-}>"')]
    # ${#PAT} is not a substitution: # is not part of a name

    build = finished(api, {"steps": steps, "availableSecrets": {"secretManager": [secret]}})

    assert build["status"] == "SUCCESS", log_of(api, build)
    assert "Step #0: 11" in log_of(api, build)
    assert "Step #1: <>" in log_of(api, build)
    assert "hidden-word" not in str(build) + "".join(log_of(api, build))


def test_a_missing_secret_fails_the_build(api):
    secret = {"versionName": "projects/p/secrets/nothing/versions/latest", "env": "PAT"}

    build = finished(
        api,
        {"steps": [script("true", secretEnv=["PAT"])], "availableSecrets": {"secretManager": [secret]}},
    )

    assert build["status"] == "FAILURE"
    assert "failed to access secret version" in build["statusDetail"]


def test_a_build_that_takes_too_long_is_stopped_with_all_it_started(api, tmp_path):
    alive = tmp_path / "alive"

    build = finished(api, {"steps": [script(f"(sleep 1.5; touch {alive}) & wait")], "timeout": "0.5s"})

    assert build["status"] == "TIMEOUT"
    time.sleep(1.5)
    assert not alive.exists()


def test_a_build_can_be_cancelled_once(api):
    answer = api("POST", BUILDS, json={"steps": [script("sleep 20")]}).json()
    build_id = answer["metadata"]["build"]["id"]

    begun = time.monotonic()
    api("POST", f"{BUILDS}/{build_id}:cancel", json={})
    while api("GET", f"{BUILDS}/{build_id}").json()["status"] != "CANCELLED":
        assert time.monotonic() < begun + 5
        time.sleep(0.05)

    assert api("POST", f"{BUILDS}/{build_id}:cancel", json={}).status_code == 400


def test_the_newest_are_listed_first_in_pages_and_by_filter(api):
    builds = [{"steps": [script("true")], "tags": [f"t{i % 2}", "listed"]} for i in range(4)]
    ids = [finished(api, build)["id"] for build in builds]

    first = api("GET", f"{BUILDS}?filter=tags%3Dlisted&pageSize=3").json()
    second = api("GET", f"{BUILDS}?filter=tags%3Dlisted&pageSize=3&pageToken={first['nextPageToken']}").json()
    odd = api("GET", f'{BUILDS}?filter=tags="t1" AND status="SUCCESS"').json()

    assert [b["id"] for b in first["builds"] + second["builds"]] == ids[::-1]
    assert "nextPageToken" not in second
    assert {b["id"] for b in odd["builds"]} == {ids[1], ids[3]}


def test_a_missing_source_fails_the_build(api):
    source = {"storageSource": {"bucket": "no-such", "object": "o.tgz", "generation": "1"}}

    build = finished(api, {"steps": [script("true")], "source": source})

    assert build["status"] == "FAILURE"
    assert "could not fetch the source gs://no-such/o.tgz" in build["statusDetail"]


def archive_of(**files: str) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return written.getvalue()


def uploaded(cloud, data: bytes) -> dict:
    """Upload an archive and return it as the source of a build."""
    requests.post(f"{cloud.storage}/storage/v1/b?project=p", json={"name": "sources"}, timeout=10)
    upload = f"{cloud.storage}/upload/storage/v1/b/sources/o?uploadType=media&name=source.tgz"
    requests.post(upload, data=data, timeout=10).raise_for_status()
    return {"storageSource": {"bucket": "sources", "object": "source.tgz"}}


def test_a_source_is_fetched_without_the_user_s_proxy(tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with running(tmp_path) as cloud, requests.Session() as session:
        session.trust_env = False
        monkeypatch.delenv("http_proxy")
        source = uploaded(cloud, archive_of(greeting="hello"))
        session.headers["Authorization"] = "Bearer any"

        def api(method, path, **more):
            return session.request(method, cloud.apis + path, timeout=10, **more)

        build = finished(api, {"steps": [script("cat greeting")], "source": source})

        assert build["status"] == "SUCCESS", build
        assert "Step #0: hello" in log_of(api, build)


@pytest.mark.parametrize("data", [b"no archive", archive_of(a="x" * 5000)[:-20]], ids=["none", "cut short"])
def test_a_source_that_is_not_a_complete_archive_fails_the_build(api, cloud, data):
    build = finished(api, {"steps": [script("true")], "source": uploaded(cloud, data)})

    assert build["status"] == "FAILURE"
    assert "could not fetch the source gs://sources/source.tgz" in build["statusDetail"]


def test_a_log_url_is_the_log_as_text_without_a_token(api):
    build = finished(api, {"steps": [script("echo hello; echo problem >&2")]})

    answer = requests.get(build["logUrl"], timeout=10)

    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text.splitlines() == log_of(api, build)
    assert requests.get(build["logUrl"].replace(build["id"], "none"), timeout=10).status_code == 404


def test_a_secret_that_is_not_valid_in_a_variable_fails_the_step(api):
    api("POST", "/v1/projects/p/secrets?secretId=binary", json={"replication": {"automatic": {}}})
    payload = {"payload": {"data": base64.b64encode(b"\xff\0").decode()}}
    api("POST", "/v1/projects/p/secrets/binary:addVersion", json=payload)
    secret = {"versionName": "projects/p/secrets/binary/versions/1", "env": "BINARY"}

    build = finished(
        api,
        {
            "steps": [script("true", secretEnv=["BINARY"])],
            "availableSecrets": {"secretManager": [secret]},
        },
    )

    assert build["status"] == "FAILURE"
    assert "bash: embedded null byte" in build["statusDetail"]


def test_a_reset_leaves_nothing_of_a_build(tmp_path):
    with running(tmp_path) as cloud, requests.Session() as session:
        session.headers["Authorization"] = "Bearer any"
        made = session.post(cloud.apis + BUILDS, json={"steps": [script("echo on; sleep 60")]}, timeout=10)
        url = made.json()["metadata"]["build"]["logUrl"]
        until = time.monotonic() + 20
        while "Step #0: on" not in session.get(url, timeout=10).text:
            assert time.monotonic() < until
            time.sleep(0.05)

        session.post(f"{cloud.apis}/_emulator/reset", timeout=10).raise_for_status()

        entries = session.post(
            f"{cloud.apis}/v2/entries:list", json={"resourceNames": ["projects/p"]}, timeout=10
        )
        assert entries.json() == {}
        assert not list((tmp_path / "builds").iterdir())


def test_a_build_in_the_queue_is_cancelled_at_once(tmp_path):
    with running(tmp_path, "--builds", "queue") as cloud:
        headers = {"Authorization": "Bearer any"}
        made = requests.post(cloud.apis + BUILDS, json={"steps": [STEP]}, headers=headers, timeout=10).json()
        address = f"{cloud.apis}{BUILDS}/{made['metadata']['build']['id']}"

        cancelled = requests.post(f"{address}:cancel", headers=headers, timeout=10).json()

        assert cancelled["status"] == "CANCELLED"
        assert cancelled["finishTime"]


def test_the_client_library_waits_for_a_build(cloud):
    client = cloudbuild_v1.CloudBuildClient(
        transport="rest", credentials=Credentials("any"), client_options={"api_endpoint": cloud.apis}
    )
    good, bad = (cloudbuild_v1.Build(steps=[script(text)]) for text in ("true", "exit 3"))

    done = client.create_build(project_id="p", build=good).result(timeout=20)

    assert done.status == cloudbuild_v1.Build.Status.SUCCESS
    with pytest.raises(GoogleAPICallError, match="status FAILURE"):
        client.create_build(project_id="p", build=bad).result(timeout=20)


STEP = {"name": DOCKER, "args": ["version"]}
ACCOUNT = "projects/p/serviceAccounts/a@p.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("build", "said"),
    [
        ({"steps": []}, "0 steps"),
        ({"steps": [{"args": ["x"]}]}, "must specify a name"),
        ({"steps": [STEP], "unknown": 1}, "unknown"),
        ({"steps": [STEP | {"arg": ["x"]}]}, "arg"),
        ({"steps": [STEP], "options": {"machineType": "E2_TINY"}}, "E2_TINY"),
        ({"steps": [STEP], "timeout": "1h"}, "timeout"),
        ({"steps": [STEP], "timeout": "90000s"}, "86400s"),
        ({"steps": [STEP | {"waitFor": ["later"]}]}, "waits for later"),
        ({"steps": [STEP | {"id": "a"}, STEP | {"id": "a"}]}, "used twice"),
        ({"steps": [STEP | {"args": ["$_MISSING"]}]}, '"_MISSING" is not a valid built-in substitution'),
        ({"steps": [STEP], "substitutions": {"_UNUSED": "x"}}, '"_UNUSED" in the substitution data is not'),
        ({"steps": [STEP], "substitutions": {"lower": "x"}}, "must begin with _"),
        ({"steps": [STEP | {"secretEnv": ["X"]}]}, "not in availableSecrets"),
        (
            {
                "steps": [STEP],
                "availableSecrets": {"secretManager": [{"versionName": "projects/p/secrets/s", "env": "X"}]},
            },
            "not used",
        ),
        (
            {"steps": [STEP | {"secretEnv": ["X"]}], "availableSecrets": {"secretManager": [{"env": "X"}]}},
            "needs an env and a versionName",
        ),
        ({"steps": [STEP], "serviceAccount": ACCOUNT}, "logs_bucket"),
        ({"steps": [STEP], "source": {"storageSource": {"bucket": "b"}}}, "needs a bucket and an object"),
        ({"steps": [STEP], "source": {"gitSource": {"url": "x"}}}, "does not emulate source.gitSource"),
        ({"steps": [STEP | {"script": "make"}]}, "does not emulate steps[0].script"),
        ({"steps": [STEP], "options": {"env": ["A=b"]}}, "does not emulate options.env"),
        ({"steps": [STEP], "artifacts": {"images": ["x"]}}, "does not emulate artifacts"),
    ],
)
def test_a_build_with_a_mistake_is_refused(api, build, said):
    answer = api("POST", BUILDS, json=build)

    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_our_build_file_is_a_build_whose_every_substitution_is_used():
    from localcloud.build.template import parse_build, substituted

    build = parse_build(yaml.safe_load((REPOSITORY / "cloudbuild.yaml").read_text()))
    done = substituted(build, "an-id", "p", "global")

    assert done["options"] == {"machineType": "E2_HIGHCPU_8", "logging": "CLOUD_LOGGING_ONLY"}
    assert [step["id"] for step in done["steps"]] == ["resolve-base", "build", "structure-test"]
    assert not [line for step in done["steps"] for line in step["args"] if "${_" in line]


def test_the_images_of_a_build_that_succeeded_are_in_the_registry_if_their_repository_is(
    tmp_path, monkeypatch
):
    """A script replaces docker, which is asked only for the digest; other tests use the engine."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/sh\necho sha256:{'c' * 64}\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}{os.pathsep}{os.environ['PATH']}")
    image = "us-central1-docker.pkg.dev/p/repo/suite:latest"

    with running(tmp_path / "state") as cloud:

        def pushed():
            return finished(
                lambda method, path, **more: request(method, cloud.apis + path, **more),
                {"steps": [script("true")], "images": [image]},
            )

        early = pushed()
        repositories = "/v1/projects/p/locations/us-central1/repositories?repositoryId=repo"
        request("POST", cloud.apis + repositories, json={"format": "DOCKER"}).raise_for_status()
        build = pushed()
        tags = "/v1/projects/p/locations/us-central1/repositories/repo/packages/suite/tags"
        [tag] = request("GET", cloud.apis + tags).json()["tags"]

    assert early["status"] == "FAILURE"
    assert 'Repository "repo" not found' in early["statusDetail"]
    assert build["status"] == "SUCCESS"
    assert tag["name"].endswith("/tags/latest")
    assert tag["version"].endswith(f"/versions/sha256:{'c' * 64}")
