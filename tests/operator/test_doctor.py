"""`invoke doctor` as an operator sees it, with the real gcloud against the emulated cloud."""

import os
import re
import signal
from pathlib import Path

import pytest

from localcloud.environment import client_environment
from ops.project.checkup import Finding, Level, lines_of
from ops.project.doctor import WORKFLOW
from tests.emulated import add_image, add_secret, deploy_workflow, order_faults, post, request
from tests.experiments import sampled
from tests.needs import need_program
from tests.operators import Operator
from tests.stage_scripts import Ended

PROJECT, BUCKET, SECRET = "my-lab-forecasts", "my-lab-bucket", "github-pat"
IMAGE = f"us-central1-docker.pkg.dev/{PROJECT}/epymodelingsuite-repo/epymodelingsuite:latest"
OTHER_SOURCE = "main:\n  steps:\n    - done:\n        return: 1\n"
TOKEN = "the value of the secret"


@pytest.fixture
def cloud(emulator):
    yield emulator
    post(f"{emulator.apis}/_emulator/reset", {})


@pytest.fixture
def operator(cloud, tmp_path):
    need_program("gcloud")
    operator = Operator(tmp_path, sampled())
    operator.environ |= {
        **client_environment(cloud.storage, cloud.apis, cloud.state, PROJECT),
        "PROJECT_ID": PROJECT,
        "BUCKET_NAME": BUCKET,
        "GITHUB_PAT_SECRET": SECRET,
        "EXECUTION_MODE": "cloud",
    }
    return operator


def prepare(cloud, source: str = "", location: str = "US-CENTRAL1") -> None:
    """Put all there that a run in the cloud needs."""
    post(f"{cloud.storage}/storage/v1/b?project={PROJECT}", {"name": BUCKET, "location": location})
    add_secret(cloud, TOKEN, SECRET, PROJECT)
    for account in ("batch", "builder", "workflow", "build"):
        accounts = f"{cloud.apis}/v1/projects/{PROJECT}/serviceAccounts"
        post(accounts, {"accountId": f"epymodelingsuite-{account}"})
    post(f"{cloud.apis}/_emulator/compute", {"subnetwork": f"{PROJECT}/us-central1/epymodelingsuite"})
    add_image(cloud, IMAGE, f"sha256:{'a' * 64}")
    ours = WORKFLOW.read_text() if WORKFLOW.is_file() else OTHER_SOURCE
    deploy_workflow(cloud, "epydemix-pipeline", source or ours, PROJECT)


def line(ended: Ended, level: str, what: str) -> str:
    """Return the line on something, which must have been found so."""
    found = [each for each in ended.lines if re.match(rf" *{level} +{re.escape(what)}  ", each)]
    assert len(found) == 1, f"{level} {what}: {ended.output}"
    return found[0]


def test_all_that_is_right_is_said_so_and_ends_with_0(cloud, operator):
    prepare(cloud)

    ended = operator.invoke("doctor")

    assert ended.exit_code == 0, ended.output
    for what in ("gcloud", "account", "project", "APIs", "secret", "service accounts", "subnet", "workflow"):
        line(ended, "ok", what)
    assert "none needed: the cloud is emulated" in line(ended, "ok", "credentials")
    assert f"gs://{BUCKET} in us-central1" in line(ended, "ok", "bucket")
    assert "sha256:aaaaaaaaaaaa" in line(ended, "ok", "image")
    assert "100 tasks at once" in line(ended, "ok", "quotas")
    assert ended.last_line == "ready for runs in the cloud"
    assert TOKEN not in ended.output


def test_all_that_is_missing_is_said_with_what_mends_it_and_ends_with_2(cloud, operator):
    disable = f"{cloud.apis}/v1/projects/{PROJECT}/services/batch.googleapis.com:disable"
    request("POST", disable, json={}).raise_for_status()

    ended = operator.invoke("doctor", STAGE_B_MACHINE_TYPE="c4d-standard-3", STAGE_C_MEMORY_MIB="99999")

    assert ended.exit_code == 2
    assert f"-> gcloud services enable batch.googleapis.com --project {PROJECT}" in line(
        ended, "missing", "APIs"
    )
    assert f"-> gcloud storage buckets create gs://{BUCKET} " in line(ended, "missing", "bucket")
    assert "-> invoke secret-set" in line(ended, "missing", "secret")
    for what in ("service accounts", "subnet", "image", "workflow"):
        assert line(ended, "missing", what).endswith("-> invoke tf-apply")
    machine_types = line(ended, "missing", "machine types")
    assert "c4d-standard-3 is not in terraform/machine_types.json" in machine_types
    assert "c4d-standard-4 has 15360 MiB of memory, 99999 are" in machine_types
    missing = "APIs, bucket, secret, service accounts, subnet, image, workflow, machine types"
    assert ended.last_line == f"error: missing: {missing}"
    assert "Traceback" not in ended.output


def test_what_goes_but_not_well_is_a_warning(cloud, operator):
    prepare(cloud, OTHER_SOURCE + "# of yesterday\n", location="EU")
    post(f"{cloud.apis}/_emulator/compute", {"quotas": {"CPUS": 24}})
    order_faults(cloud, {"path": "serviceAccounts", "status": 403, "message": "no right to list"})

    ended = operator.invoke("doctor")

    assert "is in EU, not in us-central1" in line(ended, "warning", "bucket")
    assert "24 of CPUS left: 12 of" in line(ended, "warning", "quotas")
    assert "no right to list" in line(ended, "warning", "service accounts")
    if WORKFLOW.is_file():
        assert "differs from terraform/workflow.yaml" in line(ended, "warning", "workflow")
    assert ended.exit_code == 0, ended.output


