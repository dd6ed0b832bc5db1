"""Plans, applies and destroys what terraform/ describes. Settings are passed as TF_VAR_*.

The operator is asked before anything changes, and the plan that was shown is the plan that is applied.
"""

import contextlib
import fcntl
import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

from ops.cloud.checks import check_bucket
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import check_stages_fit, check_token_is_kept_apart, stage_limits
from ops.failures import UserError
from ops.settings import ROOT, Settings
from ops.shell import Ended, Shell
from ops.terminal import confirmed, counted, nearest, need_terminal_or
from ops.terraform_settings import terraform_variables

FOLDER = ROOT / "terraform"
KEPT = FOLDER / ".terraform"  # Terraform's own folder, which git ignores
OLDEST = (1, 5, 7)
PLAN = ".terraform/invoke.tfplan"
INIT_SECONDS = 900  # with the provider's download
CALL_SECONDS = 120
FINISH_SECONDS = 1200  # Terraform finishes what it has begun; if killed, it would lose track of it
REFLECTION_SECONDS = 5
NO_CHANGES, CHANGES = 0, 2  # exit codes of plan -detailed-exitcode


def init(cloud: Cloud) -> None:
    """Fetch the provider, and connect to the state that the settings name.

    Raises
    ------
    UserError
        As all functions here: a setting is wrong, Terraform is missing or too old, or it failed.
    """
    with _connected(cloud):
        print(f"the state is in {_state(cloud)}")


def plan(cloud: Cloud) -> None:
    """Show what an apply would change."""
    _check(cloud)
    with _connected(cloud):
        if _run(cloud, "plan"):
            raise _failed("plan")


def apply(cloud: Cloud, yes: bool = False) -> None:
    """Show what would change, ask, and change it. A dry run asks nothing: pass `yes`."""
    _check(cloud)
    need_terminal_or(yes)
    with _connected(cloud):
        if not _planned(cloud):
            print(f"nothing to change in project {cloud.project}")
            return
        _ask(yes, f'apply this to project {cloud.project}? Type "yes" to confirm: ')
        _carry_out(cloud)
        cloud.shell.report(f"project {cloud.project} is ready; next, `invoke build` builds the image")


def destroy(cloud: Cloud, yes: bool = False) -> None:
    """Show what would be deleted and what is kept, ask, count down, and delete it; `yes` as apply()."""
    need_terminal_or(yes)
    with _connected(cloud):
        if not _planned(cloud, "-destroy"):
            print(f"nothing to delete in project {cloud.project}")
            return
        _show_images(cloud)
        if not cloud.shell.dry_run:
            _show_what_stays(cloud)
            _ask(yes, f'delete all this in project {cloud.project} for good? Type "yes" to confirm: ')
            _count_down(cloud)
        _carry_out(cloud)


def output(cloud: Cloud, as_json: bool = False) -> None:
    """Print what was set up: names, accounts, and the paths of the image and the runs."""
    with _connected(cloud):
        if _run(cloud, "output", *(["-json"] if as_json else [])):
            raise _failed("output")


def variables(settings: Settings) -> dict[str, str]:
    """Return the settings as Terraform's variables."""
    passed = {variable: getattr(settings, name) for name, variable in terraform_variables().items()}
    passed["stages"] = {stage: asdict(limits) for stage, limits in stage_limits(settings).items()}
    return {
        f"TF_VAR_{name}": value if isinstance(value, str) else json.dumps(value)
        for name, value in passed.items()
    }


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


@contextlib.contextmanager
def _connected(cloud: Cloud) -> Iterator[None]:
    """Lock the folder and connect it to the state: it can be connected to only one at a time."""
    if cloud.shell.dry_run:
        _init(cloud)
        yield
        return
    _check_version(cloud.shell)
    KEPT.mkdir(exist_ok=True)
    with open(KEPT / "invoke.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                "another `invoke tf-...` is running in this folder; wait until it has ended"
            ) from None
        _init(cloud)
        try:
            yield
        finally:
            (FOLDER / PLAN).unlink(missing_ok=True)


def _check_version(shell: Shell) -> None:
    said = shell.run_always(["terraform", "version", "-json"], timeout_seconds=CALL_SECONDS).output
    version = re.search(r'"terraform_version": *"(\d+)\.(\d+)\.(\d+)', said)
    if version and tuple(map(int, version.groups())) < OLDEST:
        raise UserError(
            f"terraform {'.'.join(version.groups())} is too old; install {'.'.join(map(str, OLDEST))} "
            "or newer: https://developer.hashicorp.com/terraform/install"
        )


