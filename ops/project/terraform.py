"""The cloud as terraform/ describes it: planned, applied, destroyed. Settings travel as TF_VAR_*.

What is asked of an operator is asked before the first act, and what is applied is the plan that was shown.
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
from ops.cloud.deployment import check_stages_fit, check_token_is_kept_apart, stage_limits
from ops.failures import UserError
from ops.gcloud import read_json
from ops.settings import ROOT, Settings, need, terraform_variables
from ops.shell import Ended, Shell
from ops.terminal import confirmed, counted, nearest, need_terminal_or

FOLDER = ROOT / "terraform"
KEPT = FOLDER / ".terraform"  # Terraform's own folder, which git ignores
OLDEST = (1, 5, 7)
PLAN = ".terraform/invoke.tfplan"
INIT_SECONDS = 900  # with the provider's download
CALL_SECONDS = 120
FINISH_SECONDS = 1200  # what Terraform has begun it finishes; killed, it would forget what it made
REFLECTION_SECONDS = 5
NO_CHANGES, CHANGES = 0, 2  # exit codes of plan -detailed-exitcode


def init(shell: Shell, settings: Settings) -> None:
    """Fetch the provider, and connect to the state of these settings.

    Raises
    ------
    UserError
        As all here: a setting is missing or wrong, Terraform is not there or too old, or it failed.
    """
    with _at_work(shell, settings):
        print(f"the state is in {_state(settings)}")


def plan(shell: Shell, settings: Settings) -> None:
    """Show what an apply would change."""
    _check(shell, settings)
    with _at_work(shell, settings):
        if _run(shell, settings, "plan"):
            raise _failed("plan")


def apply(shell: Shell, settings: Settings, yes: bool = False) -> None:
    """Show what would change, ask, and change that."""
    _check(shell, settings)
    if not shell.dry_run:
        need_terminal_or(yes)
    with _at_work(shell, settings):
        if not _planned(shell, settings):
            print(f"nothing to change in project {settings.project_id}")
            return
        _ask(shell, yes, f'apply this to project {settings.project_id}? Only "yes" does: ')
        _carry_out(shell, settings)
        if not shell.dry_run:
            print(f"project {settings.project_id} is ready; next, `invoke build` makes the image")


def destroy(shell: Shell, settings: Settings, yes: bool = False) -> None:
    """Show what would go and what stays, ask, wait a little, and delete it."""
    need(settings, "project_id", "bucket_name")
    if not shell.dry_run:
        need_terminal_or(yes)
    with _at_work(shell, settings):
        if not _planned(shell, settings, "-destroy"):
            print(f"nothing of ours is in project {settings.project_id}")
            return
        _show_images(shell, settings)
        if not shell.dry_run:
            _show_what_stays(settings)
        _ask(shell, yes, f'delete all this in project {settings.project_id} for good? Only "yes" does: ')
        if not shell.dry_run:
            _reflect(settings)
        _carry_out(shell, settings)


def output(shell: Shell, settings: Settings, as_json: bool = False) -> None:
    """Print what was made: names, accounts, where the image and the runs are."""
    with _at_work(shell, settings):
        if _run(shell, settings, "output", *(["-json"] if as_json else [])):
            raise _failed("output")


def variables(settings: Settings) -> dict[str, str]:
    """Return the settings as Terraform's variables."""
    passed = {variable: getattr(settings, name) for name, variable in terraform_variables().items()}
    passed["stages"] = {stage: asdict(limits) for stage, limits in stage_limits(settings).items()}
    return {
        f"TF_VAR_{name}": value if isinstance(value, str) else json.dumps(value)
        for name, value in passed.items()
    }


def _check(shell: Shell, settings: Settings) -> None:
    """Refuse what a plan would refuse minutes later, or an apply half-way."""
    need(settings, "project_id", "bucket_name")
    check_stages_fit(settings)
    check_token_is_kept_apart(settings)
    bucket = check_bucket(shell, settings)
    if not shell.dry_run and not bucket.get("uniform_bucket_level_access"):
        raise UserError(
            f"BUCKET_NAME={settings.bucket_name}: rights on parts of a bucket need uniform access",
            mend=f"gcloud storage buckets update gs://{settings.bucket_name} --uniform-bucket-level-access",
        )


