"""The lanes of the test suite, which are the folders of tests/, and which of them a change needs."""

import re
from collections.abc import Iterable
from pathlib import Path

from ops.failures import UserError
from ops.settings import ROOT
from ops.shell import Shell

ALL = "all"
LANES = ("unit", "stages", "operator", "cloud", "deploy", "localcloud", "services", "long")

_EVERY_STAGE = ("stages/test_constructs.py", "stages/test_run_metadata.py", "stages/test_stages.py")
_EVERY_REFUSAL = (
    "stages/test_broken_files.py",
    "stages/test_builder_refusals.py",
    "stages/test_mistyped_names.py",
    "stages/test_touched_runs.py",
    "stages/test_unusable_observed_data.py",
    "stages/test_unusable_vaccination_data.py",
    "stages/test_wrong_changes.py",
    "stages/test_wrong_dates.py",
    "stages/test_wrong_expressions.py",
    "stages/test_wrong_hub_formats.py",
    "stages/test_wrong_numbers.py",
)
_EVALUATION = (
    "stages/test_evaluation.py",
    "stages/test_evaluation_layout.py",
    "stages/test_wrong_evaluations.py",
)
_GPU_IMAGES = (
    "cloud/test_gpu_deployment.py",
    "cloud/test_gpu_operations.py",
    "deploy/test_gpu_build.py",
)
_GPU_SCRIPTS = (
    "operator/test_gpu_deployment.py",
    "cloud/test_gpu_deployment.py",
    "cloud/test_gpu_removal.py",
)
_GPU_TERRAFORM = (
    "deploy/test_gpu_alerts.py",
    "deploy/test_gpu_rules.py",
    "deploy/test_gpu_services.py",
    "deploy/test_gpu_terraform.py",
    "deploy/test_gpu_terraform_tasks.py",
)
_EVERY_TASK = (
    "operator/test_tasks.py",
    "operator/test_clean.py",
    "operator/test_local_runs.py",
    "operator/test_places.py",
)

