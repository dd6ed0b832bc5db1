"""`invoke data-update` from a hub on 127.0.0.1: what is fetched, kept and never replaced."""

import csv
import datetime
import gzip
import hashlib
import re
import subprocess
import time

import pytest

from ops.data import download, history
from ops.data.history import weekly_illness
from ops.data.keeping import Keeper
from ops.data.store import open_store
from tests.experiments import REPOSITORY
from tests.flu_vintages import VINTAGES
from tests.target_hubs import (
    FIRST,
    NEWEST,
    WEEKS,
    DataOperator,
    archived,
    as_of,
    shown,
    target_data,
)


@pytest.fixture
def operator(tmp_path, hub):
    return DataOperator(tmp_path, hub)


def test_each_archived_file_becomes_the_vintage_of_the_wednesday_after_its_newest_week(operator, hub):
    ended = operator.invoke(*FIRST, "--exp-id", "trial")

    assert ended.exit_code == 0, ended.output
    assert operator.vintages() == {as_of(week): target_data(as_of(week)) for week in WEEKS}
    entry = operator.files_in_lock()["vintages/target-hospital-admissions_2024-11-20.csv.gz"]
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
    before = {path: path.stat().st_mtime_ns for path in operator.data.rglob("*")}
    hub.fetched()

    ended = operator.invoke(*FIRST)

    assert ended.exit_code == 0, ended.output
    assert hub.fetched() == []
    assert {path: path.stat().st_mtime_ns for path in operator.data.rglob("*")} == before
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
    assert list(operator.vintages().items())[-1] == (today, target_data("2024-12-11"))
    assert shown(ended.output)["newest vintage"] == f"as of {today}"


def test_a_release_later_on_the_same_day_replaces_the_vintage_of_that_day(operator, hub):
    hub.files[NEWEST] = target_data("2024-12-11")
    operator.invoke(*FIRST)
    hub.files[NEWEST] = target_data("2024-12-18")

    ended = operator.invoke(*FIRST)

    assert "replaced (now with the week that ends 2024-12-14)" in ended.output
    assert list(operator.vintages().values())[-1] == target_data("2024-12-18")


def test_a_vintage_that_changed_at_the_source_is_replaced_only_when_asked(operator, hub):
    operator.invoke(*FIRST)
    old = hub.files[archived(WEEKS[0])]
    new = hub.files[archived(WEEKS[0])] = old.replace(b",06,,", b",06,,1", 1)

    left = operator.invoke(*FIRST)
    kept = operator.vintages()[as_of(WEEKS[0])]
    taken = operator.invoke(*FIRST, "--accept-changes")

    assert left.exit_code == 0
    assert "changed at the source since" in left.output
    assert "`invoke data-update --accept-changes` takes it" in left.output
    assert shown(left.output)["changed"] == "0 replaced, 1 left as they were"
    assert kept == old
    assert taken.exit_code == 0
    assert operator.vintages()[as_of(WEEKS[0])] == new
    assert shown(operator.invoke(*FIRST).output)["changed"] == "0"


def test_an_archived_file_with_another_newest_week_than_its_name_is_dated_by_the_later(operator, hub):
    hub.files[archived("2024-12-07")] = target_data("2024-12-18")

    ended = operator.invoke(*FIRST)

    assert "its newest week is 2024-12-14; taken as known on 2024-12-18" in ended.output
    assert list(operator.vintages())[-1] == "2024-12-18"


def test_locations_that_the_hub_does_not_have_are_counted_and_not_used(operator, hub):
    hub.files[NEWEST] = target_data("2024-12-11") + b"2024-12-07,66,Guam,3,NA\n"

    ended = operator.invoke(*FIRST)

    assert ended.exit_code == 0
    assert "not used: 1 row of location 66" in ended.output


def test_a_dry_run_names_what_would_be_fetched_and_asks_nothing(operator, hub):
    ended = operator.invoke(*FIRST, "--dry-run")

    assert ended.exit_code == 0
    assert f"would fetch {hub.address}/{archived(WEEKS[0])}, if it is there" in ended.lines
    assert sum("would fetch" in line for line in ended.lines) == 2
    (others,) = [line for line in ended.lines if "later Saturday" in line]
    assert re.fullmatch(r"  and those of [0-9]+ later Saturdays?, to [0-9-]{10}", others)
    assert hub.asked == []
    assert not operator.data.exists()


def test_data_that_have_ended_are_said_to_be_old_and_the_next_command_works_with_them(operator, hub):
    hub.files[NEWEST] = target_data("2024-12-11") + b"2024-12-07,66,Guam,3,NA\n"  # of today, as a summer's

    ended = operator.invoke(*FIRST)

    assert "weeks before: the source has no newer data" in ended.output
    assert "invoke run --exp-id flusight --reference-date 2024-12-14" in ended.output


def test_a_clone_is_read_as_a_hub(operator, hub, tmp_path):
    for path, content in hub.files.items():
        (tmp_path / "clone" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / path).write_bytes(content)

    ended = operator.invoke(*FIRST, "--source", "clone")
    again = operator.invoke(*FIRST, "--source", "clone")

    assert ended.exit_code == 0, ended.output
    assert operator.vintages() == {as_of(week): target_data(as_of(week)) for week in WEEKS}
    assert shown(again.output)["new files"] == "0"
    assert hub.asked == []


