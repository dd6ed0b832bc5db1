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
    "docker/requirements-services",
    "docker/requirements-cuda",
    "docker/requirements-uv",
    "requirements-dev",
    "requirements-scan",
]
SCANNERS = ROOT / ".venv-scan"
QUIETLY = ("--skip-download", "--quiet", "--compact")  # asks no server, and shows only failures


def lint(shell: Shell, fix: bool = False) -> None:
    """Run ruff over Python, shellcheck over shell scripts, hadolint and checkov over what is deployed."""
    ruff = [sys.executable, "-m", "ruff"]
    scripts = sorted(p for folder in ("scripts", "docker") for p in (ROOT / folder).glob("*.sh"))
    shellcheck, hadolint = (str(Path(sys.executable).with_name(name)) for name in ("shellcheck", "hadolint"))
    if fix:  # before the checks: ruff's formatter also fixes some of what its linter finds
        shell.stream([*ruff, "check", "--fix-only", "."])
        shell.stream([*ruff, "format", "."])
    passed = [
        not shell.stream([*ruff, "check", "."]),
        not shell.stream([*ruff, "format", "--check", "."]),
        not shell.stream(
            [shellcheck, *map(nearest, scripts), ".ci/run", "tests/local-docker", "tests/local-chromium"]
        ),
        not shell.stream([hadolint, "docker/Dockerfile"]),
        _scan_passes(shell),
    ]
    if not all(passed):
        hint = "" if fix else "; `invoke lint --fix` fixes what it can"
        raise UserError(f"{passed.count(False)} of {len(passed)} checks failed{hint}", exit_code=1)


def _scan_passes(shell: Shell) -> bool:
    """Scan terraform/, in an environment of its own that is made or brought up to date."""
    uv, python = str(Path(sys.executable).with_name("uv")), SCANNERS / "bin" / "python"
    make = [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, nearest(SCANNERS)]
    fill = [uv, "pip", "install", "--quiet", "--require-hashes", "--python", nearest(python)]
    if shell.stream(make) or shell.stream([*fill, "-r", "requirements-scan.txt"]):
        why = "requirements-scan.txt cannot be installed; see the output above"
        print(f"terraform/ is not scanned: {why}", file=sys.stderr)
        return False
    checkov = nearest(SCANNERS / "bin" / "checkov")
    return not shell.stream([checkov, "--directory", "terraform", "--framework", "terraform", *QUIETLY])


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
    # each worker starts with its own share, so that a cloud shared by tests is started once; one more than
    # there are cores, because tests wait for programs, too
    workers = str((os.cpu_count() or 1) + 1)
    pytest = [sys.executable, "-m", "pytest", "-n", workers, "--dist", "worksteal"]
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
