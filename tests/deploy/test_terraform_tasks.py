"""`invoke tf-...` as an operator uses them: real terraform, its state in an emulated bucket, real gcloud.

The provider alone is a stand-in. What is planned is looked at in test_terraform.py.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import requests

from localcloud.process import running
from ops.rehearsal.rights import Bindings
from tests.deployers import BUCKET, PROJECT, WITHOUT_LOGIN, Deployer
from tests.emulated import post, request
from tests.experiments import REPOSITORY

IMAGE = f"us-central1-docker.pkg.dev/{PROJECT}/epymodelingsuite-repo/epymodelingsuite"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def deployer(cloud, tmp_path):
    yield Deployer(cloud, tmp_path)
    requests.post(f"{cloud.apis}/_emulator/reset", timeout=10)
    requests.post(f"{cloud.storage}/_emulator/reset", timeout=10)


def test_a_project_is_planned_set_up_shown_and_taken_down(deployer):
    for tag in ("latest", "v1.0"):
        post(f"{deployer.cloud.apis}/_emulator/images", {"image": f"{IMAGE}:{tag}"})

    planned = deployer.invoke("tf-plan")
    refused = deployer.answer("y", "tf-apply")
    before = deployer.made()
    applied = deployer.answer("yes", "tf-apply")
    after = deployer.made()
    again = deployer.invoke("tf-apply", "--yes")
    shown = deployer.invoke("tf-output", "--json")
    destroyed = deployer.invoke("tf-destroy", "--yes", GITHUB_PAT_SECRET="github-pat")

    assert planned.exit_code == 0, planned.output
    assert re.search(r"Plan: \d+ to add, 0 to change, 0 to destroy", planned.output)
    assert (refused.exit_code, before) == (1, [])
    assert "nothing was changed" in refused.last_line
    assert applied.exit_code == 0, applied.output
    assert f'apply this to project {PROJECT}? Type "yes" to confirm' in applied.output
    assert {"google_workflows_workflow.pipeline", "google_compute_router_nat.nat"} <= set(after)
    assert "nothing to change in project my-lab-forecasts" in again.last_line
    outputs = json.loads(shown.output[shown.output.index("{") :])
    assert outputs["image"]["value"] == IMAGE
    assert destroyed.exit_code == 0, destroyed.output
    assert "images: 2 images of" in destroyed.output
    assert re.search(r"sha256:[0-9a-f]{12} .*v1.0", destroyed.output)
    assert "secrets: none would be deleted; github-pat stays" in destroyed.output
    assert "in 5 s; Ctrl-C stops" in destroyed.output
    assert deployer.made() == []
    assert not list((deployer.folder / "terraform" / ".terraform").glob("*.tfplan"))


def test_ctrl_c_in_the_last_seconds_deletes_nothing(deployer):
    deployer.invoke("tf-apply", "--yes")
    made = deployer.made()
    process, terminal = deployer.start_on_a_terminal("tf-destroy")
    os.write(terminal, b"yes\n")
    for line in process.stdout:
        if "in 4 s" in line:
            break

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    os.close(terminal)

    assert process.returncode == 130, output
    assert made
    assert deployer.made() == made


def test_other_settings_have_another_state_in_the_same_checkout(deployer):
    test = {"TF_STATE_PREFIX": "terraform/test/", "ENVIRONMENT": "test"}
    deployer.invoke("tf-apply", "--yes")

    planned = deployer.invoke("tf-plan", **test)
    connected = deployer.invoke("tf-init", **test)
    again = deployer.invoke("tf-plan")

    assert re.search(r"Plan: \d+ to add, 0 to change", planned.output)
    assert f"the state is in gs://{BUCKET}/terraform/test/" in connected.last_line
    assert "No changes" in again.output


def test_a_dry_run_prints_commands_that_work_when_pasted_and_starts_nothing(deployer):
    ended = deployer.invoke("tf-apply", "--dry-run")
    nothing_yet = not (deployer.folder / "terraform" / ".terraform").exists()

    codes = deployer.pasted(ended)

    assert ended.exit_code == 0, ended.output
    assert nothing_yet
    assert list(codes.values()) == [0, 2, 0]  # init, plan (there are changes), apply
    *_, shown, applied = codes
    assert shown.split()[-1] == f"-out={applied.split()[-1]}"
    assert deployer.made()


def test_a_plan_is_kept_as_json_for_a_rehearsal_of_its_rights(deployer):
    file = deployer.folder / "my plan.json"
    shown = deployer.invoke("tf-plan", "--out", "my plan.json", "--dry-run")
    nothing_yet = not file.exists()
    codes = deployer.pasted(shown)
    pasted = Bindings.of_file(file)
    file.unlink()

    planned = deployer.invoke("tf-plan", "--out", "my plan.json")

    assert nothing_yet
    assert list(codes.values()) == [0, 0, 0]  # init, plan, show
    assert planned.exit_code == 0, planned.output
    assert planned.last_line == "wrote my plan.json"
    assert file.stat().st_mode & 0o077 == 0
    assert re.search(r"Plan: \d+ to add", planned.output)
    assert Bindings.of_file(file).grants == pasted.grants
    assert pasted.names == {"project_id": PROJECT, "bucket_name": BUCKET}
    assert not list((deployer.folder / "terraform" / ".terraform").glob("invoke.tfplan"))


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (["tf-plan", "--out", ""], {}, "--out needs the name of a file"),
        (["tf-plan", "--out", "terraform"], {}, "--out terraform: it is a folder; name a file in it"),
        (["tf-plan", "--out", "tasks.py"], {}, "--out tasks.py: it is there, and is no plan; name another"),
        (
            ["tf-plan", "--out", "nowhere/plan.json"],
            {},
            "nowhere/plan.json: no such folder nowhere; create it",
        ),
        (["tf-apply"], {}, "no terminal to ask on; add --yes"),
        (["tf-destroy"], {}, "no terminal to ask on; add --yes"),
        (["tf-init"], {"PROJECT_ID": "", "BUCKET_NAME": ""}, "PROJECT_ID and BUCKET_NAME: not set"),
        (["tf-output"], {"BUCKET_NAME": ""}, "BUCKET_NAME: not set"),
        (["tf-plan"], {"BUCKET_NAME": "my-typo-bucket"}, "my-typo-bucket: no such bucket"),
        (
            ["tf-init"],
            {"TF_STATE_BUCKET": "my-typo-state"},
            "TF_STATE_BUCKET=my-typo-state: the bucket for the state does not exist",
        ),
        (["tf-plan"], {"STAGE_A_MEMORY_MIB": "8192"}, "stage A (builder): c4d-standard-2 has 7168 MiB"),
        (["tf-plan"], {"BATCH_SERVICE_ACCOUNT": "a,b"}, "a service account of the project"),
        (["tf-init"], WITHOUT_LOGIN, "gcloud auth application-default login"),
        (["tf-init"], {"PATH": "/nowhere"}, "terraform: no such program; install it"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_planned(deployer, words, variables, said):
    deployer.is_refused(words, variables, said)


def test_a_bucket_whose_objects_have_lists_of_their_own_is_refused(deployer):
    off = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": False}}}
    request("PATCH", f"{deployer.cloud.storage}/storage/v1/b/{BUCKET}", json=off)

    ended = deployer.invoke("tf-plan")

    assert ended.exit_code == 2, ended.output
    assert "gcloud storage buckets update gs://my-lab-bucket --uniform-bucket-level-access" in ended.last_line


@pytest.mark.parametrize(
    ("version", "said"),
    [("1.4.7", "terraform 1.4.7 is too old"), ("1.6.6", "terraform 1.6.6 cannot read tests/")],
)
def test_a_terraform_that_cannot_be_used_is_refused(deployer, version, said):
    old = deployer.folder / "bin" / "terraform"
    old.parent.mkdir()
    old.write_text(f'#!/bin/sh\necho \'{{"terraform_version": "{version}"}}\'\n')
    old.chmod(0o755)

    ended = deployer.invoke("tf-init", PATH=f"{old.parent}:{os.environ['PATH']}")

    assert ended.exit_code == 2, ended.output
    assert f"{said}; install 1.5.7, or 1.7 or newer" in ended.last_line


def test_two_at_once_in_one_checkout_are_refused(deployer):
    deployer.invoke("tf-init")
    process, terminal = deployer.start_on_a_terminal("tf-apply")
    next(line for line in process.stdout if line.startswith("Plan:"))

    second = deployer.invoke("tf-plan")
    os.write(terminal, b"no\n")
    process.communicate(timeout=60)
    os.close(terminal)

    assert second.exit_code == 2, second.output
    assert "another `invoke tf-...` is running" in second.last_line


def test_a_refusal_in_the_middle_is_said_with_what_terraform_said(deployer):
    (deployer.folder / "terraform" / "more.tf").write_text('output "more" {\n  value = no_such_thing.x\n}\n')

    ended = deployer.invoke("tf-plan")

    assert ended.exit_code == 1
    assert "no_such_thing" in ended.output
    assert "failed; see above" in ended.last_line or "no_such_thing" in ended.last_line


def test_ctrl_c_lets_a_program_finish_what_it_writes(tmp_path):
    script = (
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGINT, lambda *_: time.sleep(1) or pathlib.Path('saved').touch() or exit())\n"
        "pathlib.Path('begun').touch()\n"
        "time.sleep(60)\n"
    )
    code = (
        "import signal, sys; from ops.shell import Shell\n"
        "Shell().stream([sys.executable, '-c', sys.argv[1]], stop_with=signal.SIGINT, grace_seconds=30)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 20
    while not (tmp_path / "begun").exists() and time.monotonic() < until:
        time.sleep(0.05)

    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)

    assert (tmp_path / "saved").exists()
