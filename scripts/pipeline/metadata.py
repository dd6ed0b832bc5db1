"""How a run was made and what it used, added up from the summaries for report and run_metadata.json."""

import os
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from modeling.plain_text import one_line
from pipeline.artifacts import RunFiles
from pipeline.environment import StageContext
from pipeline.input_names import MOST_NAMED, unknown_input
from pipeline.machine_costs import StageMachines, estimated_cost
from pipeline.manifest import Manifest
from pipeline.summary import package_versions, utc_now

MOST_REASONS = 1_000
REASON_CHARACTERS = 400  # of a reason in a list of missing results
MOST_NAME_CHARACTERS = 200
_KEYS = {"attempts": "tries"}  # in run_metadata.json, as every version has written it
# what cuts a calibration short: minimum_epsilon is success, and other early ends do not depend on the machine
LIMITS = ("max_time", "total_simulations_budget")


@dataclass
class StageUse:
    """What the tasks of one stage used, in all."""

    name: str
    tasks: int = 0
    attempts: int = 0  # those that reported what they used
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    done: int = 0  # attempts that succeeded, and what they took
    done_seconds: float = 0.0
    done_cpu_seconds: float = 0.0
    longest_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    simulations: int = 0
    failed: int = 0
    begun_at: str = ""
    elapsed_seconds: float = 0.0  # from the start of the first task to the end of the last one
    machines: StageMachines = field(default_factory=StageMachines)

    def add(self, summary: dict[str, Any]) -> None:
        """Add the summary of an input, or of a stage of one task, with its earlier attempts."""
        self.tasks += 1
        self.simulations += summary.get("simulations", 0)
        self.failed += summary.get("status") == "failed"
        for used in (*summary.get("earlier", ()), summary):
            self.machines.add(used, used.get("batch_task_index", summary.get("task_index")))
            self._add_attempt(used)

    def _add_attempt(self, used: dict[str, Any]) -> None:
        seconds, cpu_seconds = used.get("wall_seconds", 0.0), used.get("cpu_seconds", 0.0)
        self.attempts += 1
        self.wall_seconds += seconds
        self.cpu_seconds += cpu_seconds
        if used.get("status") == "done":
            self.done += 1
            self.done_seconds += seconds
            self.done_cpu_seconds += cpu_seconds
        self.longest_seconds = max(self.longest_seconds, seconds)
        self.peak_memory_mib = max(self.peak_memory_mib, used.get("peak_memory_mib", 0.0))
        self._add_time(used.get("started_at", ""), seconds)

    def describe(self) -> dict[str, Any]:
        """Return what was used, and the number of Batch's retries, for run_metadata.json."""
        used = {_KEYS.get(name, name): value for name, value in vars(self).items() if name != "machines"}
        return used | {"retries": self.machines.retries}

    def _add_time(self, started_at: str, seconds: float) -> None:
        if not started_at:
            return
        first = min(self.begun_at or started_at, started_at)
        last = max(_moment(self.begun_at or first) + self.elapsed_seconds, _moment(started_at) + seconds)
        self.begun_at, self.elapsed_seconds = first, round(last - _moment(first), 3)


