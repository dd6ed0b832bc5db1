"""What a project can answer by itself where the documentation leaves a doubt.

The questions only read, through gcloud. An answer holds selected fields, as the services wrote them: a field
that a service left out is null, never a number of ours. report.py asks, and says why where an answer cannot
be read; the doubts about the GPU lane are in ops/gpu/evidence.py.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ops.cloud import checks
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import stage_limits
from ops.cloud.execution_list import id_of_execution, list_executions
from ops.cloud.executions import Execution, exp_id_of, run_id_of, seconds_taken
from ops.cloud.jobs import experiment_of, id_of, newest_jobs, state_of, variables_of
from ops.cloud.machine_types import machine_types
from ops.gcloud import AT_ONCE, GcloudError, Refusal, in_parallel

PROBE = "first-project-probe"  # the workflow of docs/first-project.md
PROBE_TYPES = ("c4d-standard-2", "e2-highcpu-2")
EXECUTIONS, JOBS, JOBS_WITH_TASKS, TASKS, LINES = 20, 10, 4, 8, 20  # newest of each
FAILED_EXECUTIONS = 3
RECENT = "7d"
_QUOTAS = re.compile(r"CPUS|DISKS_TOTAL|SSD_TOTAL|HDB_TOTAL|IN_USE_ADDRESSES|INSTANCES$")


@dataclass(frozen=True)
class Found:
    """An answer that JSON can hold, and names in it, each with its kind."""

    answer: Any
    names: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Doubt:
    """A point that the documentation leaves open, and the question that a project answers."""

    name: str
    question: str
    ask: Callable[[Cloud], Found]


def connector_errors(cloud: Cloud) -> Found:
    listed = [each for each in list_executions(cloud, EXECUTIONS) if each.get("state") == "FAILED"]
    executions = [Execution(cloud, id_of_execution(each)) for each in listed[:FAILED_EXECUTIONS]]
    described = [each.describe() for each in executions]
    answer = [
        {
            "seconds": round(seconds_taken(each)),
            "error": read_as_json(each.get("error", {}).get("payload", "")),
            "context": each.get("error", {}).get("context", ""),
        }
        for each in described
    ]
    names = [(kind, name) for each in described for kind, name in _names_of_run(each)]
    return Found(answer or "no execution has failed yet", tuple(names))


def _names_of_run(execution: dict[str, Any]) -> list[tuple[str, str]]:
    return [("experiment", exp_id_of(execution)), ("run", run_id_of(execution))]


def jobs(cloud: Cloud) -> Found:
    found = newest_jobs(cloud, {}, echo=False)[:JOBS]
    return Found([_job(each) for each in found] or "no job yet", _names_of_jobs(found))


def _job(job: dict[str, Any]) -> dict[str, Any]:
    group, policy = job["taskGroups"][0], _policy(job)
    spec, status = group["taskSpec"], job.get("status", {})
    return {
        "stage": job.get("labels", {}).get("stage", ""),
        "managed_by": job.get("labels", {}).get("managed-by", ""),
        "state": state_of(job),
        "run_duration": status.get("runDuration"),
        "seconds_to_last_update": _between(job, "createTime", "updateTime"),
        "tasks": {name: each.get("counts", {}) for name, each in status.get("taskGroups", {}).items()},
        "machine_type": policy.get("machineType", ""),
        "boot_disk": policy.get("bootDisk", {}),
        "asked": spec.get("computeResource", {}),
        "max_run_duration": spec.get("maxRunDuration"),
        "events": _events(status, job["createTime"]),
    }


def _policy(job: dict[str, Any]) -> dict[str, Any]:
    return (job.get("allocationPolicy", {}).get("instances") or [{}])[0].get("policy", {})


def _names_of_jobs(found: Sequence[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    names = [("experiment", experiment_of(each)) for each in found]
    names += [("run", variables_of(each).get("RUN_ID", "")) for each in found]
    names += [("run", id_of(each)) for each in found]
    names += [("run", each.get("uid", "")) for each in found]
    return tuple(names)


def _events(status: Mapping[str, Any], begin: str) -> list[dict[str, Any]]:
    """Return the events of a job or task, with the seconds since `begin`."""
    return [
        {
            "after_seconds": _seconds(begin, each["eventTime"]) if "eventTime" in each else None,
            "type": each.get("type", ""),
            **({"task_state": each["taskState"]} if "taskState" in each else {}),
            **({"task_execution": each["taskExecution"]} if "taskExecution" in each else {}),
            "description": each.get("description", ""),
        }
        for each in status.get("statusEvents", [])
    ]


def _seconds(begin: str, end: str) -> float:
    between = datetime.fromisoformat(end) - datetime.fromisoformat(begin)
    return round(between.total_seconds(), 1)


def tasks(cloud: Cloud) -> Found:
    """Return the tasks of the newest jobs that have ended, those of failed jobs first."""
    found = newest_jobs(cloud, {}, echo=False)
    ended = [each for each in found if state_of(each) in ("FAILED", "SUCCEEDED")]
    chosen = sorted(ended, key=lambda job: state_of(job) != "FAILED")[:JOBS_WITH_TASKS]
    answer = []
    for job in chosen:
        words = ["batch", "tasks", "list", "--job", id_of(job), *cloud.in_region, "--limit", str(TASKS)]
        for task in cloud.read_json(words, echo=False) or []:
            status = task.get("status", {})
            answer.append(
                {
                    "stage": job.get("labels", {}).get("stage", ""),
                    "machine_type": _policy(job).get("machineType", ""),
                    "index": task["name"].rpartition("/")[2],
                    "state": status.get("state", ""),
                    "events": _events(status, job["createTime"]),
                }
            )
    return Found(answer or "no job has ended yet", _names_of_jobs(chosen))


def agent_lines(cloud: Cloud) -> Found:
    lines = _log(cloud, 'logName:"batch_agent_logs" AND severity>=WARNING')
    shown = [{"severity": each.get("severity", ""), "text": _text_of(each)} for each in lines]
    return Found(shown or f"none in {RECENT} with a severity of WARNING or more")


def denials(cloud: Cloud) -> Found:
    """Return the refused requests of the audit logs, each with the permissions that were not granted.

    https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog: who asked is an
    e-mail or, with a federated identity, a subject. `granted` is left out where it is false.
    """
    found = [each.get("protoPayload", {}) for each in _log(cloud, "protoPayload.status.code=7")]
    answer = [
        {
            "service": said.get("serviceName", ""),
            "method": said.get("methodName", ""),
            "permissions": [
                one.get("permission", "")
                for one in said.get("authorizationInfo", [])
                if not one.get("granted")
            ],
            "member": _who_asked(said),
            "message": said.get("status", {}).get("message", ""),
        }
        for said in found
    ]
    none = f"none in the audit logs of {RECENT}, which have refused reads only if data access is logged"
    return Found(answer or none, tuple(name for each in answer for name in _names_of_member(each["member"])))


def _who_asked(said: Mapping[str, Any]) -> str:
    who = said.get("authenticationInfo", {})
    return who.get("principalEmail") or who.get("principalSubject", "")


def _log(cloud: Cloud, chosen: str) -> list[dict[str, Any]]:
    words = ["logging", "read", chosen, "--freshness", RECENT, "--limit", str(LINES), *cloud.in_project]
    return cloud.read_json(words, echo=False) or []


def _text_of(entry: Mapping[str, Any]) -> str:
    payload = entry.get("jsonPayload", {})
    return (
        entry.get("textPayload") or payload.get("message") or json.dumps(payload or entry.get("protoPayload"))
    )


def _region(cloud: Cloud) -> dict[str, Any]:
    words = ["compute", "regions", "describe", cloud.region, *cloud.in_project]
    return cloud.read_json(words, echo=False) or {}


def quotas(cloud: Cloud) -> Found:
    whole = ["compute", "project-info", "describe", *cloud.in_project]
    region, project = _region(cloud), cloud.read_json(whole, echo=False) or {}
    listed = [*region.get("quotas", []), *project.get("quotas", [])]
    shown = [
        {"metric": each["metric"], "limit": each.get("limit"), "usage": each.get("usage", 0)}
        for each in listed
        if _QUOTAS.search(each.get("metric", ""))
    ]
    if unnamed := sum("metric" not in each for each in listed):
        # some versions of gcloud leave out the name of a metric that is newer, perhaps that of a family
        shown.append({"metric": "unknown to this gcloud", "quotas": unnamed})
    return Found(shown or f"no quota of CPUs, disks, addresses or instances is named in {cloud.region}")


def family_quotas(cloud: Cloud) -> Found:
    found = checks.family_limits(cloud)
    rows = [{"family": name, "cpus": _limit(cpus)} for name, cpus in sorted(found.items())]
    return Found(rows or f"CPUS_PER_VM_FAMILY names no family in {cloud.region}")


def _limit(cpus: float | None) -> float | str:
    if cpus is None:
        return checks.NO_VALUE
    return "unlimited" if cpus >= checks.UNLIMITED else cpus


def sizes(cloud: Cloud) -> Found:
    """Return what Compute Engine says of the machine types in use, beside terraform/machine_types.json."""
    named = {limits.machine_type for limits in stage_limits(cloud.settings).values()}
    types = sorted(filter(None, {*named, *PROBE_TYPES}))
    zones = sorted(each.rpartition("/")[2] for each in _region(cloud).get("zones", []))
    if not zones:
        return Found(f"Compute Engine names no zone of {cloud.region}")
    calls = [lambda name=name: _size(cloud, name, zones) for name in types]
    return Found(in_parallel(calls, cloud.shell.most_at_once(AT_ONCE)))


def _size(cloud: Cloud, name: str, zones: Sequence[str]) -> dict[str, Any]:
    """Return the size of a machine type in the first zone that has it, and the zones tried before."""
    without: list[str] = []
    row = {"type": name, "ours": machine_types().get(name), "not_in": without}
    for zone in zones:
        words = ["compute", "machine-types", "describe", name, "--zone", zone, *cloud.in_project]
        try:
            found = cloud.read_json(words, echo=False) or {}
        except GcloudError as error:
            if error.refusal is not Refusal.MISSING:
                raise
            without.append(zone)
        else:
            return {**row, "in": zone, "vcpus": found.get("guestCpus"), "memory_mib": found.get("memoryMb")}
    return row


def pullers(cloud: Cloud) -> Found:
    repository = cloud.settings.repo_name
    words = ["artifacts", "repositories", "get-iam-policy", repository, *cloud.in_region]
    return policy_of(cloud.read_json(words, echo=False))


def project_roles(cloud: Cloud) -> Found:
    return policy_of(cloud.read_json(["projects", "get-iam-policy", cloud.project], echo=False))


def policy_of(policy: dict[str, Any] | None) -> Found:
    """Return a policy's roles with their members, and the names of these."""
    bindings = (policy or {}).get("bindings", [])
    rows = [
        {
            "role": each["role"],
            "members": each.get("members", []),
            **({"condition": each["condition"].get("expression", "")} if "condition" in each else {}),
        }
        for each in bindings
    ]
    names = [name for row in rows for member in row["members"] for name in _names_of_member(member)]
    return Found(rows or "nobody: the policy has no binding", tuple(names))


