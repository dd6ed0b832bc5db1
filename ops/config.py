"""The operator's .env file: made, edited, shown, checked."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ops.failures import UserError
from ops.settings import SECRETS, Settings, env_file, read_env_file, read_sourced_settings, unknown_hint

EXAMPLE = Path(__file__).resolve().parents[1] / ".env.example"


def create(force: bool = False) -> None:
    """Copy .env.example to .env, readable by its owner alone."""
    path = Path(os.environ.get("ENV_FILE") or ".env")
    if path.exists() and not force:
        raise UserError(
            f"{path} is there already; edit it with `invoke config-edit`, or add --force to replace it"
        )
    shutil.copyfile(EXAMPLE, path)
    path.chmod(0o600)
    print(f"wrote {path}; every line in it is explained and optional")


def edit() -> None:
    """Open .env in $VISUAL or $EDITOR, then check it."""
    path = env_file()
    if not path.is_file():
        raise UserError(f"{path}: no such file; `invoke config-init` makes it")
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    try:
        code = subprocess.call([*editor, str(path)])
    except OSError as error:
        raise UserError(f"{editor[0]}: cannot be started ({error.strerror}); set EDITOR") from None
    if code:
        raise UserError(f"{editor[0]} ended with exit code {code}; {path} is as it left it")
    validate()


def show() -> None:
    """Print every setting, its value and where that came from."""
    sourced = read_sourced_settings()
    table = Table(box=None, header_style="bold")
    for column in ("setting", "value", "from", "meaning"):
        table.add_column(column, overflow="fold")
    for name, field in Settings.model_fields.items():
        value = getattr(sourced.settings, name)
        table.add_row(
            name.upper(), "" if value is None else str(value), sourced.sources[name], field.description
        )
    path = env_file()
    file_names = read_env_file(path) if path.is_file() else {}
    for secret in SECRETS:
        if secret in os.environ or secret in file_names:
            table.add_row(
                secret,
                "********",
                "environment" if secret in os.environ else path.name,
                "a secret, never shown",
            )
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)


def validate() -> None:
    """Check every setting; names that are no settings are told, for they may be somebody else's."""
    sourced = read_sourced_settings()
    for name in sourced.unknown:
        if name not in SECRETS:
            print(f"note: {unknown_hint(name)}")
    path = env_file()
    print(f"{path if path.is_file() else 'defaults'}: all settings are valid")
