"""`invoke gpu-status`: services and buckets of the GPU lane, and the last uploads with their results."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from modeling.plain_text import one_line
from ops.cloud.cloud import Cloud
from ops.cloud.executions import reason_of, result_of, seconds_taken
from ops.gcloud import AT_ONCE, in_parallel
from ops.gpu.names import BUCKETS, SERVICES, Names
from ops.gpu.uploads import Uploads, argument_of, not_deployed
from ops.terminal import cell, console, counted, duration

LIST_SECONDS = 600  # a bucket may have many objects
MOST_LISTED = 1000
_MAX, _MIN = "autoscaling.knative.dev/maxScale", "autoscaling.knative.dev/minScale"


@dataclass(frozen=True)
class State:
    """What of a lane is in the project."""

    services: Mapping[str, Mapping[str, Any]]  # as Knative describes them, by their names in SERVICES
    buckets: Mapping[str, Sequence[Mapping[str, Any]] | None]  # objects with name and size; None: no bucket
    executions: Sequence[Mapping[str, Any]] | None  # newest first; None: no workflow

    @property
    def is_empty(self) -> bool:
        no_bucket = all(objects is None for objects in self.buckets.values())
        return not self.services and self.executions is None and no_bucket


def show_status(cloud: Cloud, limit: int | None) -> None:
    """Print services, buckets and the newest executions of the lane.

    Parameters
    ----------
    limit : int, optional
        Number of executions; default all that Workflows lists.
    """
    names = Names.of(cloud.settings)
    state = _look(cloud, names, limit or MOST_LISTED)
    cloud.shell.end_if_dry_run()
    if state.is_empty:
        refusal = not_deployed(names)
        print(f"{refusal.problem}; {refusal.fix}")
        return
    print(f"{names.stem} in {names.region} of {names.project}")
    console().print(_services_table(state.services))
    for bucket, objects in state.buckets.items():
        print(f"gs://{names.bucket(bucket)}: {contents(objects)}")
    if state.executions is None:
        print(f"workflow {names.workflow}: not deployed; invoke gpu-deploy")
    elif state.executions:
        console().print(_executions_table(state.executions))
    else:
        print(f"no executions of {names.workflow} yet: invoke gpu-smoke")


def _look(cloud: Cloud, names: Names, limit: int) -> State:
    listed, executions, *buckets = in_parallel(
        [
            lambda: _services(cloud, names),
            lambda: _executions(cloud, names, limit),
            *(lambda each=each: _objects(cloud, names.bucket(each)) for each in BUCKETS),
        ],
        cloud.shell.most_at_once(AT_ONCE),
    )
    return State(listed, dict(zip(BUCKETS, buckets, strict=True)), executions)


def _services(cloud: Cloud, names: Names) -> dict[str, Any]:
    words = ["run", "services", "list", "--region", cloud.region, *cloud.in_project]
    found = {each["metadata"]["name"]: each for each in cloud.read_json(words, echo=False) or []}
    return {name: found[names.service(name)] for name in SERVICES if names.service(name) in found}


def _executions(cloud: Cloud, names: Names, limit: int) -> list[dict[str, Any]] | None:
    """Return the newest executions as they are described, or None if there is no workflow."""
    words = ["workflows", "executions", "list", names.workflow, *cloud.in_region, "--limit", str(limit)]
    listed = cloud.read_json_if_there(words, echo=False)
    if listed is None:
        return None
    uploads = Uploads(cloud, names)
    ids = [each["name"].rpartition("/")[2] for each in listed]
    return in_parallel([lambda each=each: uploads.describe(each) for each in ids], AT_ONCE)


def _objects(cloud: Cloud, bucket: str) -> list[dict[str, Any]] | None:
    words = ["storage", "objects", "list", f"gs://{bucket}/**", *cloud.in_project]
    options = {"fields": "(name,size)", "timeout_seconds": LIST_SECONDS}
    return cloud.read_json_if_there(words, echo=False, **options)


def contents(objects: Sequence[Mapping[str, Any]] | None) -> str:
    """Return the number and size of a bucket's objects, by top folder where there are folders."""
    if objects is None:
        return "not there; invoke gpu-deploy"
    if not objects:
        return "empty"
    folders: dict[str, list[int]] = {}
    for each in objects:
        folder, slash, _ = each["name"].partition("/")
        folders.setdefault(f"{folder}/" if slash else "", []).append(int(each["size"]))
    return ", ".join(
        f"{one_line(folder)}{' ' if folder else ''}{counted(len(sizes), 'object')} of {_size(sum(sizes))}"
        for folder, sizes in sorted(folders.items())
    )


def _size(size: int) -> str:
    for unit, scale in (("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size} B"


def _services_table(services: Mapping[str, Mapping[str, Any]]) -> Table:
    table = _table("service", "ready", "revision", "instances", "image")
    for name in SERVICES:
        if name in services:
            table.add_row(name, *map(cell, _service(services[name])))
        else:
            table.add_row(name, "not deployed; invoke gpu-deploy")
    return table


def _service(found: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return readiness, revision, instances and image of a service."""
    status, template = found.get("status", {}), found["spec"]["template"]
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    ready = conditions.get("Ready", {})
    is_ready = {"True": "yes", "False": f"no: {ready.get('message', '')}"}.get(ready.get("status"), "not yet")
    annotations = template["metadata"].get("annotations", {})
    most = annotations.get(_MAX, "any number")
    return (
        is_ready,
        status.get("latestReadyRevisionName", "none"),
        f"{annotations.get(_MIN, '0')} to {most}",
        _short(template["spec"]["containers"][0]["image"]),
    )


def _short(image: str) -> str:
    """Return the last part of an image's name, with its tag or the beginning of its digest."""
    return re.sub(r"@(sha256:[0-9a-f]{12})[0-9a-f]*", r"@\1", image.rpartition("/")[2])


def _executions_table(executions: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("execution", "upload", "state", "started", "duration", "result")
    for found in executions:
        started = found.get("startTime") or found.get("createTime", "")
        taken = duration(seconds_taken({**found, "startTime": started})) if started else ""
        execution = found["name"].rpartition("/")[2]
        row = (execution, upload_of(found), found["state"], f"{started[:19]}Z", taken, outcome_of(found))
        table.add_row(*map(cell, row))
    return table


def upload_of(found: Mapping[str, Any]) -> str:
    """Return the upload that an execution works on, as NAME#GENERATION; "health" for a check."""
    argument = argument_of(dict(found))
    if argument.get("check"):
        return "health"
    name = argument.get("name") or argument.get("input", "")
    return f"{name}#{argument.get('generation', '')}"


def outcome_of(found: Mapping[str, Any]) -> str:
    """Return where the result of an execution is, or why there is none."""
    if found["state"] in ("ACTIVE", "QUEUED"):
        return ""
    if found["state"] != "SUCCEEDED":
        return reason_of(dict(found)).partition(": ")[2]
    result = result_of(dict(found))
    if result.get("duplicate_of"):
        return f"duplicate of {result['duplicate_of']}"
    if "inference" in result:
        return f"healthy, {result['inference'].get('device', '')}"
    return str(result.get("result") or result.get("status", ""))


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
