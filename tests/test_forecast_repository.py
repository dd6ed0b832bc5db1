"""The forecasting repository in the cloud: cloned with a token that stays secret, packed for later.

A real git, a local server with basic authentication, the emulated Secret Manager and Cloud Storage.
"""

import base64
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from io import BytesIO
from pathlib import Path

import pytest
import requests

from localcloud.process import running
from tests.experiments import EXAMPLES, REPOSITORY, sampled, write_repository
from tests.stages import RUN_ID, Ended

TOKEN = "ghp_marked0token0of0this0test"
PRIVATE = "my-lab/flu-forecasts"
PREFIX = f"trial/{RUN_ID}/"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    """A repository with two commits on main, a branch and a tag; only the newest has the experiment."""
    folder = tmp_path_factory.mktemp("origin")
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "README.md").write_text("first\n")
    commit(folder, "first")
    git(folder, "branch", "empty")
    write_repository(folder, sampled())
    (folder / "data" / "epydemix-data").symlink_to("epydemix")  # a link inside
    (folder / "data" / "epydemix").mkdir()
    (folder / "own_code.py").write_text("ANSWER = 42\n")
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "tool.sh").chmod(0o755)
    commit(folder, "second")
    git(folder, "tag", "round-5")
    return folder


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


class Cloud:
    """What one test has in the cloud: a bucket, a secret, repositories, stages as containers start them."""

    numbers = iter(range(1, 1000))

    def __init__(self, addresses, folder: Path):
        self.storage, self.apis, self.folder = addresses.storage, addresses.apis, folder
        self.bucket = f"forecasts-{next(self.numbers)}"
        self.post(f"{self.storage}/storage/v1/b?project=p", {"name": self.bucket})

    def post(self, url: str, body) -> dict:
        answer = requests.post(url, json=body, headers={"Authorization": "Bearer any"}, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def offer(self, name: str, path: Path, token: str = "") -> None:
        self.post(f"{self.apis}/_emulator/git", {"repository": name, "path": str(path), "token": token})

    def add_secret(self, token: str) -> str:
        name = f"pat-{self.bucket}"
        secrets = f"{self.apis}/v1/projects/p/secrets"
        self.post(f"{secrets}?secretId={name}", {"replication": {"automatic": {}}})
        self.post(
            f"{secrets}/{name}:addVersion", {"payload": {"data": base64.b64encode(token.encode()).decode()}}
        )
        return name

    def order(self, *rules: dict) -> None:
        self.post(f"{self.apis}/_emulator/faults", list(rules))

    def environment(self, **variables: str) -> dict[str, str]:
        kept = {n: os.environ[n] for n in ("PATH", "LANG", "TMPDIR") if n in os.environ}
        return {
            **kept,
            "PYTHON": sys.executable,
            "HOME": str(self.folder),
            "EXECUTION_MODE": "cloud",
            "GCS_BUCKET": self.bucket,
            "EXP_ID": "trial",
            "RUN_ID": RUN_ID,
            "LOCAL_DATA_PATH": str(self.folder / "data"),
            "EPYDEMIX_DATA_DIR": str(EXAMPLES / "data" / "epydemix-data"),
            "GITHUB_URL": f"{self.apis}/git",
            "GITHUB_FORECAST_REPO": PRIVATE,
            "GCLOUD_PROJECT_ID": "p",
            "STORAGE_EMULATOR_HOST": self.storage,
            "SECRET_MANAGER_EMULATOR_HOST": self.apis,
            "OMP_NUM_THREADS": "1",
            **variables,
        }

    def run(self, stage: str, **variables: str) -> Ended:
        done = subprocess.run(
            ["bash", str(REPOSITORY / "scripts" / f"run_{stage}.sh")],
            cwd=self.folder,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        return Ended(done.returncode, done.stdout, done.stdout.strip().splitlines())

    def object(self, name: str) -> bytes:
        quoted = requests.utils.quote(name, safe="")
        answer = requests.get(f"{self.storage}/storage/v1/b/{self.bucket}/o/{quoted}?alt=media", timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.content

    def names(self) -> list[str]:
        listed = requests.get(f"{self.storage}/storage/v1/b/{self.bucket}/o", timeout=10).json()
        return [item["name"] for item in listed.get("items", [])]

    def manifest(self) -> dict:
        return json.loads(self.object(f"{PREFIX}builder-artifacts/manifest.json"))


@pytest.fixture
def run(cloud, tmp_path, origin):
    made = Cloud(cloud, tmp_path)
    made.offer(PRIVATE, origin, TOKEN)
    yield made
    requests.post(f"{cloud.apis}/_emulator/reset", timeout=10)


def message_of(ended: Ended) -> str:
    """The only line, which is an error."""
    assert "Traceback" not in ended.output
    (line,) = [json.loads(line) for line in ended.lines]
    assert line["severity"] == "ERROR"
    assert line["stage"] == "builder"
    return line["message"]


def test_a_private_repository_is_cloned_built_and_packed_without_its_history(run, origin):
    secret = run.add_secret(TOKEN)

    ended = run.run("builder", GITHUB_PAT_SECRET=secret, FORECAST_REPO_REF="main")

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
    secret = run.add_secret(TOKEN)
    run.order({"path": "git-upload-pack", "latency_seconds": 1.5})
    seen: list[bytes] = []
    done = threading.Event()
    watcher = threading.Thread(target=watch_processes, args=(seen, done))
    watcher.start()

    ended = run.run("builder", GITHUB_PAT_SECRET=secret)
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
                    if command.startswith(b"git\0"):
                        seen.append((folder / "environ").read_bytes())
                except OSError:  # it has ended
                    continue
        time.sleep(0.02)


@pytest.mark.parametrize("ref", ["round-5", "commit", "HEAD", ""])
def test_a_ref_is_a_tag_a_commit_or_the_default_branch(run, origin, ref):
    secret = run.add_secret(TOKEN)
    newest = git(origin, "rev-parse", "main")

    ended = run.run("builder", GITHUB_PAT_SECRET=secret, FORECAST_REPO_REF=newest if ref == "commit" else ref)

    assert ended.exit_code == 0, ended.output
    assert run.manifest()["forecast_commit"] == newest


def test_a_branch_without_the_experiment_is_told_in_one_line(run):
    secret = run.add_secret(TOKEN)

    ended = run.run("builder", GITHUB_PAT_SECRET=secret, FORECAST_REPO_REF="empty")

    assert ended.exit_code == 2
    assert "trial" in ended.last_line
    assert "Traceback" not in ended.output


def test_a_public_repository_needs_no_token(run, origin):
    run.offer("my-lab/public", origin)

    ended = run.run("builder", GITHUB_FORECAST_REPO="my-lab/public")

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
        (TOKEN, {"GITHUB_URL": "http://no-such-host.invalid"}, 75, "the server does not answer"),
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
        ("two words", {}, 2, "holds no token"),
    ],
)
def test_what_is_wrong_is_one_line(run, token, variables, code, said):
    secret = run.add_secret(token) if token else ""

    ended = run.run("builder", **{"GITHUB_PAT_SECRET": secret, **variables})

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
    secret = run.add_secret(TOKEN)
    run.order(rule)

    ended = run.run("builder", GITHUB_PAT_SECRET=secret)

    assert ended.exit_code == code, ended.output
    assert said in message_of(ended)
    assert not run.names()


def test_a_lost_secret_manager_is_tried_again_by_batch(run):
    ended = run.run("builder", GITHUB_PAT_SECRET="any", SECRET_MANAGER_EMULATOR_HOST="http://127.0.0.1:9")

    assert ended.exit_code == 75
    assert "Secret Manager does not answer" in message_of(ended)


def test_stage_c_finds_another_output_yaml_in_the_packed_repository(run, origin):
    secret = run.add_secret(TOKEN)
    (origin / "experiments" / "trial" / "median.yml").write_text(
        "output:\n  quantiles:\n    selections: [0.5]\n    compartments: true\n"
    )
    commit(origin, "another output")
    elsewhere = {"GITHUB_PAT_SECRET": secret, "LOCAL_DATA_PATH": str(run.folder / "other-machine")}
    assert run.run("builder", GITHUB_PAT_SECRET=secret).exit_code == 0
    for index in range(3):
        assert run.run("runner", **elsewhere, TASK_INDEX=str(index)).exit_code == 0

    ended = run.run("output", **elsewhere, OUTPUT_CONFIG_FILE="../median.yml")

    assert ended.exit_code == 0, ended.output
    names = [name.rpartition("/")[2] for name in run.names() if "/outputs/" in name]
    assert "quantiles_compartments.csv.gz" in names
    assert "trajectories_compartments.csv.gz" not in names


def test_a_repository_that_was_put_into_the_bucket_needs_no_server(run, origin):
    """What `forecast.tar.gz` holds is built from, where no repository is named."""
    from pipeline.forecast_pack import pack

    archive = run.folder / "forecast.tar.gz"
    pack(origin, archive)
    place = f"{run.storage}/upload/storage/v1/b/{run.bucket}/o?uploadType=media"
    name = requests.utils.quote(f"{PREFIX}builder-artifacts/forecast.tar.gz", safe="")
    requests.post(f"{place}&name={name}", data=archive.read_bytes(), timeout=10).raise_for_status()

    ended = run.run("builder", GITHUB_FORECAST_REPO="")

    assert ended.exit_code == 0, ended.output
    assert run.manifest()["num_workloads"] == 3
    assert run.object(f"{PREFIX}builder-artifacts/forecast.tar.gz") == archive.read_bytes()


def test_packing_is_the_same_bytes_for_the_same_files_and_leaves_secrets_out(tmp_path):
    from pipeline.forecast_pack import pack

    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        write_repository(folder, sampled())
        (folder / ".env").write_text("GITHUB_PAT=x\n")
        (folder / ".git").mkdir()
        (folder / ".git" / "config").write_text(folder.name)
        time.sleep(0.01)
    os.utime(second / "data" / "observed.csv", (1, 1))

    pack(first, tmp_path / "1.tar.gz")
    pack(second, tmp_path / "2.tar.gz")

    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "1.tar.gz") as tar:
        assert not [n for n in tar.getnames() if n.startswith((".env", ".git"))]


def test_a_link_out_of_the_repository_is_refused(run, origin):
    from pipeline.failures import UserError
    from pipeline.forecast_pack import pack

    folder = run.folder / "with-link"
    write_repository(folder, sampled())
    (folder / "data" / "outside").symlink_to("/etc/passwd")

    with pytest.raises(UserError, match="leads out of the repository"):
        pack(folder, run.folder / "x.tar.gz")
