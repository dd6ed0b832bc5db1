"""Names of a run's inputs for people, also of those without a result.

They are read from the inputs themselves; of an input that cannot be read, from the list of inputs.

The wording is in modeling/input_names.py.
"""

from collections.abc import Iterable
from itertools import islice

from modeling.input_names import MOST_IN_A_LINE, MOST_NAMED, in_a_line, input_name, unknown_input
from pipeline.artifacts import RunFiles
from pipeline.failures import TemporaryFault, UserError
from pipeline.input_list import listed_name
from pipeline.manifest import Manifest

__all__ = ["MOST_IN_A_LINE", "MOST_NAMED", "in_a_line", "input_name", "read_input_names", "unknown_input"]

# a name is a courtesy: whatever an input is, the stage that asks has something else to say
UNREADABLE = (UserError, TemporaryFault, OSError, AttributeError, TypeError, ValueError)


def read_input_names(
    files: RunFiles, manifest: Manifest, digests: list[str], indices: Iterable[int]
) -> dict[int, str]:
    """Return the names of the first inputs of some; one of which nothing is known is left out."""
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
