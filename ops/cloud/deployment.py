"""Values that Terraform deploys: limits and variables of the stages, and the environment of the workflow.

terraform/ computes the same values, and a test compares both. Tasks tf-... are in project/terraform.py.
"""

import json
import re
from dataclasses import asdict

from ops.cloud.machine_types import check_stage_fits, hyperdisk_only_families
from ops.failures import UserError
from ops.names import account_email
from ops.settings import Settings, StageLimits, limit_settings, need
from ops.stages import LETTERS


def stage_limits(settings: Settings) -> dict[str, StageLimits]:
    """Return the limits by stage: builder, runner, output."""
    return {
        stage: StageLimits(
            **{limit: getattr(settings, name) for limit, name in limit_settings(letter).items()}
        )
        for stage, letter in LETTERS.items()
    }


def check_stages_fit(settings: Settings) -> None:
    """Refuse stages whose machine type is unknown or too small, all of them in one message."""
    misfits = []
    for stage, limits in stage_limits(settings).items():
        try:
            check_stage_fits(stage, limits.cpu_milli, limits.memory_mib, limits.machine_type)
        except UserError as error:
            misfits.append(str(error))
    if misfits:
        raise UserError("; ".join(misfits))


def as_label(name: str) -> str:
    """Return a name as the value of a label: lower case, and - for characters that labels do not allow."""
    return re.sub("[^A-Za-z0-9_-]", "-", name).lower()[:63]


def workflow_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of the workflow as Terraform deploys it, without empty values."""
    project, network = settings.project_id, settings.network_name
    labels = {
        "environment": settings.environment,
        "billing_project": as_label(settings.billing_project),
    }
    environment = {
        "BUCKET_NAME": settings.bucket_name,
        "DIR_PREFIX": settings.dir_prefix,
        "IMAGE_URI": f"{repository_path(settings)}:{settings.image_tag}",
        "BATCH_SERVICE_ACCOUNT": account_email(project, settings.batch_service_account),
        "BUILDER_SERVICE_ACCOUNT": account_email(project, settings.builder_service_account),
        "NETWORK": f"projects/{project}/global/networks/{network}",
        "SUBNETWORK": f"projects/{project}/regions/{settings.region}/subnetworks/{network}",
        "STAGES": _json(workflow_stages(settings)),
        "HYPERDISK_FAMILIES": _json(hyperdisk_only_families()),
        "TASK_COUNT_PER_NODE": _text(settings.task_count_per_node),
        "WORKLOADS_PER_TASK": _text(settings.workloads_per_task),
        "MAX_PARALLELISM": _text(settings.max_parallelism),
        "MAX_RETRY_COUNT": _text(settings.max_retry_count),
        "PROVISIONING_MODEL": settings.provisioning_model,
        "LABELS": _json({name: value for name, value in labels.items() if value}),
        "BUILDER_VARIABLES": _json(
            {name: value for name, value in builder_variables(settings).items() if value}
        ),
        "STAGE_VARIABLES": _json({name: value for name, value in stage_variables(settings).items() if value}),
        "RUN_OUTPUT_STAGE": _text(settings.run_output_stage),
        "ALLOW_PARTIAL_RESULTS": _text(settings.allow_partial_results),
    }
    return {name: value for name, value in environment.items() if value}


def workflow_stages(settings: Settings) -> dict[str, dict[str, int | str | bool]]:
    """Return the limits of each stage in the workflow's spelling, e.g. cpuMilli, and installOpsAgent."""
    return {
        name: _as_batch_spells(limits) | {"installOpsAgent": settings.install_ops_agent}
        for name, limits in stage_limits(settings).items()
    }


def stage_variables(settings: Settings) -> dict[str, str]:
    """Return the environment variables of every stage in the cloud, including empty ones."""
    return {
        "GCLOUD_PROJECT_ID": settings.project_id,
        "GITHUB_URL": settings.github_url,
        "MODELING_SUITE": settings.modeling_suite,
        "ENGINE": settings.engine,
        "ALLOW_USER_FUNCTIONS": _text(user_functions_run(settings)),
        "LOG_LEVEL": settings.log_level,
        "STORAGE_VERBOSE": _text(settings.storage_verbose),
    }


def user_functions_run(settings: Settings) -> bool:
    """Return whether functions of an experiment run in the cloud: it is cloned, or they are allowed."""
    return settings.allow_user_functions or bool(settings.github_forecast_repo)


def builder_variables(settings: Settings) -> dict[str, str]:
    """Return the variables of stage A only, which clones the forecasting repository with the token."""
    return {
        "GITHUB_FORECAST_REPO": settings.github_forecast_repo,
        "FORECAST_REPO_REF": settings.forecast_repo_ref,
        "GITHUB_PAT_SECRET": settings.github_pat_secret,
    }


def check_token_is_kept_apart(settings: Settings) -> None:
    """Refuse to run stages B and C as an account that may read the token.

    Raises
    ------
    UserError
        BATCH_SERVICE_ACCOUNT is also the builder's or the builds' account, and GITHUB_PAT_SECRET is set.
    """
    if not settings.github_pat_secret:
        return
    for name in ("builder_service_account", "build_service_account"):
        mine, other = settings.batch_service_account, getattr(settings, name)
        if account_email(settings.project_id, mine) == account_email(settings.project_id, other):
            raise UserError(
                f"BATCH_SERVICE_ACCOUNT={mine} is also {name.upper()}, which may read the token: "
                "stages B and C need an account of their own",
                fix="invoke config-edit",
            )


def _as_batch_spells(limits: StageLimits) -> dict[str, int | str]:
    return {
        re.sub("_(.)", lambda found: found[1].upper(), name): value for name, value in asdict(limits).items()
    }


def _text(value: bool | int) -> str:
    return str(value).lower()


def _json(value) -> str:
    """Return JSON exactly as Terraform's jsonencode() writes it, which escapes <, > and &, for example."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)


def repository_path(settings: Settings) -> str:
    """Return the name of the image without a tag: REGION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE."""
    need(settings, "project_id")
    host = settings.registry_host or f"{settings.region}-docker.pkg.dev"
    return f"{host}/{settings.project_id}/{settings.repo_name}/{settings.image_name}"
