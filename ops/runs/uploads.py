"""Uploads for a run in the cloud: the forecasting repository, or an output YAML."""

import hashlib
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from modeling.run_names import ARCHIVE, OUTPUT_CONFIGS
from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.laptop import local_run
from ops.run_request import RunRequest
from ops.settings import ROOT, Settings
from ops.terminal import nearest

UPLOAD_SECONDS = 1800
PACK_SECONDS = 300


def upload_forecast(cloud: Cloud, repository: Path, run_path: str) -> None:
    """Pack a repository and copy it to gs://.../<run id>/, where stage A unpacks it.

    Raises
    ------
    UserError
        It cannot be packed (e.g. because a link points outside it), or cannot be copied.
    """
    with tempfile.TemporaryDirectory(prefix="forecast-") as work:
        archive = Path(work, Path(ARCHIVE).name)
        pack = [
            sys.executable,
            nearest(ROOT / "scripts" / "pack_forecast.py"),
            nearest(repository),
            str(archive),
        ]
        packed = cloud.shell.run(pack, timeout_seconds=PACK_SECONDS)
        if packed and packed.exit_code:
            said = (packed.errors.strip().splitlines() or ["no error message"])[-1]
            raise UserError(f"{nearest(repository)} cannot be packed: {said}")
        words = ["storage", "cp", str(archive), f"{run_path}{ARCHIVE}", *cloud.in_project]
        cloud.read(words, timeout_seconds=UPLOAD_SECONDS)


def copy_file(cloud: Cloud, name: str, run_path: str, to_run_path: str) -> None:
    """Copy a file of a run to another run in the bucket."""
    words = ["storage", "cp", f"{run_path}{name}", f"{to_run_path}{name}", *cloud.in_project]
    cloud.read(words, timeout_seconds=UPLOAD_SECONDS)


# errors of PyYAML for values such as `!!timestamp x`, `!!int ""`, or brackets without end
ODD_VALUES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class OutputFile:
    """Another output YAML: its name for the stages, and the file on this machine to upload, if any."""

    name: str = ""
    source: Path | None = None


NO_OUTPUT_FILE = OutputFile()


def output_file(settings: Settings, request: RunRequest, is_resumed: bool) -> OutputFile:
    """Return the output YAML that was asked for; an empty name means the run's own.

    Raises
    ------
    UserError
        The file does not exist, or has no `output`.
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
        return OutputFile(asked)  # may be in the run's copy of the repository; the stages refuse it if not
    is_uploaded = not is_resumed and not settings.github_forecast_repo
    if is_uploaded and source.absolute().parent == config.absolute():
        return OutputFile(source.name)
    return OutputFile(_name_of(source), source)


def _name_of(source: Path) -> str:
    data = _checked(source)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", source.stem)
    return f"{OUTPUT_CONFIGS}{stem}-{hashlib.sha256(data).hexdigest()[:8]}.yaml"


def _checked(source: Path) -> bytes:
    """Return the content of an output YAML, after a first check; stage C checks the rest."""
    try:
        data = source.read_bytes()
        is_output = "output" in (yaml.safe_load(data) or {})
    except (OSError, yaml.YAMLError, *ODD_VALUES) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{nearest(source)}: cannot be read as YAML ({reason})") from None
    if not is_output:
        raise UserError(f"{nearest(source)}: it has no `output`; name an output YAML")
    return data


def check_output_file(cloud: Cloud, request: RunRequest, file: OutputFile) -> None:
    """Check an output YAML on this machine as stage C would, before a run spends minutes on it."""
    if not file.source:
        return
    variables = {
        "EXECUTION_MODE": "local",
        "EXP_ID": request.exp_id,
        "FORECAST_REPO_DIR": nearest(local_run.forecast_repository(cloud.settings, request.exp_id)),
        "OUTPUT_CONFIG_FILE": nearest(file.source.absolute()),
    }
    command = [sys.executable, nearest(ROOT / "scripts" / "check_experiment.py"), "--output"]
    if code := cloud.shell.stream(command, variables):
        said = "is not valid" if code == 2 else f"could not be checked (exit code {code})"
        raise UserError(f"{nearest(file.source)} {said}", exit_code=local_run.exit_code_for(code))


def refuse_unknown(settings: Settings, request: RunRequest, file: OutputFile, built_with: str) -> None:
    """Refuse an output YAML that neither the run nor this machine has, unless GitHub may have it."""
    is_known = bool(file.source) or "/" in file.name or file.name in ("", built_with)
    if is_known or settings.github_forecast_repo:
        return
    repository = local_run.forecast_repository(settings, request.exp_id)
    config = repository / "experiments" / request.exp_id / "config"
    raise UserError(f"{file.name}: no such file in {nearest(config)}; give the path of an output YAML")


def upload_output_file(cloud: Cloud, file: OutputFile, run_path: str) -> None:
    """Copy an output YAML to gs://.../<run id>/output-configs/, unless the repository contains it."""
    if file.source:
        words = ["storage", "cp", nearest(file.source), f"{run_path}{file.name}"]
        cloud.read([*words, *cloud.in_project])
