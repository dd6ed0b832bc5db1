"""Whether Pub/Sub's own account can get the token of a trigger's account: not by itself in an old project."""

import shlex

import pytest

from localcloud.environment import client_environment
from localcloud.process import running
from ops.cloud.cloud import Cloud
from ops.gpu.checkup import check_tokens
from ops.settings import Settings
from ops.shell import Shell
from tests.emulated import post
from tests.needs import need_program

PROJECT = "my-lab-forecasts"
AGENT = "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    need_program("gcloud")
    with running(tmp_path_factory.mktemp("state")) as emulator:
        yield emulator


@pytest.fixture
def cloud(emulator):
    settings = Settings(project_id=PROJECT, region="us-central1")
    variables = client_environment(emulator.storage, emulator.apis, emulator.state, PROJECT)
    yield Cloud.of(Shell(environment=variables), settings, needs_bucket=False)
    post(f"{emulator.apis}/_emulator/reset", {})


def of_day(emulator, day: str) -> None:
    post(f"{emulator.apis}/_emulator/projects", {"created": f"{day}T12:00:00Z"})


@pytest.mark.parametrize("day", ["2021-04-09", "2026-01-01"])
def test_a_project_that_is_newer_needs_nothing(emulator, cloud, day):
    of_day(emulator, day)

    answer = check_tokens(cloud)

    assert (answer.is_warning, answer.fix) == (False, "")
    assert day in answer.detail


def test_in_an_old_project_the_command_gives_the_role(emulator, cloud):
    of_day(emulator, "2021-04-08")

    before = check_tokens(cloud)
    cloud.shell.read(shlex.split(before.fix), timeout_seconds=60)
    after = check_tokens(cloud)

    assert before.is_warning
    assert f"{AGENT} needs a role for them if Pub/Sub was enabled by 2021-04-08" in before.detail
    assert (after.is_warning, after.fix) == (False, "")
    assert after.detail == f"{AGENT} has roles/iam.serviceAccountTokenCreator"


def test_an_old_project_whose_pubsub_is_newer_has_googles_role(emulator, cloud):
    of_day(emulator, "2019-01-01")
    policy = {"bindings": [{"role": "roles/pubsub.serviceAgent", "members": [AGENT]}]}
    post(f"{emulator.apis}/v1/projects/{PROJECT}:setIamPolicy", {"policy": policy})

    answer = check_tokens(cloud)

    assert (answer.is_warning, answer.detail) == (False, f"{AGENT} has roles/pubsub.serviceAgent")