# The tests that run with unit when a file changes: whole lanes, or files of a lane. Of the entries that begin
# the file's path, the longest counts.
LANES_OF = {
    ".ci/": (),
    ".dockerignore": ("deploy",),
    ".env.example": ("operator",),
    ".gcloudignore": ("deploy",),
    "Makefile": _EVERY_TASK,
    "README.md": _EVERY_TASK,
    "benchmarks/": ("long/test_benchmarks.py",),
    "cloudbuild.yaml": ("deploy",),
    "docker-compose.yml": ("deploy",),
    "docker/": ("deploy",),
    "docs/": (*_EVERY_TASK, "cloud/test_runbooks.py"),
    "examples/": ("long/test_examples.py",),
    "examples/gpu/": ("deploy/test_gpu_rules.py",),
    "infrastructure-manager/": ("cloud/test_infrastructure_manager.py",),
    "jobs/": ("cloud/test_job_templates.py", "cloud/test_runbooks.py"),
    "localcloud/": ("localcloud",),
    "localcloud/infra/": ("localcloud", "cloud/test_infrastructure_manager.py"),
    "modeling/": ("stages",),
    "modeling/build/": (
        *_EVERY_STAGE,
        "services/test_forecast_model.py",
        *_EVERY_REFUSAL,
        "stages/test_warnings.py",
        "stages/test_all_populations.py",
        "stages/test_data_frequency.py",
        "stages/test_drawn_starts.py",
        "stages/test_input_names.py",
        "stages/test_observed_data.py",
        "stages/test_observed_spacing.py",
        "stages/test_populations_alone.py",
        "stages/test_user_functions.py",
        "stages/test_vaccination.py",
        "stages/test_vintages.py",
    ),
    "modeling/outputs/": (
        *_EVERY_STAGE,
        "services/test_forecast_model.py",
        "stages/test_damaged_by_products.py",
        "stages/test_foreign_manifests.py",
        "stages/test_forged_results.py",
        "stages/test_odd_files.py",
        "stages/test_headline.py",
        "stages/test_hub_tables.py",
        "stages/test_charts.py",
        "stages/test_report.py",
        "stages/test_report_layout.py",
    ),
    "modeling/evaluation/": ("operator/test_evaluate_task.py", *_EVALUATION),
    "modeling/engine/": (
        "unit/test_arithmetic.py",
        "unit/test_exact_draws.py",
        "unit/test_initial_conditions.py",
        "unit/test_hat.py",
        "unit/test_log_ratio.py",
        "stages/test_cold_start.py",
        "stages/test_compiled_code.py",
        "stages/test_engine_bits.py",
        "stages/test_engine_compared.py",
        "stages/test_engines.py",
        "stages/test_ensembles.py",
        "stages/test_gpu_code.py",
        "stages/test_gpu_lanes.py",
        "stages/test_posteriors_compared.py",
        "stages/test_from_epydemix.py",
        "stages/test_plans_from_python.py",
        "stages/test_schedule.py",
        "stages/test_schedule_compared.py",
        "stages/test_simulation.py",
        "stages/test_simulation_compared.py",
        "long/test_vectorised_loops.py",
    ),
    "modeling/simulate/": (
        *_EVERY_STAGE,
        "stages/test_calibrated_values.py",
        "stages/test_calibration.py",
        "stages/test_calibration_ends.py",
        "stages/test_checkpoints.py",
        "stages/test_cold_start.py",
        "stages/test_engines.py",
        "stages/test_ensembles.py",
        "stages/test_old_inputs.py",
        "stages/test_posteriors_compared.py",
        "stages/test_schedule.py",
        "stages/test_schedule_compared.py",
        "stages/test_simulation.py",
        "stages/test_simulation_compared.py",
        "stages/test_transformations.py",
        "stages/test_user_functions.py",
    ),
    "modeling/vocabulary/": (
        *_EVERY_STAGE,
        *_EVERY_REFUSAL,
        "stages/test_bounds.py",
        "stages/test_priors.py",
        "stages/test_vocabulary.py",
        "stages/test_yaml.py",
    ),
    "ops/": ("operator", "cloud"),
    "ops/costs/": (
        *_EVERY_TASK,
        "operator/test_cost_task.py",
        "operator/test_costs.py",
        "cloud/test_runbooks.py",
    ),
    "ops/gpu/": (
        "operator/test_gpu_cost.py",
        "operator/test_gpu_deployment.py",
        "operator/test_gpu_logs.py",
        "operator/test_gpu_rehearsal.py",
        "cloud/test_additional_service.py",
        "cloud/test_gpu_deployment.py",
        "cloud/test_gpu_lane.py",
        "cloud/test_gpu_operations.py",
        "cloud/test_gpu_removal.py",
        "cloud/test_gpu_rehearsal.py",
        "cloud/test_runbooks.py",
    ),
    "ops/gpu/build.py": ("cloud/test_gpu_deployment.py", "deploy/test_gpu_build.py"),
    "ops/gpu/images.py": _GPU_IMAGES,
    "ops/gpu/monitoring.py": ("cloud/test_gpu_deployment.py", "deploy/test_gpu_alerts.py"),
    "ops/gpu/names.py": (*_GPU_IMAGES, *_GPU_TERRAFORM),
    "ops/gpu/rights.py": ("cloud/test_gpu_deployment.py", "cloud/test_gpu_lane.py", *_GPU_TERRAFORM),
    "ops/gpu/rules.py": ("operator/test_gpu_deployment.py", *_GPU_TERRAFORM),
    "ops/gpu/terraform.py": _GPU_TERRAFORM,
    "ops/gpu_settings.py": ("operator", *_GPU_TERRAFORM),
    "ops/images/": (*_EVERY_TASK, "deploy"),
    "ops/jobs/": (
        *_EVERY_TASK,
        "cloud/test_job_templates.py",
        "cloud/test_job_watching.py",
        "cloud/test_jobs.py",
        "cloud/test_jobs_of_the_readme.py",
    ),
    "ops/laptop/": ("operator",),
    "ops/lanes.py": ("operator/test_quality.py",),
    "ops/project/": (
        *_EVERY_TASK,
        "operator/test_doctor.py",
        "cloud/test_cloud_checks.py",
        "cloud/test_github_token.py",
        "cloud/test_lifecycle.py",
        "deploy/test_gpu_terraform_tasks.py",
        "deploy/test_terraform_tasks.py",
    ),
    "ops/quality.py": ("operator/test_quality.py",),
    "ops/rehearsal/": (
        *_EVERY_TASK,
        "operator/test_gpu_rehearsal.py",
        "operator/test_local_cloud_task.py",
        "cloud/test_gpu_rehearsal.py",
    ),
    "ops/runs/": (
        *_EVERY_TASK,
        "operator/test_reproduction.py",
        "operator/test_runs_in_the_bucket.py",
        "cloud/test_cloud_run.py",
        "cloud/test_executions.py",
    ),
    "ops/tasks/": ("operator",),
    "ops/watching/": (
        *_EVERY_TASK,
        "operator/test_results.py",
        "cloud/test_cloud_files.py",
        "cloud/test_cloud_logs.py",
        "cloud/test_monitoring.py",
        "cloud/test_status.py",
    ),
    "requirements": ("stages", "operator"),
    "scripts/": ("stages",),
    "scripts/deploy.sh": _GPU_SCRIPTS,
    "scripts/destroy.sh": _GPU_SCRIPTS,
    "scripts/pipeline/": ("stages", "services/test_forecast_model.py"),
    "scripts/pipeline/bucket.py": ("stages", "services"),
    "services/": ("services", "cloud/test_gpu_forecast.py", "cloud/test_gpu_lane.py"),
    "tasks.py": ("operator",),
    "terraform/": ("deploy",),
    "terraform/gpu/": ("cloud/test_infrastructure_manager.py", "deploy/test_terraform.py", *_GPU_TERRAFORM),
    "terraform/gpu/alerts.yaml": ("cloud/test_gpu_deployment.py", "deploy/test_gpu_alerts.py"),
    "terraform/gpu/dashboard.json": ("cloud/test_gpu_deployment.py", "deploy/test_gpu_alerts.py"),
    "terraform/gpu/workflow.yaml": (
        "cloud/test_gpu_lane.py",
        "cloud/test_gpu_lane_load.py",
        "cloud/test_upload_workflow.py",
        "cloud/test_upload_claims.py",
    ),
    "terraform/workflow.yaml": ("cloud", "deploy"),
}


