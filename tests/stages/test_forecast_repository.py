"""The forecasting repository in the cloud: cloned with a token that stays secret, packed for later.

A real git, a local server with basic authentication, the emulated Secret Manager and Cloud Storage.
"""

import json
import os
import subprocess
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path

import pytest
import requests

from localcloud.process import running
from tests.archives import tar_entry
from tests.emulated import add_secret, commit_all, git, offer_repository, order_faults
from tests.experiments import REPOSITORY, sampled, write_repository
from tests.forecast_runs import PREFIX, PRIVATE, TOKEN, Run, message_of


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    """A repository with two commits on main, a branch and a tag; only the newest has the experiment."""
    folder = tmp_path_factory.mktemp("origin")
    (folder / "README.md").write_text("first\n")
    commit_all(folder, "first")
    git(folder, "branch", "empty")
    write_repository(folder, sampled())
    (folder / "data" / "epydemix-data").symlink_to("epydemix")  # a link inside
    (folder / "data" / "epydemix").mkdir()
    (folder / "own_code.py").write_text("ANSWER = 42\n")
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "tool.sh").chmod(0o755)
    commit_all(folder, "second")
    git(folder, "tag", "round-5")
    return folder


@pytest.fixture
def run(cloud, tmp_path, origin):
    offer_repository(cloud, PRIVATE, origin, TOKEN)
    yield Run(cloud, tmp_path)
    requests.post(f"{cloud.apis}/_emulator/reset", timeout=10)


def test_a_private_repository_is_cloned_built_and_packed_without_its_history(run, origin):
    secret = add_secret(run.cloud, TOKEN)

    ended = run.stage("builder", GITHUB_PAT_SECRET=secret, FORECAST_REPO_REF="main")

    assert ended.exit_code == 0, ended.output
    manifest = run.manifest()
    packed = run.object(f"{PREFIX}builder-artifacts/forecast.tar.gz")
    assert manifest["forecast_commit"] == git(origin, "rev-parse", "HEAD")
    assert len(json.dumps(manifest)) < 1000
    with tarfile.open(fileobj=BytesIO(packed)) as tar:
        entries = {entry.name: entry for entry in tar.getmembers()}
    assert "experiments/trial/config/model.yaml" in entries
    assert not [name for name in entries if ".git" in name.split("/")]
    assert entries["tool.sh"].mode == 0o755
    assert entries["data/epydemix-data"].issym()
    assert TOKEN not in ended.output


def test_the_token_is_nowhere_while_git_runs_and_after(run):
    """Arguments of all processes are watched during a slow clone; then every file is searched."""
    secret = add_secret(run.cloud, TOKEN)
    order_faults(run.cloud, {"path": "git-upload-pack", "latency_seconds": 1.5})
    seen: list[bytes] = []
    done = threading.Event()
    watcher = threading.Thread(target=watch_processes, args=(seen, done))
    watcher.start()

    ended = run.stage("builder", GITHUB_PAT_SECRET=secret)
    done.set()
    watcher.join()

    assert ended.exit_code == 0, ended.output
    assert any(b"fetch" in line and b"/git/" in line for line in seen)
    assert not [line for line in seen if TOKEN.encode() in line]
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    assert any(path.name == "config" and path.parent.name == ".git" for path in files)
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
    assert not [name for name in run.names() if TOKEN.encode() in run.object(name)]


def watch_processes(seen: list[bytes], done: threading.Event) -> None:
    """Collect what `ps` could show of any process, and the environment of git's own."""
    while not done.is_set():
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                try:
                    command = (folder / "cmdline").read_bytes()
                    seen.append(command)
                    if b"git" in command:  # and all that it starts
                        seen.append((folder / "environ").read_bytes())
                except OSError:  # it has ended
                    continue
        time.sleep(0.02)


