"""`invoke data-update` against a hub on 127.0.0.1: what is kept, and what never is."""

import csv
import gzip
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ops.data import download
from ops.data.history import weekly_illness
from ops.failures import UserError
from tests.experiments import simulated
from tests.operators import Operator, invoke_in
from tests.stage_scripts import NEW_PYTHON
from tests.target_hubs import EXTRACT, NEWEST, TestHub, archived, as_of, target_data

WEEKS = ["2024-11-16", "2024-11-23", "2024-11-30"]
FIRST = ("data-update", "--since", WEEKS[0])


@pytest.fixture
def hub():
    """A hub whose newest data are those of the archive's newest file, written otherwise."""
    with TestHub() as made:
        made.files = {archived(week): target_data(as_of(week)) for week in WEEKS}
        made.files[NEWEST] = target_data(as_of(WEEKS[-1])).replace(b"date,", b'"date",')
        yield made


@pytest.fixture
def operator(tmp_path, hub):
    made = Operator(tmp_path, simulated())
    made.environ["TARGET_DATA_SOURCE"] = hub.address
    return made


def data(operator: Operator) -> Path:
    return operator.folder / "local" / "forecast" / "data" / "flusight"


def vintages(operator: Operator) -> dict[str, bytes]:
    """Return the content of each vintage by its day; nothing else may be in its folder."""
    names = sorted(path.name for path in (data(operator) / "vintages").iterdir())
    assert all(name.startswith("target-hospital-admissions_") for name in names), names
    paths = [data(operator) / "vintages" / name for name in names]
    return {path.name[27:37]: gzip.decompress(path.read_bytes()) for path in paths}


def lock(operator: Operator) -> dict:
    return json.loads((data(operator) / "lock.json").read_text())


def vintage(operator: Operator, week: str) -> Path:
    return data(operator) / "vintages" / f"target-hospital-admissions_{as_of(week)}.csv.gz"


def shown(output: str) -> dict[str, str]:
    """Return the table at the end of the output."""
    cells = [line.strip("│ ").split("│") for line in output.splitlines() if line.startswith("│")]
    return {name.strip(): value.strip() for name, value in cells}


def test_each_archived_file_becomes_the_vintage_of_the_wednesday_after_its_newest_week(operator, hub):
    ended = operator.invoke(*FIRST, "--exp-id", "trial")

    assert ended.exit_code == 0, ended.output
    assert vintages(operator) == {as_of(week): target_data(as_of(week)) for week in WEEKS}
    entry = lock(operator)["files"]["vintages/target-hospital-admissions_2024-11-20.csv.gz"]
    content = target_data("2024-11-20")
    assert entry["address"] == f"{hub.address}/{archived('2024-11-16')}"
    assert entry["bytes"] == len(content)
    assert (entry["as_of"], entry["newest_week"], entry["rows"]) == ("2024-11-20", "2024-11-16", 12 * 53)
    table = shown(ended.output)
    assert (table["newest vintage"], table["its newest week"]) == ("as of 2024-12-04", "2024-11-30")
    assert (table["new files"], table["refused"]) == ("3", "0")
    assert int(table["Saturdays without a file"]) > 0
    assert ended.lines[-1] == "next: invoke run --exp-id trial"
    assert "local/forecast/data/flusight" in ended.output


def test_nothing_is_fetched_twice(operator, hub):
    operator.invoke(*FIRST)
    before = {path: path.stat().st_mtime_ns for path in data(operator).rglob("*")}
    hub.fetched()

    ended = operator.invoke(*FIRST)

    assert ended.exit_code == 0, ended.output
    assert hub.fetched() == []
    assert {path: path.stat().st_mtime_ns for path in data(operator).rglob("*")} == before
    assert shown(ended.output)["new files"] == "0"