@pytest.mark.parametrize("kind", ["file", "address"])
def test_a_file_of_vintages_is_split_by_its_days(operator, hub, kind):
    hub.files["own/vintages.csv.gz"] = VINTAGES.read_bytes()
    source = str(VINTAGES) if kind == "file" else f"{hub.address}/own/vintages.csv.gz"

    ended = operator.invoke("data-update", "--source", source)
    hub.fetched()
    again = operator.invoke("data-update", "--source", source)

    assert ended.exit_code == 0, ended.output
    assert "7 locations of 53" in ended.output
    with gzip.open(VINTAGES, "rt") as file:
        rows = list(csv.reader(file))
    found = operator.vintages()
    assert list(found) == sorted({row[0] for row in rows[1:]})
    expected = [row[1:] for row in rows if row[0] in ("as_of", "2026-01-07")]
    assert list(csv.reader(found["2026-01-07"].decode().splitlines())) == expected
    assert shown(again.output)["new files"] == "0"
    assert hub.fetched() == []


def test_forecasts_of_models_are_kept_as_they_are(operator, hub):
    header = b"reference_date,target,horizon,target_end_date,location,output_type,output_type_id,value\n"
    row = b"2024-12-07,wk inc flu hosp,0,2024-12-07,US,quantile,0.5,9\n"
    path = "model-output/FluSight-baseline/2024-12-07-FluSight-baseline.csv"
    hub.files[path] = header + row

    ended = operator.invoke(*FIRST, "--models", "FluSight-baseline,FluSight-ensembel")
    hub.fetched()
    operator.invoke(*FIRST, "--models", "FluSight-baseline")

    assert ended.exit_code == 0, ended.output
    assert (operator.data / path).read_bytes() == header + row
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


def test_a_history_is_fetched_once(operator, hub, monkeypatch):
    content = (
        b"region_type,region,unweighted_ili,total_patients,week_start\nStates,Vermont,1.5,200,2010-10-03\n"
    )
    hub.files["ilinet_state.csv"] = content
    monkeypatch.setattr(history, "ADDRESS", f"{hub.address}/ilinet_state.csv")
    monkeypatch.setattr(history, "DIGEST", hashlib.sha256(content).hexdigest())
    store = open_store(operator.data)
    keeper = Keeper(store, datetime.date(2026, 1, 7))

    history.fetch_history(keeper)
    history.fetch_history(keeper)

    assert hub.fetched() == ["ilinet_state.csv"]
    assert gzip.decompress((operator.data / "ilinet.csv.gz").read_bytes()).endswith(
        b"2010-10-09,50,1.5,200\n"
    )
    assert "ilinet.csv.gz" in operator.files_in_lock()


def test_what_a_first_user_fetches_is_ignored_by_git():
    path = "examples/forecast/data/flusight/lock.json"

    ended = subprocess.run(["git", "check-ignore", path], cwd=REPOSITORY, capture_output=True, text=True)

    assert ended.stdout.strip() == path


def test_a_vintage_of_ones_own_is_not_overwritten(operator, hub):
    own = operator.vintage(WEEKS[1])
    own.parent.mkdir(parents=True)
    own.write_bytes(gzip.compress(b"date,location,value\n2024-11-23,US,1\n"))

    ended = operator.invoke(*FIRST)

    assert "is not in lock.json, and differs from the source; not replaced" in ended.output
    assert operator.vintages()[as_of(WEEKS[1])] == b"date,location,value\n2024-11-23,US,1\n"


def test_a_lost_lock_file_is_made_again_from_what_is_there(operator, hub):
    operator.invoke(*FIRST)
    before = operator.files_in_lock()
    (operator.data / "lock.json").unlink()

    ended = operator.invoke(*FIRST)

    assert ended.exit_code == 0
    assert {name: entry["sha256"] for name, entry in operator.files_in_lock().items()} == {
        name: entry["sha256"] for name, entry in before.items()
    }


def test_the_proxy_of_the_environment_is_used(hub, monkeypatch):
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", hub.address)
    hub.files["http://127.0.0.1:9/data.csv"] = b"by way of the proxy"

    answer = download.download("http://127.0.0.1:9/data.csv", "", 10**6)

    assert answer.content == b"by way of the proxy"


def test_a_vintage_that_is_gone_is_fetched_again_or_leaves_the_lock_file(operator, hub):
    hub.files[NEWEST] = target_data("2024-12-11")
    operator.invoke(*FIRST)
    hub.files[NEWEST] = target_data(as_of(WEEKS[2]))
    *_, todays = sorted(operator.files_in_lock())
    operator.vintage(WEEKS[0]).unlink()
    (operator.data / todays).unlink()

    ended = operator.invoke(*FIRST)

    assert f"{todays}: is gone, and was not fetched again; removed from lock.json" in ended.output
    assert list(operator.vintages()) == [as_of(week) for week in WEEKS]
    assert len(operator.files_in_lock()) == 3
    assert shown(ended.output)["vintages"] == "3"
