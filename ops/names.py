"""Names: of the files of a run, and which names an experiment, a run and a setting may have.

No name leads out of the bucket or the data folder. The stages have the same names and checks in
scripts/pipeline/, which ops/ does not import.
"""

import re

from ops.failures import UserError

EXP_ID = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
EXP_ID_LENGTH = 128
MOST = 10**18 - 1  # largest whole number
MOST_PARALLEL = 5000  # tasks of one Batch job at once
MOST_SECONDS = 14 * 24 * 3600  # that Batch lets a task run
COMPONENT = "epymodelingsuite"  # label of everything of this pipeline that costs money
RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")

# files of a run, below its folder
BUILDER = "builder-artifacts/"
MANIFEST = f"{BUILDER}manifest.json"  # written last by stage A
DIGESTS = f"{BUILDER}inputs.sha256"
ARCHIVE = f"{BUILDER}forecast.tar.gz"  # the forecasting repository as used, in the cloud
RUNNER = "runner-artifacts/"
RESULTS = f"{RUNNER}result_*.pkl"
SUMMARIES = "summaries/"
OUTPUT_CONFIGS = "output-configs/"  # uploaded output YAML files; the stages look here for such a name
OUTPUTS = "outputs/"
METADATA = "run_metadata.json"
CLAIM = "execution.json"  # names the execution that is running the run, or was cancelled while it did

# files of an output folder
OUTPUT_LIST = "files.json"  # written last: without it the folder is not finished
HEADLINE = "headline.json"
REPORT = "report.html"
NO_TABLES = (REPORT, HEADLINE)  # they name their run, so they differ between equal runs
CHARTS = "charts/"


def check_exp_id(exp_id: str | None) -> None:
    """Refuse a text that is not the path of an experiment below experiments/."""
    if not exp_id:
        raise UserError("--exp-id is needed: the experiment's folder below experiments/, e.g. --exp-id demo")
    if len(exp_id) > EXP_ID_LENGTH:
        raise UserError(f"--exp-id: {len(exp_id)} characters; {EXP_ID_LENGTH} at most")
    if not is_exp_id(exp_id):
        raise UserError(f'--exp-id "{exp_id}": letters, digits, . _ - with / for grouping, and no ..')
    _, path, name = f"/{exp_id}".rpartition("/experiments/")
    if path:
        raise UserError(f'--exp-id "{exp_id}": write {name}, the folder below experiments/')


def is_exp_id(text: str) -> bool:
    """Return whether a text is a valid experiment id."""
    dots = any(set(part) == {"."} for part in text.split("/")) or ".." in text
    return bool(EXP_ID.fullmatch(text)) and not dots and len(text) <= EXP_ID_LENGTH


def without_slash(exp_id: str | None) -> str:
    """Return an experiment's name without the / that a shell completes; a lone / stays, and is refused."""
    return re.sub(r"(?<=.)/$", "", exp_id or "")


def check_run_id(run_id: str) -> None:
    """Refuse a text that is not a run id."""
    if not RUN_ID.fullmatch(run_id):
        raise UserError(f'--run-id "{run_id}": a run id looks like 20260131-120000-0a1b2c3d')


def account_email(project: str, account: str) -> str:
    """Return the e-mail address of a service account, given as that address or as its part before the @."""
    return account if "@" in account else f"{account}@{project}.iam.gserviceaccount.com"


def masked(text: str) -> str:
    """Return a text without the tokens in it: one may have been pasted in place of its secret's name."""
    return re.sub(r"(?i)(gh[a-z]_|github_pat_)\w+|\b[0-9a-f]{40}\b|(?<=//)[^/@]+(?=@)", "***", text)


def shown(text: str) -> str:
    """Return a value as an error shows it: in one line, without a token."""
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], masked(text))
