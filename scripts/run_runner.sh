#!/usr/bin/env bash
# Stage B: one input. The forecasting repository is on PYTHONPATH for custom code of an experiment.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

if [[ -n "${FORECAST_REPO_DIR:-}" ]]; then
  export PYTHONPATH="$FORECAST_REPO_DIR${PYTHONPATH:+:$PYTHONPATH}"
fi
# where no virtual environment is active, Debian has python3 alone
exec "${PYTHON:-$(command -v python || echo python3)}" -u "$here/main_runner.py"
