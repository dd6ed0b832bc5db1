"""What the three stage scripts share. Started as `python scripts/main_*.py`, in the repository
or at / in the image; either way `modeling` lies beside `scripts`."""

import sys
from importlib.util import find_spec
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[2])
if _ROOT not in sys.path:
    sys.path.append(_ROOT)

if find_spec("pydantic") is None or find_spec("numpy") is None:
    print(
        f"error: {sys.executable} lacks our packages; run `make setup`, then use .venv/bin/python",
        file=sys.stderr,
    )
    sys.exit(2)
