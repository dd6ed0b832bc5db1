"""Lanes in emulated clouds that enforce the rights of a plan: used as people use them, with the record.

Each person has the roles of its work alone. The record has each question that was asked: who, for which
permission, on what.
"""

import base64
import io
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcloud.process import Cloud as Emulator
from localcloud.process import running
from ops.cloud import executions, failed_tasks
from ops.cloud.cloud import Cloud
from ops.cloud.executions import follow
from ops.cloud.log_reader import LogRequest
from ops.gpu import evidence as gpu_evidence
from ops.images import cloud_build
from ops.jobs import job_submission
from ops.people import WORK
from ops.project import doctor, github_token, report
from ops.rehearsal.populate import deploy, populate
from ops.rehearsal.rights import Bindings, environment_of
from ops.run_request import RunRequest
from ops.runs import cloud_run, uploads
from ops.runs.cloud_run import Started
from ops.settings import Settings
from ops.shell import Shell
from ops.watching import download, run_logs, status
from tests.emulated import clear_batch_faults, commit_all, offer_repository, order_batch_faults, post, request
from tests.experiments import POPULATIONS, sampled_twice, write_repository
from tests.needs import need_program
from tests.null_clouds import wait_until
from tests.rights_records import Record
from tests.terraform_plans import NEEDED

SECRET, TOKEN = "github-pat", "ghp_for0the0rehearsal0of0rights"
FORECAST, SUITE = "my-lab/flu-forecasts", "my-lab/suite"
PLANNED = {
    "github_pat_secret": SECRET,
    "github_forecast_repo": FORECAST,
    "github_modeling_suite_repo": SUITE,
    "install_ops_agent": True,
}
DOCKER_BUILDER = "gcr.io/cloud-builders/docker"
CLOCK_SPEED = "60"
JOB_SECONDS = 120  # real ones, until the first job of a run is there


