#!/usr/bin/env bash
# Stage C: results to tables, charts and report.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

if [[ -n "${FORECAST_REPO_DIR:-}" ]]; then
  export PYTHONPATH="$FORECAST_REPO_DIR${PYTHONPATH:+:$PYTHONPATH}"
fi
# of the epymodelingsuite in an image, for run_metadata.json (docker/install_suite.sh)
if [[ -r /opt/modeling_suite_commit ]]; then
  SUITE_COMMIT="$(</opt/modeling_suite_commit)"
  export SUITE_COMMIT
fi
# where no virtual environment is active, Debian has python3 alone
exec "${PYTHON:-$(command -v python || echo python3)}" -u "$here/main_output.py"
