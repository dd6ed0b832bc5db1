"""The guide, the runbooks and the README: every command in them is typed, so that none goes stale.

A page is one shell, as for whoever pastes it: the real invoke and the real gcloud, on an emulated cloud with
runs that have succeeded, have failed in each stage, and wait for machines, and with a GPU lane to which a
sentence and a file for no model were uploaded. What confirms a symptom is done,
and must show it; all else is a dry run where there is one. A command of an API that the emulator lacks is
read by gcloud, which then finds nobody logged in.
"""

import base64
import json
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from invoke import Collection
from invoke.exceptions import ParseError
from invoke.loader import FilesystemLoader
from invoke.parser import Parser

from localcloud.process import Cloud, running
from ops.gpu.names import Names
from ops.images.cloud_build import TAG
from tests.cloud_operators import BUCKET, IMAGE, WORKFLOW, CloudOperator, execution_in, ready_cloud, run_id_in
from tests.cloud_runs import PROJECT, REGION, WAIT_SECONDS, Pipeline
from tests.emulated import add_secret, commit_all, names_in, object_of, offer_repository, post
from tests.experiments import REPOSITORY, sampled
from tests.gpu_lanes import SENTENCE, GpuLane
from tests.pages import Command, commands_of
from tests.web_services import SENTIMENT

RUNBOOKS = sorted((REPOSITORY / "docs" / "runbooks").glob("*.md"))
TYPED = [
    REPOSITORY / "README.md",
    REPOSITORY / "docs" / "guide.md",
    REPOSITORY / "docs" / "access.md",
    *RUNBOOKS,
]
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "jobs" / "README.md",
    *sorted((REPOSITORY / "docs").glob("**/*.md")),
]
COMMIT = "3f2a9c1b7d04"
INDEX = REPOSITORY / "docs" / "runbooks" / "README.md"

# Whose EXP_ID, RUN_ID, EXECUTION and JOB stand in a page; in all others, those of the run that succeeded.
RUN_OF_PAGE = {
    **dict.fromkeys(
        ("gpu-quota", "gpu-cold-start", "gpu-stuck-execution", "gpu-cost", "gpu-tear-down"), "an upload"
    ),
    "stage-a-failed": "failed in A",
    "stage-c-failed": "failed in C",
    "queued": "waits",
    **dict.fromkeys(
        ("stage-b-failed", "resume", "missing-locations", "out-of-memory-or-time"), "failed in B"
    ),
}
IN_PEACE = ("tear-down", "costs")  # pages that are typed when nothing goes on
# What the command that confirms a symptom shows.
CONFIRMED = {
    "first-deployment": "ready for runs in the cloud",
    "weekly-forecast": "ready for runs in the cloud",
    "stage-a-failed": r"builder +0 +ERROR +.*no such experiment",
    "stage-b-failed": r"task 1, .*: exit code 2\b",
    "stage-c-failed": r"output +0 +ERROR +.*OUTPUT_CONFIG_FILE=absent\.yaml: no such file",
    "missing-locations": r"task 1, .*: exit code 2\b",
    "out-of-memory-or-time": r"task 1, .*: exit code 2\b",
    "queued": r"runner +QUEUED +.*\n.*CODE_GCE_QUOTA_EXCEEDED",
    "resume": r"trial +\S+ .*2/3",
    "roll-back-image": rf" {COMMIT}\b",
    "another-output": r"trial +\S+ .*3/3",
    "costs": "0 executions running",
    "tear-down": "0 executions running",
    "token": r"my-lab/epymodelingsuite",
    "gpu-quota": r"GPU quota +3 GPUs allowed, 3 wanted",
    "gpu-cold-start": r"health +\d+\.\d s  3 services, cpu",
    "gpu-stuck-execution": r"refused\.zip#\d+ +FAILED .* no model takes this file",
    "gpu-cost": r"one instance, 45 s +1 +45 s +0\.19 +0\.27",
    "gpu-tear-down": r"inference +yes +\S+-inference-\S+ +0 to 3",
}

SECRET, TOKEN, SUITE = "github-pat", "ghp_of_nobody", "my-lab/epymodelingsuite"
AT_ONCE = 3  # pages; most of a command is waiting for gcloud
PAGE_SECONDS = 800

