"""The operator's .env file: create, edit, show and check it."""

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from ops.environment import env_file, read_env_file, read_sourced_settings, unknown_hint
from ops.failures import UserError
from ops.folders import missing_places
from ops.settings import ROOT, SECRETS, Settings, as_written
from ops.terminal import cell, console, nearest

EXAMPLE = ROOT / ".env.example"


def create(force: bool = False) -> None:
    """Copy .env.example to .env, readable only by its owner."""
    path = Path(os.environ.get("ENV_FILE") or ROOT / ".env")
    if path.exists() and not force:
        raise UserError(
            f"{nearest(path)} already exists; edit it with `invoke config-edit`, or add --force to replace it"
        )
    try:
        text = EXAMPLE.read_text(encoding="utf-8")
        for name, number in (("HOST_UID", os.getuid()), ("HOST_GID", os.getgid())):
            text = text.replace(f"\n{name}=\n", f"\n{name}={number}\n")
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
    except OSError as error:
        raise UserError(f"{nearest(path)}: cannot be written ({error.strerror})") from None
    print(f"wrote {nearest(path)}; every line in it is explained and optional")


def edit(check: Callable[[Settings], None]) -> None:
    """Open .env in $VISUAL or $EDITOR, then validate it."""
    path = env_file()
    if not path.is_file():
        raise UserError(f"{nearest(path)}: no such file; `invoke config-init` creates it")
    editor = _editor()
    try:
        code = subprocess.call([*editor, str(path)])
    except OSError as error:
        raise UserError(f"{editor[0]}: cannot be started ({error.strerror}); set EDITOR") from None
    if code:
        raise UserError(f"{editor[0]} ended with exit code {code}; {nearest(path)} is as the editor left it")
    validate(check)


def _editor() -> list[str]:
    """Return the command line that starts the editor."""
    name = next((n for n in ("VISUAL", "EDITOR") if os.environ.get(n, "").strip()), "")
    try:
        return shlex.split(os.environ[name]) if name else ["vi"]
    except ValueError as error:
        raise UserError(f"{name}={os.environ[name]}: not a command ({error}); fix the variable") from None


def show_current() -> None:
    """Print where runs are started, and the project, region, bucket and image of cloud runs."""
    settings = read_sourced_settings().settings
    current = {
        "EXECUTION_MODE": settings.execution_mode,
        "PROJECT_ID": settings.project_id,
        "REGION": settings.region,
        "BUCKET_NAME": settings.bucket_name,
        "IMAGE_NAME:IMAGE_TAG": f"{settings.image_name}:{settings.image_tag}",
    }
    print("Current settings (`invoke config-show` shows all):")
    for name, value in current.items():
        print(f"  {name:<21} {value or 'not set'}")


def show() -> None:
    """Print every setting, its value and where it comes from."""
    sourced = read_sourced_settings()
    table = Table(box=None, header_style="bold")
    for column in ("setting", "value", "from", "meaning"):
        table.add_column(column, overflow="fold")
    for name, field in Settings.model_fields.items():
        value = getattr(sourced.settings, name)
        shown = nearest(value) if isinstance(value, Path) else as_written(value)
        table.add_row(name.upper(), cell(shown), sourced.sources[name], field.description)
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
    console().print(table)


def validate(check: Callable[[Settings], None]) -> None:
    """Check every setting and the paths it names; an unknown name is an error only if it looks mistyped.

    `check` raises UserError if settings that are valid alone conflict with each other.
    """
    sourced = read_sourced_settings()
    hints = {name: unknown_hint(name) for name in sourced.unknown if name not in SECRETS}
    mistyped = [hint for hint in hints.values() if "did you mean" in hint]
    for hint in hints.values():
        if hint not in mistyped:
            print(f"note: {hint}")
    problems = mistyped + missing_places(sourced.settings)
    try:
        check(sourced.settings)
    except UserError as error:
        problems.append(str(error))
    if problems:
        raise UserError("\nerror: ".join(problems))
    path = env_file()
    print(f"{nearest(path) if path.is_file() else 'defaults'}: all settings are valid")
