"""Plans, applies and destroys the GPU lane as terraform/gpu/ describes it. Settings are passed as TF_VAR_*.

Each deployment, by project, region and prefix, has a state of its own. Images are not part of it.
"""

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal, is_no_match
from ops.gpu import images
from ops.gpu.experiment import MODEL
from ops.gpu.names import MANAGED_BY, MANUAL, Names
from ops.gpu.rules import check_rules
from ops.project.terraform_root import Root, as_variables, plan_file
from ops.settings import ROOT, Settings
from ops.terminal import need_terminal_or
from ops.terraform_settings import terraform_variables

FOLDER = ROOT / "terraform" / "gpu"
DELETE_SECONDS = 1800  # of a bucket's objects
NOTHING_THERE = (Refusal.MISSING, Refusal.DISABLED)


def plan(cloud: Cloud, out: str | None = None) -> None:
    """Show what an apply would change; `out` is a file that gets the plan as JSON.

    Raises
    ------
    UserError
        As all functions here: a setting is wrong or missing, an image is missing, Terraform is missing or
        failed.
    """
    file, root = plan_file(out), _root(cloud)
    _check(cloud)
    with root.connected():
        root.show_plan(file)


def apply(cloud: Cloud, yes: bool = False) -> None:
    """Show what would change, ask, and change it. A dry run asks nothing: pass `yes`."""
    root = _root(cloud)
    need_terminal_or(yes)
    _check(cloud)
    with root.connected():
        if root.apply(yes):
            cloud.shell.report(_next_step(Names.of(cloud.settings)))


def _next_step(names: Names) -> str:
    copy = f"gcloud storage cp ARCHIVE gs://{names.bucket('models')}/{MODEL}"
    ready = f"the GPU lane is ready; an upload to gs://{names.bucket('input')} starts it"
    return f"{ready}; a .csv needs an experiment, which scripts/pack_forecast.py packs: {copy}"


def destroy(cloud: Cloud) -> None:
    """Show what Terraform deletes, and delete it, with the objects in its buckets; destroy.py asks before.

    Results are deleted only with DELETE_DATA: one that was written meanwhile keeps its bucket. Images, which
    Terraform does not manage, stay.
    """
    root = _root(cloud, find_digests=False)  # the images may be gone
    with root.connected():
        if root.planned("-destroy"):
            _empty_buckets(cloud, Names.of(cloud.settings))  # Terraform deletes no bucket that has objects
            root.carry_out()


def variables(settings: Settings, **others: object) -> dict[str, str]:
    """Return the settings, and others, as Terraform's variables."""
    passed = {variable: getattr(settings, name) for name, variable in terraform_variables("gpu").items()}
    return as_variables(passed | others)


def check_has_state(settings: Settings) -> None:
    """Refuse settings that do not say where Terraform keeps its state."""
    if not settings.tf_state_bucket and not settings.bucket_name:
        raise UserError(
            "TF_STATE_BUCKET: not set, nor is BUCKET_NAME; Terraform keeps its state in one of them",
            fix="invoke config-edit",
        )


def _root(cloud: Cloud, **others: object) -> Root:
    settings = cloud.settings
    check_has_state(settings)
    prefix = f"{settings.tf_state_prefix}gpu/{Names.of(settings).stem}/"
    return Root(cloud, FOLDER, "gpu", prefix, variables(settings, **others))


def _check(cloud: Cloud) -> None:
    """Refuse early, in a line, what an apply would refuse: settings, another way's deployment, no images."""
    names = Names.of(cloud.settings)
    check_rules(cloud.settings)
    if _manager(cloud, names) == MANUAL:
        raise UserError(
            f"{names.stem} was deployed by `invoke gpu-deploy`, and Terraform does not know of it: remove it "
            "first, or choose another SERVICE_PREFIX",
            fix="invoke gpu-destroy",
        )
    if missing := images.missing_of(images.digests(cloud, names)):
        named = [names.image(service, cloud.settings.image_tag) for service in missing]
        raise UserError(f"not in the registry: {', '.join(named)}", fix="invoke gpu-build")


def _manager(cloud: Cloud, names: Names) -> str:
    """Return the label managed-by of the workflow; "" if there is none."""
    words = ["workflows", "describe", names.workflow, *cloud.in_region]
    found = cloud.read_json_if_there(words, NOTHING_THERE, echo=False) or {}
    return found.get("labels", {}).get(MANAGED_BY, "")


def _empty_buckets(cloud: Cloud, names: Names) -> None:
    """Delete all objects, old versions too; results only with DELETE_DATA."""
    kept = "" if cloud.settings.delete_data else "work/"
    places = [names.bucket("input"), names.bucket("models"), f"{names.bucket('output')}/{kept}".rstrip("/")]
    for place in places:
        words = ["storage", "rm", "--recursive", "--all-versions", f"gs://{place}/**", *cloud.in_project]
        try:
            cloud.read(words, timeout_seconds=DELETE_SECONDS)
        except GcloudError as error:
            if not is_no_match(error) and error.refusal not in NOTHING_THERE:
                raise
