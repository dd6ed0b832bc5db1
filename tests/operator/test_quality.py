"""`invoke test` and `invoke lint` in a checkout of a contributor."""

import os
import shutil

import pytest

from tests.emulated import commit_all
from tests.experiments import REPOSITORY, simulated
from tests.operators import Operator


@pytest.fixture
def contributor(tmp_path) -> Operator:
    """Someone with a checkout of their own, without changes."""
    operator = Operator(tmp_path, simulated()).with_own_code()
    (tmp_path / ".gitignore").write_text("local/\n__pycache__/\n")
    commit_all(tmp_path, "Begin")
    return operator


def test_a_test_run_takes_what_was_changed_since_the_last_commit_and_says_why(contributor):
    model, new = contributor.folder / "modeling" / "bounds.py", contributor.folder / "terraform" / "new.tf"
    model.write_text(model.read_text() + "\n")
    new.parent.mkdir(exist_ok=True)
    new.touch()
    (contributor.folder / "local" / "ignored.txt").touch()

    ended = contributor.invoke("test", "--dry-run")

    assert ended.exit_code == 0, ended.output
    left = "operator, cloud, localcloud, services, long"
    assert ended.lines[:4] == [
        "tests/unit: always",
        "tests/stages: changed: modeling/bounds.py",
        "tests/deploy: changed: terraform/new.tf",
        f"not run, or not all of it: {left} (`make test` runs everything)",
    ]
    assert ended.last_line.endswith(
        f"-m pytest -n {os.cpu_count() + 1} --dist worksteal tests/unit tests/stages tests/deploy"
    )


@pytest.mark.parametrize(
    ("words", "places"),
    [
        (("--lane", "unit"), "tests/unit"),
        (("--lane", "all"), "worksteal"),
        (("--path", "tests/stages/test_yaml.py"), "tests/stages/test_yaml.py"),
        (("--lane", "all", "--path", "tests/unit"), "tests/unit"),
        (("--match", "calendar"), "worksteal -k calendar"),
        (("--match", "calendar", "--lane", "unit"), "worksteal -k calendar tests/unit"),
    ],
)
def test_a_test_run_takes_what_is_named(contributor, words, places):
    ended = contributor.invoke("test", "--dry-run", *words)

    assert ended.exit_code == 0, ended.output
    assert ended.last_line.endswith(places)


def test_a_test_run_without_git_asks_for_a_lane(tmp_path):
    ended = Operator(tmp_path, simulated()).with_own_code().invoke("test", "--dry-run")

    assert ended.exit_code == 2
    assert ended.last_line == "error: git cannot list the changes here; choose a lane, e.g. --lane unit"


def test_lint_does_not_complain_about_what_it_fixes(contributor):
    shutil.copy(REPOSITORY / "pyproject.toml", contributor.folder)
    long = contributor.folder / "long.py"
    long.write_text(f"NAMES = [{', '.join(['1123456789'] * 12)}]\n")

    fixed = contributor.invoke("lint", "--fix")

    assert "E501" not in fixed.output
    assert len(long.read_text().splitlines()) > 1


def test_lint_checks_the_rest_where_the_scanner_cannot_be_installed(contributor):
    (contributor.folder / "unused.py").write_text("import os\n")
    assert not (contributor.folder / "requirements-scan.txt").exists()

    ended = contributor.invoke("lint")

    assert ended.exit_code == 1
    assert "of 5 checks failed" in ended.last_line
    assert "`os` imported but unused" in ended.output
    assert "not scanned: requirements-scan.txt cannot be installed; see the output above" in ended.output
