"""The commands of jobs/README.md as they are written there, once with the real stages to the end."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from localcloud.process import running
from tests.cloud_operators import BUCKET, CloudOperator, ready_cloud, run_id_in, wait_until
from tests.emulated import names_in, object_of, request
from tests.experiments import REPOSITORY, sampled
from tests.job_operators import group_of, job_in


@pytest.fixture(scope="module")
def by_readme(tmp_path_factory):
    """The commands of jobs/README.md, typed as they stand: an operator, and what was said."""
    folder = tmp_path_factory.mktemp("readme")
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "20") as cloud:
        pipeline = ready_cloud(cloud)
        operator = with_own_jobs(CloudOperator(cloud, folder, sampled(), DIR_PREFIX="lab/flu"))
        text = (REPOSITORY / "jobs" / "README.md").read_text().replace("demo", "trial")
        commands = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
        assert len(commands) > 10
        programs = folder / "programs"
        programs.mkdir()
        shim = f'#!/bin/sh\nexec "{sys.executable}" -m invoke --search-root "{folder}" "$@"\n'
        (programs / "invoke").write_text(shim)
        (programs / "invoke").chmod(0o755)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
            cwd=folder,
            env={**operator.environ, "PATH": f"{programs}{os.pathsep}{operator.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=280,
        )
        yield operator, pipeline, done


def with_own_jobs(operator):
    operator.with_own_code()
    ignored = shutil.ignore_patterns("rendered")
    shutil.copytree(REPOSITORY / "jobs", operator.folder / "jobs", ignore=ignored)
    return operator


def test_the_commands_of_the_readme_work_as_they_stand_to_the_outputs(by_readme):
    operator, _, done = by_readme

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"runner +SUCCEEDED +3 succeeded", done.stdout)
    assert f"outputs in gs://{BUCKET}/lab/flu/trial/{run_id_in(done.stdout)}/outputs/" in done.stdout
    assert "files.json" in done.stdout
    runner = json.loads((operator.folder / "jobs" / "rendered" / "stage-b.json").read_text())
    assert runner["taskGroups"][0]["taskCount"] == 3
    logs = re.findall(r"^ *logs +invoke (logs .*)", done.stdout, re.MULTILINE)[-1]
    said = operator.invoke(*logs.split())
    assert "3 results" in said.output


def test_the_tables_of_jobs_by_hand_are_those_of_a_run_here(by_readme):
    operator, _, done = by_readme

    here = operator.invoke("run", "--local", "--exp-id", "trial")

    assert here.exit_code == 0, here.output
    expected = {path.name: path.read_bytes() for path in operator.outputs()[0].parent.glob("*.csv.gz")}
    below = f"lab/flu/trial/{run_id_in(done.stdout)}/outputs/"
    tables = [name for name in names_in(operator.cloud, BUCKET, below) if name.endswith(".csv.gz")]
    assert len(expected) >= 4
    assert {n.rpartition("/")[2]: object_of(operator.cloud, BUCKET, n) for n in tables} == expected


def test_an_input_is_run_again_alone(by_readme):
    operator, pipeline, done = by_readme
    run_id = run_id_in(done.stdout)
    below = f"lab/flu/trial/{run_id}"
    result = f"{below}/runner-artifacts/result_0001.pkl"
    before = object_of(operator.cloud, BUCKET, result)
    quoted = result.replace("/", "%2F")
    deleted = request("DELETE", f"{operator.cloud.storage}/storage/v1/b/{BUCKET}/o/{quoted}")
    assert deleted.status_code == 204

    again = operator.invoke(
        *("job", "--stage", "runner", "--exp-id", "trial", "--run-id", run_id),
        *("--only", "1", "--memory-mib", "2048"),
    )

    assert again.exit_code == 0, again.output
    wait_until(lambda: pipeline.job(job_in(again.output))["status"]["state"] == "SUCCEEDED", 60)
    job = pipeline.job(job_in(again.output))
    tasks, variables = group_of(job)
    assert tasks == 1
    assert job["taskGroups"][0]["taskSpec"]["computeResource"]["memoryMib"] == "2048"
    assert (
        object_of(operator.cloud, BUCKET, f"{below}/builder-artifacts/{variables['PENDING_FILE']}") == b"1\n"
    )
    assert object_of(operator.cloud, BUCKET, result) == before
