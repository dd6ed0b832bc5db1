#!/usr/bin/env bash
# Stage A. Python checks the settings (exit code 2). In the cloud, fetch_forecast.py first clones the forecasting
# repository; elsewhere that is a folder, which is put on PYTHONPATH for custom code of an experiment.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# without a virtual environment, Debian has only python3
python="${PYTHON:-$(command -v python || echo python3)}"

if [[ "${EXECUTION_MODE:-}" == [Cc][Ll][Oo][Uu][Dd] && -n "${GITHUB_FORECAST_REPO:-}" ]]; then
  exec "$python" -u "$here/fetch_forecast.py"
fi
if [[ -n "${FORECAST_REPO_DIR:-}" ]]; then
  export PYTHONPATH="$FORECAST_REPO_DIR${PYTHONPATH:+:$PYTHONPATH}"
fi
exec "$python" -u "$here/main_builder.py"