# What the emulator has of gcloud; and how gcloud ends for want of a login, once it has read all its options.
SERVED = (
    "^(batch jobs|workflows (deploy|describe|execute|list|executions (describe|list))"
    "|storage (ls|cp|cat|buckets (create|describe|update))|secrets versions"
    "|logging read|builds list|artifacts docker (tags|images) list|services|projects describe) "
)
NOBODY = "active account|EOF when reading a line"

SHELL = r"""
set -uo pipefail
is_new() {  # what another page has typed is not typed again
  local ours='^(EXP_ID|RUN_ID|EXECUTION|JOB|_|PWD)=' what
  what=$( (printf '%s\n' "$CONFIRMS" "$@"; env | grep -Ev "$ours") | md5sum)
  mkdir "$SEEN/${what%% *}" 2>/dev/null
}
invoke() {
  is_new invoke "$@" || return 0
  local dry=
  [[ -z $CONFIRMS && " $DRYABLE " == *" $1 "* && " $* " != *" --dry-run "* ]] && dry=--dry-run
  if [[ $1 == config-init ]]; then  # into another file than the .env that other pages read at this moment
    ENV_FILE=$(mktemp) "$PYTHON" -m invoke --search-root "$CODE" config-init --force
  else
    "$PYTHON" -m invoke --search-root "$CODE" "$@" $dry
  fi
}
gcloud() {
  is_new gcloud "$@" || return 0
  [[ "$*" == "storage buckets create "* ]] && set -- "${@:1:3}" "$4-$RANDOM" "${@:5}"  # ours is there
  if [[ "$*" =~ $SERVED ]]; then
    command gcloud "$@"
    return
  fi
  local said
  said=$(env -u CLOUDSDK_AUTH_ACCESS_TOKEN_FILE CLOUDSDK_CONFIG="$NO_LOGIN" NO_GCE_CHECK=true \
    CLOUDSDK_CORE_CHECK_GCE_METADATA=false gcloud "$@" 2>&1 </dev/null) && return
  echo "$said"
  [[ $said =~ $NOBODY ]]
}
make() { command make --dry-run "$@" >/dev/null; }
git() { [[ $1 == clone ]]; }  # of an address that is not there
cd() { [[ $1 == epymodelingsuite-cloud ]]; }  # into that clone
source() { [[ $1 == .venv/bin/activate || $1 == .env ]]; }
"""


@dataclass(frozen=True)
class Typed:
    """A command that was typed, and how it ended."""

    command: Command
    exit_code: int
    output: str

    def __str__(self) -> str:
        return f"{self.command}\nended with {self.exit_code}: {self.output.strip()}"


class Desk:
    """An operator's checkout with a cloud behind it, and the shell in which pages are typed."""

    def __init__(self, operator: CloudOperator, tasks: Collection):
        self.folder = operator.folder
        (self.folder / "seen").mkdir()
        dryable = [name for name, one in tasks.tasks.items() if _takes_dry_run(one)]
        self.environ = operator.environ | {
            "PYTHON": sys.executable,
            "CODE": str(self.folder),
            "SEEN": str(self.folder / "seen"),
            "NO_LOGIN": str(self.folder / "no-login"),
            "DRYABLE": " ".join(name.replace("_", "-") for name in dryable),
            "SERVED": SERVED,
            "NOBODY": NOBODY,
            "EDITOR": "true",
            # as `source .env` would set them
            "REGION": REGION,
            "DIR_PREFIX": "",
            "REPO_NAME": "epymodelingsuite-repo",
            "IMAGE_NAME": "epymodelingsuite",
            "IMAGE_TAG": "latest",
            "BATCH_SERVICE_ACCOUNT": "epymodelingsuite-batch",
            "STEM": Names.of(operator.settings()).stem,
        }

    def type(self, page: Path, values: dict[str, str]) -> list[Typed]:
        """Type the commands of a page one after the other; what we have values for, it does not set."""
        commands = commands_of(page)
        confirming = _confirming(page, commands)
        script = [SHELL]
        for number, command in enumerate(commands):
            is_ours = command.sets() & (self.environ.keys() | values.keys())
            script += [
                f"CONFIRMS={'yes' if command is confirming else ''}; echo '@@ begin {number}'",
                ":" if is_ours else command.text,
                f'code=$?; echo; echo "@@ end {number} $code"',
            ]
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=self.folder,
            env=self.environ | values,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PAGE_SECONDS,
        )
        return [_ended(command, number, done.stdout) for number, command in enumerate(commands)]


