"""Runs, results and downloads from the bucket: the real gcloud on the emulated Cloud Storage."""

import hashlib
import json
from pathlib import Path

import pytest

from localcloud.process import running
from ops.watching.cloud_files import runs_of
from tests.cloud_runs import PROJECT, RUN_ID
from tests.emulated import request
from tests.experiments import sampled
from tests.test_cloud_run import BUCKET, CloudOperator, ready_cloud

pytestmark = pytest.mark.slow

OLDER_RUN, NEWER_RUN = "20260130-120000-00000001", "20260201-120000-00000002"
OUTPUTS = "outputs/20260131-130000"
HEADLINE = {
    "headline": [
        {
            "population": "US-VT",
            "series": "cases",
            "date": "2025-02-08",
            "low": 1.0,
            "median": 12.0,
            "high": 30.0,
            "note": "forecast",
        }
    ]
}
FILES = {
    "report.html": b"<html>a report</html>",
    "headline.json": json.dumps(HEADLINE).encode(),
    "trajectories.csv.gz": bytes(range(256)) * 400,
    "charts/US-VT [1].png": b"\x89PNG a picture",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("files"), "--clock-speed", "100", "--tasks", "null") as cloud:
        yield cloud


@pytest.fixture
def pipeline(cloud):
    yield ready_cloud(cloud)
    request("POST", f"{cloud.apis}/_emulator/reset")
    request("POST", f"{cloud.storage}/_emulator/reset")


@pytest.fixture
def operator(cloud, pipeline, tmp_path):
    return CloudOperator(cloud, tmp_path, sampled())


def put(cloud, name: str, data: bytes = b"x") -> None:
    upload = f"{cloud.storage}/upload/storage/v1/b/{BUCKET}/o?uploadType=media"
    assert request("POST", upload, params={"name": name}, data=data).status_code == 200


