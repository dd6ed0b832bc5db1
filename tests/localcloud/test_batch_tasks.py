"""Tasks of the emulated Batch as processes: environment, runnables, exit codes, retries, logs."""

import json
import sys
import time
from pathlib import Path

import pytest

from localcloud.process import running
from modeling.engine.code_folder import code_folder
from modeling.engine.target import TARGET
from tests.localcloud.jobs import PROJECT, Jobs, exit_codes, id_of, job, make_secret, says, shell

LOGGED = ("jsonPayload", "textPayload")


def variables_of(jobs, made, index=0):
    """Return the environment that a task printed."""
    task = f"{made['uid']}-group0-{index}/"
    lines = [e["textPayload"] for e in jobs.logs(made) if task in e["labels"]["task_id"]]
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_a_task_has_the_variables_of_batch_its_job_and_the_emulator_and_no_other(jobs, monkeypatch):
    definition = job(shell("env"), count=2, spec={"environment": {"variables": {"EXP_ID": "flu/trial"}}})

    ended = jobs.run(definition)

    found = variables_of(jobs, ended, index=1)
    assert (
        found.items()
        >= {
            "EXP_ID": "flu/trial",
            "BATCH_TASK_INDEX": "1",
            "BATCH_TASK_COUNT": "2",
            "BATCH_TASK_RETRY_ATTEMPT": "0",
            "BATCH_JOB_UID": ended["uid"],
            "BATCH_JOB_ID": id_of(ended),
            "STORAGE_EMULATOR_HOST": jobs.cloud.storage,
            "SECRET_MANAGER_EMULATOR_HOST": jobs.cloud.apis,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "EXECUTION_MODE": "cloud",
            "OMP_NUM_THREADS": "1",
            "PYTHON": sys.executable,
        }.items()
    )
    assert Path(found["NUMBA_CACHE_DIR"]) == code_folder(TARGET.name).parent
    assert found["HOME"] == found["LOCAL_DATA_PATH"] != variables_of(jobs, ended, index=0)["HOME"]
    assert set(found) <= {
        *("EXP_ID", "BATCH_TASK_INDEX", "BATCH_TASK_COUNT", "BATCH_TASK_RETRY_ATTEMPT", "BATCH_JOB_UID"),
        *("BATCH_JOB_ID", "STORAGE_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT"),
        *("EXECUTION_MODE", "OMP_NUM_THREADS", "PYTHON", "LOCAL_DATA_PATH", "HOME", "PATH", "TMPDIR", "LANG"),
        *("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"),
        *("PWD", "SHLVL", "_"),  # bash's own
    }


def test_a_runnable_overrides_the_task_and_nothing_overrides_batch(jobs):
    runnable = shell("env", environment={"variables": {"A": "runnable"}})
    environments = [{"variables": {"B": f"task {index}"}} for index in range(2)]
    spec = {"environment": {"variables": {"A": "all", "B": "all", "BATCH_TASK_INDEX": "9"}}}

    ended = jobs.run(job(runnable, spec=spec, taskEnvironments=environments))

    found = variables_of(jobs, ended, index=1)
    assert (found["A"], found["B"]) == ("runnable", "task 1")
    assert (found["BATCH_TASK_INDEX"], found["BATCH_TASK_COUNT"]) == ("1", "2")


def test_a_secret_variable_has_the_value_of_secret_manager(jobs):
    version = make_secret(jobs, "pat", "s3cret")
    spec = {"environment": {"secretVariables": {"PAT": version}}}

    ended = jobs.run(job(shell('echo "got=$PAT"'), spec=spec))

    assert variables_of(jobs, ended)["got"] == "s3cret"
    assert "s3cret" not in json.dumps(ended)


