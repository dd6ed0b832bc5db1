"""Jobs by hand on a cloud whose tasks are nothing: the operator, what is submitted, what is there before."""

import re

from ops.jobs import job_submission
from ops.jobs.job_templates import Filling, render_job
from ops.manifests import Share
from ops.run_request import RunRequest
from tests.cloud_operators import IMAGE, CloudOperator
from tests.cloud_runs import RUN_ID
from tests.emulated import request
from tests.experiments import sampled

RUN = ("--exp-id", "trial", "--run-id", RUN_ID)
DIGEST = f"{IMAGE}@sha256:{'0' * 64}"


def operator_of_jobs(null_cloud, folder, monkeypatch) -> CloudOperator:
    """Return an operator in whose folder we are, on a cloud of null tasks; jobs/rendered/ is there."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(job_submission, "RENDERED", folder / "jobs" / "rendered")
    return CloudOperator(null_cloud, folder, sampled())


def submit(operator, stage, only=None, wait=False, run_id=RUN_ID, asked=(), **chosen) -> None:
    """Do what `invoke job` does."""
    request = RunRequest("trial", run_id, **dict(asked))
    job_submission.submit(operator.google_cloud(**chosen), stage, request, only, wait)


def described(operator, stage, job_id="", num_tasks=1, asked=()):
    filling = Filling(RunRequest("trial", RUN_ID, **dict(asked)), DIGEST, True, Share(num_tasks, 1))
    return render_job(operator.settings(), stage, filling, job_id)


def begin(operator, pipeline, stage, job_id, **more) -> None:
    """Have a job made as by hand, without asking first whether it may be."""
    pipeline.api("POST", f"/jobs?jobId={job_id}", json=described(operator, stage, job_id) | more)


def job_in(output):
    return re.search(r"^job (\S+) ", output, re.MULTILINE)[1]


def group_of(job):
    group = job["taskGroups"][0]
    return int(group["taskCount"]), group["taskSpec"]["environment"]["variables"]


def put_results(pipeline, inputs):
    for index in inputs:
        upload(pipeline, f"trial/{RUN_ID}/runner-artifacts/result_{index:04d}.pkl", b"result")


def upload(pipeline, name, data):
    url = f"{pipeline.cloud.storage}/upload/storage/v1/b/{pipeline.bucket}/o"
    answer = request("POST", url, params={"uploadType": "media", "name": name}, data=data)
    assert answer.status_code == 200, answer.text
