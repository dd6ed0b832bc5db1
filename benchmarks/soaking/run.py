"""One run of a soak, on its own cloud: started, resumed if a task was killed, and inspected."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments import EXP_ID

from localcloud.process import running
from ops.run_request import RunRequest
from ops.settings import Settings
from soaking import disturbances
from soaking.duplicate_tasks import duplicate_tasks
from soaking.outcome import Outcome
from soaking.pipeline_cloud import PipelineCloud, is_active, stage_of

SETTINGS = Settings(project_id="soak-project", bucket_name="soak", log_level="WARNING")
PEER_SETTINGS = SETTINGS.model_copy(update={"workloads_per_task": 50})  # fewer starts of Python
CLOCK_SPEED = "20"  # the workflow's pause of two seconds takes a tenth of one
SLOTS = 2 * (os.cpu_count() or 1)  # tasks at once: while one waits for storage another computes
LOOK_SECONDS = 0.5
MOST_SECONDS = 3 * 3600  # of one execution
MOST_EXECUTIONS = 8  # a run must succeed within these
REFUSED = "which is still running"  # in the error of an execution whose run belongs to another one
EXPECTED_ENDS = {disturbances.KILLED, disturbances.TEMPORARY_FAULT, *disturbances.LOST_MACHINES}


class SoakRun:
    """A run of one experiment, with faults or without."""

    def __init__(self, name: str, run_id: str, tasks: int, seed: int, with_faults: bool):
        self.name, self.tasks, self.seed, self.with_faults = name, tasks, seed, with_faults
        self.request = RunRequest(EXP_ID, run_id, count=tasks, seed=seed)
        self.outcome = Outcome()

    def run(self, state: Path, repository: Path) -> Outcome:
        """Run it until it succeeds, resuming as needed; return its outcome."""
        before = _cpu_seconds_of_children()
        with running(state, "--clock-speed", CLOCK_SPEED, "--slots", str(SLOTS)) as cloud:
            pipeline = PipelineCloud(cloud, SETTINGS if self.with_faults else PEER_SETTINGS)
            pipeline.set_up()
            pipeline.upload_forecast(repository, self.request)
            begun = time.perf_counter()
            with self._faults(pipeline):
                self._run_to_the_end(pipeline)
            self.outcome.seconds = time.perf_counter() - begun
            self._count_attempts(pipeline)
            self._find_leftovers(pipeline, state.resolve() / "batch" / "tasks")
            self.outcome.read_bucket(pipeline, f"{EXP_ID}/{self.request.run_id}/")
        self.outcome.cpu_seconds = _cpu_seconds_of_children() - before
        return self.outcome

    @contextmanager
    def _faults(self, pipeline: PipelineCloud) -> Iterator[None]:
        """Add faults to requests until the block ends, and count them; tasks get theirs by execution."""
        if not self.with_faults:
            yield
            return
        pipeline.emulator("POST", "faults", disturbances.of_requests(SETTINGS.bucket_name, self.seed))
        self.outcome.duplicates_wanted = disturbances.number_of_duplicates(self.tasks)
        with duplicate_tasks(pipeline, self.outcome, self.seed):
            yield
        rules = pipeline.emulator("GET", "faults")
        for rule in rules:
            self.outcome.struck[disturbances.kind_of(rule)] += rule["hits"]
        self.outcome.unstruck = disturbances.unstruck(rules, self.tasks)
        pipeline.emulator("DELETE", "faults")
        pipeline.emulator("DELETE", "batch/faults")

    def _run_to_the_end(self, pipeline: PipelineCloud) -> None:
        for number in range(MOST_EXECUTIONS):
            pending = self._pending(pipeline)
            if self.with_faults:
                rules = disturbances.of_tasks(range(pending), number, self.seed)
                pipeline.emulator("DELETE", "batch/faults")
                pipeline.emulator("POST", "batch/faults", rules)
                self.outcome.ordered += disturbances.certain_ends(rules)
            known = set(pipeline.executions())
            pipeline.start(self.request, is_resumed=number > 0)
            states = self._follow(pipeline, known)
            print(
                f"{self.name}: {pending:,} results to compute; execution {' and '.join(states)}", flush=True
            )
            if "SUCCEEDED" in states:
                return
        self.outcome.wrong.append(f"the run did not succeed in {MOST_EXECUTIONS} executions")

    def _pending(self, pipeline: PipelineCloud) -> int:
        results = pipeline.objects(f"{EXP_ID}/{self.request.run_id}/runner-artifacts/")
        return self.tasks - sum(1 for _ in results)

    def _follow(self, pipeline: PipelineCloud, known: set[str]) -> list[str]:
        """Wait for the executions that are not `known`; return their states."""
        until = time.monotonic() + MOST_SECONDS
        while True:
            begun = [pipeline.execution(name) for name in set(pipeline.executions()) - known]
            if begun and not any(map(is_active, begun)):
                break
            if time.monotonic() > until:
                raise SystemExit(f"no end after {MOST_SECONDS} s: {begun}")
            time.sleep(LOOK_SECONDS)
        for execution in begun:
            self.outcome.executions[self._end_of(pipeline, execution)] += 1
        return [execution["state"] for execution in begun]

    def _end_of(self, pipeline: PipelineCloud, execution: dict) -> str:
        """Return how an execution ended; record an end that no fault of a task explains."""
        if execution["state"] == "SUCCEEDED":
            return "succeeded"
        error = execution.get("error", {}).get("payload", "")
        if self.with_faults and REFUSED in error:
            return "refused: another had the run"
        job = f"runner-{execution['name'].rpartition('/')[2]}"
        failed = pipeline.tasks(job, "FAILED") if job in pipeline.jobs() else []
        codes = {_exit_codes(task)[-1] for task in failed}
        if not (self.with_faults and codes and codes <= EXPECTED_ENDS):
            self.outcome.wrong.append(f"an execution ended {execution['state']}: {error[:600]}")
        return "failed: a task was killed"

    def _count_attempts(self, pipeline: PipelineCloud) -> None:
        """Count the processes of stages B and C by exit code, and the attempts after the first."""
        for name in pipeline.jobs():
            for task in pipeline.tasks(name):
                codes = _exit_codes(task)
                self.outcome.retries += max(len(codes) - 1, 0)
                if stage_of(name) == "runner":
                    self.outcome.endings.update(codes)
                elif stage_of(name) == "output":
                    self.outcome.output_endings.update(codes)

    def _find_leftovers(self, pipeline: PipelineCloud, folder: Path) -> None:
        ended = ("SUCCEEDED", "FAILED", "CANCELLED")
        jobs = [n for n, job in pipeline.jobs().items() if job["status"]["state"] not in ended]
        executions = [n for n, execution in pipeline.executions().items() if is_active(execution)]
        left = {
            "jobs": jobs,
            "executions": executions,
            "folders of tasks": [path.name for path in folder.glob("*")],
            "processes": _processes_below(folder),
        }
        self.outcome.wrong += [
            f"{what} left: {', '.join(found[:5])}" for what, found in left.items() if found
        ]


def _exit_codes(task: dict) -> list[int]:
    """Return the exit code of each finished attempt of a task, oldest first."""
    events = task["status"].get("statusEvents", [])
    ends = [event for event in events if event["taskState"] in ("SUCCEEDED", "FAILED")]
    return [event.get("taskExecution", {}).get("exitCode", 0) for event in ends]


def _processes_below(folder: Path) -> list[str]:
    """Return the processes with a folder in their environment, as every task has; on Linux only."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if bytes(folder) in environ.read_bytes():
                found.append(environ.parent.name)
        except OSError:
            continue  # ended meanwhile, or of another user
    return found


def _cpu_seconds_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system
