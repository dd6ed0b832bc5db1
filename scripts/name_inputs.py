"""Print the names of the inputs in files as a JSON list, with null for an input that cannot be named.

The name of a damaged input comes from the list of inputs in the same folder.

    python scripts/name_inputs.py local/bucket/demo/RUN_ID/builder-artifacts/input_0017.pkl
"""

import csv
import json
import sys
from pathlib import Path

from pipeline.input_list import listed_name, parse_entries
from pipeline.input_names import UNREADABLE, input_name
from pipeline.pickles import decode_workload


def name_of_file(path: str) -> str | None:
    """Return the name of the input in a file; None where neither the file nor the list has it."""
    try:
        return input_name(decode_workload(Path(path).read_bytes(), path))
    except UNREADABLE:
        return name_beside(Path(path))


def name_beside(path: Path) -> str | None:
    """Return the name of an input from the list in the same folder; None where it is not listed."""
    try:
        index = int(path.stem.rpartition("_")[2])
        return listed_name(parse_entries(path.with_name("inputs.csv").read_bytes()), index)
    except (*UNREADABLE, IndexError, csv.Error):
        return None


if __name__ == "__main__":
    print(json.dumps([name_of_file(path) for path in sys.argv[1:]]))
