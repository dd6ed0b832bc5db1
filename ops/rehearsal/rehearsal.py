"""Run an experiment on the emulated cloud and on this machine; their tables must be equal.

The workflow file, gcloud, the stage scripts and the storage client are real. docs/rehearsal.md says what a
rehearsal proves, and what it cannot.
"""

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from localcloud.process import Cloud as Emulator
from localcloud.process import running
from modeling.run_names import OUTPUT_LIST, OUTPUTS
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import repository_path, user_functions_run
from ops.cloud.executions import follow
from ops.failures import UserError
from ops.images.images import source_commit, tagged
from ops.laptop import local_run
from ops.laptop.launch import check_engine
from ops.laptop.run_files import LocalRun
from ops.rehearsal.denials import denials_explained
from ops.rehearsal.first_use import used_first
from ops.rehearsal.five_states import EXP_ID as FIVE_STATES
from ops.rehearsal.five_states import write_five_states
from ops.rehearsal.planning import show_commands
from ops.rehearsal.populate import deploy, populate
from ops.rehearsal.questions import NONE, Questions
from ops.rehearsal.rights import Bindings, RightsRequest, environment_of, of_terraform
from ops.run_request import RunRequest
from ops.runs import cloud_run
from ops.runs.comparison import differing, digests
from ops.settings import Settings
from ops.shell import Shell
from ops.terminal import counted, nearest

NAME = "rehearsal"  # of the bucket, and of the project where PROJECT_ID is not set
PEOPLE = ("look", "run")  # whose work this is
CLOCK_SPEED = 20  # the workflow's pause of two seconds takes a tenth of a second


def rehearse(shell: Shell, settings: Settings, request: RunRequest, wanted: RightsRequest) -> None:
    """Run an experiment on an emulated cloud and on this machine, and compare the tables.

    Raises
    ------
    UserError
        A run failed, something was denied, or the tables differ (exit code 1); the files are then kept.
        There is no gcloud; rights are required, and there are none; or the file is a plan for the other lane
        (2).
    """
    plain = replace(request, docker=False)
    given = wanted.given("batch")
    if request.docker:
        check_engine(shell)
    shell.end_if_dry_run(lambda: _print_commands(shell, settings, plain, given))
    shell.need("gcloud")
    if given:
        shell.report(given.summary())
    questions = Questions(wanted.iam_delay_seconds)
    with kept_folder(settings) as folder:
        bindings = given or of_terraform(shell, for_emulator(settings), wanted, folder)
        settings = with_experiment(settings, request.exp_id, folder)
        done = local_run.run(shell, here_in(settings, request.exp_id, folder), plain)
        settings = for_emulator(settings)
        settings = bindings.named(settings) if bindings else settings
        request = replace(request, seed=done.manifest.seed)  # which may have been drawn
        delay_seconds = wanted.iam_delay_seconds
        with _emulator(shell, settings, request, folder, bool(bindings), delay_seconds) as emulator:
            request = replace(request, docker=False)
            in_cloud = _run_in_cloud(emulator, settings, request, folder, bindings, questions)
        _compare(in_cloud, digests_here(done))
    print("\n".join(questions.lines() if bindings else [NONE]))


def _print_commands(shell: Shell, settings: Settings, request: RunRequest, given: Bindings | None) -> None:
    folder = Path("rehearsal")
    settings = for_emulator(with_experiment(settings, request.exp_id, folder))
    if given:
        settings = given.named(settings)
    else:
        show_commands(shell, folder)
    cloud = Cloud.of(shell, settings)
    deploy(cloud, Path("environment.yaml"))
    cloud_run.start(cloud, request)


def _run_in_cloud(
    emulator: Emulator,
    settings: Settings,
    request: RunRequest,
    folder: Path,
    bindings: Bindings | None,
    questions: Questions,
) -> dict[str, str]:
    """Run an experiment on an emulated cloud to its end; return the digests of its outputs.

    The owner prepares it, one person runs it, another one reads the outputs, each with the roles for that.
    """

    def cloud_of(work: str = "") -> Cloud:
        environment = environment_of(emulator, settings, work if bindings else "")
        return Cloud.of(Shell(environment=environment), settings)

    real_delay_seconds = questions.delay_seconds / CLOCK_SPEED
    populate(emulator.storage, emulator.apis, settings)
    if bindings:
        if real_delay_seconds:  # people have had their roles for long; only the apply is recent
            replace(bindings, grants=()).with_people(PEOPLE, settings).apply(emulator)
            time.sleep(real_delay_seconds)
        bindings = bindings.with_people(PEOPLE, settings)
        bindings.apply(emulator)
    with denials_explained(emulator.apis, settings.project_id, bindings), without_commands():
        deploy(cloud_of(), folder / "environment.yaml")
        path = used_first(emulator, real_delay_seconds, lambda: _run(cloud_of("run"), request), questions)
        found = _digests_in(cloud_of("look"), path)
    questions.note(emulator.apis)
    return found


