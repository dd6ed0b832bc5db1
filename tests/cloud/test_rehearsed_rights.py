"""Rehearsals with the rights of a plan: enough for a run, and one line that says what is denied without one.

What `--rights` refuses is in tests/operator/test_rehearsal_rights.py.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

from localcloud.process import running
from localcloud.rights.grants import Grant
from localcloud.rights.resources import bucket_name
from ops.cloud.cloud import Cloud
from ops.laptop.local_cloud import RIGHTS
from ops.rehearsal.furnish import furnish_this_shell
from ops.rehearsal.policies import give, policy_of
from ops.rehearsal.rights import environment_of
from ops.settings import Settings
from ops.shell import Shell
from tests.experiments import POPULATIONS, sampled
from tests.needs import need_program, need_terraform
from tests.operators import Operator, invoke_in, wait_for_file
from tests.terraform_plans import NEEDED, condition_of, configured, plans

OBJECT_USER = "roles/storage.objectUser"
PROJECT, BUCKET = NEEDED["project_id"], NEEDED["bucket_name"]


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    with configured(tmp_path_factory) as configuration:
        yield plans(configuration)


@pytest.fixture
def operator(tmp_path):
    need_program("gcloud")
    operator = Operator(tmp_path, sampled())
    shutil.copytree(POPULATIONS, tmp_path / "local" / "forecast" / "data" / "epydemix-data")
    del operator.environ["EPYDEMIX_DATA_DIR"]
    return operator


def write_plan(operator, plan, without: str = "") -> str:
    """Write a plan, without the binding of an address; return the file's name."""
    changes = [each for each in plan["resource_changes"] if each["address"] != without]
    assert len(changes) == len(plan["resource_changes"]) - bool(without)
    (operator.folder / "plan.json").write_text(json.dumps(plan | {"resource_changes": changes}))
    return "plan.json"


def test_a_run_needs_no_right_that_the_plan_and_the_list_of_people_do_not_give(operator):
    ended = operator.invoke("rehearse", "--exp-id", "trial", "--rights", **need_terraform())

    assert ended.exit_code == 0, ended.output
    assert re.search(r"^rights: \d\d bindings of the plan of terraform/, and people's$", ended.output, re.M)
    assert ended.lines[-2].startswith("equal: ")
    assert re.fullmatch(r"rights: \d{2,} questions of \d+ members, nothing was denied", ended.last_line)
    assert "denied" not in ended.output.replace("nothing was denied", "")
    assert not list((operator.folder / "local").glob("rehearsal-*"))


def test_a_plain_rehearsal_says_why_it_has_no_rights(operator):
    need_program("terraform")
    config = operator.folder / "empty.tfrc"
    mirror = operator.folder / "mirror"
    mirror.mkdir()
    config.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{mirror}" }}\n}}\n')

    ended = operator.invoke("rehearse", "--exp-id", "trial", TF_CLI_CONFIG_FILE=str(config))

    assert ended.exit_code == 0, ended.output
    said = "rights: not rehearsed, because terraform/ cannot be planned: terraform init: Failed to query"
    assert len([line for line in ended.lines if line.startswith(said)]) == 1
    assert ended.lines[-2].startswith("equal: ")
    assert ended.last_line == "rights: not rehearsed"


def test_a_rehearsal_with_a_file_says_whose_bindings_count_and_how_a_short_delay_was_felt(operator, planned):
    file = write_plan(operator, planned())

    ended = operator.invoke("rehearse", "--exp-id", "trial", "--rights", file, "--iam-delay", "1")

    assert ended.exit_code == 0, ended.output
    assert re.search(r"^rights: \d\d bindings of plan\.json, and people's$", ended.output, re.M)
    assert re.fullmatch(r"rights: \d{2,} questions of \d+ members, nothing was denied", ended.lines[-2])
    assert ended.last_line == "delay of 1 s: nothing was refused because of it"


def test_without_a_binding_of_the_plan_a_rehearsal_ends_with_who_may_not_do_what_and_the_fix(
    operator, planned
):
    plan = planned(github_pat_secret="github-pat", github_forecast_repo="my-lab/flu")
    file = write_plan(operator, plan, without="google_storage_bucket_iam_member.workflow_claims_runs")

    ended = operator.invoke("rehearse", "--exp-id", "trial", "--rights", file)

    assert ended.exit_code == 1, ended.output
    account = f"epymodelingsuite-workflow@{PROJECT}.iam.gserviceaccount.com"
    said = re.search(
        rf"^denied: {re.escape(account)} may not storage\.objects\.create on projects/_/buckets/{BUCKET}/"
        rf"objects/trial/\S+/execution\.json: (gcloud .*)$",
        ended.output,
        re.M,
    )
    assert said, ended.output
    condition = condition_of(plan, 'batch_uses_runs["batch"]')
    assert said[1] == (
        f"gcloud storage buckets add-iam-policy-binding gs://{BUCKET} --member serviceAccount:{account} "
        "--role roles/storage.objectUser --condition "
        + shlex.quote(f"expression={condition},title=as others have it")
    )
    assert "Traceback" not in ended.output
    assert "builder  RUNNING" not in ended.output


