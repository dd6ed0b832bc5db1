"""`invoke data-update` when something is wrong: with the source, a file, the disk, or what was asked for."""

import datetime
import signal
import subprocess
import time

import pytest

from ops.data import download, history
from ops.data.keeping import Keeper
from ops.data.store import open_store
from ops.failures import UserError
from tests.operators import invoke_in
from tests.stage_scripts import NEW_PYTHON
from tests.target_hubs import FIRST, NEWEST, WEEKS, DataOperator, archived, as_of, shown, target_data


@pytest.fixture
def operator(tmp_path, hub):
    return DataOperator(tmp_path, hub)


def test_a_damaged_vintage_is_reported_with_the_command_that_fetches_it_again(operator, hub):
    operator.invoke(*FIRST)
    path = operator.vintage(WEEKS[1])
    path.write_bytes(path.read_bytes()[:200])

    ended = operator.invoke(*FIRST)
    again = ended.lines[-1].rpartition("to fetch again: ")[2]
    remove, command = again.split(" && ")
    subprocess.run(remove.split(), cwd=operator.folder, check=True)
    repaired = operator.invoke(*command.split()[1:])

    assert ended.exit_code == 2
    assert "not as lock.json says (damaged, or changed by hand)" in ended.output
    assert repaired.exit_code == 0, repaired.output
    assert operator.vintages()[as_of(WEEKS[1])] == target_data(as_of(WEEKS[1]))


HTML = b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n"
BAD = [
    (lambda data: HTML, "a web page instead of a table"),
    (lambda data: b"", "empty"),
    (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    (lambda data: data.replace(b",06,,", b",06,\xff,", 1), "not text in UTF-8"),
    (lambda data: data.replace(b"location,", b"place,", 1), "no column location; it has date, place"),
    (lambda data: data.replace(b",06,", b",6,", 1), "location 6: write 06"),
    (lambda data: data.replace(b",06,", b',"6' + b"6" * 140_000 + b'",', 1), "no table in CSV"),
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
    assert list(operator.vintages()) == [as_of(WEEKS[0]), as_of(WEEKS[2])]
    assert shown(ended.output)["refused"] == "1"


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
    kept = list(operator.vintages())
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
    assert as_of(WEEKS[1]) in operator.vintages()


def test_an_address_that_is_no_hub_is_refused_before_anything_is_written(operator, hub):
    del hub.files[NEWEST]

    ended = operator.invoke(*FIRST)

    assert ended.exit_code == 2
    assert f"{hub.address}/{NEWEST}: not there; check TARGET_DATA_SOURCE" in ended.lines[-1]
    assert not operator.data.exists()


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
    wait_for(lambda: operator.vintage(WEEKS[1]).exists())
    time.sleep(0.2)

    started.send_signal(stop)
    output, _ = started.communicate(timeout=10)
    (operator.data / "vintages" / ".half.csv.gz.1.partial").write_bytes(b"half")
    kept = set(operator.files_in_lock())
    hub.go_on.set()
    hub.fetched()
    after = operator.invoke(*FIRST)

    assert started.returncode == (130 if stop == signal.SIGINT else -9), output
    assert kept == {f"vintages/{operator.vintage(week).name}" for week in WEEKS[:2]}
    assert after.exit_code == 0, after.output
    assert archived(WEEKS[0]) not in hub.fetched()
    assert operator.vintages() == {as_of(week): target_data(as_of(week)) for week in WEEKS}


def test_a_second_update_at_the_same_time_is_refused(operator, hub):
    hub.faults[NEWEST] = "wait"
    first = operator.start(*FIRST)
    wait_for(lambda: (operator.data / ".update").exists())

    second = operator.invoke(*FIRST)
    hub.go_on.set()
    output, _ = first.communicate(timeout=30)

    assert second.exit_code == 2
    assert "is being updated by another task; wait until it has ended" in second.lines[-1]
    assert first.returncode == 0, output
    assert len(operator.vintages()) == 3


def test_a_full_disk_leaves_no_partial_file(operator, hub):
    limited = ["bash", "-c", 'ulimit -f 1; exec "$@"', "-", *invoke_in(operator.code), *FIRST]
    environ = {**operator.environ, **NEW_PYTHON, "PYTHONDONTWRITEBYTECODE": "1"}

    ended = subprocess.run(limited, cwd=operator.folder, env=environ, capture_output=True, text=True)

    assert ended.returncode == 2
    assert "cannot be written (File too large); what is complete is kept" in ended.stderr
    assert not [path for path in operator.data.rglob("*") if path.is_file()]


def test_a_file_where_the_folder_should_be_is_one_line(operator, hub):
    operator.data.parent.mkdir(exist_ok=True)
    operator.data.write_text("")

    ended = operator.invoke(*FIRST)

    assert ended.exit_code == 2
    assert "cannot be" in ended.lines[-1]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("http://example.org/hub", "an https address without a user name"),
        ("https://me:secret@example.org/hub", "an https address without a user name"),
        ("ftp://example.org/hub", "an https address without a user name"),
        ("https://github.com/cdcepi/FluSight-forecast-hub", "https://raw.githubusercontent.com/OWNER/NAME"),
        ("https://[::1/hub", "no address"),
        ("https://127.0.0.1:many/hub", "no address"),
        ("http://127.0.0.1:99999/hub", "no address"),
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


def test_a_vintage_whose_day_is_written_in_another_way_is_refused(operator, tmp_path):
    source = tmp_path / "own.csv"
    rows = ["2025-01-08,2025-01-04,50,32", "20250108,2025-01-04,06,3276"]  # one day, in two ways
    source.write_text("\n".join(["as_of,date,location,value", *rows]) + "\n")

    ended = operator.invoke("data-update", "--source", str(source))

    assert ended.exit_code == 2
    assert ended.lines[-1].endswith('own.csv: as_of "20250108" is not a day such as 2026-01-07')
    assert not operator.data.exists() or operator.vintages() == {}


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


def test_another_file_in_place_of_the_history_is_refused(operator, hub, monkeypatch):
    hub.files["ilinet_state.csv"] = b"another"
    monkeypatch.setattr(history, "ADDRESS", f"{hub.address}/ilinet_state.csv")

    with pytest.raises(UserError, match="not the file that it was"):
        history.fetch_history(Keeper(open_store(operator.data), datetime.date(2026, 1, 7)))

    assert not operator.data.exists()


def test_a_lock_file_that_is_none_is_one_line(operator, hub):
    operator.data.mkdir(parents=True)
    (operator.data / "lock.json").write_text("[]")

    ended = operator.invoke(*FIRST)

    assert ended.exit_code == 2
    assert "lock.json: not a lock file" in ended.lines[-1]
    assert "delete it, and the next update checks each file against the source" in ended.lines[-1]
