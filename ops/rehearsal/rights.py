"""The rights of a rehearsal: those of a plan, or of a file, and those of the people who take part.

Each person has a name of its own in the emulated cloud, such as user:run@example.com, and the roles that
ops/people.py lists for that work.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from localcloud.environment import client_environment
from localcloud.policies import MEMBER
from localcloud.process import Cloud as Emulator
from localcloud.rights.conditions import UnreadableCondition
from localcloud.rights.grants import Grant, NoSuchCondition, check_binding
from localcloud.rights.plan import NotYetKnown, PlanError, grants_of_plan, is_plan, plan_variable
from localcloud.rights.resources import has_policy
from localcloud.rights.roles import OWNER_ROLE, UnknownRole
from ops import people
from ops.failures import UserError
from ops.gpu.rights import places_of_people
from ops.rehearsal.planning import planned
from ops.rehearsal.policies import ANSWER_SECONDS, AS_OWNER, give, make_secret
from ops.settings import Settings
from ops.shell import Shell
from ops.terminal import counted, nearest

FIX = (
    "install Terraform and run `invoke tf-init` once, or name a configuration with a mirror of its providers "
    "in TF_CLI_CONFIG_FILE, or name a plan: --rights FILE"
)
OF_GPU = "service_prefix"  # a variable that every plan of terraform/gpu/ has, and no other
# The plans for each lane, and where its bindings come from without a file.
LANES = {
    "batch": ("terraform/", "call --rights without a file"),
    "gpu": ("terraform/gpu/", "leave it out, for the bindings of the deployment"),
}
PLAN, RECORD = "`terraform show -json PLAN`", "GET /_emulator/rights"
# Of accounts and buckets, those of other projects may be used in one.
_IN_A_PROJECT = re.compile(r"projects/(?!_/)([^/]+)(?!/serviceAccounts/)(?=/|$)")
_FIELDS = {"holder", "role", "member", "condition"}
_NAMES = ("project_id", "bucket_name")  # settings that a file decides where the emulated cloud has its own


@dataclass(frozen=True)
class RightsRequest:
    """What the options of a rehearsal say about rights."""

    file: Path | None = None  # whose bindings replace those of the plan, or of the deployment
    is_required: bool = False  # to fail, not to go on without rights, if there is neither file nor plan
    iam_delay_seconds: int = 0  # of the services' clock, until new bindings count

    @classmethod
    def of(cls, option: str | bool | None, iam_delay_seconds: int) -> "RightsRequest":
        """Return it by --rights: a file, True if it names none, None if it is not given.

        A delay would be without effect where there are no rights, so it requires them, too.
        """
        file = Path(option) if isinstance(option, str) else None
        return cls(file, bool(option or iam_delay_seconds), iam_delay_seconds)

    def given(self, lane: str) -> "Bindings | None":
        """Return the bindings of the file, for a rehearsal of a lane; None if no file is named.

        Raises
        ------
        UserError
            As Bindings.of_file(); or the file is a plan for the other lane. A record is taken for both.
        """
        if not self.file:
            return None
        bindings = Bindings.of_file(self.file)
        if bindings.lane not in ("", lane):
            there, (here, instead) = LANES[bindings.lane][0], LANES[lane]
            raise UserError(
                f"--rights {bindings.source}: a plan of {there}, for --lane {bindings.lane}; "
                f"for --lane {lane}, name a plan of {here}, or {instead}"
            )
        return bindings


@dataclass(frozen=True)
class Bindings:
    """Grants, where they come from, and the names of the project and bucket that they are for, if known.

    `applied_by` is the command that gives them to a project, without those of people. `lane` is that of a
    plan; a record is of none.
    """

    grants: tuple[Grant, ...]
    source: str
    names: Mapping[str, str] = field(default_factory=dict)
    applied_by: str = "invoke tf-apply"
    lane: str = ""

    @classmethod
    def of_plan(cls, plan: Mapping[str, Any], source: str) -> "Bindings":
        try:
            grants = tuple(grant for grant, _ in grants_of_plan(plan))
        except NotYetKnown as error:
            step, command = _next_step(plan)
            raise UserError(f"{source}: {error}; {step}", fix=command) from None
        except PlanError as error:
            raise UserError(f"{source}: {error}") from None
        names = {name: value for name in _NAMES if (value := plan_variable(plan, name))}
        if plan_variable(plan, OF_GPU):
            return cls(grants, source, names, "invoke gpu-apply", "gpu")
        return cls(grants, source, names, lane="batch")

    @classmethod
    def of_file(cls, path: Path) -> "Bindings":
        """Return the grants of a file: a plan of terraform/ or terraform/gpu/, or an emulated cloud's record.

        Raises
        ------
        UserError
            It cannot be read, is neither, gives a role or has a condition that is unknown here, or gives
            roles in two projects.
        """
        source = nearest(path)
        try:
            content = json.loads(path.read_bytes())  # with a byte order mark, too, as some shells write it
        except OSError as error:
            raise UserError(f"--rights {source}: cannot be read ({error.strerror})") from None
        except (ValueError, RecursionError):
            raise UserError(
                f"--rights {source}: no JSON; write it with {PLAN}, not with `terraform plan -out`, or let "
                "`invoke tf-plan --out FILE` write it"
            ) from None
        bindings = (
            cls.of_plan(content, source) if is_plan(content) else cls(_recorded(content, source), source)
        )
        if not bindings.grants:
            raise UserError(
                f"--rights {source}: gives nobody a role; name a plan of terraform/ or terraform/gpu/"
            )
        for grant in bindings.grants:
            if not has_policy(grant.holder):
                raise UserError(f"{source}: {grant.holder!r} is no resource that has a policy")
            if not MEMBER.fullmatch(grant.member):
                raise UserError(f"{source}: the member {grant.member!r} is of an unknown type")
            try:
                check_binding(grant.role, [grant.member], grant.condition)
            except (UnknownRole, UnreadableCondition, NoSuchCondition) as error:
                raise UserError(f"{source}: {grant.role} of {grant.member}: {error}") from None
        return bindings._of_one_project()

    def _of_one_project(self) -> "Bindings":
        """Return the bindings with the name of their project, if any is in one."""
        by_project = {found[1]: each for each in self.grants if (found := _IN_A_PROJECT.match(each.holder))}
        project = self.names.get("project_id") or min(by_project, default="")
        for other in sorted(by_project.keys() - {project}):
            grant = by_project[other]
            raise UserError(
                f"{self.source}: {grant.role} of {grant.member} is on {grant.holder}, but the rights of one "
                f"project are enforced, {project}"
            )
        return replace(self, names={**self.names, **({"project_id": project} if project else {})})

    def summary(self) -> str:
        """Return the line that says whose bindings count."""
        return f"rights: {counted(len(self.grants), 'binding')} of {self.source}, and people's"

    def named(self, settings: Settings) -> Settings:
        """Return settings with the names that the grants are for."""
        return settings.model_copy(update=dict(self.names))

    def with_people(self, works: Iterable[str], settings: Settings) -> "Bindings":
        """Return these rights and those of the people who do the works."""
        return replace(self, grants=(*self.grants, *rights_of_people(works, settings)))

    def apply(self, emulator: Emulator) -> None:
        """Set the policies of an emulated cloud; secrets are made, which a plan takes to be there.

        Raises
        ------
        UserError
            The rights are for other resources or accounts than the settings'.
        """
        for holder in sorted({each.holder for each in self.grants if "/secrets/" in each.holder}):
            make_secret(emulator.apis, holder)
        try:
            missing = give(emulator.storage, emulator.apis, self.grants)
        except UserError as error:
            raise UserError(f"{self.source} does not fit the settings: {error}") from None
        if missing:
            raise UserError(f"{self.source} does not fit the settings: there is no {', '.join(missing)}")


def of_terraform(shell: Shell, settings: Settings, request: RightsRequest, folder: Path) -> Bindings | None:
    """Return the rights that terraform/ gives; None, and a line that says why, if no plan can be made.

    Raises
    ------
    UserError
        Rights are required, and no plan can be made.
    """
    try:
        plan = planned(shell, settings, folder)
    except UserError as error:
        if request.is_required:
            raise UserError(f"--rights: terraform/ cannot be planned ({error}); {FIX}") from None
        shell.report(f"rights: not rehearsed, because terraform/ cannot be planned: {error}")
        return None
    bindings = Bindings.of_plan(plan, "the plan of terraform/")
    shell.report(bindings.summary())
    return bindings


def _next_step(plan: Mapping[str, Any]) -> tuple[str, str]:
    """Return what to do about a plan that does not know a member, and the command.

    To enable the APIs by gcloud is not enough: Terraform reads Google's accounts in a plan only if it has
    nothing to do about the APIs, which the accounts depend on.
    """
    if not plan_variable(plan, OF_GPU):
        return "apply what it depends on, then plan again", "invoke tf-apply && invoke tf-plan --out FILE"
    project = plan_variable(plan, "project_id")
    apply = "terraform -chdir=terraform/gpu apply -target=google_project_service.apis"
    apply += f" -var project_id={shlex.quote(project)}" if project else ""
    return "let Terraform enable the APIs, then plan again", f"{apply} && invoke gpu-plan --out FILE"


def _recorded(content: object, source: str) -> tuple[Grant, ...]:
    """Return the grants that allowed something on a record, without the owner's."""
    try:
        rows = [row for asked in content["asked"] for row in asked["by"]]  # type: ignore[index]
        if any(set(row) != _FIELDS or {*map(type, row.values())} != {str} for row in rows):
            raise TypeError
    except (LookupError, TypeError):
        raise UserError(f"--rights {source}: neither a plan ({PLAN}) nor a record ({RECORD})") from None
    grants = dict.fromkeys(Grant(**row) for row in rows)
    return tuple(each for each in grants if each.role != OWNER_ROLE)


