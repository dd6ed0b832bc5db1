#!/usr/bin/env bash
# Stage A: hands over to Python, which checks the settings (exit code 2). The forecasting repository is on PYTHONPATH.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

if [[ -n "${FORECAST_REPO_DIR:-}" ]]; then
  export PYTHONPATH="$FORECAST_REPO_DIR${PYTHONPATH:+:$PYTHONPATH}"
fi
# where no virtual environment is active, Debian has python3 alone
exec "${PYTHON:-$(command -v python || echo python3)}" -u "$here/main_builder.py"
