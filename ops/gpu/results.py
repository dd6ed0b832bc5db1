"""What would be lost with the lane: results in the output bucket, and uploads that are being worked on."""

from collections.abc import Sequence
from dataclasses import dataclass

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gpu.found import Found
from ops.gpu.names import Names
from ops.gpu.steps import Change, Step
from ops.terminal import counted

MOST_NAMED = 3


@dataclass(frozen=True)
class Losses:
    """Results by number and bytes, and the ids of executions that are not finished."""

    files: int = 0
    size_bytes: int = 0
    executions: Sequence[str] = ()

    def __str__(self) -> str:
        return ", ".join(
            [
                *(
                    [f"{counted(self.files, 'file')} of results, {self.size_bytes:,} bytes"]
                    if self.files
                    else []
                ),
                *([f"{counted(len(self.executions), 'upload')} being worked on"] if self.executions else []),
            ]
        )


def look_for_losses(cloud: Cloud, names: Names, found: Found) -> Losses:
    """Return what would be lost."""
    files, output = [], names.bucket("output")
    if output in found.buckets:
        words = ["storage", "objects", "list", f"gs://{output}/results/**", *cloud.in_project]
        listed = cloud.read_if_there([*words, "--format", "value(size)"])
        files = [int(line) for line in listed.split() if line.isdigit()]
    return Losses(len(files), sum(files), _unfinished(cloud, names, found))


def _unfinished(cloud: Cloud, names: Names, found: Found) -> list[str]:
    if names.workflow not in found.workflows:
        return []
    words = ["workflows", "executions", "list", names.workflow, *cloud.in_region]
    listed = cloud.read_json([*words, "--filter", "state=ACTIVE OR state=QUEUED"], echo=False) or []
    return [each["name"].rpartition("/")[2] for each in listed]


def refuse_losses(cloud: Cloud, names: Names, losses: Losses, done: str = "nothing was deleted") -> None:
    """Refuse to delete results, or the workflow of an upload that has none yet.

    Raises
    ------
    UserError
        Says what would be lost, and what to do (exit code 2).
    """
    if losses.files:
        place = f"gs://{names.bucket('output')}/results/"
        raise UserError(
            f"{done}: {place} has {losses}; copy them (gcloud storage cp --recursive {place} FOLDER), then "
            "add --delete-data, or set DELETE_DATA=true"
        )
    if losses.executions:
        named = ", ".join(losses.executions[:MOST_NAMED])
        where = f"gcloud workflows executions list {names.workflow} --location {cloud.region} "
        raise UserError(
            f"{done}: {losses} ({named}); wait until they have ended ({where}--project {cloud.project}), or "
            "add --delete-data, which cancels them"
        )


def cancelling_step(cloud: Cloud, names: Names, losses: Losses) -> Step:
    """Return the step that cancels what is being worked on."""
    where = ["--workflow", names.workflow, *cloud.in_region]
    cancelled = [
        Change(f"cancel execution {each}", [["workflows", "executions", "cancel", each, *where]])
        for each in losses.executions
    ]
    return Step.of("cancel executions", cancelled)
