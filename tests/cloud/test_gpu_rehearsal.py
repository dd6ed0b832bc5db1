"""`invoke rehearse --lane gpu` as it is typed, unattended and with nothing left."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from ops.environment import read_settings
from ops.failures import UserError
from ops.people import GPU_WORK
from ops.rehearsal import gpu_lane
from ops.rehearsal.rights import RightsRequest
from ops.run_request import RunRequest
from ops.shell import Shell
from tests.experiments import POPULATIONS, calibrated
from tests.needs import need_program
from tests.operators import Operator

MOST_SECONDS = 300


@pytest.fixture
def operator(tmp_path):
    need_program("gcloud")
    experiment = calibrated()
    experiment["modelset"]["calibration"]["observed_data_path"] = "surveillance/observed.csv"
    operator, repository = Operator(tmp_path, experiment), tmp_path / "local" / "forecast"
    (repository / "surveillance").mkdir()
    (repository / "data" / "observed.csv").rename(repository / "surveillance" / "observed.csv")
    shutil.copytree(POPULATIONS, repository / "data" / "epydemix-data")
    del operator.environ["EPYDEMIX_DATA_DIR"]
    return operator


@pytest.mark.timeout(MOST_SECONDS)
def test_a_rehearsal_deploys_compares_five_jurisdictions_starts_cold_and_leaves_nothing(operator):
    ended = operator.invoke("rehearse", "--lane", "gpu")

    assert ended.exit_code == 0, ended.output
    lines = {re.split(r" {2,}", line)[0]: line for line in ended.lines if re.search(r"\d\.\d s\b", line)}
    assert lines["health"].endswith("3 services, cpu")
    assert lines["forecast of five-states"].endswith("5 units, cpu")
    assert re.search(r"\d+ files equal, byte for byte$", lines["compare"])
    assert lines["health again"].endswith("3 services, cpu")
    assert lines["idle stop"].endswith("instances, then 0")
    assert lines["sentence, cold start"].endswith("positive, 3 instances started")
    assert "nothing left" in lines
    assert "denied" not in ended.output.replace("nothing was denied", "")
    assert "rights: those of the deployment, and people's" in ended.lines
    assert re.fullmatch(r"rights: \d{2,} questions of \d+ members, nothing was denied", ended.lines[-2])
    assert int(re.fullmatch(r"rehearsed in (\d+) s", ended.last_line)[1]) < MOST_SECONDS
    assert not list((operator.folder / "local").glob("rehearsal-*"))


@pytest.mark.timeout(MOST_SECONDS)
@pytest.mark.parametrize(
    ("role", "permission"),
    [
        ("iam.serviceAccountAdmin", "iam.serviceAccounts.create"),
        ("iam.serviceAccountUser", "iam.serviceAccounts.actAs"),
    ],
)
def test_a_role_that_the_person_who_deploys_lacks_fails_a_rehearsal_with_the_permission(
    operator, monkeypatch, role, permission
):
    work = GPU_WORK[gpu_lane.DEPLOYER]
    others = tuple(each for each in work.rights if each.role != role)
    assert len(others) == len(work.rights) - 1
    monkeypatch.setitem(GPU_WORK, gpu_lane.DEPLOYER, replace(work, rights=others))
    settings = read_settings(operator.environ)

    with pytest.raises(UserError) as failed:
        gpu_lane.rehearse(Shell(environment=operator.environ), settings, RunRequest("trial"), RightsRequest())

    assert failed.value.exit_code == 1
    assert f"denied: deploy-the-lane@example.com may not {permission} on projects/" in failed.value.problem


def test_a_file_of_rights_is_named_at_the_start_and_replaces_those_of_the_deployment(operator):
    grant = {"holder": "projects/my-lab-forecasts", "role": "roles/viewer", "member": "user:a@example.com"}
    record = {"asked": [{"by": [grant | {"condition": ""}]}]}
    (operator.folder / "rights.json").write_text(json.dumps(record))

    ended = operator.invoke("rehearse", "--lane", "gpu", "--exp-id", "trial", "--rights", "rights.json")

    assert ended.exit_code == 1, ended.output
    assert ended.lines[0] == "rights: 1 binding of rights.json, and people's"
    assert re.search(
        r"^denied: \S+-wf@my-lab-forecasts\S+ may not run\.routes\.invoke on ", ended.output, re.M
    )
    assert "nothing was denied" not in ended.output


def test_a_rehearsal_whose_tables_differ_fails_and_keeps_the_files(operator):
    # the run here takes the people from this folder, and the archive brings its own
    others = operator.folder / "others"
    shutil.copytree(POPULATIONS, others)
    ages = others / "data" / "United_States_Vermont" / "demographic" / "age_distribution.csv"
    ages.write_text(ages.read_text().replace("\n0,", "\n0,9", 1))

    ended = operator.invoke("rehearse", "--lane", "gpu", "--exp-id", "trial", EPYDEMIX_DATA_DIR=str(others))

    assert ended.exit_code == 1, ended.output
    assert re.match(r"error: the GPU lane and the run here differ in .*posteriors\.csv\.gz", ended.last_line)
    (kept,) = (operator.folder / "local").glob("rehearsal-*")
    assert (kept / "results" / "posteriors.csv.gz").is_file()
