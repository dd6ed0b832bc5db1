"""Names of a run's inputs for messages and the report, including inputs without a result.

They come from inputs.csv; where that is missing or damaged, from the inputs. The wording is in
modeling/input_names.py.
"""

from collections.abc import Iterable
from contextlib import suppress
from itertools import islice

# the stage scripts find `modeling` only once `pipeline` is imported, so they take these from here
from modeling.input_names import MOST_IN_A_LINE, MOST_NAMED, in_a_line, input_name, unknown_input
from pipeline.failures import TemporaryFault, UserError
from pipeline.input_files import Inputs
from pipeline.input_list import InputEntry, listed_name

__all__ = ["MOST_IN_A_LINE", "MOST_NAMED", "in_a_line", "input_name", "read_input_names", "unknown_input"]

# an input whose name cannot be read is shown by its index; that must not stop the stage
UNREADABLE = (UserError, TemporaryFault, OSError, AttributeError, TypeError, ValueError)


def read_input_names(inputs: Inputs, indices: Iterable[int]) -> dict[int, str]:
    """Return the names of the first MOST_NAMED inputs by index; unknown ones are left out."""
    first = list(islice(indices, MOST_NAMED))
    listed = _listed(inputs) if first else []  # read once for all
    names = {}
    for index in first:
        with suppress(*UNREADABLE):
            names[index] = listed_name(listed, index) if listed else input_name(inputs.read(index))
    return names


def name_in_list(inputs: Inputs, index: int) -> str:
    """Return the name of an input from inputs.csv; "" where that is missing or damaged."""
    listed = _listed(inputs)
    return listed_name(listed, index) if listed else ""


def _listed(inputs: Inputs) -> list[InputEntry]:
    """Return the entries of inputs.csv; empty where it is missing or damaged."""
    try:
        return inputs.all_entries() if inputs.manifest.input_list_sha256 else []
    except UNREADABLE:
        return []
