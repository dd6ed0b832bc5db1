"""Every setting: its type, default and meaning, and the comment above it in .env.example.

Those of the GPU lane alone are in gpu_settings.py. `invoke docs` generates .env.example, docs/settings.md,
and settings.tf of terraform/ and of terraform/gpu/. environment.py reads the values; setting_types.py has
the types.

A new setting is one entry below. A new setting of every stage (STAGE_A_..., STAGE_B_..., STAGE_C_...) is one
field of StageLimits; everything that carries settings takes it from there. Only its uses are written by hand:

* terraform/workflow.yaml, where a job is made, as limits.someName for some_name;
* jobs/stage.json.j2, the template of jobs made by hand, as STAGE_{{ letter }}_SOME_NAME;
* a test, and a page of docs/ where there is more to say than the meaning.

Then run `invoke docs`.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationInfo, create_model, field_validator

from modeling.bounds import LARGEST_SEED
from modeling.run_names import DEFAULT_ENGINE
from ops import setting_types as types
from ops.failures import UserError
from ops.gpu_settings import GpuSettings
from ops.names import MOST
from ops.setting_types import deployed, expanded, setting, shared

ROOT = Path(__file__).resolve().parents[1]
RENDERED = ROOT / "jobs" / "rendered"  # kept, so that commands that name its files can be pasted
SECRETS = ("GITHUB_PAT",)  # not settings; masked wherever they appear
EXAMPLE_HEAD = """\
Settings of epymodelingsuite-cloud. Copy this file with `invoke config-init`; every line is optional.
The environment overrides this file, and this file the defaults: the values below, except the first.
An empty value means the default: `GITHUB_FORECAST_REPO= invoke run` overrides this file.
`invoke config-show` prints the values in use and where each comes from.
A relative path is relative to the repository; ~ and $HOME or ${VAR} work.
Do not put a secret here: a GitHub token belongs in Secret Manager or in a file that only you can read."""
IN_EXAMPLE = {"execution_mode": "cloud"}  # values in .env.example that are not the default


@dataclass(frozen=True)
class StageLimits:
    """What one task of a stage may use; each field is a setting of every stage, such as STAGE_A_CPU_MILLI."""

    cpu_milli: types.CpuMilli = field(default=2000, metadata={"meaning": "thousandths of a vCPU"})
    memory_mib: types.MemoryMib = field(default=4096, metadata={"meaning": "MiB of memory"})
    machine_type: types.MachineType = field(
        default="", metadata={"meaning": "machine type (empty: Batch chooses one)"}
    )
    max_run_seconds: types.Seconds = field(
        default=36000, metadata={"meaning": "seconds until it is stopped", "setting": "max_run_duration"}
    )


STAGE_DEFAULTS = {
    "A": StageLimits(memory_mib=7168, machine_type="c4d-standard-2", max_run_seconds=3600),
    "B": StageLimits(),
    "C": StageLimits(cpu_milli=4000, memory_mib=15360, machine_type="c4d-standard-4", max_run_seconds=7200),
}
STAGE_NAMES = {"A": "stage A (builder)", "B": "a task of stage B (runner)", "C": "stage C (output)"}
STAGE_COMMENT = (
    "What a task of each stage may use: {}. A is the builder, B the runner, C the output. "
    "terraform/machine_types.json lists the machine types."
)


def limit_settings(letter: str) -> dict[str, str]:
    """Return the name of the setting of each limit of a stage, by the name of the limit."""
    return {
        limit.name: f"stage_{letter.lower()}_{limit.metadata.get('setting', limit.name)}"
        for limit in fields(StageLimits)
    }


def _stage_fields() -> dict[str, Any]:
    """Return the settings of all stages as pydantic's create_model takes them."""
    comment = STAGE_COMMENT.format(", ".join(each.metadata["meaning"] for each in fields(StageLimits)))
    made = {}
    for letter, defaults in STAGE_DEFAULTS.items():
        names = limit_settings(letter)
        for limit in fields(StageLimits):
            meaning = f"{STAGE_NAMES[letter]}: {limit.metadata['meaning']}"
            above = None if made else comment
            made[names[limit.name]] = (limit.type, setting(getattr(defaults, limit.name), meaning, above))
    return made


