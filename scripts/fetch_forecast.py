"""Before stage A in the cloud: clone GITHUB_FORECAST_REPO into FORECAST_REPO_DIR, and print its commit.

    EXECUTION_MODE=cloud GCS_BUCKET=... EXP_ID=... RUN_ID=... FORECAST_REPO_DIR=/tmp/forecast \\
    GITHUB_FORECAST_REPO=owner/name FORECAST_REPO_REF=main python scripts/fetch_forecast.py

A process of its own: the token is not in the one that reads the experiment.
"""

import logging
import sys

from pipeline.environment import StageContext
from pipeline.failures import UserError
from pipeline.forecast_clone import clone
from pipeline.secret import read_secret
from pipeline.stage import run_stage

log = logging.getLogger("pipeline")


def fetch(context: StageContext) -> None:
    if not context.forecast_repo:
        raise UserError("GITHUB_FORECAST_REPO is not set; owner/name of the forecasting repository")
    token = read_secret(context.pat_secret, context.project) if context.pat_secret else ""
    commit = clone(context, token)
    log.info("%s at %s is commit %s", context.forecast_repo, context.forecast_ref, commit)
    print(commit)


if __name__ == "__main__":
    sys.exit(run_stage("builder", fetch))