@pytest.mark.parametrize("ref", ["round-5", "commit", "HEAD", ""])
def test_a_ref_is_a_tag_a_commit_or_the_default_branch(run, origin, ref):
    secret = add_secret(run.cloud, TOKEN)
    newest = git(origin, "rev-parse", "main")

    ended = run.stage(
        "builder", GITHUB_PAT_SECRET=secret, FORECAST_REPO_REF=newest if ref == "commit" else ref
    )

    assert ended.exit_code == 0, ended.output
    assert run.manifest()["forecast_commit"] == newest


def test_a_branch_without_the_experiment_is_told_in_one_line(run):
    secret = add_secret(run.cloud, TOKEN)

    ended = run.stage("builder", GITHUB_PAT_SECRET=secret, FORECAST_REPO_REF="empty")

    assert ended.exit_code == 2
    assert "trial" in ended.last_line
    assert "Traceback" not in ended.output


def test_a_public_repository_needs_no_token(run, origin):
    offer_repository(run.cloud, "my-lab/public", origin)

    ended = run.stage("builder", GITHUB_FORECAST_REPO="my-lab/public")

    assert ended.exit_code == 0, ended.output


@pytest.mark.parametrize(
    ("token", "variables", "code", "said"),
    [
        ("ghp_wrong", {}, 2, "is refused; it is wrong, has expired"),
        (
            TOKEN,
            {"GITHUB_FORECAST_REPO": "my-lab/nothing"},
            2,
            "there is no such repository, or the token of",
        ),
        (TOKEN, {"FORECAST_REPO_REF": "no-such"}, 2, 'no branch, tag or whole commit "no-such"'),
        (TOKEN, {"FORECAST_REPO_REF": "0" * 40}, 2, "no branch, tag or whole commit"),
        (TOKEN, {"GITHUB_URL": "http://127.0.0.1:9"}, 75, "the server does not answer"),
        (TOKEN, {"GITHUB_URL": "https://no-such-host.invalid"}, 75, "the server does not answer"),
        ("", {}, 2, "there is no such repository, or it is private"),
        (TOKEN, {"GITHUB_FORECAST_REPO": "flu"}, 2, "owner/name of a repository"),
        (TOKEN, {"GITHUB_FORECAST_REPO": f"https://{TOKEN}@github.com/a/b"}, 2, "//***@github.com/a/b"),
        (TOKEN, {"FORECAST_REPO_REF": "--upload-pack=touch x"}, 2, "a branch, a tag or a whole commit"),
        (
            TOKEN,
            {"GITHUB_PAT_SECRET": "no-such-secret"},
            2,
            "check GITHUB_PAT_SECRET, or: gcloud secrets create",
        ),
        ("two words", {}, 2, "contains no token"),
        (TOKEN, {"GITHUB_PAT_SECRET": TOKEN}, 2, 'GITHUB_PAT_SECRET="***"'),
        (TOKEN, {"GITHUB_FORECAST_REPO": f"{TOKEN}@github.com/a/b"}, 2, 'GITHUB_FORECAST_REPO="***@github'),
        (TOKEN, {"GITHUB_URL": "http://git.example.org"}, 2, "an address such as https://github.com"),
        (TOKEN, {"GITHUB_URL": f"https://me:{TOKEN}@github.com"}, 2, 'GITHUB_URL="https://***@github.com"'),
    ],
)
def test_what_is_wrong_is_one_line(run, token, variables, code, said):
    secret = add_secret(run.cloud, token) if token else ""

    ended = run.stage("builder", **{"GITHUB_PAT_SECRET": secret, **variables})

    assert ended.exit_code == code, ended.output
    assert said in message_of(ended)
    assert TOKEN not in ended.output
    assert not run.names()
    assert not list((run.folder / "data").glob(".clone-*"))


@pytest.mark.parametrize(
    ("rule", "code", "said"),
    [
        ({"path": ":access", "status": 403, "message": "no right"}, 2, "roles/secretmanager.secretAccessor"),
        ({"path": "/git/", "status": 503}, 75, "the server does not answer"),
        ({"path": "git-upload-pack", "action": "truncate"}, 75, "the server does not answer"),
        ({"path": "/git/", "action": "reset"}, 75, "the server does not answer"),
    ],
)
def test_a_server_that_refuses_or_fails_is_one_line(run, rule, code, said):
    secret = add_secret(run.cloud, TOKEN)
    order_faults(run.cloud, rule)

    ended = run.stage("builder", GITHUB_PAT_SECRET=secret)

    assert ended.exit_code == code, ended.output
    assert said in message_of(ended)
    assert not run.names()


