"""The files of a run by the names that the stages give them, below its folder or its place in the bucket.

scripts/pipeline/artifacts.py, which ops/ does not import, has the same.
"""

BUILDER = "builder-artifacts/"
MANIFEST = f"{BUILDER}manifest.json"  # written last by stage A
ARCHIVE = f"{BUILDER}forecast.tar.gz"  # the forecasting repository as used, in the cloud
RUNNER = "runner-artifacts/"
RESULTS = f"{RUNNER}result_*.pkl"
SUMMARIES = "summaries/"
OUTPUT_CONFIGS = "output-configs/"  # output YAML that was uploaded; the stages look there for such a name
OUTPUTS = "outputs/"
METADATA = "run_metadata.json"

# of an output folder
OUTPUT_LIST = "files.json"  # written last: without it the folder is not finished
HEADLINE = "headline.json"
REPORT = "report.html"
NO_TABLES = (REPORT, HEADLINE)  # and they name their run, so that no two are alike
CHARTS = "charts/"