def _run(cloud: Cloud, request: RunRequest) -> str:
    """Run an experiment to its end; return the path of the run."""
    started = cloud_run.start(cloud, request)
    follow(started.execution, with_commands=False)
    return started.path


def with_experiment(settings: Settings, exp_id: str, folder: Path) -> Settings:
    """Return settings that find the experiment; five-states is written below `folder` if nobody has one."""
    repository = local_run.forecast_repository(settings, exp_id)
    if exp_id != FIVE_STATES or (repository / "experiments" / exp_id).is_dir():
        return settings
    repository = folder / "forecast"
    if folder.is_dir():  # not in a dry run
        write_five_states(repository)
    return settings.model_copy(update={"forecast_repo_dir": repository})


def for_emulator(settings: Settings) -> Settings:
    """Return the settings for the emulated cloud, which has no repository on GitHub."""
    names = {"project_id": settings.project_id or NAME, "bucket_name": NAME, "registry_host": ""}
    # what would run in the cloud runs here, too
    names["allow_user_functions"] = user_functions_run(settings)
    return settings.model_copy(
        update=names | {"execution_mode": "cloud", "github_forecast_repo": "", "github_pat_secret": ""}
    )


def here_in(settings: Settings, exp_id: str, folder: Path) -> Settings:
    """Return the settings of the run to compare with, with a folder of their own for its files."""
    places = {
        "local_data_path": folder / "here",
        "forecast_repo_dir": local_run.forecast_repository(settings, exp_id),
    }
    return settings.model_copy(update=places | {"execution_mode": "local"})


@contextmanager
def kept_folder(settings: Settings) -> Iterator[Path]:
    """Yield a folder that is removed on success; on failure its path is printed."""
    place = settings.local_data_path
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="rehearsal-", dir=place))
    try:
        yield folder
    except BaseException:
        if any(folder.iterdir()):
            print(f"the files are kept in {nearest(folder)}", file=sys.stderr)
        else:
            folder.rmdir()
        raise
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _emulator(
    shell: Shell,
    settings: Settings,
    request: RunRequest,
    folder: Path,
    enforces: bool,
    iam_delay_seconds: int,
) -> Iterator[Emulator]:
    words = ["--clock-speed", str(CLOCK_SPEED)]
    words += ["--rights-of", settings.project_id, "--iam-delay", str(iam_delay_seconds)] if enforces else []
    if request.docker:
        path, local = repository_path(settings), tagged(settings, source_commit())[0]
        if not shell.succeeds(["docker", "image", "inspect", "-f", "{{.Id}}", local], timeout_seconds=20):
            fix = f"PROJECT_ID={settings.project_id} invoke build-local --no-push"
            raise UserError(f"image {local} not found", fix=fix)
        words += ["--tasks", "docker", "--image", f"{path}={local}"]
    with running(folder / "cloud", *words) as emulator:
        yield emulator


@contextmanager
def without_commands() -> Iterator[None]:
    """Remove commands from errors: they would run on a stopped emulated cloud, or on the real one."""
    try:
        yield
    except UserError as error:
        problem = re.sub(r"(; [^;:]*:|;|:) *(invoke|gcloud) .*", "", error.problem, flags=re.DOTALL)
        raise UserError(problem, exit_code=error.exit_code) from None


def _digests_in(cloud: Cloud, path: str) -> dict[str, str]:
    """Return the digests of the outputs in the bucket; none if stage C was skipped."""
    if not cloud.settings.run_output_stage:
        return {}
    return digests(cloud.read(["storage", "cat", f"{path}{OUTPUTS}*/{OUTPUT_LIST}"]))


def digests_here(run: LocalRun) -> dict[str, str]:
    outputs = run.outputs()
    return digests(outputs[-1].joinpath(OUTPUT_LIST).read_text()) if outputs else {}


def _compare(in_cloud: dict[str, str], here: dict[str, str]) -> None:
    if names := differing(in_cloud, here):
        raise UserError(
            f"the runs in the cloud and here differ in {', '.join(names)}; they must be equal",
            exit_code=1,
        )
    print(f"equal: {counted(len(here), 'file')} of the run in the cloud and of the run here, byte for byte")
