"""Runs, results and downloads from the bucket: the real gcloud on the emulated Cloud Storage."""

import hashlib
import json

import pytest

from ops.cloud import bucket
from ops.cloud.bucket import runs_and_folders
from ops.failures import DryRunEnds, UserError
from ops.laptop.run_lock import held_file
from ops.shell import Shell
from ops.watching import cloud_tables
from ops.watching.download import LOCK, download
from tests.cloud_operators import BUCKET, CloudOperator
from tests.cloud_runs import PROJECT, RUN_ID
from tests.emulated import request
from tests.experiments import sampled

OLDER_RUN, NEWER_RUN = "20260130-120000-00000001", "20260201-120000-00000002"
NEWEST_RUN = "20260204-120000-00000005"
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


@pytest.fixture
def operator(null_cloud, pipeline, tmp_path, monkeypatch):
    """An operator on a cloud without runs, in whose folder we are."""
    monkeypatch.chdir(tmp_path)
    yield CloudOperator(null_cloud, tmp_path, sampled())
    request("POST", f"{null_cloud.storage}/_emulator/reset")


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


def put_run(cloud, run_id: str, inputs: int, results: int, exp_id: str = "trial") -> None:
    for number in range(inputs):
        put(cloud, f"{exp_id}/{run_id}/builder-artifacts/input_{number:04d}.pkl", b"input")
    for number in range(results):
        put(cloud, f"{exp_id}/{run_id}/runner-artifacts/result_{number:04d}.pkl", b"result")
    manifest = json.dumps({"num_workloads": inputs, "created_at": "2026-01-31T12:00:00Z"}).encode()
    put(cloud, f"{exp_id}/{run_id}/builder-artifacts/manifest.json", manifest)


def asked(cloud) -> dict[str, int]:
    return request("GET", f"{cloud.storage}/_emulator/requests").json()["by_route"]


def asked_since(cloud, before: dict[str, int]) -> dict[str, int]:
    return {route: number - before.get(route, 0) for route, number in asked(cloud).items()}