@dataclass(frozen=True)
class BatchLane:
    """The Batch lane of a plan in an emulated cloud, and its people."""

    emulator: Emulator
    settings: Settings
    rights: Bindings
    folder: Path

    @classmethod
    @contextmanager
    def of_plan(cls, plan: Mapping[str, Any], folder: Path) -> Iterator["BatchLane"]:
        """Yield the lane, furnished as by an apply, whose workflow and token are there."""
        need_program("gcloud")
        words = ["--clock-speed", CLOCK_SPEED, "--rights-of", NEEDED["project_id"]]
        with docker_that_builds_nothing(folder / "bin"), running(folder / "cloud", *words) as emulator:
            settings = Settings(
                **NEEDED | PLANNED,
                execution_mode="cloud",
                github_url=f"{emulator.apis}/git",
                local_data_path=folder / "local",
            )
            rights = Bindings.of_plan(plan, "the plan of terraform/").with_people(WORK, settings)
            lane = cls(emulator, settings, rights, folder)
            lane.furnish()
            yield lane

    def furnish(self) -> None:
        """Make what an apply makes, with its rights; the record begins after it."""
        emulator, settings = self.emulator, self.settings
        populate(emulator.storage, emulator.apis, settings)
        self.rights.apply(emulator)
        _set_token(emulator)
        repository = self._forecasts()
        for name in (FORECAST, SUITE):  # what is in a suite is not looked at
            offer_repository(emulator, name, repository, TOKEN)
        deploy(self.cloud(), self.folder / "environment.yaml")
        self.forget()

    def _forecasts(self) -> Path:
        place = self.folder / "forecasts"
        write_repository(place, sampled_twice())
        shutil.copytree(POPULATIONS, place / "data" / "epydemix-data")
        commit_all(place, "the experiment")
        return place

    def cloud(self, work: str = "", **chosen: Any) -> Cloud:
        """Return the project as whoever does a work sees it; as its owner does without one."""
        environment = environment_of(self.emulator, self.settings, work)
        environment["CLOUDSDK_STORAGE_PROCESS_COUNT"] = "1"  # for a few small files faster than many
        return Cloud.of(Shell(environment=environment), self.settings.model_copy(update=chosen))

    def record(self) -> Record:
        """Return what was asked since the record began."""
        return Record.of(self.emulator, self.settings.project_id, self.rights.grants)

    def forget(self) -> None:
        request("DELETE", f"{self.emulator.apis}/_emulator/rights")

    def run(self, run_id: str = "") -> Started:
        """Run the experiment to its end, or a run of it once more."""
        started = cloud_run.start(self.cloud("run"), RunRequest("trial", run_id))
        follow(started.execution, with_commands=False)
        return started

    def leave_claim(self, ended: Started) -> None:
        """Leave the claim of an execution on its run behind, as one that was cancelled leaves it."""
        name = f"trial/{ended.run_id}/execution.json"
        url = f"{self.emulator.storage}/upload/storage/v1/b/{self.settings.bucket_name}/o?uploadType=media"
        claim = {"execution": ended.execution.execution_id}
        request("POST", url, params={"name": name}, json=claim).raise_for_status()

    def cancel(self) -> None:
        """Start a run, and cancel it while its first job waits for a machine."""
        no_machine = {"queue": "CODE_GCE_QUOTA_EXCEEDED"}
        order_batch_faults(self.emulator, no_machine)  # else the job may end before it is cancelled
        started = cloud_run.start(self.cloud("run"), RunRequest("trial"))
        wait_until(started.execution.jobs, seconds=JOB_SECONDS)
        executions.cancel(self.cloud("run"), started.execution.execution_id)
        clear_batch_faults(self.emulator)

    def upload_from_here(self) -> None:
        """Upload the repository of a run that is not on GitHub, twice."""
        cloud = self.cloud("run")
        for _ in range(2):
            uploads.upload_forecast(cloud, self.folder / "forecasts", f"gs://{cloud.bucket}/here/1/")

    def look(self, ended: Started) -> None:
        """Read what runs say and have made, and name the tasks that failed, if any did."""
        cloud, execution = self.cloud("look"), ended.execution
        executions.show_execution(cloud, execution.execution_id)
        failed_tasks.failed_tasks(cloud, execution.jobs()["runner"])
        status.show_status(cloud, "trial", status.HOURS, watch=False)
        run_logs.show_logs(cloud, LogRequest("trial"))
        download.download(cloud, "trial")

    def start_single_job(self) -> None:
        """Start stage A of a new run by hand."""
        job_submission.submit(self.cloud("run single jobs"), "builder", RunRequest("trial"))

    def run_single_job(self, run_id: str) -> None:
        """Run stage C of a run again, by hand."""
        request = RunRequest("trial", run_id)
        job_submission.submit(self.cloud("run single jobs"), "output", request, None, wait=True)

    def check(self) -> None:
        """Check the project."""
        doctor.examine(self.cloud("check").shell, self.settings, in_cloud=True)

    def set_token(self) -> None:
        """Store a token in place of another one, check it, and store one in a secret that is new."""
        with pytest.MonkeyPatch.context() as patch:
            for secret, disable_old in ((SECRET, True), (f"{SECRET}-2", False)):
                patch.setattr(sys, "stdin", io.StringIO(TOKEN))
                cloud = self.cloud("set the token", github_pat_secret=secret)
                github_token.store(cloud, force=False, disable_old=disable_old)
        github_token.check(self.cloud("set the token"))

    def report(self) -> None:
        """Write the report of the project."""
        file = str(self.folder / "report.json")
        shell = self.cloud("report").shell
        report.write(shell, self.settings, file, in_cloud=True, more=gpu_evidence.DOUBTS)

    def build(self) -> None:
        """Build the image; what its steps do is nothing."""
        steps = {"docker_builder_image": DOCKER_BUILDER, "structure_test_image": DOCKER_BUILDER}
        cloud_build.submit(self.cloud("build", **steps), wait=True)
        cloud_build.show_builds(self.cloud("build"))


def _set_token(emulator: Emulator) -> None:
    """Add the token to the secret, which the rights have made."""
    data = base64.b64encode(TOKEN.encode()).decode()
    secret = f"{emulator.apis}/v1/projects/{NEEDED['project_id']}/secrets/{SECRET}"
    post(f"{secret}:addVersion", {"payload": {"data": data}})


@contextmanager
def docker_that_builds_nothing(folder: Path) -> Iterator[None]:
    """Have programs find a docker that knows the digest of every image, for builds whose steps do nothing."""
    folder.mkdir()
    (folder / "docker").write_text("#!/bin/sh\necho sha256:" + 64 * "0" + "\n")
    (folder / "docker").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder), prepend=os.pathsep)
        patch.setattr(job_submission, "RENDERED", folder / "rendered")
        yield
