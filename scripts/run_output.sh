#!/usr/bin/env bash
# Stage C: results to tables, charts and report.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

if [[ -n "${FORECAST_REPO_DIR:-}" ]]; then
  export PYTHONPATH="$FORECAST_REPO_DIR${PYTHONPATH:+:$PYTHONPATH}"
fi
# commit of the epymodelingsuite in an image (docker/install_suite.sh), for run_metadata.json
if [[ -r /opt/modeling_suite_commit ]]; then
  SUITE_COMMIT="$(</opt/modeling_suite_commit)"
  export SUITE_COMMIT
fi
# without a virtual environment, Debian has only python3
exec "${PYTHON:-$(command -v python || echo python3)}" -u "$here/main_output.py"