def test_what_depends_on_a_lack_is_not_asked(cloud, operator):
    post(f"{cloud.apis}/_emulator/projects", {"only": ["another-project"]})

    wrong_project = operator.invoke("doctor")
    no_account = operator.invoke("doctor", CLOUDSDK_AUTH_ACCESS_TOKEN_FILE="")

    assert line(wrong_project, "missing", "project").endswith("-> gcloud projects list")
    assert "needs project" in line(wrong_project, "skipped", "bucket")
    assert line(no_account, "missing", "account").endswith("-> gcloud auth login")
    assert "needs account" in line(no_account, "skipped", "project")
    assert "needs account" in line(no_account, "skipped", "image")
    assert no_account.last_line == "error: missing: account"


def test_a_passing_fault_is_said_as_such_and_ends_with_75(cloud, operator):
    prepare(cloud)
    fault = {"path": "/workflows/", "status": 409, "message": "ABORTED: the backend is busy"}
    order_faults(cloud, fault)  # which gcloud tells at once; a 503 it would try for half a minute

    ended = operator.invoke("doctor")

    assert "the backend is busy; try again in a minute" in line(ended, "unknown", "workflow")
    assert ended.exit_code == 75
    line(ended, "ok", "image")


def without_programs(folder: Path, *programs: str) -> str:
    """Return a PATH on which there are these programs alone."""
    folder.mkdir()
    for name in programs:
        (folder / name).symlink_to(need_program(name))
    return str(folder)


def test_without_gcloud_the_machine_is_told_and_the_cloud_is_not_asked(operator, tmp_path):
    path = without_programs(tmp_path / "bin", "git")

    cloud = operator.invoke("doctor", PATH=path)
    local = operator.invoke("doctor", PATH=path, EXECUTION_MODE="local")

    assert "-> https://cloud.google.com/sdk/docs/install" in line(cloud, "missing", "gcloud")
    assert "needs gcloud" in line(cloud, "skipped", "workflow")
    assert cloud.exit_code == 2
    line(local, "warning", "gcloud")
    line(local, "ok", "git")
    assert "Google Cloud:" not in local.output
    assert local.last_line == "ready for runs on this machine"
    assert local.exit_code == 0


def test_a_program_that_is_too_old_is_told(operator, tmp_path):
    path = without_programs(tmp_path / "bin", "git")
    for name, says in (("terraform", "Terraform v1.3.9"), ("gcloud", "Google Cloud SDK 400.0.0")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (tmp_path / "bin" / name).chmod(0o755)

    ended = operator.invoke("doctor", PATH=f"{path}{os.pathsep}/bin", EXECUTION_MODE="local")

    assert "1.3.9 is too old; 1.5.7 or newer is needed" in line(ended, "warning", "terraform")
    assert line(ended, "warning", "gcloud").endswith("-> gcloud components update")


def test_a_dry_run_prints_every_command_and_asks_nothing(cloud, operator):
    ended = operator.invoke("doctor", "--dry-run")

    commands = [each for each in ended.lines if each.startswith("+ ")]
    assert ended.exit_code == 0
    assert any(f"gcloud storage buckets describe gs://{BUCKET}" in each for each in commands)
    assert any("terraform version" in each for each in commands)
    assert len(commands) == len(ended.lines)
    assert request("GET", f"{cloud.apis}/_emulator/requests").json()["total"] == 0


def test_application_default_credentials_are_looked_for_and_not_opened(operator, tmp_path):
    settings = {"STORAGE_EMULATOR_HOST": "", "PATH": without_programs(tmp_path / "bin", "git")}
    named = tmp_path / "key.json"

    missing = operator.invoke("doctor", **settings)
    wrong = operator.invoke("doctor", GOOGLE_APPLICATION_CREDENTIALS=str(named), **settings)
    named.write_text(TOKEN)
    there = operator.invoke("doctor", GOOGLE_APPLICATION_CREDENTIALS=str(named), **settings)

    assert line(missing, "warning", "credentials").endswith("-> gcloud auth application-default login")
    assert "no such file" in line(wrong, "warning", "credentials")
    assert str(named) in line(there, "ok", "credentials")
    assert TOKEN not in there.output


def test_a_line_that_a_terminal_would_break_is_broken_between_words_but_for_the_command():
    mend = (
        "gcloud storage buckets create gs://my-lab-bucket --project my-lab-forecasts --location us-central1"
    )
    detail = "BUCKET_NAME=my-lab-bucket: no such bucket; check the setting, or create it"
    finding = Finding("bucket", Level.MISSING, detail, mend)

    in_a_pipe, on_a_terminal = lines_of(finding, 16, 0), lines_of(finding, 16, 80)

    assert len(in_a_pipe) == 1
    assert in_a_pipe[0].endswith(f"-> {mend}")
    assert all(len(each) <= 80 for each in on_a_terminal[:-1])
    assert on_a_terminal[-1].strip() == f"-> {mend}"
    assert lines_of(Finding("git", Level.OK, "2.39.5"), 16, 80) == ["  ok      git               2.39.5"]


def test_ctrl_c_ends_it_and_nothing_more_is_asked(cloud, operator):
    order_faults(cloud, {"path": f"/v1/projects/{PROJECT}", "latency_seconds": 5})
    process = operator.start("doctor")
    next(said for said in process.stdout if " account " in said)

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)

    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert request("GET", f"{cloud.apis}/_emulator/requests").json()["total"] <= 1