def _confirming(page: Path, commands: list[Command]) -> Command | None:
    """Return the command that confirms the symptom of a runbook: the first but for what sets variables."""
    if page.stem not in CONFIRMED:
        return None
    return next(command for command in commands if not command.sets())


def _takes_dry_run(task) -> bool:
    return any(argument.name == "dry_run" for argument in task.get_arguments())


def _ended(command: Command, number: int, output: str) -> Typed:
    found = re.search(rf"^@@ begin {number}\n(.*?)^@@ end {number} (\d+)$", output, re.DOTALL | re.MULTILINE)
    return Typed(command, int(found[2]), found[1]) if found else Typed(command, -1, output[-2000:])


@pytest.fixture(scope="module")
def tasks() -> Collection:
    module, _ = FilesystemLoader(start=str(REPOSITORY)).load("tasks")
    return Collection.from_module(module)


@pytest.fixture
def operator(tmp_path_factory):
    """An operator with a checkout of their own, and a cloud that is ready for runs."""
    with running(tmp_path_factory.mktemp("cloud"), "--clock-speed", "20", "--builds", "queue") as cloud:
        yield ready_operator(cloud, tmp_path_factory.mktemp("desk"))


def ready_operator(cloud, folder: Path) -> CloudOperator:
    """Put there what Terraform and a build would, and a private repository with its token."""
    ready_cloud(cloud)
    add_secret(cloud, "ghp_of_last_year", SECRET, PROJECT)
    data = base64.b64encode(TOKEN.encode()).decode()
    post(f"{cloud.apis}/v1/projects/{PROJECT}/secrets/{SECRET}:addVersion", {"payload": {"data": data}})
    for account in ("batch", "builder", "workflow", "build"):
        accounts = f"{cloud.apis}/v1/projects/{PROJECT}/serviceAccounts"
        post(accounts, {"accountId": f"epymodelingsuite-{account}"})
    build = {"steps": [{"name": "builder"}], "tags": [TAG], "images": [f"{IMAGE}:{COMMIT}"]}
    post(f"{cloud.apis}/v1/projects/{PROJECT}/locations/global/builds", build)
    post(f"{cloud.apis}/_emulator/compute", {"subnetwork": f"{PROJECT}/{REGION}/epymodelingsuite"})
    private = {
        "GITHUB_PAT_SECRET": SECRET,
        "GITHUB_URL": f"{cloud.apis}/git",
        "GITHUB_MODELING_SUITE_REPO": SUITE,
    }
    operator = CloudOperator(cloud, folder, sampled(), **private)
    _copy_checkout(folder)
    commit_all(folder, "as it is")
    offer_repository(cloud, SUITE, folder, TOKEN)
    del operator.environ["ENV_FILE"], operator.environ["LOCAL_DATA_PATH"]
    operator.code = folder
    return operator


def _copy_checkout(folder: Path) -> None:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (REPOSITORY / name).is_file():  # not one that was deleted
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)


def runs_of(operator: CloudOperator) -> dict[str, dict[str, str]]:
    """Make runs that came to different ends, and return what stands for each in a page."""
    pipeline = Pipeline(operator.cloud, BUCKET, WORKFLOW)
    typed = operator.invoke("run", "--exp-id", "trial", "--wait")
    assert typed.exit_code == 0, typed.output
    good = run_id_in(typed.output)
    ends = {"succeeded": _values(good, execution_in(typed.output))}

    def begin(wanted: str, stage: str, copied: tuple[str, ...], **arguments: str) -> None:
        run_id = f"{good[:-2]}{'1' if good[-2] == '0' else '0'}{len(ends)}"  # never the good run's own
        for name in names_in(operator.cloud, BUCKET, f"trial/{good}/"):
            if name.startswith(tuple(f"trial/{good}/{folder}" for folder in copied)):
                _copy(operator.cloud, name, name.replace(good, run_id))
        manifest = f"trial/{run_id}/builder-artifacts/manifest.json"
        if manifest in names_in(operator.cloud, BUCKET, manifest):  # a manifest names the run it belongs to
            copied_text = object_of(operator.cloud, BUCKET, manifest).decode()
            pipeline.put(manifest, json.loads(copied_text.replace(good, run_id)))
        ends[wanted] = _values(run_id, pipeline.start(runId=run_id, **arguments), stage)

    begin("failed in A", "builder", ())  # there is no forecasting repository
    pipeline.order({"job": "runner", "tasks": [1], "exit_code": 2})
    begin("failed in B", "runner", ("builder-artifacts", "config"))
    results = ("builder-artifacts", "config", "runner-artifacts", "summaries")
    begin("failed in C", "output", results, outputConfigFile="absent.yaml")
    for name in ("failed in A", "failed in B", "failed in C"):
        pipeline.error(ends[name]["EXECUTION"])
    pipeline.clear_faults()
    pipeline.order({"job": "runner", "queue": "CODE_GCE_QUOTA_EXCEEDED"})
    begin("waits", "runner", ("builder-artifacts", "config"))
    return ends


