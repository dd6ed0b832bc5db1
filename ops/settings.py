"""Settings: the environment, then .env, then defaults. Read once, checked once, passed on.

Every setting is written here and nowhere else; .env.example shows them to people.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal, get_args

from dotenv.parser import parse_stream
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from modeling.bounds import LARGEST_SEED
from modeling.plain_text import is_unicode, one_line
from ops import names
from ops.failures import UserError, did_you_mean
from ops.terminal import nearest

ROOT = Path(__file__).resolve().parents[1]
RENDERED = ROOT / "jobs" / "rendered"  # what printed commands name: kept, so that they can be pasted
MOST_SHOWN = 300  # characters of a value
SECRETS = ("GITHUB_PAT",)  # not settings; masked wherever they turn up


Image = Annotated[str, AfterValidator(names.image_reference)]
Name = Annotated[str, AfterValidator(names.cloud_name)]
MachineType = Annotated[str, AfterValidator(names.machine_type)]
CpuMilli = Annotated[int, Field(ge=250, le=names.MOST)]
MemoryMib = Annotated[int, Field(ge=512, le=names.MOST)]
Seconds = Annotated[int, BeforeValidator(names.without_unit), Field(ge=60, le=names.MOST_SECONDS)]


class Settings(BaseModel, frozen=True, validate_default=True):
    """Every setting by its name in .env, in lower case."""

    @field_validator("local_data_path", "forecast_repo_dir", "epydemix_data_dir", mode="before")
    @classmethod
    def _below_the_repository(cls, path):
        """A relative folder is below the repository, wherever below it invoke is started."""
        return path if path is None else ROOT / _expanded(str(path))

    @field_validator("output_config_file", mode="before")
    @classmethod
    def _path_or_name(cls, text):
        """A path is below the repository, too; a name without / is left to the stages."""
        return str(ROOT / _expanded(text)) if "/" in text else text

    @field_validator("execution_mode", "modeling_suite", "log_level", "provisioning_model", mode="before")
    @classmethod
    def _in_any_case(cls, text, info: ValidationInfo):
        choices = get_args(cls.model_fields[info.field_name].annotation)
        return next((choice for choice in choices if choice.lower() == text.lower()), text)

    execution_mode: Literal["local", "cloud"] = Field(
        "local", description="where runs are started: local, or cloud"
    )
    local_data_path: Path = Field(Path("local"), description="folder of local runs: bucket/ and logs/")
    forecast_repo_dir: Path | None = Field(
        None,
        description="the forecasting repository; without it LOCAL_DATA_PATH/forecast, then examples/forecast",
    )
    dir_prefix: Annotated[str, AfterValidator(names.folder_prefix)] = Field(
        "", description="path in the bucket before <exp-id>/, e.g. flu/"
    )
    epydemix_data_dir: Path | None = Field(
        None, description="population data; without it data/epydemix-data of the repository, then a download"
    )
    modeling_suite: Literal["built-in", "epymodelingsuite"] = Field(
        "built-in", description="built-in, or an installed epymodelingsuite"
    )
    run_count: int | None = Field(
        None, ge=1, le=names.MOST, description="split a model-only ensemble into this many workloads"
    )
    run_seed: int | None = Field(
        None, ge=0, le=LARGEST_SEED, description="overrides the experiment's random_seed"
    )
    run_output_stage: bool = Field(True, description="run stage C after stage B: true or false")
    output_config_file: str = Field(
        "", description="another output YAML for stage C: a path, or a name in the experiment's config/"
    )
    allow_partial_results: bool = Field(False, description="write outputs although results are missing")
    local_jobs: int = Field(0, ge=0, description="tasks of stage B at once; 0 is one a core")
    max_retry_count: int = Field(3, ge=0, le=10, description="tries after a passing fault (exit code 75)")
    project_id: Annotated[str, AfterValidator(names.project_id)] = Field(
        "", description="the Google Cloud project"
    )
    region: Annotated[str, AfterValidator(names.region)] = Field(
        "us-central1", description="where images, jobs and workflows are"
    )
    bucket_name: Annotated[str, AfterValidator(names.bucket_name)] = Field(
        "", description="the bucket of runs, and of what is uploaded for builds"
    )
    repo_name: Name = Field("epymodelingsuite-repo", description="the Artifact Registry repository")
    image_name: Name = Field("epymodelingsuite", description="the image in it")
    image_tag: Name = Field("latest", description="its tag besides the commit")
    registry_host: Image = Field("", description="another registry; without it REGION-docker.pkg.dev")
    build_region: Annotated[str, AfterValidator(names.build_region)] = Field(
        "global", description="where Cloud Build runs: global, or a region"
    )
    build_service_account: Annotated[str, AfterValidator(names.account)] = Field(
        "epymodelingsuite-build", description="as whom: an account of the project, or a whole e-mail"
    )
    with_parquet: bool = Field(False, description="Parquet tables in the images: true or false")
    with_gcloud: bool = Field(False, description="the gcloud CLI in the cloud image: true or false")
    github_url: Annotated[str, AfterValidator(names.web_address)] = Field(
        "https://github.com", description="GitHub, or a GitHub Enterprise server"
    )
    github_pat_secret: Annotated[str, AfterValidator(names.secret_name)] = Field(
        "", description="the secret in Secret Manager with a token for private repositories"
    )
    base_image: Image = Field(
        "python:3.11-slim", description="what the images are built on; a digest pins it"
    )
    docker_builder_image: Image = Field(
        "gcr.io/cloud-builders/docker",
        description="the builder of Cloud Build that runs docker; a digest pins it",
    )
    structure_test_image: Image = Field(
        "ghcr.io/googlecontainertools/container-structure-test:1.22.1",
        description="the builder of Cloud Build that tests the image; a digest pins it",
    )
    github_modeling_suite_repo: Annotated[str, AfterValidator(names.repository_name)] = Field(
        "", description="owner/name of an epymodelingsuite to install in the images"
    )
    github_modeling_suite_ref: Annotated[str, AfterValidator(names.git_ref)] = Field(
        "main", description="its branch, tag or commit"
    )
    workflow_name: Annotated[str, AfterValidator(names.workflow_name)] = Field(
        "epydemix-pipeline", description="the workflow in Cloud Workflows that runs the stages"
    )
    github_forecast_repo: Annotated[str, AfterValidator(names.repository_name)] = Field(
        "", description="owner/name of the forecasting repository; without it the local one is uploaded"
    )
    forecast_repo_ref: Annotated[str, AfterValidator(names.git_ref)] = Field(
        "main", description="its branch, tag or commit"
    )
    stage_a_cpu_milli: CpuMilli = Field(2000, description="stage A (builder): 1000 is one vCPU")
    stage_a_memory_mib: MemoryMib = Field(7168, description="MiB of memory")
    stage_a_machine_type: MachineType = Field("c4d-standard-2", description="empty: Batch chooses")
    stage_a_max_run_duration: Seconds = Field(3600, description="seconds until it is stopped")
    stage_b_cpu_milli: CpuMilli = Field(2000, description="stage B (runner), a task: 1000 is one vCPU")
    stage_b_memory_mib: MemoryMib = Field(4096, description="MiB of memory a task")
    stage_b_machine_type: MachineType = Field("", description="empty: Batch chooses")
    stage_b_max_run_duration: Seconds = Field(36000, description="seconds until a task is stopped")
    stage_c_cpu_milli: CpuMilli = Field(4000, description="stage C (output): 1000 is one vCPU")
    stage_c_memory_mib: MemoryMib = Field(15360, description="MiB of memory")
    stage_c_machine_type: MachineType = Field("c4d-standard-4", description="empty: Batch chooses")
    stage_c_max_run_duration: Seconds = Field(7200, description="seconds until it is stopped")
    task_count_per_node: int = Field(
        1, ge=1, le=names.MOST_PARALLEL, description="tasks of stage B on one machine at once"
    )
    workloads_per_task: int = Field(
        1, ge=1, le=names.MOST, description="inputs that one task of stage B works on, one after the other"
    )
    max_parallelism: int = Field(
        100, ge=1, le=names.MOST_PARALLEL, description="tasks of stage B in the cloud at once"
    )
    provisioning_model: Literal["STANDARD", "SPOT"] = Field(
        "STANDARD",
        description="machines of stage B: STANDARD, or SPOT for cheaper ones that may be taken away",
    )
    batch_service_account: Annotated[str, AfterValidator(names.account)] = Field(
        "epymodelingsuite-batch",
        description="as whom stages B and C run: an account of the project, or an e-mail",
    )
    builder_service_account: Annotated[str, AfterValidator(names.account)] = Field(
        "epymodelingsuite-builder", description="as whom stage A runs, which alone may read the token"
    )
    workflow_service_account: Annotated[str, AfterValidator(names.account)] = Field(
        "epymodelingsuite-workflow", description="as whom the workflow runs"
    )
    network_name: Annotated[str, AfterValidator(names.network_name)] = Field(
        "epymodelingsuite", description="the network of the machines, and its subnet in the region"
    )
    environment: Annotated[str, AfterValidator(names.label_value)] = Field(
        "production", description="the label environment of all that costs money"
    )
    billing_project: str = Field("", description="the label billing_project: whom a run is for")
    billing_account: Annotated[str, AfterValidator(names.billing_account)] = Field(
        "", description="the billing account, for a budget: 012345-6789AB-CDEF01"
    )
    monthly_budget_usd: int = Field(
        0, ge=0, le=10**9, description="whole US dollars a month to warn at; 0 sets no budget"
    )
    alert_email: Annotated[str, AfterValidator(names.email)] = Field(
        "", description="who is told of failed runs, of failed or waiting tasks, and of the budget"
    )
    install_ops_agent: bool = Field(
        False, description="install the Ops Agent on the machines, which measures memory: true or false"
    )
    tf_state_bucket: Annotated[str, AfterValidator(names.bucket_name)] = Field(
        "", description="bucket of Terraform's state; without it BUCKET_NAME"
    )
    tf_state_prefix: Annotated[str, AfterValidator(names.folder_prefix)] = Field(
        "terraform/epymodelingsuite-cloud/", description="path of Terraform's state in its bucket"
    )
    host_uid: int | None = Field(None, ge=0, description="who owns what containers write; without it you")
    host_gid: int | None = Field(None, ge=0, description="the same for the group")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="of the stages")
    storage_verbose: bool = Field(False, description="log every file that is written")


@dataclass(frozen=True)
class Sourced:
    """Settings and where each came from: "environment", a file's name, or "default"."""

    settings: Settings
    sources: dict[str, str]
    unknown: list[str]  # names in the file that are no settings


