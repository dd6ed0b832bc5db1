"""The GitHub token in Secret Manager: set and tried with the real gcloud and git, and seen by nobody.

Secret Manager is the emulated one, and so is the server of repositories, which wants a token as GitHub does.
"""

import base64
import io
import os
import pty
import re
import select
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.failures import UserError
from ops.project import git_remote, github_token
from ops.settings import Settings
from ops.shell import Shell
from tests.emulated import add_secret, commit_all, git, offer_repository, order_faults, post, request
from tests.experiments import REPOSITORY
from tests.needs import need_program
from tests.operators import invoke_in
from tests.token_desks import FORECAST, OTHER_TOKEN, PROJECT, SECRET, SUITE, TOKEN, VERSIONS, Arguments, Desk


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


@pytest.fixture
def desk(emulator, tmp_path, origin):
    need_program("gcloud")
    offer_repository(emulator, FORECAST, origin, TOKEN)
    yield Desk(emulator, tmp_path)
    post(f"{emulator.apis}/_emulator/reset", {})


@pytest.fixture
def typed(monkeypatch):
    """A function that puts a text on standard input."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_token_from_standard_input_makes_the_secret_and_then_versions_and_is_seen_nowhere(desk):
    arguments = Arguments(desk)

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
    assert f"{SECRET}: stored version 1" in made.output
    assert "invoke tf-apply" in made.output
    assert "--data-file=-" in str(arguments)
    assert TOKEN not in str(arguments)
    assert TOKEN not in made.output
    assert not desk.files_with(TOKEN)


def test_a_version_is_added_and_older_ones_stay_with_the_command_that_disables_them(desk, typed, capsys):
    add_secret(desk.cloud, "first", SECRET, PROJECT)
    typed(TOKEN)

    github_token.store(desk.google_cloud(), force=False, disable_old=False)

    said = capsys.readouterr().out
    assert desk.value() == TOKEN
    assert re.search(f"{FORECAST}: main is .*stored version 2", said, re.DOTALL)
    assert f"{SECRET}: stored version 2, in place of version 1, less than a day old; stages " in said
    assert "version 1, less than a day old, is still enabled" in said
    assert f"gcloud secrets versions disable 1 --secret {SECRET} --project {PROJECT}" in said
    assert "tf-apply" not in said
    assert desk.states("1", "2") == ["ENABLED", "ENABLED"]


def test_older_versions_are_disabled_once_the_new_one_was_tried(desk):
    add_secret(desk.cloud, "first", SECRET, PROJECT)

    ended = desk.invoke("secret-set", "--disable-old", typed=TOKEN)

    assert ended.exit_code == 0, ended.output
    tried_stored_disabled = f"{FORECAST}: main is .*{SECRET}: stored version 2.*disabled version 1"
    assert re.search(tried_stored_disabled, ended.output, re.DOTALL)
    assert desk.states("1", "2") == ["DISABLED", "ENABLED"]


@pytest.mark.parametrize("disable_old", [False, True])
def test_a_token_that_does_not_do_is_never_read_by_a_stage(desk, typed, capsys, disable_old):
    add_secret(desk.cloud, TOKEN, SECRET, PROJECT)
    typed(OTHER_TOKEN)

    with pytest.raises(UserError) as refused:
        github_token.store(desk.google_cloud(), force=False, disable_old=disable_old)

    problem = "the token does not work: GITHUB_FORECAST_REPO"
    assert str(refused.value) == f"{problem}; nothing was stored (--force stores it)"
    assert refused.value.exit_code == 2
    assert "expired: GitHub refuses the token" in capsys.readouterr().out
    assert desk.version()["name"].endswith("/1")
    assert desk.states("1") == ["ENABLED"]


def test_a_token_that_cannot_be_tried_is_stored_by_force_and_replaces_no_other(desk, typed):
    add_secret(desk.cloud, "first", SECRET, PROJECT)
    away = desk.google_cloud(github_url="http://127.0.0.1:1")

    typed(TOKEN)
    with pytest.raises(UserError, match=r"not checked: GITHUB_FORECAST_REPO; .*nothing") as unknown:
        github_token.store(away, force=False, disable_old=False)
    assert unknown.value.exit_code == 75
    assert desk.value() == "first"

    typed(TOKEN)
    with pytest.raises(UserError, match="it was stored, and older versions stay enabled") as not_disabled:
        github_token.store(away, force=True, disable_old=True)
    assert not_disabled.value.exit_code == 75
    assert desk.value() == TOKEN
    assert desk.states("1", "2") == ["ENABLED", "ENABLED"]


def test_a_token_that_no_repository_needs_disables_no_other(desk, typed, origin):
    add_secret(desk.cloud, "first", SECRET, PROJECT)
    offer_repository(desk.cloud, FORECAST, origin)
    typed(OTHER_TOKEN)

    with pytest.raises(UserError, match="was not checked, because the repositories are public; nothing was"):
        github_token.store(desk.google_cloud(), force=False, disable_old=True)

    assert desk.value() == "first"


def test_a_version_that_somebody_adds_meanwhile_is_not_disabled(desk, typed, capsys):
    class WithColleague(Shell):
        """Somebody else sets a token right after each of ours."""

        def run_always(self, argv, *rest, **more):
            ended = super().run_always(argv, *rest, **more)
            if argv[1:4] == ["secrets", "versions", "add"]:
                theirs = {"payload": {"data": base64.b64encode(OTHER_TOKEN.encode()).decode()}}
                post(f"{desk.cloud.apis}{VERSIONS.removesuffix('/versions')}:addVersion", theirs)
            return ended

    add_secret(desk.cloud, "first", SECRET, PROJECT)
    typed(TOKEN)

    cloud = replace(desk.google_cloud(), shell=WithColleague(environment=desk.environ))
    github_token.store(cloud, force=False, disable_old=True)

    assert f"{SECRET}: stored version 2" in capsys.readouterr().out
    assert desk.states("1", "2", "3") == ["DISABLED", "ENABLED", "ENABLED"]


def test_there_must_be_a_repository_to_try_a_token_on_before_it_replaces_others(desk, typed):
    typed(TOKEN)

    with pytest.raises(UserError, match="neither is set, so there is nothing to check"):
        github_token.store(desk.google_cloud(github_forecast_repo=""), False, True)

    assert desk.version().get("error", {}).get("code") == 404


def test_a_token_typed_on_a_terminal_is_not_shown(desk):
    argv = [*invoke_in(REPOSITORY), "secret-set"]
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
    ("text", "said"),
    [
        ("", "no token was given"),
        (" \n", "no token was given"),
        ("hunter2hunter2hunter2", "does not look like a GitHub token"),
        ("ghp_short", "does not look like a GitHub token"),
        ("ghp_two0lines0of0a0token00\nand0another0one", "spaces, line breaks"),
    ],
)
def test_what_is_no_token_is_refused_with_a_hint_and_not_shown(desk, typed, text, said):
    typed(text)

    with pytest.raises(UserError) as refused:
        github_token.store(desk.google_cloud(), force=False, disable_old=False)

    assert refused.value.exit_code == 2
    assert said in str(refused.value)
    assert not text.strip() or text.split()[0] not in str(refused.value)
    assert desk.version().get("error", {}).get("code") == 404


def test_force_takes_what_is_not_like_a_token_but_nothing_with_spaces(desk, typed):
    typed("of our own server")
    with pytest.raises(UserError, match="spaces"):
        github_token.store(desk.google_cloud(), force=True, disable_old=False)

    forced = desk.invoke("secret-set", "--force", typed="gitea-Token.of%our\\nown$server")

    assert forced.exit_code == 0, forced.output
    assert desk.value() == "gitea-Token.of%our\\nown$server"


def test_a_secret_that_is_not_named_in_the_settings_is_told_before_anything_is_asked(desk):
    unnamed = desk.google_cloud(github_pat_secret="")

    with pytest.raises(UserError, match="GITHUB_PAT_SECRET=github-pat: invoke config-edit"):
        github_token.check(unnamed)
    ended = desk.invoke("secret-set", typed=TOKEN, GITHUB_PAT_SECRET="")

    assert ended.exit_code == 2
    assert "GITHUB_PAT_SECRET=github-pat" in ended.last_line
    assert "invoke config-edit" in ended.last_line


def test_a_dry_run_prints_the_commands_reads_no_token_and_changes_nothing(desk):
    set_ = desk.invoke("secret-set", "--disable-old", "--dry-run", typed=TOKEN)
    checked = desk.invoke("secret-check", "--dry-run")

    assert (set_.exit_code, checked.exit_code) == (0, 0), set_.output + checked.output
    assert f"+ gcloud secrets create {SECRET} --project {PROJECT}" in set_.output
    assert f"+ gcloud secrets versions add {SECRET}" in set_.output
    assert "+ gcloud secrets versions disable OLDER" in set_.output
    assert "--data-file=-" in set_.output
    assert f"+ gcloud secrets versions access latest --secret {SECRET}" in checked.output
    for dry in (set_, checked):
        assert f"ls-remote --quiet {desk.cloud.apis}/git/{FORECAST}.git HEAD refs/heads/main" in dry.output
    assert TOKEN not in set_.output
    assert desk.version().get("error", {}).get("code") == 404


def test_the_newest_version_is_tried_on_both_repositories_and_is_seen_nowhere(desk, origin):
    add_secret(desk.cloud, TOKEN, SECRET, PROJECT)
    offer_repository(desk.cloud, SUITE, origin, TOKEN)

    arguments = Arguments(desk)

    ended = desk.invoke("secret-check", GITHUB_MODELING_SUITE_REPO=SUITE, GITHUB_MODELING_SUITE_REF="v1")

    assert ended.exit_code == 0, ended.output
    assert f"{SECRET}: version 1, less than a day old" in ended.lines
    lines = {line.split()[1]: line for line in ended.lines}
    assert f"{FORECAST}: main is {git(origin, 'rev-parse', 'main')[:12]}" in lines["GITHUB_FORECAST_REPO"]
    assert f"{SUITE}: v1 is {git(origin, 'rev-parse', 'HEAD~1')[:12]}" in lines["GITHUB_MODELING_SUITE_REPO"]
    assert "git-remote-http" in str(arguments)
    assert TOKEN not in str(arguments)
    assert TOKEN not in ended.output
    assert not desk.files_with(TOKEN)


def test_a_token_that_is_not_good_any_more_is_told_with_what_mends_it(desk, capsys):
    add_secret(desk.cloud, OTHER_TOKEN, SECRET, PROJECT)

    with pytest.raises(UserError) as refused:
        github_token.check(desk.google_cloud())

    line = next(line for line in capsys.readouterr().out.splitlines() if "GITHUB_FORECAST_REPO" in line)
    assert "expired: GitHub refuses the token" in line
    assert line.endswith("-> invoke secret-set")
    assert str(refused.value) == "the token does not work: GITHUB_FORECAST_REPO"


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

        assert wrong.problem.startswith(f"{name}: no such repository, or the token has no access to it")
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
    month_ago = datetime.now(UTC).timestamp() - 30.5 * 86400

    assert github_token._age({"createTime": datetime.fromtimestamp(month_ago, UTC).isoformat()}) == "30 days"
