"""The environment variables of a stage as one checked value; no other module reads settings from them."""

import datetime
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from modeling.bounds import LARGEST_SEED
from modeling.cache_folder import cache_folder
from modeling.failures import UserError, listed
from modeling.plain_text import is_unicode, one_line
from modeling.reference_dates import parse_reference_date
from modeling.run_names import (
    BUILT_IN,
    DEFAULT_ENGINE,
    ENGINES,
    EPYDEMIX,
    EXP_ID_FORM,
    EXP_ID_LENGTH,
    PENDING_FILE,
    RUN_ID_FORM,
    SUITES,
    is_exp_id,
    is_run_id,
)
from modeling.threads import fair_share, usable_cores
from pipeline.machine_costs import parse_run_setup, setup_of_task

MOST_SHOWN = 300  # characters of a value
MOST = 10**18 - 1  # of a whole number
MOST_THREADS = 1024
REPOSITORY = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+")
REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+#@-]*")
SECRET = re.compile(r"(projects/[^/]+/secrets/)?[A-Za-z0-9_-]{1,255}(/versions/[0-9]+|/versions/latest)?")
# what looks like a GitHub token, or is in the place of one in an address: pasted into the wrong setting
TOKEN = re.compile(r"(?i)(gh[a-z]_|github_pat_)\w+|(?<=//)[^/@\s]+(?=@)")
GITHUB = "https://github.com"
_REQUIRED = object()


@dataclass(frozen=True)
class StageContext:
    """The settings of a stage: what it does, and where its files are."""

    mode: str  # "local" or "cloud"
    bucket: str
    in_prefix: str  # of the run, ending with /
    out_prefix: str
    exp_id: str
    run_id: str
    task_index: int | None  # an input, chosen by hand
    batch_task_index: int | None  # a task of a Batch job: the pending file says which inputs
    pending_file: str  # of the job the task belongs to; without it the manifest's
    num_tasks: int | None  # number of results stage C expects
    count: int | None
    seed: int | None
    reference_date: datetime.date | None  # of a forecast; None: that of its YAML, or of the newest data
    is_strict: bool  # a forecast fails if a location is left out, or has a fault in its data
    force: bool
    workloads_per_task: int | None
    allow_partial: bool
    allow_user_functions: bool  # may Python functions of the experiment run; unset: yes, on a laptop
    local_data_path: Path
    forecast_repo_dir: Path
    epydemix_data_dir: Path | None
    output_config_file: str
    forecast_repo: str  # owner/name to clone, or ""
    forecast_ref: str  # its branch, tag or commit
    github_url: str
    pat_secret: str
    project: str
    suite: str | None  # as set; None means that of the run, or the built-in one
    engine: str | None  # as set; None means that of the run, or the default
    engine_threads: int | None  # that the engine may use; None: the task's share of the machine
    log_level: str
    storage_verbose: bool
    job_id: str
    image_uri: str
    retry_attempt: int
    code_commit: str
    forecast_commit: str
    suite_commit: str  # of an installed epymodelingsuite, whether it is used or not
    run_setup: dict[str, Any] | None  # the machines of the run; None where unknown

    @property
    def suite_to_build(self) -> str:
        """The suite that stage A builds with: as set, or the built-in one."""
        return self.suite or BUILT_IN

    @property
    def engine_to_build(self) -> str:
        """The engine of a new run: as set, or the default; another suite simulates by epydemix alone."""
        return (self.engine or DEFAULT_ENGINE) if self.suite_to_build == BUILT_IN else EPYDEMIX

    @property
    def config_folder(self) -> Path:
        return self.forecast_repo_dir / "experiments" / self.exp_id / "config"

    def output_config_path(self) -> Path | None:
        """Return the output configuration that replaces the experiment's: a path, or a name in config_folder.

        A name without / is looked up in config_folder first, before the working directory.
        """
        name = self.output_config_file
        if not name:
            return None
        places = [Path(name), self.config_folder / name]
        for path in places if "/" in name else reversed(places):
            if path.is_file():
                return path
        raise UserError(
            f"OUTPUT_CONFIG_FILE={self.output_config_file}: no such file, here or in {self.config_folder}; "
            "name another (invoke: --output-config-file)"
        )

    def made_with(self, stage: str) -> dict[str, Any]:
        """Return image and machine of a task for its summary, where they are known."""
        known = {
            "image": self.image_uri,
            "setup": setup_of_task(self.run_setup, stage, self.job_id),
        }
        return {name: value for name, value in known.items() if value}

    @property
    def threads(self) -> int:
        """Threads that a task may use: as set, or its share of a machine that has several tasks at once."""
        at_once = (self.run_setup or {}).get("stages", {}).get("runner", {}).get("tasks_per_machine", 1)
        return self.engine_threads or fair_share(usable_cores(), int(at_once))

    @property
    def commits(self) -> dict[str, str]:
        """Commits of the code and the suite; empty where unknown."""
        return {"code": self.code_commit, "suite": self.suite_commit}

    @property
    def bucket_folder(self) -> Path:
        """The folder used as the bucket in local mode."""
        return self.local_data_path / "bucket"

    @property
    def cache_folder(self) -> Path:
        """The folder for downloaded population data."""
        return cache_folder()


