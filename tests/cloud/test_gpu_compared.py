"""What `invoke gpu-deploy` leaves in a project is what terraform/gpu/ plans, thing by thing and fact by fact.

Two lanes are in one emulated project: one with the default settings, one in which every setting differs.
"""

import itertools
import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from localcloud.environment import client_environment
from localcloud.process import Cloud as Emulator
from localcloud.process import running
from ops.cloud.cloud import Cloud
from ops.environment import read_settings
from ops.gpu import commands
from ops.gpu.names import BUCKETS, SERVICES, Names
from ops.settings import Settings
from ops.shell import Shell
from ops.terraform_settings import terraform_variables
from tests.cloud_runs import PROJECT
from tests.emulated import add_image, post
from tests.gpu_compared import Things, differences, held, of_cloud, of_plan
from tests.gpu_fields import KINDS, RUN, TEMPLATE, assigned, camel, is_below, terraforms_own
from tests.gpu_plans import ALL_ELSE, NEEDED, configured, plans
from tests.in_process import called
from tests.needs import need_program

pytestmark = pytest.mark.timeout(900)
# ALL_ELSE with a zone of its region, another registry, and more instances of the others than of inference.
CHOSEN = ALL_ELSE | {"zone": "europe-west4-a", "registry_host": "europe-docker.pkg.dev", "max_instances": 7}
# The same lane, without a GPU and without all that has been asked for beside it.
KEPT = ("region", "service_prefix", "gpu_repo_name", "registry_host", "image_tag")
LESS = {name: CHOSEN[name] for name in KEPT} | {
    "gpu_type": "none",
    "gpu_cpu": 2,
    "gpu_memory": "4Gi",
    "gpu_ingress": "all",
    "results_nearline_days": 0,
}
BUDGET = ("monthly_budget_usd", "billing_account")  # Google's billing is at an address of its own
# A machine without a GPU starts no service that waits for one, so an instance is a program that answers.
ANSWERS = "sh -c 'cd $HOME && touch health && exec $PYTHON -m http.server $PORT --bind 127.0.0.1'"
# What is on before anything is deployed: images have been built, and somebody has looked at the project.
ON = ("artifactregistry", "cloudresourcemanager", "serviceusage")
FIRST, SECOND = (Names.of(Settings(**NEEDED | chosen)) for chosen in ({}, CHOSEN))
OF_ALL = ("API", "audit log")  # of the project, not of a lane
GRANTS = (
    "google_cloud_run_v2_service_iam_member",
    "google_project_iam_member",
    "google_storage_bucket_iam_member",
)
REFERRED = ("google_monitoring_notification_channel", "google_workflows_workflow")  # by other resources
# What only one way has, and why.
ONE_SIDED = {
    "API billingbudgets.googleapis.com: only in the plan": "as the budget",
    "API serviceusage.googleapis.com: only in the cloud": "with it, gcloud enables the others",
    "google_billing_budget.monthly[0]: only in the plan": "no budget can be emulated; compared by a dry run",
    "google_project_service_identity.eventarc: only in the plan": "an act, which gpu-deploy does by gcloud",
    f"repository {FIRST.repository}: only in the cloud": "images are built before, in each way",
    f"repository {SECOND.repository}: only in the cloud": "the same",
    "time_sleep.rights_are_known: only in the plan": "gpu-deploy repeats what needs the rights",
}

# Where a GPU was, it says nothing any more, and gcloud has no option that removes it.
GPU_GONE = (
    f"service {SECOND.service('inference')}: {TEMPLATE}.{RUN}/gpu-zonal-redundancy-disabled: "
    "false in the cloud, nothing planned"
)
LEFT_ON = "API aiplatform.googleapis.com: only in the cloud"  # others in the project may use it by now


def other_managers(names: Names, has_channel: bool) -> set[str]:
    """Return the differences of a lane that are wanted: its labels say which way manages it."""
    alerts = ("a run failed", "an instance with a GPU does nothing", "requests take long")
    labels = [
        *(f"service {names.service(name)}: metadata.labels" for name in SERVICES),
        *(f"service {names.service(name)}: spec.template.metadata.labels" for name in SERVICES),
        *(f"bucket {names.bucket(name)}: labels" for name in BUCKETS),
        *(f"alert {names.stem}: {name}: userLabels" for name in (*alerts, "services answer with errors")),
        *([f"channel GPU lane ({names.stem}): userLabels"] if has_channel else []),
        f"dashboard {names.stem}: the GPU lane: labels",
        f"trigger {names.trigger}: labels",
        f"workflow {names.workflow}: labels",
    ]
    return {f"{each}.managed-by: manual in the cloud, terraform planned" for each in labels}


