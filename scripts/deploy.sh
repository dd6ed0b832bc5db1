#!/usr/bin/env bash
# Deploys the GPU lane by gcloud, or changes what differs from the settings: `invoke gpu-deploy` by the name that
# the lane's description uses. Settings come from the environment or .env:
#   PROJECT_ID=my-lab-forecasts REGION=europe-west4 SERVICE_PREFIX=flu scripts/deploy.sh --yes
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
repository="$(dirname "$here")"
for invoke in "$repository/.venv/bin/invoke" "${VIRTUAL_ENV:+$VIRTUAL_ENV/bin/invoke}"; do
  if [[ -x "$invoke" ]]; then
    exec "$invoke" --search-root "$repository" gpu-deploy "$@"
  fi
done
echo "error: no virtual environment in $repository; run \`make setup\` there, then this again" >&2
exit 2