def chosen(lane: str) -> list[str]:
    """Return the folders to pass to pytest for a lane; an empty list for all lanes.

    Raises
    ------
    UserError
        No lane has this name.
    """
    if lane == ALL:
        return []
    if lane not in LANES:
        raise UserError(f"--lane {lane}: no such lane; use {', '.join(LANES)} or {ALL}")
    return [f"tests/{lane}"]


def of_changes(shell: Shell) -> list[str]:
    """Return the paths of the tests for what changed since the last commit; print the reason for each."""
    reasons = reasons_for(_changed(shell))
    for path, reason in reasons.items():
        print(f"{path}: {reason}", flush=True)  # before what pytest prints
    left = [lane for lane in LANES if f"tests/{lane}" not in reasons]
    print(
        f"not run, or not all of it: {', '.join(left)} (`make test` runs everything)",
        flush=True,
    )
    return list(reasons)


def reasons_for(changed: Iterable[str]) -> dict[str, str]:
    """Return the paths for pytest and the reasons: tests/unit, the lanes of changed files, changed tests."""
    because: dict[str, list[str]] = {"tests/unit": []}
    for path in changed:
        for place in _places_for(path):
            because.setdefault(place, []).append(path)
    return {
        place: f"changed: {_in_short(paths)}" if paths else "always"
        for place, paths in sorted(because.items(), key=lambda item: _order(item[0]))
        if place.count("/") == 1 or str(Path(place).parent) not in because
    }


def _places_for(path: str) -> list[str]:
    """Return the lanes, or the test files, to run for a changed file."""
    if path.startswith("tests/"):
        return _tests_of(path)
    prefixes = [each for each in LANES_OF if path.startswith(each)]
    return [f"tests/{place}" for place in LANES_OF[max(prefixes, key=len)]] if prefixes else []


def _tests_of(path: str) -> list[str]:
    """Return a changed test file itself; for a module shared by tests, the test files that import it."""
    _, first, *_ = path.split("/")
    if Path(path).name.startswith("test_"):
        return [path] if (ROOT / path).is_file() else []  # else it is deleted
    if first in LANES:
        return [f"tests/{first}"]
    name = re.compile(rf"\btests(\.| import .*\b){re.escape(Path(first).stem)}\b")
    tests = sorted((ROOT / "tests").glob("*/test_*.py"))
    return [each.relative_to(ROOT).as_posix() for each in tests if name.search(each.read_text("utf-8"))]


def _order(place: str) -> tuple[int, str]:
    lane = place.split("/")[1]
    return LANES.index(lane) if lane in LANES else len(LANES), place  # a test file may be outside the lanes


def _in_short(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _changed(shell: Shell) -> list[str]:
    """Return the paths of changed, deleted and new files, without those that git ignores."""
    paths: set[str] = set()
    for words in (
        ["diff", "--name-only", "--no-renames", "HEAD"],
        ["ls-files", "--others", "--exclude-standard"],
    ):
        ended = shell.run_always(["git", "-C", str(ROOT), *words, "-z"], timeout_seconds=60)
        if ended.exit_code:
            raise UserError("git cannot list the changes here; choose a lane, e.g. --lane unit")
        paths.update(ended.output.split("\0"))
    return sorted(paths - {""})
