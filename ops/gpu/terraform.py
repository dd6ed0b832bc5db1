"""Plans, applies and destroys the GPU lane as terraform/gpu/ describes it. Settings are passed as TF_VAR_*.

Each deployment, by project, region and prefix, has a state of its own. Images are not part of it.
"""

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal, is_no_match
from ops.gpu import images
from ops.gpu.names import Names
from ops.gpu.rules import refuse_contradictions
from ops.project.terraform_root import Root, as_variables, ask
from ops.settings import ROOT, Settings
from ops.terminal import need_terminal_or
from ops.terraform_settings import terraform_variables

FOLDER = ROOT / "terraform" / "gpu"
DELETE_SECONDS = 1800  # of a bucket's objects
NOTHING_THERE = (Refusal.MISSING, Refusal.DISABLED)


def plan(cloud: Cloud) -> None:
    """Show what an apply would change.

    Raises
    ------
    UserError
        As all functions here: a setting is wrong or missing, an image is missing, Terraform is missing or
        failed.
    """
    root = _root(cloud)
    _check(cloud)
    with root.connected():
        root.show_plan()


def apply(cloud: Cloud, yes: bool = False) -> None:
    """Show what would change, ask, and change it. A dry run asks nothing: pass `yes`."""
    root = _root(cloud)
    need_terminal_or(yes)
    _check(cloud)
    with root.connected():
        if not root.planned():
            print(f"nothing to change in project {cloud.project}")
            return
        ask(yes, f'apply this to project {cloud.project}? Type "yes" to confirm: ')
        root.carry_out()
        names = Names.of(cloud.settings)
        copy = f"gcloud storage cp ARCHIVE gs://{names.bucket('models')}/forecast/experiment.tar.gz"
        ready = f"the GPU lane is ready; an upload to gs://{names.bucket('input')} starts it"
        cloud.shell.report(
            f"{ready}; a .csv needs an experiment, which scripts/pack_forecast.py packs: {copy}"
        )


def destroy(cloud: Cloud, yes: bool = False) -> None:
    """Show what would be deleted, ask, and delete it, with the objects in its buckets; `yes` as apply().

    Results are deleted only with DELETE_DATA; with results and without it, nothing is deleted. Images, which
    Terraform does not manage, stay.
    """
    names = Names.of(cloud.settings)
    root = _root(cloud, find_digests=False)  # the images may be gone
    need_terminal_or(yes)
    _refuse_to_lose_results(cloud, names)
    with root.connected():
        if not root.planned("-destroy"):
            print(f"nothing to delete in project {cloud.project}")
            return
        ask(yes, f'delete all this in project {cloud.project} for good? Type "yes" to confirm: ')
        _empty_buckets(cloud, names)  # Terraform deletes no bucket that has objects
        root.carry_out()


def variables(settings: Settings, **others: object) -> dict[str, str]:
    """Return the settings, and others, as Terraform's variables."""
    passed = {variable: getattr(settings, name) for name, variable in terraform_variables("gpu").items()}
    return as_variables(passed | others)


def _root(cloud: Cloud, **others: object) -> Root:
    settings = cloud.settings
    if not settings.tf_state_bucket and not settings.bucket_name:
        raise UserError(
            "TF_STATE_BUCKET: not set, nor is BUCKET_NAME; Terraform keeps its state in one of them",
            fix="invoke config-edit",
        )
    prefix = f"{settings.tf_state_prefix}gpu/{Names.of(settings).stem}/"
    return Root(cloud, FOLDER, "gpu", prefix, variables(settings, **others))


def _check(cloud: Cloud) -> None:
    """Refuse early, in a line, what an apply would refuse: settings, another way's deployment, no images."""
    names = Names.of(cloud.settings)
    refuse_contradictions(cloud.settings)
    if _manager(cloud, names) == "manual":
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
    try:
        found = cloud.read_json(words, echo=False) or {}
    except GcloudError as error:
        if error.refusal not in NOTHING_THERE:
            raise
        return ""
    return found.get("labels", {}).get("managed-by", "")


def _refuse_to_lose_results(cloud: Cloud, names: Names) -> None:
    place = f"gs://{names.bucket('output')}/results/"
    if cloud.settings.delete_data or not _is_anything_below(cloud, place):
        return
    raise UserError(
        f"{place} has results, which would be deleted for good: download them, or set DELETE_DATA=true",
        fix=f"gcloud storage cp --recursive {place} . --project {cloud.project}",
    )


def _is_anything_below(cloud: Cloud, place: str) -> bool:
    try:
        return bool(cloud.read_if_there(["storage", "ls", place, *cloud.in_project]))
    except GcloudError as error:
        if error.refusal not in NOTHING_THERE:  # no bucket
            raise
        return False


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
