"""`scripts/destroy.sh` as an operator types it, the real gcloud, an emulated cloud."""

import shlex

import pytest

from ops.gpu.names import SERVICES
from tests.cloud_runs import PROJECT, REGION
from tests.emulated import names_in, order_faults, request
from tests.gpu_operators import DIGEST, STOPS

pytestmark = pytest.mark.timeout(600)


def test_a_destroy_with_results_stops_before_anything_is_deleted(operator):
    assert operator.type("deploy", "--yes").exit_code == 0
    bucket = f"{operator.emulator.storage}/upload/storage/v1/b/{operator.names.bucket('output')}"
    result = {"name": "results/a.txt/1/result.json", "uploadType": "media"}
    request("POST", f"{bucket}/o", params=result, data=b"{}")
    before = operator.left()

    ended = operator.type("destroy", "--yes")

    assert ended.exit_code == 2
    assert ended.last_line.startswith(
        f"error: nothing was deleted: gs://{operator.names.bucket('output')}/results/ has 1 file of results, "
        "2 bytes; copy them"
    )
    assert operator.left() == before
    assert names_in(operator.emulator, operator.names.bucket("output"), "results/")


def test_a_destroy_waits_for_uploads_being_worked_on_unless_their_results_are_given_up(operator, tmp_path):
    assert operator.type("deploy", "--yes").exit_code == 0
    source = tmp_path / "long.yaml"
    source.write_text(
        "main:\n  steps:\n    - wait:\n        call: sys.sleep\n        args: {seconds: 80000}\n"
    )
    name, where = operator.names.workflow, operator.cloud.in_region
    operator.cloud.read(["workflows", "deploy", name, "--source", str(source), *where], echo=False)
    started = operator.cloud.read_json(["workflows", "execute", name, *where], echo=False)
    output = ["storage", "rm", "--recursive", f"gs://{operator.names.bucket('output')}/**"]
    if names_in(operator.emulator, operator.names.bucket("output")):
        operator.cloud.read(output, echo=False)

    refused = operator.type("destroy", "--yes")
    ended = operator.type("destroy", "--yes", "--delete-data")

    execution = started["name"].rpartition("/")[2]
    assert refused.exit_code == 2
    said = f"error: nothing was deleted: 1 upload being worked on ({execution}); wait until they have ended"
    assert refused.last_line.startswith(said)
    assert ended.exit_code == 0, ended.output
    assert "  with 1 upload being worked on" in ended.lines
    assert any(f"executions cancel {execution}" in line for line in ended.lines)


def test_a_destroy_without_settings_removes_what_was_deployed_here_and_leaves_nothing(operator):
    operator.push(DIGEST)
    assert operator.type("deploy", "--yes").exit_code == 0

    ended = operator.type("destroy", "--yes", "--delete-data", PROJECT_ID="", REGION="")
    again = operator.type("destroy", "--yes")

    assert ended.exit_code == 0, ended.output
    assert f"  bucket gs://{operator.names.bucket('output')}" in ended.lines
    assert ended.last_line.startswith(f"nothing left of {operator.names.stem} in {PROJECT}; ")
    assert operator.left() == []
    assert not (operator.folder / "local" / "gpu" / "deployment.env").exists()
    assert (again.exit_code, again.last_line) == (
        0,
        f"nothing to delete: there is no {operator.names.stem} in {REGION} of {PROJECT}",
    )


def test_a_destroy_after_one_that_had_to_stop_leaves_nothing(operator):
    operator.push(DIGEST)
    assert operator.type("deploy", "--yes").exit_code == 0
    order_faults(operator.emulator, {"method": "DELETE", "path": "/triggers/", "status": 403})
    refused = operator.type("destroy", "--yes")
    request("DELETE", f"{operator.emulator.apis}/_emulator/faults")
    done = operator.type("destroy", "--yes")

    assert refused.exit_code == 2
    assert refused.last_line.startswith("error: delete the trigger: gcloud eventarc triggers delete: ")
    assert not [line for line in refused.lines if "run services delete" in line]
    assert done.exit_code == 0, done.output
    assert operator.left() == []


# What the emulated cloud refuses to delete for good, and what is left then, as the removal names it.
KEPT = {
    "/services/": [f"service STEM-{name}" for name in SERVICES],
    "/dashboards/": ["dashboard STEM: the GPU lane"],
    "/repositories/": ["repository STEM, with its images"],
    r"/storage/v1/b/[^/]+-output\b": ["bucket gs://STEM-output"],
    "/serviceAccounts/[^/]+-gpu@": [f"account STEM-gpu@{PROJECT}.iam.gserviceaccount.com"],
}


def test_a_destroy_that_is_refused_some_deletions_makes_all_others_and_names_the_command_for_each(operator):
    operator.push(DIGEST)
    assert operator.type("deploy", "--yes").exit_code == 0
    rules = [{"method": "DELETE", "path": path, "status": 403, "message": "no right"} for path in KEPT]
    order_faults(operator.emulator, *rules)

    ended = operator.type("destroy", "--yes", "--delete-data")

    request("DELETE", f"{operator.emulator.apis}/_emulator/faults")
    left = operator.left()
    at = ended.lines.index(f"error: left in {PROJECT}:")
    listed = [line.strip().rpartition(": gcloud ") for line in ended.lines[at + 1 :]]
    for _, _, command in listed:
        operator.cloud.read(shlex.split(command), echo=False)
    again = operator.type("destroy", "--yes")
    assert ended.exit_code == 1
    kept = [what.replace("STEM", operator.names.stem) for each in KEPT.values() for what in each]
    assert sorted(what for what, _, _ in listed) == sorted(kept)
    assert len(left) == len(kept)
    said = [line for line in ended.lines[:at] if line.startswith("error: ")]
    assert len(said) == len(KEPT)
    assert all("no right" in line for line in said)
    assert again.last_line.startswith("nothing to delete: ")
    assert operator.left() == []


@pytest.mark.parametrize("title", ["create buckets", "deploy services"])
def test_a_destroy_after_a_deployment_that_failed_halfway_leaves_nothing(operator, title):
    assert operator.type("destroy", "--yes", "--delete-data").exit_code == 0
    operator.push(DIGEST)
    operator.fail_once(**STOPS[title])
    assert operator.type("deploy", "--yes").exit_code

    ended = operator.type("destroy", "--yes")

    assert ended.exit_code == 0, ended.output
    assert operator.left() == []
