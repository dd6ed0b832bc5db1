"""Pack a forecasting repository as stage A unpacks it: equal bytes for equal files, no .git, no .env.

python scripts/pack_forecast.py examples/forecast forecast.tar.gz
"""

import sys
from pathlib import Path

from pipeline.failures import UserError
from pipeline.forecast_pack import pack


def main(folder: str, archive: str) -> int:
    try:
        pack(Path(folder), Path(archive))
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
