"""Where the files of runs are, in the bucket and here: below an experiment's folder, each run has its own.

The stages have the same names in scripts/pipeline/, which ops/ does not import.
"""

from ops.settings import Settings

BUILDER, RUNNER, OUTPUTS = "builder-artifacts/", "runner-artifacts/", "outputs/"
MANIFEST = f"{BUILDER}manifest.json"
CLAIM = "execution.json"  # of the execution that is at work on the run, or was cancelled there
OUTPUT_LIST = "files.json"  # written last into an output folder
HEADLINE = "headline.json"  # of an output folder: its forecast in short, and what it goes without
REPORT = "report.html"


def experiment_path(settings: Settings, exp_id: str) -> str:
    """Return where the runs of an experiment are in the bucket, ending with /."""
    return f"gs://{settings.bucket_name}/{settings.dir_prefix}{exp_id}/"


def run_path(settings: Settings, exp_id: str, run_id: str) -> str:
    """Return where a run is in the bucket, ending with /."""
    return f"{experiment_path(settings, exp_id)}{run_id}/"