def test_a_lost_secret_manager_is_tried_again_by_batch(run):
    ended = run.stage("builder", GITHUB_PAT_SECRET="any", SECRET_MANAGER_EMULATOR_HOST="http://127.0.0.1:9")

    assert ended.exit_code == 75
    assert "Secret Manager does not answer" in message_of(ended)


def test_a_server_that_redirects_to_another_host_is_given_no_token_for_it(run):
    """Git follows the first redirect, and would ask for a token there, too."""
    heard: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.headers.get("Authorization", "none"))
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="elsewhere"')
            self.end_headers()

        def log_message(self, *words):
            pass

    class Redirecting(Elsewhere):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{elsewhere.server_address[1]}{self.path}")
            self.end_headers()

    elsewhere, first = (HTTPServer(("127.0.0.1", 0), kind) for kind in (Elsewhere, Redirecting))
    for server in (elsewhere, first):
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    ended = run.stage(
        "builder",
        GITHUB_PAT_SECRET=add_secret(run.cloud, TOKEN),
        GITHUB_URL=f"http://127.0.0.1:{first.server_address[1]}",
    )
    for server in (elsewhere, first):
        server.shutdown()

    assert ended.exit_code == 2, ended.output
    assert heard
    assert set(heard) == {"none"}


def test_stage_c_finds_another_output_yaml_in_the_packed_repository(run, origin):
    secret = add_secret(run.cloud, TOKEN)
    (origin / "experiments" / "trial" / "median.yml").write_text(
        "output:\n  quantiles:\n    selections: [0.5]\n    compartments: true\n"
    )
    commit_all(origin, "another output")
    elsewhere = {"GITHUB_PAT_SECRET": secret, "LOCAL_DATA_PATH": str(run.folder / "other-machine")}
    assert run.stage("builder", GITHUB_PAT_SECRET=secret).exit_code == 0
    for index in range(3):
        assert run.stage("runner", **elsewhere, TASK_INDEX=str(index)).exit_code == 0

    ended = run.stage("output", **elsewhere, OUTPUT_CONFIG_FILE="../median.yml")

    assert ended.exit_code == 0, ended.output
    names = [name.rpartition("/")[2] for name in run.names() if "/outputs/" in name]
    assert "quantiles_compartments.csv.gz" in names
    assert "trajectories_compartments.csv.gz" not in names


def test_a_repository_that_was_put_into_the_bucket_needs_no_server(run, origin):
    """What `forecast.tar.gz` holds is built from, where no repository is named."""
    from pipeline.forecast_pack import pack

    archive = run.folder / "forecast.tar.gz"
    pack(origin, archive)
    place = f"{run.cloud.storage}/upload/storage/v1/b/{run.bucket}/o?uploadType=media"
    name = requests.utils.quote(f"{PREFIX}builder-artifacts/forecast.tar.gz", safe="")
    requests.post(f"{place}&name={name}", data=archive.read_bytes(), timeout=10).raise_for_status()

    ended = run.stage("builder", GITHUB_FORECAST_REPO="")

    assert ended.exit_code == 0, ended.output
    assert run.manifest()["num_workloads"] == 3
    assert run.object(f"{PREFIX}builder-artifacts/forecast.tar.gz") == archive.read_bytes()


def test_an_archive_in_the_bucket_that_writes_outside_its_folder_is_refused(run):
    archive = run.folder / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tar_entry("../out"))
    place = f"{run.cloud.storage}/upload/storage/v1/b/{run.bucket}/o?uploadType=media"
    quoted = requests.utils.quote(f"{PREFIX}builder-artifacts/forecast.tar.gz", safe="")
    requests.post(f"{place}&name={quoted}", data=archive.read_bytes(), timeout=10).raise_for_status()

    ended = run.stage("builder", GITHUB_FORECAST_REPO="")

    assert ended.exit_code == 2
    assert "cannot be unpacked" in message_of(ended)


