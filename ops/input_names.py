"""Names of inputs for people: "US-MA, parameter set 3 of 10 (input 17)".

The stages record the names of inputs without a result; scripts/name_inputs.py reads other names from the
inputs, or from the list of inputs in the same folder. An input whose name cannot be read is called
"input 17". The names of inputs in the bucket are looked up in cloud/inputs.py.
"""

import json
import sys
from collections.abc import Container, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from modeling.input_names import unknown_input
from modeling.plain_text import one_line
from modeling.run_names import BUILDER, INPUT_LIST
from ops.failures import UserError
from ops.settings import ROOT
from ops.shell import Shell

MOST_NAMED = 20  # inputs whose names are looked up; of the others only the index is shown
NAME_CHARACTERS, REASON_CHARACTERS = 200, 200
NAMING_SECONDS = 60
WIDTHS = range(4, 7)  # digits of an index in a file name: enough for the last input of the run
LIST = Path(INPUT_LIST).name


def missing_indices(recorded: dict[str, Any]) -> list[int]:
    """Return the inputs without a result, from a headline, summary or metadata of stage C."""
    missing = recorded.get("missing")
    return [index for index in missing if type(index) is int] if isinstance(missing, list) else []


def recorded_names(recorded: dict[str, Any]) -> dict[int, tuple[str, str]]:
    """Return the names and reasons of missing inputs that stage C has recorded; older runs have none."""
    listed = recorded.get("missing_inputs")
    found = {}
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict) and type(each.get("index")) is int and each.get("name"):
            name = one_line(each["name"], NAME_CHARACTERS)
            found[each["index"]] = name, one_line(each.get("reason", ""), REASON_CHARACTERS)
    return found


def unnamed(indices: Iterable[int], recorded: Container[int]) -> list[int]:
    """Return the inputs whose names are not recorded."""
    return [index for index in indices if index not in recorded]


def names_in_files(shell: Shell, paths: Sequence[Path]) -> dict[Path, str]:
    """Return the names of the inputs in some files; unreadable ones are left out."""
    script = ROOT / "scripts" / "name_inputs.py"
    paths = [path for path in paths if path.is_file() or path.with_name(LIST).is_file()]
    if not paths:
        return {}
    try:
        ended = shell.run_always(
            [sys.executable, str(script), *map(str, paths)], timeout_seconds=NAMING_SECONDS
        )
        names = json.loads(ended.output) if ended.exit_code == 0 else []
        return {path: name for path, name in zip(paths, names, strict=True) if name}
    except (UserError, ValueError):
        return {}


def file_names(index: int) -> list[str]:
    """Return the possible file names of an input."""
    return list(dict.fromkeys(f"input_{index:0{width}d}.pkl" for width in WIDTHS))


def input_files(folder: Path, index: int) -> list[Path]:
    """Return the file of an input of a run on this machine; empty if both it and the list are missing."""
    return known_files(folder / BUILDER, index)


def known_files(folder: Path, index: int) -> list[Path]:
    """Return the file of an input in a folder, or its possible path if only the list exists."""
    paths = [folder / name for name in file_names(index)]
    return [path for path in paths if path.is_file()] or paths[: (folder / LIST).is_file()]


def index_in(path: Path) -> int:
    """Return the index of an input from the name of one of its files."""
    return int(path.stem.rpartition("_")[2])


def local_names(shell: Shell, folder: Path, indices: Iterable[int]) -> dict[int, str]:
    """Return the names of some inputs of a run on this machine, of the first MOST_NAMED."""
    paths = [path for index in islice(indices, MOST_NAMED) for path in input_files(folder, index)]
    return {index_in(path): name for path, name in names_in_files(shell, paths).items()}


class FailedInputs:
    """Names of the inputs of a run on this machine, looked up as their tasks fail."""

    def __init__(self, shell: Shell, folder: Path):
        self.shell, self.folder = shell, folder
        self.names: dict[int, str] = {}

    def name(self, index: int) -> str:
        """Return the name of an input; after the first MOST_NAMED, only its index."""
        if index not in self.names and len(self.names) < MOST_NAMED:
            found = local_names(self.shell, self.folder, [index])
            self.names[index] = found.get(index) or unknown_input(index)
        return self.names.get(index) or unknown_input(index)


def named(indices: Iterable[int], names: dict[int, str]) -> list[str]:
    """Return the names of some inputs, in their order."""
    return [names.get(index) or unknown_input(index) for index in indices]
