"""`invoke localcloud` as an operator uses it: exports for a shell of one's own, and nothing left behind."""

import os
import re
import shlex
import signal
import subprocess
import time

import pytest
import requests
import yaml

from tests.experiments import REPOSITORY, sampled
from tests.needs import need_program
from tests.operators import Operator, invoke_in, wait_for_file

HELLO = """
main:
  params: [args]
  steps:
    - rest:
        call: sys.sleep
        args: {seconds: 30}
    - tell:
        return: ${"hello " + args.name}
"""


@pytest.fixture
def operator(tmp_path):
    return Operator(tmp_path, sampled())


def processes_of(state) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if "localcloud" in line and str(state) in line]


def test_a_shell_with_the_exports_uses_the_cloud_and_ctrl_c_leaves_nothing(operator):
    need_program("gcloud")
    state = operator.folder / "local" / "cloud"
    (operator.folder / "hello.yaml").write_text(HELLO)
    process = operator.start("localcloud", "--clock-speed", "60", PROJECT_ID="my-lab-forecasts")
    wait_for_file(state / "exports")
    where = "--location us-central1"
    commands = [
        f"source {shlex.quote(str(state / 'exports'))}",
        "gcloud config get-value project",
        "gcloud storage buckets create gs://made-here && gcloud storage ls",
        f"gcloud workflows deploy hello --source hello.yaml {where} --format 'value(state)'",
        f"gcloud workflows run hello {where} --data '{{\"name\": \"you\"}}' --format 'value(result)'",
        f"gcloud batch jobs list {where}",
        f"alias invoke='{shlex.join([*invoke_in(operator.code)])}'; shopt -s expand_aliases",
        "invoke localcloud --furnish",
        "invoke localcloud --furnish && invoke doctor --cloud",
        "invoke gpu-check",
    ]

    shell = subprocess.run(
        ["bash", "-euc", "\n".join(commands)],
        cwd=operator.folder,
        env={
            **{n: os.environ[n] for n in ("PATH", "HOME", "LANG") if n in os.environ},
            "http_proxy": "http://127.0.0.1:9",
            "ENV_FILE": operator.environ["ENV_FILE"],
            "BUCKET_NAME": "my-lab-bucket",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)

    assert shell.returncode == 0, shell.stderr
    assert "my-lab-forecasts" in shell.stdout
    assert "gs://made-here/" in shell.stdout
    assert '"hello you"' in shell.stdout
    assert shell.stdout.count("ready: project my-lab-forecasts, gs://my-lab-bucket, epydemix-pipeline") == 2
    assert "ready for runs in the cloud\n" in shell.stdout
    assert re.search(r"^  ok +images +preprocess, inference, postprocess as latest$", shell.stdout, re.M)
    assert shell.stdout.endswith("ready for invoke gpu-deploy\n")
    assert "main / rest" in output
    assert "main / tell" in output
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert not processes_of(state)


def test_two_do_not_share_a_state_and_a_taken_port_is_told(operator):
    state = operator.folder / "local" / "cloud"
    process = operator.start("localcloud")
    port = wait_for_file(state / "exports").partition("STORAGE=http://127.0.0.1:")[2].partition("/")[0]

    again = operator.invoke("localcloud")
    elsewhere = operator.invoke(
        "localcloud", "--storage-port", port, LOCAL_DATA_PATH=str(operator.folder / "other")
    )
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert again.exit_code == 2
    assert "is in use by another emulator" in again.output
    assert elsewhere.exit_code == 2
    assert "cannot listen" in elsewhere.output
    assert "Traceback" not in again.output + elsewhere.output


def test_structure_tests_of_a_build_need_no_image_of_their_tool(operator):
    used = yaml.safe_load((REPOSITORY / "cloudbuild.yaml").read_text())["substitutions"]["_STRUCTURE_TEST"]
    process = operator.start("localcloud")
    exports = wait_for_file(operator.folder / "local" / "cloud" / "exports")
    apis = exports.partition("CLOUDBUILD=")[2].split("/\n")[0]
    headers = {"Authorization": "Bearer any"}

    build = requests.post(
        f"{apis}/v1/projects/p/builds",
        json={"steps": [{"name": used, "args": ["--help"]}]},
        headers=headers,
        timeout=10,
    ).json()["metadata"]["build"]
    until = time.monotonic() + 20
    while "DONE" not in (log := requests.get(build["logUrl"], timeout=10).text):
        assert time.monotonic() < until, log
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert "usage: python -m ops.images.image_checks" in log


def test_clean_removes_the_buckets_when_asked_and_told_yes_but_not_of_a_cloud_that_runs(tmp_path):
    operator = Operator(tmp_path, sampled()).with_own_code()
    state = tmp_path / "local" / "cloud"
    none = operator.invoke("clean", "--buckets")
    process = operator.start("localcloud")
    storage = wait_for_file(state / "exports").partition("STORAGE_EMULATOR_HOST=")[2].splitlines()[0]
    bucket = {"name": "rehearsed"}
    requests.post(f"{storage}/storage/v1/b?project=p", json=bucket, timeout=10).raise_for_status()
    busy = operator.invoke("clean", "--buckets", "--yes")
    still_there = requests.get(f"{storage}/storage/v1/b/rehearsed", timeout=10).ok
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    plain = operator.invoke("clean")
    asked = operator.invoke("clean", "--buckets")
    would = operator.invoke("clean", "--buckets", "--dry-run")
    kept = (state / "storage").is_dir()
    gone = operator.invoke("clean", "--buckets", "--yes")

    assert "no emulated cloud" in none.output
    assert "local/cloud  is in use by `invoke localcloud`, and is kept" in busy.output
    assert still_there
    assert plain.exit_code == busy.exit_code == would.exit_code == 0
    assert asked.exit_code == 2
    assert "add --yes" in asked.last_line
    assert "would remove local/cloud" in would.output
    assert kept
    assert gone.exit_code == 0, gone.output
    assert not state.exists()


def test_killing_invoke_leaves_no_cloud_behind(operator):
    state = operator.folder / "local" / "cloud"
    process = operator.start("localcloud")
    wait_for_file(state / "exports")

    process.kill()
    process.communicate(timeout=30)
    until = time.monotonic() + 10
    while processes_of(state) and time.monotonic() < until:
        time.sleep(0.1)

    assert not processes_of(state)