class _RunSettings(BaseModel, frozen=True, validate_default=True):
    """Settings of a run, of its files, and of the cloud."""

    execution_mode: Literal["local", "cloud"] = setting(
        "local",
        "where runs are started: local or cloud",
        "Where runs are started: local, or cloud (Google Cloud, after `invoke tf-apply` and `invoke "
        "build`).\n"
        "--local and --cloud override it; without this file it is local.",
    )
    local_data_path: Path = setting(
        Path("local"), "folder of local runs: bucket/ (inputs, results, outputs) and logs/", ""
    )
    forecast_repo_dir: Path | None = setting(
        None,
        "the forecasting repository; default LOCAL_DATA_PATH/forecast, then examples/forecast",
        "The forecasting repository: experiments/<exp-id>/config/*.yaml and data/.\n"
        "Without it LOCAL_DATA_PATH/forecast, then examples/forecast: the first that has the experiment.",
    )
    dir_prefix: types.FolderPrefix = deployed("", "path in the bucket before <exp-id>/, e.g. flu/", "")
    epydemix_data_dir: Path | None = setting(
        None,
        "population data; default data/epydemix-data of the forecasting repository, then a download",
        "Folder in the layout of epydemix-data. Without it data/epydemix-data of the forecasting "
        "repository; data that neither has is downloaded once and kept in ~/.cache.",
    )
    target_data_source: types.DataSource = setting(
        "https://raw.githubusercontent.com/cdcepi/FluSight-forecast-hub/main",
        "where `invoke data-update` gets data: a hub's address, a clone of it, or a file of vintages",
        "",
    )
    modeling_suite: Literal["built-in", "epymodelingsuite"] = deployed(
        "built-in",
        "which suite builds and runs the models: built-in, or an installed epymodelingsuite",
        "",
    )
    engine: Literal["cpu", "epydemix"] = deployed(
        DEFAULT_ENGINE,
        "what simulates the models of the built-in suite: cpu (this project's engine), or epydemix",
        "What simulates the models of the built-in suite: cpu, this project's engine, or epydemix, which is "
        "several hundred times slower. A run keeps the engine it was built with.",
    )
    run_count: int | None = setting(
        None, "split a model-only ensemble into this many workloads; default one", "", ge=1, le=MOST
    )
    run_seed: int | None = setting(
        None,
        "overrides the experiment's random_seed",
        "Seed of every random draw; overrides the experiment's random_seed. Without either, one is drawn and "
        "recorded in the run's manifest.",
        ge=0,
        le=LARGEST_SEED,
    )
    run_output_stage: bool = deployed(
        True, "run stage C (tables, charts, report) after stage B: true or false", ""
    )
    output_config_file: str = setting(
        "",
        "another output YAML for stage C: a path (with a /), or the name of a file in the experiment's "
        "config/",
        "",
    )
    allow_partial_results: bool = deployed(
        False,
        "write outputs even if results are missing: true or false",
        "Write outputs even if results are missing, which the report lists: true or false.",
    )
    local_jobs: int = setting(
        0, "tasks of stage B on this machine at the same time; 0: one per core", "", ge=0
    )
    allow_user_functions: bool = deployed(
        False,
        "run functions of an experiment that is only uploaded to the cloud: true or false",
        "Run Python functions of an experiment (docs/user-functions.md) in the cloud although it is only "
        "uploaded, without GITHUB_FORECAST_REPO: true or false. Elsewhere they always run.",
    )
    max_retry_count: int = deployed(
        3,
        "retries of a task after a temporary fault (exit code 75)",
        "How often a task is retried after a temporary fault (exit code 75); 0 to 10.",
        ge=0,
        le=10,
    )
    project_id: types.ProjectId = shared(
        "",
        "the Google Cloud project",
        "Google Cloud: the project's id, the region of images and jobs, and an existing bucket.",
        required=True,
    )
    region: types.Region = shared("us-central1", "region of images, machines and the workflow")
    bucket_name: types.BucketName = deployed(
        "",
        "the bucket of runs and of the sources of builds; Terraform reads it and never creates or deletes it",
        required=True,
    )
    repo_name: types.CloudName = deployed(
        "epymodelingsuite-repo",
        "repository in Artifact Registry",
        "The cloud image: REGION-docker.pkg.dev/PROJECT_ID/REPO_NAME/IMAGE_NAME, tagged with the commit and "
        "IMAGE_TAG. REGISTRY_HOST names another registry.",
    )
    image_name: types.CloudName = deployed("epymodelingsuite", "name of the image")
    image_tag: types.CloudName = shared(
        "latest", "tag of the image, in addition to the commit; an image with it is never cleaned up"
    )
    registry_host: types.Image = shared("", "host of another registry; default REGION-docker.pkg.dev")
    build_region: types.BuildRegion = setting(
        "global",
        "where Cloud Build runs: global, or a region",
        "Where Cloud Build runs (global, or a region), and its account: a service account of the project, "
        "or a whole e-mail address.",
    )
    build_service_account: types.Account = deployed("epymodelingsuite-build", "account of Cloud Build")
    github_url: types.WebAddress = deployed(
        "https://github.com",
        "GitHub, or a GitHub Enterprise server",
        "GitHub, or a GitHub Enterprise server; and the name of the secret in Secret Manager that holds a "
        "token for private repositories, e.g. github-pat. Without it no build and no stage gets a token.",
    )
    github_pat_secret: types.SecretName = deployed(
        "", "the secret in Secret Manager with a token for private repositories"
    )
    with_parquet: bool = setting(
        False,
        "Parquet tables in the images: true or false",
        "In the images: Parquet tables; in the cloud image: the gcloud CLI, for people. true or false.",
    )
    with_gcloud: bool = setting(False, "the gcloud CLI in the cloud image: true or false")
    workflow_name: types.WorkflowName = deployed(
        "epydemix-pipeline",
        "the workflow in Cloud Workflows that runs the stages",
        "The run in the cloud: its workflow, and the forecasting repository on GitHub (owner/name, and its "
        "branch, tag or commit). Without a repository `invoke run` uploads the local one.",
    )
    github_forecast_repo: types.RepositoryName = deployed(
        "",
        "owner/name of the forecasting repository on GitHub; empty: each run uploads the local one",
    )
    forecast_repo_ref: types.GitRef = deployed("main", "branch, tag or commit of GITHUB_FORECAST_REPO")