def put_outputs(cloud, run_id: str = RUN_ID, files: dict[str, bytes] = FILES, more: tuple = ()) -> None:
    """Write an output folder as stage C does, its list last."""
    listed = [
        {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    ]
    for name, data in files.items():
        put(cloud, f"trial/{run_id}/{OUTPUTS}/{name}", data)
    put(cloud, f"trial/{run_id}/{OUTPUTS}/files.json", json.dumps([*listed, *more]).encode())


def put_run(cloud, run_id: str, inputs: int, results: int) -> None:
    for number in range(inputs):
        put(cloud, f"trial/{run_id}/builder-artifacts/input_{number:04d}.pkl", b"input")
    for number in range(results):
        put(cloud, f"trial/{run_id}/runner-artifacts/result_{number:04d}.pkl", b"result")
    put(cloud, f"trial/{run_id}/builder-artifacts/manifest.json", b"{}")


def asked(cloud) -> dict[str, int]:
    return request("GET", f"{cloud.storage}/_emulator/requests").json()["by_route"]


def asked_since(cloud, before: dict[str, int]) -> dict[str, int]:
    return {route: number - before.get(route, 0) for route, number in asked(cloud).items()}


def files_of(operator, run_id: str = RUN_ID) -> dict[str, bytes]:
    """Return what lies below a run's folder on this machine."""
    place = operator.folder / "local" / "downloads" / "trial" / run_id
    return {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def test_runs_in_the_bucket_are_told_by_one_list(cloud, operator, pipeline):
    put_run(cloud, OLDER_RUN, inputs=3, results=2)
    put_outputs(cloud, OLDER_RUN)
    put_run(cloud, NEWER_RUN, inputs=2, results=2)
    put(cloud, "trial/20260202-120000-00000003/config/model.yaml")
    put(cloud, f"trial/{RUN_ID}/execution.json", json.dumps({"execution": "gone", "run_id": RUN_ID}).encode())
    for number in range(300):
        put(cloud, f"trial/20250101-120000-{number:08x}/builder-artifacts/manifest.json")
    pipeline.order({"job": "builder", "queue": "CODE_GCE_QUOTA_EXCEEDED"})
    pipeline.start(runId="20260203-120000-00000004")

    before = asked(cloud)
    ended = operator.invoke("runs", "--exp-id", "trial")
    lists = asked_since(cloud, before)["GET /b/{bucket}/o"]
    local = operator.invoke("runs", "--local")
    nobody = operator.invoke("runs", "--cloud", "--exp-id", "other", EXECUTION_MODE="local")

    assert ended.exit_code == 0, ended.output
    rows = {line.split()[1]: " ".join(line.split()[3:]) for line in ended.lines if " trial " in f" {line}"}
    assert rows[OLDER_RUN] == "2/3 done, 1 result missing 20260131-130000"
    assert rows[NEWER_RUN] == "2/2 no outputs yet"
    assert "not built" in ended.output
    assert ended.output.count("going on") == 1
    assert "20260203-120000-00000004" in ended.lines[-1]
    assert ended.output.count("unfinished") == 300
    assert lists <= 6
    assert "no runs below" in local.output
    assert nobody.exit_code == 2
    assert "no runs of other" in nobody.last_line


def test_results_and_downloads_are_of_the_newest_run_that_has_outputs(cloud, operator):
    put_outputs(cloud)
    put_run(cloud, NEWER_RUN, inputs=2, results=1)

    results = operator.invoke("results", "--exp-id", "trial")
    first = operator.invoke("download", "--exp-id", "trial")
    before = asked(cloud)
    again = operator.invoke("download", "--exp-id", "trial", "--run-id", RUN_ID)
    reads = asked_since(cloud, before)["GET /b/{bucket}/o/{name}"]
    got = files_of(operator)

    assert results.exit_code == 0, results.output
    assert f"run {NEWER_RUN} has no outputs yet" in results.output
    assert "US-VT" in results.output
    assert f"invoke download --exp-id trial --run-id {RUN_ID}" in results.last_line
    assert first.exit_code == 0, first.output
    assert first.last_line == (
        f"fetched 5 files (0.1 MiB): local/downloads/trial/{RUN_ID}/{OUTPUTS}/report.html"
    )
    assert {name.removeprefix(f"{OUTPUTS}/") for name in got} == {*FILES, "files.json"}
    assert all(got[f"{OUTPUTS}/{name}"] == data for name, data in FILES.items())
    assert again.last_line.startswith("fetched 0 files (0.0 MiB), 5 files were there: ")
    assert reads <= 4  # of files.json alone


def test_only_what_is_damaged_or_missing_is_fetched_again(cloud, operator):
    put_outputs(cloud)
    assert operator.invoke("download", "--exp-id", "trial", "--to", "here").exit_code == 0
    place = operator.folder / "here" / "trial" / RUN_ID / OUTPUTS
    (place / "report.html").write_bytes(b"x" * len(FILES["report.html"]))
    (place / "charts" / "US-VT [1].png").unlink()

    ended = operator.invoke("download", "--exp-id", "trial", "--to", "here")

    assert ended.last_line.startswith("fetched 2 files (0.0 MiB), 3 files were there: here/trial/")
    assert (place / "report.html").read_bytes() == FILES["report.html"]
    assert (place / "charts" / "US-VT [1].png").is_file()
    assert not list(operator.folder.rglob(".incomplete"))


def test_what_is_not_as_listed_gets_no_final_name_and_the_next_try_goes_on(cloud, operator):
    put_outputs(cloud)
    put(cloud, f"trial/{RUN_ID}/{OUTPUTS}/report.html", b"<html>b report</html>")

    wrong = operator.invoke("download", "--exp-id", "trial")
    half = files_of(operator)
    put(cloud, f"trial/{RUN_ID}/{OUTPUTS}/report.html", FILES["report.html"])
    ended = operator.invoke("download", "--exp-id", "trial")

    assert wrong.exit_code == 75, wrong.output
    assert "report.html: what was fetched is not what the bucket lists" in wrong.last_line
    assert f"{OUTPUTS}/charts/US-VT [1].png" in half
    assert f"{OUTPUTS}/report.html" not in half
    assert f"{OUTPUTS}/files.json" not in half
    assert ended.exit_code == 0, ended.output
    assert set(files_of(operator)) == {f"{OUTPUTS}/{name}" for name in (*FILES, "files.json")}


def test_a_download_that_was_cut_off_goes_on_with_what_it_has(cloud, operator):
    put_outputs(cloud)
    fault = {"method": "GET", "path": "trajectories", "status": 403, "times": 100}
    order_faults_of_storage(cloud, fault)

    cut = operator.invoke("download", "--exp-id", "trial")
    half = files_of(operator)
    request("DELETE", f"{cloud.storage}/_emulator/faults")
    ended = operator.invoke("download", "--exp-id", "trial")

    assert cut.exit_code != 0, cut.output
    assert "Traceback" not in cut.output
    assert f"{OUTPUTS}/files.json" not in half
    assert ended.exit_code == 0, ended.output
    assert all(files_of(operator)[f"{OUTPUTS}/{name}"] == data for name, data in FILES.items())


def order_faults_of_storage(cloud, *rules: dict) -> None:
    answer = request("POST", f"{cloud.storage}/_emulator/faults", json=list(rules))
    assert answer.status_code == 200, answer.text


def test_all_files_of_a_run_come_with_their_folders(cloud, operator):
    put_run(cloud, RUN_ID, inputs=3, results=3)
    put_outputs(cloud)

    ended = operator.invoke("download", "--exp-id", "trial", "--what", "all", "--run-id", RUN_ID)
    (Path(operator.folder) / f"local/downloads/trial/{RUN_ID}/runner-artifacts/result_0001.pkl").write_bytes(
        b"RESULT"
    )
    again = operator.invoke("download", "--exp-id", "trial", "--what", "all", "--run-id", RUN_ID)

    assert ended.exit_code == 0, ended.output
    assert ended.last_line.startswith("fetched 12 files")
    assert ended.last_line.endswith("report.html")
    assert again.last_line.startswith("fetched 1 file (0.0 MiB), 11 files were there")
    assert files_of(operator)["runner-artifacts/result_0001.pkl"] == b"result"


def test_a_name_that_leads_out_of_the_folder_is_refused(cloud, operator):
    evil = {"name": "../../../../evil", "bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    put_outputs(cloud, more=(evil,))

    ended = operator.invoke("download", "--exp-id", "trial")

    assert ended.exit_code == 1
    assert "is not fetched" in ended.last_line
    assert not list(operator.folder.rglob("evil"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("download",), "--exp-id is needed"),
        (("download", "--exp-id", "trial", "--what", "output"), 'did you mean "outputs"'),
        (("download", "--exp-id", "trial"), "no runs of trial"),
        (("download", "--exp-id", "trial", "--what", "all", "--run-id", RUN_ID), "no such run"),
        (("results", "--exp-id", "trial", "--run-id", RUN_ID), "has no outputs in the bucket"),
    ],
)
def test_what_is_not_there_is_one_line(operator, words, said):
    ended = operator.invoke(*words)

    assert ended.exit_code == 2, ended.output
    assert said in ended.last_line


def test_names_tell_whose_run_it_is():
    top = f"gs://{BUCKET}/lab/"
    lines = [
        f"       5  2026-01-31T12:00:00Z  {top}flu/{RUN_ID}/builder-artifacts/manifest.json",
        f"       5  2026-01-31T12:00:00Z  {top}flu/2026-w05/{RUN_ID}/builder-artifacts/manifest.json",
        f"       5  2026-01-31T12:00:00Z  {top}flu/2026-w05/notes.txt",
        "TOTAL: 3 objects, 15 bytes (15B)",
    ]

    assert [run.exp_id for run in runs_of(lines, "lab/")] == ["flu", "flu/2026-w05"]
    assert [run.exp_id for run in runs_of(lines, "lab/", "flu")] == ["flu"]


def test_a_dry_run_asks_for_nothing(cloud, operator):
    before = asked(cloud)

    for words in (["download"], ["download", "--what", "all"], ["results"], ["runs"]):
        ended = operator.invoke(*words, "--exp-id", "trial", "--dry-run")
        assert ended.exit_code == 0, ended.output
        assert "+ gcloud storage" in ended.output

    assert sum(asked_since(cloud, before).values()) <= 1  # ours, for the count
    assert PROJECT in ended.output
