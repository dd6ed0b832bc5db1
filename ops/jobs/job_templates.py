"""Fill in the templates jobs/stage-*.json: the results are the jobs that the workflow would submit."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.cloud.deployment import as_label, stage_limits
from ops.cloud.machine_types import hyperdisk_only_families
from ops.failures import UserError, did_you_mean
from ops.manifests import Share
from ops.run_request import RunRequest
from ops.runs.cloud_run import run_arguments
from ops.settings import ROOT, Settings
from ops.stages import LETTERS
from ops.terminal import nearest

FOLDER = ROOT / "jobs"
VARIABLES = ".environment.variables"  # all values here are text, and empty ones stay
_PLACEHOLDER = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}|\$")

Value = str | int | bool


@dataclass(frozen=True)
class Filling:
    """Values of a job that are not settings."""

    request: RunRequest
    image: str  # with its digest
    is_built: bool  # a run keeps what it was built with
    share: Share
    forecast_commit: str = ""  # of the local repository, if it is uploaded


def render_job(settings: Settings, stage: str, filling: Filling, job_id: str = "") -> dict[str, Any]:
    """Return a stage as a job of Batch.

    Raises
    ------
    UserError
        The template cannot be read, or contains an unknown name.
    """
    return fill_in(template(stage), named_values(settings, filling) | {"JOBID": job_id})


def template(stage: str) -> Path:
    return FOLDER / f"stage-{LETTERS[stage].lower()}.json"


def named_values(settings: Settings, filling: Filling) -> dict[str, Value]:
    """Return the value of each ${NAME} of a template: every setting, and the values of the run."""
    asked = run_arguments(settings, filling.request, filling.is_built)
    tasks = max(1, filling.share.num_tasks)  # a job needs a task
    return {
        **{name.upper(): _plain(value) for name, value in settings.model_dump().items()},
        **asked["variables"],
        **_machines(settings),
        "EXP_ID": asked["exp_id"],
        "EXP_ID_LABEL": as_label(asked["exp_id"]),
        "RUN_ID": asked["runId"],
        "IMAGE_URI": filling.image,
        "BATCH_SERVICE_ACCOUNT": asked["batchSaEmail"],
        "BUILDER_SERVICE_ACCOUNT": asked["builderSaEmail"],
        "BILLING_PROJECT_LABEL": as_label(settings.billing_project),
        "NUM_TASKS": tasks,
        "PARALLELISM": min(tasks, settings.max_parallelism),
        "INPUTS_PER_TASK": filling.share.workloads_per_task,
        "PENDING_FILE": filling.share.pending_file,
        "OUTPUT_CONFIG_FILE": asked["outputConfigFile"],
        "ALLOW_PARTIAL_RESULTS": "1" if asked["allowPartial"] else "",
        "COUNT": asked.get("count", ""),
        "SEED": asked.get("seed", ""),
        "REFERENCE_DATE": asked.get("referenceDate", ""),
        "STRICT": "1" if asked.get("strict") else "",
        "FORCE": "1" if asked["force"] else "",
        "FORECAST_COMMIT": filling.forecast_commit,
    }


def _machines(settings: Settings) -> dict[str, Value]:
    """Return the boot disk and image of each stage's machines; empty if Batch chooses them."""
    only_hyperdisk = hyperdisk_only_families()
    disks = {}
    for stage, limits in stage_limits(settings).items():
        family = limits.machine_type.partition("-")[0]
        disk = "hyperdisk-balanced" if family in only_hyperdisk else "pd-balanced"
        disks[f"STAGE_{LETTERS[stage]}_BOOT_DISK"] = disk if family else ""
    wants_agent = settings.install_ops_agent  # needs batch-debian: the container image does not support it
    return {
        **disks,
        "BOOT_DISK_IMAGE": "batch-debian" if wants_agent else "",
        "INSTALL_OPS_AGENT": True if wants_agent else "",
    }


def _plain(value: object) -> Value:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, int) else "" if value is None else str(value)


def fill_in(path: Path, values: Mapping[str, Value]) -> dict[str, Any]:
    """Return a template with its values filled in; numbers stay numbers, and empty fields are removed."""
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{nearest(path)}: cannot be read ({error})") from None
    return _Filler(path, values).filled(described, "")


class _Filler:
    """Fills in one template; errors name the field."""

    def __init__(self, path: Path, values: Mapping[str, Value]):
        self.path, self.values = path, values

    def filled(self, node: Any, where: str) -> Any:
        if isinstance(node, str):
            return self._text(node, where)
        if isinstance(node, list):
            parts = [self.filled(part, f"{where}[{number}]") for number, part in enumerate(node)]
            return [part for part in parts if not _is_empty(part)]
        if not isinstance(node, dict):
            return node
        fields = {name: self.filled(part, f"{where}.{name}") for name, part in node.items()}
        if where.endswith(VARIABLES):
            return {name: str(value) for name, value in fields.items()}
        return {name: value for name, value in fields.items() if not _is_empty(value)}

    def _text(self, text: str, where: str) -> Value:
        """Return a text with its values filled in; a single name becomes its value, which may be a number."""
        whole = _PLACEHOLDER.fullmatch(text)
        if whole and whole[1]:
            return self._value(whole[1], where)
        return _PLACEHOLDER.sub(lambda found: str(self._value(found[1], where)), text)

    def _value(self, name: str | None, where: str) -> Value:
        place = f"{nearest(self.path)}: {where.lstrip('.')}"
        if name is None:
            raise UserError(f"{place}: expected a name such as ${{EXP_ID}} after $")
        if name not in self.values:
            near = did_you_mean(name, self.values)
            raise UserError(f"{place}: ${{{name}}} is not set{near}; jobs/README.md has the names")
        return self.values[name]


def _is_empty(value: Any) -> bool:
    return value in ("", {}, [])