_StageSettings = create_model("_StageSettings", __base__=_RunSettings, **_stage_fields())


class _BatchSettings(_StageSettings):
    """Settings of the Batch lane, of Terraform's state, of images and of logs."""

    task_count_per_node: types.Parallel = deployed(
        1,
        "tasks of stage B on one machine at the same time",
        "Stage B in the cloud: tasks on one machine, inputs per task, tasks at the same time, and STANDARD "
        "machines or SPOT ones, which are cheaper and may be taken away (a task is then retried).",
    )
    workloads_per_task: types.Count = deployed(1, "inputs that one task of stage B runs, one after the other")
    max_parallelism: types.Parallel = deployed(100, "tasks of stage B in the cloud at the same time")
    provisioning_model: Literal["STANDARD", "SPOT"] = deployed(
        "STANDARD",
        "machines of stage B: STANDARD, or SPOT for cheaper ones that may be taken away",
    )
    batch_service_account: types.Account = deployed(
        "epymodelingsuite-batch",
        "account of stages B and C: a service account of the project, or a whole e-mail address",
        "Accounts of stages B and C, of stage A (the only stage that may read the token), and of the "
        "workflow: service accounts of the project, or whole e-mail addresses. And the network of the "
        "machines, with a subnet of that name in the region. `invoke tf-apply` creates them.",
    )
    builder_service_account: types.Account = deployed(
        "epymodelingsuite-builder",
        "account of stage A, the only stage that may read the token",
    )
    workflow_service_account: types.Account = deployed("epymodelingsuite-workflow", "account of the workflow")
    network_name: types.NetworkName = deployed(
        "epymodelingsuite", "network of the machines, and its subnet in the region"
    )
    environment: types.LabelValue = shared(
        "production",
        "value of the label environment on everything that costs money",
        "Labels of everything that costs money, to group costs in the billing report; BILLING_PROJECT is "
        "who a run is for.",
    )
    billing_project: str = deployed("", "who a run is for: value of the label billing_project")
    billing_account: types.BillingAccount = shared(
        "",
        "the billing account of a budget, e.g. 012345-6789AB-CDEF01; it bills in US dollars",
        "Optional: a monthly budget in US dollars on a billing account, with warnings at 50, 80 and 100 %, "
        "and the address for mail about it, about failed runs, and about tasks that fail or wait.",
    )
    monthly_budget_usd: int = shared(0, "whole US dollars a month to warn at; 0: no budget", ge=0, le=10**9)
    alert_email: types.Email = shared(
        "",
        "address for mail about failed runs, failed or waiting tasks, and the budget; empty: no mail",
    )
    install_ops_agent: bool = deployed(
        False,
        "install the Ops Agent on the machines, which measures memory: true or false",
        "Install the Ops Agent on the machines, which measures their memory for the dashboards. It takes a "
        "minute or two to install and is billed by what it measures (docs/monitoring.md). true or "
        "false.",
    )
    tf_state_bucket: types.BucketName = setting(
        "",
        "bucket of Terraform's state; empty: BUCKET_NAME",
        "Where Terraform keeps its state: a bucket (without one, BUCKET_NAME) and a path in it.",
        terraform="state_bucket",
    )
    tf_state_prefix: types.StatePrefix = setting(
        "terraform/epymodelingsuite-cloud/",
        "path of Terraform's state in its bucket",
        terraform="state_prefix",
    )
    base_image: types.Image = setting(
        "python:3.11-slim",
        "image that the images are built on; a digest pins it",
        "Image that those of the stages are built on. A digest (python:3.11-slim@sha256:...) pins it.",
    )
    docker_builder_image: types.Image = setting(
        "gcr.io/cloud-builders/docker",
        "builder of Cloud Build that runs docker; a digest pins it",
        "What `invoke build` runs in Cloud Build: docker, and the test of the image. A digest "
        "(NAME@sha256:...) pins each.",
    )
    structure_test_image: types.Image = setting(
        "ghcr.io/googlecontainertools/container-structure-test:1.22.1",
        "builder of Cloud Build that tests the image; a digest pins it",
    )
    github_modeling_suite_repo: types.RepositoryName = deployed(
        "",
        "owner/name of an epymodelingsuite to install in the images",
        "An epymodelingsuite to install in the images: owner/name, and its branch, tag or commit. The token "
        "for a private one is read from GITHUB_PAT in the environment while `invoke build-dev` runs, and "
        "kept nowhere.",
    )
    github_modeling_suite_ref: types.GitRef = setting(
        "main", "branch, tag or commit of GITHUB_MODELING_SUITE_REPO"
    )
    host_uid: int | None = setting(
        None,
        "user id of the owner of files that containers write; default yours",
        "Owner of the files that containers write; `invoke config-init` fills these in.",
        ge=0,
    )
    host_gid: int | None = setting(None, "group id of the files that containers write; default yours", ge=0)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = deployed(
        "INFO", "level of the stages' logs: DEBUG, INFO, WARNING or ERROR", ""
    )
    storage_verbose: bool = deployed(False, "log every file that is written: true or false", "")


