"""Names: of the files of a run, and which names an experiment, a run and a setting may have.

No name leads out of the bucket or the data folder. The stages have the same names and checks in
scripts/pipeline/, which ops/ does not import.
"""

import re

from ops.failures import UserError

EXP_ID = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
EXP_ID_LENGTH = 128
MOST = 10**18 - 1  # of a whole number
MOST_PARALLEL = 5000  # tasks of one Batch job at once
MOST_SECONDS = 14 * 24 * 3600  # that Batch lets a task run
COMPONENT = "epymodelingsuite"  # the label of all that is ours and costs money
_REGION = "[a-z]+-[a-z]+[0-9]{1,2}"
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
CLAIM = "execution.json"  # names the execution that works on the run, or was cancelled while it did

# files of an output folder
OUTPUT_LIST = "files.json"  # written last: without it the folder is not finished
HEADLINE = "headline.json"
REPORT = "report.html"
NO_TABLES = (REPORT, HEADLINE)  # they name their run, so they differ between equal runs
CHARTS = "charts/"


def check_exp_id(exp_id: str | None) -> None:
    """Refuse what is no experiment's folder below experiments/."""
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
    """Tell whether a path below the bucket may be an experiment's."""
    dots = any(set(part) == {"."} for part in text.split("/")) or ".." in text
    return bool(EXP_ID.fullmatch(text)) and not dots and len(text) <= EXP_ID_LENGTH


def without_slash(exp_id: str | None) -> str:
    """Return an experiment's name without the / that a shell completes; a lone / stays, and is refused."""
    return re.sub(r"(?<=.)/$", "", exp_id or "")


def check_run_id(run_id: str) -> None:
    """Refuse what is no run id."""
    if not RUN_ID.fullmatch(run_id):
        raise UserError(f'--run-id "{run_id}": a run id looks like 20260131-120000-0a1b2c3d')


def project_id(text: str) -> str:
    """Return a project's id, or an empty string; its name and its number are something else."""
    pattern = r"([a-z][a-z0-9-]{4,28}[a-z0-9])?"
    return _matching(pattern, text, "a project's id, such as my-lab-forecasts; not its name or number")


def region(text: str) -> str:
    return _matching(_REGION, text, "a region such as us-central1, not a zone")


def build_region(text: str) -> str:
    return _matching(f"global|{_REGION}", text, "global, or a region such as us-central1")


def bucket_name(text: str) -> str:
    """Return a bucket's name without the gs:// that the console shows, or an empty string."""
    name = text.removeprefix("gs://").rstrip("/")
    wanted = "the name of a bucket, without a path; the path before a run is DIR_PREFIX"
    return _matching(r"([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])?", name, wanted)


def cloud_name(text: str) -> str:
    """Return the name of a repository, an image or a tag."""
    wanted = "a lower-case letter or a digit, then letters, digits, . _ - and at most 63 of them"
    return _matching(r"[a-z0-9][A-Za-z0-9._-]{0,62}", text, wanted)


def secret_name(text: str) -> str:
    if text and (masked(text) != text or not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", text)):
        raise ValueError("the name of a secret in Secret Manager, such as github-pat; never the token itself")
    return text


def web_address(text: str) -> str:
    wanted = "an address such as https://github.com, without a name or token in it"
    pattern = r"(https://|http://(127\.0\.0\.1|localhost)\b)[^\s@?#,]+"
    return _matching(pattern, text, wanted).rstrip("/")


def image_reference(text: str) -> str:
    """Return an image's name with its tag or digest, or a registry's host."""
    wanted = "an image such as python:3.11-slim, or a host such as europe-docker.pkg.dev"
    return _matching(r"([A-Za-z0-9][A-Za-z0-9._/:-]*(@sha256:[0-9a-f]{64})?)?", text, wanted)


def workflow_name(text: str) -> str:
    wanted = "a lower-case letter, then lower-case letters, digits, _ - and at most 63 of them"
    return _matching(r"[a-z]([a-z0-9_-]{0,61}[a-z0-9])?", text, wanted)


def network_name(text: str) -> str:
    wanted = "a lower-case letter, then lower-case letters, digits, - and at most 63 of them"
    return _matching(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", text, wanted)


def machine_type(text: str) -> str:
    """Return the name of a machine type, or an empty string."""
    return _matching(r"([a-z][a-z0-9]*(-[a-z0-9]+)+)?", text, "a machine type such as c4d-standard-4")


def without_unit(text: str) -> str:
    """Return seconds without the s that Batch writes behind them."""
    return text.removesuffix("s") if isinstance(text, str) else text


def label_value(text: str) -> str:
    return _matching(r"[a-z0-9_-]{0,63}", text, "lower-case letters, digits, _ - and at most 63 of them")


def billing_account(text: str) -> str:
    wanted = "a billing account such as 012345-6789AB-CDEF01"
    return _matching(r"([0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6})?", text, wanted)


def email(text: str) -> str:
    return _matching(r"([^\s@\"\\]+@[^\s@\"\\]+\.[^\s@\"\\]+)?", text, "an e-mail address")


def account(text: str) -> str:
    wanted = "a service account of the project, or a whole e-mail"
    return _matching(r"[a-z0-9-]+(@[a-z0-9.-]+)?", text, wanted)


def account_email(project: str, account: str) -> str:
    """Return the e-mail of a service account that is named by what stands before the @ or by all of it."""
    return account if "@" in account else f"{account}@{project}.iam.gserviceaccount.com"


def _matching(pattern: str, text: str, wanted: str) -> str:
    """Return a text that is all of a pattern; ValueError says what is wanted instead."""
    if not re.fullmatch(pattern, text):
        raise ValueError(wanted)
    return text


def masked(text: str) -> str:
    """Return a text without the tokens in it: one may have been pasted where its secret's name belongs."""
    return re.sub(r"(?i)(gh[a-z]_|github_pat_)\w+|\b[0-9a-f]{40}\b|(?<=//)[^/@]+(?=@)", "***", text)


def shown(text: str) -> str:
    """Return a value as an error shows it: in one line, without a token."""
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], masked(text))


def folder_prefix(text: str) -> str:
    """Return DIR_PREFIX as a path inside the bucket that ends with /, or an empty string.

    Raises
    ------
    ValueError
        A part of it is empty, . or ..
    """
    if not text:
        return ""
    parts = text.rstrip("/").split("/")
    if {"", ".", ".."} & set(parts) or "\\" in text:
        raise ValueError("a path inside the bucket, such as flu/2026/, without . or .. or an empty part")
    return "/".join(parts) + "/"


def repository_name(text: str) -> str:
    """Return owner/name; the address that a browser shows is taken, too."""
    name = text.removeprefix("https://github.com/").rstrip("/").removesuffix(".git")
    if name and (not re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+", name) or ".." in name):
        raise ValueError("owner/name of a repository, such as my-lab/flu-forecasts")
    return name


def git_ref(text: str) -> str:
    if re.match(r"(?i)(gh[a-z]_|github_pat_)", text):
        raise ValueError("a branch, a tag or a whole commit; never a token")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._/+#@-]*", text) or ".." in text:
        raise ValueError("a branch, a tag or a whole commit")
    return text
