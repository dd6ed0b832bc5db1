"""`invoke logs`: what a run in the cloud logged, read with the real gcloud from the emulated Logging."""

import re
import signal
from datetime import UTC, datetime, timedelta

import pytest

from localcloud.process import running
from ops.cloud.log_reader import LogLine, LogReader, LogRequest, Pace, quoted
from ops.failures import UserError
from ops.gpu.names import Names
from ops.watching import run_logs
from ops.watching.run_logs import log_filter, since_time
from tests.cloud_operators import BUCKET, CloudOperator, read_until
from tests.cloud_runs import PROJECT, RUN_ID, Pipeline
from tests.emulated import create_bucket, order_faults, post, request
from tests.experiments import sampled

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

    assert ended.exit_code == 0, ended.output
    assert [line.rstrip() for line in shown(ended)] == [
        "2026-01-31T12:00:01Z  runner       0  ERROR    agent: cannot pull image  [31mx",
        "2026-01-31T12:00:02Z  runner   17 attempt 3  WARNING  two | lines",
        "2026-01-31T12:00:03Z  runner       0  ERROR    no good (ValueError: 3)",
        '2026-01-31T12:00:05Z  output       0  INFO     {"other": ["field"]}',
        "2026-01-31T12:00:06Z  runner                   runner is RUNNING: 2 running",
    ]
    assert "\x1b" not in ended.output


def test_the_line_of_a_service_has_the_end_of_its_traceback_and_the_request(cloud, operator):
    service = Names.of(operator.settings()).service("inference")
    failed = {"message": "a bug", "stack_trace": "Traceback\nKeyError: 'US-VT'", "service": "inference"}
    written = {
        "logName": f"projects/{PROJECT}/logs/run.googleapis.com%2Fstdout",
        "resource": {"type": "cloud_run_revision", "labels": {"service_name": service}},
        "timestamp": at(1),
        "severity": "ERROR",
        "jsonPayload": failed | {"request_id": "0a1b/predict-0", "run_key": "0a1b2c3d4e5f6x7x"},
    }
    write(cloud, written, written | {"timestamp": at(0), "severity": "INFO"})

    ended = operator.invoke("gpu-logs", "--run", "0a1b2c3d4e5f6x7x", "--since", at(0), "--severity", "ERROR")

    assert shown(ended) == [
        "2026-01-31T12:00:01Z  inference   ERROR    a bug (KeyError: 'US-VT')  0a1b/predict-0"
    ]


def test_a_request_selects_by_severity_stage_task_and_run(cloud, operator):
    write(
        cloud,
        entry(1, "grave", severity="ERROR"),
        entry(2, "doubtful", task=17, severity="WARNING"),
        entry(3, "as usual", task=17),
        entry(4, "at the end", stage="output", severity="ERROR"),
        entry(5, "of another run", run_id=OLDER_RUN),
        entry(6, "of task 170", task=170),
    )

    def selected(run_id=RUN_ID, **wanted) -> list[str]:
        lines = Pipeline(cloud, BUCKET).log(log_filter(LogRequest("trial", **wanted), run_id))
        return [line["textPayload"] for line in lines]

    assert selected(stage="B", severity="warning") == ["grave", "doubtful"]
    assert selected(task=17) == ["doubtful", "as usual"]
    assert selected(stage="output") == ["at the end"]
    assert selected(run_id=OLDER_RUN) == ["of another run"]


def test_where_nothing_is_logged_it_is_said_what_tells_more(operator, capsys):
    run_logs.show_logs(operator.google_cloud(), LogRequest("trial", RUN_ID, since=at(10)))

    assert "invoke status --exp-id trial" in capsys.readouterr().err


def test_a_hundred_thousand_entries_of_hundreds_of_runs_are_read_in_few_requests(cloud, operator, capsys):
    wanted = [entry(n / 10, f"entry {n}", task=n % 50) for n in range(320)]
    same_instant = [entry(15, f"burst {n}") for n in range(305)]
    other = [
        entry(n / 100, "noise", run_id=f"20260131-115900-{n % 300:08x}")
        for n in range(100_000 - len(wanted) - len(same_instant))
    ]
    write(cloud, *other, *wanted, *same_instant)
    reader = LogReader(operator.google_cloud(), log_filter(LogRequest("trial"), RUN_ID), BEGIN, read_size=300)

    before = reads(cloud)
    run_logs.show_logs(operator.google_cloud(), LogRequest("trial", RUN_ID, limit=100))
    for_newest = reads(cloud) - before
    everything = [LogLine.of(each) for each in reader.oldest_first()]
    for_all = reads(cloud) - before - for_newest

    newest = capsys.readouterr()
    assert "the newest 100 entries; --limit all shows all" in newest.err
    assert [line.rsplit(" ", 1)[1] for line in newest.out.splitlines()] == [str(n) for n in range(220, 320)]
    assert for_newest == 1
    messages = [line.message for line in everything]
    assert [line.time for line in everything] == sorted(line.time for line in everything)
    assert [text for text in messages if "entry" in text] == [f"entry {n}" for n in range(320)]
    assert sorted(text for text in messages if "burst" in text) == sorted(f"burst {n}" for n in range(305))
    assert len(messages) == 625
    assert for_all <= 5


