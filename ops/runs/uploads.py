"""Upload an experiment's folder, or an output YAML, for a run in the cloud."""

import hashlib
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from ops import gcloud
from ops.failures import UserError
from ops.laptop import local_run
from ops.run_paths import ARCHIVE, OUTPUT_CONFIGS
from ops.run_request import RunRequest
from ops.settings import ROOT, Settings
from ops.shell import Shell
from ops.terminal import nearest

UPLOAD_SECONDS = 1800
PACK_SECONDS = 300


def upload_forecast(shell: Shell, settings: Settings, repository: Path, run_path: str) -> None:
    """Pack a repository and copy it to gs://.../<run id>/, for stage A to unpack.

    Raises
    ------
    UserError
        It cannot be packed (a link that leads out of it, say), or not be copied.
    """
    with tempfile.TemporaryDirectory(prefix="forecast-") as work:
        archive = Path(work, Path(ARCHIVE).name)
        pack = [
            sys.executable,
            nearest(ROOT / "scripts" / "pack_forecast.py"),
            nearest(repository),
            str(archive),
        ]
        shell.echo(pack)
        if not shell.dry_run:
            packed = shell.attempt(pack, timeout_seconds=PACK_SECONDS)
            if packed.exit_code:
                said = (packed.errors.strip().splitlines() or ["it said nothing"])[-1]
                raise UserError(f"{nearest(repository)} cannot be packed: {said}")
        words = ["storage", "cp", str(archive), f"{run_path}{ARCHIVE}", "--project", settings.project_id]
        gcloud.read(shell, words, timeout_seconds=UPLOAD_SECONDS)


def copy_file(shell: Shell, settings: Settings, name: str, run_path: str, to_run_path: str) -> None:
    """Copy a file of one run to another, within the bucket."""
    words = ["storage", "cp", f"{run_path}{name}", f"{to_run_path}{name}", "--project", settings.project_id]
    gcloud.read(shell, words, timeout_seconds=UPLOAD_SECONDS)


# errors of PyYAML for values such as `!!timestamp x`, `!!int ""`, or brackets without end
ODD_VALUES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class OutputFile:
    """Another output YAML as the stages are told it, and the file of this machine that has to go along."""

    name: str = ""
    source: Path | None = None


def output_file(settings: Settings, request: RunRequest, goes_on: bool) -> OutputFile:
    """Return the output YAML that is asked for; none where the run's own is wanted.

    Raises
    ------
    UserError
        There is no such file, or no output in it.
    """
    asked = request.output_config_file or settings.output_config_file
    is_path = "/" in asked
    if not asked or asked.startswith(OUTPUT_CONFIGS) or (settings.github_forecast_repo and not is_path):
        return OutputFile(asked)
    repository = local_run.forecast_repository(settings, request.exp_id)
    config = repository / "experiments" / request.exp_id / "config"
    source = Path(asked) if is_path else config / asked
    if not source.is_file():
        if is_path:
            raise UserError(f"{asked}: no such file; name another output YAML")
        return OutputFile(asked)  # in the run's own copy of the repository, or the stages will say so
    is_taken_along = not goes_on and not settings.github_forecast_repo
    if is_taken_along and source.absolute().parent == config.absolute():
        return OutputFile(source.name)
    return OutputFile(_name_of(source), source)


def _name_of(source: Path) -> str:
    data = _checked(source)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", source.stem)
    return f"{OUTPUT_CONFIGS}{stem}-{hashlib.sha256(data).hexdigest()[:8]}.yaml"


def _checked(source: Path) -> bytes:
    """Return what is in an output YAML, once it looks like one; stage C reads it closely."""
    try:
        data = source.read_bytes()
        is_output = "output" in (yaml.safe_load(data) or {})
    except (OSError, yaml.YAMLError, *ODD_VALUES) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{nearest(source)}: no YAML file that can be read ({reason})") from None
    if not is_output:
        raise UserError(f"{nearest(source)}: it has no `output`; name an output YAML")
    return data


def check_output_file(shell: Shell, settings: Settings, request: RunRequest, file: OutputFile) -> None:
    """Check an output YAML of this machine as stage C would, before minutes of the cloud are spent on it."""
    if not file.source:
        return
    variables = {
        "EXECUTION_MODE": "local",
        "EXP_ID": request.exp_id,
        "FORECAST_REPO_DIR": nearest(local_run.forecast_repository(settings, request.exp_id)),
        "OUTPUT_CONFIG_FILE": nearest(file.source.absolute()),
    }
    command = [sys.executable, nearest(ROOT / "scripts" / "check_experiment.py"), "--output"]
    if code := shell.stream(command, variables):
        said = "is not valid" if code == 2 else f"could not be checked (exit code {code})"
        raise UserError(f"{nearest(file.source)} {said}", exit_code=local_run.exit_code_for(code))


def refuse_unknown(settings: Settings, request: RunRequest, file: OutputFile, built_with: str) -> None:
    """Refuse the bare name of an output YAML that nothing here or of the run has; GitHub may have it."""
    is_told = bool(file.source) or "/" in file.name or file.name in ("", built_with)
    if is_told or settings.github_forecast_repo:
        return
    repository = local_run.forecast_repository(settings, request.exp_id)
    config = repository / "experiments" / request.exp_id / "config"
    raise UserError(f"{file.name}: no such file in {nearest(config)}; give the path of an output YAML")


def upload_output_file(shell: Shell, settings: Settings, file: OutputFile, run_path: str) -> None:
    """Copy an output YAML to gs://.../<run id>/output-configs/, where it is not the repository's."""
    if file.source:
        words = ["storage", "cp", nearest(file.source), f"{run_path}{file.name}"]
        gcloud.read(shell, [*words, "--project", settings.project_id])
