"""The lanes of the test suite, which are the folders of tests/, and those that a change calls for."""

import re
from collections.abc import Iterable
from pathlib import Path

from ops.failures import UserError
from ops.settings import ROOT
from ops.shell import Shell

ALL = "all"
LANES = ("unit", "stages", "operator", "cloud", "deploy", "localcloud", "long")

# What a changed file calls for besides unit: the longest beginning of its path decides.
LANES_OF = {
    ".ci/": (),
    ".dockerignore": ("deploy",),
    ".env.example": ("operator",),
    ".gcloudignore": ("deploy",),
    "Makefile": ("operator",),
    "README.md": ("operator",),
    "benchmarks/": ("long",),
    "cloudbuild.yaml": ("deploy",),
    "docker-compose.yml": ("deploy",),
    "docker/": ("deploy",),
    "docs/": ("operator",),
    "examples/": ("long",),
    "jobs/": ("cloud",),
    "localcloud/": ("localcloud",),
    "modeling/": ("stages",),
    "ops/": ("operator", "cloud"),
    "ops/images/": ("operator", "deploy"),
    "ops/project/": ("operator", "cloud", "deploy"),
    "requirements": ("stages", "operator"),
    "scripts/": ("stages",),
    "tasks.py": ("operator",),
    "terraform/": ("deploy",),
    "terraform/workflow.yaml": ("cloud", "deploy"),
}


def chosen(lane: str) -> list[str]:
    """Return the folders that pytest is given for a lane; nothing for all of them.

    Raises
    ------
    UserError
        There is no such lane.
    """
    if lane == ALL:
        return []
    if lane not in LANES:
        raise UserError(f"--lane {lane}: no such lane; use {', '.join(LANES)} or {ALL}")
    return [f"tests/{lane}"]


def of_changes(shell: Shell) -> list[str]:
    """Return the tests of what was changed since the last commit, as paths, and print why each."""
    reasons = reasons_for(_changed(shell))
    for path, reason in reasons.items():
        print(f"{path}: {reason}", flush=True)  # before what pytest prints
    left = [lane for lane in LANES if f"tests/{lane}" not in reasons]
    print(f"not run: {', '.join(left)} (`invoke test --lane {ALL}` runs everything)", flush=True)
    return list(reasons)


def reasons_for(changed: Iterable[str]) -> dict[str, str]:
    """Return what to give pytest, and why: tests/unit, the lanes of changed files, and changed tests."""
    because: dict[str, list[str]] = {"tests/unit": []}
    for path in changed:
        for lane_or_file in _called_for(path):
            because.setdefault(lane_or_file, []).append(path)
    return {
        place: f"changed: {_in_short(paths)}" if paths else "always"
        for place, paths in sorted(because.items(), key=lambda item: _order(item[0]))
        if place.count("/") == 1 or str(Path(place).parent) not in because
    }


def _called_for(path: str) -> list[str]:
    """Return the lanes, or the test files, that a changed file calls for."""
    if path.startswith("tests/"):
        return _tests_of(path)
    beginnings = [each for each in LANES_OF if path.startswith(each)]
    return [f"tests/{lane}" for lane in LANES_OF[max(beginnings, key=len)]] if beginnings else []


def _tests_of(path: str) -> list[str]:
    """Return a changed test file itself; of what tests share, the test files that name it."""
    _, first, *_ = path.split("/")
    if Path(path).name.startswith("test_"):
        return [path] if (ROOT / path).is_file() else []  # else it is deleted
    if first in LANES:
        return [f"tests/{first}"]
    name = re.compile(rf"\btests(\.| import .*\b){re.escape(Path(first).stem)}\b")
    tests = sorted((ROOT / "tests").glob("*/test_*.py"))
    return [each.relative_to(ROOT).as_posix() for each in tests if name.search(each.read_text("utf-8"))]


def _order(place: str) -> tuple[int, str]:
    return LANES.index(place.split("/")[1]), place


def _in_short(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _changed(shell: Shell) -> list[str]:
    """Return the paths of changed, deleted and new files, without those that git ignores."""
    paths: set[str] = set()
    for words in (
        ["diff", "--name-only", "--no-renames", "HEAD"],
        ["ls-files", "--others", "--exclude-standard"],
    ):
        ended = shell.attempt(["git", "-C", str(ROOT), *words, "-z"], timeout_seconds=60)
        if ended.exit_code:
            raise UserError("git does not say what has changed here; choose with --lane, e.g. --lane unit")
        paths.update(ended.output.split("\0"))
    return sorted(paths - {""})
