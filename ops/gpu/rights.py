"""Who may do what: roles of the lane's accounts in the project and on its buckets.

Each account has only what its work needs. The right to call a service is given when it is deployed.
"""

from collections.abc import Mapping
from typing import Any

from ops.gpu.found import Found
from ops.gpu.lane import Lane
from ops.gpu.names import SERVICES, Names
from ops.gpu.steps import Chains, Change, Step

AGENT = "roles/eventarc.serviceAgent"
PUBLISHER = "roles/pubsub.publisher"
READ, WRITE, SEE = (f"roles/storage.{role}" for role in ("objectViewer", "objectUser", "legacyBucketReader"))
CONDITIONS_VERSION = 3  # of a policy that has conditions
AUDITED = {
    "service": "storage.googleapis.com",
    "auditLogConfigs": [{"logType": "DATA_READ"}, {"logType": "DATA_WRITE"}],
}
Binding = dict[str, Any]


def grant_changes(lane: Lane) -> list[Change]:
    """Return a change for each role in the project that is missing; agents of Google are made first."""
    project = lane.cloud.in_project
    makes = {
        PUBLISHER: ["storage", "service-agent", *project],
        AGENT: ["beta", "services", "identity", "create", "--service", "eventarc.googleapis.com", *project],
    }
    grant = ["projects", "add-iam-policy-binding", lane.cloud.project, "--condition", "None"]
    return [
        Change(
            f"grant {role} to {member}",
            [*([makes[role]] if role in makes else []), [*grant, "--role", role, "--member", member]],
        )
        for role, member in _roles(lane.names, lane.found)
        if (role, member) not in lane.found.in_force
    ]


def _roles(names: Names, found: Found) -> list[tuple[str, str]]:
    """Return the roles in the project, each with its member."""
    return [
        ("roles/logging.logWriter", names.member("workflow")),
        ("roles/workflows.viewer", names.member("workflow")),  # whether the holder of a claim is at work
        ("roles/eventarc.eventReceiver", names.member("trigger")),
        ("roles/workflows.invoker", names.member("trigger")),
        (PUBLISHER, storage_agent(found)),
        (AGENT, eventarc_agent(found)),
    ]


def audit_step(lane: Lane, is_ours: bool) -> Step:
    """Return the step that logs who reads and writes objects, or ends it where this lane began it.

    The policy is read in the step itself: earlier steps change it.
    """
    wanted, there = lane.cloud.settings.audit_data_access, is_audited(lane.found.project_policy)
    changes = ["log who reads and writes objects"] if wanted and not there else []
    changes += ["log no more who reads and writes objects"] if is_ours and there and not wanted else []
    return Step("log data access", lambda: _audit_chains(lane, wanted), changes=changes)


def audit_end(lane: Lane, is_ours: bool) -> Step:
    """Return the step that logs no more who reads and writes objects, where this lane began it."""
    is_needed = is_audited(lane.found.project_policy) and is_ours
    changes = ["logs of who reads and writes objects"] if is_needed else []
    return Step("end the logs of data access", lambda: _audit_chains(lane, False), changes=changes)


def _audit_chains(lane: Lane, wanted: bool) -> Chains:
    cloud = lane.cloud
    policy = cloud.read_json(["projects", "get-iam-policy", cloud.project], echo=False) or {}
    file = lane.write("project.json", audited(policy, wanted))
    return [[["projects", "set-iam-policy", cloud.project, file]]]


def audited(policy: Mapping[str, Any], is_wanted: bool) -> dict[str, Any]:
    """Return a project's policy that logs who reads and writes objects, or does not."""
    others = [each for each in policy.get("auditConfigs", []) if each.get("service") != AUDITED["service"]]
    return {**policy, "auditConfigs": [*others, *([AUDITED] if is_wanted else [])]}


def is_audited(policy: Mapping[str, Any]) -> bool:
    """Return whether a project's policy logs who reads and who writes objects."""
    configs = [each for each in policy.get("auditConfigs", []) if each.get("service") == AUDITED["service"]]
    types = {log["logType"] for each in configs for log in each.get("auditLogConfigs", [])}
    return types >= {log["logType"] for log in AUDITED["auditLogConfigs"]}


def storage_agent(found: Found) -> str:
    """Return the account of Cloud Storage that sends a bucket's events."""
    return f"serviceAccount:service-{found.project_number}@gs-project-accounts.iam.gserviceaccount.com"


def eventarc_agent(found: Found) -> str:
    """Return the account of Eventarc, which otherwise appears with the first trigger, without rights."""
    return f"serviceAccount:service-{found.project_number}@gcp-sa-eventarc.iam.gserviceaccount.com"


def bucket_bindings(names: Names, bucket: str) -> list[Binding]:
    """Return the bindings of one of the buckets; an account reaches only the folders that it needs."""
    return {
        "input": [_binding(names, READ, ["preprocess"])],
        "models": [_binding(names, READ, ["preprocess", "inference"])],
        "output": [
            _binding(names, WRITE, SERVICES, folder="work/"),
            _binding(names, SEE, SERVICES),  # else an object that is not there is a 403
            _binding(names, READ, ["preprocess"], folder="results/"),  # is the result there already?
            _binding(names, WRITE, ["postprocess"], folder="results/"),
            _binding(names, WRITE, ["workflow"], folder="work/", ending="/claim.json"),
        ],
    }[bucket]


def _binding(
    names: Names, role: str, accounts: list[str] | tuple[str, ...], folder: str = "", ending: str = ""
) -> Binding:
    members = sorted(names.member(account) for account in accounts)
    if not folder:
        return {"role": role, "members": members}
    objects = f"projects/_/buckets/{names.bucket('output')}/objects/{folder}"
    expression = f'resource.name.startsWith("{objects}")'
    if ending:
        expression += f' && resource.name.endsWith("{ending}")'
    title = f"{folder}*{ending}"
    return {"role": role, "members": members, "condition": {"title": title, "expression": expression}}


def with_bindings(policy: Mapping[str, Any], wanted: list[Binding]) -> dict[str, Any]:
    """Return a policy with further bindings; the policy itself if it has them all."""
    there = [dict(each) for each in policy.get("bindings", [])]
    for binding in wanted:
        same = next((each for each in there if _kind(each) == _kind(binding)), None)
        if same is None:
            there.append(binding)
        else:
            same["members"] = sorted({*same.get("members", []), *binding["members"]})
    return {**policy, "bindings": there, "version": CONDITIONS_VERSION}


def has_bindings(policy: Mapping[str, Any], wanted: list[Binding]) -> bool:
    """Return whether a policy has all of some bindings."""
    members = {}
    for each in policy.get("bindings", []):
        members.setdefault(_kind(each), set()).update(each.get("members", []))
    return all(set(each["members"]) <= members.get(_kind(each), set()) for each in wanted)


def _kind(binding: Binding) -> tuple[str, str]:
    return binding["role"], binding.get("condition", {}).get("expression", "")