def test_without_a_role_that_no_run_stops_for_a_rehearsal_ends_with_who_was_denied_it(operator, planned):
    file = write_plan(
        operator, planned(), without='google_project_iam_member.workflow["roles/logging.logWriter"]'
    )

    ended = operator.invoke("rehearse", "--exp-id", "trial", "--rights", file)

    assert ended.exit_code == 1, ended.output
    account = f"epymodelingsuite-workflow@{PROJECT}.iam.gserviceaccount.com"
    assert (
        f"denied: {account} may not logging.logEntries.create on projects/{PROJECT}: gcloud projects "
        f"add-iam-policy-binding {PROJECT} --member serviceAccount:{account} --role roles/logging.logWriter "
        "--condition None"
    ) in ended.lines
    assert "error: all was done, but not everything was allowed" in ended.lines
    assert "equal: " not in ended.output


def test_a_shell_of_ones_own_is_denied_what_the_work_of_its_user_does_not_need(operator, planned):
    file = write_plan(operator, planned())
    process = operator.start("localcloud", "--rights", file, "--as", "look", PROJECT_ID=PROJECT)
    exports = operator.folder / "local" / "cloud" / "exports"
    wait_for_file(exports)
    here = shlex.join([*invoke_in(operator.code)])
    commands = [
        f"source {shlex.quote(str(exports))}",
        f"{here} localcloud --furnish",
        f"gcloud storage ls gs://{BUCKET}",
        f"! gcloud storage cp plan.json gs://{BUCKET}/plan.json",
        "echo the end",
    ]

    shell = subprocess.run(
        ["bash", "-euc", "\n".join(commands)],
        cwd=operator.folder,
        env={
            **{n: os.environ[n] for n in ("PATH", "HOME", "LANG") if n in os.environ},
            "ENV_FILE": operator.environ["ENV_FILE"],
            "BUCKET_NAME": BUCKET,
        },
        capture_output=True,
        text=True,
        timeout=200,
    )
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)

    assert shell.returncode == 0, shell.stdout + shell.stderr
    assert shell.stdout.rstrip().endswith("the end")
    assert re.search(r"^rights: \d{3} bindings of .*plan\.json and of people$", shell.stdout, re.M)
    assert re.search(
        r"^rights: \d+ bindings will be given by another --furnish, once there is ", shell.stdout, re.M
    )
    assert f"ready: project {PROJECT}, gs://{BUCKET}, epydemix-pipeline" in shell.stdout
    assert "look@example.com does not have storage.objects.create access" in shell.stderr
    assert "the shell's user: user:look@example.com" in output
    assert process.returncode == 130, output


def test_a_cloud_that_is_started_again_has_the_rights_of_its_new_file_and_no_others(
    operator, planned, tmp_path, capsys
):
    settings = Settings(**NEEDED, execution_mode="cloud", registry_host="")
    taken = 'google_storage_bucket_iam_member.batch_uses_runs["batch"]'
    account = f"serviceAccount:epymodelingsuite-batch@{PROJECT}.iam.gserviceaccount.com"

    def members_who_use_runs(without: str = "", by_hand: str = "") -> list[set[str]]:
        """Furnish a cloud twice; return the members who may use objects of the bucket, after each time."""
        file, found = operator.folder / write_plan(operator, planned(), without), []
        with running(tmp_path / "state", "--rights-of", PROJECT) as emulator:
            environment = environment_of(emulator, settings)
            for _ in range(2):
                hosts = {
                    "STORAGE_EMULATOR_HOST": emulator.storage,
                    "SECRET_MANAGER_EMULATOR_HOST": emulator.apis,
                    RIGHTS: str(file),
                }
                furnish_this_shell(Cloud.of(Shell(environment=environment), settings), hosts)
                bindings = policy_of(emulator.storage, emulator.apis, bucket_name(BUCKET))["bindings"]
                found.append(
                    {who for each in bindings for who in each["members"] if each["role"] == OBJECT_USER}
                )
                if by_hand:
                    give(emulator.storage, emulator.apis, [Grant(bucket_name(BUCKET), OBJECT_USER, by_hand)])
        return found

    with_it = members_who_use_runs(by_hand="user:ada@example.com")
    said_at_first = capsys.readouterr().out
    without_it = members_who_use_runs(without=taken)

    assert account in with_it[0]
    assert with_it[1] - with_it[0] == {"user:ada@example.com"}  # given by hand in this cloud: it stays
    assert without_it[0] == without_it[1] == with_it[0] - {account}
    gone = f"rights: those of gs://{BUCKET} before the restart are gone"
    assert gone not in said_at_first
    assert capsys.readouterr().out.count(gone) == 1
