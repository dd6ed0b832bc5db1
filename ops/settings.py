"""Settings: the environment, then .env, then defaults. Read once, checked once, passed on.

Every setting is written here and nowhere else; .env.example shows them to people.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal, get_args

from dotenv.parser import parse_stream
from pydantic import AfterValidator, BaseModel, Field, ValidationError, ValidationInfo, field_validator

from ops import names
from ops.failures import UserError, did_you_mean
from ops.shown import nearest

ROOT = Path(__file__).resolve().parents[1]
SECRETS = ("GITHUB_PAT",)  # not settings; masked wherever they turn up


Image = Annotated[str, AfterValidator(names.image_reference)]
Name = Annotated[str, AfterValidator(names.cloud_name)]


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

    @field_validator("execution_mode", "modeling_suite", "log_level", mode="before")
    @classmethod
    def _in_any_case(cls, text, info: ValidationInfo):
        choices = get_args(cls.model_fields[info.field_name].annotation)
        return next((choice for choice in choices if choice.lower() == text.lower()), text)

    execution_mode: Literal["local"] = Field("local", description="where runs are started: local")
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
        None, ge=0, le=names.MOST, description="overrides the experiment's random_seed"
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
    github_modeling_suite_repo: Annotated[str, AfterValidator(names.repository_name)] = Field(
        "", description="owner/name of an epymodelingsuite to install in the images"
    )
    github_modeling_suite_ref: Annotated[str, AfterValidator(names.git_ref)] = Field(
        "main", description="its branch, tag or commit"
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


def read_settings(environ: Mapping[str, str] = os.environ, mode: str = "") -> Settings:
    """Return the settings.

    Parameters
    ----------
    mode : str
        An execution mode that wins over every other source, as --local does.

    Raises
    ------
    UserError
        A line of .env that cannot be read, or values that cannot be, all of them in one message.
    """
    chosen = {"EXECUTION_MODE": mode} if mode else {}
    return read_sourced_settings({**environ, **chosen}).settings


def read_sourced_settings(environ: Mapping[str, str] = os.environ) -> Sourced:
    """Return the settings with their sources, for `invoke config-show`."""
    path = env_file(environ)
    from_file = read_env_file(path) if path.is_file() else {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in Settings.model_fields:
        variable = name.upper()
        for source, mapping in (("environment", environ), (path.name, from_file)):
            if mapping.get(variable, "").strip():
                values[name], sources[name] = mapping[variable].strip(), source
                break
        else:
            sources[name] = "default"
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise UserError("; ".join(_mistake(e, sources) for e in error.errors())) from None
    known = {name.upper() for name in Settings.model_fields}
    return Sourced(settings, sources, [name for name in from_file if name not in known])


def need(settings: Settings, *fields: str) -> None:
    """Refuse to go on without settings that have no default.

    Raises
    ------
    UserError
        With all that is missing.
    """
    missing = [name.upper() for name in fields if getattr(settings, name) in ("", None)]
    if missing:
        raise UserError(
            f"{' and '.join(missing)}: not set; `invoke config-edit`, or set it in the environment"
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
    hint = "; this version runs on this machine only" if name == "execution_mode" else ""
    value = names.masked(str(error["input"]))
    return f'{name.upper()}="{value}" (from {sources[name]}): {_allowed(name, error)}{hint}'


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
    most = f" to {limits['Le'].le}" if "Le" in limits else ""
    return f"a whole number from {limits['Ge'].ge}{most}"


def _expanded(text: str) -> str:
    """Put in ~ and $VARIABLES; a shell does so only where they are not quoted, and never in .env."""
    try:
        return os.path.expanduser(Template(text).substitute(os.environ))
    except KeyError as error:
        raise ValueError(f"${error.args[0]} is not set in the environment") from None
    except ValueError:
        raise ValueError("after $ the name of a variable is needed; $$ stands for $ itself") from None


def unknown_hint(name: str) -> str:
    """Return what to say about a name in .env that is no setting."""
    known = [field.upper() for field in Settings.model_fields]
    return f"{name} is not a setting{did_you_mean(name, known)}"
