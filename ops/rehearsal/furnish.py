"""The emulated cloud of a person's shell: what is in it and, with --rights, who may do what there."""

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from localcloud.members import OWNER, token_of
from localcloud.rights.grants import Grant, note_on
from localcloud.rights.resources import BUCKET
from ops.cloud.cloud import Cloud
from ops.failures import UserError, did_you_mean
from ops.laptop.local_cloud import PROJECT, RIGHTS, CloudRequest
from ops.people import GPU_WORK, WORK
from ops.rehearsal.policies import clear, give, policy_of
from ops.rehearsal.populate import deploy, populate
from ops.rehearsal.rights import Bindings, person, slug
from ops.settings import Settings
from ops.terminal import counted


def check_words(file: str | None, who: str | None, furnish: bool) -> None:
    """Refuse --rights or --as with an empty value, as from an unset variable, or together with --furnish.

    Raises
    ------
    UserError
    """
    for option, value, example in (("--rights", file, "rights.json"), ("--as", who, "look")):
        if value is not None and furnish:
            raise UserError(f"{option}: the cloud is started with it; call --furnish alone in its shell")
        if value == "":
            raise UserError(f"{option} needs a value, e.g. {option} {example}")


def with_rights(
    request: CloudRequest, settings: Settings, file: str, who: str, iam_delay_seconds: int = 0
) -> CloudRequest:
    """Return the request for a cloud that enforces the rights of a file, in the shell of a person; say whose.

    `who` is what the person does, as ops/people.py names it, with - for a space; "" is the project's owner.

    Raises
    ------
    UserError
        The file has no rights, or those of another project; or there is no such work.
    """
    if not file:
        delay = f"--iam-delay {iam_delay_seconds}" if iam_delay_seconds else ""
        for option in (f"--as {who}" if who else "", delay):
            if option:
                raise UserError(
                    f"{option}: only with --rights FILE, since nobody is denied anything without it"
                )
        return request
    bindings, project = Bindings.of_file(Path(file)), settings.project_id or PROJECT
    if (planned := bindings.names.get("project_id", project)) != project:
        raise UserError(
            f"--rights {file}: for project {planned}, not {project}", fix=f"export PROJECT_ID={planned}"
        )
    works = {slug(work): work for work in WORK | GPU_WORK}
    if who and who not in works:
        raise UserError(f"--as {who}: use one of {', '.join(works)}{did_you_mean(who, works)}")
    member = person(works[who]) if who else ""
    print(f"rights: of {file}, once `invoke localcloud --furnish` has been called in the shell")
    print(f"the shell's user: {member or OWNER}", flush=True)
    if note := note_on(grant.member for grant in bindings.grants):
        print(f"rights: {note}", file=sys.stderr)
    return replace(request, rights=Path(file), member=member, iam_delay_seconds=iam_delay_seconds)


def furnish_this_shell(cloud: Cloud, environ: Mapping[str, str] = os.environ) -> None:
    """Prepare the emulated cloud of this shell for `invoke run --cloud`; what exists is left as it is.

    The project's owner does this, whoever the shell's user is, and gives people their rights and accounts
    those of the file with which the cloud was started.

    Raises
    ------
    UserError
        The shell has no emulated cloud, it has stopped, or the rights do not fit the settings.
    """
    import requests  # here, because its import takes a fifth of invoke's start

    storage, apis = (environ.get(f"{name}_EMULATOR_HOST") for name in ("STORAGE", "SECRET_MANAGER"))
    if not (storage and apis):
        raise UserError(
            "this shell has no emulated cloud; start `invoke localcloud` in another, and source its exports"
        )
    if not cloud.shell.dry_run:
        try:
            populate(storage, apis, cloud.settings)
            if file := environ.get(RIGHTS):
                _give(storage, apis, Bindings.of_file(Path(file)), cloud.settings)
        except requests.ConnectionError:
            raise UserError(
                f"no answer from {apis}: the emulated cloud has stopped; "
                "start it, and source its exports again"
            ) from None
    with tempfile.TemporaryDirectory() as folder:
        token = Path(folder, "token")
        token.write_text(token_of(OWNER))
        as_owner = {**cloud.shell.environment, "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token)}
        owners = replace(cloud, shell=replace(cloud.shell, environment=as_owner))
        deploy(owners, Path(folder, "environment.yaml"))
    cloud.shell.report(f"ready: project {cloud.project}, gs://{cloud.bucket}, {cloud.settings.workflow_name}")


def _empty_kept_policies(storage: str, apis: str, grants: Iterable[Grant], project: str) -> None:
    """Empty the policies of buckets that a restart kept: they may come from another file."""
    given = policy_of(storage, apis, f"projects/{project}") or {}
    if given.get("bindings"):
        return  # this cloud was furnished before; what its owner has given since stays
    for bucket in sorted({grant.holder for grant in grants if grant.holder.startswith(BUCKET)}):
        there = policy_of(storage, apis, bucket) or {}
        if there.get("bindings"):
            clear(storage, apis, bucket)
            print(f"rights: those of gs://{bucket.removeprefix(BUCKET)} before the restart are gone")


def _give(storage: str, apis: str, bindings: Bindings, settings: Settings) -> None:
    """Give rights to accounts and people, and say which wait for their resources."""
    wanted = bindings.with_people(WORK | GPU_WORK, settings)
    _empty_kept_policies(storage, apis, wanted.grants, settings.project_id)
    missing = give(storage, apis, wanted.grants)
    waiting = sum(grant.holder in missing for grant in wanted.grants)
    print(f"rights: {counted(len(wanted.grants) - waiting, 'binding')} of {bindings.source} and of people")
    if waiting:
        print(
            f"rights: {counted(waiting, 'binding')} will be given by another --furnish, once there is "
            f"{', '.join(missing)}"
        )
