"""Checks that the folders and files named by settings exist, and that runs can be written."""

import importlib.util
import os
import tempfile
from pathlib import Path

from ops.failures import UserError
from ops.settings import Settings
from ops.terminal import nearest


def missing_places(settings: Settings) -> list[str]:
    """Return a line for each folder, file or suite of a setting that cannot be used."""
    folders = {
        "FORECAST_REPO_DIR": settings.forecast_repo_dir,
        "EPYDEMIX_DATA_DIR": settings.epydemix_data_dir,
    }
    problems = [
        f"{name}={nearest(folder)}: no such folder; create it, or fix the setting"
        for name, folder in folders.items()
        if folder is not None and not os.path.isdir(folder)
    ]
    data = settings.epydemix_data_dir
    if data is not None and os.path.isdir(data) and not _is_epydemix_data(data):
        problems.append(
            f"EPYDEMIX_DATA_DIR={nearest(data)}: not a copy of epydemix-data with data/ and locations.csv"
        )
    suite = settings.modeling_suite
    if suite != "built-in" and importlib.util.find_spec(suite) is None:
        problems.append(f"MODELING_SUITE={suite}: not installed; install it, or use built-in")
    output = Path(settings.output_config_file)
    if output.is_absolute() and not os.path.isfile(output):
        problems.append(f"OUTPUT_CONFIG_FILE={nearest(output)}: no such file")
    try:
        check_writable(settings)
    except UserError as error:
        problems.append(str(error))
    return problems


def _is_epydemix_data(folder: Path) -> bool:
    return os.path.isdir(folder / "data") and os.path.isfile(folder / "locations.csv")


def check_writable(settings: Settings) -> None:
    """Refuse a LOCAL_DATA_PATH that cannot be created or written, by creating a temporary folder.

    Checking permissions is not enough: /proc denies nothing, but no folder can be created in it.
    """
    path = settings.local_data_path
    parent = next(p for p in (path, *path.parents) if os.path.exists(p))
    try:
        with tempfile.TemporaryDirectory(prefix=".probe-", dir=parent):
            pass
    except OSError as error:
        reason = "a file is where a folder is needed" if parent.is_file() else error.strerror
        raise UserError(
            f"LOCAL_DATA_PATH={nearest(path)}: nothing can be written in {parent} ({reason}); "
            "name another folder"
        ) from None