class Settings(GpuSettings, _BatchSettings):
    """Every setting by its name in .env, in lower case, in the order of .env.example."""

    @field_validator(
        "local_data_path", "forecast_repo_dir", "epydemix_data_dir", "target_data_source", mode="before"
    )
    @classmethod
    def _below_the_repository(cls, path, info: ValidationInfo):
        """A relative folder is relative to the repository, not to the working directory."""
        is_address = info.field_name == "target_data_source" and "://" in path
        return path if path is None or is_address else str(ROOT / expanded(str(path)))

    @field_validator("output_config_file", mode="before")
    @classmethod
    def _path_or_name(cls, text):
        """A relative path is relative to the repository, too; a name without / is left to the stages."""
        return str(ROOT / expanded(text)) if "/" in text else text

    @field_validator(
        "execution_mode",
        "modeling_suite",
        "engine",
        "log_level",
        "provisioning_model",
        "gpu_type",
        "gpu_ingress",
        mode="before",
    )
    @classmethod
    def _in_any_case(cls, text, info: ValidationInfo):
        choices = get_args(cls.model_fields[info.field_name].annotation)
        return next((choice for choice in choices if choice.lower() == text.lower()), text)


def need(settings: Settings, *fields: str, instead: str = "") -> None:
    """Refuse settings that have no default and are not set.

    Parameters
    ----------
    instead : str
        What works without them: an operator who has just created .env may not want the cloud yet.

    Raises
    ------
    UserError
        Lists all that are missing.
    """
    missing = [name.upper() for name in fields if getattr(settings, name) in ("", None)]
    if missing:
        raise UserError(
            f"{' and '.join(missing)}: not set; `invoke config-edit`, or set it in the environment"
            f"{instead and f'; {instead}'}"
        )


def as_written(value: object) -> str:
    """Return a value as it is written in .env."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
