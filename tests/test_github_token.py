"""The GitHub token in Secret Manager: set and tried with the real gcloud and git, and seen by nobody.

Secret Manager is the emulated one, and so is the server of repositories, which wants a token as GitHub does.
"""

import base64
import os
import pty
import select
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localcloud.environment import client_environment
from localcloud.process import running
from ops.failures import UserError
from ops.project import git_remote
from ops.settings import Settings
from ops.shell import Shell
from tests.emulated import add_secret, commit_all, git, offer_repository, order_faults, post, request
from tests.experiments import REPOSITORY
from tests.needs import need_program
from tests.stages import Ended
from tests.test_tasks import INVOKE

PROJECT, SECRET = "my-lab-forecasts", "github-pat"
FORECAST, SUITE = "my-lab/flu-forecasts", "my-lab/suite"
TOKEN = "ghp_handed0over0in0a0secret0alone"
OTHER_TOKEN = "github_pat_another0token0of0this0test"
VERSIONS = f"/v1/projects/{PROJECT}/secrets/{SECRET}/versions"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state")) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    """A repository with two commits on main, a branch and an annotated tag."""
    folder = tmp_path_factory.mktemp("origin")
    for number in ("first", "second"):
        (folder / "README.md").write_text(number)
        commit_all(folder, number)
    git(folder, "branch", "round-5")
    git(folder, "tag", "--annotate", "--message", "as published", "v1", "HEAD~1")
    return folder


class Desk:
    """Where an operator types: invoke on the emulated cloud, in folders that can be searched afterwards."""

    def __init__(self, cloud, folder: Path):
        self.cloud, self.folder = cloud, folder
        self.home, self.temporary = folder / "home", folder / "tmp"
        for each in (self.home, self.temporary):
            each.mkdir()
        (folder / "settings.env").touch()
        self.environ = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            **client_environment(cloud.storage, cloud.apis, cloud.state, PROJECT),
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "ENV_FILE": str(folder / "settings.env"),
            "PROJECT_ID": PROJECT,
            "GITHUB_PAT_SECRET": SECRET,
            "GITHUB_URL": f"{cloud.apis}/git",
            "GITHUB_FORECAST_REPO": FORECAST,
            "CLOUDSDK_CORE_LOG_HTTP": "true",  # who looks into gcloud must not give the token away
            "TERM": "dumb",
        }

    def invoke(self, *words: str, typed: str = "", **variables: str) -> Ended:
        done = subprocess.run(
            [*INVOKE, str(REPOSITORY), *words],
            cwd=self.folder,
            env={**self.environ, **variables},
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        return Ended(done.returncode, done.stdout, done.stdout.strip().splitlines())

    def version(self, number: str = "latest") -> dict:
        return request("GET", f"{self.cloud.apis}{VERSIONS}/{number}").json()

    def value(self) -> str:
        held = request("GET", f"{self.cloud.apis}{VERSIONS}/latest:access").json()["payload"]["data"]
        return base64.b64decode(held).decode()

    def files_with(self, text: str) -> list[Path]:
        """Return the files with a text in them, plain or as requests hold it: the operator's and gcloud's."""
        looks = text.encode(), base64.b64encode(text.encode()), base64.urlsafe_b64encode(text.encode())
        below = [
            path for place in (self.folder, self.cloud.state) for path in place.rglob("*") if path.is_file()
        ]
        return [path for path in below if any(look in path.read_bytes() for look in looks)]


@pytest.fixture
def desk(emulator, tmp_path, origin):
    need_program("gcloud")
    offer_repository(emulator, FORECAST, origin, TOKEN)
    yield Desk(emulator, tmp_path)
    post(f"{emulator.apis}/_emulator/reset", {})


class ArgumentWatch:
    """Looks at the arguments of every process of this machine until the block ends."""

    def __init__(self, text: str):
        self.text, self.found, self.programs = text.encode(), [], set()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "ArgumentWatch":
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.01):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = path.read_bytes()
                except OSError:
                    continue  # it has ended
                if self.text in words:
                    self.found.append(words)
                self.programs |= {name for name in (b"ls-remote", b"--data-file=-") if name in words}


def test_a_token_from_standard_input_makes_the_secret_and_then_versions_and_is_seen_nowhere(desk):
    with ArgumentWatch(TOKEN) as watch:
        made = desk.invoke("secret-set", typed=f"{TOKEN}\n")

    assert made.exit_code == 0, made.output
    assert desk.value() == TOKEN
    secret = request("GET", f"{desk.cloud.apis}{VERSIONS.removesuffix('/versions')}").json()
    assert secret["replication"] == {"automatic": {}}
    assert secret["labels"] == {
        "component": "epymodelingsuite",
        "managed-by": "manual",
        "environment": "production",
    }
    assert f"{SECRET}: version 1, less than a day old" in made.output
    assert "invoke tf-apply" in made.output
    assert b"--data-file=-" in watch.programs
    assert not watch.found
    assert TOKEN not in made.output
    assert not desk.files_with(TOKEN)

    added = desk.invoke("secret-set", typed=OTHER_TOKEN)

    assert desk.value() == OTHER_TOKEN
    assert "version 2, less than a day old" in added.output
    assert f"gcloud secrets versions disable 1 --secret {SECRET} --project {PROJECT}" in added.output
    assert "tf-apply" not in added.output
    assert desk.version("1")["state"] == "ENABLED"


def test_older_versions_are_disabled_where_that_is_asked_for(desk):
    add_secret(desk.cloud, "first", SECRET, PROJECT)

    ended = desk.invoke("secret-set", "--disable-old", typed=TOKEN)

    assert ended.exit_code == 0, ended.output
    assert "disabled version 1, less than a day old" in ended.output
    assert [desk.version(number)["state"] for number in ("1", "2")] == ["DISABLED", "ENABLED"]


def test_a_token_typed_on_a_terminal_is_not_shown(desk):
    argv = [*INVOKE, str(REPOSITORY), "secret-set"]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(desk.folder)
        os.execve(argv[0], argv, desk.environ)
    said = read_until(terminal, b"not shown): ")

    os.write(terminal, f"{TOKEN}\n".encode())
    said += read_until(terminal, None)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said
    assert desk.value() == TOKEN
    assert TOKEN.encode() not in said


def read_until(terminal: int, end: bytes | None) -> bytes:
    """Return what a terminal shows until it shows `end`, or until nobody writes to it any more."""
    said, until = b"", time.monotonic() + 120
    while end is None or end not in said:
        assert select.select([terminal], [], [], until - time.monotonic())[0], said
        try:
            more = os.read(terminal, 4096)
        except OSError:  # so Linux tells the end of a terminal
            more = b""
        if not more:
            assert end is None, said
            break
        said += more
    return said


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "no token was given"),
        (" \n", "no token was given"),
        ("hunter2hunter2hunter2", "not like a token of GitHub"),
        ("ghp_short", "not like a token of GitHub"),
        ("ghp_two0lines0of0a0token00\nand0another0one", "spaces, line ends"),
    ],
)
def test_what_is_no_token_is_refused_with_a_hint_and_not_shown(desk, typed, said):
    ended = desk.invoke("secret-set", typed=typed)

    assert ended.exit_code == 2
    assert said in ended.last_line
    assert not typed.strip() or typed.split()[0] not in ended.output
    assert desk.version().get("error", {}).get("code") == 404


def test_force_takes_what_is_not_like_a_token_but_nothing_with_spaces(desk):
    spaced = desk.invoke("secret-set", "--force", typed="of our own server")
    forced = desk.invoke("secret-set", "--force", typed="gitea-Token.of%our\\nown$server")

    assert spaced.exit_code == 2
    assert forced.exit_code == 0, forced.output
    assert desk.value() == "gitea-Token.of%our\\nown$server"


def test_a_secret_that_is_not_named_in_the_settings_is_told_before_anything_is_asked(desk):
    for task in ("secret-set", "secret-check"):
        ended = desk.invoke(task, typed=TOKEN, GITHUB_PAT_SECRET="")

        assert ended.exit_code == 2
        assert "GITHUB_PAT_SECRET=github-pat" in ended.last_line
        assert "invoke config-edit" in ended.last_line


def test_a_dry_run_prints_the_commands_reads_no_token_and_changes_nothing(desk):
    set_ = desk.invoke("secret-set", "--disable-old", "--dry-run", typed=TOKEN)
    checked = desk.invoke("secret-check", "--dry-run")

    assert (set_.exit_code, checked.exit_code) == (0, 0), set_.output + checked.output
    assert f"+ gcloud secrets create {SECRET} --project {PROJECT}" in set_.output
    assert f"+ gcloud secrets versions add {SECRET}" in set_.output
    assert "+ gcloud secrets versions disable VERSION" in set_.output
    assert "--data-file=-" in set_.output
    assert f"+ gcloud secrets versions access latest --secret {SECRET}" in checked.output
    assert f"ls-remote --quiet {desk.cloud.apis}/git/{FORECAST}.git HEAD refs/heads/main" in checked.output
    assert TOKEN not in set_.output
    assert desk.version().get("error", {}).get("code") == 404


def test_the_newest_version_is_tried_on_both_repositories_and_is_seen_nowhere(desk, origin):
    add_secret(desk.cloud, TOKEN, SECRET, PROJECT)
    offer_repository(desk.cloud, SUITE, origin, TOKEN)

    with ArgumentWatch(TOKEN) as watch:
        ended = desk.invoke("secret-check", GITHUB_MODELING_SUITE_REPO=SUITE, GITHUB_MODELING_SUITE_REF="v1")

    assert ended.exit_code == 0, ended.output
    lines = {line.split()[1]: line for line in ended.lines}
    assert f"{SECRET}, version 1, less than a day old" in lines["secret"]
    assert f"{FORECAST}: main is {git(origin, 'rev-parse', 'main')[:12]}" in lines["GITHUB_FORECAST_REPO"]
    assert f"{SUITE}: v1 is {git(origin, 'rev-parse', 'HEAD~1')[:12]}" in lines["GITHUB_MODELING_SUITE_REPO"]
    assert b"ls-remote" in watch.programs
    assert not watch.found
    assert TOKEN not in ended.output
    assert not desk.files_with(TOKEN)


def test_a_token_that_is_not_good_any_more_is_told_with_what_mends_it(desk):
    add_secret(desk.cloud, OTHER_TOKEN, SECRET, PROJECT)

    ended = desk.invoke("secret-check")

    assert ended.exit_code == 2
    line = next(line for line in ended.lines if "GITHUB_FORECAST_REPO" in line)
    assert "expired: GitHub does not take the token" in line
    assert line.endswith("-> invoke secret-set")
    assert ended.last_line == f"error: {SECRET} does not do: GITHUB_FORECAST_REPO"


# -- what else can be wrong with a repository


def remote(desk, name: str = FORECAST, ref: str = "main", server: str = "") -> git_remote.Remote:
    settings = Settings(
        github_forecast_repo=name, forecast_repo_ref=ref, github_url=server or f"{desk.cloud.apis}/git"
    )
    (found,) = git_remote.remotes(settings)
    return found


def why_not(asked: git_remote.Remote, token: str = TOKEN) -> UserError:
    with pytest.raises(UserError) as caught:
        git_remote.ask(Shell(), asked, token)
    assert "\n" not in str(caught.value)
    assert token not in str(caught.value)
    return caught.value


def test_a_repository_that_is_not_there_or_may_not_be_seen_is_told_as_such(desk, origin):
    offer_repository(desk.cloud, SUITE, origin, OTHER_TOKEN)

    for name in ("my-lab/nothing", SUITE):
        wrong = why_not(remote(desk, name))

        assert wrong.problem.startswith(f"{name}: no such repository, or none that the token may see")
        assert "check GITHUB_FORECAST_REPO" in wrong.problem


def test_a_token_without_the_right_to_a_repository_is_told_as_no_access(desk):
    order_faults(desk.cloud, {"path": f"/git/{FORECAST}", "skip": 2, "status": 403, "message": "SAML SSO"})

    assert why_not(remote(desk)).problem.startswith(f"{FORECAST}: no access")


def test_a_server_that_does_not_answer_is_told_as_the_network_and_passes(desk):
    away = why_not(remote(desk, server="http://127.0.0.1:1"))
    order_faults(desk.cloud, {"path": f"/git/{FORECAST}", "status": 503})
    busy = why_not(remote(desk))

    for wrong in (away, busy):
        assert ": network: " in wrong.problem
        assert wrong.exit_code == 75


def test_a_ref_may_be_a_branch_a_tag_or_any_whole_commit(desk, origin):
    first, second = git(origin, "rev-parse", "HEAD~1"), git(origin, "rev-parse", "HEAD")

    for ref, commit in (
        ("main", second),
        ("round-5", second),
        ("v1", first),
        (first, first),
        (second, second),
    ):
        assert git_remote.ask(Shell(), remote(desk, ref=ref), TOKEN) == (commit, True)
    for ref in ("round", "0" * 40):
        wrong = why_not(remote(desk, ref=ref))
        assert f'can be read, but has no branch, tag or whole commit "{ref}"' in wrong.problem
        assert "FORECAST_REPO_REF" in wrong.problem


def test_a_public_repository_is_read_without_the_token(desk, origin):
    offer_repository(desk.cloud, SUITE, origin)

    _, needed_token = git_remote.ask(Shell(), remote(desk, SUITE), "any")

    assert not needed_token


def test_another_server_is_not_given_the_token(desk, monkeypatch):
    """Not by a helper of the operator's, either, which would answer for every server."""
    monkeypatch.setenv("HOME", str(desk.home))
    (desk.home / ".gitconfig").write_text('[credential]\n\thelper = "!echo password=the-operators-own; :"\n')

    wrong = why_not(remote(desk), OTHER_TOKEN)

    assert "expired" in wrong.problem


def test_the_age_of_a_version_is_told_in_days():
    from ops.project.github_token import _age

    month_ago = datetime.now(UTC).timestamp() - 30.5 * 86400

    assert _age({"createTime": datetime.fromtimestamp(month_ago, UTC).isoformat()}) == "30 days"
