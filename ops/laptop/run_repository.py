"""The forecasting repository as a run on this machine used it: its own YAML, and the data it had then.

A run keeps its YAML in config/. Data are those of its commit where one is known, else those of today.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.failures import UserError
from ops.laptop.local_run import commit_of, forecast_repository
from ops.laptop.run_files import LocalRun
from ops.settings import Settings
from ops.shell import Shell
from ops.shown import nearest

GIT_SECONDS = 600


@contextmanager
def repository_of(
    shell: Shell, settings: Settings, run: LocalRun, metadata: dict[str, Any]
) -> Iterator[Path]:
    """Yield a folder that is removed afterwards, as a repository with the experiment of the run.

    Raises
    ------
    UserError
        The commit of the run is not in the repository, or its YAML is gone.
    """
    config = run.folder / "config"
    if not any(config.glob("*.yaml")):
        raise UserError(f"{nearest(config)}: no YAML in it; that run cannot be started again")
    repository = forecast_repository(settings, run.exp_id)
    commit = metadata.get("commits", {}).get("forecast", "")
    with tempfile.TemporaryDirectory(prefix="reproduce-", dir=settings.local_data_path) as work:
        folder = Path(work, "forecast")
        folder.mkdir()
        if re.fullmatch("[0-9a-f]{40}", commit) and commit_of(repository) != commit:
            _check_out(shell, repository, commit, folder)
        else:
            if not re.fullmatch("[0-9a-f]{40}", commit):
                place = nearest(repository)
                print(f"data are those of {place} as it is now: no commit holds those of the run", flush=True)
            _link(repository, folder, run.exp_id)
        own = folder / "experiments" / run.exp_id / "config"
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(config, own)
        yield folder


def _check_out(shell: Shell, repository: Path, commit: str, folder: Path) -> None:
    """Write the files of a commit, of the part of a repository that is the forecasting one."""
    print(f"data are those of commit {commit} of {nearest(repository)}", flush=True)
    archive = folder.with_name("forecast.tar")
    quiet = Shell(environment=shell.environment)  # also in a dry run, which is about the stages
    packed = quiet.attempt(
        ["git", "-C", str(repository), "archive", "--format=tar", f"--output={archive.absolute()}", commit],
        timeout_seconds=GIT_SECONDS,
    )
    if packed.exit_code:
        raise UserError(
            f"{nearest(repository)}: has no commit {commit}, which the run used",
            mend=f"git -C {nearest(repository)} fetch --all",
        )
    quiet.read(["tar", "-xf", str(archive), "-C", str(folder)], timeout_seconds=GIT_SECONDS, echo=False)


def _link(repository: Path, folder: Path, exp_id: str) -> None:
    """Have a folder stand for a repository, but for the experiment's config/."""
    _link_all(repository, folder, {"experiments", ".git"})
    there, here = repository, folder
    for part in ("experiments", *exp_id.split("/")):
        there, here = there / part, here / part
        here.mkdir()
    if there.is_dir():
        _link_all(there, here, {"config"})


def _link_all(source: Path, target: Path, without: set[str]) -> None:
    for path in sorted(source.iterdir()):
        if path.name not in without:
            (target / path.name).symlink_to(path.absolute())
