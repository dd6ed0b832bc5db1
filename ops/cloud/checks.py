"""Is what a run in the cloud needs there? One question each, asked of gcloud; each says what mends it.

Nothing here changes anything. In a dry run the commands are printed, and the answers are taken for good.
"""

from collections.abc import Iterable
from typing import Any

from ops.cloud.deployment import repository_path
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal, read_json
from ops.names import account_email
from ops.settings import Settings, need
from ops.shell import Shell

CHECK_SECONDS = 60  # longer than gcloud repeats a failed request
APIS = (
    "artifactregistry",
    "batch",
    "cloudbuild",
    "cloudresourcemanager",
    "compute",
    "iam",
    "logging",
    "monitoring",
    "secretmanager",
    "storage",
    "workflowexecutions",
    "workflows",
)
UNLIMITED = 1e9  # CPUs, where Cloud Quotas says -1
APPLY = "invoke tf-apply"


def check_account(shell: Shell) -> str:
    """Return as whom gcloud asks. Whether that is still good, the first question to the cloud tells."""
    config = _ask(shell, "config", "list") or {}
    core, auth = config.get("core", {}), config.get("auth", {})
    if auth.get("impersonate_service_account"):
        return auth["impersonate_service_account"]
    if auth.get("access_token_file") or auth.get("credential_file_override"):
        return "credentials of a file"
    if not core.get("account") and not shell.dry_run:
        raise UserError("gcloud is not logged in", mend="gcloud auth login")
    return core.get("account", "")


def check_project(shell: Shell, settings: Settings) -> dict[str, Any]:
    """Return the project; refuse one that is not there, not ours, or being deleted."""
    need(settings, "project_id")
    project = settings.project_id
    wrong = f"PROJECT_ID={project}: there is no such project, or you have no right to it"
    try:
        found = _ask(shell, "projects", "describe", project) or {}
    except GcloudError as error:
        if error.refusal not in (Refusal.PROJECT, Refusal.DENIED, Refusal.MISSING):
            raise
        raise UserError(wrong, mend="gcloud projects list") from None
    if found.get("lifecycleState", "ACTIVE") != "ACTIVE":
        raise UserError(
            f"PROJECT_ID={project}: it is being deleted", mend=f"gcloud projects undelete {project}"
        )
    return found


def check_apis(shell: Shell, settings: Settings) -> int:
    """Return how many APIs are enabled, of those that are needed; refuse where one is not."""
    need(settings, "project_id")
    listed = _ask(shell, "services", "list", "--enabled", "--project", settings.project_id)
    enabled = {service["config"]["name"].removesuffix(".googleapis.com") for service in listed or []}
    needed = [*APIS, *(["billingbudgets"] if settings.monthly_budget_usd else [])]
    missing = [f"{name}.googleapis.com" for name in needed if name not in enabled]
    if missing and not shell.dry_run:
        names = ", ".join(name.removesuffix(".googleapis.com") for name in missing)
        mend = f"gcloud services enable {' '.join(missing)} --project {settings.project_id}"
        raise UserError(f"not enabled in {settings.project_id}: {names}", mend=mend)
    return len(needed)


def check_bucket(shell: Shell, settings: Settings) -> dict[str, Any]:
    """Return the bucket of runs; refuse one that is not there: gcloud would make one of that name."""
    need(settings, "project_id", "bucket_name")
    bucket, project = f"gs://{settings.bucket_name}", settings.project_id
    create = f"gcloud storage buckets create {bucket} --project {project} --location {settings.region}"
    missing = (
        f"BUCKET_NAME={settings.bucket_name}: there is no such bucket; check the setting, or",
        f"{create} --uniform-bucket-level-access --public-access-prevention",
    )
    try:
        return _describe(shell, ["storage", "buckets", "describe", bucket, "--project", project], missing)
    except GcloudError as error:
        if error.refusal is not Refusal.DENIED:
            raise
        wrong = f"BUCKET_NAME={settings.bucket_name}: it is another project's, or you have no right to it"
        raise UserError(wrong, mend=f"gcloud storage buckets list --project {project}") from None