@contextlib.contextmanager
def _at_work(shell: Shell, settings: Settings) -> Iterator[None]:
    """Connect to the state, alone: one folder has one state at a time, which the settings name."""
    need(settings, "project_id", "bucket_name")
    if shell.dry_run:
        _init(shell, settings)
        yield
        return
    _check_version(shell)
    KEPT.mkdir(exist_ok=True)
    with open(KEPT / "invoke.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError("another `invoke tf-...` is at work in this folder; let it end first") from None
        _init(shell, settings)
        yield


def _check_version(shell: Shell) -> None:
    said = shell.attempt(["terraform", "version", "-json"], timeout_seconds=CALL_SECONDS).output
    version = re.search(r'"terraform_version": *"(\d+)\.(\d+)\.(\d+)', said)
    if version and tuple(map(int, version.groups())) < OLDEST:
        raise UserError(
            f"terraform {'.'.join(version.groups())} is too old; install {'.'.join(map(str, OLDEST))} "
            "or newer: https://developer.hashicorp.com/terraform/install"
        )


def _init(shell: Shell, settings: Settings) -> None:
    """Connect to the state that the settings name, whatever the folder was connected to before.

    Nothing is moved from one state to another: -reconfigure, never -migrate-state.
    """
    argv = [*_terraform(), "init", "-reconfigure", "-input=false", "-no-color"]
    argv += [f"-backend-config=bucket={settings.tf_state_bucket or settings.bucket_name}"]
    argv += [f"-backend-config=prefix={settings.tf_state_prefix.rstrip('/')}"]
    shell.echo(argv)
    if shell.dry_run:
        return
    ended = shell.attempt(argv, {"TF_IN_AUTOMATION": "1"}, timeout_seconds=INIT_SECONDS)
    if ended.exit_code:
        raise _refused(ended, settings)


def _refused(ended: Ended, settings: Settings) -> UserError:
    """Return Terraform's first error on one line, with what mends it where that is known."""
    text = re.sub(r"(?m)^[│╷╵ ]+", "", ended.errors or ended.output)
    first = re.search(r"(?ms)^Error: (.*?)(?=^Error: |\Z)", text)
    reason = " ".join((first[1] if first else text).split())
    if re.search("default credentials|getting credentials|oauth2|invalid_grant|reauth", reason):
        mend = "gcloud auth application-default login"
        return UserError("Terraform has no credentials for Google Cloud", mend=mend)
    if re.search(r"bucket doesn't exist|notFound|404", reason):
        name = "TF_STATE_BUCKET" if settings.tf_state_bucket else "BUCKET_NAME"
        bucket = settings.tf_state_bucket or settings.bucket_name
        mend = f"gcloud storage buckets create gs://{bucket} --project {settings.project_id} "
        mend += f"--location {settings.region} --uniform-bucket-level-access --public-access-prevention"
        return UserError(f"{name}={bucket}: there is no such bucket for the state; check it, or", mend=mend)
    return UserError(f"terraform init: {reason[:400] or 'it said nothing'}", exit_code=1)


def _planned(shell: Shell, settings: Settings, *options: str) -> bool:
    """Show a plan and keep it; tell whether anything would change."""
    code = _run(shell, settings, "plan", *options, "-detailed-exitcode", f"-out={PLAN}")
    if code not in (NO_CHANGES, CHANGES):
        raise _failed("plan")
    return shell.dry_run or code == CHANGES


def _carry_out(shell: Shell, settings: Settings) -> None:
    """Apply the plan that was shown, and nothing else."""
    try:
        code = _run(shell, settings, "apply", PLAN)
    finally:
        if not shell.dry_run:
            (FOLDER / PLAN).unlink(missing_ok=True)
    if code:
        raise _failed("apply")


def _run(shell: Shell, settings: Settings, *words: str) -> int:
    """Run Terraform with the settings; Ctrl-C lets it finish and write down what it has begun."""
    options = ["-input=false"] if words[0] != "output" else []
    options += [] if sys.stdout.isatty() else ["-no-color"]
    return shell.stream(
        [*_terraform(), words[0], *options, *words[1:]],
        {**variables(settings), "TF_IN_AUTOMATION": "1"},
        stop_with=signal.SIGINT,
        grace_seconds=FINISH_SECONDS,
    )


def _terraform() -> list[str]:
    return ["terraform", f"-chdir={nearest(FOLDER)}"]


def _failed(command: str) -> UserError:
    return UserError(f"terraform {command} failed; what went wrong stands above", exit_code=1)


def _state(settings: Settings) -> str:
    return f"gs://{settings.tf_state_bucket or settings.bucket_name}/{settings.tf_state_prefix}"


def _ask(shell: Shell, yes: bool, question: str) -> None:
    if shell.dry_run or yes:
        return
    if not confirmed(question, "yes"):
        raise UserError("nothing was changed", exit_code=1)


def _show_images(shell: Shell, settings: Settings) -> None:
    """List what the registry holds, for it goes with everything in it."""
    place = f"{settings.region}-docker.pkg.dev/{settings.project_id}/{settings.repo_name}"
    words = ["artifacts", "docker", "images", "list", place, "--include-tags"]
    words += ["--sort-by", "~CREATE_TIME", "--project", settings.project_id]
    try:
        images = read_json(shell, words) or []
    except UserError as error:
        print(f"images: those of {place} go; they cannot be listed ({error})")
        return
    if shell.dry_run:
        return
    print(f"images: {counted(len(images), 'image')} of {place} would go")
    for image in images:
        tags = image.get("tags") or []
        names = tags if isinstance(tags, str) else ", ".join(tags)
        print(f"  {image['version'][:19]}  {image.get('createTime', '')[:19]}  {names}")


def _show_what_stays(settings: Settings) -> None:
    secret = settings.github_pat_secret
    print(f"secrets: none would go{f'; {secret} stays' if secret else ''}")
    print(f"what stays: gs://{settings.bucket_name} with every run, the state in {_state(settings)},")
    print("            accounts that are set as whole e-mails, and APIs that are enabled", flush=True)


def _reflect(settings: Settings) -> None:
    """Leave a last moment to think better of it."""
    for second in range(REFLECTION_SECONDS, 0, -1):
        print(f"deleting in project {settings.project_id} in {second} s; Ctrl-C stops", flush=True)
        time.sleep(1)
