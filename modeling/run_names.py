"""Names of a run: what experiments, runs and suites may be called, and where a run's files are.

The stages and the operator's commands share these names; docs/architecture.md lists who writes which file.
"""

import re

EXP_ID = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
EXP_ID_LENGTH = 128
EXP_ID_FORM = "letters, digits, . _ - with / for grouping, and no .."
RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")
RUN_ID_FORM = "a run id looks like 20260131-120000-0a1b2c3d"
PENDING_FILE = re.compile(r"pending-([0-9a-f]{8})\.txt")  # with the start of its content's SHA-256
BUILT_IN = "built-in"
SUITES = (BUILT_IN, "epymodelingsuite")
CPU, EPYDEMIX = ENGINES = ("cpu", "epydemix")  # what simulates the models of the built-in suite
DEFAULT_ENGINE = CPU  # of a new run; `invoke docs` writes it to .env.example and the pages

# files below the folder of a run
BUILDER = "builder-artifacts/"
MANIFEST = f"{BUILDER}manifest.json"  # written last by stage A
DIGESTS = f"{BUILDER}inputs.sha256"
INPUT_LIST = f"{BUILDER}inputs.csv"  # place and parameter set of each input
ARCHIVE = f"{BUILDER}forecast.tar.gz"  # the forecasting repository as used, in the cloud
RUNNER = "runner-artifacts/"
RESULTS = f"{RUNNER}result_*.pkl"
SUMMARIES = "summaries/"
OUTPUT_CONFIGS = "output-configs/"  # output YAML files that were uploaded later
OUTPUTS = "outputs/"
METADATA = "run_metadata.json"
CLAIM = "execution.json"  # names the execution that works on the run, or was cancelled while it did

# files of an output folder
OUTPUT_LIST = "files.json"  # written last: without it the folder is not finished
HEADLINE = "headline.json"
REPORT = "report.html"
CHARTS = "charts/"


def is_exp_id(text: str) -> bool:
    """Return whether a path may be an experiment's; none leads out of the bucket or the data folder."""
    dots = any(set(part) == {"."} for part in text.split("/")) or ".." in text
    return bool(EXP_ID.fullmatch(text)) and not dots and len(text) <= EXP_ID_LENGTH


def is_run_id(text: str) -> bool:
    """Return whether a text is a run id."""
    return bool(RUN_ID.fullmatch(text))
