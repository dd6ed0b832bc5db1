"""`invoke logs`: what a run in the cloud logged, read with the real gcloud from the emulated Logging."""

import re
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from localcloud.process import running
from ops.failures import UserError
from ops.watching.log_reader import Pace
from ops.watching.run_logs import LogRequest, log_filter, quoted, since_time
from tests.cloud_runs import PROJECT, RUN_ID, Pipeline
from tests.emulated import create_bucket, post, request
from tests.experiments import sampled
from tests.test_cloud_run import BUCKET, CloudOperator

pytestmark = pytest.mark.slow

OLDER_RUN = "20260130-120000-00000001"
BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)
READS = "POST /v2/entries:list"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("logs"), "--tasks", "null") as cloud:
        yield cloud


@pytest.fixture
def operator(cloud, tmp_path):
    create_bucket(cloud, BUCKET, PROJECT)
    for run_id in (OLDER_RUN, RUN_ID):
        Pipeline(cloud, BUCKET).put_manifest(2, run_id)
    yield CloudOperator(cloud, tmp_path, sampled())
    request("POST", f"{cloud.apis}/_emulator/reset")


def at(seconds: float) -> str:
    return (BEGIN + timedelta(seconds=seconds)).isoformat()


def entry(seconds: float, payload, stage="runner", task=0, attempt=0, run_id=RUN_ID, **more) -> dict:
    """Return an entry as a task's line becomes one."""
    uid = f"{stage}-0a1b2c3d-0"
    written = {
        "logName": f"projects/{PROJECT}/logs/batch_task_logs",
        "timestamp": at(seconds),
        "labels": {
            "exp_id": "trial",
            "run_id": run_id,
            "stage": stage,
            "job_uid": uid,
            "task_id": f"task/{uid}-group0-{task}/{attempt}/0",
        },
        "severity": "INFO",
    }
    return written | {"textPayload" if isinstance(payload, str) else "jsonPayload": payload} | more


def write(cloud, *entries: dict) -> None:
    resource = {"type": "batch.googleapis.com/Job", "labels": {"job_id": "any"}}
    for start in range(0, len(entries), 5000):
        some = list(entries[start : start + 5000])
        post(f"{cloud.apis}/v2/entries:write", {"resource": resource, "entries": some})


def shown(ended) -> list[str]:
    """Return the lines that are entries."""
    return [line for line in ended.lines if re.match(r"20\d\d-\d\d-\d\dT", line)]


def reads(cloud) -> int:
    return request("GET", f"{cloud.apis}/_emulator/requests").json()["by_route"].get(READS, 0)


def test_an_entry_is_one_readable_line_whatever_is_in_it(cloud, operator):
    agent = f"projects/{PROJECT}/logs/batch_agent_logs"
    progress = {"message": "runner is RUNNING", "exp_id": "trial", "run_id": RUN_ID, "stage": "runner"}
    write(
        cloud,
        entry(1, "cannot pull image \x1b[31mx", severity="ERROR", logName=agent),
        entry(2, {"message": "two\nlines", "run_id": RUN_ID}, task=17, attempt=2, severity="WARNING"),
        entry(3, {"message": "no good", "exc_info": "Traceback\nValueError: 3"}, severity="ERROR"),
        entry(4, "of another run", run_id=OLDER_RUN),
        entry(5, {"other": ["field"]}, stage="output"),
        {
            "logName": f"projects/{PROJECT}/logs/Workflows",
            "resource": {"type": "workflows.googleapis.com/Workflow", "labels": {}},
            "timestamp": at(6),
            "jsonPayload": progress | {"tasks": {"running": 2, "failed": 0}},
        },
    )

    ended = operator.invoke("logs", "--exp-id", "trial")
    errors = operator.invoke("logs", "--exp-id", "trial", "--severity", "warning", "--stage", "B")
    task = operator.invoke("logs", "--exp-id", "trial", "--task", "17", "--since", at(0))
    older = operator.invoke("logs", "--exp-id", "trial", "--run-id", OLDER_RUN)
    late = operator.invoke("logs", "--exp-id", "trial", "--since", at(10))

    assert ended.exit_code == 0, ended.output
    assert [line.rstrip() for line in shown(ended)] == [
        "2026-01-31T12:00:01Z  runner       0  ERROR    agent: cannot pull image  [31mx",
        "2026-01-31T12:00:02Z  runner   17 try 3  WARNING  two | lines",
        "2026-01-31T12:00:03Z  runner       0  ERROR    no good (ValueError: 3)",
        '2026-01-31T12:00:05Z  output       0  INFO     {"other": ["field"]}',
        "2026-01-31T12:00:06Z  runner                   runner is RUNNING: 2 running",
    ]
    assert "\x1b" not in ended.output
    assert len(shown(errors)) == 3
    assert [line.endswith("two | lines") for line in shown(task)] == [True]
    assert [line.endswith("of another run") for line in shown(older)] == [True]
    assert shown(late) == []
    assert late.exit_code == 0
    assert "invoke status --exp-id trial" in late.last_line


