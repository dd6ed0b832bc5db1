"""Pack a forecasting repository as stage A unpacks it: equal bytes for equal files, no .git, no .env.

python scripts/pack_forecast.py examples/forecast forecast.tar.gz
"""

import argparse
import sys
from pathlib import Path

from pipeline.failures import UserError
from pipeline.forecast_pack import pack


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the repository")
    parser.add_argument("archive", type=Path, help="the .tar.gz to write")
    given = parser.parse_args()
    try:
        pack(given.folder, given.archive)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