def check_workflow_deployed(shell: Shell, settings: Settings) -> dict[str, Any]:
    """Return the workflow as it is deployed, with its source; refuse one that is not or cannot run."""
    need(settings, "project_id")
    name, place = settings.workflow_name, f"{settings.region} of {settings.project_id}"
    words = ["workflows", "describe", name, "--location", settings.region, "--project", settings.project_id]
    found = _describe(shell, words, (f"the workflow {name} is not deployed in {place}", APPLY))
    if found.get("state", "ACTIVE") != "ACTIVE":
        why = found.get("stateError", {}).get("details", found["state"])
        raise UserError(f"the workflow {name} cannot run ({why})", mend=APPLY)
    return found


def check_workflow_takes(shell: Shell, settings: Settings, argument: str) -> None:
    """Refuse a deployed workflow that does not take an argument: it would refuse every run."""
    found = check_workflow_deployed(shell, settings)
    if argument not in found.get("sourceContents", argument):
        name = settings.workflow_name
        raise UserError(
            f"the workflow {name} is older than this checkout: it takes no {argument}", mend=APPLY
        )


def resolve_image(shell: Shell, settings: Settings, tag: str = "") -> str:
    """Return the image with the digest that a tag (IMAGE_TAG without one) stands for at this moment.

    That of a registry which is not Google's is returned with its tag: gcloud does not know it.
    """
    tag, path = tag or settings.image_tag, repository_path(settings)
    if settings.registry_host and not settings.registry_host.endswith("docker.pkg.dev"):
        return f"{path}:{tag}"
    missing = f"there is no image {path}:{tag}", "invoke build"
    try:
        listed = _ask(shell, "artifacts", "docker", "tags", "list", path)
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        if "Listing items" not in error.said:  # said once the repository is found
            place = f"{settings.region} of {settings.project_id}"
            raise UserError(f"there is no repository {settings.repo_name} in {place}", mend=APPLY) from None
        listed = []
    if shell.dry_run:
        return f"{path}:{tag}"
    for each in listed or []:
        if each["tag"].rpartition("/")[2] == tag:
            return f"{path}@{each['version'].rpartition('/')[2]}"
    raise UserError(missing[0], mend=missing[1])


def check_image(shell: Shell, image: str) -> str:
    """Return an image that is named by its digest; refuse one that is gone.

    One of a registry that is not Google's is returned as it is: gcloud does not know it.
    """
    if "docker.pkg.dev/" not in image or "@" not in image:
        return image
    missing = f"the image {image} is no longer there", "invoke build"
    _describe(shell, ["artifacts", "docker", "images", "describe", image], missing)
    return image


def check_secret(shell: Shell, settings: Settings) -> str:
    """Return the version of the secret that a stage would read; its value is not asked for."""
    return secret_version(shell, settings).get("name", "").rpartition("/")[2]


def secret_version(shell: Shell, settings: Settings) -> dict[str, Any]:
    """Return what is known of the newest version but its value; refuse where it cannot be read."""
    need(settings, "project_id", "github_pat_secret")
    name, project = settings.github_pat_secret, settings.project_id
    missing = f"GITHUB_PAT_SECRET={name}: there is no such secret, or it has no version", "invoke secret-set"
    words = ["secrets", "versions", "describe", "latest", "--secret", name, "--project", project]
    found = _describe(shell, words, missing)
    if found.get("state", "ENABLED") != "ENABLED":
        newest = f"its newest version {found['name'].rpartition('/')[2]}"
        wrong = f"GITHUB_PAT_SECRET={name}: {newest} is {found['state'].lower()}"
        raise UserError(wrong, mend="invoke secret-set")
    return found


def check_accounts(shell: Shell, settings: Settings, accounts: Iterable[str]) -> list[str]:
    """Return the e-mails of service accounts; refuse where one of this project is not there, or disabled."""
    need(settings, "project_id")
    project = settings.project_id
    emails = [account_email(project, account) for account in accounts]
    listed = _ask(shell, "iam", "service-accounts", "list", "--project", project)
    usable = {each["email"] for each in listed or [] if not each.get("disabled")}
    ours = [email for email in emails if email.endswith(f"@{project}.iam.gserviceaccount.com")]
    absent = [email for email in ours if email not in usable]
    if absent and not shell.dry_run:
        names = ", ".join(email.partition("@")[0] for email in absent)
        raise UserError(f"not there, or disabled: {names}", mend=APPLY)
    return emails


