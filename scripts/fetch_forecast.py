"""Stage A in the cloud: clone GITHUB_FORECAST_REPO into FORECAST_REPO_DIR, then become main_builder.py.

    EXECUTION_MODE=cloud GCS_BUCKET=... EXP_ID=... RUN_ID=... FORECAST_REPO_DIR=/tmp/forecast \\
    GITHUB_FORECAST_REPO=owner/name FORECAST_REPO_REF=main python scripts/fetch_forecast.py

The process is replaced, so that the process that reads the experiment never has the token.
"""

import logging
import os
import sys
from pathlib import Path

from pipeline.environment import StageContext
from pipeline.failures import UserError
from pipeline.forecast_clone import clone
from pipeline.secret import read_secret
from pipeline.stage import run_stage

log = logging.getLogger("pipeline")

BUILDER = Path(__file__).resolve().with_name("main_builder.py")


def fetch_and_build(context: StageContext) -> None:
    """Clone the forecasting repository, then replace this process by stage A."""
    if not context.forecast_repo:
        raise UserError("GITHUB_FORECAST_REPO is not set; set owner/name of the forecasting repository")
    token = read_secret(context.pat_secret, context.project) if context.pat_secret else ""
    commit = clone(context, token)
    log.info("%s at %s is commit %s", context.forecast_repo, context.forecast_ref, commit)
    sys.stderr.flush()
    folder = str(context.forecast_repo_dir)
    paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {
        "FORECAST_REPO_DIR": folder,
        "FORECAST_COMMIT": commit,
        "PYTHONPATH": os.pathsep.join(paths),  # for custom code of an experiment
    }
    os.execve(sys.executable, [sys.executable, "-u", str(BUILDER)], {**os.environ, **variables})


if __name__ == "__main__":
    sys.exit(run_stage("builder", fetch_and_build))