def files_of(operator) -> dict[str, bytes]:
    """Return what lies below a run's folder on this machine."""
    place = operator.folder / "local" / "downloads" / "trial" / RUN_ID
    return {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def fetch(operator, run_id: str = RUN_ID, what: str = "outputs") -> None:
    download(operator.google_cloud(), "trial", run_id, what)


def test_the_newest_runs_of_all_experiments_are_told_by_lists_of_folders_alone(
    null_cloud, operator, pipeline
):
    put_run(null_cloud, OLDER_RUN, inputs=3, results=0)
    headline = {
        "missing": [1],
        "missing_inputs": [{"index": 1, "name": "US-VT (input 1)", "reason": "killed"}],
    }
    put_outputs(null_cloud, OLDER_RUN, FILES | {"headline.json": json.dumps(headline).encode()})
    put_run(null_cloud, NEWER_RUN, inputs=30, results=30)
    put_run(null_cloud, RUN_ID, inputs=30, results=7)
    put(
        null_cloud,
        f"trial/{RUN_ID}/execution.json",
        b'{"execution": "gone"}',
    )
    put(null_cloud, "trial/20260202-120000-00000003/config/model.yaml")
    put(null_cloud, f"flu/w05/{NEWEST_RUN}/builder-artifacts/manifest.json", b"{")
    put(null_cloud, "notes.txt")
    put(null_cloud, "cloudbuild/source.tgz")
    for number in range(300):
        put(null_cloud, f"trial/20250101-120000-{number:08x}/builder-artifacts/manifest.json")
    pipeline.order({"job": "builder", "queue": "CODE_GCE_QUOTA_EXCEEDED"})
    pipeline.start(runId="20260203-120000-00000004")

    before = asked(null_cloud)
    ended = operator.invoke("runs", "--limit", "6")
    since = asked_since(null_cloud, before)

    assert ended.exit_code == 0, ended.output
    rows = [" ".join(line.split()) for line in ended.lines]
    start = next(number for number, row in enumerate(rows) if row.startswith("experiment run id"))
    assert [row.removeprefix("trial ") for row in rows[start + 1 : -1]] == [
        f"flu/w05 {NEWEST_RUN} damaged",
        "20260203-120000-00000004 going on",
        "20260202-120000-00000003 not built",
        f"{NEWER_RUN} 2026-01-31T12:00:00Z 30/30 no outputs yet",
        f"{RUN_ID} 2026-01-31T12:00:00Z 7/30 unfinished",
        f"{OLDER_RUN} 2026-01-31T12:00:00Z 2/3 done, 1 missing: US-VT (input 1) 20260131-130000",
    ]
    assert ended.last_line == "and 300 older runs: --limit all"
    of_storage = {route: number for route, number in since.items() if "/b/{bucket}" in route}
    assert sum(of_storage.values()) < 70, of_storage  # however many runs there are


def test_a_damaged_claim_shows_its_own_run_as_going_on_and_no_other(null_cloud, operator, pipeline, capsys):
    for run_id, claim in ((RUN_ID, b'{"execution": "ended"}'), (NEWER_RUN, b"{")):
        put_run(null_cloud, run_id, inputs=3, results=0)
        put(null_cloud, f"trial/{run_id}/execution.json", claim)
    pipeline.order({"job": "builder", "queue": "CODE_GCE_QUOTA_EXCEEDED"})
    pipeline.start(runId=NEWEST_RUN)

    cloud_tables.show_runs(operator.google_cloud(), "trial")

    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert f"trial {RUN_ID} 2026-01-31T12:00:00Z 0/3 unfinished" in rows
    assert f"trial {NEWER_RUN} 2026-01-31T12:00:00Z 0/3 going on" in rows


def test_runs_are_found_in_more_folders_than_one_gcloud_is_given_and_what_is_too_deep_is_told(
    null_cloud, operator, capsys, monkeypatch
):
    monkeypatch.setattr(bucket, "FOLDERS_A_CALL", 2)
    for number in range(5):
        put_run(null_cloud, RUN_ID, inputs=1, results=1, exp_id=f"flu/{number}")
    put(null_cloud, f"a/b/c/d/e/{RUN_ID}/builder-artifacts/manifest.json")
    put(null_cloud, f"flu/0/{RUN_ID}/outputs/two\u2028lines/files.json")

    found, number = bucket.newest_runs(operator.google_cloud())
    near_one_that_has_gone = [f"gs://{BUCKET}/{folder}/" for folder in ("flu/0", "gone", "flu/1")]
    runs, _ = bucket._folders(operator.google_cloud(), near_one_that_has_gone)

    assert sorted(run.exp_id for run in found) == [f"flu/{number}" for number in range(5)]
    assert number == 5
    not_searched = "not searched for runs: 1 folder more than 4 levels deep, such as gs://"
    assert f"{not_searched}{BUCKET}/a/b/c/d/e/;" in capsys.readouterr().err
    assert [run.exp_id for run in runs] == ["flu/0", "flu/1"]


def test_results_are_those_of_the_newest_run_that_has_outputs(null_cloud, operator):
    put_outputs(null_cloud)
    put_run(null_cloud, NEWER_RUN, inputs=2, results=1)

    results = operator.invoke("results", "--exp-id", "trial")

    assert results.exit_code == 0, results.output
    assert f"run {NEWER_RUN} has no outputs yet" in results.output
    assert "US-VT" in results.output
    assert f"invoke download --exp-id trial --run-id {RUN_ID}" in results.last_line


def test_outputs_are_fetched_but_for_those_that_are_there_and_whole(null_cloud, operator):
    put_outputs(null_cloud)
    place = operator.folder / "local" / "downloads" / "trial" / RUN_ID / OUTPUTS
    place.mkdir(parents=True)
    (place / "trajectories.csv.gz").write_bytes(FILES["trajectories.csv.gz"])
    (place / "report.html").write_bytes(b"x" * len(FILES["report.html"]))

    before = asked(null_cloud)
    ended = operator.invoke("download", "--exp-id", "trial")
    reads = asked_since(null_cloud, before)["GET /b/{bucket}/o/{name}"]

    assert ended.exit_code == 0, ended.output
    assert ended.last_line == (
        f"fetched 4 files (0.0 MiB), 1 file was there: local/downloads/trial/{RUN_ID}/{OUTPUTS}/report.html"
    )
    assert reads < 20
    got = files_of(operator)  # and neither a lock nor a folder of what was being fetched
    assert {name.removeprefix(f"{OUTPUTS}/") for name in got} == {*FILES, "files.json"}
    assert all(got[f"{OUTPUTS}/{name}"] == data for name, data in FILES.items())


def test_a_download_goes_on_after_one_that_was_cut_off_or_fetched_what_is_not_listed(null_cloud, operator):
    files = {name: FILES[name] for name in ("trajectories.csv.gz", "report.html")}
    put_outputs(null_cloud, files=files)
    put(null_cloud, f"trial/{RUN_ID}/{OUTPUTS}/report.html", b"<html>b report</html>")
    fault = [{"method": "GET", "path": "trajectories", "status": 403, "times": 100}]
    assert request("POST", f"{null_cloud.storage}/_emulator/faults", json=fault).status_code == 200

    with pytest.raises(UserError):
        fetch(operator)
    cut_off = files_of(operator)
    request("DELETE", f"{null_cloud.storage}/_emulator/faults")
    with pytest.raises(UserError, match="html: the download does not match its digest") as wrong:
        fetch(operator)
    not_as_listed = files_of(operator)
    put(null_cloud, f"trial/{RUN_ID}/{OUTPUTS}/report.html", files["report.html"])
    fetch(operator)

    assert f"{OUTPUTS}/files.json" not in cut_off
    assert wrong.value.exit_code == 75
    assert f"{OUTPUTS}/trajectories.csv.gz" in not_as_listed
    assert f"{OUTPUTS}/report.html" not in not_as_listed
    assert f"{OUTPUTS}/files.json" not in not_as_listed
    whole = files_of(operator)
    assert set(whole) == {f"{OUTPUTS}/{name}" for name in (*files, "files.json")}
    assert all(whole[f"{OUTPUTS}/{name}"] == data for name, data in files.items())


def test_all_files_of_a_run_come_with_their_folders(null_cloud, operator, capsys):
    put_run(null_cloud, RUN_ID, inputs=1, results=3)
    put_outputs(null_cloud, files={"report.html": FILES["report.html"]})
    results = operator.folder / f"local/downloads/trial/{RUN_ID}/runner-artifacts"
    results.mkdir(parents=True)
    (results / "result_0001.pkl").write_bytes(b"RESULT")
    (results / "result_0002.pkl").write_bytes(b"result")

    fetch(operator, what="all")

    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("fetched 6 files (0.0 MiB), 1 file was there")
    assert said.endswith("report.html")
    assert {path.read_bytes() for path in results.iterdir()} == {b"result"}


def test_a_file_put_together_from_parts_is_verified_too(null_cloud, operator):
    """Of a large upload in parts the bucket knows no MD5, only a CRC32C."""
    name = f"trial/{RUN_ID}/runner-artifacts/result_0000.pkl"
    for part in ("first", "second"):
        put(null_cloud, f"trial/{RUN_ID}/{part}", part.encode())
    sources = [{"name": f"trial/{RUN_ID}/{part}"} for part in ("first", "second")]
    objects = f"{null_cloud.storage}/storage/v1/b/{BUCKET}/o"
    composed = request(
        "POST", f"{objects}/{name.replace('/', '%2F')}/compose", json={"sourceObjects": sources}
    )
    assert "md5Hash" not in composed.json()
    result = operator.folder / "local" / "downloads" / name
    result.parent.mkdir(parents=True)
    result.write_bytes(b"FIRSTsecond")

    fetch(operator, what="all")

    assert result.read_bytes() == b"firstsecond"


def test_two_downloads_of_a_run_do_not_meet_in_one_place(operator):
    place = operator.folder / "local" / "downloads" / "trial" / RUN_ID

    with held_file(place / LOCK, ""), pytest.raises(UserError) as refused:
        fetch(operator, what="all")

    assert str(refused.value) == (
        f"local/downloads/trial/{RUN_ID}: another download puts this run there; "
        "wait until it has ended, or choose --to"
    )
    assert refused.value.exit_code == 2


def test_a_name_that_leads_out_of_the_folder_is_refused(null_cloud, operator):
    evil = {"name": "../../../../evil", "bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    put_outputs(null_cloud, files={}, more=(evil,))

    with pytest.raises(UserError, match="is not downloaded") as refused:
        fetch(operator)

    assert refused.value.exit_code == 1
    assert not list(operator.folder.rglob("evil"))


def test_what_is_not_there_is_one_line(operator):
    typed, here = operator.invoke("download"), (operator.google_cloud())

    for ask, said in (
        (lambda: fetch(operator, what="output"), 'did you mean "outputs"'),
        (lambda: fetch(operator, run_id=""), "no runs of trial"),
        (lambda: fetch(operator, what="all"), "no such run"),
        (
            lambda: cloud_tables.show_results(here, "trial", RUN_ID),
            "has no outputs",
        ),
        (
            lambda: cloud_tables.show_runs(here, "other"),
            "no runs of other in gs:",
        ),
    ):
        with pytest.raises(UserError, match=said) as refused:
            ask()
        assert refused.value.exit_code == 2

    assert typed.exit_code == 2
    assert "--exp-id is needed" in typed.last_line
    assert not (operator.folder / "local" / "downloads" / "trial" / RUN_ID).exists()


def test_names_of_folders_tell_whose_run_it_is():
    top = f"gs://{BUCKET}/lab/"
    lines = [
        f"{top}flu/{RUN_ID}/",
        f"{top}flu/2026-w05/",
        f"{top}{RUN_ID}/",
        f"{top}a b/",
        f"{top}flu/notes.txt",
    ]

    runs, others = runs_and_folders(lines, top)

    assert [(run.exp_id, run.run_id) for run in runs] == [("flu", RUN_ID)]
    assert others == [f"{top}flu/2026-w05/"]


def test_a_dry_run_asks_for_nothing_and_prints_what_would_be_asked(null_cloud, operator, capsys):
    before = asked(null_cloud)
    dry, place = operator.google_cloud(Shell(dry_run=True)), f"gs://{BUCKET}/trial/RUN_ID/"

    for show in (cloud_tables.show_runs, cloud_tables.show_results):
        with pytest.raises(DryRunEnds):
            show(dry, "trial")
    for what in ("outputs", "all"):
        download(dry, "trial", "", what)
    ended = operator.invoke("runs", "--dry-run")

    said = capsys.readouterr().err
    assert f"+ gcloud storage cat {place}outputs/TIME/headline.json --project {PROJECT}" in said
    assert f"+ gcloud storage cp {place}outputs/TIME/FILE local/downloads/trial/RUN_ID/.incomplete/" in said
    assert f"+ gcloud storage objects list '{place}**'" in said
    assert "rsync" not in said
    assert f"+ gcloud storage ls gs://{BUCKET}/ --project" in ended.output
    assert sum(asked_since(null_cloud, before).values()) <= 1  # ours, for the count
