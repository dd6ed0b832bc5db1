#!/usr/bin/env bash
# Stage A: hands over to Python, which checks the settings (exit code 2). In the cloud it is the script that first
# clones the forecasting repository; elsewhere that is a folder, on PYTHONPATH for custom code of an experiment.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# where no virtual environment is active, Debian has python3 alone
python="${PYTHON:-$(command -v python || echo python3)}"

if [[ "${EXECUTION_MODE:-}" == [Cc][Ll][Oo][Uu][Dd] && -n "${GITHUB_FORECAST_REPO:-}" ]]; then
  exec "$python" -u "$here/fetch_forecast.py"
fi
if [[ -n "${FORECAST_REPO_DIR:-}" ]]; then
  export PYTHONPATH="$FORECAST_REPO_DIR${PYTHONPATH:+:$PYTHONPATH}"
fi
exec "$python" -u "$here/main_builder.py"