class Clock:
    """A clock that goes on only while somebody rests."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def rest(self, seconds: float) -> None:
        self.now += seconds


def test_requests_stay_below_what_a_minute_allows_and_go_no_slower():
    clock = Clock()
    pace, times = Pace(requests=50, clock=clock, rest=clock.rest), []

    def ask(reads: int) -> None:
        for _ in range(reads):
            pace.wait(3)
            pace.note(3)
            times.extend([clock.now] * 3)
            clock.rest(1)

    def most_in_a_minute() -> int:
        return max(sum(begin <= each < begin + 60 for each in times) for begin in times)

    ask(40)
    assert most_in_a_minute() == 48  # 16 reads of three pages each
    assert clock.now == 2 * 60 + 8

    pace.slow_down()
    clock.rest(60)
    times.clear()
    ask(20)
    assert most_in_a_minute() == 24


def test_a_reader_slows_down_where_others_read_too(cloud, operator):
    # 429 gcloud would try again for half a minute; it is told by the same words
    used_up = "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute'"
    order_faults(cloud, {"path": "entries:list", "status": 409, "message": used_up, "times": 1})
    reader = LogReader(operator.google_cloud(), "severity>=DEBUG", BEGIN)

    reader.newest(1)

    assert reader.pace.requests == 25


def test_following_goes_on_through_faults_and_prints_what_comes_late_and_nothing_twice(cloud, operator):
    write(cloud, *(entry(60 + n, f"first {n}") for n in range(3)))
    process = operator.start("logs", "--exp-id", "trial", "--follow")
    try:
        output = read_until("first 2", process)
        order_faults(cloud, {"path": "entries:list", "status": 409, "message": "ABORTED", "times": 2})
        write(cloud, entry(61.5, "came late"), entry(70, "came next"))
        output += read_until("came next", process)
    finally:
        process.send_signal(signal.SIGINT)
        output += process.communicate(timeout=60)[0]

    assert process.returncode == 130
    assert "Traceback" not in output
    for text in ("first 0", "first 1", "first 2", "came late", "came next"):
        assert output.count(text) == 1, output
    assert output.count("a request to the cloud failed; asking again") == 1
    assert "try again" not in output
    assert output.count("the cloud answers again") == 1


def test_who_reads_logs_is_not_kept_waiting_for_ever(cloud, operator):
    order_faults(cloud, {"path": "entries:list", "status": 409, "message": "ABORTED"})
    reader = LogReader(operator.google_cloud(), "severity>=DEBUG", BEGIN, patience_seconds=1)

    with pytest.raises(UserError) as raised:
        reader.newest(1)

    assert raised.value.exit_code == 75


def test_a_reader_that_has_seen_enough_ends_it_quietly(cloud, operator):
    write(cloud, *(entry(n, "x" * 1000) for n in range(300)))  # more than a pipe holds
    process = operator.start("logs", "--exp-id", "trial", "--run-id", RUN_ID)

    read_until("2026-01-31T", process)
    process.stdout.close()

    assert process.wait(120) == 0


def test_a_dry_run_prints_the_command_alone(operator):
    ended = operator.invoke("logs", "--exp-id", "trial", "--run-id", RUN_ID, "--dry-run")

    assert ended.exit_code == 0, ended.output
    assert [line.split("'")[0] for line in ended.output.splitlines()] == ["+ gcloud logging read "]


def test_what_cannot_be_is_one_line(operator):
    ended = operator.invoke("logs", "--exp-id", "trial", "--limit", "0")

    assert ended.exit_code == 2, ended.output
    assert "--limit 0: a whole number is needed" in ended.last_line


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (LogRequest(""), "--exp-id is needed"),
        (LogRequest("trial", severity="EROR"), 'did you mean "ERROR"'),
        (LogRequest("trial", since="yesterday"), "an age such as 10m"),
        (LogRequest("trial", RUN_ID, stage="D"), '"D" is not a stage'),
        (LogRequest("trial", "x"), "a run id looks like"),
    ],
)
def test_a_request_that_cannot_be_is_refused(operator, wanted, said):
    with pytest.raises(UserError, match=re.escape(said)) as raised:
        run_logs.show_logs(operator.google_cloud(), wanted)

    assert raised.value.exit_code == 2


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


def test_a_look_at_a_job_that_found_no_change_is_not_shown(cloud, operator):
    def look(seconds, job, running):
        payload = {"message": f"{job} is RUNNING", "event": "stage_progress", "job": job}
        payload |= {"exp_id": "trial", "run_id": RUN_ID, "stage": "runner", "elapsed_seconds": seconds}
        return entry(seconds, payload | {"tasks": {"running": running}})

    looks = [look(second, "runner-1", running) for second, running in enumerate((2, 2, 2, 3, 3, 2))]
    write(cloud, *looks, look(6, "output-1", 2), entry(7, "said twice"), entry(8, "said twice"))

    ended = operator.invoke("logs", "--exp-id", "trial", "--run-id", RUN_ID)

    said = [line.split("INFO")[1].strip() for line in shown(ended)]
    assert said == [
        "runner-1 is RUNNING: 2 running",
        "runner-1 is RUNNING: 3 running",
        "runner-1 is RUNNING: 2 running",
        "output-1 is RUNNING: 2 running",
        "said twice",
        "said twice",
    ]
