"""The roles that people need, by what they do: one table, from which the lists of docs/ are generated.

Whoever deploys needs more: docs/access.md says what, and gpu/permissions.py has those of the GPU lane.
"""

from collections.abc import Iterator
from dataclasses import dataclass

PROJECT, BUCKET, REGISTRY, SECRET = "the project", "the bucket", "the registry", "the secret"
BATCH, BUILDER, BUILD = "the Batch account", "the builder's account", "the build account"
INPUT, OUTPUT = "the input bucket", "the output bucket"  # of the GPU lane


@dataclass(frozen=True)
class Right:
    """A role on a resource; `why` is where it is needed, "" if always."""

    role: str  # without roles/
    on: str = PROJECT
    why: str = ""


@dataclass(frozen=True)
class Work:
    """What a person does, the tasks for it, and the rights that it needs beside those of other work."""

    tasks: tuple[str, ...]
    rights: tuple[Right, ...]
    after: str = ""  # the work whose rights are needed, too


WORK = {
    "look": Work(
        ("status", "logs", "runs", "download", "workflow-list", "job-list"),
        (
            Right("workflows.viewer"),
            Right("batch.jobsViewer"),
            Right("logging.viewer"),
            Right("monitoring.viewer", why="for the dashboards"),
            Right("storage.objectViewer", BUCKET),
        ),
    ),
    "run": Work(
        ("run", "workflow-cancel", "cost"),
        (
            Right("workflows.invoker"),
            Right("batch.jobsEditor", why="to end jobs"),
            Right("artifactregistry.reader", REGISTRY),
            Right("storage.legacyBucketReader", BUCKET),
            Right("storage.objectUser", BUCKET),
            Right("secretmanager.viewer", SECRET, "with a token"),
        ),
        after="look",
    ),
    "run single jobs": Work(
        ("job",),
        (
            Right("iam.serviceAccountUser", BATCH, "on this account alone"),
            Right("iam.serviceAccountUser", BUILDER, "for stage A; it gives access to the token"),
        ),
        after="run",
    ),
    "check": Work(
        ("doctor --cloud",),
        (
            Right("compute.viewer"),
            Right("cloudquotas.viewer"),
            Right("iam.serviceAccountViewer"),
            Right("serviceusage.serviceUsageViewer"),
        ),
        after="run",
    ),
    "build": Work(
        ("build",),
        (
            Right("cloudbuild.builds.editor"),
            Right("serviceusage.serviceUsageConsumer"),
            Right("logging.viewer", why="for `--wait`"),
            Right("iam.serviceAccountUser", BUILD),
            Right("storage.legacyBucketReader", BUCKET),
            Right("storage.objectUser", BUCKET),
        ),
    ),
    "set the token": Work(
        ("secret-set", "secret-check"),
        (
            Right("secretmanager.secretVersionManager", SECRET),
            Right("secretmanager.admin", why="to make the secret"),
            Right("secretmanager.secretAccessor", SECRET, "for `secret-check`, which reads it"),
        ),
    ),
}
GPU_WORK = {
    "upload": Work(
        (),
        (Right("storage.objectUser", INPUT), Right("storage.objectViewer", OUTPUT, "to read results")),
    ),
    "watch": Work(
        ("gpu-status", "gpu-logs"),
        (Right("workflows.viewer"), Right("run.viewer"), Right("logging.viewer")),
        after="upload",
    ),
    "smoke": Work(
        ("gpu-smoke",),
        (Right("workflows.invoker", why="the workflow asks the services for their health"),),
        after="watch",
    ),
}


def rights_of(name: str) -> Iterator[Right]:
    """Yield all rights that a person's work needs, those of the work before it first."""
    work = (WORK | GPU_WORK)[name]
    if work.after:
        yield from rights_of(work.after)
    yield from work.rights


def listed(works: dict[str, Work]) -> str:
    """Return the list of a page: for each work its tasks, and its roles by resource."""
    return "".join(f"* {_line(name, work)}\n" for name, work in works.items())


def _line(name: str, work: Work) -> str:
    tasks = f" ({', '.join(f'`{task}`' for task in work.tasks)})" if work.tasks else ""
    also = f"the rights to {work.after}, and " if work.after else ""
    places = dict.fromkeys(right.on for right in work.rights)
    return f"**{name}**{tasks}: {also}{'; '.join(_on(place, work.rights) for place in places)}"


def _on(place: str, rights: tuple[Right, ...]) -> str:
    named = ", ".join(
        f"`{right.role}`{f' ({right.why})' if right.why else ''}" for right in rights if right.on == place
    )
    return f"on {place} {named}"
