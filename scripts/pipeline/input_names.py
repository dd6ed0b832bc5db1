"""Names of a run's inputs for people, also of those without a result.

They are read from the inputs, or from the list of inputs where an input cannot be read.

The wording is in modeling/input_names.py.
"""

from collections.abc import Iterable
from itertools import islice

# the stage scripts find `modeling` only once `pipeline` is imported, so they take these from here
from modeling.input_names import MOST_IN_A_LINE, MOST_NAMED, in_a_line, input_name, unknown_input
from pipeline.artifacts import RunFiles
from pipeline.failures import TemporaryFault, UserError
from pipeline.input_list import listed_name
from pipeline.manifest import Manifest

__all__ = ["MOST_IN_A_LINE", "MOST_NAMED", "in_a_line", "input_name", "read_input_names", "unknown_input"]

# without a name an input is shown by its index; it must not stop the stage
UNREADABLE = (UserError, TemporaryFault, OSError, AttributeError, TypeError, ValueError)


def read_input_names(
    files: RunFiles, manifest: Manifest, digests: list[str], indices: Iterable[int]
) -> dict[int, str]:
    """Return the names of the first MOST_NAMED inputs by index; an unknown one is left out."""
    names = {}
    for index in islice(indices, MOST_NAMED):
        try:
            names[index] = input_name(files.read_workload(index, manifest, digests[index]))
        except UNREADABLE:
            if name := name_in_list(files, manifest, index):
                names[index] = name
    return names


def name_in_list(files: RunFiles, manifest: Manifest, index: int) -> str:
    """Return what the list of inputs calls an input; nothing in runs that have none, or a damaged one."""
    try:
        return listed_name(files.listed(manifest), index) if manifest.input_list_sha256 else ""
    except UNREADABLE:
        return ""
