#!/usr/bin/env bash
# Stage B: one task. The forecasting repository is on PYTHONPATH for custom code of an experiment.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

if [[ -n "${FORECAST_REPO_DIR:-}" ]]; then
  export PYTHONPATH="$FORECAST_REPO_DIR${PYTHONPATH:+:$PYTHONPATH}"
fi
# without a virtual environment, Debian has only python3
exec "${PYTHON:-$(command -v python || echo python3)}" -u "$here/main_runner.py"