def read_stage_context(environ: Mapping[str, str]) -> StageContext:
    """Read and check every variable a stage knows.

    Raises
    ------
    UserError
        One line with every variable that is missing or wrong.
    """
    read = _Reader(environ)
    mode = read("EXECUTION_MODE", "local", _one_of("local", "cloud"))
    local_data_path = read("LOCAL_DATA_PATH", Path("local"), Path)
    exp_id = read("EXP_ID", _REQUIRED, _experiment_id)
    run_id = read("RUN_ID", _REQUIRED, _run_id)
    run_prefix = f"{read('DIR_PREFIX', '', _prefix)}{exp_id}/{run_id}/"
    context = StageContext(
        mode=mode,
        bucket=read("GCS_BUCKET", _REQUIRED if mode == "cloud" else "", _bucket),
        in_prefix=read("IN_PREFIX", run_prefix, _prefix),
        out_prefix=read("OUT_PREFIX", run_prefix, _prefix),
        exp_id=exp_id,
        run_id=run_id,
        task_index=read("TASK_INDEX", None, _whole(0)),
        batch_task_index=read("BATCH_TASK_INDEX", None, _whole(0)),
        pending_file=read("PENDING_FILE", "", _pending_file),
        num_tasks=read("NUM_TASKS", None, _whole(1)),
        count=read("COUNT", None, _whole(1)),
        seed=read("SEED", None, _whole(0, LARGEST_SEED)),
        reference_date=read("REFERENCE_DATE", None, parse_reference_date),
        is_strict=read("STRICT", False, _flag),
        force=read("FORCE", False, _flag),
        workloads_per_task=read("WORKLOADS_PER_TASK", None, _whole(1)),
        allow_partial=read("ALLOW_PARTIAL_RESULTS", False, _flag),
        allow_user_functions=read("ALLOW_USER_FUNCTIONS", mode == "local", _flag),
        local_data_path=local_data_path,
        forecast_repo_dir=read("FORECAST_REPO_DIR", Path(local_data_path or ".") / "forecast", Path),
        epydemix_data_dir=read("EPYDEMIX_DATA_DIR", None, _folder),
        output_config_file=read("OUTPUT_CONFIG_FILE", "", str),
        forecast_repo=read("GITHUB_FORECAST_REPO", "", _repository),
        forecast_ref=read("FORECAST_REPO_REF", "HEAD", _ref),
        github_url=read("GITHUB_URL", GITHUB, _web_address),
        pat_secret=read("GITHUB_PAT_SECRET", "", _secret),
        project=read("GCLOUD_PROJECT_ID", "", str),
        suite=read("MODELING_SUITE", None, _one_of(*SUITES)),
        engine=read("ENGINE", None, _one_of(*ENGINES)),
        engine_threads=read("ENGINE_THREADS", None, _whole(1, MOST_THREADS)),
        log_level=read("LOG_LEVEL", "INFO", _one_of("DEBUG", "INFO", "WARNING", "ERROR")),
        storage_verbose=read("STORAGE_VERBOSE", False, _flag),
        job_id=read("JOBID", read("BATCH_JOB_UID", "", str), str),
        image_uri=read("IMAGE_URI", "", str),
        code_commit=read("CODE_COMMIT", "", str),
        forecast_commit=read("FORECAST_COMMIT", "", str),
        suite_commit=read("SUITE_COMMIT", "", str) or _installed_commit(SUITES[1]),
        retry_attempt=read("BATCH_TASK_RETRY_ATTEMPT", 0, _whole(0)),
        run_setup=read("RUN_SETUP", None, parse_run_setup),
    )
    if read.mistakes:
        raise UserError("; ".join(read.mistakes))
    return context


