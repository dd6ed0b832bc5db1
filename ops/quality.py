"""Linters, tests and locked packages of the repository itself."""

import os
import sys
from pathlib import Path

from ops import lanes
from ops.failures import UserError
from ops.settings import ROOT
from ops.shell import Shell
from ops.terminal import nearest

LOCKED = [  # in this order: later files use the versions of earlier ones
    "docker/requirements",
    "docker/requirements-cloud",
    "docker/requirements-parquet",
    "docker/requirements-uv",
    "requirements-dev",
    "requirements-scan",
]
SCANNERS = ROOT / ".venv-scan"
QUIETLY = ("--skip-download", "--quiet", "--compact")  # makes no requests, and prints only failures


def lint(shell: Shell, fix: bool = False) -> None:
    """Run ruff over Python, shellcheck over shell scripts, hadolint and checkov over what is deployed."""
    ruff = [sys.executable, "-m", "ruff"]
    scripts = sorted(p for folder in ("scripts", "docker") for p in (ROOT / folder).glob("*.sh"))
    shellcheck, hadolint = (str(Path(sys.executable).with_name(name)) for name in ("shellcheck", "hadolint"))
    commands = [
        [*ruff, "check", *(["--fix"] if fix else []), "."],
        [*ruff, "format", *([] if fix else ["--check"]), "."],
        [shellcheck, *map(nearest, scripts), ".ci/run", "tests/local-docker", "tests/local-chromium"],
        [hadolint, "docker/Dockerfile"],
        [_checkov(shell), "--directory", "terraform", "--framework", "terraform", *QUIETLY],
    ]
    failed = [command for command in commands if shell.stream(command)]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(commands)} checks failed; `invoke lint --fix` fixes what it can", 1
        )


def _checkov(shell: Shell) -> str:
    """Return the path of the scanner of terraform/, after creating or updating its own environment."""
    uv, python = str(Path(sys.executable).with_name("uv")), SCANNERS / "bin" / "python"
    make = [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, nearest(SCANNERS)]
    fill = [uv, "pip", "install", "--quiet", "--require-hashes", "--python", nearest(python)]
    if shell.stream(make) or shell.stream([*fill, "-r", "requirements-scan.txt"]):
        raise UserError("requirements-scan.txt cannot be installed; see the output above", 1)
    return nearest(SCANNERS / "bin" / "checkov")


def lock(shell: Shell, upgrade: bool = False) -> None:
    """Compile the requirements files for every platform, with hashes and without any index address."""
    uv = [
        str(Path(sys.executable).with_name("uv")),
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--generate-hashes",
    ]
    uv += [
        "--python-version",
        "3.11",
        "--fork-strategy",
        "fewest",
        "--no-emit-index-url",
        "--no-emit-find-links",
    ]
    uv += ["--custom-compile-command", "invoke lock", *(["--upgrade"] if upgrade else [])]
    for name in LOCKED:
        if code := shell.stream([*uv, f"{name}.in", "--output-file", f"{name}.txt"]):
            raise UserError(f"{name}.in cannot be locked (uv ended with {code})", exit_code=1)


def test(shell: Shell, match: str = "", path: str = "", lane: str = "") -> None:
    """Run pytest on every core.

    Parameters
    ----------
    match : str
        Expression for pytest's -k; it selects from the path or lane, or from all tests.
    path : str
        A file or folder.
    lane : str
        A folder of tests/, or "all". Without any of the three: unit, and the tests for what changed since
        the last commit.

    Raises
    ------
    UserError
        A test failed, or no lane has this name.
    """
    if path and lane not in ("", lanes.ALL):
        raise UserError("--path and --lane: give one of them")
    if path:
        places = [path]
    elif lane or match:
        places = lanes.chosen(lane or lanes.ALL)
    else:
        places = lanes.of_changes(shell)
    # each worker starts with its own share, so that a cloud shared by tests is started once
    pytest = [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "worksteal"]
    command = [*pytest, *(["-k", match] if match else []), *places]
    code = shell.stream(
        command, {"PYTHONDONTWRITEBYTECODE": ""} if os.environ.get("PYTHONDONTWRITEBYTECODE") else None
    )
    if code:
        raise UserError(f"pytest ended with exit code {code}", exit_code=1)


def fuzz(shell: Shell, seed: int, count: int) -> None:
    """Run mutants of experiments, data and artifacts on all cores; each test shows the first failure."""
    pytest = [sys.executable, "-m", "pytest", "-n", "auto", "--timeout", "0", "-rfEP"]
    chosen = {"FUZZ_SEED": str(seed), "FUZZ_COUNT": str(count)}
    if shell.stream([*pytest, "tests/long/test_fuzz.py"], chosen):
        raise UserError(
            f"a mutant was neither refused nor valid; to repeat: invoke fuzz --seed {seed} --count {count}", 1
        )