def test_only_what_is_new_is_fetched(operator, hub):
    late = hub.files.pop(archived(WEEKS[-1]))
    hub.files[NEWEST] = target_data(as_of(WEEKS[1]))
    operator.invoke(*FIRST)
    hub.fetched()
    hub.files[archived(WEEKS[-1])] = late

    ended = operator.invoke(*FIRST)

    assert hub.fetched() == [archived(WEEKS[-1])]
    assert shown(ended.output)["new files"] == "1"


def test_the_newest_data_are_the_vintage_of_today(operator, hub):
    hub.files[NEWEST] = target_data("2024-12-11")

    ended = operator.invoke(*FIRST)

    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert list(vintages(operator).items())[-1] == (today, target_data("2024-12-11"))
    assert shown(ended.output)["newest vintage"] == f"as of {today}"


def test_a_release_later_on_the_same_day_replaces_the_vintage_of_that_day(operator, hub):
    hub.files[NEWEST] = target_data("2024-12-11")
    operator.invoke(*FIRST)
    hub.files[NEWEST] = target_data("2024-12-18")

    ended = operator.invoke(*FIRST)

    assert "replaced (now with the week that ends 2024-12-14)" in ended.output
    assert list(vintages(operator).values())[-1] == target_data("2024-12-18")


def test_a_vintage_that_changed_at_the_source_is_replaced_only_when_asked(operator, hub):
    operator.invoke(*FIRST)
    old = hub.files[archived(WEEKS[0])]
    new = hub.files[archived(WEEKS[0])] = old.replace(b",06,,", b",06,,1", 1)

    left = operator.invoke(*FIRST)
    kept = vintages(operator)[as_of(WEEKS[0])]
    taken = operator.invoke(*FIRST, "--accept-changes")

    assert left.exit_code == 0
    assert "changed at the source since" in left.output
    assert "`invoke data-update --accept-changes` takes it" in left.output
    assert shown(left.output)["changed"] == "0 replaced, 1 left as they were"
    assert kept == old
    assert taken.exit_code == 0
    assert vintages(operator)[as_of(WEEKS[0])] == new
    assert shown(operator.invoke(*FIRST).output)["changed"] == "0"


def test_a_damaged_vintage_is_reported_with_the_command_that_fetches_it_again(operator, hub):
    operator.invoke(*FIRST)
    path = vintage(operator, WEEKS[1])
    path.write_bytes(path.read_bytes()[:200])

    ended = operator.invoke(*FIRST)
    again = ended.lines[-1].rpartition("to fetch again: ")[2]
    remove, command = again.split(" && ")
    subprocess.run(remove.split(), cwd=operator.folder, check=True)
    repaired = operator.invoke(*command.split()[1:], "--since", WEEKS[0])

    assert ended.exit_code == 2
    assert "not as lock.json says (damaged, or changed by hand)" in ended.output
    assert repaired.exit_code == 0, repaired.output
    assert vintages(operator)[as_of(WEEKS[1])] == target_data(as_of(WEEKS[1]))


def test_an_archived_file_with_another_newest_week_than_its_name_is_dated_by_the_later(operator, hub):
    hub.files[archived("2024-12-07")] = target_data("2024-12-18")

    ended = operator.invoke(*FIRST)

    assert "its newest week is 2024-12-14; taken as known on 2024-12-18" in ended.output
    assert list(vintages(operator))[-1] == "2024-12-18"


def bent(change) -> bytes:
    return change(target_data(as_of(WEEKS[1])))


