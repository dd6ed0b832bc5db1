"""The definition of a job: read as a message of the real API, checked, and reduced to how the job runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from localcloud.batch.machines import Needs
from localcloud.batch.retries import RetryRule
from localcloud.batch.rules import MAX_PARALLELISM, check_definition
from localcloud.messages import read_as
from localcloud.projects import DEFAULT_ACCOUNT
from localcloud.times import seconds_of

DEFAULT_CPU_MILLI = 2000
DEFAULT_MEMORY_MIB = 2000
_SET_BY_THE_SERVICE = ("name", "uid", "status", "createTime", "updateTime")


@dataclass(frozen=True)
class JobSpec:
    """The part of a job's definition that decides how it runs."""

    task_count: int
    parallelism: int
    priority: int
    needs: Needs
    retry: RetryRule
    max_run_seconds: float | None
    runnables: tuple[Mapping[str, Any], ...]
    environment: Mapping[str, Mapping[str, str]]  # variables, secretVariables
    task_environments: tuple[Mapping[str, Mapping[str, str]], ...]
    labels: Mapping[str, str]
    account: str  # e-mail, of the tasks and of the agent on their machines
    zone: str
    is_logged: bool
    is_generic: bool  # logs under the older monitored resource
    is_measured: bool = False  # by the Ops Agent

    @cached_property
    def images(self) -> set[str]:
        return {each["container"]["imageUri"] for each in self.runnables if "container" in each}


def read_definition(asked: Mapping[str, Any], job_id: str, location: str) -> dict[str, Any]:
    """Return a job as the service stores it, with defaults but without the fields that the service sets.

    Raises
    ------
    ApiError
        400: the job is not a Job of the API, or breaks a rule.
    """
    from google.cloud import batch_v1

    definition = read_as(batch_v1.Job, asked)
    for name in _SET_BY_THE_SERVICE:
        definition.pop(name, None)
    check_definition(definition, asked, location)

    group = definition["taskGroups"][0]
    count = len(group.get("taskEnvironments", [])) or int(group.get("taskCount", 1))
    group["taskCount"] = str(count)
    in_order = group.get("schedulingPolicy") == "IN_ORDER"
    group.setdefault("parallelism", "1" if in_order else str(min(count, MAX_PARALLELISM)))
    resource = group["taskSpec"].setdefault("computeResource", {})
    resource.setdefault("cpuMilli", str(DEFAULT_CPU_MILLI))
    resource.setdefault("memoryMib", str(DEFAULT_MEMORY_MIB))
    policy = definition.setdefault("allocationPolicy", {})
    policy.setdefault("location", {}).setdefault("allowedLocations", [f"regions/{location}"])
    policy["labels"] = {**policy.get("labels", {}), "batch-job-id": job_id}
    return definition


def spec_of(definition: Mapping[str, Any]) -> JobSpec:
    group = definition["taskGroups"][0]
    spec = group["taskSpec"]
    policy = definition["allocationPolicy"]
    instance = next(iter(policy.get("instances", [])), {}).get("policy", {})
    environment = spec.get("environment", {})
    logs = definition.get("logsPolicy", {})
    return JobSpec(
        task_count=int(group["taskCount"]),
        parallelism=int(group["parallelism"]),
        priority=int(definition.get("priority", 0)),
        needs=Needs(
            cpu_milli=int(spec["computeResource"]["cpuMilli"]),
            memory_mib=int(spec["computeResource"]["memoryMib"]),
            machine_type=instance.get("machineType", ""),
            boot_disk_type=instance.get("bootDisk", {}).get("type", ""),
        ),
        retry=_retry_rule(spec),
        max_run_seconds=seconds_of(spec.get("maxRunDuration")) or None,
        runnables=tuple(spec["runnables"]),
        environment={
            "variables": {**spec.get("environments", {}), **environment.get("variables", {})},
            "secretVariables": environment.get("secretVariables", {}),
        },
        task_environments=tuple(group.get("taskEnvironments", [])),
        labels=definition.get("labels", {}),
        account=policy.get("serviceAccount", {}).get("email") or DEFAULT_ACCOUNT,
        zone=_zone(policy["location"]["allowedLocations"][0]),
        is_logged=logs.get("destination") == "CLOUD_LOGGING",
        is_generic=logs.get("cloudLoggingOption", {}).get("useGenericTaskMonitoredResource", False),
        is_measured=bool(next(iter(policy.get("instances", [])), {}).get("installOpsAgent")),
    )


def _retry_rule(spec: Mapping[str, Any]) -> RetryRule:
    policies = spec.get("lifecyclePolicies")
    if not policies:
        return RetryRule(spec.get("maxRetryCount", 0))
    return RetryRule(
        max_retry_count=spec.get("maxRetryCount", 0),
        action=policies[0]["action"],
        exit_codes=frozenset(policies[0]["actionCondition"]["exitCodes"]),
    )


def _zone(place: str) -> str:
    """Return the zone of an allowed location; for a region, its first zone."""
    kind, _, name = place.partition("/")
    return f"{name}-a" if kind == "regions" else name


def as_text(definition: Mapping[str, Any]) -> str:
    return json.dumps(definition, ensure_ascii=False, separators=(",", ":"))
