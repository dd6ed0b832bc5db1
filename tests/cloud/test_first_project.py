"""docs/first-project.md, typed from top to bottom on an emulated cloud: what it says one sees is compared.

What needs Terraform, builds or a GPU lane is a dry run, and what only waits is not waited for. All else is
done by the real invoke and the real gcloud, with the tasks of jobs/probe.json as processes of this machine.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from localcloud.process import running
from tests.cloud_operators import BUCKET, CloudOperator, ready_cloud
from tests.cloud_runs import PROJECT, REGION
from tests.emulated import post, request
from tests.experiments import REPOSITORY, sampled
from tests.pages import Command, commands_of

WORKFLOW_ACCOUNT = f"serviceAccount:epymodelingsuite-workflow@{PROJECT}.iam.gserviceaccount.com"
# As in terraform/accounts.tf: gcloud wants to be told whether a binding has a condition wherever any has one.
CLAIMS = {
    "role": "roles/storage.objectUser",
    "members": [WORKFLOW_ACCOUNT],
    "condition": {
        "title": "claims of runs",
        "expression": f'resource.name.startsWith("projects/_/buckets/{BUCKET}/objects/")'
        ' && resource.name.endsWith("/execution.json")',
    },
}
PAGE = REPOSITORY / "docs" / "first-project.md"
MOST_WORDS = 1500
STEPS = 7

# A page is one shell; a mark after each command tells whose output is whose.
SHELL = r"""
invoke() {
  local dry=
  [[ $1 =~ ^(tf-|build$|gpu-) ]] && dry=--dry-run
  "$PYTHON" -m invoke --search-root "$CODE" "$@" $dry
}
source() { [[ $1 == .env ]]; }
sleep() { :; }
curl() { :; }
gcloud() {
  [[ "$1 $2" == "run services" ]] && return  # of the GPU lane, which is not deployed
  command gcloud "$@"
}
"""


def expected_of(page) -> Iterator[tuple[int, str]]:
    """Yield the lines that a reader should see, each with the line number of its command."""
    inside, command = False, 0
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            command = number
        elif inside:
            yield command, line


def as_pattern(line: str) -> str:
    return ".*".join(map(re.escape, line.split("...")))


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """The operator, and what each command of the page printed, by its line."""
    folder = tmp_path_factory.mktemp("desk")
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "20") as cloud:
        pipeline = ready_cloud(cloud)
        for account in ("batch", "builder", "workflow", "build"):
            accounts = f"{cloud.apis}/v1/projects/{PROJECT}/serviceAccounts"
            post(accounts, {"accountId": f"epymodelingsuite-{account}"})
        batch = f"serviceAccount:epymodelingsuite-batch@{PROJECT}.iam.gserviceaccount.com"
        policy = {"bindings": [{"role": "roles/batch.agentReporter", "members": [batch]}]}
        post(f"{cloud.apis}/v1/projects/{PROJECT}:setIamPolicy", {"policy": policy})
        answer = request(
            "PUT", f"{cloud.storage}/storage/v1/b/{BUCKET}/iam", json={"version": 3, "bindings": [CLAIMS]}
        )
        assert answer.status_code == 200, answer.text
        # the machine that has too little memory is not this one
        pipeline.order({"job": "probe", "tasks": [4], "exit_code": 137})
        operator = CloudOperator(cloud, folder, sampled())
        operator.with_own_code()
        for name in ("jobs", "terraform", "docker"):
            ignored = shutil.ignore_patterns("rendered", ".terraform*")
            shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored, dirs_exist_ok=True)
        shutil.copy(REPOSITORY / "cloudbuild.yaml", folder)
        probe = folder / "jobs" / "probe.json"
        probe.write_text(probe.read_text().replace('"180s"', '"5s"'))  # which are seconds of this machine
        environ = operator.environ | {
            "PYTHON": sys.executable,
            "CODE": str(folder),
            "REGION": REGION,
            "BATCH_SERVICE_ACCOUNT": "epymodelingsuite-batch",
            "WORKFLOW_SERVICE_ACCOUNT": "epymodelingsuite-workflow",
        }
        script = [SHELL, *_script(commands_of(PAGE))]
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        yield operator, _outputs(done.stdout)


def _script(commands: list[Command]) -> Iterator[str]:
    """Yield the lines of the script; where the page has the reader copy an id, it is looked up."""
    newest_run = (
        "RUN_ID=$(invoke runs --cloud --limit 1 | grep -o '[0-9]\\{8\\}-[0-9]\\{6\\}-[0-9a-f]\\{8\\}')"
    )
    listed = "gcloud batch jobs list --location $REGION --sort-by ~createTime --format 'value(name)'"
    newest_job = f"JOB=$({listed} | sed 's|.*/||;q')"
    for command in commands:
        text = command.text.replace("demo", "trial")
        if command.sets() == {"RUN_ID"}:
            text = newest_run
        elif command.sets() == {"JOB"}:
            text = newest_job
        yield f"echo '@@ begin {command.line}'\n{text}\ncode=$?; echo; echo \"@@ end {command.line} $code\""


def _outputs(said: str) -> dict[int, tuple[int, str]]:
    found = re.findall(r"^@@ begin (\d+)\n(.*?)^@@ end \1 (\d+)$", said, re.DOTALL | re.MULTILINE)
    return {int(line): (int(code), output) for line, output, code in found}


@pytest.mark.timeout(1200)
def test_every_command_of_the_page_works_and_shows_what_the_page_says(typed):
    _, outputs = typed
    commands = {each.line: each for each in commands_of(PAGE)}
    # the doctor is right that not all is there: nothing was applied
    may_fail = {line for line, each in commands.items() if "invoke doctor" in each.text}

    assert outputs.keys() == commands.keys()
    failed = [
        f"{commands[line]}\n{output}"
        for line, (code, output) in outputs.items()
        if code and line not in may_fail
    ]
    assert not failed, "\n".join(failed)
    seen = list(expected_of(PAGE))
    assert len(seen) >= 8
    for line, wanted in seen:
        assert re.search(as_pattern(wanted), outputs[line][1]), (
            f"{commands[line]}\n{wanted}\n{outputs[line][1]}"
        )


@pytest.mark.timeout(1200)
def test_the_report_has_what_the_probe_found_and_the_tasks_ended_as_they_should(typed):
    operator, _ = typed
    report = json.loads((operator.folder / "after.json").read_text())
    found = {each["name"]: each["answer"] for each in report["doubts"]}
    codes = {name: said["raised"].get("code") for name, said in found["probe of calls"]["said"].items()}
    ends = {
        each["index"]: [
            one["task_execution"]["exitCode"] for one in each["events"] if "task_execution" in one
        ]
        for each in found["tasks"]
        if each["stage"] == "probe"
    }

    # the emulator without rights knows of no object and no job, where the service refuses
    assert codes == {
        "object_without_right": 404,
        "job_that_is_not_there": 404,
        "job_of_another_project": 404,
        "job_without_tasks": 400,
        "job_with_failing_tasks": None,
    }
    job = found["probe of calls"]["said"]["job_with_failing_tasks"]
    assert job["returned"]["state"] == "FAILED"
    assert job["raised"] == {}
    assert {index: codes[-1] for index, codes in ends.items() if codes} == {
        "1": 2,
        "2": 75,
        "3": 50005,
        "4": 137,
    }
    assert len(ends) == 5
    text = (operator.folder / "after.json").read_text()
    assert PROJECT not in text
    assert BUCKET not in text
    assert str(operator.folder) not in text


def test_the_bucket_has_the_bindings_of_terraform_alone_in_the_end(typed):
    operator, _ = typed

    policy = request("GET", f"{operator.cloud.storage}/storage/v1/b/{BUCKET}/iam").json()

    assert policy["bindings"] == [CLAIMS]


def test_the_page_is_short_and_each_step_says_what_it_costs():
    text = PAGE.read_text()

    assert len(text.split()) <= MOST_WORDS
    headings = re.findall(r"^## (\d)\. .*\((free|0\.\d\d USD: [^)]+|0\.\d\d USD: .*)\)$", text, re.MULTILINE)
    assert [int(number) for number, _ in headings] == list(range(1, STEPS + 1))


def test_all_that_the_page_makes_is_removed_by_the_page():
    text = PAGE.read_text()
    undone = {
        "gcloud workflows deploy first-project-probe": "gcloud workflows delete first-project-probe",
        "buckets add-iam-policy-binding": "buckets remove-iam-policy-binding",
        "invoke gpu-deploy": "invoke gpu-destroy",
        "invoke tf-apply": "invoke tf-destroy",
    }

    for made, removed in undone.items():
        assert 0 < text.index(made) < text.index(removed)
    removed, given_back = (
        text.index("gcloud projects remove-iam-policy-binding"),
        text.rindex("invoke tf-apply"),
    )
    assert removed < given_back
