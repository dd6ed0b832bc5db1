"""What is refused in a well-formed job: by the service, and here alone because it is not emulated.

Neither gcloud nor the client library checks names, counts, labels, locations and machine types. The limits
come from https://cloud.google.com/batch/quotas and the documentation of the fields, the patterns of labels
from Compute Engine.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from localcloud.compute import MACHINE_TABLE, machine_types
from localcloud.messages import ApiError
from localcloud.times import seconds_of

MAX_DEFINITION_BYTES = 2**20
MAX_TASKS = 100_000
MAX_PARALLELISM = 5_000
MAX_RETRIES = 10
MAX_PRIORITY = 99
MAX_JOB_LABELS = 63
MAX_VM_LABELS = 61

_JOB_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_PLACE = re.compile(r"(?:regions/([a-z]+-[a-z]+[0-9]+)|zones/([a-z]+-[a-z]+[0-9]+)-[a-z])")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_RESERVED_LABELS = ("goog-", "google-")
_PREDEFINED_LABELS = ("batch-job-id", "batch-job-uid", "batch-node")
_SECRET = re.compile(r"projects/[^/]+/secrets/[^/]+/versions/[^/]+")
_EXECUTABLES = ("container", "script", "barrier")


def check_job_id(job_id: str) -> None:
    if not _JOB_ID.fullmatch(job_id):
        raise ApiError(
            400,
            f"Job ID [{job_id}] is invalid: at most 63 lowercase letters, digits and hyphens, "
            "a letter first, no hyphen last.",
        )


def check_region(location: str) -> None:
    if not _REGION.fullmatch(location):
        raise ApiError(400, f"Location [{location}] is not a region.")


def check_definition(definition: Mapping[str, Any], asked: Mapping[str, Any], location: str) -> None:
    """Refuse an invalid job and report all its mistakes.

    Parameters
    ----------
    definition : dict
        The job as the API's message type writes it: without fields that have their default.
    asked : dict
        The job as it was sent, in which a count of 0 differs from no count.
    """
    if problems := list(_problems(definition, asked, location)):
        raise ApiError(400, "Invalid job: " + "; ".join(problems))


def _problems(definition: Mapping[str, Any], asked: Mapping[str, Any], location: str) -> Iterator[str]:
    groups = definition.get("taskGroups", [])
    if len(groups) != 1:
        yield f"exactly one task group is supported, not {len(groups)}"
    for group in groups[:1]:
        [sent] = (asked.get("taskGroups") or asked.get("task_groups"))[:1]
        yield from _problems_of_counts(group, sent if isinstance(sent, Mapping) else {})
        yield from _problems_of_tasks(group.get("taskSpec", {}))
        for environment in _environments(group):
            yield from _problems_of_variables(environment)
    if not 0 <= int(definition.get("priority", 0)) <= MAX_PRIORITY:
        yield f"priority must be 0 to {MAX_PRIORITY}"
    yield from _problems_of_labels(definition, groups)
    yield from _problems_of_places(definition.get("allocationPolicy", {}), location)
    yield from _problems_of_machines(definition.get("allocationPolicy", {}))
    if definition.get("logsPolicy", {}).get("destination") == "PATH" and not definition["logsPolicy"].get(
        "logsPath"
    ):
        yield "logsPolicy.logsPath is required where the destination is PATH"


def _problems_of_counts(group: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    environments = group.get("taskEnvironments", [])
    count = len(environments) or int(group.get("taskCount", 1))
    if not 1 <= count <= MAX_TASKS or str(asked.get("taskCount", asked.get("task_count", 1))) == "0":
        yield f"taskCount must be 1 to {MAX_TASKS}"
    parallelism = int(group.get("parallelism", 1))
    if not 1 <= parallelism <= MAX_PARALLELISM:
        yield f"parallelism must be 1 to {MAX_PARALLELISM}"
    if group.get("schedulingPolicy") == "IN_ORDER" and parallelism != 1:
        yield "parallelism must be 1 where the schedulingPolicy is IN_ORDER"
    if int(group.get("taskCountPerNode", 1)) < 1:
        yield "taskCountPerNode must be positive"


def _problems_of_tasks(spec: Mapping[str, Any]) -> Iterator[str]:
    runnables = spec.get("runnables", [])
    if not runnables:
        yield "at least one runnable is required"
    for number, runnable in enumerate(runnables):
        yield from _problems_of_runnable(f"runnables[{number}]", runnable)
    if not 0 <= spec.get("maxRetryCount", 0) <= MAX_RETRIES:
        yield f"maxRetryCount must be 0 to {MAX_RETRIES}"
    if seconds_of(spec.get("maxRunDuration")) < 0:
        yield "maxRunDuration must not be negative"
    for name, value in spec.get("computeResource", {}).items():
        if int(value) < 0:
            yield f"computeResource.{name} must not be negative"
    policies = spec.get("lifecyclePolicies", [])
    if len(policies) > 1:
        yield "at most one lifecycle policy is supported"
    for policy in policies:
        if policy.get("action", "ACTION_UNSPECIFIED") == "ACTION_UNSPECIFIED":
            yield "a lifecycle policy needs an action"
        if not policy.get("actionCondition", {}).get("exitCodes"):
            yield "a lifecycle policy needs exit codes"


def _problems_of_runnable(where: str, runnable: Mapping[str, Any]) -> Iterator[str]:
    if not any(kind in runnable for kind in _EXECUTABLES):
        yield f"{where} needs one of {', '.join(_EXECUTABLES)}"
    if "container" in runnable and not runnable["container"].get("imageUri"):
        yield f"{where}.container.imageUri is required"
    if "script" in runnable and not (runnable["script"].get("text") or runnable["script"].get("path")):
        yield f"{where}.script needs a text or a path"
    for kind in ("container", "script"):
        if any("\0" in text for text in _texts(runnable.get(kind, {}))):
            yield f"{where}.{kind} contains a null character"
    if seconds_of(runnable.get("timeout")) < 0:
        yield f"{where}.timeout must not be negative"


def _texts(executable: Mapping[str, Any]) -> Iterator[str]:
    for value in executable.values():
        yield from value if isinstance(value, list) else [str(value)]


def _environments(group: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    spec = group.get("taskSpec", {})
    yield spec.get("environment", {})
    yield {"variables": spec.get("environments", {})}
    yield from group.get("taskEnvironments", [])
    for runnable in spec.get("runnables", []):
        yield runnable.get("environment", {})


def _problems_of_variables(environment: Mapping[str, Any]) -> Iterator[str]:
    secrets = environment.get("secretVariables", {})
    for name in (*environment.get("variables", {}), *secrets):
        if not name or "=" in name or "\0" in name:
            yield f"{name!r} cannot name an environment variable"
    for name, value in environment.get("variables", {}).items():
        if "\0" in value:
            yield f"variable {name} contains a null character"
    for name, version in secrets.items():
        if not _SECRET.fullmatch(version):
            yield f"secret variable {name} must name projects/*/secrets/*/versions/*, not {version!r}"


def _problems_of_labels(definition: Mapping[str, Any], groups: list) -> Iterator[str]:
    runnables = groups[0].get("taskSpec", {}).get("runnables", []) if groups else []
    of_job = [definition.get("labels", {}), *(each.get("labels", {}) for each in runnables)]
    of_vms = definition.get("allocationPolicy", {}).get("labels", {})
    if sum(map(len, of_job)) > MAX_JOB_LABELS:
        yield f"a job and its runnables may have {MAX_JOB_LABELS} labels"
    if len(of_vms) > MAX_VM_LABELS:
        yield f"allocationPolicy.labels may have {MAX_VM_LABELS} labels"
    for labels in (*of_job, of_vms):
        for key, value in labels.items():
            if not _LABEL_KEY.fullmatch(key):
                yield f"label key {key!r} must be [a-z][a-z0-9_-]{{0,62}}"
            elif key.startswith(_RESERVED_LABELS) or key in _PREDEFINED_LABELS:
                yield f"label key {key!r} is reserved"
            if not _LABEL_VALUE.fullmatch(value):
                yield f"label value {value!r} of {key!r} must be [a-z0-9_-]{{0,63}}"


def _problems_of_places(policy: Mapping[str, Any], location: str) -> Iterator[str]:
    places = policy.get("location", {}).get("allowedLocations", [])
    for place in places:
        found = _PLACE.fullmatch(place)
        if not found:
            yield f"allowed location {place!r} must be regions/REGION or zones/ZONE"
        elif (found[1] or found[2]) != location:
            yield f"allowed location {place!r} must be in the job's region, {location}"
    if any(place.startswith("regions/") for place in places) and len(places) > 1:
        yield "allowedLocations must be one region, or zones of one region"


def _problems_of_machines(policy: Mapping[str, Any]) -> Iterator[str]:
    instances = policy.get("instances", [])
    if len(instances) > 1:
        yield "at most one of allocationPolicy.instances is supported"
    for instance in instances[:1]:
        machine_type = instance.get("policy", {}).get("machineType", "")
        if machine_type and machine_type not in machine_types():
            yield (
                f"machine type {machine_type!r} does not exist; "
                f"add it to terraform/{MACHINE_TABLE.name} if Compute Engine has it"
            )


def check_is_emulated(definition: Mapping[str, Any], has_containers: bool) -> None:
    """Refuse a valid job that uses what is not emulated, instead of running it differently."""
    if missing := list(_not_emulated(definition, has_containers)):
        raise ApiError(400, f"localcloud does not emulate {', '.join(missing)}.")


def _not_emulated(definition: Mapping[str, Any], has_containers: bool) -> Iterator[str]:
    group = definition["taskGroups"][0]
    spec = group["taskSpec"]
    if spec.get("volumes"):
        yield "volumes of tasks"
    runnables = spec["runnables"]
    if any("barrier" in each for each in runnables):
        yield "barriers"
    if group.get("requireHostsFile"):
        yield "hosts files"
    if any(each.get("container", {}).get("blockExternalNetwork") for each in runnables):
        yield "containers without a network"
    if not has_containers and any(each.get("container", {}).get("volumes") for each in runnables):
        yield "volumes of a container where tasks are processes"
    environments = [spec, *runnables]
    encrypted = [each.get("environment", {}) for each in environments] + group.get("taskEnvironments", [])
    if any("encryptedVariables" in each for each in encrypted):
        yield "encrypted variables"
    if "instanceTemplate" in next(iter(definition["allocationPolicy"].get("instances", [])), {}):
        yield "instance templates"
