"""A run of Terraform as Infrastructure Manager makes it: fetch the blueprint, check it, plan, leave a log.

It applies nothing: a run that gets to its end says so in its log. What a run is for is in deployments.py
and previews.py.
"""

import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from localcloud.infra.blueprint import admits_terraform, problems_of, remote_modules
from localcloud.infra.requests import Settings, account_of, inputs_of
from localcloud.infra.sources import NoBlueprint, Sources
from localcloud.infra.terraform import Mistake, Plan, Terraform
from localcloud.messages import ApiError
from localcloud.projects import PROJECT_NUMBER, Projects
from localcloud.rights.actors import Actor, Actors
from localcloud.times import Clock, now

AGENT_ROLES = {"roles/config.agent", "roles/owner"}
# What a run does beside its resources: its state, its lock, its plan, its log. Google documents the role that
# an account needs for it, and not which permission of the role is asked when.
AGENT_PERMISSIONS = (
    "config.artifacts.import",
    "config.deployments.deleteState",
    "config.deployments.getLock",
    "config.deployments.getState",
    "config.deployments.updateState",
    "config.previews.upload",
    "config.revisions.getState",
    "logging.logEntries.create",
)
MAX_ERRORS = 10  # that a resource shows; the log has all
DENIED, BUILD_FAILED = "CLOUD_BUILD_PERMISSION_DENIED", "RUN_FAILED"
APPLY, DESTROY, PREVIEW = "apply", "destroy", "preview"
_LAST_STEP = {APPLY: "RUNNING_TF_APPLY", DESTROY: "RUNNING_TF_DESTROY", PREVIEW: "RUNNING_TF_PLAN"}

Report = Callable[..., None]  # facts of a run, by name, as it goes on


@dataclass(frozen=True)
class Run:
    """What is to be run, and where its log goes."""

    kind: str  # APPLY, DESTROY or PREVIEW
    project: str
    location: str
    settings: Settings
    version: str  # of Terraform
    folder: str  # below the bucket of artifacts
    destroys: bool = False  # a preview of a deletion
    build: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def bucket(self) -> str:
        return self._place[0]

    @property
    def path(self) -> str:
        """Return the folder of the log within the bucket."""
        return "/".join(filter(None, (self._place[1].strip("/"), self.folder)))

    @property
    def _place(self) -> tuple[str, str]:
        given = self.settings.get("artifactsGcsBucket", "")
        default = f"gs://{PROJECT_NUMBER}-{self.location}-blueprint-config"
        bucket, _, folder = str(given or default).removeprefix("gs://").partition("/")
        return bucket, folder


@dataclass
class Outcome:
    """How a run ended; without mistakes it has succeeded."""

    mistakes: list[Mistake] = field(default_factory=list)
    code: str = ""  # DENIED or BUILD_FAILED
    log: str = ""  # address
    plan: str = ""  # address of the folder with the plan; empty without one

    @property
    def text(self) -> str:
        """Return the mistakes in one line."""
        return "; ".join(mistake.text for mistake in self.mistakes)

    def errors(self) -> list[dict[str, Any]]:
        """Return the mistakes as a resource shows them."""
        return [
            {"errorDescription": each.text}
            | ({"resourceAddress": each.address} if each.address else {})
            | {"error": {"code": 3, "message": each.text}}
            for each in self.mistakes[:MAX_ERRORS]
        ]