def check_subnet(shell: Shell, settings: Settings) -> dict[str, Any]:
    """Return the subnet of the machines in the region."""
    need(settings, "project_id")
    name, project, region = settings.network_name, settings.project_id, settings.region
    words = ["compute", "networks", "subnets", "describe", name, "--region", region, "--project", project]
    return _describe(shell, words, (f"there is no subnet {name} in {region}", APPLY))


def region_quotas(shell: Shell, settings: Settings) -> dict[str, float]:
    """Return what is left of each quota of Compute Engine in the region, by its name."""
    need(settings, "project_id")
    where = ["regions", "describe", settings.region, "--project", settings.project_id]
    return _left(_ask(shell, "compute", *where))


def project_quotas(shell: Shell, settings: Settings) -> dict[str, float]:
    """Return what is left of each quota of Compute Engine that counts all regions."""
    need(settings, "project_id")
    return _left(_ask(shell, "compute", "project-info", "describe", "--project", settings.project_id))


def family_cpus(shell: Shell, settings: Settings) -> dict[str, float]:
    """Return the limit of CPUs in the region, by family that shares the quota CPUS_PER_VM_FAMILY."""
    need(settings, "project_id")
    quota, where = "CPUS-PER-VM-FAMILY-per-project-region", ["--project", settings.project_id]
    words = ["beta", "quotas", "info", "describe", quota, "--service", "compute.googleapis.com", *where]
    found = _ask(shell, *words) or {}
    allowed = {}
    for each in found.get("dimensionsInfos", []):
        dimensions = each.get("dimensions", {})
        places = [dimensions["region"]] if "region" in dimensions else each.get("applicableLocations", [])
        value = float(each.get("details", {}).get("value", -1))
        if settings.region in places and "vm_family" in dimensions:
            allowed[dimensions["vm_family"].lower()] = value if value >= 0 else UNLIMITED
    return allowed


def check_machine_types(shell: Shell, settings: Settings, machine_types: Iterable[str]) -> list[str]:
    """Return these machine types, sorted; refuse one that no zone of the region has."""
    need(settings, "project_id")
    named = sorted(set(filter(None, machine_types)))
    zones = _zones(shell, settings) if named else []
    absent = [each for each in named if not any(_has_type(shell, settings, zone, each) for zone in zones)]
    if absent and not shell.dry_run:
        families = ", ".join(sorted({each.partition("-")[0] for each in absent}))
        raise UserError(
            f"{settings.region} has no {', '.join(absent)}; set STAGE_X_MACHINE_TYPE to others "
            f"(empty: Batch chooses), or a REGION that has machines of {families}",
            mend=f"gcloud compute machine-types list --zones {','.join(zones)}",
        )
    return named


def _zones(shell: Shell, settings: Settings) -> list[str]:
    words = ["compute", "regions", "describe", settings.region, "--project", settings.project_id]
    found = _ask(shell, *words) or {}
    return [zone.rpartition("/")[2] for zone in found.get("zones", [])] or [f"{settings.region}-a"]


def _has_type(shell: Shell, settings: Settings, zone: str, machine_type: str) -> bool:
    words = ["compute", "machine-types", "describe", machine_type, "--zone", zone]
    try:
        _ask(shell, *words, "--project", settings.project_id)
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        return False
    return True


def _left(described: dict[str, Any] | None) -> dict[str, float]:
    quotas = (described or {}).get("quotas", [])  # a metric unknown to this gcloud has no name
    return {quota["metric"]: quota["limit"] - quota.get("usage", 0) for quota in quotas if "metric" in quota}


def _describe(shell: Shell, words: list[str], missing: tuple[str, str]) -> dict[str, Any]:
    """Return what gcloud describes; `missing` is what is wrong and what mends it where it is not there."""
    try:
        return _ask(shell, *words) or {}
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        raise UserError(missing[0], mend=missing[1]) from None


def _ask(shell: Shell, *words: str) -> Any:
    return read_json(shell, words, timeout_seconds=CHECK_SECONDS, echo=False)
