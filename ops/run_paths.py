"""Where the files of runs are, in the bucket and here: below an experiment's folder, each run has its own.

The stages have the same names in scripts/pipeline/, which ops/ does not import.
"""

from ops.settings import Settings

BUILDER = "builder-artifacts/"
MANIFEST = f"{BUILDER}manifest.json"  # written last by stage A
DIGESTS = f"{BUILDER}inputs.sha256"
ARCHIVE = f"{BUILDER}forecast.tar.gz"  # the forecasting repository as used, in the cloud
RUNNER = "runner-artifacts/"
RESULTS = f"{RUNNER}result_*.pkl"
SUMMARIES = "summaries/"
OUTPUT_CONFIGS = "output-configs/"  # output YAML that was uploaded; the stages look there for such a name
OUTPUTS = "outputs/"
METADATA = "run_metadata.json"
CLAIM = "execution.json"  # of the execution that is at work on the run, or was cancelled there

# of an output folder
OUTPUT_LIST = "files.json"  # written last: without it the folder is not finished
HEADLINE = "headline.json"
REPORT = "report.html"
NO_TABLES = (REPORT, HEADLINE)  # and they name their run, so that no two are alike
CHARTS = "charts/"


def experiment_path(settings: Settings, exp_id: str) -> str:
    """Return where the runs of an experiment are in the bucket, ending with /."""
    return f"gs://{settings.bucket_name}/{settings.dir_prefix}{exp_id}/"


def run_path(settings: Settings, exp_id: str, run_id: str) -> str:
    """Return where a run is in the bucket, ending with /."""
    return f"{experiment_path(settings, exp_id)}{run_id}/"
