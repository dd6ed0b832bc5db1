"""Where settings come from: the command line, the environment, .env, then the defaults in settings.py.

They are read once, checked together, and passed on.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from pydantic import ValidationError

from modeling.plain_text import is_unicode, one_line
from ops import names
from ops.failures import UserError, did_you_mean
from ops.setting_types import allowed
from ops.settings import ROOT, SECRETS, Settings
from ops.terminal import nearest

MOST_SHOWN = 300  # characters of a value


@dataclass(frozen=True)
class Sourced:
    """Settings and where each came from: "environment", a file's name, or "default"."""

    settings: Settings
    sources: dict[str, str]
    unknown: list[str]  # names in the file that are not settings


def read_settings(
    environ: Mapping[str, str] = os.environ, chosen: Mapping[str, str | None] | None = None
) -> Settings:
    """Return the settings.

    Parameters
    ----------
    chosen : Mapping
        Settings that override every other source, such as the options of a command; None leaves a setting
        to the other sources, "" chooses its default.

    Raises
    ------
    UserError
        A line of .env cannot be read, or values are wrong; one message lists all of them.
    """
    found = read_sourced_settings(environ, chosen)
    for name in found.unknown:
        if "did you mean" in (hint := unknown_hint(name)):  # other unknown names may belong to other programs
            print(f"note: {nearest(env_file(environ))}: {hint}", file=sys.stderr)
    return found.settings


def read_sourced_settings(
    environ: Mapping[str, str] = os.environ, chosen: Mapping[str, str | None] | None = None
) -> Sourced:
    """Return the settings with their sources, for `invoke config-show`."""
    options = {name: value for name, value in (chosen or {}).items() if value is not None}
    path = env_file(environ)
    from_file = read_env_file(path) if path.is_file() else {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in Settings.model_fields:
        variable = name.upper()
        for source, mapping in (("command line", options), ("environment", environ), (path.name, from_file)):
            if variable in mapping:  # an empty value means the default, whatever the next source says
                if value := mapping[variable].strip():
                    values[name], sources[name] = value, source
                break
        sources.setdefault(name, "default")
    broken = [name for name, value in values.items() if not is_unicode(value)]
    mistakes = [f"{name.upper()} (from {sources[name]}): not text in UTF-8; set it again" for name in broken]
    try:
        settings = Settings(**{name: value for name, value in values.items() if name not in broken})
    except ValidationError as error:
        mistakes += [_mistake(each, sources) for each in error.errors()]
    if mistakes:
        raise UserError("; ".join(mistakes))
    known = {name.upper() for name in Settings.model_fields}
    return Sourced(settings, sources, [name for name in from_file if name not in known])


def chosen_settings(pairs: Iterable[str], options: Mapping[str, str | None]) -> dict[str, str]:
    """Return the settings chosen on a command line, by name.

    Parameters
    ----------
    pairs : iterable of str
        NAME=VALUE; an empty value means the default.
    options : Mapping
        Values of the settings that have their own option; None if the option is not given.

    Raises
    ------
    UserError
        A pair is not NAME=VALUE, names no setting, or names one that is given twice.
    """
    chosen = {name: value for name, value in options.items() if value is not None}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip().upper()
        if not name:
            raise UserError("--set: a name is missing; write --set NAME=VALUE")
        if name.lower() not in Settings.model_fields:
            raise UserError(f"--set: {unknown_hint(one_line(names.shown(name), MOST_SHOWN))}")
        if not equals:
            raise UserError(f"--set {name}: a value is missing; write --set {name}=VALUE")
        if name in chosen:
            raise UserError(f"--set {name}: {name} is given twice; leave one out")
        chosen[name] = value
    return chosen


def env_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the .env file in use: that of the repository, or the one that ENV_FILE names."""
    if environ.get("ENV_FILE") and not Path(environ["ENV_FILE"]).is_file():
        raise UserError(f"ENV_FILE={environ['ENV_FILE']}: no such file")
    return Path(environ.get("ENV_FILE") or ROOT / ".env")


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a .env file; lines `export X=...` are read, too."""
    values: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8") as file:
            for binding in parse_stream(file):
                if binding.error or (binding.key is not None and binding.value is None):
                    broken = binding.original
                    raise UserError(
                        f"{nearest(path)}:{broken.line}: {_name_in(broken.string)} is not NAME=value; "
                        "fix or delete the line"
                    )
                if binding.key is not None:
                    values[binding.key] = binding.value
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{nearest(path)}: cannot be read ({error})") from None
    return values


def _name_in(line: str) -> str:
    """Return the part of a broken line that may be shown: the name of a setting; the rest may be a token."""
    name = re.match(r"\s*(?:export\s+)?(\w*)", line)[1]
    known = {field.upper() for field in Settings.model_fields} | set(SECRETS)
    return f'"{name} ..."' if name in known else "this line"


def _mistake(error: dict, sources: dict[str, str]) -> str:
    name = str(error["loc"][0])
    value = one_line(names.shown(str(error["input"])), MOST_SHOWN)
    return f'{name.upper()}="{value}" (from {sources[name]}): {_allowed(name, error)}'


def _allowed(name: str, error: dict) -> str:
    """Return what a setting accepts, in plain words; pydantic's messages are for programmers."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return allowed(Settings.model_fields[name])


def unknown_hint(name: str) -> str:
    """Return the message about a name that is not a setting, with the most similar setting."""
    known = [field.upper() for field in Settings.model_fields]
    return f"{name} is not a setting{did_you_mean(name, known)}"