class Builds:
    """Runs of all projects, and what a test orders for the next ones."""

    def __init__(
        self,
        sources: Sources,
        projects: Projects,
        clock: Clock,
        terraform: Terraform | None,
        actors: Actors,
    ):
        self._sources, self._projects, self._clock = sources, projects, clock
        self._terraform, self._actors = terraform, actors
        self._seconds, self._failure = 0.0, ""
        self._lock = threading.Lock()

    def order(self, seconds: float, failure: str) -> None:
        """Have each run take a time on the services' clock, and fail with an error at its last step."""
        with self._lock:
            self._seconds, self._failure = seconds, failure

    def ordered(self) -> dict[str, Any]:
        with self._lock:
            return {"seconds": self._seconds, "failure": self._failure}

    def run(self, run: Run, report: Report) -> Outcome:
        """Carry a run out to its end; `report` is called with each step.

        One that breaks off has failed: its operation would go on for ever.
        """
        try:
            return self._logged(run, report)
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            text = f"Fault of the emulator, see its stderr: {type(error).__name__}: {error}"
            return Outcome([Mistake(text)], BUILD_FAILED)

    def _logged(self, run: Run, report: Report) -> Outcome:
        lines: list[str] = []

        def log(line: str) -> None:
            lines.append(f"{now()} {line}")

        try:
            outcome = self._carried_out(run, report, log)
        except ApiError as refused:  # by the bucket of artifacts
            outcome = Outcome([Mistake(refused.message)], BUILD_FAILED)
        for mistake in outcome.mistakes:
            log(f"Error: {mistake.text}")
        if outcome.code != DENIED:  # which could not write it
            name = f"{run.path}/logs/log-{run.build}.txt"
            text = "\n".join([*lines, ""]).encode()
            try:
                outcome.log = self._sources_of(run).write(run.bucket, name, text, "text/plain; charset=utf-8")
            except ApiError as gone:  # the bucket was deleted meanwhile, or is not the account's to write
                return Outcome([*outcome.mistakes, Mistake(gone.message)], BUILD_FAILED)
        logs = {"logs": outcome.log} if outcome.log else {}
        report(step="FAILED" if outcome.mistakes else "SUCCEEDED", **logs)
        return outcome

    def _carried_out(self, run: Run, report: Report, log: Callable[[str], None]) -> Outcome:
        report(build=run.build, step="PREPARING_STORAGE_BUCKET")
        if why := self._why_denied(run):
            return Outcome([Mistake(f"Cloud Build failed due to a permission issue: {why}")], DENIED)
        if "artifactsGcsBucket" not in run.settings:
            self._sources_of(run).need_bucket(run.bucket, run.project, run.location)
        plan, outcome = Plan(), Outcome()
        if run.kind != DESTROY:  # which needs the state only
            plan = self._checked(run, report, log)
        if plan.content:
            outcome.plan = self._write_plan(run, plan)
        report(step=_LAST_STEP[run.kind])
        order = self.ordered()
        time.sleep(self._clock.wall_seconds(order["seconds"]))
        if order["failure"] and not plan.mistakes:
            plan.mistakes.append(Mistake(order["failure"]))
        if not plan.mistakes and run.kind != PREVIEW:
            log(f"localcloud has no {run.kind} of resources: none was created, changed or deleted.")
        outcome.mistakes = plan.mistakes
        outcome.code = BUILD_FAILED if plan.mistakes else ""
        return outcome

    def _why_denied(self, run: Run) -> str:
        """Return why the account may not run a blueprint; without rights, its role decides."""
        actor = self._actor(run)
        lacks = f"{actor.email} lacks roles/config.agent on project {run.project}"
        if not self._actors.rights.are_enforced:
            has_role = self._projects.has_role(run.project, actor.member, AGENT_ROLES)
            return "" if has_role else lacks
        whys = [actor.why_not(each, f"projects/{run.project}") for each in AGENT_PERMISSIONS]
        return next((f"{lacks}: {why}" for why in whys if why), "")

    def _checked(self, run: Run, report: Report, log: Callable[[str], None]) -> Plan:
        address = run.settings["terraformBlueprint"]["gcsSource"]
        report(step="DOWNLOADING_BLUEPRINT")
        try:
            files = self._sources_of(run).read(address)
        except NoBlueprint as missing:
            return Plan([Mistake(str(missing))])
        log(f"Blueprint {address}: {len(files)} files")
        return self._plan(run, files, report, log)

    def _plan(self, run: Run, files: dict[str, bytes], report: Report, log: Callable[[str], None]) -> Plan:
        """Return the mistakes of a blueprint, by the service's rules and then by Terraform itself."""
        inputs = inputs_of(run.settings["terraformBlueprint"])
        report(step="RUNNING_TF_INIT")
        if problems := problems_of(files, inputs, run.version):
            return Plan([Mistake(problem) for problem in problems])
        log(f"The blueprint keeps the rules of Infrastructure Manager with Terraform {run.version}.")
        remote = remote_modules(files)
        if remote:
            log(f"Not read, because it lies elsewhere: {', '.join(remote)}")
        if not self._terraform:
            log("Only these rules were checked: localcloud was started without --terraform.")
            return Plan()
        installed = self._terraform.version()
        if remote or not installed or not admits_terraform(files, installed):
            log(f"Only these rules were checked: Terraform {installed or '(none)'} here cannot plan it.")
            return Plan()
        log(f"Terraform {installed} of this machine validates and plans the blueprint.")
        report(step="RUNNING_TF_PLAN")
        return replace(self._terraform, actor=self._actor(run)).plan(files, inputs, run.destroys, log)

    def _write_plan(self, run: Run, plan: Plan) -> str:
        folder, sources = f"{run.path}/artifacts", self._sources_of(run)
        sources.write(run.bucket, f"{folder}/tfplan", plan.content, "application/octet-stream")
        sources.write(run.bucket, f"{folder}/tfplan.json", plan.resources, "application/json")
        return f"gs://{run.bucket}/{folder}"

    def _sources_of(self, run: Run) -> Sources:
        return self._sources.as_(self._actor(run))

    def _actor(self, run: Run) -> Actor:
        return self._actors.as_(account_of(run.settings))
