"""Plans, applies and destroys what terraform/ describes. Settings are passed as TF_VAR_*."""

import time
from dataclasses import asdict

from ops.cloud.checks import check_bucket
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import check_stages_fit, check_token_is_kept_apart, stage_limits
from ops.failures import UserError
from ops.project.terraform_root import Root, as_variables, ask, plan_file
from ops.settings import ROOT, Settings
from ops.terminal import counted, need_terminal_or
from ops.terraform_settings import terraform_variables

FOLDER = ROOT / "terraform"
REFLECTION_SECONDS = 5


def init(cloud: Cloud) -> None:
    """Fetch the provider, and connect to the state that the settings name.

    Raises
    ------
    UserError
        As all functions here: a setting is wrong, Terraform is missing or too old, or it failed.
    """
    root = _root(cloud)
    with root.connected():
        print(f"the state is in {root.state}")


def plan(cloud: Cloud, out: str | None = None) -> None:
    """Show what an apply would change; `out` is a file that gets the plan as JSON."""
    file = plan_file(out)
    _check(cloud)
    root = _root(cloud)
    with root.connected():
        root.show_plan(file)


def apply(cloud: Cloud, yes: bool = False) -> None:
    """Show what would change, ask, and change it. A dry run asks nothing: pass `yes`."""
    _check(cloud)
    need_terminal_or(yes)
    root = _root(cloud)
    with root.connected():
        if root.apply(yes):
            cloud.shell.report(f"project {cloud.project} is ready; next, `invoke build` builds the image")


def destroy(cloud: Cloud, yes: bool = False) -> None:
    """Show what would be deleted and what is kept, ask, count down, and delete it; `yes` as apply()."""
    need_terminal_or(yes)
    root = _root(cloud)
    with root.connected():
        if not root.planned("-destroy"):
            print(f"nothing to delete in project {cloud.project}")
            return
        _show_images(cloud)
        if not cloud.shell.dry_run:
            _show_what_stays(root)
            ask(yes, f'delete all this in project {cloud.project} for good? Type "yes" to confirm: ')
            _count_down(cloud)
        root.carry_out()


def output(cloud: Cloud, as_json: bool = False) -> None:
    """Print what was set up: names, accounts, and the paths of the image and the runs."""
    root = _root(cloud)
    with root.connected():
        root.run("output", *(["-json"] if as_json else []))


def variables(settings: Settings) -> dict[str, str]:
    """Return the settings as Terraform's variables."""
    passed = {variable: getattr(settings, name) for name, variable in terraform_variables().items()}
    passed["stages"] = {stage: asdict(limits) for stage, limits in stage_limits(settings).items()}
    return as_variables(passed)


def _root(cloud: Cloud) -> Root:
    return Root(cloud, FOLDER, "tf", cloud.settings.tf_state_prefix, variables(cloud.settings))


def _check(cloud: Cloud) -> None:
    """Refuse early what a plan would refuse after minutes, or an apply halfway."""
    check_stages_fit(cloud.settings)
    check_token_is_kept_apart(cloud.settings)
    bucket = check_bucket(cloud)  # empty in a dry run
    if bucket and not bucket.get("uniform_bucket_level_access"):
        raise UserError(
            f"BUCKET_NAME={cloud.bucket}: rights on parts of a bucket need uniform access",
            fix=f"gcloud storage buckets update gs://{cloud.bucket} --uniform-bucket-level-access",
        )


def _show_images(cloud: Cloud) -> None:
    """List the images in the registry, which is deleted with all of them."""
    place = f"{cloud.region}-docker.pkg.dev/{cloud.project}/{cloud.settings.repo_name}"
    words = ["artifacts", "docker", "images", "list", place, "--include-tags"]
    words += ["--sort-by", "~CREATE_TIME", *cloud.in_project]
    try:
        images = cloud.read_json(words)
    except UserError as error:
        print(f"images: those of {place} would be deleted; they cannot be listed ({error})")
        return
    if images is None:
        return
    print(f"images: {counted(len(images), 'image')} of {place} would be deleted")
    for image in images:
        tags = image.get("tags") or []
        names = tags if isinstance(tags, str) else ", ".join(tags)
        print(f"  {image['version'][:19]}  {image.get('createTime', '')[:19]}  {names}")


def _show_what_stays(root: Root) -> None:
    secret = root.cloud.settings.github_pat_secret
    print(f"secrets: none would be deleted{f'; {secret} stays' if secret else ''}")
    print(f"kept:    gs://{root.cloud.bucket} with every run, the state in {root.state},")
    print("         accounts given as e-mail addresses, and APIs that are enabled", flush=True)


def _count_down(cloud: Cloud) -> None:
    """Count down, so that Ctrl-C can stop the deletion."""
    for second in range(REFLECTION_SECONDS, 0, -1):
        print(f"deleting in project {cloud.project} in {second} s; Ctrl-C stops", flush=True)
        time.sleep(1)
