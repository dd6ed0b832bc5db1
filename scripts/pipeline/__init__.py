"""What the three stage scripts share. Started as `python scripts/main_*.py`, in the repository
or at / in the image; either way `modeling` lies beside `scripts`."""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[2])
if _ROOT not in sys.path:
    sys.path.append(_ROOT)
