"""The story of a run for its report and run_metadata.json: put together from the summaries."""

import os
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.artifacts import RunFiles
from pipeline.environment import StageContext
from pipeline.manifest import Manifest
from pipeline.summary import package_versions, utc_now

MOST_REASONS = 1_000
LIMITS = ("max_time", "total_simulations_budget")  # reaching minimum_epsilon is success, not a cut


@dataclass
class StageUse:
    """What the tasks of one stage used, added up."""

    name: str
    tasks: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    longest_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    simulations: int = 0
    retries: int = 0

    def add(self, summary: dict[str, Any]) -> None:
        self.tasks += 1
        self.wall_seconds += summary.get("wall_seconds", 0.0)
        self.cpu_seconds += summary.get("cpu_seconds", 0.0)
        self.longest_seconds = max(self.longest_seconds, summary.get("wall_seconds", 0.0))
        self.peak_memory_mib = max(self.peak_memory_mib, summary.get("peak_memory_mib", 0.0))
        self.simulations += summary.get("simulations", 0)
        self.retries += summary.get("retry_attempt", 0)


@dataclass
class RunRecord:
    """The manifest and what the summaries say; task by task nothing is kept but failures."""

    manifest: Manifest
    stages: dict[str, StageUse] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    cut_short: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # of stage A
    packages: dict[str, str] = field(default_factory=package_versions)

    def reason(self, index: int) -> str:
        """Return why an input has no result, as its task said it."""
        return self.failures.get(index, "no result; its task has not run, or was killed")

    def facts(self, collected, missing: dict[int, str], headline: list):
        """Return what the report prints about the run."""
        from modeling.report import RunFacts, StageTimes

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
            finished_at=utc_now(),
            num_workloads=self.manifest.num_workloads,
            num_results=collected.results,
            missing=sorted(missing.items()),
            stages=list(times),
            packages=self.packages,
            tables=[(path.name, path.stat().st_size) for path in collected.files],
            notes=[*self.warnings, *collected.notes, *self.cut_short],
            headline=headline,
        )

    def metadata(self, context: StageContext, output: dict[str, Any]) -> dict[str, Any]:
        """Return run_metadata.json."""
        self.stages["output"] = StageUse("output")
        self.stages["output"].add(output)
        return {
            "manifest": asdict(self.manifest),
            "arguments": {
                "count": self.manifest.count,
                "seed": self.manifest.seed,
                "suite": self.manifest.suite,
                "output_config_file": self.manifest.output_config_file,
            },
            "image_uri": context.image_uri,
            "commits": {"code": context.code_commit, "forecast": self.manifest.forecast_commit},
            "python": output["python"],
            "packages": self.packages,
            "stages": {name: asdict(use) for name, use in self.stages.items()},
            "num_results": output["num_results"],
            "missing": output["missing"][:MOST_REASONS],
            "num_missing": len(output["missing"]),
            "cut_short": self.cut_short,
            "warnings": self.warnings,
            "outputs": output["outputs"],
            "finished_at": utc_now(),
            "host_cpus": os.cpu_count(),
        }


def read_run_record(files: RunFiles, manifest: Manifest) -> RunRecord:
    """Read every summary of the run once."""
    record = RunRecord(manifest)
    for name, summary in files.read_summaries():
        stage = name.partition("_")[0]
        if stage == "output":
            continue  # of an earlier stage C
        record.stages.setdefault(stage, StageUse(stage)).add(summary)
        index = summary.get("task_index")
        record.warnings += summary.get("warnings", [])
        if summary.get("status") == "failed" and len(record.failures) < MOST_REASONS:
            record.failures[index] = summary.get("error", "failed")
        if summary.get("stopped_by") in LIMITS:
            record.cut_short.append(
                f"{summary.get('population')}: calibration was cut short by {summary['stopped_by']}"
            )
    return record