def test_a_checkout_of_somebody_is_not_replaced_by_a_clone(run):
    own = run.folder / "own"
    write_repository(own, sampled())
    (own / "notes.txt").write_text("not committed")

    ended = run.stage("builder", GITHUB_PAT_SECRET=add_secret(run.cloud, TOKEN), FORECAST_REPO_DIR=str(own))

    assert ended.exit_code == 2
    assert "it is left alone" in message_of(ended)
    assert (own / "notes.txt").read_text() == "not committed"


def test_a_clone_is_replaced_by_the_next_one(run):
    secret = add_secret(run.cloud, TOKEN)
    first = run.stage("builder", GITHUB_PAT_SECRET=secret, FORECAST_REPO_REF="empty")

    again = run.stage("builder", GITHUB_PAT_SECRET=secret, FORECAST_REPO_REF="main")

    assert first.exit_code == 2
    assert again.exit_code == 0, again.output


def test_stopping_while_git_fetches_leaves_nothing(run):
    secret = add_secret(run.cloud, TOKEN)
    order_faults(run.cloud, {"path": "git-upload-pack", "latency_seconds": 20})
    process = subprocess.Popen(
        ["bash", str(REPOSITORY / "scripts" / "run_builder.sh")],
        cwd=run.folder,
        env=run.environment(GITHUB_PAT_SECRET=secret, TMPDIR=str(run.folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until = time.monotonic() + 20
    while not list(run.folder.glob("git-*/token")):
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(0.5)

    process.terminate()
    output, _ = process.communicate(timeout=10)

    assert process.returncode == 130, output
    assert not list(run.folder.glob("git-*"))
    assert not list((run.folder / "data").glob(".clone-*"))


def test_submodules_and_large_files_that_are_not_fetched_are_told(run, origin):
    git(origin, "checkout", "-q", "-b", "more")
    (origin / ".gitmodules").write_text('[submodule "x"]\n\tpath = x\n\turl = https://example.org/x\n')
    (origin / ".gitattributes").write_text("*.bin filter=lfs\n")
    commit_all(origin, "more")
    git(origin, "checkout", "-q", "main")

    ended = run.stage("builder", GITHUB_PAT_SECRET=add_secret(run.cloud, TOKEN), FORECAST_REPO_REF="more")

    assert ended.exit_code == 0, ended.output
    assert "has submodules" in ended.output
    assert "uses Git LFS" in ended.output


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("fatal: unable to access 'ADDRESS/': SSL certificate problem: unable to get local issuer", 2),
        ("fatal: unable to access 'ADDRESS/': server certificate verification failed", 2),
        ("fatal: write error: No space left on device\nfatal: early EOF", 2),
        ("fatal: unable to access 'ADDRESS/': GnuTLS, handshake failed: Error in the pull function", 75),
        ("fetch-pack: unexpected disconnect while reading sideband packet", 75),
        ("fatal: unable to access 'ADDRESS/': Could not resolve host: github.com", 75),
        ("error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502", 75),
        ("fatal: something never heard of at ADDRESS", 2),
    ],
)
def test_what_git_says_is_told_apart(run, said, code):
    """A stand-in for git says what a real one was seen to say; the repository's own name plays no part."""
    programs = run.folder / "bin"
    programs.mkdir()
    words = said.replace("ADDRESS", "https://github.com/my-lab/ssl-timeout-models.git")
    (programs / "git").write_text(f"#!/bin/sh\nprintf '%s\\n' \"{words}\" >&2\nexit 128\n")
    (programs / "git").chmod(0o755)

    ended = run.stage(
        "builder",
        PATH=f"{programs}:{os.environ['PATH']}",
        GITHUB_URL="https://github.com",
        GITHUB_FORECAST_REPO="my-lab/ssl-timeout-models",
    )

    assert ended.exit_code == code, ended.output