def _names_of_member(member: str) -> list[tuple[str, str]]:
    """Return the name of a person or of an external identity; accounts are recognised by their form."""
    kind, _, name = member.removeprefix("deleted:").partition(":")
    if kind not in ("user", "group", "domain", "principal", "principalSet"):
        return []
    return [(kind.lower(), name.partition("?")[0])]


def builds(cloud: Cloud) -> Found:
    words = ["builds", "list", "--limit", "5", "--region", cloud.settings.build_region, *cloud.in_project]
    found = cloud.read_json(words, echo=False) or []
    rows = [
        {
            "status": each.get("status", ""),
            "detail": each.get("statusDetail", ""),
            "failure": each.get("failureInfo", {}),
            "queued_seconds": _between(each, "createTime", "startTime"),
            "seconds": _between(each, "startTime", "finishTime"),
        }
        for each in found
    ]
    return Found(rows or "no build yet")


def _between(described: Mapping[str, Any], begin: str, end: str) -> float | None:
    """Return the seconds between two times of a job or build; None if one is missing."""
    if begin not in described or end not in described:
        return None
    return _seconds(described[begin], described[end])


def probe(cloud: Cloud) -> Found:
    """Return what the newest execution of the probe's workflow returned."""
    words = ["workflows", "executions", "list", PROBE, *cloud.in_region, "--limit", "1"]
    try:
        listed = cloud.read_json(words, echo=False) or []
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        listed = []
    if not listed:
        return Found(f"{PROBE} has not run: docs/first-project.md says how")
    words = ["workflows", "executions", "describe", id_of_execution(listed[0]), "--workflow", PROBE]
    found = cloud.read_json([*words, *cloud.in_region], echo=False) or {}
    said = found.get("result") or found.get("error", {}).get("payload", "")
    return Found({"state": found.get("state", ""), "said": read_as_json(said)})


def read_as_json(text: str) -> Any:
    """Return the value of a text that is JSON, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


DOUBTS = (
    Doubt("connector errors", "What does a connector raise once its retries have ended?", connector_errors),
    Doubt("probe of calls", "What do 403, 404 and 400 look like in a workflow, and after how long?", probe),
    Doubt("jobs", "What does runDuration count? Does 7168 MiB fit a c4d-standard-2?", jobs),
    Doubt("tasks", "How do tasks end: exit code, events, attempts, exhausted memory and time?", tasks),
    Doubt("agent lines", "What does Batch's agent say of images that cannot be pulled?", agent_lines),
    Doubt("denials", "What do refusals look like in the audit logs?", denials),
    Doubt("quotas", "What may a project have in the region?", quotas),
    Doubt("quotas of families", "Which families have a limit of CPUS_PER_VM_FAMILY?", family_quotas),
    Doubt("machine types", "Are the sizes those of terraform/machine_types.json, and in which zones?", sizes),
    Doubt("image pullers", "Who may pull images?", pullers),
    Doubt(
        "project roles",
        "Who holds which roles; is agentReporter missing anywhere?",
        project_roles,
    ),
    Doubt("builds", "How long do builds wait and take, and how do they fail?", builds),
)