HTML = b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n"
BAD = [
    (lambda data: HTML, "a web page instead of a table"),
    (lambda data: b"", "empty"),
    (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    (lambda data: data.replace(b",06,,", b",06,\xff,", 1), "not text in UTF-8"),
    (lambda data: data.replace(b"location,", b"place,", 1), "no column location; it has date, place"),
    (lambda data: data.replace(b"2024-11-23,06", b"2024-11-22,06"), "2024-11-22 is not a Saturday"),
    (lambda data: data.replace(b"2024-11-23,06", b"2024-11-40,06"), "2024-11-40 is not a Saturday"),
    (lambda data: data.replace(b",06,,", b",06,,many", 1), "is not a number"),
    (lambda data: data.replace(b",NA\n", b"\n", 1), "row 1 has 4 of 5 columns; is it cut off?"),
    (
        lambda data: data.replace(b"2024-11-23,06", b"2024-11-16,06"),
        "location 06 has two counts for 2024-11-16",
    ),
    (lambda data: data[:-1], "its last line has no end; is it cut off?"),
    (lambda data: data.replace(b",US,", b",99,"), "no counts of the nation (US)"),
    (lambda data: b"".join(data.splitlines(True)[:40]), "counts of 38 jurisdictions; 45 of 52 are needed"),
    (lambda data: b"".join(data.splitlines(True)[:500]), "499 rows, but the vintage before has 636"),
]


@pytest.mark.parametrize(("change", "said"), BAD, ids=[said[:30] for _, said in BAD])
def test_a_file_that_cannot_be_target_data_is_refused_and_the_others_are_kept(operator, hub, change, said):
    hub.files[archived(WEEKS[1])] = change(target_data(as_of(WEEKS[1])))

    ended = operator.invoke(*FIRST)

    assert ended.exit_code == 2
    assert ended.lines[-1].startswith(f"error: {hub.address}/{archived(WEEKS[1])}: ")
    assert said in ended.lines[-1]
    assert list(vintages(operator)) == [as_of(WEEKS[0]), as_of(WEEKS[2])]
    assert shown(ended.output)["refused"] == "1"


def test_locations_that_the_hub_does_not_have_are_counted_and_not_used(operator, hub):
    hub.files[NEWEST] = target_data("2024-12-11") + b"2024-12-07,66,Guam,3,NA\n"

    ended = operator.invoke(*FIRST)

    assert ended.exit_code == 0
    assert "1 rows of location 66 are not used" in ended.output


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (500, 75, "answered 500; try again in a minute"),
        (503, 75, "answered 503; try again in a minute"),
        (429, 75, "answered 429; try again in a minute"),
        (403, 2, "answered 403; check TARGET_DATA_SOURCE"),
        ("cut", 75, "bytes early; try again in a minute"),
        ("elsewhere", 2, "redirects to another host, http://localhost"),
    ],
)
def test_a_fault_of_the_source_is_one_line_and_leaves_what_is_complete(operator, hub, fault, code, said):
    hub.faults[archived(WEEKS[1])] = fault

    ended = operator.invoke(*FIRST)
    kept = list(vintages(operator))
    del hub.faults[archived(WEEKS[1])]
    after = operator.invoke(*FIRST)

    assert ended.exit_code == code
    assert ended.lines[-1].startswith(f"error: {hub.address}/{archived(WEEKS[1])}: ")
    assert said in ended.lines[-1]
    assert kept == [as_of(WEEKS[0])]
    assert "1 new file kept in" in ended.output
    assert after.exit_code == 0
    assert shown(after.output)["new files"] == "2"


def test_a_redirect_on_the_same_host_is_followed(operator, hub):
    hub.faults[archived(WEEKS[1])] = "moved"

    ended = operator.invoke(*FIRST)

    assert ended.exit_code == 0, ended.output
    assert as_of(WEEKS[1]) in vintages(operator)


def test_an_address_that_is_no_hub_is_refused_before_anything_is_written(operator, hub):
    del hub.files[NEWEST]

    ended = operator.invoke(*FIRST)

    assert ended.exit_code == 2
    assert f"{hub.address}/{NEWEST}: not there; check TARGET_DATA_SOURCE" in ended.lines[-1]
    assert not data(operator).exists()


def test_a_server_that_nobody_runs_is_one_line(operator, hub):
    ended = operator.invoke(*FIRST, TARGET_DATA_SOURCE="http://127.0.0.1:9")

    assert ended.exit_code == 75
    assert (
        "Connection refused; try again in a minute, or check the network and HTTPS_PROXY" in ended.lines[-1]
    )