def _moment(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


@dataclass
class RunRecord:
    """The manifest and what the summaries say; of single tasks only failures are kept."""

    manifest: Manifest
    stages: dict[str, StageUse] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)  # of inputs without a result, where known
    cut_short: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # of stage A
    packages: dict[str, str] = field(default_factory=package_versions)
    cpus: set[str] = field(default_factory=set)  # kinds of CPU of all tasks
    images: set[str] = field(default_factory=set)
    is_dated: bool = True  # the report says when the run ended; without, it is the same bytes each time

    def add(self, stage: str, summary: dict[str, Any]) -> None:
        """Add what a task used, and the CPU and image it ran on."""
        self.stages.setdefault(stage, StageUse(stage)).add(summary)
        self.cpus |= {summary["cpu"]} if summary.get("cpu") else set()
        self.images |= {summary["image"]} if summary.get("image") else set()

    def _records_of_inputs(self) -> int:
        return self.stages["runner"].tasks if "runner" in self.stages else 0

    def reason(self, index: int) -> str:
        """Return why an input has no result, in the words of its task."""
        return self.failures.get(index, "no result; its task has not run, or was killed")

    def name(self, index: int) -> str:
        """Return the name of an input: place and parameter set where known, else its index."""
        return self.names.get(index) or unknown_input(index)

    def described(self, missing: dict[int, str]) -> dict[str, Any]:
        """Return, where there is one, the `reference_date` and `missing_inputs`: index, name and reason."""
        first = sorted(missing)[:MOST_NAMED]
        listed = [{"index": i, "name": self.name(i), "reason": missing[i][:REASON_CHARACTERS]} for i in first]
        return _known({"reference_date": self.manifest.reference_date, "missing_inputs": listed or None})

    def facts(self, collected, missing: dict[int, str], headline: list):
        """Return what the report prints about the run."""
        from modeling.outputs.headline import left_out_dates
        from modeling.outputs.report import RunFacts, StageTimes

        times = (
            StageTimes(u.name, u.tasks, u.wall_seconds, u.cpu_seconds, u.longest_seconds, u.peak_memory_mib)
            for u in self.stages.values()
        )
        return RunFacts(
            exp_id=self.manifest.exp_id,
            run_id=self.manifest.run_id,
            workflow=self.manifest.workflow,
            suite=self.manifest.suite,
            seed=self.manifest.seed,
            created_at=self.manifest.created_at,
            finished_at=utc_now() if self.is_dated else "",
            num_workloads=self.manifest.num_workloads,
            num_results=collected.results,
            missing=sorted(missing.items()),
            names=self.names,
            stages=list(times),
            packages=self.packages,
            tables=[(path.name, path.stat().st_size) for path in collected.files],
            notes=[*self.warnings, *collected.notes, *self.cut_short],
            headline=headline,
            left_out_dates=left_out_dates(collected.panels, headline),
        )

    def metadata(self, context: StageContext, output: dict[str, Any]) -> dict[str, Any]:
        """Return run_metadata.json; what is unknown is left out."""
        self.add("output", output)
        manifest, machines = self.manifest, {name: use.machines for name, use in self.stages.items()}
        known = {
            "manifest": asdict(manifest),
            "arguments": _known(
                {
                    "count": manifest.count,
                    "seed": manifest.seed,
                    "reference_date": manifest.reference_date,
                    "strict": manifest.strict or None,
                    "suite": manifest.suite,
                    "engine": manifest.engine,
                    "output_config_file": context.output_config_file or manifest.output_config_file,
                    "allow_partial": context.allow_partial,
                }
            ),
            "image_uri": context.image_uri,
            "image_digest": context.image_uri.partition("@")[2],
            "commits": _known(context.commits | {"forecast": manifest.forecast_commit}),
            "python": output["python"],
            "packages": self.packages,
            "cpus": sorted(self.cpus),
            "images": sorted(self.images) if len(self.images) > 1 else None,
            "machines": {
                name: [kind.describe() for kind in each.kinds.values()]
                for name, each in machines.items()
                if each.kinds
            },
            "stages": {name: use.describe() for name, use in self.stages.items()},
            "estimated_cost": estimated_cost(machines, manifest.num_workloads - self._records_of_inputs()),
            "num_results": output["num_results"],
            "missing": output["missing"][:MOST_REASONS],
            "missing_inputs": output.get("missing_inputs"),
            "num_missing": len(output["missing"]),
            "cut_short": self.cut_short,
            "warnings": self.warnings,
            "outputs": output["outputs"],
            "finished_at": utc_now(),
            "host_cpus": os.cpu_count(),
        }
        return _known(known)


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", {})}


def read_run_record(files: RunFiles, manifest: Manifest) -> RunRecord:
    """Read every summary of the run once."""
    record = RunRecord(manifest)
    for name, summary in files.read_summaries():
        stage = name.partition("_")[0]
        if stage == "output":
            continue  # of an earlier stage C; this one's summary will include it
        record.add(stage, summary)
        index = summary.get("task_index")
        index = -1 if index is None else index  # of a stage of one task
        record.warnings += map(one_line, summary.get("warnings", []))
        if summary.get("status") == "failed" and len(record.failures) < MOST_REASONS:
            record.failures[index] = one_line(summary.get("error", "failed"))
        if summary.get("stopped_by") in LIMITS:
            place = one_line(summary.get("population") or unknown_input(index), MOST_NAME_CHARACTERS)
            record.cut_short.append(f"{place}: calibration was cut short by {summary['stopped_by']}")
    return record