def read_settings(
    environ: Mapping[str, str] = os.environ, chosen: Mapping[str, str | None] | None = None
) -> Settings:
    """Return the settings.

    Parameters
    ----------
    chosen : Mapping
        Settings that win over every other source, as options of a command do; None and "" choose nothing.

    Raises
    ------
    UserError
        A line of .env that cannot be read, or values that cannot be, all of them in one message.
    """
    found = read_sourced_settings(environ, chosen)
    for name in found.unknown:
        if "did you mean" in (hint := unknown_hint(name)):  # others are for other programs
            print(f"note: {nearest(env_file(environ))}: {hint}", file=sys.stderr)
    return found.settings


def read_sourced_settings(
    environ: Mapping[str, str] = os.environ, chosen: Mapping[str, str | None] | None = None
) -> Sourced:
    """Return the settings with their sources, for `invoke config-show`."""
    options = {name: value for name, value in (chosen or {}).items() if value is not None}
    path = env_file(environ)
    from_file = read_env_file(path) if path.is_file() else {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in Settings.model_fields:
        variable = name.upper()
        for source, mapping in (("command line", options), ("environment", environ), (path.name, from_file)):
            if variable in mapping:  # where it is empty, the default wins over what would come next
                if value := mapping[variable].strip():
                    values[name], sources[name] = value, source
                break
        sources.setdefault(name, "default")
    broken = [name for name, value in values.items() if not is_unicode(value)]
    mistakes = [f"{name.upper()} (from {sources[name]}): not text in UTF-8; set it again" for name in broken]
    try:
        settings = Settings(**{name: value for name, value in values.items() if name not in broken})
    except ValidationError as error:
        mistakes += [_mistake(each, sources) for each in error.errors()]
    if mistakes:
        raise UserError("; ".join(mistakes))
    known = {name.upper() for name in Settings.model_fields}
    return Sourced(settings, sources, [name for name in from_file if name not in known])


def chosen_settings(pairs: Iterable[str], options: Mapping[str, str | None]) -> dict[str, str]:
    """Return the settings that a command line chooses, by name.

    Parameters
    ----------
    pairs : iterable of str
        NAME=VALUE; an empty value means the default.
    options : Mapping
        Settings with an option of their own, and their values; None where the option is not given.

    Raises
    ------
    UserError
        Not NAME=VALUE, no such setting, or one that is given twice.
    """
    chosen = {name: value for name, value in options.items() if value is not None}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip().upper()
        if name.lower() not in Settings.model_fields:
            raise UserError(f"--set: {unknown_hint(one_line(names.shown(name), MOST_SHOWN))}")
        if not equals:
            raise UserError(f"--set {name}: a value is missing; write --set {name}=VALUE")
        if name in chosen:
            raise UserError(f"--set {name}: {name} is given twice; leave one out")
        chosen[name] = value
    return chosen


def need(settings: Settings, *fields: str, instead: str = "") -> None:
    """Refuse to go on without settings that have no default.

    Parameters
    ----------
    instead : str
        What goes without them: who has just made a .env from .env.example may want no cloud yet.

    Raises
    ------
    UserError
        With all that is missing.
    """
    missing = [name.upper() for name in fields if getattr(settings, name) in ("", None)]
    if missing:
        raise UserError(
            f"{' and '.join(missing)}: not set; `invoke config-edit`, or set it in the environment"
            f"{instead and f'; {instead}'}"
        )


def env_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the .env file in use: that of the repository, or the one that ENV_FILE names."""
    if environ.get("ENV_FILE") and not Path(environ["ENV_FILE"]).is_file():
        raise UserError(f"ENV_FILE={environ['ENV_FILE']}: no such file")
    return Path(environ.get("ENV_FILE") or ROOT / ".env")


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a .env file; lines `export X=...` count too."""
    values: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8") as file:
            for binding in parse_stream(file):
                if binding.error or (binding.key is not None and binding.value is None):
                    broken = binding.original
                    raise UserError(
                        f"{nearest(path)}:{broken.line}: {_name_in(broken.string)} is not NAME=value; "
                        "mend or delete the line"
                    )
                if binding.key is not None:
                    values[binding.key] = binding.value
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{nearest(path)}: cannot be read ({error})") from None
    return values


def _name_in(line: str) -> str:
    """Return what of a broken line may be shown: the name of a setting, for all else may be a token."""
    name = re.match(r"\s*(?:export\s+)?(\w*)", line)[1]
    known = {field.upper() for field in Settings.model_fields} | set(SECRETS)
    return f'"{name} ..."' if name in known else "this line"


def _mistake(error: dict, sources: dict[str, str]) -> str:
    name = str(error["loc"][0])
    value = one_line(names.shown(str(error["input"])), MOST_SHOWN)
    return f'{name.upper()}="{value}" (from {sources[name]}): {_allowed(name, error)}'


def _allowed(name: str, error: dict) -> str:
    """Return what a setting takes in plain words; those of pydantic are for programmers."""
    field = Settings.model_fields[name]
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "literal_error":
        *others, last = get_args(field.annotation)
        return f"use {', '.join(others)} or {last}" if others else f"use {last}"
    if field.annotation is bool:
        return "use true or false"
    limits = {type(limit).__name__: limit for limit in field.metadata}
    if "Ge" not in limits:
        return "a text"
    most = f" to {limits['Le'].le}" if "Le" in limits else ""
    return f"a whole number from {limits['Ge'].ge}{most}"


def _expanded(text: str) -> str:
    """Put in ~ and $VARIABLES; a shell does so only where they are not quoted, and never in .env."""
    try:
        expanded = os.path.expanduser(Template(text).substitute(os.environ))
    except KeyError as error:
        raise ValueError(f"${error.args[0]} is not set in the environment") from None
    except ValueError:
        raise ValueError("after $ the name of a variable is needed; $$ stands for $ itself") from None
    if not is_unicode(expanded):
        raise ValueError("a variable in it is not text in UTF-8")
    return expanded


def unknown_hint(name: str) -> str:
    """Return what to say about a name in .env that is no setting."""
    known = [field.upper() for field in Settings.model_fields]
    return f"{name} is not a setting{did_you_mean(name, known)}"
