"""The forecasting repository in the cloud: cloned with a token that stays secret, packed for later.

A real git, a local server with basic authentication, the emulated Secret Manager and Cloud Storage.
"""

import gzip
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path

import pytest
import requests

from localcloud.process import running
from modeling.failures import UserError
from pipeline import forecast_pack
from pipeline.artifacts import RunFiles
from pipeline.forecast_pack import unpack_forecast
from pipeline.storage import FolderStorage
from tests.emulated import (
    add_secret,
    commit_all,
    create_bucket,
    git,
    names_in,
    object_of,
    offer_repository,
    order_faults,
)
from tests.experiments import EXAMPLES, REPOSITORY, sampled, write_repository
from tests.stage_scripts import RUN_ID, Ended

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


class Run:
    """One run in the cloud: a bucket of its own, and stages as containers start them."""

    def __init__(self, cloud, folder: Path):
        self.cloud, self.folder, self.bucket = cloud, folder, create_bucket(cloud)

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
            "GITHUB_URL": f"{self.cloud.apis}/git",
            "GITHUB_FORECAST_REPO": PRIVATE,
            "GCLOUD_PROJECT_ID": "p",
            "STORAGE_EMULATOR_HOST": self.cloud.storage,
            "SECRET_MANAGER_EMULATOR_HOST": self.cloud.apis,
            "OMP_NUM_THREADS": "1",
            **variables,
        }

    def stage(self, stage: str, **variables: str) -> Ended:
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
        return object_of(self.cloud, self.bucket, name)

    def names(self) -> list[str]:
        return names_in(self.cloud, self.bucket)

    def manifest(self) -> dict:
        return json.loads(self.object(f"{PREFIX}builder-artifacts/manifest.json"))


@pytest.fixture
def run(cloud, tmp_path, origin):
    offer_repository(cloud, PRIVATE, origin, TOKEN)
    yield Run(cloud, tmp_path)
    requests.post(f"{cloud.apis}/_emulator/reset", timeout=10)


def message_of(ended: Ended) -> str:
    """The only line, which is an error."""
    assert "Traceback" not in ended.output
    (line,) = [json.loads(line) for line in ended.lines]
    assert line["severity"] == "ERROR"
    assert line["stage"] == "builder"
    return line["message"]


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


@pytest.mark.parametrize("kind", ["outside", "absolute", "loop"])
def test_a_link_that_leads_nowhere_elsewhere_is_refused(tmp_path, kind):
    from pipeline.failures import UserError
    from pipeline.forecast_pack import pack

    folder = tmp_path / "with-link"
    write_repository(folder, sampled())
    target = {"outside": "../../x", "absolute": folder / "data", "loop": "link"}[kind]
    (folder / "data" / "link").symlink_to(target)

    with pytest.raises(UserError, match="leads out of the repository"):
        pack(folder, tmp_path / "x.tar.gz")


def _entry(name: str, link: str = "", **more) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    if link:
        entry.type, entry.linkname = tarfile.SYMTYPE, link
    for field, value in more.items():
        setattr(entry, field, value)
    return entry


def _sparse(name: str) -> tarfile.TarInfo:
    headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9000000000000"}
    return _entry(name, pax_headers=headers | {"GNU.sparse.name": name})


EVIL = {
    "a name that climbs": [_entry("../out")],
    "an absolute name": [_entry("/out")],
    "a link that climbs": [_entry("in", "../out")],
    "an absolute link": [_entry("in", "/out")],
    "a file behind a link": [_entry("in", "."), _entry("in/out")],
    "a file behind a link of a link": [
        _entry("a/b/l", "../.."),
        _entry("a/b/l/m", "../.."),
        _entry("m/out"),
    ],
    "a link through a link": [_entry("a/b/l", "../.."), _entry("m", "a/b/l/../..")],
    "a link and a file of one name": [_entry("in", "."), _entry("in")],
    "a circle of links": [_entry("a", "b"), _entry("b", "a")],
    "a device": [_entry("tape", type=tarfile.CHRTYPE, devmajor=1, devminor=5)],
    "a pipe": [_entry("pipe", type=tarfile.FIFOTYPE)],
    "a hard link": [_entry("hard", type=tarfile.LNKTYPE, linkname="../out")],
    "a name with a zero byte": [_entry("a", pax_headers={"path": "a\0b"})],
    "a file in a file": [_entry("a"), _entry("a/b")],
    "a name without end": [_entry("a" * 5000)],
    "a sparse file": [_sparse("sparse")],
    "a file without end": [_entry("large", size=1 << 50)],
    "a size below nothing": [_entry("small", size=-512)],
}


