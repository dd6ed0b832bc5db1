"""The record of a deployment, below LOCAL_DATA_PATH: with it `invoke gpu-destroy` needs no settings."""

import re

from pydantic import ValidationError

from ops.cloud.cloud import Cloud
from ops.environment import read_env_file
from ops.failures import UserError
from ops.gpu.names import Names
from ops.settings import Settings
from ops.terminal import nearest

FILE = "gpu/deployment.env"
KEPT = ("project_id", "region", "service_prefix", "gpu_repo_name")  # what the names follow from
LANE, AUDIT = "LANE", "AUDIT_DATA_ACCESS"
HEAD = "# Written by `invoke gpu-deploy`; `invoke gpu-destroy` without PROJECT_ID reads it."


def write(cloud: Cloud, names: Names, is_done: bool = False) -> None:
    """Record a deployment; that of another lane is kept beside it, under the name of that lane.

    `is_done`: what the settings do not want any more is gone.
    """
    settings = cloud.settings
    path = settings.local_data_path / FILE
    other = _read(settings).get(LANE) or names.stem
    if other != names.stem:
        kept = path.with_name(f"{other}.env")
        cloud.shell.write_file(kept, path.read_text(encoding="utf-8"))
        cloud.shell.report(f"note: the record of {other} is kept as {nearest(kept)}")
    kept_values = {name.upper(): value for name in KEPT if (value := getattr(settings, name))}
    if settings.audit_data_access or (is_audited(settings, names) and not is_done):
        kept_values[AUDIT] = "true"
    lines = [f"{name}={value}" for name, value in {**kept_values, LANE: names.stem}.items()]
    cloud.shell.write_file(path, "\n".join([HEAD, *lines, ""]))


def is_audited(settings: Settings, names: Names) -> bool:
    """Return whether the lane logs who reads and writes objects, so that the logs end with it."""
    there = _read(settings)
    return there.get(LANE) == names.stem and there.get(AUDIT) == "true"


def forget(settings: Settings, names: Names) -> None:
    """Remove the records of a lane that is gone."""
    path = settings.local_data_path / FILE
    own = [path] if _read(settings).get(LANE) == names.stem else []
    for each in (*own, path.with_name(f"{names.stem}.env")):
        try:
            each.unlink(missing_ok=True)
        except OSError as error:
            print(f"note: {nearest(each)}: cannot be deleted ({error.strerror}); delete it")


def with_record(settings: Settings) -> Settings:
    """Return settings that name a lane: the recorded one if PROJECT_ID is not set.

    Settings that name another lane than the record win, and a line says so.
    """
    recorded = {name: value for name, value in _read(settings).items() if name.lower() in KEPT}
    if not recorded:
        return settings
    path = nearest(settings.local_data_path / FILE)
    there = _checked(settings, path, recorded)
    if not settings.project_id:
        print(f"from {path}: {' '.join(f'{name}={value}' for name, value in recorded.items())}")
        return there
    ours, theirs = Names.of(settings).stem, Names.of(there).stem
    if ours != theirs:
        words = " ".join(f"{name}={value}" for name, value in recorded.items())
        print(f"note: the settings name the lane {ours}; {path} records {theirs} ({words})")
    return settings


def _checked(settings: Settings, path: str, recorded: dict[str, str]) -> Settings:
    """Return settings with the recorded values; refuse values that no deployment has written."""
    values = {name.lower(): value for name, value in recorded.items()}
    try:
        read = type(settings)(**values)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise UserError(
            f"{path}: {name.upper()} is damaged; correct it, or delete the file and set PROJECT_ID, REGION "
            "and SERVICE_PREFIX"
        ) from None
    return settings.model_copy(update={name: getattr(read, name) for name in values})


def _read(settings: Settings) -> dict[str, str]:
    """Return what is recorded.

    Raises
    ------
    UserError
        The file cannot be read, or LANE is no name.
    """
    path = settings.local_data_path / FILE
    found = read_env_file(path) if path.is_file() else {}
    if not re.fullmatch(r"[a-z0-9-]*", found.get(LANE, "")):
        raise UserError(f"{nearest(path)}: {LANE} is damaged; delete the file, or correct it")
    return found
