"""Rehearse the GPU lane on an emulated cloud: deployed, used twice and removed, with one line for each step.

The workflow file, gcloud and the services are real; there is no GPU. The tables must be those of a run of the
Batch lane's stages on this machine, with the same experiment, seed and engine.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from localcloud.process import Cloud as Emulator
from localcloud.process import running
from localcloud.rights.resources import bucket_name
from modeling.run_names import BUILT_IN
from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gpu import experiment
from ops.gpu.deploy import Wish, deploy
from ops.gpu.destroy import destroy
from ops.gpu.names import BUCKETS, SERVICES, Names
from ops.gpu.smoke import check_answer, write_sentence
from ops.gpu.uploads import Uploads
from ops.laptop import local_run
from ops.rehearsal.denials import denials_explained
from ops.rehearsal.first_use import used_first
from ops.rehearsal.five_states import EXP_ID as FIVE_STATES
from ops.rehearsal.policies import ANSWER_SECONDS, AS_OWNER, clear
from ops.rehearsal.questions import Questions
from ops.rehearsal.rehearsal import (
    digests_here,
    for_emulator,
    here_in,
    kept_folder,
    with_experiment,
    without_commands,
)
from ops.rehearsal.rights import Bindings, RightsRequest, environment_of
from ops.run_request import RunRequest
from ops.settings import Settings
from ops.shell import Shell
from ops.terminal import counted, print_step, timed

# The works of the people who take part: DEPLOYER deploys and removes; USER uploads and reads results.
DEPLOYER, USER = "deploy the lane", "smoke"
CLOCK_SPEED = 60  # the quarter of an hour after which an idle instance stops takes 15 seconds
WAIT_SECONDS = 240  # for instances to stop


def rehearse(shell: Shell, settings: Settings, request: RunRequest, wanted: RightsRequest) -> None:
    """Deploy the lane to an emulated cloud, use it, remove it, and compare its tables with a run here.

    Rights are those that the deployment gives, unless a file replaces them.

    Raises
    ------
    UserError
        A step failed, something was denied, the tables differ, or something is left (exit code 1); the files
        are then kept. There is no gcloud, or the file is a plan for the other lane (2).
    """
    _refuse_options(request)
    bindings = wanted.given("gpu")
    if request.exp_id != FIVE_STATES:  # which is written if nobody has it
        experiment.check_experiment(settings, request.exp_id)
    shell.end_if_dry_run(lambda: _print_commands(shell, settings))
    shell.need("gcloud")
    shell.report(bindings.summary() if bindings else "rights: those of the deployment, and people's")
    begun = time.monotonic()
    with kept_folder(settings) as folder:
        settings = with_experiment(settings, request.exp_id, folder)
        archive = experiment.packed(shell, settings, request.exp_id, folder)
        deployed = _for_emulator(settings, folder)
        deployed = bindings.named(deployed) if bindings else deployed
        words = ["--clock-speed", str(CLOCK_SPEED), "--rights-of", deployed.project_id]
        words += ["--iam-delay", str(wanted.iam_delay_seconds)]
        with running(folder / "cloud", *words) as emulator:
            rehearsal = _Rehearsal.on(emulator, deployed, folder, Questions(wanted.iam_delay_seconds))
            with denials_explained(emulator.apis, deployed.project_id, bindings), without_commands():
                rehearsal.run(archive, settings, request, bindings)
            rehearsal.questions.note(emulator.apis)
    print("\n".join(rehearsal.questions.lines()))
    print(f"rehearsed in {time.monotonic() - begun:.0f} s")


def _print_commands(shell: Shell, settings: Settings) -> None:
    cloud = Cloud.of(shell, _for_emulator(settings, settings.local_data_path))
    deploy(cloud, Wish(Path("experiment.tar.gz"), "auto"), print)


def _for_emulator(settings: Settings, folder: Path) -> Settings:
    """Return the settings for the emulated cloud.

    There is no budget, since gcloud would ask the real billing, and the record of the deployment is in
    `folder`, not in the place of that of a real one.
    """
    changed = {"billing_account": "", "monthly_budget_usd": 0, "local_data_path": folder}
    return for_emulator(settings).model_copy(update=changed)


def _refuse_options(request: RunRequest) -> None:
    """Refuse options that this lane does not have: an upload brings its experiment, seed included."""
    given = {
        "--docker": request.docker,
        "--count": request.count is not None,
        "--seed": request.seed is not None,
        "--reference-date": bool(request.reference_date),
        "--strict": request.strict,
        "--output-config-file": bool(request.output_config_file),
    }
    if names := [name for name, is_given in given.items() if is_given]:
        raise UserError(f"{' and '.join(names)}: for --lane batch; leave it out")


@dataclass
class _Rehearsal:
    """A lane on an emulated cloud."""

    cloud: Cloud  # as the person uses it who deploys
    names: Names
    emulator: Emulator
    folder: Path
    questions: Questions

    @cached_property
    def uploads(self) -> Uploads:
        """The uploads of the person who uploads, and reads the results."""
        environment = environment_of(self.emulator, self.cloud.settings, USER)
        return Uploads(replace(self.cloud, shell=Shell(environment=environment)), self.names)

    @classmethod
    def on(cls, emulator: Emulator, settings: Settings, folder: Path, questions: Questions) -> "_Rehearsal":
        cloud = Cloud.of(Shell(environment=environment_of(emulator, settings, DEPLOYER)), settings)
        return cls(cloud, Names.of(settings), emulator, folder, questions)

    def run(self, archive: Path, settings: Settings, request: RunRequest, bindings: Bindings | None) -> None:
        real_delay_seconds = self.questions.delay_seconds / CLOCK_SPEED
        self.add_images()
        self.admit(DEPLOYER)
        time.sleep(real_delay_seconds)  # people have had their roles for long
        deploy(self.cloud, Wish(archive, "auto"), _nothing_asked, print_step)
        self.give(bindings)
        used_first(self.emulator, real_delay_seconds, lambda: self.check_health("health"), self.questions)
        with timed(f"forecast of {request.exp_id}") as line:
            result, place = self.upload(archive)
            line.note = f"{counted(result['units'], 'unit')}, {result['device']}"
        with timed("the same run here"):
            here = self.run_here(settings, request, result["summary"])
        with timed("compare") as line:
            line.note = self.compare(place, here)
        self.check_health("health again")
        with timed("idle stop") as line:
            line.note = self.wait_for_stop()
        with timed("sentence, cold start") as line:
            line.note = self.upload_sentence()
        destroy(self.cloud, _nothing_asked, delete_data=True, tell=print_step)
        with timed("nothing left"):
            if left := self.instances():
                raise UserError(f"{counted(len(left), 'instance')} left after the removal", exit_code=1)

    def give(self, bindings: Bindings | None) -> None:
        """Give the person who uploads its roles; rights that are given replace those of the deployment."""
        if bindings:
            for holder in self.holders():
                clear(self.emulator.storage, self.emulator.apis, holder)
        self.admit(DEPLOYER, USER, bindings=bindings)

    def admit(self, *works: str, bindings: Bindings | None = None) -> None:
        """Give rights, if there are any, and those of the people who do some works."""
        bindings = bindings or Bindings((), "the deployment")
        bindings.with_people(works, self.cloud.settings).apply(self.emulator)

    def holders(self) -> list[str]:
        """Return the resources of the lane whose policies a deployment sets."""
        project = f"projects/{self.cloud.project}"
        buckets = [bucket_name(self.names.bucket(each)) for each in BUCKETS]
        place = f"{project}/locations/{self.cloud.region}/services"
        return [project, *buckets, *(f"{place}/{self.names.service(each)}" for each in SERVICES)]

    def add_images(self) -> None:
        """Put the images into the registry that a build would; their code is this checkout's."""
        import requests  # here, because its import takes a fifth of invoke's start

        for name in SERVICES:
            image = self.names.image(name, self.cloud.settings.image_tag)
            url = f"{self.emulator.apis}/_emulator/images"
            answer = requests.post(url, json={"image": image}, headers=AS_OWNER, timeout=ANSWER_SECONDS)
            answer.raise_for_status()

    def check_health(self, title: str) -> None:
        """Have the workflow ask each service for its health."""
        with timed(title) as line:
            health = self.uploads.health()
            line.note = f"{counted(len(health), 'service')}, {health['inference']['device']}"

    def upload(self, file: Path) -> tuple[dict[str, Any], str]:
        """Upload a file; return result.json, and the folder of the results, ending with /."""
        generation = self.uploads.upload(file, file.name)
        ended = self.uploads.ended(self.uploads.execution_of(file.name, generation))
        return self.uploads.result(ended), ended["result"].rpartition("/")[0] + "/"

    def upload_sentence(self) -> str:
        """Upload a sentence; return what the answer says and how many instances were started for it."""
        result, _ = self.upload(write_sentence(self.folder))
        check_answer(result)
        return f"{result['summary']['label']}, {counted(len(self.instances()), 'instance')} started"

    def run_here(self, settings: Settings, request: RunRequest, summary: Mapping[str, Any]) -> dict[str, str]:
        """Run the experiment's stages with the same seed and engine; return the digests of the outputs."""
        here = here_in(settings, request.exp_id, self.folder)
        here = here.model_copy(update={"engine": summary["engine"], "modeling_suite": BUILT_IN})
        return digests_here(local_run.run(Shell(), here, replace(request, seed=summary["seed"])))

    def compare(self, place: str, here: dict[str, str]) -> str:
        """Compare the files of a result with those of the run here, byte for byte."""
        copies = self.folder / "results"
        copies.mkdir()
        cloud = self.uploads.cloud
        cloud.read(["storage", "cp", "--recursive", f"{place}*", str(copies), *cloud.in_project], echo=False)
        differing = [name for name, digest in here.items() if _digest(copies / name) != digest]
        if differing or not here:
            names = ", ".join(differing) or "everything: the run here has no outputs"
            raise UserError(f"the GPU lane and the run here differ in {names}", exit_code=1)
        return f"{counted(len(here), 'file')} equal, byte for byte"

    def instances(self) -> list[dict[str, Any]]:
        """Return the instances that run."""
        import requests

        url = f"{self.emulator.apis}/_emulator/run"
        answer = requests.get(url, headers=AS_OWNER, timeout=ANSWER_SECONDS)
        answer.raise_for_status()
        return answer.json()

    def wait_for_stop(self) -> str:
        """Wait until no instance is left."""
        before = len(self.instances())
        for _ in _until(WAIT_SECONDS, "instances did not stop when they were idle"):
            if not self.instances():
                break
        return f"{counted(before, 'instance')}, then 0"


def _nothing_asked(summary: str) -> None:
    """Say yes to a summary."""


def _until(seconds: float, problem: str) -> Iterator[None]:
    """Yield about twice a second; refuse with the problem when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.5)
    raise UserError(f"{problem} within {seconds:.0f} s", exit_code=1)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
