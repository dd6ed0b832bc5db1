"""Print the names of the inputs in files as a JSON list, with null for a file that cannot be read.

python scripts/name_inputs.py local/bucket/demo/RUN_ID/builder-artifacts/input_0017.pkl
"""

import json
import sys
from pathlib import Path

from pipeline.input_names import UNREADABLE, input_name
from pipeline.records import decode_workload


def name_of_file(path: str) -> str | None:
    """Return the name of the input in a file; None if there is no such file, or no input in it."""
    try:
        return input_name(decode_workload(Path(path).read_bytes(), path))
    except UNREADABLE:
        return None


if __name__ == "__main__":
    print(json.dumps([name_of_file(path) for path in sys.argv[1:]]))
