"""As whom Infrastructure Manager applies a blueprint, and what that account must be allowed for it."""

import pytest

from localcloud.process import running
from tests.emulated import post
from tests.localcloud.governed import Governed
from tests.localcloud.infra_api import EMAIL, MAIN, Infra
from tests.localcloud.jobs import PROJECT


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), "--rights-of", PROJECT) as cloud:
        yield cloud


@pytest.fixture
def governed(cloud):
    yield Governed(cloud)
    post(f"{cloud.apis}/_emulator/reset", {})


def test_a_blueprint_is_read_as_the_account_of_its_deployment(governed):
    infra = Infra(governed.cloud)

    applied = infra.apply({"main.tf": MAIN})

    assert applied["state"] == "ACTIVE", applied
    name = f"projects/_/buckets/{infra.bucket}/objects/"
    [(read, roles)] = governed.asked(EMAIL, "storage.objects.get")
    assert (read.startswith(name), roles) == (True, ["roles/config.agent"])
    assert governed.asked(EMAIL, "storage.objects.create")


@pytest.mark.parametrize(
    ("roles", "condition", "lacking"),
    [
        (["owner"], "", ""),
        (["config.admin", "logging.logWriter", "storage.admin"], "", ""),
        (["config.admin", "storage.admin"], "", "logging.logEntries.create"),
        (["config.agent"], 'request.time > timestamp("2020-01-01T00:00:00Z")', ""),
        (["config.agent"], 'request.time < timestamp("2020-01-01T00:00:00Z")', "config.artifacts.import"),
    ],
    ids=["an owner", "other roles", "too little", "a condition that holds", "a condition that does not"],
)
def test_who_applies_a_blueprint_is_asked_for_the_permissions_of_the_role(
    governed, roles, condition, lacking
):
    infra = Infra(governed.cloud)
    limits = {"condition": {"title": "a time", "expression": condition}} if condition else {}
    members = [f"serviceAccount:{EMAIL}"]
    bindings = [{"role": f"roles/{role}", "members": members, **limits} for role in roles]
    policy = {"version": 3, "bindings": bindings}
    governed.api("POST", f"/v1/projects/{PROJECT}:setIamPolicy", json={"policy": policy}).raise_for_status()

    applied = infra.apply({"main.tf": MAIN})

    assert applied["state"] == ("FAILED" if lacking else "ACTIVE"), applied
    denied = f"lacks roles/config.agent on project p: Permission '{lacking}' denied"
    assert (denied in applied.get("stateDetail", "")) == bool(lacking), applied