def _values(run_id: str, execution: str, stage: str = "runner") -> dict[str, str]:
    names = {"EXP_ID": "trial", "RUN_ID": run_id, "EXECUTION": execution}
    return {**names, "JOB": f"{stage}-{execution}", "TAG": "latest"}


def _copy(cloud: Cloud, name: str, to: str) -> None:
    objects = f"{cloud.storage}/storage/v1/b/{BUCKET}/o"
    post(f"{objects}/{quote(name, safe='')}/rewriteTo/b/{BUCKET}/o/{quote(to, safe='')}", {})


def _wait_for_an_event(pipeline: Pipeline, job_id: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while job_id not in pipeline.jobs() or "CODE_GCE" not in str(pipeline.job(job_id)["status"]):
        assert time.monotonic() < deadline, pipeline.jobs().keys()
        time.sleep(0.1)


def uploads_to(operator: CloudOperator) -> dict[str, str]:
    """Deploy the GPU lane and upload two files; return what stands for one of them in a page."""
    lane = GpuLane(operator.cloud, {"MODELS": SENTIMENT, "CUDA_VISIBLE_DEVICES": ""})
    lane.deploy()
    generation = lane.upload("good.txt", SENTENCE)
    done = lane.done("good.txt", generation)
    lane.ended("refused.zip", lane.upload("refused.zip", b"PK"))
    (execution,) = lane.executions("good.txt")
    own = {"NAME": "good.txt", "GENERATION": generation, "KEY": done["key"]}
    return {**own, "EXECUTION": execution["name"].rpartition("/")[2]}


@pytest.mark.timeout(1800)
def test_every_command_works_as_it_is_pasted_and_what_confirms_a_symptom_shows_it(operator, tasks):
    runs = runs_of(operator)
    runs["an upload"] = uploads_to(operator)
    pipeline = Pipeline(operator.cloud, BUCKET, WORKFLOW)
    _wait_for_an_event(pipeline, runs["waits"]["JOB"])
    desk = Desk(operator, tasks)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        busy = [page for page in TYPED[1:] if page.stem not in IN_PEACE]
        asked = [pool.submit(desk.type, page, runs[RUN_OF_PAGE.get(page.stem, "succeeded")]) for page in busy]
        asked.append(pool.submit(desk.type, TYPED[0], {"EXECUTION_MODE": "local"}))  # as without a .env
        wait(asked)
        pipeline.cancel(runs["waits"]["EXECUTION"])
        pipeline.wait(runs["waits"]["EXECUTION"])
        peace = [page for page in TYPED if page.stem in IN_PEACE]
        asked += [pool.submit(desk.type, page, runs["succeeded"]) for page in peace]
    typed = [one for each in asked for one in each.result()]

    failed = [str(one) for one in typed if one.exit_code]
    assert not failed, "\n\n".join(failed)
    for stem, wanted in CONFIRMED.items():
        page = next(page for page in RUNBOOKS if page.stem == stem)
        confirming = _confirming(page, commands_of(page))
        # what two pages begin with is typed, and shown, in one of them
        shown = "".join(one.output for one in typed if one.command.text == confirming.text)
        assert re.search(wanted, shown), f"{confirming}: {shown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_task_and_option_that_a_page_names_is_there(page, tasks):
    parser = Parser(contexts=tasks.to_contexts())
    mistaken = []

    for command in commands_of(page):
        for words in command.calls("invoke"):
            try:
                parsed = parser.parse_argv(words)
            except ParseError as error:
                mistaken.append(f"{command}: {error}")
            else:
                mistaken += [f"{command}: no task" for _ in range(len(parsed) != 1)]

    assert not mistaken, "\n".join(mistaken)


def test_the_index_names_every_runbook_and_no_link_leads_nowhere():
    linked = set(re.findall(r"\]\(([a-z-]+\.md)\)", INDEX.read_text()))

    assert linked == {page.name for page in RUNBOOKS} - {INDEX.name}
    for page in TYPED:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