def test_a_secret_that_cannot_be_read_fails_the_task_and_the_agent_says_so(jobs):
    version = make_secret(jobs, "denied", "x")
    rule = {"path": "secrets/denied/versions", "status": 403, "message": "not allowed"}
    jobs._session.post(f"{jobs.cloud.apis}/_emulator/faults", json=[rule], timeout=10)
    spec = {"environment": {"secretVariables": {"PAT": version}}}

    ended = jobs.run(job(shell("true"), spec=spec))

    jobs._session.delete(f"{jobs.cloud.apis}/_emulator/faults", timeout=10)
    assert exit_codes(jobs.tasks(ended)[0]) == [50000]
    assert any("not allowed" in line for line in jobs.lines(ended, "batch_agent_logs"))


def test_the_scripts_of_the_image_come_from_a_folder(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "say.sh").write_text('echo "said $1 in $(dirname "$0")"\n')
    with running(tmp_path / "state", "--scripts", str(tmp_path / "scripts")) as cloud:
        jobs = Jobs(cloud)
        container = {"imageUri": "x", "entrypoint": "bash", "commands": ["/scripts/say.sh", "hello"]}

        ended = jobs.run(job({"container": container}))

        assert jobs.lines(ended) == [f"said hello in {tmp_path}/scripts"]