@pytest.mark.parametrize(
    ("fault", "said"), [("drip", "not complete after 0.3 s"), ("wait", "no answer for 0.3 s")]
)
def test_a_slow_server_is_given_up(hub, monkeypatch, fault, said):
    monkeypatch.setattr(download, "FILE_SECONDS", 0.3)
    monkeypatch.setattr(download, "SOCKET_SECONDS", 0.3)
    hub.faults[NEWEST] = fault

    with pytest.raises(UserError, match=said) as raised:
        download.download(f"{hub.address}/{NEWEST}", "", 10**6)

    assert raised.value.exit_code == 75


def test_a_file_that_is_too_large_is_given_up(hub):
    with pytest.raises(UserError, match="more than 1,000 bytes"):
        download.download(f"{hub.address}/{NEWEST}", "", 1000)


def wait_for(is_so) -> None:
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_update_keeps_what_is_complete_and_the_next_one_goes_on(operator, hub, stop):
    hub.faults[archived(WEEKS[2])] = "wait"
    started = operator.start(*FIRST, **NEW_PYTHON)
    wait_for(lambda: vintage(operator, WEEKS[1]).exists())
    time.sleep(0.2)

    started.send_signal(stop)
    output, _ = started.communicate(timeout=10)
    (data(operator) / "vintages" / ".half.csv.gz.1.partial").write_bytes(b"half")
    kept = set(lock(operator)["files"])
    hub.go_on.set()
    hub.fetched()
    after = operator.invoke(*FIRST)

    assert started.returncode == (130 if stop == signal.SIGINT else -9), output
    assert kept == {f"vintages/{vintage(operator, week).name}" for week in WEEKS[:2]}
    assert after.exit_code == 0, after.output
    assert archived(WEEKS[0]) not in hub.fetched()
    assert vintages(operator) == {as_of(week): target_data(as_of(week)) for week in WEEKS}


def test_a_second_update_at_the_same_time_is_refused(operator, hub):
    hub.faults[NEWEST] = "wait"
    first = operator.start(*FIRST)
    wait_for(lambda: (data(operator) / ".update").exists())

    second = operator.invoke(*FIRST)
    hub.go_on.set()
    output, _ = first.communicate(timeout=30)

    assert second.exit_code == 2
    assert "is being updated by another task; wait until it has ended" in second.lines[-1]
    assert first.returncode == 0, output
    assert len(vintages(operator)) == 3


def test_a_full_disk_leaves_no_partial_file(operator, hub):
    limited = ["bash", "-c", 'ulimit -f 1; exec "$@"', "-", *invoke_in(operator.code), *FIRST]
    environ = {**operator.environ, **NEW_PYTHON, "PYTHONDONTWRITEBYTECODE": "1"}

    ended = subprocess.run(limited, cwd=operator.folder, env=environ, capture_output=True, text=True)

    assert ended.returncode == 2
    assert "cannot be written (File too large); what is complete is kept" in ended.stderr
    assert not [path for path in data(operator).rglob("*") if path.is_file()]


def test_a_file_where_the_folder_should_be_is_one_line(operator, hub):
    data(operator).parent.mkdir(exist_ok=True)
    data(operator).write_text("")

    ended = operator.invoke(*FIRST)

    assert ended.exit_code == 2
    assert "cannot be" in ended.lines[-1]


def test_a_dry_run_names_what_would_be_fetched_and_asks_nothing(operator, hub):
    ended = operator.invoke(*FIRST, "--dry-run")

    assert ended.exit_code == 0
    assert f"would fetch {hub.address}/{archived(WEEKS[0])}, if it is there" in ended.lines
    assert hub.asked == []
    assert not data(operator).exists()


def test_a_clone_is_read_as_a_hub(operator, hub, tmp_path):
    for path, content in hub.files.items():
        (tmp_path / "clone" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / path).write_bytes(content)

    ended = operator.invoke(*FIRST, "--source", "clone")
    again = operator.invoke(*FIRST, "--source", "clone")

    assert ended.exit_code == 0, ended.output
    assert vintages(operator) == {as_of(week): target_data(as_of(week)) for week in WEEKS}
    assert shown(again.output)["new files"] == "0"
    assert hub.asked == []


