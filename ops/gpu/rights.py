"""Who may do what: roles of the lane's accounts in the project and on its buckets.

Each account has only what its work needs. The right to call a service is given when it is deployed.
"""

from collections.abc import Mapping
from typing import Any

from ops import people
from ops.cloud.resources import bucket_name, places
from ops.gpu.found import Found, Grant
from ops.gpu.lane import Lane
from ops.gpu.names import SERVICES, Names
from ops.gpu.steps import Chains, Change, Command, Step
from ops.settings import Settings

AGENT = "roles/eventarc.serviceAgent"
PUBLISHER = "roles/pubsub.publisher"
READ, WRITE, SEE = (f"roles/storage.{role}" for role in ("objectViewer", "objectUser", "legacyBucketReader"))
ALWAYS = 'request.time > timestamp("2020-01-01T00:00:00Z")'
CONDITIONS_VERSION = 3  # of a policy that has conditions
AUDITED = {
    "service": "storage.googleapis.com",
    "auditLogConfigs": [{"logType": "DATA_READ"}, {"logType": "DATA_WRITE"}],
}
OWN_BUCKETS = {people.INPUT: "input", people.MODELS: "models", people.OUTPUT: "output"}
Binding = dict[str, Any]


def places_of_people(settings: Settings) -> dict[str, str]:
    """Return the names of the resources that people have roles on, as people.py calls them."""
    if not settings.project_id:  # which the names of the lane are made of
        return places(settings)
    names = Names.of(settings)
    return places(settings) | {on: bucket_name(names.bucket(name)) for on, name in OWN_BUCKETS.items()}


def grant_changes(lane: Lane) -> list[Change]:
    """Return a change for each role in the project that is missing; agents of Google are made first."""
    project = lane.cloud.in_project
    makes = {
        PUBLISHER: ["storage", "service-agent", *project],
        AGENT: ["beta", "services", "identity", "create", "--service", "eventarc.googleapis.com", *project],
    }
    return [
        Change(
            f"grant {grant.role} to {grant.member}",
            [*([makes[grant.role]] if grant.role in makes else []), _add(lane, grant)],
        )
        for grant in _wanted(lane.names, lane.found)
        if grant not in lane.found.grants
    ]


def _wanted(names: Names, found: Found) -> list[Grant]:
    """Return the roles in the project, each with its member.

    Google's own accounts are everybody's: without their rights, no trigger of the project works. A condition
    that is always true makes these rights the lane's own, so that its removal takes them from nobody else.
    """
    return [
        Grant("roles/logging.logWriter", names.member("workflow")),
        Grant("roles/workflows.viewer", names.member("workflow")),  # whether a claim's holder is at work
        Grant("roles/eventarc.eventReceiver", names.member("trigger")),
        Grant("roles/workflows.invoker", names.member("trigger")),
        Grant(PUBLISHER, storage_agent(found), names.stem),
        Grant(AGENT, eventarc_agent(found), names.stem),
    ]


def _add(lane: Lane, grant: Grant) -> Command:
    condition = _condition(lane.names, grant) if grant.condition else ["--condition", "None"]
    add = ["projects", "add-iam-policy-binding", lane.cloud.project]
    return [*add, "--role", grant.role, "--member", grant.member, *condition]


def take_back(names: Names, found: Found, project: str) -> list[Change]:
    """Return a change for each role in the project that is the lane's, which removes it."""
    remove = ["projects", "remove-iam-policy-binding", project]
    return [
        Change(
            f"{grant.role} of {grant.member}",
            [[*remove, "--role", grant.role, "--member", grant.member, *_condition(names, grant)]],
        )
        for grant in found.grants
    ]


def _condition(names: Names, grant: Grant) -> list[str]:
    """Return the option for the lane's own condition; for another one, or none, that for all of them."""
    own = ["--condition", f"expression={ALWAYS},title={names.stem}"]
    return own if grant.condition == names.stem else ["--all"]


def audit_step(lane: Lane, is_ours: bool) -> Step:
    """Return the step that logs who reads and writes objects, or stops that if this lane began it.

    The policy is read in the step itself: earlier steps change it.
    """
    wanted, there = lane.cloud.settings.audit_data_access, is_audited(lane.found.project_policy)
    changes = ["log who reads and writes objects"] if wanted and not there else []
    changes += ["log no more who reads and writes objects"] if is_ours and there and not wanted else []
    return Step("log data access", lambda: _audit_chains(lane, wanted), changes=changes)


def audit_end(lane: Lane, is_ours: bool) -> Step:
    """Return the step that stops logging who reads and writes objects, if this lane began it."""
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
            _binding(names, WRITE, ["preprocess", "inference"], folder="work/"),
            _binding(names, READ, ["postprocess"], folder="work/"),
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