@pytest.mark.parametrize(
    ("text", "exit_code"),
    [("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143), ("no-such-program-here", 127)],
)
def test_a_task_that_fails_reports_its_exit_code(jobs, text, exit_code):
    ended = jobs.run(job(shell(text)))

    [task] = jobs.tasks(ended)
    assert task["status"]["state"] == "FAILED"
    assert exit_codes(task) == [exit_code]


def test_a_missing_program_is_exit_code_127(jobs):
    ended = jobs.run(job({"container": {"imageUri": "x", "entrypoint": "/nowhere/program"}}))

    assert exit_codes(jobs.tasks(ended)[0]) == [127]
    assert jobs.lines(ended) == ["/nowhere/program: No such file or directory"]


def test_a_container_without_a_command_is_not_started(jobs):
    ended = jobs.run(job({"container": {"imageUri": "x"}}))

    assert exit_codes(jobs.tasks(ended)[0]) == [125]
    assert any("needs an entrypoint or commands" in line for line in jobs.lines(ended, "batch_agent_logs"))


def test_a_retried_task_keeps_the_events_of_its_failed_attempts(jobs):
    text = 'echo "attempt $BATCH_TASK_RETRY_ATTEMPT"; [ $BATCH_TASK_RETRY_ATTEMPT = 2 ] || exit 75'

    ended = jobs.run(job(shell(text), spec={"maxRetryCount": 3}))

    [task] = jobs.tasks(ended)
    assert ended["status"]["state"] == task["status"]["state"] == "SUCCEEDED"
    assert exit_codes(task) == [75, 75]
    assert "taskExecution" not in task["status"]["statusEvents"][-1]
    assert jobs.lines(ended) == ["attempt 0", "attempt 1", "attempt 2"]


def test_only_listed_exit_codes_are_retried(jobs):
    policy = {"action": "RETRY_TASK", "actionCondition": {"exitCodes": [75]}}
    text = "exit $((75 - 73 * BATCH_TASK_INDEX))"

    ended = jobs.run(job(shell(text), count=2, spec={"maxRetryCount": 2, "lifecyclePolicies": [policy]}))

    assert [exit_codes(task) for task in jobs.tasks(ended)] == [[75, 75, 75], [2]]


def test_a_task_that_exceeds_its_time_limit_is_killed_and_not_retried(jobs):
    begun = time.monotonic()

    ended = jobs.run(job(shell("sleep 600"), spec={"maxRunDuration": "0.5s", "maxRetryCount": 3}))

    assert time.monotonic() - begun < 20
    assert exit_codes(jobs.tasks(ended)[0]) == [50005]


def test_after_a_runnable_that_exceeds_its_timeout_only_those_that_always_run_follow(jobs):
    runnables = [shell("sleep 600", timeout="0.3s"), shell("echo no"), shell("echo yes", alwaysRun=True)]

    ended = jobs.run(job(*runnables))

    assert exit_codes(jobs.tasks(ended)[0]) == [50005]
    assert jobs.lines(ended) == ["yes"]


def test_runnables_run_in_order_and_share_a_folder(jobs):
    runnables = [
        shell("echo 1 > file"),
        shell("exit 3", ignoreExitStatus=True),
        shell("cat file", labels={"part": "second"}),
        {"script": {"text": "echo script; exit 4"}},
        shell("exit 5", alwaysRun=True),
    ]

    ended = jobs.run(job(*runnables))

    assert jobs.lines(ended) == ["1", "script"]
    assert exit_codes(jobs.tasks(ended)[0]) == [4]
    entries = jobs.logs(ended)
    assert entries[0]["labels"]["part"] == "second"
    assert entries[0]["labels"]["task_id"] == f"task/{ended['uid']}-group0-0/0/2"


def test_a_background_runnable_ends_with_the_others(jobs):
    runnables = [
        shell("echo serving; sleep 600", background=True),
        {"script": {"text": f"#!{sys.executable}\nimport time; time.sleep(0.5); print('worked')"}},
    ]
    begun = time.monotonic()

    ended = jobs.run(job(*runnables))

    assert time.monotonic() - begun < 20
    assert ended["status"]["state"] == "SUCCEEDED"
    assert jobs.lines(ended) == ["serving", "worked"]


def test_no_more_tasks_run_at_once_than_allowed(tmp_path):
    text = """
        echo start; sleep 0.3; echo end
    """
    with running(tmp_path, "--slots", "3") as cloud:
        jobs = Jobs(cloud)

        def max_at_once(parallelism, count):
            ended = jobs.run(job(shell(text), count=count, parallelism=parallelism))
            changes = [1 if line == "start" else -1 for line in jobs.lines(ended)]
            return max(sum(changes[:n]) for n in range(len(changes) + 1))

        assert [max_at_once(1, count=3), max_at_once(2, count=5)] == [1, 2]
        assert max_at_once(6, count=6) == 3


def test_lines_become_log_entries_with_severity_and_payload(jobs):
    line = json.dumps({"severity": "warning", "message": "watch out", "task_index": 0})
    text = f"echo '{line}'; echo plain; echo; echo wrong >&2; echo '{{not json'; printf unended"

    ended = jobs.run(job(shell(text)) | {"labels": {"exp_id": "flu"}})

    entries = jobs.logs(ended)
    found = [(entry["severity"], next(entry[name] for name in LOGGED if name in entry)) for entry in entries]
    assert sorted(found, key=str) == sorted(
        [
            ("WARNING", {"message": "watch out", "task_index": 0}),
            ("INFO", "plain"),
            ("ERROR", "wrong"),
            ("INFO", "{not json"),
            ("INFO", "unended"),
        ],
        key=str,
    )
    assert entries[0]["resource"] == {
        "type": "batch.googleapis.com/Job",
        "labels": {
            "job_id": id_of(ended),
            "location": "us-central1",
            "resource_container": f"projects/{PROJECT}",
        },
    }
    labels = entries[0]["labels"]
    assert labels.pop("hostname").startswith(ended["uid"])
    assert labels == {
        "job_uid": ended["uid"],
        "task_id": f"task/{ended['uid']}-group0-0/0/0",
        "exp_id": "flu",
    }


@pytest.mark.parametrize("line", ['{"a": "\\ud800"}', '{"a":' * 20_000, '{"a": 1} x', "[1]"])
def test_a_line_that_is_not_a_json_object_is_text(jobs, line):
    spec = {"environment": {"variables": {"LINE": line}}}

    ended = jobs.run(job(shell('printf "%s\\n" "$LINE"'), spec=spec))

    assert jobs.lines(ended) == [line]


def test_a_job_may_log_under_the_older_monitored_resource(jobs):
    logs = {"destination": "CLOUD_LOGGING", "cloudLoggingOption": {"useGenericTaskMonitoredResource": True}}

    ended = jobs.run(job(shell("echo x")) | {"logsPolicy": logs})

    assert jobs.logs(ended)[0]["resource"]["type"] == "generic_task"


def test_nothing_is_logged_unless_the_job_asks_for_logs(jobs):
    ended = jobs.run(job(shell("echo x")) | {"logsPolicy": {}})

    assert ended["status"]["state"] == "SUCCEEDED"
    assert jobs.logs(ended) + jobs.logs(ended, "batch_agent_logs") == []


def test_a_very_long_line_is_split_into_entries(jobs):
    ended = jobs.run(job(shell("head -c 1000000 /dev/zero | tr '\\0' x")))

    lines = jobs.lines(ended)

    assert sum(map(len, lines)) == 1_000_000
    assert 1 < len(lines) < 10


def test_tasks_are_listed_by_pages_and_state(jobs):
    ended = jobs.run(job(shell("exit $((BATCH_TASK_INDEX % 2))"), count=5))

    assert [t["name"].rsplit("/", 1)[1] for t in jobs.tasks(ended, pageSize=2)] == list("01234")
    written = ("State=FAILED", 'state="FAILED"', "status.state = failed", "State=PENDING OR State=FAILED")
    for text in (*written, 'NOT state="SUCCEEDED"'):
        assert [t["name"].rsplit("/", 1)[1] for t in jobs.tasks(ended, filter=text, pageSize=1)] == ["1", "3"]
    one = jobs.http("GET", f"/jobs/{id_of(ended)}/taskGroups/group0/tasks/3").json()
    assert one["name"] == f"{ended['name']}/taskGroups/group0/tasks/3"
    assert says(one, "from RUNNING to FAILED")


def test_the_folder_of_a_task_is_removed_when_it_ends(jobs):
    ended = jobs.run(job(shell("mkdir -p a/b; echo x > a/b/c; exit 1"), spec={"maxRetryCount": 1}, count=2))

    assert ended["status"]["state"] == "FAILED"
    assert jobs.work_folders() == []


@pytest.mark.parametrize("seconds", ["2592000s", "315576000000s"])
def test_a_time_limit_may_be_a_month_and_more(jobs, seconds):
    ended = jobs.run(job(shell("echo done", timeout=seconds), spec={"maxRunDuration": seconds}))

    assert jobs.lines(ended) == ["done"]


def test_a_cancelled_task_is_not_reported_as_over_its_time_limit(jobs):
    made = jobs.create(job(shell("sleep 600"), spec={"maxRunDuration": "3600s"}))
    jobs.wait(made, "RUNNING")

    jobs.cancel(made)
    jobs.wait(made)

    [*_, last] = jobs.lines(made, "batch_agent_logs")
    assert "ended with exit code 50000" in last


def test_a_task_whose_variables_are_too_large_for_this_machine_reports_it(jobs, capfd):
    spec = {"environment": {"variables": {"LARGE": "x" * 200_000}}}

    ended = jobs.run(job(shell("true"), spec=spec))

    assert exit_codes(jobs.tasks(ended)[0]) == [125]
    assert "bash: Argument list too long" in jobs.lines(ended, "batch_agent_logs")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(("more", "code"), [({}, [7]), ({"ignoreExitStatus": True}, [])])
def test_a_background_runnable_that_fails_by_itself_fails_the_task(jobs, more, code):
    runnables = [shell("exit 7", background=True, **more), shell("sleep 0.5"), shell("echo next")]

    ended = jobs.run(job(*runnables))

    assert exit_codes(jobs.tasks(ended)[0]) == code
    assert jobs.lines(ended) == ([] if code else ["next"])


def test_a_background_runnable_has_its_own_timeout(jobs):
    runnables = [
        shell("trap '' TERM; while echo serving; do sleep 0.5; done", background=True, timeout="2s"),
        shell("sleep 4; echo end"),
    ]

    ended = jobs.run(job(*runnables))

    assert exit_codes(jobs.tasks(ended)[0]) == [50005]
    assert 1 <= jobs.lines(ended).count("serving") <= 5