def _init(cloud: Cloud) -> None:
    """Connect to the state that the settings name, even if the folder was connected to another one.

    Nothing is moved from one state to another: -reconfigure, never -migrate-state.
    """
    argv = [*_terraform(), "init", "-reconfigure", "-input=false", "-no-color"]
    argv += [f"-backend-config=bucket={_state_bucket(cloud)}"]
    argv += [f"-backend-config=prefix={cloud.settings.tf_state_prefix.rstrip('/')}"]
    ended = cloud.shell.run(argv, {"TF_IN_AUTOMATION": "1"}, timeout_seconds=INIT_SECONDS)
    if ended and ended.exit_code:
        raise _refused(ended, cloud)


def _refused(ended: Ended, cloud: Cloud) -> UserError:
    """Return Terraform's first error in one line, with its fix if that is known."""
    text = re.sub(r"(?m)^[│╷╵ ]+", "", ended.errors or ended.output)
    first = re.search(r"(?ms)^Error: (.*?)(?=^Error: |\Z)", text)
    reason = " ".join((first[1] if first else text).split())
    if re.search("default credentials|getting credentials|oauth2|invalid_grant|reauth", reason):
        fix = "gcloud auth application-default login"
        return UserError("Terraform has no credentials for Google Cloud", fix=fix)
    if re.search(r"bucket doesn't exist|notFound|404", reason):
        name = "TF_STATE_BUCKET" if cloud.settings.tf_state_bucket else "BUCKET_NAME"
        bucket = _state_bucket(cloud)
        fix = f"gcloud storage buckets create gs://{bucket} --project {cloud.project} "
        fix += f"--location {cloud.region} --uniform-bucket-level-access --public-access-prevention"
        return UserError(f"{name}={bucket}: the bucket for the state does not exist; check it, or", fix=fix)
    return UserError(f"terraform init: {reason[:400] or 'it printed nothing'}", exit_code=1)


def _planned(cloud: Cloud, *options: str) -> bool:
    """Show a plan and keep it; return whether anything would change."""
    code = _run(cloud, "plan", *options, "-detailed-exitcode", f"-out={PLAN}")
    if code not in (NO_CHANGES, CHANGES):
        raise _failed("plan")
    return cloud.shell.dry_run or code == CHANGES


def _carry_out(cloud: Cloud) -> None:
    """Apply the plan that was shown, and nothing else."""
    if _run(cloud, "apply", PLAN):
        raise _failed("apply")


def _run(cloud: Cloud, *words: str) -> int:
    """Run Terraform with the settings; on Ctrl-C it finishes what it has begun, and records it."""
    options = ["-input=false"] if words[0] != "output" else []
    options += [] if sys.stdout.isatty() else ["-no-color"]
    return cloud.shell.stream(
        [*_terraform(), words[0], *options, *words[1:]],
        {**variables(cloud.settings), "TF_IN_AUTOMATION": "1"},
        stop_with=signal.SIGINT,
        grace_seconds=FINISH_SECONDS,
    )


def _terraform() -> list[str]:
    return ["terraform", f"-chdir={nearest(FOLDER)}"]


def _failed(command: str) -> UserError:
    return UserError(f"terraform {command} failed; see above", exit_code=1)


def _state_bucket(cloud: Cloud) -> str:
    return cloud.settings.tf_state_bucket or cloud.bucket


def _state(cloud: Cloud) -> str:
    return f"gs://{_state_bucket(cloud)}/{cloud.settings.tf_state_prefix}"


def _ask(yes: bool, question: str) -> None:
    if not yes and not confirmed(question, "yes"):
        raise UserError("nothing was changed", exit_code=1)


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


def _show_what_stays(cloud: Cloud) -> None:
    secret = cloud.settings.github_pat_secret
    print(f"secrets: none would be deleted{f'; {secret} stays' if secret else ''}")
    print(f"kept:    gs://{cloud.bucket} with every run, the state in {_state(cloud)},")
    print("         accounts given as e-mail addresses, and APIs that are enabled", flush=True)


def _count_down(cloud: Cloud) -> None:
    """Count down, so that Ctrl-C can stop the deletion."""
    for second in range(REFLECTION_SECONDS, 0, -1):
        print(f"deleting in project {cloud.project} in {second} s; Ctrl-C stops", flush=True)
        time.sleep(1)