@pytest.mark.parametrize("name", EVIL)
def test_an_archive_that_pack_does_not_write_is_refused_in_one_line(tmp_path, name):
    folder = tmp_path / "a" / "b" / "c" / "folder"
    folder.mkdir(parents=True)
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for entry in EVIL[name]:
            tar.addfile(entry)

    with pytest.raises(UserError, match=r"forecast.tar.gz: ") as refused:
        unpack_forecast(_stored(tmp_path, packed.getvalue()), folder)

    assert "\n" not in str(refused.value)
    assert not [path for path in tmp_path.rglob("out") if folder not in path.parents]


@pytest.mark.parametrize("kind", ["files", "bytes", "a header"])
def test_an_archive_that_unpacks_to_more_than_a_repository_has_is_not_unpacked(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(forecast_pack, "MOST_ENTRIES", 50)
    monkeypatch.setattr(forecast_pack, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(forecast_pack, "MOST_TAR_BYTES", 4 << 20)
    folder, packed = tmp_path / "folder", BytesIO()
    folder.mkdir()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        if kind == "files":
            for number in range(60):
                tar.addfile(_entry(f"{number}"))
        if kind == "bytes":
            tar.addfile(_entry("zeros", size=2 << 20), BytesIO(bytes(2 << 20)))
        if kind == "a header":
            tar.addfile(_entry("a", pax_headers={"comment": "0" * (8 << 20)}))

    with pytest.raises(UserError, match=r"has more; keep|unpacks to more than"):
        unpack_forecast(_stored(tmp_path, packed.getvalue()), folder)

    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "data", [b"", b"no archive", gzip.compress(b"no tar"), b"\x1f\x8b\x08\x00" + bytes(99)]
)
def test_what_is_no_archive_is_refused_in_one_line(tmp_path, data):
    with pytest.raises(UserError, match=r"forecast.tar.gz: cannot be unpacked \("):
        unpack_forecast(_stored(tmp_path, data), tmp_path)


def test_a_repository_that_is_too_large_to_be_unpacked_is_not_packed(tmp_path, monkeypatch):
    monkeypatch.setattr(forecast_pack, "MOST_BYTES", 100)
    write_repository(tmp_path / "large", sampled())

    with pytest.raises(UserError, match="large: a forecasting repository has at most"):
        forecast_pack.pack(tmp_path / "large", tmp_path / "x.tar.gz")


def test_what_was_packed_is_unpacked_with_its_links(tmp_path):
    write_repository(tmp_path / "origin", sampled())
    (tmp_path / "origin" / "data" / "newest.csv").symlink_to("observed.csv")
    (tmp_path / "origin" / "also").symlink_to("experiments/trial")
    forecast_pack.pack(tmp_path / "origin", tmp_path / "x.tar.gz")
    (tmp_path / "unpacked").mkdir()

    unpack_forecast(_stored(tmp_path, (tmp_path / "x.tar.gz").read_bytes()), tmp_path / "unpacked")

    for name in ("data/newest.csv", "also/config/model.yaml"):
        assert (tmp_path / "unpacked" / name).read_bytes() == (tmp_path / "origin" / name).read_bytes()


def _stored(folder: Path, archive: bytes) -> RunFiles:
    """Return the files of a run whose repository is this archive."""
    storage = FolderStorage(folder / "bucket")
    storage.save_bytes("trial/builder-artifacts/forecast.tar.gz", archive)
    return RunFiles(storage, "trial/", "trial/")


def test_an_archive_in_the_bucket_that_writes_outside_its_folder_is_refused(run):
    archive = run.folder / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(_entry("../out"))
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
