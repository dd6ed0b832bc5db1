"""Names of a run's inputs for people, also of those without a result.

They are in the list of inputs; of a run without one, or with a damaged one, they are read from the inputs.

The wording is in modeling/input_names.py.
"""

from collections.abc import Iterable
from contextlib import suppress
from itertools import islice

# the stage scripts find `modeling` only once `pipeline` is imported, so they take these from here
from modeling.input_names import MOST_IN_A_LINE, MOST_NAMED, in_a_line, input_name, unknown_input
from pipeline.artifacts import RunFiles
from pipeline.failures import TemporaryFault, UserError
from pipeline.input_list import InputEntry, listed_name
from pipeline.manifest import Manifest

__all__ = ["MOST_IN_A_LINE", "MOST_NAMED", "in_a_line", "input_name", "read_input_names", "unknown_input"]

# without a name an input is shown by its index; it must not stop the stage
UNREADABLE = (UserError, TemporaryFault, OSError, AttributeError, TypeError, ValueError)


def read_input_names(
    files: RunFiles, manifest: Manifest, digests: list[str], indices: Iterable[int]
) -> dict[int, str]:
    """Return the names of the first MOST_NAMED inputs by index; an unknown one is left out."""
    first = list(islice(indices, MOST_NAMED))
    listed = _listed(files, manifest) if first else []  # read once, however many are asked for
    names = {}
    for index in first:
        with suppress(*UNREADABLE):
            names[index] = (
                listed_name(listed, index)
                if listed
                else input_name(files.read_workload(index, manifest, digests[index]))
            )
    return names


def name_in_list(files: RunFiles, manifest: Manifest, index: int) -> str:
    """Return what the list of inputs calls an input; nothing in runs that have none, or a damaged one."""
    listed = _listed(files, manifest)
    return listed_name(listed, index) if listed else ""


def _listed(files: RunFiles, manifest: Manifest) -> list[InputEntry]:
    """Return the list of inputs; empty in runs that have none, or a damaged one."""
    try:
        return files.listed(manifest) if manifest.input_list_sha256 else []
    except UNREADABLE:
        return []