@pytest.mark.slow
@pytest.mark.timeout(900)  # a hundred thousand entries are looked through a dozen times
def test_a_hundred_thousand_entries_of_hundreds_of_runs_are_read_in_few_requests(cloud, operator):
    wanted = [entry(n / 10, f"entry {n}", task=n % 50) for n in range(3_200)]
    same_instant = [entry(150, f"burst {n}") for n in range(3_050)]
    other = [
        entry(n / 100, "noise", run_id=f"20260131-115900-{n % 300:08x}")
        for n in range(100_000 - len(wanted) - len(same_instant))
    ]
    write(cloud, *other, *wanted, *same_instant)

    before = reads(cloud)
    newest = operator.invoke("logs", "--exp-id", "trial")
    for_newest = reads(cloud) - before
    everything = operator.invoke("logs", "--exp-id", "trial", "--limit", "all")
    for_all = reads(cloud) - before - for_newest

    assert newest.exit_code == 0, newest.output
    assert "the newest 1,000 entries; --limit all shows all" in newest.output
    assert [line.rsplit(" ", 1)[1] for line in shown(newest)] == [str(n) for n in range(2_200, 3_200)]
    assert for_newest == 1
    lines = shown(everything)
    assert [line[:19] for line in lines] == sorted(line[:19] for line in lines)
    numbers = [line.rsplit("  ", 1)[1] for line in lines]
    assert [text for text in numbers if "entry" in text] == [f"entry {n}" for n in range(3_200)]
    assert sorted(text for text in numbers if "burst" in text) == sorted(f"burst {n}" for n in range(3_050))
    assert len(lines) == 6_250
    assert for_all <= 15


def test_requests_stay_below_what_a_minute_allows():
    pace, times = Pace(requests=5, seconds=0.5), []

    for _ in range(8):
        pace.wait(2)
        pace.note(2)
        times += [time.monotonic()] * 2

    for begin in times:
        assert sum(begin <= each < begin + 0.45 for each in times) <= 5


def test_following_prints_what_comes_late_and_nothing_twice(cloud, operator):
    write(cloud, *(entry(60 + n, f"first {n}") for n in range(3)))
    process = operator.start("logs", "--exp-id", "trial", "--follow")
    output = ""

    def read_until(text: str) -> None:
        nonlocal output
        while text not in output:
            line = process.stdout.readline()
            assert line, output
            output += line

    try:
        read_until("first 2")
        write(cloud, entry(61.5, "came late"), entry(70, "came next"))
        read_until("came next")
        write(cloud, entry(200, "the last"))
        read_until("the last")
    finally:
        process.send_signal(signal.SIGINT)
        output += process.communicate(timeout=60)[0]

    assert process.returncode == 130
    assert "Traceback" not in output
    for text in ("first 0", "first 1", "first 2", "came late", "came next", "the last"):
        assert output.count(text) == 1, output


def test_a_reader_that_has_seen_enough_ends_it_quietly(cloud, operator):
    write(cloud, *(entry(n, "x" * 1000) for n in range(1000)))
    process = operator.start("logs", "--exp-id", "trial")

    while not process.stdout.readline().startswith("2026-01-31"):
        pass
    process.stdout.close()

    assert process.wait(120) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--exp-id is needed"),
        (("--exp-id", "trial", "--severity", "EROR"), 'did you mean "ERROR"'),
        (("--exp-id", "trial", "--since", "yesterday"), "so long ago, as in 10m"),
        (("--exp-id", "trial", "--stage", "D", "--run-id", RUN_ID), '"D" is not a stage'),
        (("--exp-id", "trial", "--limit", "0"), "--limit 0: a whole number is needed"),
        (("--exp-id", "trial", "--run-id", "x"), "a run id looks like"),
    ],
)
def test_what_cannot_be_is_one_line(operator, words, said):
    ended = operator.invoke("logs", *words)

    assert ended.exit_code == 2, ended.output
    assert said in ended.last_line


def test_a_value_stays_a_value_in_the_filter():
    request = LogRequest('a" OR severity>=DEBUG OR "', stage="A")

    text = log_filter(request, 'b\\"')

    assert quoted('a"\\') == '"a\\"\\\\"'
    assert 'jsonPayload.exp_id="a\\" OR severity>=DEBUG OR \\""' in text
    assert 'jsonPayload.run_id="b\\\\\\""' in text


def test_since_is_so_long_ago_or_a_time():
    now = datetime.now(UTC)

    assert abs(now - timedelta(minutes=10) - since_time("10m")) < timedelta(seconds=10)
    assert since_time("2026-01-31T12:00Z") == since_time("2026-01-31T12:00") == BEGIN
    assert since_time("2026-01-31T13:00+01:00") == BEGIN
    with pytest.raises(UserError):
        since_time("999999d")