def person(work: str) -> str:
    """Return the member that does a work and nothing else."""
    return f"user:{slug(work)}@example.com"


def slug(work: str) -> str:
    """Return a work's name without spaces, as in an address and for --as."""
    return work.replace(" ", "-")


def rights_of_people(works: Iterable[str], settings: Settings) -> Iterator[Grant]:
    """Yield the grants of people, one for each work; without a secret, none on it."""
    known = _places(settings)
    for work in works:
        roles = [(known[on], role) for role, on in people.roles_of(work) if on in known]
        # two places may be one bucket
        yield from (Grant(name, f"roles/{role}", person(work)) for name, role in dict.fromkeys(roles))


def _places(settings: Settings) -> dict[str, str]:
    """Return the resources that ops/people.py names, without those that are not emulated."""
    return {on: name for on, name in places_of_people(settings).items() if has_policy(name)}


def environment_of(emulator: Emulator, settings: Settings, work: str = "") -> dict[str, str]:
    """Return the variables of the person who does a work, through its own door; of the owner without one."""
    if not work:
        return client_environment(emulator.storage, emulator.apis, emulator.state, settings.project_id)
    import requests  # here, because its import takes a fifth of invoke's start

    member = person(work)
    answer = requests.post(
        f"{emulator.apis}/_emulator/doors", json={"member": member}, headers=AS_OWNER, timeout=ANSWER_SECONDS
    )
    answer.raise_for_status()
    door = answer.json()
    return client_environment(door["storage"], door["apis"], emulator.state, settings.project_id, member)