@pytest.mark.parametrize("kind", ["file", "address"])
def test_a_file_of_vintages_is_split_by_its_days(operator, hub, kind):
    hub.files["own/vintages.csv.gz"] = EXTRACT.read_bytes()
    source = str(EXTRACT) if kind == "file" else f"{hub.address}/own/vintages.csv.gz"

    ended = operator.invoke("data-update", "--source", source)
    hub.fetched()
    again = operator.invoke("data-update", "--source", source)

    assert ended.exit_code == 0, ended.output
    assert "7 locations of 53" in ended.output
    with gzip.open(EXTRACT, "rt") as file:
        rows = list(csv.reader(file))
    found = vintages(operator)
    assert list(found) == sorted({row[0] for row in rows[1:]})
    expected = [row[1:] for row in rows if row[0] in ("as_of", "2026-01-07")]
    assert list(csv.reader(found["2026-01-07"].decode().splitlines())) == expected
    assert shown(again.output)["new files"] == "0"
    assert hub.fetched() == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("http://example.org/hub", "an https address without a user name"),
        ("https://me:secret@example.org/hub", "an https address without a user name"),
        ("ftp://example.org/hub", "an https address without a user name"),
        ("https://github.com/cdcepi/FluSight-forecast-hub", "https://raw.githubusercontent.com/OWNER/NAME"),
        ("nowhere", "no such folder or file"),
        (".", "no clone of the hub"),
        (".env", "a file of vintages ends with .csv or .csv.gz"),
    ],
)
def test_a_source_that_cannot_be_one_is_refused(operator, source, said):
    ended = operator.invoke("data-update", "--source", source)

    assert ended.exit_code == 2
    assert said in ended.lines[-1]
    assert "secret" not in ended.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--since", "yesterday"), "--since yesterday: a date is needed, such as 2024-08-01"),
        (("--since", "2999-01-01"), "--since 2999-01-01: lies in the future"),
        (("--models", "../secret"), "--models ../secret: write TEAM-MODEL"),
    ],
)
def test_an_option_that_cannot_be_is_refused(operator, options, said):
    ended = operator.invoke("data-update", *options)

    assert ended.exit_code == 2
    assert said in ended.lines[-1]


def test_forecasts_of_models_are_kept_as_they_are(operator, hub):
    header = b"reference_date,target,horizon,target_end_date,location,output_type,output_type_id,value\n"
    row = b"2024-12-07,wk inc flu hosp,0,2024-12-07,US,quantile,0.5,9\n"
    path = "model-output/FluSight-baseline/2024-12-07-FluSight-baseline.csv"
    hub.files[path] = header + row

    ended = operator.invoke(*FIRST, "--models", "FluSight-baseline,FluSight-ensembel")
    hub.fetched()
    operator.invoke(*FIRST, "--models", "FluSight-baseline")

    assert ended.exit_code == 0, ended.output
    assert (data(operator) / path).read_bytes() == header + row
    assert "no forecasts of FluSight-ensembel: is the name right?" in ended.output
    assert hub.fetched() == []


def test_the_history_has_a_row_for_each_saturday_and_state():
    columns = "region_type,region,unweighted_ili,total_patients,week_start"
    rows = [
        "States,Vermont,1.5,200,2010-10-03",
        "States,Florida,NA,NA,2010-10-03",
        "States,Guam,1,1,2010-10-03",
    ]
    later = "States,Vermont,1.5,200,2023-10-01"  # after COVID-19 came

    found = weekly_illness("\n".join([columns, *rows, later, ""]).encode()).decode().splitlines()

    assert found == [
        "date,location,unweighted_ili,total_patients",
        "2010-10-09,12,,",
        "2010-10-09,50,1.5,200",
    ]
