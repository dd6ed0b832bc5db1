"""Checks that everything a run in the cloud needs exists; each names the fix if it does not.

The checks change nothing. In a dry run they print their gcloud commands and refuse nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modeling.refusals import MAY_NOT_COUNT_YET
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import repository_path
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal, read_json
from ops.names import account_email
from ops.settings import need
from ops.shell import Shell

CHECK_SECONDS = 60  # longer than gcloud retries a failed request
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
NO_VALUE = "no value: 0, or not known"  # JSON of Google's APIs may leave out a number that is 0
APPLY = "invoke tf-apply"
READS_BUCKETS = "storage.buckets.get"  # the permission


def check_account(shell: Shell) -> str:
    """Return the account of gcloud; an expired login is only noticed by the first request to the cloud."""
    config = gcloud_config(shell)
    return account_in(config) if config else ""


def gcloud_config(shell: Shell) -> dict[str, Any]:
    """Return the properties of gcloud that are set, by section; empty in a dry run."""
    return _ask(shell, "config", "list") or {}


def account_in(config: Mapping[str, Any]) -> str:
    """Return the account of gcloud, by its properties.

    Raises
    ------
    UserError
        gcloud is not logged in.
    """
    core, auth = config.get("core", {}), config.get("auth", {})
    if auth.get("impersonate_service_account"):
        return auth["impersonate_service_account"]
    if auth.get("access_token_file") or auth.get("credential_file_override"):
        return "credentials from a file"
    if not core.get("account"):
        raise UserError("gcloud is not logged in", fix="gcloud auth login")
    return core["account"]


def check_project(cloud: Cloud) -> dict[str, Any]:
    """Return the project; refuse one that does not exist, is not accessible, or is being deleted."""
    project = cloud.project
    wrong = f"PROJECT_ID={project}: no such project, or you have no access to it"
    try:
        found = _ask(cloud.shell, "projects", "describe", project) or {}
    except GcloudError as error:
        if error.refusal not in (Refusal.PROJECT, Refusal.DENIED, Refusal.MISSING):
            raise
        if error.refusal is Refusal.DENIED:
            wrong += f"; {MAY_NOT_COUNT_YET}"
        raise UserError(wrong, fix="gcloud projects list") from None
    if found.get("lifecycleState", "ACTIVE") != "ACTIVE":
        raise UserError(
            f"PROJECT_ID={project}: it is being deleted", fix=f"gcloud projects undelete {project}"
        )
    return found


def check_apis(cloud: Cloud, apis: Sequence[str] = APIS) -> int:
    """Return the number of APIs that are needed, by default by a run; refuse if any is not enabled."""
    listed = _ask(cloud.shell, "services", "list", "--enabled", *cloud.in_project)
    needed = [*apis, *(["billingbudgets"] if cloud.settings.monthly_budget_usd else [])]
    if listed is None:
        return len(needed)
    enabled = {service["config"]["name"].removesuffix(".googleapis.com") for service in listed}
    missing = [f"{name}.googleapis.com" for name in needed if name not in enabled]
    if missing:
        names = ", ".join(name.removesuffix(".googleapis.com") for name in missing)
        fix = f"gcloud services enable {' '.join(missing)} --project {cloud.project}"
        raise UserError(f"not enabled in {cloud.project}: {names}", fix=fix)
    return len(needed)


def check_bucket(cloud: Cloud) -> dict[str, Any]:
    """Return the bucket of the runs; refuse one that does not exist, because gcloud would create it.

    Raises
    ------
    GcloudError
        Its description may not be read, though its objects may be listed.
    UserError
        It does not exist; or the person has no access to it, as to one of another project.
    """
    bucket, project = f"gs://{cloud.bucket}", cloud.project
    create = f"gcloud storage buckets create {bucket} --project {project} --location {cloud.region}"
    missing = (
        f"BUCKET_NAME={cloud.bucket}: no such bucket; check the setting, or create it",
        f"{create} --uniform-bucket-level-access --public-access-prevention",
    )
    try:
        return _describe(
            cloud.shell, ["storage", "buckets", "describe", bucket, "--project", project], missing
        )
    except GcloudError as error:
        if error.refusal is not Refusal.DENIED:
            raise
        wrong = f"BUCKET_NAME={cloud.bucket}: it belongs to another project, or you have no access to it"
        if READS_BUCKETS in error.said and _may_list(cloud):
            wrong += f": reading its description needs {READS_BUCKETS}, reading its objects does not"
            raise GcloudError(f"{wrong}; {MAY_NOT_COUNT_YET}", error.refusal, error.said) from None
        wrong += f"; {MAY_NOT_COUNT_YET}"
        raise UserError(wrong, fix=f"gcloud storage buckets list --project {project}") from None


def _may_list(cloud: Cloud) -> bool:
    """Return whether the objects of the bucket may be listed; asked if its description may not be read."""
    words = ["storage", "objects", "list", f"gs://{cloud.bucket}/**", "--limit", "1", *cloud.in_project]
    try:
        cloud.read_json(words, echo=False)
    except GcloudError as error:
        return error.refusal is not Refusal.DENIED
    return True


def check_workflow_deployed(cloud: Cloud) -> dict[str, Any]:
    """Return the deployed workflow with its source; refuse one that is not deployed or cannot run."""
    name, place = cloud.settings.workflow_name, f"{cloud.region} of {cloud.project}"
    words = ["workflows", "describe", name, *cloud.in_region]
    found = _describe(cloud.shell, words, (f"the workflow {name} is not deployed in {place}", APPLY))
    if found.get("state", "ACTIVE") != "ACTIVE":
        why = found.get("stateError", {}).get("details", found["state"])
        raise UserError(f"the workflow {name} cannot run ({why})", fix=APPLY)
    return found


def check_workflow_takes(cloud: Cloud, argument: str) -> None:
    """Refuse a deployed workflow that does not accept an argument: it would refuse every run."""
    found = check_workflow_deployed(cloud)
    if argument not in found.get("sourceContents", argument):
        name = cloud.settings.workflow_name
        raise UserError(
            f"the workflow {name} is older than this checkout: it does not accept {argument}", fix=APPLY
        )


def resolve_image(cloud: Cloud, tag: str = "") -> str:
    """Return the image with the current digest of a tag, or of IMAGE_TAG.

    An image in a registry other than Google's is returned with its tag: gcloud does not know it.
    """
    tag, path = tag or cloud.settings.image_tag, repository_path(cloud.settings)
    if cloud.settings.registry_host and not cloud.settings.registry_host.endswith("docker.pkg.dev"):
        return f"{path}:{tag}"
    missing = f"image {path}:{tag} not found", "invoke build"
    try:
        listed = _ask(cloud.shell, "artifacts", "docker", "tags", "list", path)
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        if "Listing items" not in error.said:  # gcloud says so once it has found the repository
            place = f"{cloud.region} of {cloud.project}"
            raise UserError(
                f"repository {cloud.settings.repo_name} not found in {place}", fix=APPLY
            ) from None
        listed = []
    if listed is None:
        return f"{path}:{tag}"
    for each in listed:
        if each["tag"].rpartition("/")[2] == tag:
            return f"{path}@{each['version'].rpartition('/')[2]}"
    raise UserError(missing[0], fix=missing[1])


def check_image(shell: Shell, image: str) -> str:
    """Return an image that is named by its digest; refuse one that was deleted.

    An image in a registry other than Google's is not checked: gcloud does not know it.
    """
    if "docker.pkg.dev/" not in image or "@" not in image:
        return image
    missing = f"image {image} not found; it may have been deleted", "invoke build"
    _describe(shell, ["artifacts", "docker", "images", "describe", image], missing)
    return image


def check_secret(cloud: Cloud) -> str:
    """Return the version of the secret that a stage would read; its value is not read."""
    return secret_version(cloud).get("name", "").rpartition("/")[2]


def secret_version(cloud: Cloud) -> dict[str, Any]:
    """Return the newest version of the secret without its value; refuse if it cannot be read."""
    need(cloud.settings, "github_pat_secret")
    name, project = cloud.settings.github_pat_secret, cloud.project
    missing = f"GITHUB_PAT_SECRET={name}: no such secret, or it has no version", "invoke secret-set"
    words = ["secrets", "versions", "describe", "latest", "--secret", name, "--project", project]
    found = _describe(cloud.shell, words, missing)
    if found.get("state", "ENABLED") != "ENABLED":
        newest = f"its newest version {found['name'].rpartition('/')[2]}"
        wrong = f"GITHUB_PAT_SECRET={name}: {newest} is {found['state'].lower()}"
        raise UserError(wrong, fix="invoke secret-set")
    return found


def check_accounts(cloud: Cloud, accounts: Iterable[str]) -> list[str]:
    """Return the e-mails of service accounts; refuse one of this project that is missing or disabled."""
    project = cloud.project
    emails = [account_email(project, account) for account in accounts]
    listed = _ask(cloud.shell, "iam", "service-accounts", "list", "--project", project)
    if listed is None:
        return emails
    usable = {each["email"] for each in listed if not each.get("disabled")}
    ours = [email for email in emails if email.endswith(f"@{project}.iam.gserviceaccount.com")]
    absent = [email for email in ours if email not in usable]
    if absent:
        names = ", ".join(email.partition("@")[0] for email in absent)
        raise UserError(f"not found or disabled: {names}", fix=APPLY)
    return emails


def check_subnet(cloud: Cloud) -> dict[str, Any]:
    """Return the subnet of the machines in the region."""
    name, project, region = cloud.settings.network_name, cloud.project, cloud.region
    words = ["compute", "networks", "subnets", "describe", name, "--region", region, "--project", project]
    return _describe(cloud.shell, words, (f"subnet {name} not found in {region}", APPLY))


def region_quotas(cloud: Cloud) -> dict[str, float]:
    """Return the unused amount of each quota of Compute Engine in the region, by name."""
    where = ["regions", "describe", cloud.region, *cloud.in_project]
    return _left(_ask(cloud.shell, "compute", *where))


def project_quotas(cloud: Cloud) -> dict[str, float]:
    """Return the unused amount of each quota of Compute Engine that covers all regions."""
    return _left(_ask(cloud.shell, "compute", "project-info", "describe", *cloud.in_project))


def family_cpus(cloud: Cloud) -> dict[str, float]:
    """Return the limit of CPUs in the region for each family that the quota CPUS_PER_VM_FAMILY covers.

    A family whose limit is not said is left out.
    """
    return {family: cpus for family, cpus in family_limits(cloud).items() if cpus is not None}


def family_limits(cloud: Cloud) -> dict[str, float | None]:
    """Return what Cloud Quotas says of each family in the region; None where it says no number.

    The most specific limits come first, and count:
    https://cloud.google.com/docs/quotas/reference/rest/v1/projects.locations.services.quotaInfos
    """
    quota, where = "CPUS-PER-VM-FAMILY-per-project-region", [*cloud.in_project]
    words = ["beta", "quotas", "info", "describe", quota, "--service", "compute.googleapis.com", *where]
    found = _ask(cloud.shell, *words) or {}
    allowed: dict[str, float | None] = {}
    for each in found.get("dimensionsInfos", []):
        dimensions = each.get("dimensions", {})
        places = [dimensions["region"]] if "region" in dimensions else each.get("applicableLocations", [])
        if cloud.region in places and "vm_family" in dimensions:
            value = each.get("details", {}).get("value")
            cpus = None if value is None else float(value) if float(value) >= 0 else UNLIMITED
            allowed.setdefault(dimensions["vm_family"].lower(), cpus)
    return allowed


def check_machine_types(cloud: Cloud, machine_types: Iterable[str]) -> list[str]:
    """Return these machine types, sorted; refuse one that no zone of the region offers."""
    named = sorted(set(filter(None, machine_types)))
    zones = _zones(cloud) if named else []
    absent = [each for each in named if not any(_has_type(cloud, zone, each) for zone in zones)]
    if absent:
        families = ", ".join(sorted({each.partition("-")[0] for each in absent}))
        raise UserError(
            f"{cloud.region} does not offer {', '.join(absent)}; set STAGE_X_MACHINE_TYPE to others "
            f"(empty: Batch chooses), or REGION to one that offers {families}",
            fix=f"gcloud compute machine-types list --zones {','.join(zones)}",
        )
    return named


def _zones(cloud: Cloud) -> list[str]:
    words = ["compute", "regions", "describe", cloud.region, *cloud.in_project]
    found = _ask(cloud.shell, *words) or {}
    return [zone.rpartition("/")[2] for zone in found.get("zones", [])] or [f"{cloud.region}-a"]


def _has_type(cloud: Cloud, zone: str, machine_type: str) -> bool:
    words = ["compute", "machine-types", "describe", machine_type, "--zone", zone]
    try:
        _ask(cloud.shell, *words, *cloud.in_project)
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        return False
    return True


def _left(described: dict[str, Any] | None) -> dict[str, float]:
    quotas = (described or {}).get("quotas", [])  # a metric that this gcloud does not know has no name
    return {quota["metric"]: quota["limit"] - quota.get("usage", 0) for quota in quotas if "metric" in quota}


def _describe(shell: Shell, words: list[str], missing: tuple[str, str]) -> dict[str, Any]:
    """Return what gcloud describes; `missing` is the problem and its fix if it does not exist."""
    try:
        return _ask(shell, *words) or {}
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        raise UserError(missing[0], fix=missing[1]) from None


def _ask(shell: Shell, *words: str) -> Any:
    return read_json(shell, words, timeout_seconds=CHECK_SECONDS, echo=False)