@dataclass
class Project:
    """An emulated project, and the folder of an operator who deploys into it."""

    emulator: Emulator
    folder: str
    deployed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # what it holds with both lanes

    def cloud(self, chosen: dict, dry_run: bool = False) -> Cloud:
        variables = {name.upper(): json.dumps(value).strip('"') for name, value in chosen.items()}
        settings = read_settings({"PROJECT_ID": PROJECT, "LOCAL_DATA_PATH": self.folder, **variables})
        emulator = self.emulator
        environment = client_environment(emulator.storage, emulator.apis, emulator.state, PROJECT)
        return Cloud.of(Shell(dry_run, environment), settings, needs_bucket=False)

    def deploy(self, chosen: dict) -> None:
        cloud = self.cloud({name: value for name, value in chosen.items() if name not in BUDGET})
        names, tag = Names.of(cloud.settings), cloud.settings.image_tag
        for number, name in enumerate(SERVICES):  # as if a build had put them there
            add_image(self.emulator, names.image(name, tag), f"sha256:{number:064}")
        ended = called(lambda: commands.start_deployment(cloud, "", yes=True))
        assert ended.exit_code == 0, ended.output


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with both lanes."""
    need_program("gcloud")
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "60", "--service", ANSWERS) as emulator:
        project = Project(emulator, str(tmp_path_factory.mktemp("operator")))
        post(f"{emulator.apis}/_emulator/run", {"quotas": {"NvidiaRtxPro6000GpuAllocPerProjectRegion": 5}})
        for name in (api["config"]["name"] for api in held(emulator, PROJECT)["API"]):
            if name.partition(".")[0] not in ON:
                post(f"{emulator.apis}/v1/projects/{PROJECT}/services/{name}:disable", {})
        project.deploy({})
        project.deploy(CHOSEN)
        project.deployed = held(emulator, PROJECT)
        yield project


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """The plans of both lanes, and of what the second one is changed to."""
    plan = plans(configured(tmp_path_factory))
    return plan(), plan(**CHOSEN), plan(**LESS)


def both(*planned) -> Things:
    return {thing: facts for plan in planned for thing, facts in of_plan(plan).items()}


def test_gpu_deploy_leaves_what_terraform_plans_and_nothing_else(project, planned):
    there, wanted = of_cloud(project.deployed), both(*planned[:2])

    assert len(there) > 90
    assert {thing.partition(" ")[0] for thing in wanted} >= {
        kind.partition(" ")[0] for kind in KINDS.values()
    }
    assert set(differences(there, wanted)) == {
        *ONE_SIDED,
        *other_managers(FIRST, has_channel=False),
        *other_managers(SECOND, has_channel=True),
    }


def test_every_setting_of_the_lane_differs_between_the_two_lanes():
    default, chosen = Settings(**NEEDED), Settings(**NEEDED | CHOSEN)

    same = {name for name in terraform_variables("gpu") if getattr(default, name) == getattr(chosen, name)}
    assert same == {"project_id"}


def test_the_budget_of_gpu_deploy_is_the_one_that_terraform_plans(project, planned):
    ended = called(lambda: commands.start_deployment(project.cloud(CHOSEN, dry_run=True), "", yes=True))

    [line] = [line for line in ended.lines if "billing budgets create" in line]
    words = shlex.split(line)
    [budget] = [
        each["change"]["after"]
        for each in planned[1]["resource_changes"]
        if each["type"] == "google_billing_budget"
    ]
    amount = budget["amount"][0]["specified_amount"][0]
    assert option(words, "--billing-account") == [budget["billing_account"]]
    assert option(words, "--display-name") == [budget["display_name"]]
    assert option(words, "--budget-amount") == [amount["units"] + amount["currency_code"]]
    assert option(words, "--threshold-rule") == [
        f"percent={each['threshold_percent']:.1f}" for each in budget["threshold_rules"]
    ]
    assert option(words, "--filter-projects") == [f"projects/{PROJECT}"]
    assert budget["budget_filter"][0]["calendar_period"] == "MONTH"  # which gcloud takes without an option
    assert {each["spend_basis"] for each in budget["threshold_rules"]} == {"CURRENT_SPEND"}  # the same


def option(words: list[str], name: str) -> list[str]:
    return [value for word, value in itertools.pairwise(words) if word == name]


# ---- that the comparison sees a difference


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the leaves of a resource: the path of each, and what holds it under which key."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        name = path if isinstance(value, list) else f"{path}.{camel(key)}".removeprefix(".")
        if isinstance(each, dict | list):
            yield from leaves(each, name)
        elif each not in (None, ""):
            yield name, value, key


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):  # JSON stays JSON
        return re.sub('": ?"', r"\g<0>x", value, count=1) if value.startswith(("[{", "{")) else f"{value}x"
    return value + 1


def unseen(resource: Any, look: Callable[[], Things]) -> set[str]:
    """Return the paths of a resource at which a difference is not seen."""
    before, found = look(), set()
    for path, holder, key in list(leaves(resource)):
        kept, holder[key] = holder[key], changed(holder[key])
        if look() == before:
            found.add(path)
        holder[key] = kept
    assert look() == before
    return found


@pytest.mark.parametrize("kind", [*KINDS.values(), "policy", "repository"])
def test_a_difference_in_the_cloud_is_seen_wherever_it_is_not_the_services_own(project, kind):
    resources = json.loads(json.dumps(project.deployed))
    resource = next(each for each in resources[kind] if kind in OF_ALL or is_of(SECOND, each))
    alone = {**resources, kind: [resource]}

    found = unseen(resource, lambda: of_cloud(alone))

    assert [path for path in found if not is_below(path, assigned(kind))] == []
    assert len(found) < len(list(leaves(resource)))
    gone = differences(of_cloud({**alone, kind: []}), of_cloud(alone))
    assert any(line.endswith(": only in the plan") for line in gone)


@pytest.mark.parametrize("kind", [*KINDS, *GRANTS])
def test_a_difference_in_the_plan_is_seen_wherever_it_is_not_terraforms_own(planned, kind):
    plan = json.loads(json.dumps(planned[1]))
    one = next(each for each in plan["resource_changes"] if each["type"] == kind)
    others = [each for each in plan["resource_changes"] if each["type"] in REFERRED and each is not one]
    alone = {**plan, "resource_changes": [*others, one]}

    found = unseen(one["change"]["after"], lambda: of_plan(alone))

    own = terraforms_own(KINDS.get(kind, ""))
    assert [path for path in found if not is_below(path, own)] == []
    assert len(found) < len(list(leaves(one["change"]["after"])))
    gone = differences(of_plan(alone), of_plan({**plan, "resource_changes": others}))
    assert len([line for line in gone if line.endswith(": only in the cloud")]) == 1


def is_of(names: Names, resource: Any) -> bool:
    return names.stem in json.dumps(resource) or names.repository in json.dumps(resource)


# ---- another deployment, and the end of one lane: the last tests, since the project is not as before then


def test_a_lane_that_is_changed_is_as_terraform_plans_it_with_nothing_left_from_before(project, planned):
    project.deploy(LESS)

    there = of_cloud(held(project.emulator, PROJECT))
    assert set(differences(there, both(planned[0], planned[2]))) == {
        *(each for each in ONE_SIDED if "billing" not in each),
        *other_managers(FIRST, has_channel=False),
        *other_managers(SECOND, has_channel=False),
        LEFT_ON,
        GPU_GONE,
    }


def test_the_end_of_one_lane_leaves_the_other_as_terraform_plans_it(project, planned):
    cloud = project.cloud(CHOSEN)

    ended = called(lambda: commands.start_removal(cloud.shell, cloud.settings, yes=True, delete_data=False))

    assert ended.exit_code == 0, ended.output
    there = of_cloud(held(project.emulator, PROJECT))
    assert set(differences(there, of_plan(planned[0]))) == {
        *(each for each in ONE_SIDED if "billing" not in each),
        *other_managers(FIRST, has_channel=False),
        LEFT_ON,
    }
