"""The first use after an apply: whatever is refused while roles do not count yet says what to wait for.

Nobody can tell a role that is missing from one that was just given, so roles are left out here and given one
by one, as they come to count on the service. The rehearsals have a cloud on which they come late.
"""

import re
import shutil

import pytest

from localcloud.process import running
from localcloud.rights.plan import grants_of_plan
from modeling.refusals import MAY_NOT_COUNT_YET
from ops.cloud.cloud import Cloud
from ops.rehearsal.policies import give
from ops.rehearsal.populate import deploy, populate
from ops.rehearsal.rights import environment_of, rights_of_people
from ops.settings import Settings
from ops.shell import Shell
from tests.emulated import names_in
from tests.experiments import POPULATIONS, REPOSITORY, sampled
from tests.needs import need_program, need_terraform
from tests.operators import Operator
from tests.terraform_plans import NEEDED, configured, plans

SETTINGS = Settings(**NEEDED, execution_mode="cloud", registry_host="", github_forecast_repo="")
RUN = ("run", "--exp-id", "trial", "--wait")
DELAY = "420"
# In the order in which a run needs them: the binding in terraform/, and what a run says without it.
NEEDED_BY_A_RUN = (
    ("google_storage_bucket_iam_member.workflow_claims_runs", "cannot start in gs://"),
    ('google_project_iam_member.workflow["roles/batch.jobsEditor"]', "stage builder: job builder-"),
    ("google_service_account_iam_member.workflow_runs_jobs_as_builder", "stage builder: job builder-"),
    ('google_project_iam_member.builder["roles/batch.agentReporter"]', "no VM has an agent that reports"),
    (
        'google_artifact_registry_repository_iam_member.batch_pulls_images["builder"]',
        "ended FAILED with 1 of 1",
    ),
    ('google_storage_bucket_iam_member.batch_uses_runs["builder"]', "ended FAILED with 1 of 1"),
    ("google_service_account_iam_member.workflow_runs_jobs_as_batch", "stage runner: job runner-"),
    ('google_storage_bucket_iam_member.batch_uses_runs["batch"]', "ended FAILED with 3 of 3"),
)


@pytest.fixture
def operator(tmp_path):
    need_program("gcloud")
    operator = Operator(tmp_path, sampled())
    shutil.copytree(POPULATIONS, tmp_path / "local" / "forecast" / "data" / "epydemix-data")
    del operator.environ["EPYDEMIX_DATA_DIR"]
    return operator


@pytest.fixture
def applied(operator, tmp_path_factory):
    """A cloud after an apply, with the roles that no run waits for; and all of the plan, by address."""
    with configured(tmp_path_factory) as configuration:
        granted = {address: grant for grant, address in grants_of_plan(plans(configuration)())}
    words = ("--rights-of", SETTINGS.project_id, "--clock-speed", "20")
    with running(operator.folder / "cloud", *words) as cloud:
        populate(cloud.storage, cloud.apis, SETTINGS)
        late = {address for address, _ in NEEDED_BY_A_RUN}
        early = [grant for address, grant in granted.items() if address not in late]
        assert give(cloud.storage, cloud.apis, [*early, *rights_of_people(["run"], SETTINGS)]) == []
        owners = Cloud.of(Shell(environment=environment_of(cloud, SETTINGS)), SETTINGS)
        deploy(owners, operator.folder / "environment.yaml")
        operator.environ |= environment_of(cloud, SETTINGS, "run")
        operator.environ |= {name.upper(): value for name, value in NEEDED.items()}
        yield cloud, granted


@pytest.mark.timeout(600)
def test_a_run_that_is_repeated_gets_further_with_each_role_that_counts_and_succeeds_at_last(
    operator, applied
):
    cloud, granted = applied
    for address, said in NEEDED_BY_A_RUN:
        ended = operator.invoke(*RUN, EXECUTION_MODE="cloud")

        assert ended.exit_code != 0, address
        assert said in ended.last_line, (address, ended.output)
        assert MAY_NOT_COUNT_YET in " ".join(ended.lines[-5:]), (address, ended.output)
        assert "Traceback" not in ended.output
        assert not any(each.endswith("/execution.json") for each in names_in(cloud, SETTINGS.bucket_name))
        give(cloud.storage, cloud.apis, [granted[address]])

    ended = operator.invoke(*RUN, EXECUTION_MODE="cloud")

    assert ended.exit_code == 0, ended.output
    assert re.search(r"^outputs  gs://", ended.output, re.M)


def test_a_rehearsal_of_a_run_is_refused_right_after_the_apply_and_succeeds_when_repeated(operator):
    ended = operator.invoke("rehearse", "--exp-id", "trial", "--iam-delay", DELAY, **need_terraform())

    assert ended.exit_code == 0, ended.output
    (refused,) = [line for line in ended.lines if line.startswith("refused, since ")]
    assert refused.startswith(
        "refused, since epymodelingsuite-workflow@rehearsal.iam.gserviceaccount.com may not "
    )
    assert "cannot start in gs://rehearsal/trial/" in refused
    assert f"{MAY_NOT_COUNT_YET}; the workflow's account cannot write there" in refused
    assert ended.lines[-3].startswith("equal: ")
    assert re.fullmatch(
        r"rights: \d+ questions of \d members, nothing was denied but for the delay", ended.lines[-2]
    )
    assert re.fullmatch(
        rf"delay of {DELAY} s: (1 question was|\d+ questions were) refused before (its role|their roles) "
        r"counted; repeated until (it|they) did",
        ended.last_line,
    )


def test_a_rehearsal_of_the_gpu_lane_waits_for_the_roles_of_its_services(operator):
    ended = operator.invoke("rehearse", "--lane", "gpu", "--exp-id", "trial", "--iam-delay", DELAY)

    assert ended.exit_code == 0, ended.output
    late = r"^localcloud: denied to .*: storage\.objects\.list on .*-models; a role that allows it was given"
    assert re.search(late, ended.output, re.M)
    (refused,) = [line for line in ended.lines if line.startswith("refused, since ")]
    assert refused.startswith("refused, since smoke@example.com may not workflows.executions.create yet")
    assert MAY_NOT_COUNT_YET in refused
    assert re.fullmatch(r"rehearsed in \d+ s", ended.last_line)
    assert "rights: those of the deployment, and people's" in ended.lines
    assert re.fullmatch(
        r"rights: \d{2,} questions of \d+ members, nothing was denied but for the delay", ended.lines[-3]
    )
    assert re.fullmatch(
        rf"delay of {DELAY} s: \d+ questions were refused before their roles counted; repeated until they "
        r"did(, but for \d+ not asked again)?",
        ended.lines[-2],
    )


@pytest.mark.parametrize("lane", ["terraform", "terraform/gpu"])
def test_a_workflow_says_of_a_refusal_what_every_other_program_says(lane):
    assert MAY_NOT_COUNT_YET in (REPOSITORY / lane / "workflow.yaml").read_text()