def _installed_commit(package: str) -> str:
    """Return the commit that pip installed a package from; "" if it did not come from git."""
    try:
        return json.loads(distribution(package).read_text("direct_url.json") or "")["vcs_info"]["commit_id"]
    except (PackageNotFoundError, ValueError, KeyError, TypeError):
        return ""


class _Reader:
    """Reads variables one by one and collects their mistakes."""

    def __init__(self, environ: Mapping[str, str]):
        self.environ = environ
        self.mistakes: list[str] = []

    def __call__(self, name: str, default: Any, parse: Callable[[str], Any]) -> Any:
        text = self.environ.get(name, "").strip()
        if not text:
            if default is _REQUIRED:
                self.mistakes.append(f"{name} is not set")
            return default
        if not is_unicode(text):
            self.mistakes.append(f"{name} is not text in UTF-8; set it again")
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.mistakes.append(f'{name}="{one_line(TOKEN.sub("***", text), MOST_SHOWN)}": {error}')
            return default


def _experiment_id(text: str) -> str:
    if len(text) > EXP_ID_LENGTH:
        raise ValueError(f"{len(text)} characters; {EXP_ID_LENGTH} at most")
    if not is_exp_id(text):
        raise ValueError(EXP_ID_FORM)
    return text


def _run_id(text: str) -> str:
    if not is_run_id(text):
        raise ValueError(RUN_ID_FORM)
    return text


def _prefix(text: str) -> str:
    parts = text.rstrip("/").split("/")
    if {"", ".", ".."} & set(parts) or "\\" in text:
        raise ValueError("a path inside the bucket, such as flu/2026/, without . or .. or an empty part")
    return "/".join(parts) + "/"


def _pending_file(text: str) -> str:
    if not PENDING_FILE.fullmatch(text):
        raise ValueError("the name of a pending file, such as pending-1a2b3c4d.txt")
    return text


def _bucket(text: str) -> str:
    """Return a bucket's name; gs://name/, as the console shows it, is accepted."""
    name = text.removeprefix("gs://").rstrip("/")
    if not name or "/" in name:
        raise ValueError("the name of a bucket, without a path; the path before the runs is DIR_PREFIX")
    return name


def _repository(text: str) -> str:
    """Return owner/name; the address that a browser shows is accepted, too."""
    name = text.removeprefix(f"{GITHUB}/").rstrip("/").removesuffix(".git")
    if not REPOSITORY.fullmatch(name) or ".." in name:
        raise ValueError("owner/name of a repository, such as my-lab/flu-forecasts")
    return name


def _ref(text: str) -> str:
    if not REF.fullmatch(text) or ".." in text:
        raise ValueError("a branch, a tag or a whole commit")
    return text


def _web_address(text: str) -> str:
    if not re.fullmatch(r"(https://|http://(127\.0\.0\.1|localhost)\b)[^\s@?#]+", text):
        raise ValueError("an address such as https://github.com, without a name or token in it")
    return text.rstrip("/")


def _secret(text: str) -> str:
    if not SECRET.fullmatch(text) or TOKEN.search(text) or re.fullmatch("[0-9a-f]{40}", text):
        raise ValueError("a secret's name, such as github-pat, or projects/P/secrets/NAME; never the token")
    return text


def _folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise ValueError("no such folder")
    return Path(text)


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise ValueError(f"use {listed(choices)}")

    return parse


def _whole(least: int, most: int = MOST) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return parse


def _flag(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in known:
        raise ValueError("use 1 or 0")
    return known[text.lower()]
